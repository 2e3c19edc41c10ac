"""A table of runs, means and deviations over seeds: `recipes/compare.py runs/*/metrics.json`.

Files of `recipes/ablation.py` are taken, too. With `--fill PAGE.md` the tables of a page are made anew, see
`comparison.fill_tables`; patterns start from here.
"""

import argparse
import sys
from pathlib import Path

from hf_noisy_itm.comparison import compare, fill_tables
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.files import atomic_path


def main(arguments: list[str]) -> None:
    """Prints a table, or fills a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="metrics.json files")
    parser.add_argument("--fill", type=Path, metavar="PAGE.md", help="a page whose tables are made anew")
    args = parser.parse_args(arguments)
    if bool(args.runs) == bool(args.fill):
        raise InputError("Name the metrics.json files of runs: recipes/compare.py runs/*/metrics.json")
    if args.runs:
        print(compare(args.runs))
        return
    text = fill_tables(args.fill.read_text(encoding="utf-8"), ".")
    with atomic_path(args.fill) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
