"""The report as a user makes it."""

import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments, load_pairs
from hf_noisy_itm.data.groups import column_of
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.noise_report import make_report, parse_report, told, write_report
from hf_noisy_itm.noise_report.dataset import write_data
from hf_noisy_itm.noise_report.summary import told_first

from .conftest import HOSTILE, TOLD, png, small_world, unit

ROOT = Path(__file__).parent.parent.parent
DATA = ["--dataset", "scenes", "--max_train_pictures", "60", "--max_eval_pictures", "12", "--noise_rate", "0.4"]


def run(script, *words, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"recipes/{script}", *map(str, words)])
    runpy.run_path(f"recipes/{script}", run_name="__main__")


@pytest.fixture(scope="module")
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


def test_a_row_of_scores_for_every_pair_joined_by_id(made):
    folder, figures, _ = made
    pairs, _ = load_pairs(DataArguments(dataset="scenes", max_train_pictures=60, noise_rate=0.4))
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
        assert (number is None) == (text is None) == (not flagged)
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


def test_the_cleaned_data_lack_what_was_flagged_and_can_be_trained_on(made, monkeypatch, tmp_path):
    folder, figures, _ = made
    rows = datasets.load_dataset(str(folder / "clean"), split="train")
    scores = pq.read_table(folder / "report" / "scores.parquet").to_pydict()
    kept = [text for text, flagged in zip(scores["caption"], scores["is_flagged"]) if not flagged]
    assert rows["caption"] == kept
    assert np.mean(rows["is_noisy"]) < 0.1 < figures["truth"]["rate"]
    assert len(datasets.load_dataset(str(folder / "clean"), "pictures", split="test")) == 12
    words = ["recipes/baseline/scenes_noise40.yaml", "--dataset", folder / "clean", "--noise_rate", "0"]
    words = [*words, "--dataset_config", "pairs", "--max_steps", "1", "--per_device_train_batch_size", "16"]
    run("train.py", *words, "--disable_tqdm", "true", "--output_dir", tmp_path, monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["pairs"] == {**metrics["pairs"], "train": len(kept), "eval": 60}
    assert metrics["noise"]["realised"] == pytest.approx(np.mean(rows["is_noisy"]))


def test_the_weighted_data_have_every_pair_and_its_chance_of_being_right(made, monkeypatch, tmp_path):
    folder, _, _ = made
    rows = datasets.load_dataset(str(folder / "weighted"), split="train")
    scores = pq.read_table(folder / "report" / "scores.parquet").to_pydict()
    np.testing.assert_allclose(rows["weight"], scores["weight"], atol=1e-6)
    assert rows["caption"] == scores["caption"]
    assert json.loads((folder / "weighted" / "noise.json").read_text())["pedigree"]["kind"] == "shuffle"
    words = ["recipes/baseline/scenes_noise40.yaml", "--dataset", folder / "weighted", "--noise_rate", "0"]
    words = [*words, "--dataset_config", "pairs", "--weight_column", "weight", "--max_steps", "2"]
    words += ["--per_device_train_batch_size", "64", "--disable_tqdm", "true", "--output_dir", tmp_path]
    run("train.py", *words, monkeypatch=monkeypatch)
    assert json.loads((tmp_path / "metrics.json").read_text())["weights"]["auc"] > 0.95


def test_ids_that_are_texts_stay_what_they_are(tmp_path):
    pairs, encoded = small_world()
    names = {"name": np.char.mod("picture-%d", pairs.image_id), "caption_name": np.char.mod("c%d", pairs.caption_id)}
    pairs = replace(pairs, **names)
    findings, figures = write_report(tmp_path / "report", pairs, encoded, 30.0, TOLD)
    write_data(tmp_path / "clean", findings, pairs, pairs, figures, weighted=False)
    rows = datasets.load_dataset(str(tmp_path / "clean"), split="train")
    assert rows["caption_id"] == names["caption_name"][~findings.flagged].tolist()
    assert rows["image_id"] == names["name"][pairs.image_row[~findings.flagged]].tolist()
    scores = pq.read_table(tmp_path / "report" / "scores.parquet").to_pydict()
    assert scores["caption_id"] == names["caption_name"].tolist()


def test_given_weights_stay_and_are_multiplied(tmp_path):
    pairs, encoded = small_world()
    pairs = replace(pairs, weight=np.linspace(0, 1, len(pairs), dtype=np.float32))
    findings, figures = write_report(tmp_path / "report", pairs, encoded, 30.0, TOLD)
    for weighted, kept in ((True, slice(None)), (False, ~findings.flagged)):
        write_data(tmp_path / "data", findings, pairs, pairs, figures, weighted)
        rows = datasets.load_dataset(str(tmp_path / "data"), split="train", cache_dir=str(tmp_path / str(weighted)))
        chance = 1 - findings.probability if weighted else np.ones(len(pairs))
        np.testing.assert_allclose(rows["weight"], (chance * pairs.weight)[kept], atol=1e-6)


def test_all_columns_of_the_source_go_along(tmp_path, caplog):
    rows = [draw_row("street", (0, 1, 0), row) for row in range(40)]
    captions = [row["captions"] for row in rows]
    captions[3][0] = captions[17][0]  # a wrong one
    texts = {(row, number): text for row, own in enumerate(captions) for number, text in enumerate(own)}
    table = {"image": [row["image"] for row in rows], "captions": captions, "source": [f"s{row}" for row in range(40)]}
    table |= {"writer": [[f"{row} {number}" for number in range(5)] for row in range(40)], "weight": ["kg"] * 40}
    datasets.Dataset.from_dict(table).cast_column("image", datasets.Image()).to_parquet(tmp_path / "p.parquet")
    words = ["scenes-clip", "--dataset", tmp_path / "p.parquet", "--holdout_every", "10", "--output", tmp_path / "r"]
    words += ["--cleaned", tmp_path / "clean", "--weighted", tmp_path / "weighted"]
    figures = make_report(*parse_report(list(map(str, words))))
    (warning,) = [record.getMessage() for record in caplog.records if "Left out" in record.getMessage()]
    assert "columns of these names are made here: weight; rename" in warning
    for name, count in (("clean", 180 - figures["flagged"]), ("weighted", 180)):
        found = datasets.load_dataset(str(tmp_path / name), split="train").remove_columns("image").to_list()
        assert len(found) == count
        for row in found:
            place = tuple(map(int, row["writer"].split()))
            assert row["caption"] == texts[place]
            assert (row["source"], row["image_id"]) == (f"s{place[0]}", place[0])
        assert ("3 0" in [row["writer"] for row in found]) == (name == "weighted")
        assert len(row.keys() - {"weight"}) == 7


@pytest.mark.parametrize("kind", ["float", "bool", "half a letter"])
def test_ids_of_any_kind_are_written(kind, tmp_path):
    pairs, encoded = small_world(pictures=40)
    number = np.arange(len(pairs))
    ids = {"float": number + 0.5, "bool": number % 2 == 0, "half a letter": np.array([f"\ud800{n}" for n in number])}[
        kind
    ]
    write_report(tmp_path / "report", replace(pairs, name=ids[:40], caption_name=ids), encoded, 30.0, TOLD)
    rows = pq.read_table(tmp_path / "report" / "scores.parquet").to_pydict()
    assert rows["caption_id"] == [str(each).replace("\ud800", "?") for each in ids.tolist()]


def test_the_summary_fits_a_terminal(made):
    _, figures, _ = made
    long = {**figures, "doubts": ["word " * 40], "scorer": {"model": "somebody/" + "clip-" * 12}}
    assert max(map(len, told(long).splitlines())) <= 80


def test_groups_of_empty_cells_and_of_lists(tmp_path):
    cells = [png(row) for row in range(12)]
    table = {"image": [{"bytes": cell, "path": None} for cell in cells], "caption": [f"a {row}" for row in range(12)]}
    table |= {"source": ["x", None, ""] * 4, "year": [1.0, float("nan"), 3.0] * 4, "tags": [["a", "b"]] * 12}
    rows = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
    rows.to_parquet(tmp_path / "p.parquet")
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), holdout_every=4)
    pairs, _ = load_pairs(data)
    assert set(column_of(data, pairs, "source")) == {"x", "(empty)"}
    assert set(column_of(data, pairs, "year")) == {"1", "3", "(empty)"}
    with pytest.raises(InputError, match="'tags' holds list in row"):
        column_of(data, pairs, "tags")


