"""A noise report of a small world, made once: pairs of two ideas each, some of them wrong, and hostile captions."""

import io
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from hf_noisy_itm.data import Pairs
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.noise_report import ReportArguments, make_report, parse_report, write_report

ROOT = Path(__file__).parent.parent.parent
DATA = ["--dataset", "scenes", "--max_train_pictures", "60", "--max_eval_pictures", "12", "--noise_rate", "0.4"]
HOSTILE = (
    "<script>document.title = 'taken'; alert(1)</script>",
    '"><img src=x onerror="document.title=\'taken\'; alert(2)">',
    "</td></table><h1 id=planted>planted</h1>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} <!-- &amp; -->",
    "'-alert(3)-' \" onmouseover=alert(4) x=\"",
    "\u202e turned around \u0000 \ud800 half a letter",
)
TOLD = {
    "scorer": {"model": "<b>scorer</b>", "weights_sha256": "ab" * 32},
    "data": {"dataset": "a & <i>b</i>"},
    "run": None,
}


def small_world(pictures=120, captions=3, width=24, noise=0.3, seed=0):
    """Pairs and embeddings; a share of the captions is moved, exactly as many as that is."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((pictures, width))
    owner = np.arange(pictures).repeat(captions)
    source = np.arange(len(owner))
    moved = rng.permutation(len(owner))[: round(noise * len(owner))]
    source[moved] = np.roll(moved, 1)
    texts = images[owner[source]] + 0.9 * rng.standard_normal((len(owner), width))
    encoded = EncodedPairs(unit(images), unit(texts), torch.from_numpy(owner), "small")
    names = [f"caption {row} of picture {owner[row]}" for row in source]
    files = datasets.Dataset.from_dict({"image": [{"bytes": png(row), "path": None} for row in range(pictures)]})
    pictures = files.cast_column("image", datasets.Image(decode=False))
    pairs = Pairs(pictures, names, owner, np.arange(len(images)), owner[source], caption_id=source)
    return pairs, encoded


def unit(rows):
    return torch.nn.functional.normalize(torch.as_tensor(rows, dtype=torch.float32), dim=1)


def png(row):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (row % 256, 90, 160)).save(file, format="PNG")
    return file.getvalue()


def run(script, *words, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"recipes/{script}", *map(str, words)])
    runpy.run_path(f"recipes/{script}", run_name="__main__")


@pytest.fixture
def without_plots(monkeypatch):
    """Reports with one grey square for all plots, which take most of the time of a small report."""

    def squares(findings, groups, is_noisy, truth):
        names = ["suspicion", "signals", *(["separation", "calibration"] if truth else [])]
        return dict.fromkeys([*names, *(f"groups_{number}" for number in range(len(groups)))], png(0))

    monkeypatch.setattr("hf_noisy_itm.noise_report.make.all_plots", squares)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A report of the small world: its folder, pairs and embeddings, what was found, and its figures."""
    pairs, encoded = small_world()
    folder = tmp_path_factory.mktemp("small") / "report"
    findings, figures = write_report(folder, pairs, encoded, 30.0, TOLD)
    return SimpleNamespace(folder=folder, pairs=pairs, encoded=encoded, findings=findings, figures=figures)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A report of 300 pairs and both data sets."""
    folder = tmp_path_factory.mktemp("made")
    words = ["scenes-clip", *DATA, "--output", folder / "report", "--cleaned", folder / "clean"]
    words += [
        "--weighted",
        folder / "weighted",
        "--features",
        folder / "features.safetensors",
        "--group_by",
        "image_id",
    ]
    return folder, make_report(*parse_report(list(map(str, words)))), list(map(str, words))


@pytest.fixture(scope="session")
def hostile(small, tmp_path_factory):
    """A report whose most suspicious captions are an attack, its folder and its pairs."""
    folder = tmp_path_factory.mktemp("hostile")
    captions = list(small.pairs.captions)
    for row, text in zip(small.findings.order, HOSTILE):
        captions[row] = text
    pairs = replace(small.pairs, captions=captions)
    groups = {"<b>column</b>": np.where(np.arange(len(pairs)) % 2, "<script>alert(5)</script>", "$x_1$ $")}
    write_report(folder, pairs, small.encoded, 30.0, TOLD, None, groups, ReportArguments("m", gallery=50))
    return folder, pairs
