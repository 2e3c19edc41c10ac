"""Which captions of a training set are wrong: a report of any pairs, by any CLIP, in a folder."""

from .arguments import ReportArguments, parse_report
from .findings import Findings, examine
from .make import make_report, training_weights, write_report
from .of_training import check_report_of_training, report_training
from .summary import told
from .truth import kinds_of, known_truth, truth_of

__all__ = [
    "Findings",
    "ReportArguments",
    "check_report_of_training",
    "examine",
    "kinds_of",
    "known_truth",
    "make_report",
    "parse_report",
    "report_training",
    "told",
    "training_weights",
    "truth_of",
    "write_report",
]