def test_a_suggestion_fits_better_than_what_is_there_and_the_page_has_the_same(hostile, tmp_path):
    pairs, encoded = small_world()
    findings, _ = write_report(tmp_path / "report", pairs, encoded, 30.0, TOLD)
    rows = pq.read_table(tmp_path / "report" / "scores.parquet").to_pydict()
    best = findings.alike.foreign_cosines[pairs.image_row, 0]
    expected = findings.flagged & (best > np.array(rows["cosine"]))
    assert [text is not None for text in rows["suggested_caption"]] == expected.tolist()
    assert 0 < expected.sum() < (best > -np.inf).sum()
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('class="better"') == expected[findings.order[:200]].sum()


def test_equal_captions_of_other_pictures_are_listed(tmp_path):
    pairs, encoded = small_world()
    captions = [*pairs.captions[:-1], f" {pairs.captions[0].upper()}"]
    write_report(tmp_path / "report", replace(pairs, captions=captions), encoded, 30.0, TOLD)
    rows = pq.read_table(tmp_path / "report" / "alike.parquet").to_pylist()
    (found,) = [row for row in rows if row["what"] == "equal captions"]
    assert (found["image_id"], found["other_image_id"], found["cosine"]) == (0, 119, 1.0)
    assert found["caption_id"] == pairs.caption_id[0]
    assert found["other_caption_id"] == pairs.caption_id[-1]


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


