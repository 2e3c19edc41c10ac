"""The main job: `make demo`, small in the fast tests and whole in the slow ones."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PICTURES = ("recall.png", "weights.png", "retrieval.png", "least_trusted.png")


def demo(monkeypatch, *words):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["recipes/demo.py", *map(str, words)])
    runpy.run_path("recipes/demo.py", run_name="__main__")


def test_the_demo_prints_its_table_and_leaves_what_it_says(monkeypatch, capsys, tmp_path):
    small = ["--max_steps", "2", "--per_device_train_batch_size", "16", "--max_train_pictures", "24"]
    demo(monkeypatch, *small, "--max_eval_pictures", "12", "--output_dir", tmp_path)
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path / "metrics.json").read_text())
    assert list(rows) == ["zero-shot", "control", "npc", "control, clean captions"]
    for name, row in rows.items():
        assert f"{name:24}" in printed
        assert f"{row['metrics']['rsum']:.1f}" in printed
    assert rows["control"]["noise"] == rows["npc"]["noise"]
    assert rows["control, clean captions"]["noise"] == {"nominal": 0.0, "realised": 0.0}
    assert rows["npc"]["training"] | {"output_dir": ""} == rows["control"]["training"] | {"output_dir": ""}
    for picture in PICTURES:
        with Image.open(tmp_path / picture) as image:
            assert min(image.size) > 200
    for folder in ("control", "npc", "ceiling"):
        assert (tmp_path / folder / "model.safetensors").exists()
        assert (tmp_path / folder / "README.md").read_text().startswith("---\n")


@pytest.mark.slow
def test_npc_beats_the_control_and_comes_near_to_clean_captions(monkeypatch, tmp_path):
    demo(monkeypatch, "--output_dir", tmp_path, "--seed", "1", "--noise_seed", "1")
    rows = json.loads((tmp_path / "metrics.json").read_text())
    rsum = {name: row["metrics"]["rsum"] for name, row in rows.items()}
    clean = rsum["control, clean captions"]
    assert rsum["zero-shot"] < rsum["control"] < clean - 20
    assert clean - 5 < rsum["npc"] < clean + 5
    assert rows["npc"]["weights"]["auc"] > 0.95
    assert rows["npc"]["bank_scores"]["loss"]["auc"] < 0.05  # wrong pairs have the high losses
