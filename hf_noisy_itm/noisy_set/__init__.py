"""Makes a noisy data set of any pairs: arguments and sources in, a folder with its pedigree out."""

from .arguments import NoisySetArguments, parse_noisy_set
from .make import make_noisy_set, told

__all__ = ["NoisySetArguments", "make_noisy_set", "parse_noisy_set", "told"]
