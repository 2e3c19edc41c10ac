"""Batches in chunks (GradCache): loss and gradient of the whole batch, for every method, by one more forward pass."""

import pytest
import torch
from torch import nn

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.methods import MRLConfig, MRLModel
from hf_noisy_itm.methods._chunks import in_chunks

from .table import METHODS
from .test_contract import make, make_batch, of_every_method


def gradients(model, batch, rows, autocast=False):
    model.zero_grad()
    model.embed_in_chunks(rows)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model(**batch)
    output.loss.backward()
    return output, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@of_every_method
def test_chunks_give_the_gradient_of_the_whole_batch(cls, config_cls, fields, clip_config, processor, pairs):
    model, _ = make(cls, config_cls, fields, clip_config)
    batch = make_batch(processor, pairs)
    whole, expected = gradients(model, batch, None)
    chunked, found = gradients(model, batch, 3)  # which divides no number of rows here
    torch.testing.assert_close(chunked.loss, whole.loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(chunked.weight_per_pair, whole.weight_per_pair, atol=1e-4, rtol=1e-4)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_chunks_under_autocast(clip_config, processor, pairs):
    """Half precision rounds each row as it does in the whole batch."""
    model, _ = make(*METHODS["baseline"], clip_config)
    batch = make_batch(processor, pairs)
    expected, found = gradients(model, batch, None, True)[1], gradients(model, batch, 3, True)[1]
    size = torch.cat([gradient.flatten() for gradient in expected.values()]).norm()
    off = torch.cat([(found[name] - gradient).flatten() for name, gradient in expected.items()]).norm()
    assert off / size < 0.02  # sums over rows are of bfloat16


@pytest.mark.parametrize("rows", [1, 3, 5, 7, 9])
def test_dropout_of_the_second_pass_is_that_of_the_first(rows):
    torch.manual_seed(0)
    layer, inputs = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2)), torch.randn(7, 4)
    torch.manual_seed(1)
    (whole,) = torch.autograd.grad(torch.cat([layer(part) for part in inputs.split(rows)]).sum(), layer[0].weight)
    torch.manual_seed(1)
    (chunked,) = torch.autograd.grad(in_chunks(layer, rows, inputs).sum(), layer[0].weight)
    assert torch.equal(whole, chunked)


def test_what_autograd_keeps_does_not_grow_with_the_layers():
    def kept(rows, depth):
        sizes = []
        layer = nn.Sequential(*(each for _ in range(depth) for each in (nn.Linear(32, 32), nn.Tanh())))
        with torch.autograd.graph.saved_tensors_hooks(lambda each: sizes.append(len(each)) or each, lambda each: each):
            in_chunks(layer, rows, torch.randn(64, 32)).sum()
        return sizes.count(64) + sizes.count(4) / 16  # rows; weights have 32

    assert kept(None, 8) > kept(None, 2) > 1
    assert kept(4, 8) == kept(4, 2) <= 1


def test_a_pass_without_gradient_is_in_chunks_too():
    sizes = []
    with torch.no_grad():
        in_chunks(lambda rows, none: sizes.append(len(rows)) or rows, 3, torch.zeros(7, 2), None)
    assert sizes == [3, 3, 1]


def test_with_gradient_checkpointing(clip_config, processor, pairs):
    model, _ = make(*METHODS["npc"], clip_config)
    batch = make_batch(processor, pairs)
    expected = gradients(model, batch, None)[1]
    model.gradient_checkpointing_enable({"use_reentrant": False})
    for name, gradient in gradients(model, batch, 3)[1].items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4, msg=name)


def test_a_model_of_vectors_has_no_chunks():
    model = MRLModel(MRLConfig(class_names=["a", "b"], feature_widths={"image": 3, "text": 2}, head_width=4))
    model.embed_in_chunks(None)
    with pytest.raises(InputError, match="leave --grad_cache_chunk out"):
        model.embed_in_chunks(3)
