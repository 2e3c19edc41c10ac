"""The benchmark of collation as a user runs it, on the smallest scale, and what its committed result must show."""

import json
import multiprocessing
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers.models.clip import CLIPImageProcessorPil

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "recipes" / "benchmarks" / "collation.py"


@pytest.fixture(autouse=True)
def beside_the_script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory in /proc")
def test_it_measures_every_way_and_writes_the_figures(monkeypatch, capsys, tmp_path):
    words = ["--repeats", "1", "--pictures", "2", "--width", "600", "--output", str(tmp_path / "result.json")]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    result = json.loads((tmp_path / "result.json").read_text())
    committed = json.loads((ROOT / "recipes" / "results" / "benchmark_collation.json").read_text())
    assert result.keys() == committed.keys()
    printed = capsys.readouterr().out
    for name, figures in committed["pictures_per_second"].items():
        assert f"{name}: bare loop" in printed
        assert result["pictures_per_second"][name].keys() == figures.keys()
    assert [figures["decoded"] for figures in result["wide"]] == ["600x60", "600x200", "600x60"]
    assert not multiprocessing.active_children()


def test_the_bare_loop_does_what_the_processor_does():
    script = runpy.run_path(str(SCRIPT))
    picture = script["photograph"](160, 120, 0)
    processor = CLIPImageProcessorPil()
    expected = processor(picture, return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(script["bare"](script["encoded"](picture, "PNG"), processor), expected, atol=1e-5)


def test_the_committed_result_keeps_pace_with_the_bare_loop():
    result = json.loads((ROOT / "recipes" / "results" / "benchmark_collation.json").read_text())
    for figures in result["pictures_per_second"].values():
        assert figures["collator / bare loop"] >= 0.9
        assert figures["collator, full picture_cache"] > figures["collator"]
    assert result["captions_per_second"]["collator"] > result["captions_per_second"]["tokenizer"]
    for figures in result["wide"]:
        assert figures["peak_mb"] < 700
        assert max(figures["largest_difference_at_224"], figures["largest_difference_at_336"]) <= 1