def test_what_is_there_is_not_replaced(made, tmp_path):
    _, _, words = made
    with pytest.raises(InputError, match="is there already: name another folder, or give --overwrite true"):
        make_report(*parse_report(words))
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine").write_text("dear")
    words = ["scenes-clip", *DATA, "--cleaned", str(there), "--overwrite", "true", "--output", str(tmp_path / "r")]
    with pytest.raises(InputError, match="something else at .* already, which is not replaced"):
        make_report(*parse_report(words))
    assert [path.name for path in there.iterdir()] == ["mine"]


def test_a_report_replaces_a_report_and_nothing_else(tmp_path):
    pairs, encoded = small_world()
    folder = tmp_path / "report"
    write_report(folder, pairs, encoded, 30.0, TOLD, None, {"parity": np.arange(len(pairs)) % 2})
    assert (folder / "plots" / "groups_1.png").exists()
    write_report(folder, pairs, encoded, 30.0, TOLD)
    assert not (folder / "plots" / "groups_1.png").exists()
    (folder / "plots" / "mine.png").write_text("dear")
    with pytest.raises(InputError, match="plots/mine.png is no part of a report: name another folder"):
        write_report(folder, pairs, encoded, 30.0, TOLD)
    assert (folder / "plots" / "mine.png").read_text() == "dear"
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.json").write_text('{"accuracy": 1}')
    with pytest.raises(InputError, match="holds no report.json of a report"):
        make_report(*parse_report(["./no-such-model", *DATA, "--output", str(other)]))  # before any work
    assert [path.name for path in other.iterdir()] == ["report.json"]


