"""A model from a name: precision, and fields."""

import shutil

import pytest
import torch
from transformers import CLIPModel

from hf_noisy_itm import InputError
from hf_noisy_itm.loading import ASSETS, load_model
from hf_noisy_itm.methods import NPCModel

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
        ({"virtual_step": "pair", "bank_seed": 3}, RELEASED, {**RELEASED, "virtual_step": "batch", "bank_seed": 3}),
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
