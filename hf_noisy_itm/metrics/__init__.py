"""Metrics in the form of `evaluate`. Each folder is also all that a Space on the Hub needs.

`evaluate.load` takes the folder of a metric, `ITMRecall` is the same class without the detour.
"""

from .itm_recall.itm_recall import ITMRecall

__all__ = ["ITMRecall"]