def test_a_report_that_is_cut_short_leaves_the_one_before(monkeypatch, tmp_path):
    pairs, encoded = small_world()
    write_report(tmp_path / "report", pairs, encoded, 30.0, TOLD)
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").rglob("*.*")}

    def cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_noisy_itm.noise_report.make.write_page", cut)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "report", pairs, encoded, 10.0, TOLD)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").rglob("*.*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_training_leaves_a_report_and_its_weights_serve_another(monkeypatch, capsys, tmp_path):
    words = ["recipes/osa/scenes_noise40.yaml", *DATA, "--max_steps", "20", "--per_device_train_batch_size", "16"]
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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name a model first: recipes/report.py MODEL"),
        (["--dataset", "scenes"], "Name a model first"),
        (["m", "--gallery", "5000"], "gallery must be at most 1000"),
        (["m", "--gallery", "0"], "gallery must be at least 1, got 0"),
        (["m", "--duplicate_cosine", "1.5"], "a cosine above 0, at most 1, got 1.5"),
        (["m", "--output", ""], "output is empty"),
        (["m", "--output", "x", "--cleaned", "./x"], "different folders"),
        (["m", "--output", "README.md"], "README.md is a file"),
        (["m", "--cleaned", "x", "--output", "x/report"], "output x/report lies in cleaned x, which is replaced"),
        (["m", "--output", "x", "--weighted", "x/y/z"], "weighted x/y/z lies in output x, which is replaced"),
        (["m", "--cleaned", "x", "--features", "x/f.safetensors"], "features x/f.safetensors lies in cleaned x"),
        (["m", "--output", "x", "--features", "x/f.safetensors"], "features x/f.safetensors lies in output x"),
        (["m", "--dataset", "docs", "--output", "docs"], "dataset docs lies in output docs, which is replaced"),
        (["m", "--dataset", "docs/noise_report.md", "--cleaned", "docs"], "dataset .* lies in cleaned docs"),
        (["m", "--dataset", "docs", "--cleaned", "docs/new"], "cleaned docs/new lies in dataset docs, which it would"),
        (["m", "--image_root", "docs", "--weighted", "docs/a/b"], "weighted docs/a/b lies in image_root docs"),
        (["m", "--data_dir", "docs", "--output", "docs/report"], "output docs/report lies in data_dir docs"),
        (["m", "--data_dir", "docs", "--cleaned", "docs"], "data_dir docs lies in cleaned docs, which is replaced"),
        (["m", "--dataset", "cg/data/*.parquet", "--cleaned", "cg"], "dataset cg/data lies in cleaned cg"),
        (["m", "--dataset", "cg/**/*.parquet", "--cleaned", "cg/new"], "cleaned cg/new lies in dataset cg, which"),
        (["m", "--output", "."], "the current folder . lies in output ., which is replaced"),
        (["m", "--cleaned", "..", "--output", "/x"], "the current folder . lies in cleaned .., which is replaced"),
        (["docs", "--output", "docs"], "model docs lies in output docs"),
        (["m", "--streaming", "true"], "leave --streaming out"),
        (["m", "--clean", "x"], "Unknown field 'clean'.*did you mean 'cleaned'"),
    ],
)
def test_wrong_words_are_refused(words, sentence, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match=sentence):
        parse_report(words)


def test_places_beside_the_data_are_fine(monkeypatch):
    monkeypatch.chdir(ROOT)
    parse_report(["m", "--dataset", "*.parquet", "--image_root", ".", "--cleaned", "clean"])
    parse_report(["m", "--dataset", "docs/*.parquet", "--cleaned", "docs/clean", "--output", "docs/report"])


