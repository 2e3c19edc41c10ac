"""Makes docs/results.md and its figures of the runs of recipes/benchmark.py: `recipes/results_page.py`.

Suites without runs of their table are left out.
"""

import argparse
import sys
from pathlib import Path

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.files import atomic_path
from hf_noisy_itm.suites import CHOICES, read_suite, read_table
from hf_noisy_itm.suites.figures import draw
from hf_noisy_itm.suites.page import evidence, render

RECIPES = Path(__file__).parent
ORDER = ("scenes", "emoji", "wikipedia", "quick")


def page(results: Path, figures: str) -> tuple[list, str]:
    """The tables of the suites that have runs, and the page of them."""
    suites = [read_suite(RECIPES / "suites" / f"{name}.yaml") for name in ORDER]
    begun = [
        suite for suite in suites if any(each.parent.name != CHOICES for each in (results / suite.name).glob("*/*"))
    ]
    tables = [read_table(suite, results / suite.name) for suite in begun]
    if not tables:
        raise InputError(f"There are no runs in {results}: make some with recipes/benchmark.py.")
    return tables, render(tables, figures)


def main(arguments: list[str]) -> None:
    """Writes page and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RECIPES / "results" / "suites")
    parser.add_argument("--page", type=Path, default=RECIPES.parent / "docs" / "results.md")
    args = parser.parse_args(arguments)
    tables, text = page(args.results, "results")
    if of_seeds := evidence(tables):
        draw(of_seeds, args.page.parent / "results")
    with atomic_path(args.page) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
