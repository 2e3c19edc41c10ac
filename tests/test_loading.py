"""A model from a name: precision, fields, and what a run may resume from."""

import dataclasses
import shutil

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from hf_noisy_itm import InputError
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.loading import ASSETS, load_model
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, FNEConfig, FNEModel, NPCConfig, NPCModel
from hf_noisy_itm.run import _resume

from .methods.test_contract import make

SCENES = ASSETS / "scenes-clip"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["baseline", "npc"])
def test_a_checkpoint_in_half_precision_is_trained_in_float32(tmp_path, dtype, method):
    folder = shutil.copytree(SCENES, tmp_path / "half")
    half = CLIPModel.from_pretrained(SCENES, dtype=dtype)
    half.save_pretrained(folder)
    model, _ = load_model(str(folder), method)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.clip.visual_projection.weight, half.visual_projection.weight.float())


def test_an_unknown_field_of_a_method_is_named():
    with pytest.raises(InputError, match="NPCConfig has no field 'clean_treshold'; did you mean 'clean_threshold'"):
        load_model("scenes-clip", "npc", {"clean_treshold": 0.5})


@pytest.mark.parametrize(
    "weights",
    ["model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors", "pytorch_model_fsdp_0/"],
)
def test_a_checkpoint_of_any_engine_may_be_resumed(tmp_path, weights):
    checkpoint = tmp_path / "checkpoint-3"
    checkpoint.mkdir()
    (checkpoint / "trainer_state.json").touch()
    recipe = parse_recipe(["--output_dir", str(tmp_path), "--resume_from_checkpoint", "true"])
    with pytest.raises(InputError, match=r"lacks model\.safetensors"):
        _resume(recipe)
    (checkpoint / weights).mkdir() if weights.endswith("/") else (checkpoint / weights).touch()
    assert _resume(recipe) == str(checkpoint)
    (checkpoint / "trainer_state.json").unlink()
    with pytest.raises(InputError, match=r"lacks trainer_state\.json"):
        _resume(recipe)


@pytest.fixture
def saved(clip_config, processor, tmp_path):
    """A folder with a checkpoint of a method, trained with these fields."""

    def save(cls, config_cls, **fields):
        make(cls, config_cls, fields, clip_config)[0].save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        return str(tmp_path)

    return save


def numbers(config, cls):
    return {field.name: getattr(config, field.name) for field in own_fields(cls)}


def own_fields(cls):
    return [field for field in dataclasses.fields(cls) if not hasattr(CLIPConfig, field.name)]


def test_another_variant_starts_from_its_own_numbers(saved):
    """What the checkpoint's variant had was nobody's choice, nor what was chosen for it."""
    folder = saved(FNEModel, FNEConfig, queue_size=40, min_right_pairs=4)
    for model in (
        load_model(folder, "fne", {"variant": "released", "margin": 0.3})[0],
        FNEModel.from_pretrained(folder, variant="released", margin=0.3),
    ):
        assert numbers(model.config, FNEConfig) == numbers(FNEConfig(variant="released", margin=0.3), FNEConfig)
        assert len(model.queue) == 8224
        assert model.queue.is_empty.all()
        assert model.match_moments.at_least == 200
    npc = saved(NPCModel, NPCConfig, virtual_step="pair", bank_share=0.5)
    released = {"variant": "released", "same_image": "negative", "virtual_optimizer": "adamw_own_state"}
    assert load_model(npc, "npc", released)[0].config.virtual_step == "batch"


def test_the_same_variant_keeps_its_numbers(saved):
    folder = saved(FNEModel, FNEConfig, queue_size=40, min_right_pairs=4)
    for fields in ({}, {"variant": "clip"}, {"margin": 1.0}):
        config = load_model(folder, None, fields)[0].config
        assert (config.queue_size, config.min_right_pairs) == (40, 4)
        assert config.margin == fields.get("margin", 3.0)


def test_fields_of_another_method_do_not_leak(saved):
    folder = saved(BaselineModel, BaselineConfig, negatives="fne", match_prior=0.2, monotone=False)
    assert load_model(folder)[0].config.match_prior == 0.2
    for method, cls in (("fne", FNEConfig), ("npc", NPCConfig)):
        assert numbers(load_model(folder, method)[0].config, cls) == numbers(cls(), cls)


def test_stored_fields_that_lose_their_effect_are_no_mistake(saved):
    folder = saved(BaselineModel, BaselineConfig, negatives="fne", match_prior=0.2, moments="per_epoch")
    assert numbers(load_model(folder, None, {"negatives": "all"})[0].config, BaselineConfig) == numbers(
        BaselineConfig(), BaselineConfig
    )
    folder = saved(FNEModel, FNEConfig, queue_size=40, margin=1.0)
    config = load_model(folder, None, {"loss": "infonce"})[0].config
    assert (config.queue_size, config.margin) == (40, 3.0)
    with pytest.raises(InputError, match="margin has no effect without loss='triplet'"):
        load_model(folder, None, {"loss": "infonce", "margin": 1.0})


def test_a_memory_of_another_size_starts_anew_and_weights_of_another_shape_do_not(saved):
    folder = saved(FNEModel, FNEConfig, queue_size=40)
    model = FNEModel.from_pretrained(folder)
    model.queue.push(torch.ones(3, 32), torch.ones(3, 32), torch.arange(3), torch.arange(3))
    model.save_pretrained(folder)
    assert load_model(folder)[0].queue.filled == 3
    queue = load_model(folder, "fne", {"queue_size": 50})[0].queue
    assert (len(queue), queue.filled, queue.pointer) == (50, 0, 0)
    assert not queue.image_keys.any()
    with pytest.raises(InputError, match=r"clip\.text_projection\.weight is of the shape .*32, 32.*7, 32"):
        load_model(folder, "fne", {"projection_dim": 7})
