import importlib
import json
import os
import re
import runpy
import shutil
import sys

import datasets
import numpy as np
import pytest
import torch
from transformers import CLIPModel

from hf_noisy_itm import InputError, evaluation
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.evaluation import LEAST_SAMPLES, evaluate_model, parse_evaluation
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.functional.retrieval import Ranks, bootstrap_recall
from hf_noisy_itm.loading import ASSETS
from hf_noisy_itm.methods import NPCModel
from hf_noisy_itm.report import recall_table

from .processes import run

SMALL = ["--dataset", "scenes", "--max_train_pictures", "10", "--max_eval_pictures", "30"]


def evaluate(*words):
    return evaluate_model(*parse_evaluation(words))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    files = ["--per_query", str(folder / "ranks.parquet"), "--output", str(folder / "figures.json")]
    return evaluate("scenes-clip", *SMALL, "--bootstrap", "200", *files), folder


def test_the_ranks_of_the_queries_give_the_figures(result):
    figures, folder = result
    table = datasets.Dataset.from_parquet(str(folder / "ranks.parquet"))
    for way, number in (("i2t", 30), ("t2i", 150)):
        ranks = [row["rank"] for row in table if row["direction"] == way]
        assert len(ranks) == number
        for k in (1, 5, 10):
            share = 100 * sum(rank <= k for rank in ranks) / number
            assert figures["metrics"][f"{way}_r@{k}"] == share
    assert [row["caption"] is None for row in table] == [True] * 30 + [False] * 150
    assert table[30]["image_id"] == table[34]["image_id"] != table[35]["image_id"]


@pytest.fixture(scope="module")
def by_id(tmp_path_factory):
    """Twelve pictures with ids of their own, of which every second one is evaluated on."""
    folder = tmp_path_factory.mktemp("by_id")
    rows = [
        {"image": row["image"], "caption": text, "image_id": f"picture {n:02}", "caption_id": f"{n:02}-{place}"}
        for n, row in enumerate(draw_row("street", (0, 1, 0), row) for row in range(12))
        for place, text in enumerate(row["captions"])
    ]
    datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_parquet(folder / "rows.parquet")
    return folder, ["--dataset", str(folder / "rows.parquet"), "--holdout_every", "2", "--ks", "1", "5"]


def test_ranks_are_named_by_the_ids_of_the_data(by_id):
    folder, words = by_id
    evaluate("scenes-clip", *words, "--per_query", str(folder / "ranks.parquet"))
    table = datasets.Dataset.from_parquet(str(folder / "ranks.parquet"))
    assert table.column_names == ["direction", "image_id", "caption_id", "caption", "rank"]
    own = [f"{n:02}" for n in range(1, 12, 2)]
    assert table["image_id"][:] == [f"picture {n}" for n in own] + [f"picture {n}" for n in own for _ in range(5)]
    assert table["caption_id"][:] == [None] * 6 + [f"{n}-{place}" for n in own for place in range(5)]


def test_what_of_a_file_of_positives_was_used_is_told(by_id):
    folder, words = by_id
    positives = {"i2t": {f"picture {n:02}": [f"{n:02}-0", f"{n:02}-1", f"{n - 1:02}-0"] for n in range(1, 12)}}
    (folder / "own.json").write_text(json.dumps(positives))
    figures = evaluate("scenes-clip", *words, "--positives", str(folder / "own.json"))
    counts = {"queries": 6, "answers": 18, "outside": 6, "file_queries": 11, "file_used": 6}
    assert set(figures["extended"]) == {"i2t"}
    assert counts.items() <= figures["extended"]["i2t"].items()
    last = recall_table(figures).splitlines()[-1]
    assert "(6 queries, 18 answers, 6 of them not in the gallery, 6 of the file's 11 queries used): r@1" in last


