"""A table of runs, means and deviations over seeds: `recipes/compare.py runs/*/metrics.json`.

Files of `recipes/ablation.py` are taken, too. With `--fill PAGE.md` the tables of a page are made anew, see
`comparison.fill_tables`; patterns start from here.
"""

import sys
from pathlib import Path

from hf_noisy_itm.comparison import compare, fill_tables
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.files import atomic_path


def main(arguments: list[str]) -> None:
    """Prints a table, or fills a page."""
    if not arguments or (arguments[0] == "--fill" and len(arguments) != 2):
        raise InputError("Name the metrics.json files of runs: recipes/compare.py runs/*/metrics.json")
    if arguments[0] != "--fill":
        print(compare(arguments))
        return
    page = Path(arguments[1])
    text = fill_tables(page.read_text(encoding="utf-8"), ".")
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
