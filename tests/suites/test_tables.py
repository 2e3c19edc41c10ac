"""Tables of runs that a test wrote: means, differences of the same seed, ratios; and what makes no table."""

import json
import math
import time
from dataclasses import replace
from threading import Barrier

import pytest

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.run_record import versions
from hf_noisy_itm.suites import (
    Way,
    make_runs,
    measure_start,
    read_table,
    running,
    search,
    start,
    table_runs,
)
from hf_noisy_itm.suites.markdown import as_markdown
from hf_noisy_itm.suites.page import render
from hf_noisy_itm.suites.plan import Noise
from hf_noisy_itm.suites.process import alone_in
from hf_noisy_itm.suites.search import _best

from .test_plan import RECIPES, SHUFFLED, SMALL, suite_of


def left(begin, words, end):
    """What a run would leave whose rSum tells method, noise, seed and learning rate."""
    told = {words[place][2:]: words[place + 1] for place in range(1, len(words), 2)}
    seed, rate = int(told["seed"]), float(told["learning_rate"])
    is_npc, is_long = "bank_share" in told, told.get("max_steps") == "220"
    rsum = 500 - 100 * float(told["noise_rate"]) + (40 + seed if is_npc else 10 * is_long) + 3 * seed
    rsum -= 1 + 1e4 * abs(rate - 1e-4)
    if end < 0:
        return None
    is_choice = told.get("test_split") == "none"
    return {
        "metrics": {"rsum": rsum - 1, "i2t_r@1": 50.0},
        "test": {"rsum": rsum, "i2t_r@1": 51.0} if not is_choice else {},
        "pairs": {"train": 100, "fingerprint": "ab"},
        "noise": {"realised": told["noise_rate"], "sha256": f"{told['noise_rate']} {seed}"},
        "weights": {"auc": 0.9} if is_npc else None,
        "curve": [{"step": 10, "rsum": 400.0 + seed}, {"step": 20, "rsum": 450.0}, {"step": 20, "rsum": 470.0}],
        "seconds": {"train": 9.0, "train_cpu": 3.0 if is_npc else 2.0},
        "versions": versions(),
        "cost": {"seconds": 10.0, "cpu_seconds": 5.0, "peak_mb": 120.0 if is_npc else 100.0},
        "command": ["recipes/train.py", *words],
    }


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "one_run", left)
    suite, folder, told = suite_of(tmp_path), tmp_path / "results", []
    chosen = search(suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder, told=told.append))
    assert make_runs(suite, table_runs(suite, chosen), RECIPES, folder, told=told.append)
    assert len(told) == 6 + 18
    return suite, folder, chosen


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
    chosen = search(suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder))
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
    chosen = search(suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder))
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
    chosen = search(suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder))
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
        chosen = search(suite, folder, lambda runs, to=folder: make_runs(suite, runs, RECIPES, to))
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
    chosen = search(suite, tmp_path / "results", lambda runs: make_runs(suite, runs, RECIPES, tmp_path / "results"))
    assert chosen["npc"][SHUFFLED] == 3e-4


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["curve"].append({}),
        lambda content: content["cost"].update(peak_mb="x"),
        lambda content: content.update(versions=None),
        lambda content: content.update(weights=3),
    ],
)
def test_a_run_of_other_kinds_of_values_is_refused(change, made):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed0.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="npc_seed0.json is no run of a suite"):
        read_table(suite, folder)


def test_a_search_that_is_not_whole_chooses_nothing(tmp_path):
    suite = suite_of(tmp_path)
    assert search(suite, tmp_path, lambda runs: False) is None
    assert search(suite_of(tmp_path, learning_rates=None), tmp_path, lambda runs: False) == {}


