"""Which captions of a training set are wrong: a report of any pairs, by any CLIP, in a folder."""

from .arguments import ReportArguments, parse_report
from .findings import Findings, examine
from .make import make_report, training_weights, write_report
from .summary import told

__all__ = [
    "Findings",
    "ReportArguments",
    "examine",
    "make_report",
    "parse_report",
    "told",
    "training_weights",
    "write_report",
]
