"""How well wrong pairs were found, where it is known which they are."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ..data import Pairs
from ..functional.noise import TEXT_KINDS
from .findings import Findings

_BINS = 10  # of the calibration


def known_truth(pairs: Pairs) -> np.ndarray | None:
    """1 for wrong pairs, 0 for right ones, NaN where nobody knows, (N,); None unless both are known to be there."""
    is_noisy, known = pairs.is_noisy, pairs.noise_is_known
    if not is_noisy.any() or is_noisy[known].all():
        return None
    return np.where(known, is_noisy, np.nan)


def kinds_of(pairs: Pairs) -> dict[str, np.ndarray]:
    """Wrong pairs by what was done to them, bool (N,) by name: captions that were moved, and that were damaged.

    Each is called by the kind of the noise that did it, where the pairs' pedigree says which.
    """
    known = _kinds(pairs.pedigree)
    moved = (pairs.image_id[pairs.image_row] != pairs.caption_image_id) & ~pairs.damaged
    names = (
        ("moved", moved, [kind for kind in known if kind not in TEXT_KINDS]),
        ("damaged", pairs.damaged, [kind for kind in known if kind in TEXT_KINDS]),
    )
    return {" or ".join(kinds) or word: mask for word, mask, kinds in names if mask.any()}


def _kinds(pedigree: dict | None) -> list[str]:
    """Kinds of a pedigree and of those before it, each once, the first first."""
    if not pedigree:
        return []
    return list(dict.fromkeys([*_kinds(pedigree.get("before")), pedigree["kind"]]))


def truth_of(findings: Findings, truth: np.ndarray, kinds: dict[str, np.ndarray]) -> dict:
    """Figures of what was found, over the pairs of which the truth is known.

    Args:
        findings: of N pairs.
        truth: see `known_truth`; bool where it is known of all.
        kinds: see `kinds_of`.

    Returns:
        `pairs`, how many are known, and the `rate` of wrong ones among them; `auc` and `average_precision` of the
        combination and of each signal, over all wrong pairs and for those of each kind against the right ones;
        `precision` and `recall` of the pairs at the estimated rate, and of those that are flagged; `calibration` with
        its expected error.
    """
    signals = {"combined": findings.suspicion, **findings.signals}
    known, is_noisy = np.isfinite(truth), truth == 1
    return {
        "pairs": int(known.sum()),
        "rate": float(is_noisy[known].mean()),
        **_separation(signals, is_noisy, known),
        "kinds": {
            name: {"pairs": int(mask.sum()), **_separation(signals, mask, mask | (known & ~is_noisy))}
            for name, mask in kinds.items()
        },
        "at_rate": _hits(findings.at_rate & known, is_noisy),
        "flagged": _hits(findings.flagged & known, is_noisy),
        "calibration": calibration(findings.probability[known], is_noisy[known]),
    }


def _separation(signals: dict[str, np.ndarray], is_noisy: np.ndarray, among: np.ndarray) -> dict[str, dict]:
    figures: dict[str, dict[str, float]] = {"auc": {}, "average_precision": {}}
    for name, values in signals.items():
        seen = among & np.isfinite(values)
        if 0 < is_noisy[seen].sum() < seen.sum():
            figures["auc"][name] = float(roc_auc_score(is_noisy[seen], values[seen]))
            figures["average_precision"][name] = float(average_precision_score(is_noisy[seen], values[seen]))
    return figures


def _hits(chosen: np.ndarray, is_noisy: np.ndarray) -> dict[str, float | int | None]:
    return {
        "pairs": int(chosen.sum()),
        "precision": float(is_noisy[chosen].mean()) if chosen.any() else None,
        "recall": float(chosen[is_noisy].mean()),
    }


def calibration(probability: np.ndarray, is_noisy: np.ndarray) -> dict:
    """Mean probability and share of wrong pairs in each tenth of [0, 1] that has pairs, and their mean distance.

    Args:
        probability: of being wrong, (N,).
        is_noisy: bool (N,).
    """
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    bins = [
        {
            "pairs": int(there.sum()),
            "probability": float(probability[there].mean()),
            "wrong": float(is_noisy[there].mean()),
        }
        for there in (place == number for number in range(_BINS))
        if there.any()
    ]
    error = sum(each["pairs"] * abs(each["probability"] - each["wrong"]) for each in bins) / len(probability)
    return {"expected_error": float(error), "bins": bins}