def test_the_seed_decides_the_intervals_and_nothing_else(result):
    ranks = datasets.Dataset.from_parquet(str(result[1] / "ranks.parquet")).with_format("torch")
    ranks = Ranks(ranks["rank"][:30] - 1, ranks["rank"][30:] - 1)
    intervals = {}
    for seed in (0, 5):
        figures = evaluate("scenes-clip", *SMALL, "--bootstrap", "200", "--seed", str(seed))
        rng = np.random.default_rng(seed)
        intervals[seed] = bootstrap_recall(ranks, np.arange(150) // 5, rng, samples=200)
        assert figures["intervals"] == intervals[seed]
        assert figures["metrics"] == result[0]["metrics"]
    assert intervals[0] == result[0]["intervals"] != intervals[5]


def test_the_result_is_written_and_holds_what_it_is_of(result):
    figures, folder = result
    assert json.loads((folder / "figures.json").read_text()) == json.loads(json.dumps(figures))
    assert figures["pairs"] == {"pictures": 30, "captions": 150, "fingerprint": figures["pairs"]["fingerprint"]}
    assert figures["method"] == "noisy_itm_baseline"


def test_intervals_hold_their_figures(result):
    for name, (low, high) in result[0]["intervals"].items():
        assert low <= result[0]["metrics"][name] <= high


def test_of_scenes_all_right_answers_are_known(result):
    metrics, extended = result[0]["metrics"], result[0]["extended"]
    for way, queries in (("i2t", 30), ("t2i", 150)):
        assert extended[way]["queries"] == queries
        assert extended[way]["outside"] == 0
        for k in (1, 5, 10):
            assert extended[way][f"r@{k}"] >= metrics[f"{way}_r@{k}"]
    more = ["--dataset", "scenes", "--max_train_pictures", "10", "--max_eval_pictures", "200"]
    figures = evaluate("scenes-clip", *more)
    for way, queries in (("i2t", 200), ("t2i", 1000)):
        assert figures["extended"][way]["queries"] == queries
        assert figures["extended"][way]["answers"] > 1000  # more than the given ones
    assert figures["extended"]["t2i"]["r@1"] > figures["metrics"]["t2i_r@1"]


def test_the_table_names_every_figure(result):
    lines = recall_table(result[0]).splitlines()
    assert [line.split()[0] for line in lines] == ["R@1", "image", "text", "rSum", "i2t,", "t2i,"]
    assert len({len(line) for line in lines[:3]}) == 1
    low, high = result[0]["intervals"]["i2t_r@5"]
    assert f"{result[0]['metrics']['i2t_r@5']:.1f} [{low:.1f}, {high:.1f}]" in lines[1]


def test_the_table_has_cut_offs_in_their_order():
    figures = evaluate("scenes-clip", *SMALL, "--ks", "10", "1", "5")
    lines = recall_table(figures).splitlines()
    assert lines[0].split()[:3] == ["R@1", "R@5", "R@10"]
    for line in lines[-2:]:
        names = [part.split()[0] for part in line.split("): ")[1].split(", ")]
        assert names == ["r@1", "r@5", "r@10", "r_precision", "map@r"]


def test_plain_and_own_checkpoints_of_the_same_weights_have_the_same_figures(result, tmp_path):
    NPCModel.from_pretrained(ASSETS / "scenes-clip").save_pretrained(tmp_path / "npc")
    CLIPModel.from_pretrained(ASSETS / "scenes-clip").save_pretrained(tmp_path / "plain")
    for name, method in (("npc", "noisy_itm_npc"), ("plain", "noisy_itm_baseline")):
        for file in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
            (tmp_path / name / file).write_bytes((ASSETS / "scenes-clip" / file).read_bytes())
        figures = evaluate(str(tmp_path / name), *SMALL)
        assert figures["metrics"] == pytest.approx(result[0]["metrics"])
        assert figures["method"] == method
        (written,) = (tmp_path / name).glob("evaluation-scenes-*.json")
        assert json.loads(written.read_text())["metrics"] == figures["metrics"]


def default_name(*words):
    return evaluation._default_name(*parse_evaluation(["scenes-clip", *words]))


def test_only_the_same_question_has_the_same_file():
    questions = [
        ["--dataset", "a/rows.parquet"],
        ["--dataset", "b/rows.parquet"],
        ["--dataset", "a/rows.parquet", "--ks", "1"],
        ["--dataset", "a/rows.parquet", "--bootstrap", "100"],
        ["--dataset", "a/rows.parquet", "--positives", "own.json"],
        ["--dataset", "a/rows.parquet", "--max_eval_pictures", "9"],
        ["--dataset", "a/rows.parquet", "--eval_split", "test"],
        ["--dataset", "a/rows.parquet", "--folds", "5"],
    ]
    names = [default_name(*words) for words in questions]
    assert len(set(names)) == len(questions)
    assert default_name(*questions[0], "--batch_size", "7", "--per_query", "ranks.parquet") == names[0]
    assert re.fullmatch(r"evaluation-rows-[0-9a-f]{8}\.json", names[0])
    assert names[-1].startswith("evaluation-rows-folds5-")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("shards/flat*.tar", "evaluation-flat-"),
        ("user/data set", "evaluation-data_set-"),
        ("..", "evaluation-"),
        ("x" * 500, "evaluation-" + "x" * 60 + "-"),
        ("Flickr\n?:30k", "evaluation-Flickr_30k-"),
    ],
)
def test_names_of_files_are_plain(name, start):
    assert re.fullmatch(re.escape(start) + r"[0-9a-f]{8}\.json", default_name("--dataset", name))


