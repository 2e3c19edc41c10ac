"""One seed, one result: whoever loads the batches, whatever ran before, with and without deterministic kernels."""

import os
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from .test_machine import train

WORDS = ["--trust", "osa", "--noise_rate", "0.4", "--logging_steps", "1"]


@pytest.fixture
def global_state():
    """What `--full_determinism` sets for the whole process, set back."""
    environment = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(environment)
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("global_state")
def test_one_seed_has_one_result(monkeypatch, tmp_path):
    """NPC with a scorer and noise drawn on the fly: bank, mixture, draw, order and workers all hang on the seed."""
    runs = {
        "plain": [],
        "workers": ["--dataloader_num_workers", "2", "--full_determinism", "true"],
        "other": ["--seed", "1"],
        "other draw": ["--noise_seed", "1"],
    }
    weights = {}
    for name, words in runs.items():
        random.seed(name)  # what happened before in this process plays no part
        np.random.seed(len(name))  # noqa: NPY002 (what libraries draw from)
        torch.manual_seed(len(name))
        train(tmp_path / name, *WORDS, *words, recipe="npc", monkeypatch=monkeypatch)
        weights[name] = load_file(tmp_path / name / "model.safetensors")
    plain = weights.pop("plain")
    same = {name: all(torch.equal(each[key], plain[key]) for key in plain) for name, each in weights.items()}
    assert same == {"workers": True, "other": False, "other draw": False}
