"""The benchmarks, on the smallest scale: they run, and write what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_noise_benchmark_writes_its_figures(tmp_path):
    words = ["--captions", "2000", "--semantic_captions", "500", "--width", "8", "--queries", "50", "--k", "3"]
    command = [sys.executable, "recipes/benchmarks/noise.py", *words, "--output", str(tmp_path / "noise.json")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "noise.json").read_text())
    assert figures["semantic"]["queries"] == 50
    assert 0.38 < figures["shuffle"]["realised"] <= 0.4
    assert all(figures[kind]["damaged_per_second"] > 0 for kind in ("partial", "truncated", "duplicated"))
    assert all(0 < figures[part]["peak_rss_gb"] < 16 for part in ("shuffle", "semantic", "partial"))
    assert figures["machine"]["cores"] == os.cpu_count()


def test_the_committed_figures_keep_what_was_promised():
    """Seconds for half a million captions, and less than 2 GB for the search among 145,000."""
    figures = json.loads((ROOT / "recipes" / "results" / "benchmark_noise.json").read_text())
    assert figures["shuffle"]["captions"] == 566_435
    assert sum(value for name, value in figures["shuffle"].items() if name.startswith("seconds")) < 10
    assert (figures["semantic"]["captions"], figures["semantic"]["width"]) == (145_000, 512)
    assert figures["semantic"]["peak_rss_gb"] < 2


def test_the_retrieval_benchmark_writes_its_figures(tmp_path):
    words = ["--images", "60", "--captions", "300", "--width", "8", "--repeats", "1", "--slice_images", "20"]
    large = ["--large_images", "100", "--large_captions", "500", "--output", str(tmp_path / "retrieval.json")]
    command = [sys.executable, "recipes/benchmarks/retrieval.py", *words, *large]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "retrieval.json").read_text())
    committed = json.loads((ROOT / "recipes" / "results" / "benchmark_retrieval.json").read_text())
    assert {name: figures[name].keys() for name in ("seconds", "large")} == {
        name: committed[name].keys() for name in ("seconds", "large")
    }
    assert all(name in done.stdout for name in figures["seconds"])


def test_the_committed_ranks_are_nearly_as_fast_as_the_bare_product():
    figures = json.loads((ROOT / "recipes" / "results" / "benchmark_retrieval.json").read_text())
    assert figures["gallery"] == {"images": 5000, "captions": 25_000, "width": 512}
    times = figures["times the bare product"]
    assert times["ours"] <= 2
    assert times["argsort twice in each direction, float32, once"] >= 16 * times["ours"]
    assert figures["extra_memory_mb"] < 300


def test_the_benchmark_of_a_step_writes_its_figures(tmp_path):
    words = ["--layers", "1", "--batch", "4", "--queue", "200", "--repeats", "1"]
    command = [sys.executable, "recipes/benchmarks/fne_step.py", *words, "--output", str(tmp_path / "step.json")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "step.json").read_text())
    assert set(figures["share of loss, draw and queue"]) == {"triplet", "infonce"}
    assert all(value > 0 for value in figures["seconds"].values())
    assert "times the control's step" in done.stdout


def test_a_committed_step_of_fne_costs_what_was_promised():
    figures = json.loads((ROOT / "recipes" / "results" / "benchmark_fne_step.json").read_text())
    assert (figures["queue"], figures["parameters"] > 150e6) == (65_536, True)
    assert max(figures["share of loss, draw and queue"].values()) < 0.1
    assert figures["times the control's step"] <= 1.5
