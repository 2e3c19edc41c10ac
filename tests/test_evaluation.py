import json
import runpy
import shutil
import sys

import datasets
import pytest
from transformers import CLIPModel

from hf_noisy_itm import InputError
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.evaluation import evaluate_model, parse_evaluation
from hf_noisy_itm.loading import ASSETS
from hf_noisy_itm.methods import NPCModel
from hf_noisy_itm.report import recall_table

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
            assert figures["metrics"][f"{way}_r@{k}"] == pytest.approx(share)
    assert [row["caption"] is None for row in table] == [True] * 30 + [False] * 150
    assert table[30]["image_id"] == table[34]["image_id"] != table[35]["image_id"]


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
        for k in (1, 5, 10):
            assert extended[way][f"r@{k}"] >= metrics[f"{way}_r@{k}"]


def test_the_table_names_every_figure(result):
    lines = recall_table(result[0]).splitlines()
    assert [line.split()[0] for line in lines] == ["R@1", "image", "text", "rSum", "i2t,", "t2i,"]
    assert len({len(line) for line in lines[:3]}) == 1
    low, high = result[0]["intervals"]["i2t_r@5"]
    assert f"{result[0]['metrics']['i2t_r@5']:.1f} [{low:.1f}, {high:.1f}]" in lines[1]


def test_plain_and_own_checkpoints_of_the_same_weights_have_the_same_figures(result, tmp_path):
    NPCModel.from_pretrained(ASSETS / "scenes-clip").save_pretrained(tmp_path / "npc")
    CLIPModel.from_pretrained(ASSETS / "scenes-clip").save_pretrained(tmp_path / "plain")
    for name, method in (("npc", "noisy_itm_npc"), ("plain", "noisy_itm_baseline")):
        for file in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
            (tmp_path / name / file).write_bytes((ASSETS / "scenes-clip" / file).read_bytes())
        figures = evaluate(str(tmp_path / name), *SMALL)
        assert figures["metrics"] == pytest.approx(result[0]["metrics"])
        assert figures["method"] == method
        assert json.loads((tmp_path / name / "evaluation-scenes.json").read_text())["metrics"] == figures["metrics"]


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
    figures = evaluate("scenes-clip", *SMALL, "--ks", "1", "1", "--bootstrap", "20")
    assert figures["metrics"]["rsum"] == figures["metrics"]["i2t_r@1"] + figures["metrics"]["t2i_r@1"]


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


def test_it_runs_in_one_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="one process"):
        parse_evaluation(["scenes-clip"])


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
            "Unknown field 'datasett' in the command line; did you mean 'dataset'",
        ),
        (["scenes-clip", *SMALL, "--folds", "0"], "folds must be at least 1, got 0"),
        (["scenes-clip", *SMALL, "--folds", "7"], "30 pictures cannot be divided into 7 folds"),
        (["scenes-clip", *SMALL, "--folds", "3", "--bootstrap", "10"], "leave bootstrap"),
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
