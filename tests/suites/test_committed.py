"""What is committed as evidence: runs of the suites as they are today, all of them and no others, and their page."""

import runpy

import pytest

from hf_noisy_itm.suites import read_suite, read_table, search_learning_rates, table_runs
from hf_noisy_itm.suites.page import DEFAULT, ranked
from hf_noisy_itm.suites.running import all_words, parsed, read_run, settings_of

from .test_plan import RECIPES, SUITES

RESULTS = RECIPES / "results" / "suites"
DATA = {"emoji": ["--dataset", "emoji.parquet"], "wikipedia": ["--data", "FOLDER"]}  # as each suite's file says


def test_the_page_is_that_of_the_runs():
    page = runpy.run_path(str(RECIPES / "results_page.py"))["page"]
    _, text = page(RESULTS, "results")
    assert (RECIPES.parent / "docs" / "results.md").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_runs_are_those_that_their_suite_asks_for_today(path):
    suite, folder, asked = read_suite(path), RESULTS / path.stem, []

    def take(runs):
        asked.extend(runs)
        return True

    asked += table_runs(suite, search_learning_rates(suite, folder, take))
    assert {run.file for run in asked} == {str(file.relative_to(folder)) for file in folder.glob("*/*.json")}
    words = DATA.get(suite.name, [])
    differ = {
        run.file
        for run in asked
        if read_run(folder / run.file)["settings"] != settings_of(parsed(all_words(suite, run, RECIPES, words)))
    }
    assert not differ


def test_the_default_is_the_first_of_the_ranking_and_keeps_its_word():
    tables = [read_table(read_suite(path), RESULTS / path.stem) for path in SUITES]
    first, *_ = ranked([table for table in tables if len(table.suite.seeds) > 1])
    assert (first[0], first[3]) == (DEFAULT, [])