def test_differences_and_ratios_are_of_the_same_seed(made):
    table = read_table(made[0], made[1])
    assert [line.method for line in table.lines[SHUFFLED]] == ["control", "npc", "control_2x"]
    control, npc = (table.line(SHUFFLED, name) for name in ("control", "npc"))
    assert control.whole.values == {0: 459.0, 1: 462.0}
    assert npc.to_control.values == {0: 40.0, 1: 41.0}
    assert npc.to_control.told(sign="+") == "+40.5 ± 0.7"
    assert npc.to_equal_compute.values == {0: 30.0, 1: 31.0}
    assert (npc.wins, control.wins, control.to_control) == (2, 0, None)
    assert (npc.time.mean, npc.memory.mean, npc.auc.mean) == (1.5, 1.2, pytest.approx(0.9))
    assert npc.curve == [(10, 400.5), (20, 450.0)]
    assert {name: set(each.values()) for name, each in table.learning_rates.items()} == {
        name: {1e-4} for name in ("control", "npc", "control_2x")
    }
    assert table.tried[SHUFFLED]["npc"][3e-4].values == {100: pytest.approx(500 - 40 + 140 + 300 - 3 - 1)}


def test_runs_that_the_suite_does_not_ask_for_do_not_count(made):
    suite, folder, _ = made
    whole = read_table(suite, folder)
    first = read_table(replace(suite, seeds=(0,)), folder)
    assert first.line(SHUFFLED, "npc").whole.values == {0: 499.0}
    assert first.runs == (whole.runs[0] // 2, whole.runs[1] // 2)
    assert first.hours < whole.hours
    assert read_table(replace(suite, learning_rates=None), folder).tried == {}


def test_a_run_under_the_name_of_another_is_refused(made):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed0.json"
    file.write_text((folder / "shuffle40" / "control_seed0.json").read_text())
    with pytest.raises(
        InputError, match=r"npc_seed0.json is no run of a suite .*of the run shuffle40/control_seed0.json"
    ):
        read_table(suite, folder)


def test_what_a_scorer_took_counts_as_time(made):
    suite, folder, _ = made
    for file in folder.glob("shuffle40/npc_seed*.json"):
        content = json.loads(file.read_text())
        content["seconds"]["score_cpu"] = 1.0
        file.write_text(json.dumps(content))
    assert read_table(suite, folder).line(SHUFFLED, "npc").time.mean == 2.0


def test_what_ends_below_the_start_is_told(made):
    suite, folder, _ = made
    assert read_table(suite, folder).start is None
    (folder / "start.json").write_text(json.dumps({"settings": {"model": "x"}, "metrics": {"rsum": 460.7}}))
    table = read_table(suite, folder)
    assert table.start == 460.7
    page = render([table], "figures")
    assert "The model that all start from has 460.7 there without any training." in page
    assert "- small, shuffle, 40 %: control ends below the model that all start from (460.7): better not" in page
    (folder / "start.json").write_text("{}")
    with pytest.raises(InputError, match="start.json holds no figures of a start"):
        read_table(suite, folder)


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
    with pytest.raises(InputError, match="start.json is of another model or other pairs: name another --results"):
        measure_start(suite, RECIPES, folder, ["--max_eval_pictures", "20"])
    measure_start(suite, RECIPES, tmp_path / "other", ["--model", "none"])
    assert not (tmp_path / "other").exists()


def test_a_seed_that_the_control_lacks_does_not_count(made):
    suite, folder, _ = made
    (folder / "shuffle40" / "control_seed1.json").unlink()
    npc = read_table(suite, folder).line(SHUFFLED, "npc")
    assert npc.to_control.values == {0: 40.0}
    assert npc.to_control.told() == "40.0"


def test_a_curve_has_the_steps_that_all_runs_have(made):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed1.json"
    content = json.loads(file.read_text())
    content["curve"] = [{"step": 20, "rsum": 460.0}, {"step": 30, "rsum": 480.0}]
    file.write_text(json.dumps(content))
    assert read_table(suite, folder).line(SHUFFLED, "npc").curve == [(20, 455.0)]


def test_the_table_as_markdown_leaves_empty_columns_out(made):
    lines = as_markdown(read_table(made[0], made[1])).splitlines()
    heads = ["noise", "method", "seeds", "rSum", "to the control", "wins", "at equal compute", "time", "memory", "AUC"]
    npc = ["shuffle, 40 %", "npc", "2", "501.0 ± 2.8", "+40.5 ± 0.7", "2 of 2", "+30.5 ± 0.7"]
    npc += ["1.50 ± 0.00 x", "1.20 ± 0.00 x", "0.900"]
    assert lines[0] == f"| {' | '.join(heads)} |"
    assert f"| {' | '.join(npc)} |" in lines
    assert len(lines) == 2 + 9


def test_a_suite_goes_on_and_writes_no_run_twice(made):
    suite, folder, chosen = made
    runs = table_runs(suite, chosen)
    before = {run.file: (folder / run.file).stat().st_mtime_ns for run in runs}
    (folder / runs[3].file).unlink()
    told = []
    assert not make_runs(suite, runs, RECIPES, folder, way=Way(end=-1), told=told.append)
    assert make_runs(suite, runs, RECIPES, folder, told=told.append)
    assert len(told) == 1
    assert sum((folder / run.file).stat().st_mtime_ns != before[run.file] for run in runs) == 1


def test_two_benchmarks_do_not_work_in_one_folder(made):
    suite, folder, chosen = made
    with alone_in(folder), pytest.raises(InputError, match="Another benchmark is at work in .*results"):
        make_runs(suite, table_runs(suite, chosen), RECIPES, folder)
    assert make_runs(suite, table_runs(suite, chosen), RECIPES, folder)


def test_a_run_that_would_be_another_today_is_refused(made):
    suite, folder, chosen = made
    with pytest.raises(InputError, match=r"made with weight_decay 0.2, which is now 0.1: name another --results"):
        make_runs(suite, table_runs(suite, chosen), RECIPES, folder, ["--weight_decay", "0.1"])
    file = folder / "clean" / "npc_seed0.json"
    file.write_text(file.read_text().replace(versions()["torch"], "1.0"))
    with pytest.raises(InputError, match=r"made with version of torch '1.0'"):
        make_runs(suite, table_runs(suite, chosen), RECIPES, folder)
    content = json.loads(file.read_text())
    for damaged in (
        {},
        content | {"test": {"rsum": "x"}},
        content | {"test": {"rsum": float("nan")}},
        content | {"run": {}},
    ):
        file.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"npc_seed0.json is no run of a suite"):
            read_table(suite, folder)


