"""What speaks against the figures of a report, in sentences for the user."""

import numpy as np
from sklearn.metrics import roc_auc_score

from .findings import TRAINING_WEIGHT, Findings

_MOST_WRONG = 0.9  # above which right pairs are too few to tell
_LEAST_AUC = 0.9  # of right pairs against random partners; below, shares were found far too high, see the docs
_WIDEST = 0.15  # interval


def doubts_of(findings: Findings) -> list[str]:
    """What a user must know before any figure, the weightiest first."""
    doubts, rate = [], findings.rate
    apart = auc_of_right(findings)
    if findings.alike.equal_captions == len(findings.suspicion):
        doubts.append(
            "Every caption stands at another picture too, word for word: captions cannot tell which picture they "
            "belong to, and no figure here means anything."
        )
    elif rate.value >= _MOST_WRONG:
        doubts.append(
            "Nearly all pairs look like random ones: either they are, or the scorer does not know such pictures and "
            "captions; try another scorer."
        )
    elif is_poor_scorer(findings):
        doubts.append(
            f"This scorer tells right pairs from pairs of random partners poorly (AUC about {apart:.2f}), so that the "
            f"estimated share is an upper bound at best, and right pairs are among those that look wrong: take a "
            f"scorer that knows such pictures and captions before you trust a figure here or leave pairs out."
        )
    if rate.high - rate.low > _WIDEST:
        doubts.append(
            f"These are too few pairs, or too much alike to this scorer, to tell how many are wrong: the interval is "
            f"{100 * (rate.high - rate.low):.0f} points wide, and the share may lie anywhere in it, or outside."
        )
    if np.ptp(findings.signals["cosine"]) == 0:
        doubts.append("The scorer gives every pair the same cosine: it is broken, or has learnt nothing.")
    weight = findings.signals.get(TRAINING_WEIGHT)
    if weight is not None and np.isnan(weight).any():
        doubts.append(f"The training never saw {np.isnan(weight).mean():.1%} of the pairs; it says nothing of these.")
    return doubts


def is_poor_scorer(findings: Findings) -> bool:
    """Whether right pairs and pairs of random partners look so much alike that no figure can be trusted."""
    return findings.rate.is_bound or auc_of_right(findings) < _LEAST_AUC


def auc_of_right(findings: Findings) -> float:
    """AUC of right pairs against random partners, in [0, 1], if wrong pairs are as many as estimated and look random.

    That of all pairs is then `rate / 2 + (1 - rate) auc`. Where the share is estimated too high, so is this.
    """
    own, wrong, rate = findings.suspicion_alone, findings.random_suspicion, findings.rate.value
    told = roc_auc_score(np.repeat([0, 1], [len(own), len(wrong)]), np.concatenate([own, wrong]))
    return float(np.clip((told - rate / 2) / (1 - rate), 0, 1)) if rate < 1 else 0.5
