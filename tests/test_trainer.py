import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.data.pedigree import pedigree_of
from hf_noisy_itm.functional.noise import draw_noise
from hf_noisy_itm.functional.retrieval import recall
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, NPCConfig, NPCModel
from hf_noisy_itm.trainer import BANK_FILE, WEIGHTS_FILE

from .methods.test_contract import make

METHODS = [
    pytest.param(BaselineModel, BaselineConfig, {}, id="baseline"),
    pytest.param(NPCModel, NPCConfig, {"clean_threshold": 0.5, "bank_refresh_epochs": 1}, id="npc"),
]


def make_trainer(cls, config_cls, fields, clip_config, processor, pairs, folder, **arguments):
    model, _ = make(cls, config_cls, fields, clip_config)
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 16,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 5,
        **arguments,
    }
    return NoisyITMTrainer(model, NoisyITMArguments(**settings), pairs, pairs, processor)


def losses_of(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(("cls", "config_cls", "fields"), METHODS)
@pytest.mark.parametrize(
    ("save_steps", "accumulation"), [(4, 1), (7, 1), (2, 2)], ids=["within", "border", "accumulated"]
)
def test_a_resumed_run_is_bit_for_bit_the_undisturbed_one(
    cls, config_cls, fields, clip_config, processor, pairs, tmp_path, save_steps, accumulation
):
    """120 pairs in batches of 16: seven steps an epoch, so 4 lies within the first and 7 on its border."""
    common = {"max_steps": 10 // accumulation, "gradient_accumulation_steps": accumulation}
    saving = {"save_strategy": "steps", "save_steps": save_steps}
    whole = make_trainer(
        cls, config_cls, fields, clip_config, processor, pairs, tmp_path / "whole", **common, **saving
    )
    whole.train()
    resumed = make_trainer(cls, config_cls, fields, clip_config, processor, pairs, tmp_path / "resumed", **common)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{save_steps}"))
    assert losses_of(resumed) == losses_of(whole)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert torch.equal(whole.pair_weights.total, resumed.pair_weights.total)
    if whole.bank is not None:
        assert all(torch.equal(rows, resumed.bank.entries[name]) for name, rows in whole.bank.entries.items())


def test_a_picture_cache_changes_no_step_and_no_figure(clip_config, processor, pairs, tmp_path, monkeypatch):
    cache = {"picture_cache": str(tmp_path / "cache")}
    runs = []
    for run, more in enumerate(({}, cache, cache)):
        if run == 2:  # everything is there already
            monkeypatch.setattr(type(pairs), "picture", None)
        trainer = make_trainer(
            NPCModel, NPCConfig, METHODS[1].values[2], clip_config, processor, pairs, tmp_path, max_steps=3, **more
        )
        trainer.train()
        figures = {name: value for name, value in trainer.evaluate().items() if "runtime" not in name}
        runs.append((losses_of(trainer), figures))
    assert runs[0] == runs[1] == runs[2]
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 24


def test_training_lowers_the_loss_and_evaluation_is_recall(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path, max_steps=25, eval_strategy="no"
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    losses = losses_of(trainer)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert after["eval_rsum"] > before["eval_rsum"] + 20
    with torch.no_grad():
        collator = trainer.data_collator
        images = trainer.model.embed_images(collator.images(range(24)))
        texts = trainer.model.embed_texts(**collator.texts(pairs.captions))
    direct = recall(images, texts, torch.from_numpy(pairs.image_row))
    assert after["eval_i2t_r@1"] == pytest.approx(direct["i2t_r@1"])
    assert trainer.model.training  # evaluation gives the mode back


def test_best_model_is_chosen_by_rsum(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        BaselineModel,
        BaselineConfig,
        {},
        clip_config,
        processor,
        pairs,
        tmp_path,
        max_steps=4,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_rsum",
    )
    trainer.train()
    assert trainer.state.best_metric == max(e["eval_rsum"] for e in trainer.state.log_history if "eval_rsum" in e)


def test_training_stops_early_by_rsum(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path,
        max_steps=20, learning_rate=0.0, eval_strategy="steps", eval_steps=2, save_strategy="steps", save_steps=2,
        load_best_model_at_end=True, metric_for_best_model="eval_rsum",
    )  # fmt: skip
    trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=2))
    trainer.train()
    assert trainer.state.global_step == 6  # the first evaluation is the best, then two without a gain


def test_npc_logs_weights_and_leaves_bank_and_ledger(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        NPCModel, NPCConfig, {"clean_threshold": 0.5}, clip_config, processor, pairs, tmp_path, max_steps=3
    )
    trainer.train()
    logged = [entry["weight_mean"] for entry in trainer.state.log_history if "weight_mean" in entry]
    assert len(logged) == 3
    assert all(0 < value <= 1 for value in logged)
    trainer.save_model(str(tmp_path))
    assert int(load_file(tmp_path / WEIGHTS_FILE)["count"].sum()) == 3 * 16
    assert (tmp_path / BANK_FILE).exists()
    assert not (tmp_path / "training_args.bin").exists()


def test_what_is_to_be_remembered_arrives_once_per_micro_batch_after_backward(
    clip_config, processor, pairs, tmp_path, monkeypatch
):
    calls = []

    class Remembering(BaselineModel):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.to_remember = {"rows": output.image_embeds}
            return output

        def remember(self, rows):
            assert not rows.requires_grad
            assert self.clip.visual_projection.weight.grad is not None
            calls.append(("remember", len(rows)))

        def step(self):
            calls.append(("step", None))

        def begin_epoch(self, epoch):
            calls.append(("begin_epoch", epoch))

    trainer = make_trainer(
        Remembering,
        BaselineConfig,
        {},
        clip_config,
        processor,
        pairs,
        tmp_path,
        max_steps=2,
        gradient_accumulation_steps=2,
    )
    trainer.train()
    step = [("remember", 16), ("remember", 16), ("step", None)]
    assert calls == [("begin_epoch", 0), *step, *step]


def test_accumulated_loss_is_the_mean_and_not_the_sum(clip_config, processor, pairs, tmp_path):
    """The trap of labels and loss kwargs would double it: two equal micro-batches must log the loss of one."""
    half = np.arange(0, 80, 5)  # 16 pairs of 16 pictures; two copies of them make two equal micro-batches
    logs = []
    for accumulation in (1, 2):
        rows = np.tile(half, accumulation)
        same = replace(
            pairs,
            captions=[pairs.captions[row] for row in rows],
            image_row=pairs.image_row[rows],
            caption_image_id=pairs.caption_image_id[rows],
            caption_id=None,
            damaged=None,
        )
        trainer = make_trainer(
            BaselineModel,
            BaselineConfig,
            {},
            clip_config,
            processor,
            same,
            tmp_path,
            max_steps=1,
            gradient_accumulation_steps=accumulation,
            train_sampling_strategy="sequential",
        )
        trainer.train()
        logs.append(trainer.state.log_history[0])
    assert logs[1]["loss"] == pytest.approx(logs[0]["loss"], rel=1e-5)
    assert logs[1]["grad_norm"] == pytest.approx(logs[0]["grad_norm"], rel=1e-5)


def test_weight_decay_is_for_matrices_only(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path)
    names = trainer.get_decay_parameter_names(trainer.model)
    shapes = dict(trainer.model.named_parameters())
    assert names
    assert all(shapes[name].ndim > 1 for name in names)


def test_a_batch_of_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="no negatives"):
        NoisyITMArguments(output_dir=str(tmp_path), per_device_train_batch_size=1)


