"""Words and places that are refused, before any work."""

import re

import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.noise_report import make_report, parse_report

from .conftest import DATA, ROOT, run


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
