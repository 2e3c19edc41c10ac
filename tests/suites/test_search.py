"""How learning rates are chosen, on pairs that the table does not look at; what the start has there."""

import json
import math
from dataclasses import replace

import pytest

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.suites import make_runs, measure_start, read_table, running, search_learning_rates, start, table_runs
from hf_noisy_itm.suites.page import render
from hf_noisy_itm.suites.plan import Noise
from hf_noisy_itm.suites.search import _best

from .conftest import left
from .test_plan import RECIPES, SHUFFLED, SMALL, suite_of


def test_the_better_learning_rate_is_chosen_on_other_figures(made):
    suite, folder, chosen = made
    assert chosen == {"control": {SHUFFLED: 1e-4}, "npc": {SHUFFLED: 1e-4}}
    for file in (folder / "learning_rate").iterdir():
        assert json.loads(file.read_text())["test"] == {}


def test_what_is_best_at_one_rate_of_noise_is_chosen_for_no_other(tmp_path, monkeypatch):
    at_rates = {0.4: {3e-4: 520.0, 1e-4: 500.0}, 0.8: {1e-4: 440.0}}

    def of_its_own_rate(begin, words, end):
        content = left(begin, words, end)
        rate, noise = (float(words[words.index(f"--{name}") + 1]) for name in ("learning_rate", "noise_rate"))
        content["metrics"]["rsum"] = at_rates[noise].get(rate, 100.0)
        return content

    monkeypatch.setattr(running, "one_run", of_its_own_rate)
    rates = {**SMALL["learning_rates"], "noise": {"rates": [0.4, 0.8]}}
    noise = [{"kind": "shuffle", "rates": [0.4, 0.8]}]
    suite, folder = suite_of(tmp_path, learning_rates=rates, noise=noise), tmp_path / "results"
    chosen = search_learning_rates(suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder))
    most = Noise("shuffle", 0.8)
    assert chosen["npc"] == {SHUFFLED: 3e-4, most: 1e-4}
    make_runs(suite, table_runs(suite, chosen), RECIPES, folder)
    table = read_table(suite, folder)
    assert table.learning_rates["control_2x"] == chosen["control"]
    tried = {rate: spread.told() for rate, spread in table.tried[most]["npc"].items()}
    assert tried == {3.3e-5: "100.0", 1e-4: "440.0", 3e-4: "100.0"}
    assert set(table.tried[SHUFFLED]["npc"]) == {1e-4, 3e-4, 9e-4}
    page = render([table], "figures")
    assert "| shuffle, 40 % | npc |  | 500.0 | 520.0 | 100.0 | 0.0003 |" in page
    assert "| shuffle, 80 % | npc | 100.0 | 440.0 | 100.0 |  | 0.0001 |" in page


def test_the_search_goes_from_the_middle_to_where_it_is_no_longer_better(tmp_path, monkeypatch):
    def best_at(begin, words, end):
        content, rate = left(begin, words, end), float(words[words.index("--learning_rate") + 1])
        best = 4e-4 if "bank_share" in " ".join(words) else 2e-5
        content["metrics"]["rsum"] = 500 - abs(math.log(rate / best))
        return content

    monkeypatch.setattr(running, "one_run", best_at)
    rates = {**SMALL["learning_rates"], "candidates": [1.5e-3, 2e-5, 6e-5, 1.7e-4, 5e-4, 4e-3]}
    suite, folder = suite_of(tmp_path, learning_rates=rates), tmp_path / "results"
    chosen = search_learning_rates(suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder))
    assert (chosen["npc"][SHUFFLED], chosen["control"][SHUFFLED]) == (5e-4, 2e-5)
    tried = {method: set() for method in chosen}
    for file in (folder / "learning_rate").iterdir():
        run = json.loads(file.read_text())["run"]
        tried[run["method"]].add(run["learning_rate"])
    assert tried == {"npc": {1.7e-4, 5e-4, 1.5e-3}, "control": {5e-4, 1.7e-4, 6e-5, 2e-5, 6.7e-6}}


def test_of_two_learning_rates_as_good_the_smaller_is_chosen():
    assert _best({9e-4: [500.0], 3e-4: [499.0, 501.0], 1e-4: [499.0]}) == 3e-4


@pytest.mark.parametrize("sign", [1, -1])
def test_no_more_than_three_rates_beyond_the_candidates_are_tried(sign, tmp_path, monkeypatch):
    def the_further_the_better(begin, words, end):
        content = left(begin, words, end)
        content["metrics"]["rsum"] = 100 + sign * math.log(float(words[words.index("--learning_rate") + 1]))
        return content

    monkeypatch.setattr(running, "one_run", the_further_the_better)
    suite, folder = suite_of(tmp_path), tmp_path / "results"
    chosen = search_learning_rates(suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder))
    assert chosen["npc"][SHUFFLED] == pytest.approx(8.1e-3 if sign > 0 else 3.7e-6)
    assert len(list((folder / "learning_rate").iterdir())) == 2 * (2 + 3)


