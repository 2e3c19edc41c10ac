"""From disk to rows, from rows to batches."""

from ._arguments import DataArguments
from ._pairs import Pairs
from .collator import PairCollator
from .load import load_pairs
from .scenes import Scenes

__all__ = ["DataArguments", "PairCollator", "Pairs", "Scenes", "load_pairs"]
