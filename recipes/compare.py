"""A table of runs, means and deviations over seeds: `recipes/compare.py runs/*/metrics.json`."""

import sys

from hf_noisy_itm.comparison import compare
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.run import clean_exit

if __name__ == "__main__":
    with clean_exit():
        if not sys.argv[1:]:
            raise InputError("Name the metrics.json files of runs: recipes/compare.py runs/*/metrics.json")
        print(compare(sys.argv[1:]))
