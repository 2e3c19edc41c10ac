"""A model from a name: precision, and fields."""

import dataclasses
import shutil

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from hf_noisy_itm import InputError
from hf_noisy_itm.loading import ASSETS, load_model
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, FNEConfig, FNEModel, NPCConfig, NPCModel

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
    with pytest.raises(InputError, match="NPCConfig has no field 'clean_treshold' .did you mean 'clean_threshold'"):
        load_model("scenes-clip", "npc", {"clean_treshold": 0.5})


@pytest.mark.parametrize("name", ["a..b", "a--b", "a b", "user/re..po", "-x", "x/y/z", "a/b.git", "~/x"])
def test_what_no_model_can_be_called_is_said_so(name):
    with pytest.raises(InputError, match=rf"There is no folder {name}, and no model on the Hub can have such a name"):
        load_model(name)


def test_a_folder_may_be_called_what_no_repository_can(tmp_path, monkeypatch):
    shutil.copytree(SCENES, tmp_path / "a..b")
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_model("a..b")[0], BaselineModel)


@pytest.mark.parametrize("name", ["", " ", "none"])
def test_no_name_is_no_model(name):
    with pytest.raises(InputError, match=f"There is no model '{name}' to load"):
        load_model(name)


def test_a_file_is_no_folder():
    with pytest.raises(InputError, match=r"model.safetensors is a file, not a model's folder: recipes/convert.py"):
        load_model(str(SCENES / "model.safetensors"))


def saved(folder, **fields):
    model, processor = load_model("scenes-clip", "npc", fields)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


RELEASED = {"variant": "released", "same_image": "negative", "virtual_optimizer": "adamw_own_state"}


@pytest.mark.parametrize(
    ("stored", "given", "expected"),
    [
        ({"virtual_blocks": 1}, {"virtual_step": "pair"}, {"virtual_step": "pair", "virtual_blocks": None}),
        ({"virtual_step": "pair"}, {"virtual_blocks": 1}, {"virtual_step": "batch", "virtual_blocks": 1}),
        (RELEASED, {"bank_share": 0.5}, {**RELEASED, "variant": "paper", "bank_share": 0.5}),
        ({"virtual_step": "pair", "bank_seed": 3}, RELEASED, {**RELEASED, "virtual_step": "batch", "bank_seed": 0}),
        ({"virtual_blocks": 1, "bank_seed": 3}, {"virtual_blocks": None}, {"virtual_blocks": None, "bank_seed": 3}),
    ],
)
def test_what_a_checkpoint_says_gives_way_to_what_is_given(tmp_path, stored, given, expected):
    folder = saved(tmp_path, **stored)
    for model in (load_model(folder, "npc", given)[0], NPCModel.from_pretrained(folder, **given)):
        assert {name: getattr(model.config, name) for name in expected} == expected


def test_what_goes_with_no_default_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"variant='released' does not go with same_image='mask', virtual_optimizer="):
        load_model(saved(tmp_path), "npc", {"variant": "released"})
    with pytest.raises(InputError, match=r"'pair' \(given\) does not go with virtual_blocks=1 \(given\)"):
        load_model(str(tmp_path), "npc", {"virtual_step": "pair", "virtual_blocks": 1})


@pytest.fixture
def kept(clip_config, processor, tmp_path):
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


def test_another_variant_starts_from_its_own_numbers(kept):
    """What the checkpoint's variant had was nobody's choice, nor what was chosen for it."""
    folder = kept(FNEModel, FNEConfig, queue_size=40, min_right_pairs=4)
    for model in (
        load_model(folder, "fne", {"variant": "released", "margin": 0.3})[0],
        FNEModel.from_pretrained(folder, variant="released", margin=0.3),
    ):
        assert numbers(model.config, FNEConfig) == numbers(FNEConfig(variant="released", margin=0.3), FNEConfig)
        assert len(model.queue) == 8224
        assert model.queue.is_empty.all()
        assert model.match_moments.at_least == 200
    npc = kept(NPCModel, NPCConfig, virtual_step="pair", bank_share=0.5)
    released = {"variant": "released", "same_image": "negative", "virtual_optimizer": "adamw_own_state"}
    assert load_model(npc, "npc", released)[0].config.virtual_step == "batch"


def test_the_same_variant_keeps_its_numbers(kept):
    folder = kept(FNEModel, FNEConfig, queue_size=40, min_right_pairs=4)
    for fields in ({}, {"variant": "clip"}, {"margin": 1.0}):
        config = load_model(folder, None, fields)[0].config
        assert (config.queue_size, config.min_right_pairs) == (40, 4)
        assert config.margin == fields.get("margin", 3.0)


def test_fields_of_another_method_do_not_leak(kept):
    folder = kept(BaselineModel, BaselineConfig, negatives="fne", match_prior=0.2, monotone=False)
    assert load_model(folder)[0].config.match_prior == 0.2
    for method, cls in (("fne", FNEConfig), ("npc", NPCConfig)):
        assert numbers(load_model(folder, method)[0].config, cls) == numbers(cls(), cls)


def test_stored_fields_that_lose_their_effect_are_no_mistake(kept):
    folder = kept(BaselineModel, BaselineConfig, negatives="fne", match_prior=0.2, moments="per_epoch")
    assert numbers(load_model(folder, None, {"negatives": "all"})[0].config, BaselineConfig) == numbers(
        BaselineConfig(), BaselineConfig
    )
    folder = kept(FNEModel, FNEConfig, queue_size=40, margin=1.0)
    config = load_model(folder, None, {"loss": "infonce"})[0].config
    assert (config.queue_size, config.margin) == (40, 3.0)
    with pytest.raises(InputError, match=r"there is no use for margin=1.0 \(given\)"):
        load_model(folder, None, {"loss": "infonce", "margin": 1.0})