@pytest.mark.parametrize("name", ["output", "cleaned", "weighted", "features"])
def test_places_that_cannot_be_written_are_refused_before_any_work(name, tmp_path):
    (tmp_path / "file").write_text("dear")
    places = {"output": tmp_path / "report"} | {name: tmp_path / "file" / "within" / "it"}
    words = [word for each, place in places.items() for word in (f"--{each}", str(place))]
    with pytest.raises(InputError, match=f"{name} .*within/it cannot be written: .*; name another place"):
        make_report(*parse_report(["./no-such-model", *DATA, *words]))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["./no-such-model"], "There is no model folder"),
        (["scenes-clip", "--run", "recipes"], "recipes has no pair_weights.safetensors"),
        (["scenes-clip", "--group_by", "colour"], "no column 'colour'"),
        (["scenes-clip", "--where", "image_id=3"], "of one picture|no usable|image_id"),
    ],
)
def test_what_cannot_be_reported_ends_with_one_sentence(words, sentence, monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run("report.py", *words, *DATA, "--output", tmp_path, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(sentence, line)


def test_a_stream_has_no_report(monkeypatch, capsys, tmp_path):
    words = ["recipes/baseline/scenes_noise40.yaml", "--streaming", "true", "--noise_rate", "0", "--report", "true"]
    with pytest.raises(SystemExit):
        run("train.py", *words, "--max_steps", "1", "--output_dir", tmp_path, monkeypatch=monkeypatch)
    assert "a stream does not know them" in capsys.readouterr().err


def test_hostile_captions_are_escaped_in_every_place(hostile):
    folder, _ = hostile
    page = (folder / "report.html").read_text()
    assert "<script>document" not in page
    assert '"><img' not in page
    assert "&lt;script&gt;document.title" in page
    assert "<b>scorer</b>" not in page
    assert "<b>column</b>" not in page
    assert page.count("<script>") == page.count("</script>") == 1
    assert "\u202e" not in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    rows = pq.read_table(folder / "scores.parquet").to_pydict()
    assert {text for text in HOSTILE[:5]} <= set(rows["caption"])
    assert any("half a letter" in text for text in rows["caption"])


def test_long_captions_and_pictures_that_do_not_decode_are_borne(tmp_path):
    pairs, encoded = small_world(pictures=40)
    captions = ["word " * 10_000, *pairs.captions[1:]]
    cells = [{"bytes": b"no picture", "path": None}] * 40
    broken = datasets.Dataset.from_dict({"image": cells}).cast_column("image", datasets.Image(decode=False))
    write_report(tmp_path, replace(pairs, captions=captions, pictures=broken), encoded, 30.0, TOLD)
    page = (tmp_path / "report.html").read_text()
    assert "not readable" in page
    assert len(page) < 2e6


def test_the_same_data_give_the_same_report(tmp_path):
    pairs, encoded = small_world()
    for name in "ab":
        write_report(tmp_path / name, pairs, encoded, 30.0, TOLD)
    for file in ("scores.parquet", "alike.parquet", "report.html", "report.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_scorer_that_knows_nothing_is_doubted(tmp_path):
    pairs, encoded = small_world()
    stranger = replace(encoded, image_embeds=encoded.image_embeds.roll(1, dims=0))
    _, figures = write_report(tmp_path, pairs, stranger, 30.0, TOLD)
    assert re.search("random partners poorly|Nearly all pairs look like random ones", " ".join(figures["doubts"]))
    page = (tmp_path / "report.html").read_text()
    assert 0 < page.index('class="doubt"') < page.index('class="tile"')
    summary = told(figures)
    assert 0 < summary.index("note: ") < summary.index("wrong, estimated")
    pairs, encoded = small_world()
    assert not write_report(tmp_path, pairs, encoded, 30.0, TOLD)[1]["doubts"]


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_poor_scorer_s_share_is_called_an_upper_bound(noise, tmp_path):
    """It sees a little of clean data, and takes some for wrong."""
    pairs, encoded = small_world(pictures=500, noise=noise)
    dim = unit(encoded.text_embeds + 0.6 * torch.randn(1500, 24, generator=torch.Generator().manual_seed(0)))
    _, figures = write_report(tmp_path, pairs, replace(encoded, text_embeds=dim), 30.0, TOLD)
    assert figures["estimate"]["rate"] < 0.6
    assert "an upper bound at best" in figures["doubts"][0]
    assert told_first(figures).startswith("note: This scorer tells right pairs")


def test_too_few_pairs_are_told(tmp_path):
    pairs, encoded = small_world(pictures=30, noise=0.5)
    _, figures = write_report(tmp_path, pairs, encoded, 30.0, TOLD)
    assert "too few pairs" in " ".join(figures["doubts"])
    assert figures["estimate"]["high"] - figures["estimate"]["low"] > 0.15
