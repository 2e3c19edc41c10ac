"""Five recorded CPU steps per method; re-record on purpose only: `make golden`."""

import json
import os
from pathlib import Path

import pytest

from .methods.table import METHODS
from .test_trainer import losses_of, make_trainer

FILE = Path(__file__).parent / "golden" / "steps.json"


@pytest.mark.parametrize("name", METHODS)
def test_five_steps_are_the_recorded_ones(name, clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(*METHODS[name], clip_config, processor, pairs, tmp_path, max_steps=5)
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    steps = [{"loss": entry["loss"], "grad_norm": entry["grad_norm"]} for entry in log]
    recorded = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("RECORD_GOLDEN"):
        FILE.write_text(json.dumps({**recorded, name: steps}, indent=1) + "\n")
        pytest.skip("recorded")
    assert len(steps) == 5
    for step, golden in zip(steps, recorded[name], strict=True):
        assert step == pytest.approx(golden, rel=2e-3)


def test_accumulation_is_not_a_larger_batch(clip_config, processor, pairs, tmp_path):
    """Contrastive losses are not additive: two batches of 8 have fewer negatives than one of 16, so less loss."""
    losses = {}
    for batch, accumulation in ((16, 1), (8, 2)):
        trainer = make_trainer(
            *METHODS["baseline"],
            clip_config,
            processor,
            pairs,
            tmp_path,
            max_steps=1,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            train_sampling_strategy="sequential",
        )
        trainer.train()
        losses[batch] = losses_of(trainer)[0]
    assert losses[8] < losses[16]
