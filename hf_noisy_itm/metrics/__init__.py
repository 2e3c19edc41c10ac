"""Metrics in the form of `evaluate`. Each folder becomes a Space on the Hub, with a card of `hub_cards/`.

`evaluate.load` takes the folder of a metric, `ITMRecall` is the same class without the detour.
"""

from .itm_recall.itm_recall import ITMRecall

__all__ = ["ITMRecall"]
