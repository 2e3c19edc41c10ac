"""Shared fixtures: a CLIP small enough for any test, and 24 pictures of five captions each. Nothing is downloaded."""

import json
import os
import shutil
import tempfile

# Before anything imports the libraries that read these: all caches go to a folder that goes with the session.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf_noisy_itm_tests_")
os.environ["HF_DATASETS_CACHE"] = os.path.join(os.environ["HF_HOME"], "datasets")
os.environ["MPLCONFIGDIR"] = os.path.join(os.environ["HF_HOME"], "matplotlib")
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = os.path.join(os.environ["HF_HOME"], "hypothesis")

if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from copy import deepcopy
from dataclasses import replace

import datasets
import hypothesis
import numpy as np
import pytest

from hf_noisy_itm.data import DataArguments, Labels
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.small_clip import SmallCLIPArguments, small_clip

from .measuring import here

# The same examples every time, however slow the machine.
hypothesis.settings.register_profile("tests", database=None, deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")
datasets.disable_progress_bars()


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def built_pairs():
    rows = [draw_row("street", (0, 1, 0), row) for row in range(24)]
    pairs = to_pairs(
        datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()), DataArguments(), "training"
    )
    # Three classes, for methods that know categories; all others must leave them alone.
    given = {"image": np.arange(24) % 3, "text": np.arange(120) // 5 % 3}
    return replace(pairs, labels=Labels(["red", "green", "blue"], given, given))


@pytest.fixture(scope="session")
def built_clip(built_pairs):
    shape = SmallCLIPArguments(
        image_size=16, patch_size=8, width=32, image_layers=1, text_layers=1, vocab_size=600, context_length=24
    )
    return small_clip(shape, built_pairs.captions)


# Each test gets its own copy of what the session built once.


@pytest.fixture
def pairs(built_pairs):
    names = ("image_row", "image_id", "caption_image_id", "caption_id", "caption_name", "damaged")
    arrays = {name: getattr(built_pairs, name).copy() for name in names}
    return replace(built_pairs, captions=list(built_pairs.captions), **arrays)


@pytest.fixture
def clip_config(built_clip):
    return deepcopy(built_clip[0])


@pytest.fixture
def processor(built_clip):
    return deepcopy(built_clip[1])


@pytest.fixture
def measured(monkeypatch, capsys, tmp_path):
    """What a benchmark of this name writes and prints, given these words."""

    def of(name, words):
        here(name, monkeypatch)([*words.split(), "--output", str(tmp_path / "out.json")])
        return json.loads((tmp_path / "out.json").read_text()), capsys.readouterr().out

    return of