def test_a_run_that_fails_is_named_and_the_others_are_kept(made, monkeypatch):
    suite, folder, chosen = made
    runs = table_runs(suite, chosen)
    for run in runs[:3]:
        (folder / run.file).unlink()

    def failing(begin, words, end):
        if "bank_share" in " ".join(words):
            raise InputError("the bank is empty")
        return left(begin, words, end)

    monkeypatch.setattr(running, "one_run", failing)
    with pytest.raises(InputError, match=r"run clean/npc_seed0.json failed, and no other begins: the bank is empty"):
        make_runs(suite, runs, RECIPES, folder, told=lambda _: None)
    assert [(folder / run.file).exists() for run in runs[:3]] == [True, False, False]


def test_after_one_that_failed_no_other_begins(made, monkeypatch):
    suite, folder, chosen = made
    runs = table_runs(suite, chosen)
    for run in runs:
        (folder / run.file).unlink()
    begun, both = [], Barrier(2)

    def failing(begin, words, end):
        begun.append(words)
        both.wait(10)
        if len(begun) > 2 or words is begun[0]:
            raise InputError("the disk is full")
        time.sleep(0.5)
        return left(begin, words, end)

    monkeypatch.setattr(running, "one_run", failing)
    with pytest.raises(InputError, match="failed, and no other begins: the disk is full"):
        make_runs(suite, runs, RECIPES, folder, way=Way(2), told=lambda _: None)
    assert len(begun) == 2  # of which one had begun already: it is kept
    assert sum((folder / run.file).exists() for run in runs) == 1


@pytest.mark.parametrize(("part", "name"), [("pairs", "fingerprint"), ("noise", "sha256")])
def test_runs_of_other_pairs_or_other_noise_are_not_compared(made, part, name):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed1.json"
    content = json.loads(file.read_text())
    content[part][name] = "another"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"npc_seed1.json was made of other pairs, or with other noise, than .*/cont"):
        read_table(suite, folder)


def test_without_runs_there_is_no_table(tmp_path):
    with pytest.raises(InputError, match="There are no runs of small in .*recipes/benchmark.py"):
        read_table(suite_of(tmp_path), tmp_path)
