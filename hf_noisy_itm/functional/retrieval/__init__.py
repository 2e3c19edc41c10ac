"""Retrieval figures that can be trusted: recall in both directions, extended positives, categories, intervals."""

from ._bootstrap import bootstrap_recall
from ._positives import NOT_IN_GALLERY, category_map, extended_recall
from ._ranks import Ranks, retrieval_ranks, similarity_ranks
from ._recall import recall, recall_of_folds, recall_of_ranks

__all__ = [
    "NOT_IN_GALLERY",
    "Ranks",
    "bootstrap_recall",
    "category_map",
    "extended_recall",
    "recall",
    "recall_of_folds",
    "recall_of_ranks",
    "retrieval_ranks",
    "similarity_ranks",
]
