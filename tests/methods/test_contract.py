"""What every method must do."""

import copy

import pytest
import torch
from transformers import AutoModel, CLIPModel

from hf_noisy_itm.data import PairCollator
from hf_noisy_itm.exchange import Exchange
from hf_noisy_itm.memory.bank import MemoryBank
from hf_noisy_itm.memory.trust import TrustScores

from .table import METHODS

of_every_method = pytest.mark.parametrize(("cls", "config_cls", "fields"), METHODS.values(), ids=METHODS)


def make(cls, config_cls, fields, clip_config, seed=0):
    torch.manual_seed(seed)
    plain = {key: value for key, value in clip_config.to_dict().items() if key not in ("model_type", "architectures")}
    model = cls(config_cls(**plain, **fields))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.attach(Exchange(), optimizer)
    return model.train(), optimizer


def make_batch(processor, pairs, rows=range(0, 40, 5), entries=True):
    collator = PairCollator(processor, pairs)
    if entries:
        shifted = torch.arange(len(pairs)).roll(5)
        collator.entries = {"image": torch.arange(len(pairs)).numpy(), "text": shifted.numpy()}
    batch = collator([pairs[row] for row in rows])
    return {**batch, "scores": known_of(batch["index"])}


def known_of(index):
    """What a trainer knows of pairs of which a scorer has seen some to be right."""
    rng = torch.Generator().manual_seed(1)
    levels = {"wrong": 0.1, "confident": 0.6, "noise": 0.0}
    scores = TrustScores(torch.rand(1000, generator=rng) - 0.2, levels, 14.0)
    return {**scores.of(index), "last_weight": torch.ones(len(index))}


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_state(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@of_every_method
def test_forward_writes_nothing(cls, config_cls, fields, clip_config, processor, pairs):
    model, optimizer = make(cls, config_cls, fields, clip_config)
    batch = make_batch(processor, pairs)
    before, rng = state(model), torch.get_rng_state()
    model(**batch)
    assert same_state(before, state(model))
    assert not optimizer.state
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(rng, torch.get_rng_state())


@of_every_method
def test_a_new_run_forgets_and_keeps_what_was_learnt(cls, config_cls, fields, clip_config):
    model, _ = make(cls, config_cls, fields, clip_config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    learnt = {name: value.clone() for name, value in model.named_parameters() if value.requires_grad}
    model.begin_run()
    for name, value in model.named_parameters():
        assert not value.requires_grad or torch.equal(value, learnt[name]), name


@of_every_method
def test_one_loss_and_one_weight_per_pair(cls, config_cls, fields, clip_config, processor, pairs):
    model, _ = make(cls, config_cls, fields, clip_config)
    output = model(**make_batch(processor, pairs))
    assert output.loss.shape == ()
    assert output.loss_per_pair.shape == (8,)
    assert torch.isfinite(output.loss)
    if output.weight_per_pair is not None:
        assert output.weight_per_pair.shape == (8,)
        assert ((output.weight_per_pair >= 0) & (output.weight_per_pair <= 1)).all()
        assert not output.weight_per_pair.requires_grad
    torch.testing.assert_close(output.image_embeds.norm(dim=1), torch.ones(8))


@of_every_method
def test_every_parameter_gets_a_gradient(cls, config_cls, fields, clip_config, processor, pairs):
    model, _ = make(cls, config_cls, fields, clip_config)
    model(**make_batch(processor, pairs)).loss.backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


@of_every_method
def test_permuting_pairs_permutes_losses(cls, config_cls, fields, clip_config, processor, pairs):
    model, _ = make(cls, config_cls, fields, clip_config)
    model.eval()
    rows = list(range(0, 40, 5))
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    losses = model(**make_batch(processor, pairs, rows)).loss_per_pair
    permuted = model(**make_batch(processor, pairs, [rows[i] for i in order])).loss_per_pair
    torch.testing.assert_close(permuted, losses[order])


@of_every_method
def test_the_temperature_is_bounded_after_a_step(cls, config_cls, fields, clip_config, processor, pairs):
    model, _ = make(cls, config_cls, fields, clip_config)
    with torch.no_grad():
        model.clip.logit_scale.fill_(9.0)
    model.step()
    assert model.clip.logit_scale.exp().item() == pytest.approx(100.0)


@of_every_method
def test_a_checkpoint_loads_three_ways_with_equal_embeddings(
    cls, config_cls, fields, clip_config, processor, pairs, tmp_path
):
    model, _ = make(cls, config_cls, fields, clip_config)
    model.save_pretrained(tmp_path)
    batch = make_batch(processor, pairs, entries=False)
    want = model.eval().clip(pixel_values=batch["pixel_values"], input_ids=batch["input_ids"])
    auto = AutoModel.from_pretrained(tmp_path)
    assert type(auto) is cls
    assert auto.config.to_dict() == cls.from_pretrained(tmp_path).config.to_dict()
    for loaded in (auto.clip, cls.from_pretrained(tmp_path).clip, CLIPModel.from_pretrained(tmp_path)):
        got = loaded.eval()(pixel_values=batch["pixel_values"], input_ids=batch["input_ids"])
        assert torch.equal(got.image_embeds, want.image_embeds)
        assert torch.equal(got.text_embeds, want.text_embeds)


@of_every_method
def test_a_plain_clip_checkpoint_is_taken(cls, config_cls, fields, clip_config, processor, pairs, tmp_path):
    torch.manual_seed(3)
    clip = CLIPModel(clip_config).eval()
    clip.save_pretrained(tmp_path)
    model = cls.from_pretrained(tmp_path, **fields).eval()
    assert model.config.model_type == config_cls.model_type
    pixels = make_batch(processor, pairs, entries=False)["pixel_values"]
    features = clip.get_image_features(pixel_values=pixels).pooler_output
    assert torch.equal(model.clip.get_image_features(pixel_values=pixels).pooler_output, features)
    if model.embeds_by_clip_alone:
        assert torch.equal(model.embed_images(pixels), torch.nn.functional.normalize(features, dim=-1))


@of_every_method
def test_saving_and_loading_keeps_the_next_loss(cls, config_cls, fields, clip_config, processor, pairs, tmp_path):
    model, optimizer = make(cls, config_cls, fields, clip_config)
    batch = make_batch(processor, pairs)
    for _ in range(2):
        output = model(**batch)
        output.loss.backward()
        model.remember(**(output.to_remember or {}))
        optimizer.step()
        optimizer.zero_grad()
        model.step()
    model.save_pretrained(tmp_path)
    loaded = cls.from_pretrained(tmp_path).train()
    loaded.resume_run(model.memory())
    addresses = [tensor.data_ptr() for tensor in (*loaded.parameters(), *loaded.buffers())]
    assert not any(address % 64 for address in addresses)  # else some processors round otherwise
    other = torch.optim.AdamW(loaded.parameters(), lr=1e-3)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    loaded.attach(Exchange(), other)
    assert torch.equal(loaded(**batch).loss, model(**batch).loss)


def test_a_bank_is_a_bank_of_the_data_it_was_built_for(tmp_path):
    bank = MemoryBank({"image": torch.arange(3), "text": torch.arange(3)}, {}, {"fingerprint": "a"})
    bank.save(tmp_path / "bank.safetensors")
    with pytest.raises(ValueError, match="built for other data"):
        MemoryBank.load(tmp_path / "bank.safetensors", "b")
