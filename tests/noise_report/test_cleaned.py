"""Cleaned and weighted data: which pairs they hold, what they say of them, and that they can be trained on."""

import json
from dataclasses import replace

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.noise_report import make_report, parse_report, told, write_report
from hf_noisy_itm.noise_report.dataset import write_data

from .conftest import TOLD, run


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


@pytest.mark.usefixtures("without_plots")
def test_ids_that_are_texts_stay_what_they_are(small, tmp_path):
    pairs, encoded = small.pairs, small.encoded
    names = {"name": np.char.mod("picture-%d", pairs.image_id), "caption_name": np.char.mod("c%d", pairs.caption_id)}
    pairs = replace(pairs, **names)
    findings, figures = write_report(tmp_path / "report", pairs, encoded, 30.0, TOLD)
    write_data(tmp_path / "clean", findings, pairs, pairs, figures, weighted=False)
    rows = datasets.load_dataset(str(tmp_path / "clean"), split="train")
    assert rows["caption_id"] == names["caption_name"][~findings.flagged].tolist()
    assert rows["image_id"] == names["name"][pairs.image_row[~findings.flagged]].tolist()
    scores = pq.read_table(tmp_path / "report" / "scores.parquet").to_pydict()
    assert scores["caption_id"] == names["caption_name"].tolist()


def test_what_nobody_judged_is_called_neither_right_nor_wrong(small, tmp_path):
    """Empty cells of `is_noisy` stay empty: on the page, in the scores, and in data that are read again."""
    judged = np.arange(len(small.pairs)) % 2 == 0
    pairs = replace(
        small.pairs,
        caption_image_id=small.pairs.image_id[small.pairs.image_row],
        damaged=small.pairs.is_noisy & judged,
        pedigree=None,
        is_judged=judged,
    )
    expected = [bool(wrong) if known else None for wrong, known in zip(pairs.is_noisy, judged)]
    findings, figures = write_report(tmp_path / "report", pairs, small.encoded, 30.0, TOLD)
    assert figures["truth"]["pairs"] == judged.sum()
    assert pq.read_table(tmp_path / "report" / "scores.parquet")["is_noisy"].to_pylist() == expected
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"Of {judged.sum()} of {len(pairs)} pairs it is known whether they are wrong" in page
    assert f"of {judged.sum()} that are known" in told(figures)
    shown = findings.order[:200]
    assert page.count('data-wrong=""') == (~judged[shown]).sum()
    write_data(tmp_path / "weighted", findings, pairs, pairs, figures, weighted=True)
    rows = datasets.load_dataset(str(tmp_path / "weighted"), split="train")
    assert rows["is_noisy"][:] == expected
    again = to_pairs(rows, DataArguments(str(tmp_path / "weighted"), caption_column="caption"), "training")
    assert again.noise_is_known.tolist() == judged.tolist()
    assert again.is_noisy.tolist() == pairs.is_noisy.tolist()


@pytest.mark.usefixtures("without_plots")
def test_data_that_call_every_pair_right_keep_that(small, tmp_path):
    right = np.zeros(len(small.pairs), dtype=bool)
    own = small.pairs.image_id[small.pairs.image_row]
    pairs = replace(small.pairs, caption_image_id=own, damaged=right, pedigree=None, is_judged=~right)
    findings, figures = write_report(tmp_path / "report", pairs, small.encoded, 30.0, TOLD)
    assert figures["truth"] is None
    assert not any(pq.read_table(tmp_path / "report" / "scores.parquet")["is_noisy"].to_pylist())
    write_data(tmp_path / "weighted", findings, pairs, pairs, figures, weighted=True)
    rows = datasets.load_dataset(str(tmp_path / "weighted"), split="train")
    assert set(rows["is_noisy"]) == {False}