def test_smaller_rates_are_tried_where_the_best_is_below_the_start(tmp_path, monkeypatch):
    """The largest but one may be the best of a grid, and the smallest, which changes nothing, be better than all."""

    def worst_between(begin, words, end):
        content, rate = left(begin, words, end), float(words[words.index("--learning_rate") + 1])
        content["metrics"]["rsum"] = {1e-4: 300.0, 3e-4: 460.0, 9e-4: 200.0}.get(rate, 480 - 1e6 * rate)
        return content

    monkeypatch.setattr(running, "one_run", worst_between)
    rates = {**SMALL["learning_rates"], "candidates": [1e-4, 3e-4, 9e-4]}
    suite = suite_of(tmp_path, learning_rates=rates)
    for start_rsum, rate in ((450.0, 3e-4), (485.0, 3.7e-6)):
        (folder := tmp_path / f"results{start_rsum}").mkdir()
        for name, rsum in (
            ("start_of_choices.json", start_rsum),
            ("start.json", 470.0),
        ):  # of the table: not read
            (folder / name).write_text(json.dumps({"settings": {"model": "x"}, "metrics": {"rsum": rsum}}))
        chosen = search_learning_rates(suite, folder, lambda runs, to=folder: make_runs(suite, runs, RECIPES, to))
        assert chosen["control"][SHUFFLED] == pytest.approx(rate)


def test_of_several_seeds_the_mean_decides(tmp_path, monkeypatch):
    reached = {(1e-4, 100): 500.0, (1e-4, 101): 400.0, (3e-4, 100): 460.0, (3e-4, 101): 460.0}

    def spread(begin, words, end):
        content = left(begin, words, end)
        told = {name: float(words[words.index(f"--{name}") + 1]) for name in ("learning_rate", "seed")}
        content["metrics"]["rsum"] = reached.get((told["learning_rate"], told["seed"]), 100.0)
        return content

    monkeypatch.setattr(running, "one_run", spread)
    suite = suite_of(tmp_path, learning_rates={**SMALL["learning_rates"], "seeds": [100, 101]})
    chosen = search_learning_rates(
        suite, tmp_path / "results", lambda runs: make_runs(suite, runs, RECIPES, tmp_path / "results")
    )
    assert chosen["npc"][SHUFFLED] == 3e-4


def test_a_search_that_is_not_whole_chooses_nothing(tmp_path):
    suite = suite_of(tmp_path)
    assert search_learning_rates(suite, tmp_path, lambda runs: False) is None
    assert search_learning_rates(suite_of(tmp_path, learning_rates=None), tmp_path, lambda runs: False) == {}


def test_the_start_is_measured_once_on_the_pairs_of_the_table_and_on_those_of_the_choices(tmp_path, monkeypatch):
    suite = suite_of(tmp_path, fields={"eval_split": "validation", "test_split": "test", "max_eval_pictures": 30})
    folder = tmp_path / "results"
    measure_start(suite, RECIPES, folder)
    content = json.loads((folder / "start.json").read_text())
    assert content["settings"]["model"] == "scenes-clip"
    assert (content["settings"]["eval_split"], content["settings"]["max_eval_pictures"]) == ("test", 30)
    assert 0 < content["metrics"]["rsum"] <= 600
    of_choices = json.loads((folder / "start_of_choices.json").read_text())
    assert of_choices["settings"]["eval_split"] == "validation"
    assert of_choices["metrics"]["rsum"] != content["metrics"]["rsum"]
    monkeypatch.setattr(start, "evaluate_model", lambda *given: pytest.fail("it was measured again"))
    measure_start(suite, RECIPES, folder)
    other = replace(suite, fields=suite.fields | {"max_eval_pictures": 20})
    with pytest.raises(InputError, match="start.json is of another model or other pairs: name another --results"):
        measure_start(other, RECIPES, folder)
    measure_start(suite, RECIPES, tmp_path / "other", ["--model", "none"])
    assert not (tmp_path / "other").exists()


HELD = {"holdout_every": 5, "holdout_offset": 0}


def test_another_part_of_the_same_division_shares_no_pair(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_measure", lambda recipe, file: None)
    rates = {**SMALL["learning_rates"], "fields": {"holdout_offset": 1}}
    measure_start(suite_of(tmp_path, fields=HELD, learning_rates=rates), RECIPES, tmp_path)


@pytest.mark.parametrize(
    ("fields", "of_choices"),
    [
        ({"eval_split": "validation", "test_split": "test"}, {"eval_split": "test"}),
        ({"eval_split": "test", "test_split": "test"}, {}),
        ({"eval_split": "validation"}, {}),
        ({"eval_strategy": "no"}, {"eval_strategy": "no"}),
        ({"eval_split": "validation"}, {"max_eval_pictures": 10}),
        (HELD, {"max_eval_pictures": 10}),
        (HELD, {"holdout_every": 10}),
        (HELD, {"holdout_every": 4, "holdout_offset": 1}),
    ],
)
def test_no_learning_rate_is_chosen_on_the_pairs_of_the_table(fields, of_choices, tmp_path):
    rates = {**SMALL["learning_rates"], "fields": of_choices}
    suite = suite_of(tmp_path, fields=fields, learning_rates=rates)
    with pytest.raises(InputError, match="small would choose learning rates on the pairs that its table tests on"):
        measure_start(suite, RECIPES, tmp_path)
