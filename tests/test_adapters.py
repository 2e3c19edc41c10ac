"""LoRA: adapters train, everything else of CLIP stays, a plain CLIP is published, and resuming is exact."""

import json

import pytest
import torch
from peft import PeftModel
from transformers import CLIPModel

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.adapters import add_lora, merged_state
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, MRLConfig, MRLModel

from .methods.table import METHODS
from .methods.test_contract import make, make_batch

NAMES = ["baseline", "npc-pair", "npc-blocks", "fne", "coder", "mrl-trained", "osa"]


def trainer_of(name, folder, clip_config, processor, pairs, **more):
    cls, config_cls, fields = METHODS[name]
    model, _ = make(cls, config_cls, fields, clip_config)
    more = {"max_steps": 4, "save_strategy": "no", "lora_r": 4, "lora_dropout": 0.1, **more}
    args = NoisyITMArguments(
        output_dir=str(folder), per_device_train_batch_size=24, learning_rate=1e-2, report_to="none", use_cpu=True,
        disable_tqdm=True, **more,
    )  # fmt: skip
    return NoisyITMTrainer(model, args, pairs, pairs, processor)


@pytest.mark.parametrize("name", NAMES)
def test_adapters_train_and_a_plain_clip_is_published(name, clip_config, processor, pairs, tmp_path):
    trainer = trainer_of(name, tmp_path, clip_config, processor, pairs)
    before = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}
    trainer.train()
    trainer.save_model(str(tmp_path))
    moved = {key for key, tensor in trainer.model.named_parameters() if not torch.equal(tensor, before[key])}
    of_clip = {key for key in moved if key.startswith("clip.")}
    assert any(".lora_B." in key for key in of_clip)
    assert all(".lora_" in key or key == "clip.logit_scale" for key in of_clip)
    trained = {key for key, p in trainer.model.named_parameters() if p.requires_grad}
    assert {key for key in trained if not key.startswith("clip.")} <= moved | {"coupled.branch.log_scale"}
    pixels = make_batch(processor, pairs)["pixel_values"]
    with torch.no_grad():
        expected = trainer.model.eval().clip.get_image_features(pixel_values=pixels).pooler_output
        published = CLIPModel.from_pretrained(tmp_path)
        found = published.get_image_features(pixel_values=pixels).pooler_output
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_adapter_alone_is_read_by_peft(clip_config, processor, pairs, tmp_path):
    trainer = trainer_of("baseline", tmp_path / "run", clip_config, processor, pairs)
    base = BaselineModel.from_pretrained(None, config=trainer.model.config, state_dict=merged_state(trainer.model))
    base.clip.save_pretrained(tmp_path / "base")  # adapters start as nothing
    trainer.train()
    trainer.save_model()
    adapted = PeftModel.from_pretrained(CLIPModel.from_pretrained(tmp_path / "base"), tmp_path / "run" / "adapter")
    pixels = make_batch(processor, pairs)["pixel_values"]
    with torch.no_grad():
        found = adapted.get_image_features(pixel_values=pixels).pooler_output
        expected = CLIPModel.from_pretrained(tmp_path / "run").get_image_features(pixel_values=pixels).pooler_output
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    size = (tmp_path / "run" / "adapter" / "adapter_model.safetensors").stat().st_size
    assert size < (tmp_path / "run" / "model.safetensors").stat().st_size / 4
    assert json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())["r"] == 4


def test_a_later_training_in_the_folder_leaves_no_adapter_and_no_figures_of_the_earlier(
    clip_config, processor, pairs, tmp_path
):
    trainer_of("baseline", tmp_path, clip_config, processor, pairs).save_model()
    (tmp_path / "metrics.json").write_text("{}")
    assert (tmp_path / "adapter").is_dir()
    trainer = trainer_of("baseline", tmp_path, clip_config, processor, pairs, lora_r=0, lora_dropout=0.0)
    assert (tmp_path / "metrics.json").is_file()  # as long as the weights are those of the figures
    trainer.save_model()
    assert not (tmp_path / "adapter").exists()
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("name", ["npc-pair", "fne"])
def test_adapters_resume_exactly(name, clip_config, processor, pairs, tmp_path):
    whole = trainer_of(name, tmp_path / "whole", clip_config, processor, pairs, save_strategy="steps", save_steps=2)
    whole.train()
    again = trainer_of(name, tmp_path / "again", clip_config, processor, pairs)
    checkpoint = str(tmp_path / "whole" / "checkpoint-2")
    again.train(resume_from_checkpoint=checkpoint)
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], tensor), key
    with pytest.raises(InputError, match="a checkpoint with adapters, .* name its output_dir, or go on"):
        load_model(checkpoint)


def test_a_twin_shares_what_is_frozen(clip_config, processor, pairs, tmp_path):
    model = trainer_of("fne", tmp_path, clip_config, processor, pairs).model
    twin, own = dict(model.twin.named_parameters()), dict(model.clip.named_parameters())
    assert {key for key in twin if twin[key] is not own[key]} == {key for key in twin if ".lora_" in key}


def test_what_adapters_cannot_stand_beside_is_refused(clip_config, tmp_path):
    vectors = MRLModel(MRLConfig(class_names=["a", "b"], feature_widths={"image": 3, "text": 2}, head_width=4))
    with pytest.raises(InputError, match="no towers for adapters: leave --lora_r out"):
        add_lora(vectors, 4, 8, 0.0)
    frozen, _ = make(*METHODS["mrl"], clip_config)
    with pytest.raises(InputError, match="MRLModel does not train its CLIP"):
        add_lora(frozen, 4, 8, 0.0)
    model, _ = make(BaselineModel, BaselineConfig, {}, clip_config)
    add_lora(model, 4, 8, 0.0)
    with pytest.raises(InputError, match="adapters already"):
        add_lora(model, 4, 8, 0.0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"lora_r": -1}, "lora_r must be at least 0, got -1"),
        ({"lora_r": 4, "lora_alpha": 0.0}, "lora_alpha must be above 0, got 0.0"),
        ({"lora_r": 4, "lora_dropout": 1.0}, "lora_dropout must be at least 0 and below 1, got 1.0"),
        ({"lora_dropout": 0.1}, "there are none: give --lora_r too"),
    ],
)
def test_wrong_words_of_adapters_are_refused(words, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        NoisyITMArguments(output_dir=str(tmp_path), use_cpu=True, **words)