def test_right_answers_may_come_from_a_file(tmp_path):
    own = {
        "i2t": {str(row): list(range(5 * row, 5 * row + 5)) for row in range(30)},
        "t2i": {str(row): [row // 5] for row in range(150)},
    }
    (tmp_path / "own.json").write_text(json.dumps(own))
    figures = evaluate("scenes-clip", *SMALL, "--positives", str(tmp_path / "own.json"))
    for way in ("i2t", "t2i"):
        for k in (1, 5, 10):
            assert figures["extended"][way][f"r@{k}"] == pytest.approx(figures["metrics"][f"{way}_r@{k}"])


def test_a_cut_off_named_twice_counts_once():
    figures = evaluate("scenes-clip", *SMALL, "--ks", "1", "1", "--bootstrap", "100")
    both = figures["metrics"]["i2t_r@1"] + figures["metrics"]["t2i_r@1"]
    assert figures["metrics"]["rsum"] == pytest.approx(both)


def test_captions_longer_than_the_text_tower_are_cut(tmp_path):
    """A tokenizer that would take 77 tokens, and a text tower of 32 positions."""
    folder = tmp_path / "model"
    shutil.copytree(ASSETS / "scenes-clip", folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    rows = datasets.Dataset.from_list([draw_row("street", (0, 1, 0), row) for row in range(20)])
    rows = rows.map(lambda row: {"captions": [f"{caption} " * 20 for caption in row["captions"]]})
    rows.cast_column("image", datasets.Image()).to_parquet(str(tmp_path / "long.parquet"))
    figures = evaluate(str(folder), "--dataset", str(tmp_path / "long.parquet"), "--holdout_every", "2", "--ks", "1")
    assert figures["pairs"]["pictures"] == 10


def test_a_launcher_of_several_processes_ends_with_the_sentence(tmp_path, monkeypatch):
    """Torch's launcher prints at its end what a process has left in the file that it named to it."""
    errors = importlib.import_module("torch.distributed.elastic.multiprocessing.errors")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    with pytest.raises(SystemExit), clean_exit():
        raise InputError("An evaluation runs in one process.")
    failure = errors.ProcessFailure(0, 1, 2, str(tmp_path / "error.json"))
    report = str(errors.ChildFailedError("evaluate.py", {0: failure}))
    assert report.split("Root Cause")[1].splitlines()[-2].endswith("error: An evaluation runs in one process.")


@pytest.mark.slow
def test_accelerate_launch_ends_with_the_sentence():
    words = ["--config_file", "accelerate_configs/cpu.yaml", "recipes/evaluate.py", "scenes-clip", *SMALL]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = run([sys.executable, "-m", "accelerate.commands.launch", *words], 300, environment)
    assert done.returncode == 1
    assert "error: An evaluation runs in one process: start it with python" in done.stderr.split("Root Cause")[1]


def test_the_least_number_of_samples_is_that_of_the_bootstrap():
    ranks, rng = Ranks(torch.arange(9), torch.arange(9)), np.random.default_rng(0)
    bootstrap_recall(ranks, torch.arange(9), rng, (1,), samples=LEAST_SAMPLES)
    with pytest.raises(ValueError, match=f"at least {LEAST_SAMPLES} "):
        bootstrap_recall(ranks, torch.arange(9), rng, (1,), samples=LEAST_SAMPLES - 1)


def test_folds_are_a_mean_of_smaller_galleries(result):
    figures = evaluate("scenes-clip", *SMALL, "--folds", "3", "--ks", "1", "10")["metrics"]
    assert set(figures) >= {"i2t_r@1", "t2i_r@10", "rsum"}
    assert "i2t_r@5" not in figures
    assert figures["t2i_r@10"] >= result[0]["metrics"]["t2i_r@10"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name a model first"),
        (["--dataset", "scenes"], "Name a model first"),
        (
            ["scenes-clip", "--datasett", "scenes"],
            "Unknown field 'datasett' in the command line .did you mean 'dataset'",
        ),
        (["scenes-clip", *SMALL, "--folds", "0"], "folds must be at least 1, got 0"),
        (["scenes-clip", *SMALL, "--folds", "7"], "30 pictures cannot be divided into 7 folds"),
        (["scenes-clip", *SMALL, "--folds", "3", "--bootstrap", "100"], "leave bootstrap"),
        (["scenes-clip", *SMALL, "--bootstrap", "10"], "bootstrap must be 0 or at least 100, got 10"),
        (["scenes-clip", *SMALL, "--positives", ""], "positives is empty: name a file"),
        (["scenes-clip", *SMALL, "--per_query", ""], "per_query is empty: name a file"),
        (["scenes-clip", *SMALL, "--output", ""], "output is empty: name a file"),
        (
            ["scenes-clip", *SMALL, "--output", "a.json", "--per_query", "./a.json"],
            "a.json is both output and per_query: give each a file of its own",
        ),
        (
            ["scenes-clip", *SMALL, "--positives", "eccv.json", "--output", "x/../eccv.json"],
            "eccv.json is both positives and output",
        ),
        (["scenes-clip", "--dataset", "rows.parquet", "--per_query", "rows.parquet"], "is both dataset and per_query"),
        (["scenes-clip", *SMALL, "--ks", "31"], r"smaller gallery \(30\), got \[31\]"),
        (["scenes-clip", *SMALL, "--ks", "one"], "ks"),
        (["scenes-clip", *SMALL, "--noise_rate", "0.4"], "clean captions"),
        (["scenes-clip", *SMALL, "--positives", "nowhere.json"], "nowhere.json cannot be read"),
        (["./nowhere", *SMALL], "nowhere"),
        (["scenes-clip", *SMALL, "--output", "recipes"], "recipes cannot be written"),
        (["scenes-clip", *SMALL, "--per_query", "recipes/train.py/ranks.parquet"], "cannot be written"),
        (["scenes-clip", *SMALL, "--ks", "0"], r"smaller gallery \(30\), got \[0\]"),
    ],
)
def test_wrong_input_is_named(words, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluate(*words)


def test_the_recipe_prints_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "scenes-clip", *SMALL, "--output", str(tmp_path / "e.json")])
    runpy.run_path("recipes/evaluate.py", run_name="__main__")
    assert "image to text" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "scenes-clip", *SMALL, "--folds", "7"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path("recipes/evaluate.py", run_name="__main__")
    assert stop.value.code == 2
    assert "error: " in capsys.readouterr().err
