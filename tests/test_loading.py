"""A model from a name: precision, fields, and what a run may resume from."""

import shutil

import pytest
import torch
from transformers import CLIPModel

from hf_noisy_itm import InputError
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.loading import ASSETS, load_model
from hf_noisy_itm.run import _resume

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