def test_given_weights_stay_and_are_multiplied(small, tmp_path):
    pairs = replace(small.pairs, weight=np.linspace(0, 1, len(small.pairs), dtype=np.float32))
    findings, figures = small.findings, small.figures
    for weighted, kept in ((True, slice(None)), (False, ~findings.flagged)):
        write_data(tmp_path / "data", findings, pairs, pairs, figures, weighted)
        rows = datasets.load_dataset(str(tmp_path / "data"), split="train", cache_dir=str(tmp_path / str(weighted)))
        chance = 1 - findings.probability if weighted else np.ones(len(pairs))
        np.testing.assert_allclose(rows["weight"], (chance * pairs.weight)[kept], atol=1e-6)


@pytest.mark.usefixtures("without_plots")
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
    assert f"Left out of {tmp_path / 'weighted'}, for columns of these names are made here: weight; rename" in warning
    apart = [record.getMessage() for record in caplog.records if "Taken apart" in record.getMessage()]
    assert len(apart) == 2
    assert all(text.endswith("in every row: writer.") for text in apart)
    for name, count in (("clean", 180 - figures["flagged"]), ("weighted", 180)):
        found = datasets.load_dataset(str(tmp_path / name), split="train").remove_columns("image").to_list()
        assert len(found) == count
        for row in found:
            place = tuple(map(int, row["writer"].split()))
            assert row["caption"] == texts[place]
            assert (row["source"], row["image_id"]) == (f"s{place[0]}", place[0])
            assert row["is_noisy"] is None  # nobody has looked
            assert row["noise_source"] is None
            assert row["weight"] == "kg" if name == "clean" else 0 <= row["weight"] <= 1
        assert ("3 0" in [row["writer"] for row in found]) == (name == "weighted")
        assert len(row.keys() - {"weight"}) == 7
    assert "is_noisy" not in pq.read_schema(tmp_path / "r" / "scores.parquet").names


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("source", ["parquet", "parquet with ids", "imagefolder", "scenes"])
def test_scores_and_data_are_joined_by_id(source, tmp_path):
    """Every fourth picture is held out and one row is bad, so that the captions used are not the first ones."""
    words = ["--dataset", "scenes", "--max_train_pictures", "30", "--noise_rate", "0.2"]
    if source != "scenes":
        rows = [draw_row("street", (0, 1, 0), row) for row in range(30)]
        folder = tmp_path / "data"
        folder.mkdir()
        if source == "imagefolder":
            for number, row in enumerate(rows):
                (folder / f"{number}.png").write_bytes(row["image"]["bytes"])
            named = [{"file_name": f"{row // 2}.png", "caption": rows[row // 2]["captions"][row % 2]}
                     for row in range(60)]  # fmt: skip
            (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, named)))
        else:
            table = {"image": [row["image"] for row in rows], "captions": [row["captions"] for row in rows]}
            table["captions"][1] = ["", *table["captions"][1][1:]]
            if source == "parquet with ids":
                table["caption_id"] = [[1000 - 5 * row - number for number in range(5)] for row in range(30)]
            datasets.Dataset.from_dict(table).cast_column("image", datasets.Image()).to_parquet(folder / "p.parquet")
        words = ["--dataset", folder, "--holdout_every", "4", "--on_bad_row", "skip", "--noise_rate", "0.2"]
    words = ["scenes-clip", *words, "--output", tmp_path / "r"]
    words += ["--cleaned", tmp_path / "c", "--weighted", tmp_path / "w"]
    make_report(*parse_report(list(map(str, words))))
    scores = pq.read_table(tmp_path / "r" / "scores.parquet").to_pylist()
    by_id = {row["caption_id"]: row for row in scores}
    assert len(by_id) == len(scores)
    for name in ("c", "w"):
        found = datasets.load_dataset(str(tmp_path / name), split="train").remove_columns("image").to_list()
        assert len(found) > 10
        for row in found:
            score = by_id[row["caption_id"]]
            assert (row["caption"], row["image_id"]) == (score["caption"], score["image_id"])
            assert row["is_noisy"] == score["is_noisy"]
            assert name == "c" or row["weight"] == pytest.approx(score["weight"], abs=1e-6)