def test_evaluating_without_pairs_is_an_error(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path)
    trainer.eval_dataset = None
    with pytest.raises(InputError, match="eval_dataset"):
        trainer.evaluate()


def test_a_checkpoint_knows_its_data_and_refuses_others(clip_config, processor, pairs, tmp_path):
    draw = draw_noise("shuffle", 0.4, 0, pairs.image_id[pairs.image_row])
    noisy = pairs.with_noise(draw, pedigree_of(draw, "shuffle", 0))
    clip = (clip_config, processor)
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    make_trainer(BaselineModel, BaselineConfig, {}, *clip, noisy, tmp_path, **saving).train()
    stored = json.loads((tmp_path / "checkpoint-1" / "noise.json").read_text())
    assert stored == {"pedigree": noisy.pedigree, "fingerprint": noisy.fingerprint}
    other = replace(noisy, pedigree=pedigree_of(draw, "shuffle", 1))
    text = replace(noisy, captions=[caption.upper() for caption in noisy.captions])
    resume = {"resume_from_checkpoint": str(tmp_path / "checkpoint-1")}
    for wrong, sentence in (
        (other, r"other noise \(shuffle, rate 0.4, seed 0\) than are given now \(shuffle, rate 0.4, seed 1\)"),
        (pairs, "other noise .* given now \\(none\\)"),
        (text, "other training pairs \\(fingerprint"),
    ):
        trainer = make_trainer(BaselineModel, BaselineConfig, {}, *clip, wrong, tmp_path / "more", max_steps=2)
        with pytest.raises(InputError, match=sentence):
            trainer.train(**resume)
    make_trainer(BaselineModel, BaselineConfig, {}, *clip, noisy, tmp_path / "more", max_steps=2).train(**resume)
    (tmp_path / "checkpoint-1" / "noise.json").write_text("[]")
    with pytest.raises(InputError, match="holds no pedigree"):
        make_trainer(BaselineModel, BaselineConfig, {}, *clip, noisy, tmp_path / "more", max_steps=2).train(**resume)
