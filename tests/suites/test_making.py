"""How the runs of a suite are made: each once, none after one that failed, and none that would be another today."""

import json
import time
from dataclasses import replace
from threading import Barrier

import pytest

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.run_record import versions
from hf_noisy_itm.suites import Way, make_runs, read_table, running, search_learning_rates, table_runs
from hf_noisy_itm.suites.process import alone_in

from .conftest import left
from .test_plan import RECIPES


@pytest.mark.parametrize(
    "words",
    [["--seed", "7"], ["--noise_rate=0.9"], ["--learning_rate", "1"], ["--output_dir", "x"]],
)
def test_what_is_given_to_all_runs_says_nothing_else_than_the_suite(words, made):
    suite, folder, chosen = made
    name = words[0].split("=")[0]
    with pytest.raises(InputError, match=f"^{name} is for the suite small to say, and cannot be given to all"):
        make_runs(suite, table_runs(suite, chosen), RECIPES, folder, words)


def test_a_run_of_another_suite_is_none_of_this(made, tmp_path):
    suite, folder, chosen = made
    other = replace(suite, name="other")
    for look in (
        lambda: read_table(other, folder),
        lambda: make_runs(other, table_runs(other, chosen), RECIPES, folder),
        lambda: search_learning_rates(other, folder, lambda runs: True),
    ):
        with pytest.raises(InputError, match="it is of the suite small"):
            look()


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
