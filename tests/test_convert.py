"""OpenAI's format against a naive forward pass on it (`openai_clip.py`), and back."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from hf_noisy_itm import InputError
from hf_noisy_itm.convert import from_openai, to_openai
from hf_noisy_itm.openai_file import read_openai

from . import openai_clip

RECORDING = Path(__file__).parent / "fixtures" / "npc_reference.safetensors"
TEXT = "transformer.resblocks.1."
IMAGE = "visual.transformer.resblocks.0."


@pytest.fixture(scope="module")
def recorded():
    return load_file(RECORDING)


@pytest.fixture
def weights(recorded):
    """A trained tiny CLIP: none of its tensors is zero, or one, throughout."""
    return {key.removeprefix("final."): value.clone() for key, value in recorded.items() if key.startswith("final.")}


def model_of(weights):
    config, state = from_openai(weights)
    model = CLIPModel(config).eval()
    model.load_state_dict(state)
    return model


def larger(seed=0):
    """Two heads and three layers for captions, three heads and one layer for pictures of one channel."""
    shape = {"hidden_act": "quick_gelu", "projection_dim": 24}
    text = {"hidden_size": 128, "num_attention_heads": 2, "num_hidden_layers": 3, "intermediate_size": 96}
    image = {"hidden_size": 192, "num_attention_heads": 3, "num_hidden_layers": 1, "intermediate_size": 320}
    tokens = {
        "vocab_size": 40,
        "max_position_embeddings": 9,
        "bos_token_id": 38,
        "eos_token_id": 39,
        "pad_token_id": 0,
    }
    pixels = {"image_size": 12, "patch_size": 4, "num_channels": 1}
    config = CLIPConfig(
        text_config={**shape, **text, **tokens}, vision_config={**shape, **image, **pixels}, projection_dim=24
    )
    torch.manual_seed(seed)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def check_embeds(model, weights, pixels, ids):
    with torch.no_grad():
        output = model(pixel_values=pixels, input_ids=ids)
        torch.testing.assert_close(
            output.image_embeds, openai_clip.embed_images(weights, pixels), rtol=1e-4, atol=1e-6
        )
        torch.testing.assert_close(output.text_embeds, openai_clip.embed_texts(weights, ids), rtol=1e-4, atol=1e-6)


def test_embeddings_are_those_of_a_naive_forward_pass(weights, recorded):
    check_embeds(model_of(weights), weights, recorded["step1.images"], recorded["step1.input_ids"])


def test_every_size_is_read_from_the_shapes():
    model = larger()
    weights = to_openai(model.config, model.state_dict())
    config, state = from_openai(weights)
    for tower in ("text_config", "vision_config"):
        got, wanted = getattr(config, tower).to_dict(), getattr(model.config, tower).to_dict()
        assert got == wanted
    assert config.projection_dim == 24
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 38, (5, 9), generator=generator)
    ids[torch.arange(5), torch.tensor([8, 3, 5, 1, 8])] = 39  # what stands behind the mark must not matter
    check_embeds(model_of(weights), weights, torch.randn(3, 1, 12, 12, generator=generator), ids[:3])
    check_embeds(model_of(weights), weights, torch.randn(5, 1, 12, 12, generator=generator), ids)


def test_the_recorded_losses(recorded):
    """Of the untouched model on the first batch and its entries; the official code measured them."""
    weights = {key.removeprefix("init."): value for key, value in recorded.items() if key.startswith("init.")}
    model = model_of(weights)
    for name in ("bankI", "bankT"):
        with torch.no_grad():
            output = model(
                pixel_values=recorded[f"step0.{name}_images"], input_ids=recorded[f"step0.{name}_input_ids"]
            )
        own = torch.arange(8)
        losses = [
            torch.nn.functional.cross_entropy(logits, own, reduction="none")
            for logits in (output.logits_per_image, output.logits_per_text)
        ]
        torch.testing.assert_close(sum(losses) / 2, recorded[f"step0.{name}_loss_before"], rtol=1e-5, atol=0)
    for losses, name in zip(
        openai_clip.losses(weights, recorded["step0.images"], recorded["step0.input_ids"]), ("i2t", "t2i")
    ):
        torch.testing.assert_close(losses.mean(), recorded[f"step0.batch_{name}"], rtol=1e-5, atol=0)


def test_back_is_the_inverse_and_neither_changes_what_it_was_given(weights):
    copies = {name: tensor.clone() for name, tensor in weights.items()}
    config, state = from_openai(weights)
    back = to_openai(config, state)
    for tensor in (*state.values(), *back.values()):
        assert tensor.is_contiguous()
    with torch.no_grad():
        for tensor in back.values():
            tensor.add_(1)
    assert back.keys() == weights.keys()
    for name, tensor in copies.items():
        assert torch.equal(weights[name], tensor), name
        assert torch.equal(back[name], tensor + 1), name


def test_half_precision_becomes_float32(weights):
    half = {name: tensor.half() for name, tensor in weights.items()}
    state = from_openai(half)[1]
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert torch.equal(state["visual_projection.weight"], half["visual.proj"].float().T)


def test_numbers_beside_the_weights_are_no_weights(weights):
    numbers = {
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(16),
        "vocab_size": torch.tensor(100),
    }
    assert from_openai({**weights, **numbers})[1].keys() == from_openai(weights)[1].keys()


def without(*names):
    return lambda weights: [weights.pop(name) for name in names]


def cut(name):
    return lambda weights: weights.update({name: weights[name][:-1]})


def reshaped(name, *shape):
    return lambda weights: weights.update({name: torch.ones(shape)})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without("visual.proj"), r"lacks 1 of 62 tensors, visual\.proj for one"),
        (
            without(f"{TEXT}ln_2.bias", f"{IMAGE}attn.in_proj_weight"),
            r"lacks 2 of 62 tensors, transformer\.resblocks\.1",
        ),
        (
            without("token_embedding.weight"),
            r"token_embedding\.weight is missing: this is no state dict in the format",
        ),
        (without("visual.conv1.weight"), r"visual\.conv1\.weight is missing"),
        (without(f"{IMAGE}mlp.c_fc.weight"), r"visual\.transformer\.resblocks\.0\.mlp\.c_fc\.weight is missing"),
        (cut(f"{TEXT}mlp.c_proj.weight"), r"1\.mlp\.c_proj\.weight has shape \(63, 256\).* must be \(64, 256\)"),
        (cut(f"{IMAGE}attn.in_proj_bias"), r"0\.attn\.in_proj_bias has shape \(191,\).* must be \(192,\)"),
        (cut("visual.positional_embedding"), r"has 16 rows, which is not one more than a square"),
        (cut("visual.class_embedding"), r"visual\.class_embedding has shape \(63,\)"),
        (
            lambda weights: weights.update({"text_projection": torch.ones(64)}),
            r"text_projection .*must have 2 dimensions",
        ),
        (lambda weights: weights.update({"head.weight": torch.ones(1)}), r"holds head\.weight, which a CLIP"),
        (
            lambda weights: weights.update({"visual.layer1.0.conv1.weight": torch.ones(1)}),
            "ResNet.* of the ViT family",
        ),
        (reshaped("visual.positional_embedding", 0, 64), r"visual\.positional_embedding .*\(0, 64\): it is empty"),
        (reshaped("visual.positional_embedding", 1, 64), r"has 1 rows, which is not one more than a square"),
        (reshaped("visual.conv1.weight", 0, 3, 8, 8), r"visual\.conv1\.weight .*\(0, 3, 8, 8\): it is empty"),
        (reshaped("visual.conv1.weight", 64, 3, 0, 0), r"visual\.conv1\.weight .*\(64, 3, 0, 0\): it is empty"),
        (reshaped("token_embedding.weight", 100, 0), r"token_embedding\.weight .*\(100, 0\): it is empty"),
        (reshaped("token_embedding.weight", 1, 64), "has 1 row, and a caption's marks of beginning and end need two"),
        (reshaped("text_projection", 64, 0), r"text_projection .*\(64, 0\): it is empty"),
        (reshaped(f"{TEXT}mlp.c_fc.weight".replace("1", "0"), 0, 64), "c_fc.weight .*: it is empty"),
        (
            lambda weights: weights.update({"transformer.resblocks.99999999999.ln_1.bias": torch.ones(64)}),
            "has 3 layers of transformer, and lacks number 2 of them",
        ),
        (lambda weights: weights.update({0: torch.ones(1)}), "The state dict holds other things than tensors by name"),
        (lambda weights: weights.update({"a": 1.0}), "The state dict holds other things than tensors by name"),
        (
            lambda weights: weights.update({"token_embedding.weight": torch.ones(100, 80)}),
            "width of transformer is 80, and must be a multiple of 64",
        ),
    ],
)
def test_what_is_wrong_is_named(weights, spoil, sentence):
    spoil(weights)
    with pytest.raises(InputError, match=sentence):
        from_openai(weights)


def test_another_architecture_has_no_such_format(weights):
    config, state = from_openai(weights)
    with pytest.raises(InputError, match=r"lacks 1 tensors, logit_scale for one"):
        to_openai(config, {name: tensor for name, tensor in state.items() if name != "logit_scale"})
    config.vision_config.num_attention_heads = 2
    with pytest.raises(InputError, match="quick_gelu and 2 heads for a width of 64"):
        to_openai(config, state)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        (lambda each: each.to_sparse(), "torch.sparse_coo, torch.float32"),
        (lambda each: each.to(torch.int64), "torch.strided, torch.int64"),
        (lambda each: each.to(torch.complex64), "torch.strided, torch.complex64"),
        (lambda each: each.to(torch.float8_e4m3fn), "torch.strided, torch.float8_e4m3fn"),
        (lambda each: each.to("meta"), "without content"),
    ],
)
def test_what_is_no_dense_floating_tensor_is_named(weights, changed, kind):
    weights["visual.proj"] = changed(weights["visual.proj"])
    with pytest.raises(InputError, match=f"visual.proj is {kind}, where a dense tensor of 16, 32 or 64 floating bits"):
        from_openai(weights)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation")
@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        (lambda each: each.to_sparse(), "a sparse tensor"),
        (lambda each: torch.quantize_per_tensor(each, 0.1, 0, torch.qint8), "a quantised tensor"),
        (lambda each: each.to(torch.complex64), "a tensor of complex numbers"),
        (lambda each: each.to(torch.float8_e4m3fn), "a tensor of a rare kind of numbers"),
        (lambda each: each.to("meta"), "a tensor without content"),
    ],
)
def test_a_file_with_other_tensors_is_refused_by_their_kind(weights, tmp_path, changed, kind):
    torch.save({**weights, "visual.proj": changed(weights["visual.proj"])}, tmp_path / "x.pt")
    with pytest.raises(InputError, match=f"x.pt holds {kind}: save dense tensors of floating point"):
        read_openai(tmp_path / "x.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(weights, dtype):
    state = from_openai({name: each.to(dtype) for name, each in weights.items()})[1]
    assert {each.dtype for each in state.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["clip.safetensors", "CLIP.SAFETENSORS", "CLIP.PT", "clip.Pth"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module._orig_mod."])
def test_suffixes_of_any_case_and_names_of_wrapped_models_are_read(weights, tmp_path, name, prefix):
    content = {prefix + key: each for key, each in weights.items()}
    (save_file if name.lower().endswith(".safetensors") else torch.save)(content, tmp_path / name)
    read = read_openai(tmp_path / name)
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[key], tensor) for key, tensor in weights.items())


@pytest.mark.filterwarnings("ignore:.*TorchScript archive")
def test_files_are_read_and_nothing_in_them_is_run(weights, tmp_path):
    save_file(weights, tmp_path / "clip.safetensors")
    torch.save(weights, tmp_path / "clip.pt")
    for name in ("clip.safetensors", "clip.pt"):
        read = read_openai(tmp_path / name)
        assert all(torch.equal(read[key], tensor) for key, tensor in weights.items())
    parallel = {f"module.{name}": tensor for name, tensor in weights.items()}
    for content in (weights, parallel):
        torch.save({"epoch": 3, "model": content, "optimizer": {"state": {0: {"step": 1}}}}, tmp_path / "training.pt")
        read = read_openai(tmp_path / "training.pt")
        assert read.keys() == weights.keys()
        assert all(torch.equal(read[key], tensor) for key, tensor in weights.items())
    torch.save({"epoch": 3, "model": weights, "teacher": parallel}, tmp_path / "two.pt")
    torch.save({0: torch.ones(1)}, tmp_path / "numbered.pt")
    for name in ("two.pt", "numbered.pt"):
        with pytest.raises(InputError, match=rf"{name} holds other things than tensors"):
            read_openai(tmp_path / name)
    torch.save(torch.nn.Linear(1, 1), tmp_path / "whole.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "script.pt")
    (tmp_path / "broken.pt").write_bytes(b"")
    for name in ("whole.pt", "script.pt", "broken.pt"):
        with pytest.raises(InputError, match=rf"{name} holds no plain state dict.*Save the model's state_dict"):
            read_openai(tmp_path / name)
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    for name in ("broken.safetensors", "gone.safetensors", "gone.pt"):
        with pytest.raises(InputError, match=rf"{name} cannot be read"):
            read_openai(tmp_path / name)
