"""Noise by group: whether some parts of a data set are worse than others."""

from collections.abc import Mapping

import numpy as np

MOST = 25  # groups that are shown
_LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34)  # words, from which on each group of lengths begins


def by_length(captions: list[str]) -> np.ndarray:
    """Names of groups of captions of about the same number of words, (N,)."""
    words = np.array([len(caption.split()) for caption in captions])
    names = [
        f"{low} word{'s' if low > 1 else ''}" if high == low + 1 else f"{low} to {high - 1} words"
        for low, high in zip(_LENGTHS, _LENGTHS[1:])
    ] + [f"{_LENGTHS[-1]} words or more"]
    return np.array(["no word", *names])[np.searchsorted(_LENGTHS, words, side="right")]


def noise_by_group(
    groups: Mapping[str, np.ndarray], probability: np.ndarray, truth: np.ndarray | None
) -> dict[str, list[dict]]:
    """How many pairs of each group are wrong.

    Args:
        groups: name of each pair's group, (N,), by what they are groups of.
        probability: of being wrong, (N,).
        truth: see `truth.known_truth`.

    Returns:
        By the same names, the groups with most pairs: `name`, `pairs`, `estimated` and, where known, `wrong`, the
        worst first.
    """
    found = {}
    for what, names in groups.items():
        known, place = np.unique(names, return_inverse=True)
        counts = np.bincount(place)
        estimated = np.bincount(place, probability) / counts
        judged, wrong = counts * 0, counts * 0.0
        if truth is not None:
            judged = np.bincount(place, np.isfinite(truth))
            wrong = np.bincount(place, truth == 1) / np.maximum(judged, 1)
        largest = np.argsort(-counts, kind="stable")[:MOST]
        found[what] = [
            {
                "name": str(known[group]),
                "pairs": int(counts[group]),
                "estimated": float(estimated[group]),
                **({"wrong": float(wrong[group])} if judged[group] else {}),
            }
            for group in largest[np.argsort(-estimated[largest], kind="stable")]
        ]
    return found
