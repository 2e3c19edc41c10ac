"""What is known to be true, against what a run thinks of its pairs: of scores, and of a ledger of negatives."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score

from .data import FeatureRows, Pairs
from .data.matches import IsMatch

Choices = Mapping[str, Mapping[str, ArrayLike]]

_WAYS = ("i2t", "t2i")
_HARDEST = "hardest"


def where_known(values: np.ndarray, pairs: Pairs | FeatureRows) -> np.ndarray:
    """Numbers of pairs, (N,), with NaN where nobody knows whether the pair is wrong; as given if nothing is known."""
    known = pairs.noise_is_known
    return np.where(known, values, np.nan) if known.any() else values


def separation(scores: np.ndarray, is_noisy: np.ndarray) -> dict[str, float] | None:
    """How well a score of pairs tells right from wrong ones, where noise is known; None without scores.

    Args:
        scores: one per pair, (N,), NaN for pairs that have none.
        is_noisy: bool (N,).

    Returns:
        How many pairs have a score, the mean of right and of wrong pairs, and the AUC: the chance that a right pair
        has a higher score than a wrong one (0.5 tells nothing; near 0 where low scores are good, as with losses).
    """
    seen = np.isfinite(scores)
    right, wrong = seen & ~is_noisy, seen & is_noisy
    if not seen.any():
        return None
    figures = {"pairs": int(seen.sum()), "mean_right": float(scores[right].mean()) if right.any() else None}
    if wrong.any() and right.any():
        figures["mean_wrong"] = float(scores[wrong].mean())
        figures["auc"] = float(roc_auc_score(~is_noisy[seen], scores[seen]))
    return figures


def negatives_in_truth(choices: Choices, is_match: IsMatch | None) -> dict[str, dict] | None:
    """Figures of what each pair was last compared with.

    Args:
        choices: of N pairs, by direction and choice ("i2t_hardest"), the `row` of the negative, -1 where there was
            none, and its `score`, (N,) each.
        is_match: of rows of captions and of pictures, whether they fit; None where nobody knows.

    Returns:
        By direction, and of each choice: `pairs`, the mean score of their negatives, and the share of these that are
        `matches`. All choices of a direction are of the same pairs, those that have a negative by each. By direction,
        too, `hardest_auc`: how well the score tells matches from wrong answers among the hardest wrong answers of all
        pairs that have one, a population that the method's own choice does not shape. None without any choice.
    """
    if not choices:
        return None
    figures: dict[str, dict] = {}
    for way, kept in _by_way(choices):
        pairs = _with_all(kept)
        for name, choice in kept.items():
            row, score = choice["row"][pairs], choice["score"][pairs]
            told = {"pairs": len(pairs), "mean_score": float(score.mean()) if len(pairs) else None}
            if is_match is not None and len(pairs):
                told["matches"] = float(_truth(way, pairs, row, is_match).mean())
            figures.setdefault(way, {})[name] = told
        auc = _auc(way, kept.get(_HARDEST), is_match)
        if auc is not None:
            figures[way]["hardest_auc"] = auc
    return figures


def match_shares(pairs: ArrayLike, choices: Choices, is_match: IsMatch) -> dict[str, float]:
    """Share of the negatives that are matches in truth, by direction and choice, over pairs that have all choices.

    Args:
        pairs: rows of B pairs in the training set.
        choices: theirs, (B,) each; see above.
        is_match: see above.
    """
    pairs, shares = np.asarray(pairs), {}
    for way, kept in _by_way(choices):
        places = _with_all(kept)
        for name, choice in kept.items() if len(places) else ():
            shares[f"{way}_{name}"] = float(_truth(way, pairs[places], choice["row"][places], is_match).mean())
    return shares


def _by_way(choices: Choices) -> list[tuple[str, dict[str, dict[str, np.ndarray]]]]:
    found = []
    for way in _WAYS:
        kept = {
            name.removeprefix(f"{way}_"): {part: np.asarray(values) for part, values in choice.items()}
            for name, choice in choices.items()
            if name.startswith(f"{way}_")
        }
        found += [(way, kept)] if kept else []
    return found


def _with_all(kept: Choices) -> np.ndarray:
    """Places that have a negative by every choice."""
    return np.flatnonzero(np.all([choice["row"] >= 0 for choice in kept.values()], axis=0))


def _truth(way: str, pairs: np.ndarray, others: np.ndarray, is_match: IsMatch) -> np.ndarray:
    return is_match(others, pairs) if way == "i2t" else is_match(pairs, others)


def _auc(way: str, hardest: Mapping[str, np.ndarray] | None, is_match: IsMatch | None) -> float | None:
    if hardest is None or is_match is None:
        return None
    pairs = np.flatnonzero(hardest["row"] >= 0)
    truth = _truth(way, pairs, hardest["row"][pairs], is_match)
    return float(roc_auc_score(truth, hardest["score"][pairs])) if truth.any() and not truth.all() else None
