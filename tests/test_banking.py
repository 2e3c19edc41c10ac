import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_noisy_itm import InputError
from hf_noisy_itm.banking import make_bank, parse_bank, told, truth
from hf_noisy_itm.data import DataArguments, load_pairs
from hf_noisy_itm.memory.bank import MemoryBank

ROOT = Path(__file__).parent.parent
DATA = ["--dataset", "scenes", "--max_train_pictures", "24", "--max_eval_pictures", "10", "--noise_rate", "0.4"]
TRAIN = ["recipes/npc/scenes_noise40.yaml", *DATA, "--max_steps", "2", "--per_device_train_batch_size", "16"]
TRAIN += ["--disable_tqdm", "true", "--clean_threshold", "0.5", "--per_device_eval_batch_size", "64"]


def run(script, *words, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"recipes/{script}", *map(str, words)])
    runpy.run_path(f"recipes/{script}", run_name="__main__")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A bank of 120 pairs, of which 40 % or so are wrong, as the script makes it; and what it prints."""
    path = tmp_path_factory.mktemp("bank") / "bank.safetensors"
    words = ["scenes-clip", *DATA, "--clean_threshold", "0.5", "--batch_size", "64", "--output", str(path)]
    bank, pairs = make_bank(*parse_bank(words))
    return path, bank, told(bank, pairs, path)


def test_the_file_says_what_it_is_and_the_summary_how_good(built):
    path, bank, summary = built
    pairs, _ = load_pairs(DataArguments(dataset="scenes", max_train_pictures=24, noise_rate=0.4))
    loaded = MemoryBank.load(path, pairs.fingerprint)
    assert loaded.provenance == json.loads(json.dumps(bank.provenance))
    assert loaded.provenance["noise"] == pairs.pedigree
    assert loaded.provenance["scorer"]["model"] == "scenes-clip"
    assert len(loaded.provenance["scorer"]["weights_sha256"]) == 64
    is_clean = loaded.scores["clean_posterior"].numpy() > 0.5
    figures = truth(loaded, pairs.is_noisy)
    assert figures["auc"] > 0.95
    assert figures["precision"] == pytest.approx(1 - pairs.is_noisy[is_clean].mean())
    assert figures["recall"] == pytest.approx(is_clean[~pairs.is_noisy].mean())
    assert figures["entries"]["text"] == pytest.approx(1 - pairs.is_noisy[loaded.entries["text"]].mean())
    for words in ("120 pairs over 24 pictures", f"{is_clean.sum():>9}", "converged", f"{figures['auc']:.3f}"):
        assert words in summary


def test_the_search_through_cells_can_be_asked_for(built, tmp_path):
    words = ["scenes-clip", *DATA, "--clean_threshold", "0.5", "--output", str(tmp_path / "cells.safetensors")]
    bank, _ = make_bank(*parse_bank([*words, "--exact_search", "0"]))
    assert (bank.provenance["search"], built[1].provenance["search"]) == ("cells", "exact")


def test_of_pairs_that_nobody_knows_to_be_wrong_nothing_is_told():
    bank = MemoryBank({"image": torch.arange(4), "text": torch.ones(4, dtype=torch.long)})
    assert truth(bank, np.zeros(4, dtype=bool)) == truth(bank, np.ones(4, dtype=bool)) == {}
    assert truth(bank, np.array([True, False, False, False])) == {
        "entries": {"image": 0.75, "text": 1.0}
    }  # as published ones: no score


def test_training_with_the_file_is_training_with_a_bank_built_before_the_first_epoch(built, monkeypatch, tmp_path):
    path, bank, _ = built
    for name, more in (("own", []), ("given", ["--bank", path])):
        run("train.py", *TRAIN, *more, "--output_dir", tmp_path / name, monkeypatch=monkeypatch)
    own, given = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("own", "given"))
    assert own["metrics"] == given["metrics"]
    assert given["bank"] == json.loads(json.dumps(bank.provenance))
    assert own["bank"]["scorer"] == given["bank"]["scorer"]
    assert own["bank"]["noise"] == given["bank"]["noise"]
    assert own["bank_scores"] == given["bank_scores"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--noise_seed", "7"], "other data .*kind shuffle, rate 0.4, seed 0; this data has .*build it again"),
        (["--streaming", "true", "--noise_rate", "0"], "leave --bank out|leave --streaming out"),
        (["--bank", "README.md"], "README.md is not a memory bank"),
        (["--bank", "gone.safetensors"], "gone.safetensors is not a memory bank"),
    ],
)
def test_a_bank_that_does_not_fit_ends_with_one_sentence(built, words, sentence, monkeypatch, capsys, tmp_path):
    recipe = [word for word in TRAIN if word not in ("--clean_threshold", "0.5")]
    with pytest.raises(SystemExit) as stop:
        run("train.py", *recipe, "--bank", built[0], *words, "--output_dir", tmp_path, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(sentence, line)


def test_a_method_without_a_bank_takes_none(built, monkeypatch, capsys, tmp_path):
    words = ["recipes/baseline/scenes_noise40.yaml", *TRAIN[1:], "--bank", built[0], "--output_dir", tmp_path]
    words = [word for word in words if word not in ("--clean_threshold", "0.5")]
    with pytest.raises(SystemExit):
        run("train.py", *words, monkeypatch=monkeypatch)
    assert "error: BaselineModel takes no memory bank; leave --bank out" in capsys.readouterr().err


def write_other(path):
    path.write_text("something else")


def write_bank(path):
    rows = torch.arange(3)
    MemoryBank({"image": rows, "text": rows}, {}, {"fingerprint": "abc", "pairs": 3}).save(path)


@pytest.mark.parametrize(
    ("write", "overwrite", "sentence"),
    [
        (write_bank, "false", r"memory bank already \(of 3 pairs, fingerprint abc\).*--overwrite true"),
        (write_other, "false", "no memory bank, so it is not replaced"),
        (write_other, "true", "no memory bank, so it is not replaced"),
        (lambda path: path.mkdir(), "true", "is a folder; name a file"),
    ],
)
def test_what_is_there_is_not_replaced(write, overwrite, sentence, tmp_path):
    write(tmp_path / "bank.safetensors")
    words = ["scenes-clip", *DATA, "--overwrite", overwrite, "--output", str(tmp_path / "bank.safetensors")]
    with pytest.raises(InputError, match=sentence):
        make_bank(*parse_bank(words))
    assert [path.name for path in tmp_path.iterdir()] == ["bank.safetensors"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--dataset", "scenes"], "Name a model first|output"),
        (["scenes-clip", "--bank_npy", "a.npy", "b.npy"], "and no model"),
        (["--bank_npy", "a.npy"], "two files"),
        (["scenes-clip", "--clean_threshold", "1"], "a probability below 1, got 1.0"),
        (["scenes-clip", "--bank_batch_size", "1"], "bank_batch_size must be at least 2, got 1"),
        (["scenes-clip", "--bank_score", "margin"], "margin"),
        (["scenes-clip", "--exact_search", "-1"], "exact_search must be at least 0, got -1"),
        (["--bank_npy", "a", "b", "--exact_search", "3"], "exact_search says how a model scores"),
        (
            ["scenes-clip", "--bank_seed", "4294967296"],
            r"bank_seed must be at least 0 and below 2\*\*32, got 4294967296",
        ),
        (["--bank_npy", "a", "b", "--exclude_self", "true"], "exclude_self says how a model scores, .*leave it out"),
        (["--bank_npy", "a", "b", "--clean_threshold", "0.3"], "clean_threshold says how a model scores"),
        (["--bank_npy", "a", "b", "--bank_score", "cosine"], "bank_score says how a model scores"),
        (["--bank_npy", "a", "b", "--num_workers", "2"], "num_workers says how a model scores"),
        (["scenes-clip", "--streaming", "true"], "leave --streaming out"),
        (["scenes-clip", "--treshold", "0.5"], "Unknown field 'treshold'"),
    ],
)
def test_wrong_words_are_refused(words, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_bank([*words, "--output", "bank.safetensors"])


def npy_files(folder, pairs, right, ratio="0.4"):
    names = [folder / f"{ratio}_mbank_{kind}_idx.npy" for kind in ("img", "txt")]
    np.save(names[0], {int(name): int(right[row]) for row, name in enumerate(pairs.name)})
    np.save(names[1], {row: int(right[row % len(right)]) for row in range(len(pairs))})
    return ["--bank_npy", *map(str, names)]


@pytest.mark.parametrize(
    ("ratio", "noise", "known"), [("0.6", "0.4", "40.00%"), ("0.4", "0", "0.00%"), ("0", "0.4", "40.00%")]
)
def test_a_published_bank_of_other_noise_by_its_name_is_refused(ratio, noise, known, tmp_path):
    pairs, _ = load_pairs(DataArguments(dataset="scenes", max_train_pictures=24, noise_rate=0.4))
    files = npy_files(tmp_path, pairs, np.arange(len(pairs)), ratio)
    words = [*files, *DATA[:-1], noise, "--output", str(tmp_path / "bank.safetensors")]
    with pytest.raises(InputError, match=rf"{ratio}_mbank_img_idx.npy is by its name of data with a rate .*{known}"):
        make_bank(*parse_bank(words))
    for path in tmp_path.glob("*.npy"):
        path.rename(path.with_name(path.name.removeprefix(f"{ratio}_")))
    words = [word.replace(f"{ratio}_mbank", "mbank") for word in words]
    assert make_bank(*parse_bank(words))[0].entries.keys() == {"image", "text"}


def test_a_published_bank_becomes_a_file_and_trains(monkeypatch, capsys, tmp_path):
    pairs, _ = load_pairs(DataArguments(dataset="scenes", max_train_pictures=24, noise_rate=0.4))
    right = np.flatnonzero(~pairs.is_noisy)
    files = [*npy_files(tmp_path, pairs, right), "--output", tmp_path / "bank.safetensors"]
    run("build_bank.py", *files, *DATA, monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert "entries that are right pairs, text side" in printed
    assert "100.0%" in printed
    more = ["--bank", tmp_path / "bank.safetensors", "--output_dir", tmp_path / "run"]
    run("train.py", *TRAIN, *more, monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["bank"]["published"] == ["0.4_mbank_img_idx.npy", "0.4_mbank_txt_idx.npy"]
    assert metrics["bank"]["noise"] == json.loads(json.dumps(pairs.pedigree))
    assert metrics["bank_scores"] == {}
