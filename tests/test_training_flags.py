"""Flags of TrainingArguments that change how a step is computed, and not what it computes."""

import pytest
import torch

from hf_noisy_itm import InputError, NoisyITMArguments

from .methods.table import METHODS
from .test_trainer import losses_of, make_trainer

EXACT, ROUNDED, HALF = 1e-6, 1e-5, 6e-2  # relative; in half precision FNE draws other negatives
FLAGS = {
    "gradient_checkpointing": ({"gradient_checkpointing": True}, EXACT),
    "workers": ({"dataloader_num_workers": 2, "dataloader_prefetch_factor": 2}, EXACT),
    "optimizer in pieces": ({"optim": "adamw_torch"}, ROUNDED),  # the default is fused
    "bf16": ({"bf16": True}, HALF),
}
STEPS = 3


def losses(name, *fixtures, **flags):
    trainer = make_trainer(*METHODS[name], *fixtures, max_steps=STEPS, **flags)
    trainer.train()
    return losses_of(trainer), trainer


@pytest.fixture(scope="module")
def known():
    """Losses without flags, by method."""
    return {}


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("name", ["baseline", "npc-pair", "npc", "fne", "coder", "mrl-clip"])
def test_a_flag_changes_no_loss(name, flag, known, clip_config, processor, pairs, tmp_path):
    fixtures = clip_config, processor, pairs, tmp_path
    if name not in known:
        known[name], _ = losses(name, *fixtures)
    fields, close = FLAGS[flag]
    found, trainer = losses(name, *fixtures, **fields)
    assert len(found) == STEPS
    assert found == pytest.approx(known[name], rel=close)
    assert flag != "bf16" or found != known[name]
    assert trainer.optimizer.optimizer.defaults["fused"] != (flag == "optimizer in pieces")
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())


def test_checkpointing_is_at_work(clip_config, processor, pairs, tmp_path):
    _, trainer = losses("baseline", clip_config, processor, pairs, tmp_path, gradient_checkpointing=True)
    layers = [each for each in trainer.model.modules() if getattr(each, "gradient_checkpointing", False)]
    assert layers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baseline", "npc-pair", "fne", "osa"])
def test_a_compiled_model_has_the_same_losses(name, clip_config, processor, pairs, tmp_path):
    fixtures = clip_config, processor, pairs, tmp_path
    plain, _ = losses(name, *fixtures)
    found, _ = losses(name, *fixtures, torch_compile=True, torch_compile_backend="aot_eager")
    assert found == pytest.approx(plain, rel=ROUNDED)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="of machines without a GPU")
@pytest.mark.parametrize("where", ["no GPU", "use_cpu", "launcher's file", "launcher's precision"])
def test_fp16_on_cpus_is_no_silence(where, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: where != "no GPU")
    if where == "launcher's file":
        monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    if where == "launcher's precision":
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    fields = {"fp16": True} if where != "launcher's precision" else {"use_cpu": True}
    fields |= {"use_cpu": True} if where == "use_cpu" else {}
    with pytest.raises(InputError, match="on CPUs, where fp16 would change nothing, in silence: give --bf16 true"):
        NoisyITMArguments(output_dir=str(tmp_path), **fields)


def test_the_precision_of_the_launcher_s_file_is_the_run_s(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert NoisyITMArguments(output_dir=str(tmp_path)).bf16


@pytest.mark.parametrize("engine", [{"deepspeed": {"zero_optimization": {"stage": 2}}}, {"fsdp": True}], ids=str)
def test_engines_are_asked_for_by_the_launcher(engine, tmp_path):
    with pytest.raises(
        InputError, match="instead of --(deepspeed|fsdp), start with `accelerate launch --config_file`"
    ):
        NoisyITMArguments(output_dir=str(tmp_path), **engine)
