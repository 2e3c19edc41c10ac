"""From disk to rows, from rows to batches."""

from ._arguments import DataArguments
from ._check import check_rows
from ._labels import Labels
from ._pairs import Pairs
from ._report import BadRows, RowReport, table
from ._stream_load import load_stream
from .cc120k import CC120K
from .collator import PairCollator
from .emoji import Emoji
from .features import FeatureCollator, FeatureProcessor, FeatureRows
from .flickr30k import Flickr30k
from .load import load_pairs, load_test
from .matches import known_matches
from .mscoco import MSCOCO
from .scenes import Scenes
from .stream import StreamCollator, StreamedPairs
from .wikipedia import Wikipedia

__all__ = [
    "CC120K",
    "MSCOCO",
    "BadRows",
    "DataArguments",
    "Emoji",
    "FeatureCollator",
    "FeatureProcessor",
    "FeatureRows",
    "Flickr30k",
    "Labels",
    "PairCollator",
    "Pairs",
    "RowReport",
    "Scenes",
    "StreamCollator",
    "StreamedPairs",
    "Wikipedia",
    "check_rows",
    "known_matches",
    "load_pairs",
    "load_stream",
    "load_test",
    "table",
]
