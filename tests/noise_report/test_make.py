"""The report as a user makes it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments, load_pairs
from hf_noisy_itm.noise_report import make_report, parse_report, told

from .conftest import DATA, ROOT, run


def test_a_row_of_scores_for_every_pair_joined_by_id(made):
    folder, figures, _ = made
    pairs, _ = load_pairs(DataArguments(dataset="scenes", max_train_pictures=60, max_eval_pictures=12, noise_rate=0.4))
    rows = pq.read_table(folder / "report" / "scores.parquet").to_pydict()
    assert rows["image_id"] == pairs.name[pairs.image_row].tolist()
    assert rows["caption_id"] == pairs.caption_name.tolist()
    assert rows["caption"] == pairs.captions
    assert rows["is_noisy"] == pairs.is_noisy.tolist()
    assert sorted(rows["rank"]) == list(range(1, 301))
    order = np.argsort(rows["rank"])
    assert (np.diff(np.array(rows["suspicion"])[order]) <= 0).all()
    np.testing.assert_allclose(np.array(rows["weight"]) + rows["probability_wrong"], 1)
    assert sum(rows["is_flagged"]) == figures["flagged"]
    of_id = dict(zip(rows["caption_id"], rows["caption"]))
    for flagged, number, text in zip(rows["is_flagged"], rows["suggested_caption_id"], rows["suggested_caption"]):
        assert (number is None) == (text is None)
        assert number is None or flagged
        assert number is None or of_id[number] == text
    assert figures["truth"]["auc"]["combined"] > 0.95
    assert json.loads((folder / "report" / "report.json").read_text()) == json.loads(json.dumps(figures))
    alike = pq.read_table(folder / "report" / "alike.parquet").to_pydict()
    assert alike["what"].count("possible match") == figures["duplicates"]["possible_matches"]


def test_plots_and_page_are_there(made):
    folder, figures, _ = made
    plots = sorted(path.stem for path in (folder / "report" / "plots").glob("*.png"))
    assert plots == ["calibration", "groups_0", "groups_1", "separation", "signals", "suspicion"]
    for name in plots:
        assert min(Image.open(folder / "report" / "plots" / f"{name}.png").size) > 100
    page = (folder / "report" / "report.html").read_text()
    assert f"{figures['estimate']['rate']:.1%}".replace("%", " %") in page
    assert page.count("<tr data-rank=") == 200


def test_the_summary_fits_a_terminal(made):
    _, figures, _ = made
    long = {**figures, "doubts": ["word " * 40], "scorer": {"model": "somebody/" + "clip-" * 12}}
    assert max(map(len, told(long).splitlines())) <= 80


@pytest.mark.usefixtures("without_plots")
def test_features_at_hand_are_used_and_those_of_others_refused(made, monkeypatch, tmp_path):
    folder, figures, words = made
    monkeypatch.setattr("hf_noisy_itm.noise_report.features.encode", None)
    cut = words.index("--cleaned")
    words = [*words[:cut], "--features", str(folder / "features.safetensors"), "--output", str(tmp_path / "again")]
    again = make_report(*parse_report(words))
    assert again["truth"] == figures["truth"]
    with pytest.raises(InputError, match="embeddings of other pairs, pictures or weights"):
        make_report(*parse_report([*words, "--noise_seed", "1"]))
    with pytest.raises(InputError, match="holds no embeddings"):
        make_report(*parse_report([*words, "--features", str(ROOT / "README.md")]))


@pytest.mark.usefixtures("without_plots")
def test_a_training_leaves_a_report_and_its_weights_serve_another(monkeypatch, capsys, tmp_path):
    words = ["recipes/osa/scenes_noise40.yaml", *DATA, "--max_steps", "6", "--per_device_train_batch_size", "16"]
    words += ["--disable_tqdm", "true", "--report", "true", "--output_dir", tmp_path / "run"]
    run("train.py", *words, "--score_cache", tmp_path / "cache", monkeypatch=monkeypatch)
    assert "wrong, estimated" in capsys.readouterr().out
    figures = json.loads((tmp_path / "run" / "noise_report" / "report.json").read_text())
    assert figures["run"] is None  # a frozen scorer's cosines are not the training's
    words = ["scenes-clip", *DATA, "--run", tmp_path / "run", "--output", tmp_path / "report"]
    with pytest.raises(InputError, match="further evidence: leave --run out"):
        make_report(*parse_report([*map(str, words)]))
    path = tmp_path / "run" / "pair_weights.safetensors"
    ledger = load_file(path)
    ledger["own"] *= 0.5 + 0.5 * torch.rand(300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    save_file(ledger, path)
    run("report.py", *words, monkeypatch=monkeypatch)
    assert "training weight" in capsys.readouterr().out
    rows = pq.read_table(tmp_path / "report" / "scores.parquet").to_pydict()
    assert 0.5 <= np.nanmin(rows["training_weight"]) < np.nanmax(rows["training_weight"]) <= 1
    with pytest.raises(InputError, match="was on other pairs"):
        make_report(*parse_report([*map(str, words), "--noise_seed", "3"]))


def test_a_stream_has_no_report(monkeypatch, capsys, tmp_path):
    words = ["recipes/baseline/scenes_noise40.yaml", "--streaming", "true", "--noise_rate", "0", "--report", "true"]
    words += ["--max_train_pictures", "60", "--max_eval_pictures", "12"]
    with pytest.raises(SystemExit):
        run("train.py", *words, "--max_steps", "1", "--output_dir", tmp_path, monkeypatch=monkeypatch)
    assert "a stream does not know them" in capsys.readouterr().err
