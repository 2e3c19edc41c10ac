"""Trains a method on your pairs: `[accelerate launch] recipes/train.py [FILE.yaml] [--field value …]`."""

import sys

from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.failures import RESUME, clean_exit
from hf_noisy_itm.run import train

if __name__ == "__main__":
    with clean_exit(RESUME):
        train(parse_recipe(sys.argv[1:]))
