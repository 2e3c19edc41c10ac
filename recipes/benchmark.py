"""A suite of trainings and its table: `recipes/benchmark.py recipes/suites/quick.yaml [-- --dataset PATH]`.

A suite names methods, kinds and rates of noise, and seeds (recipes/suites/). First each method's learning rate is
chosen, on pairs that the table does not look at; then every run of the table is made. Each run is a training as
recipes/train.py makes it, in a process of its own, and leaves one JSON below the results, which is never written
again: a suite that was stopped goes on, with the same settings and versions only. What follows `--` is given to all.
With `--accelerate` each run is started by `accelerate launch`, on as many devices as the config says.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: runs stand beside each other, one thread each

from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.files import check_writable
from hf_noisy_itm.suites import (
    Way,
    make_runs,
    measure_start,
    read_suite,
    read_table,
    search_learning_rates,
    table_runs,
)
from hf_noisy_itm.suites.markdown import as_markdown

RECIPES = Path(__file__).parent


def main(arguments: list[str]) -> None:
    """Makes the runs that lack, and prints the table of those that are there."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--results", type=Path, default=RECIPES / "results" / "suites", help="folder of all suites")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--limit", type=float, default=float("inf"), help="begin no run after so many seconds")
    parser.add_argument("--accelerate", type=Path, metavar="CONFIG", help="start each run by accelerate launch")
    args = parser.parse_args(arguments[:place])
    common = arguments[place + 1 :]
    way = Way(args.processes, time.monotonic() + args.limit, args.accelerate)
    suite = read_suite(args.suite)
    folder = args.results / suite.name
    check_writable(folder)

    def make(runs) -> bool:
        return make_runs(suite, runs, RECIPES, folder, common, way, lambda line: print(line, flush=True))

    measure_start(suite, RECIPES, folder, common)
    chosen = search_learning_rates(suite, folder, make)
    if chosen is None:
        print("Learning rates are not chosen yet: give the same command again.")
        return
    for method, rates in chosen.items():
        told = ", ".join(f"{rate:g} ({noise.name})" for noise, rate in rates.items())
        print(f"learning rate of {method}: {told}", flush=True)
    runs = table_runs(suite, chosen)
    is_whole = make(runs)
    if any((folder / run.file).exists() for run in runs):
        print(as_markdown(read_table(suite, folder)))
    if not is_whole:
        print("Not all runs are there yet: give the same command again.")


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
