"""Which of many pairs are wrong, by several signals, measured against pairs that are wrong on purpose.

Pairs of random partners look like pairs whose caption was moved at random, and there are as many of them as anyone
wants. So every signal is compared with what it says of those: that gives a scale that all signals share, weights for
their sum, a share of wrong pairs (`mismatch_rate.py`), and a probability for each. A wrong caption that is nearly
right does not look like a random one: such pairs may rank high, but are neither counted in the share nor in the
probabilities.

The idea to learn from a contaminated set and a clean one of the other class is that of learning from positive and
unlabelled data. What is done here in detail is ours.
"""

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

_CERTAIN = 1e-4  # no probability is nearer to 0 or 1 where logits are taken


def normal_scores(own: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks among pairs and random partners together, as quantiles of the normal distribution; equals stay equal.

    Args:
        own: a signal of N pairs, any scale.
        wrong: the same of M random partners.
    """
    ranks = rankdata(np.concatenate([own, wrong]))
    scores = ndtri((ranks - 0.5) / len(ranks))
    return scores[: len(own)], scores[len(own) :]


def signal_weights(own: np.ndarray, wrong: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Weights of the sum of signals: given shares, times how well each tells pairs from random partners.

    Random partners show whether a signal sees anything, and so what it is worth by this scorer and on these data; but
    not how well it sees a caption that is nearly right. So weights that tell random partners best are not the best.

    Args:
        own: normal scores, (N, S).
        wrong: (M, S).
        shares: of the signals, (S,), none negative.

    Returns:
        (S,), adding up to 1; a signal that tells random partners no better than chance has none, where others have.
    """
    labels = np.repeat([0, 1], [len(own), len(wrong)])
    told = [2 * roc_auc_score(labels, np.concatenate(each)) - 1 for each in zip(own.T, wrong.T)]
    weights = shares * np.clip(told, 0, None)
    weights = weights if weights.sum() > 0 else shares
    return weights / weights.sum()


def probability_wrong(own: np.ndarray, wrong: np.ndarray, rate: float) -> np.ndarray:
    """Of each pair the probability that it is wrong, in [0, 1], never falling where the suspicion rises.

    `P(wrong | s) = rate * f_wrong(s) / f(s)`, the ratio of the densities of random partners and of pairs by isotonic
    regression.

    Args:
        own: suspicion of the pairs, (N,).
        wrong: of random partners, (M,).
        rate: share of wrong pairs.
    """
    labels = np.repeat([0.0, 1.0], [len(own), len(wrong)])
    weight = np.repeat([1 / len(own), 1 / len(wrong)], [len(own), len(wrong)])
    share = IsotonicRegression(y_min=0, y_max=1).fit(np.concatenate([own, wrong]), labels, weight).predict(own)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.where(share < 1, share / (1 - share), np.inf)
        return np.clip(rate * odds, 0, 1) if rate > 0 else np.zeros(len(own))


def add_witness(suspicion: np.ndarray, probability: np.ndarray, witness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Takes in a signal that random partners do not have, such as what a training thought of each pair.

    What it means is learnt from the probabilities that the others give, as if it were independent of them among right
    and among wrong pairs: then it tells something that they do not, as far as it agrees with them. One that disagrees
    is left out.

    Args:
        suspicion: of the pairs, (N,).
        probability: of being wrong, (N,).
        witness: the signal, higher is worse, NaN where it knows nothing, (N,).

    Returns:
        Suspicion (now in logits) and probability with it.
    """
    knows = np.isfinite(witness)
    share = float(probability[knows].mean()) if knows.any() else 0.0
    if not _CERTAIN < share < 1 - _CERTAIN or np.ptp(witness[knows]) == 0:
        return suspicion, probability
    scores = np.zeros(len(witness))
    ranks = rankdata(witness[knows])
    scores[knows] = ndtri((ranks - 0.5) / len(ranks))
    target = probability[knows]
    by_witness = _logistic(scores[knows], target)
    if by_witness[0] <= 0:
        return suspicion, probability
    evidence = np.zeros(len(witness))
    evidence[knows] = by_witness[0] * scores[knows] + by_witness[1] - logit(share)
    by_others = _logistic(suspicion, probability)
    combined = by_others[0] * suspicion + by_others[1] + evidence
    clipped = np.clip(probability, _CERTAIN, 1 - _CERTAIN)
    return combined, expit(logit(clipped) + evidence)


def _logistic(values: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of a logistic regression on labels that are probabilities."""
    both = np.tile(values, 2)[:, None]
    labels = np.repeat([1, 0], len(values))
    fitted = LogisticRegression(C=1e4).fit(both, labels, np.concatenate([probability, 1 - probability]) + 1e-9)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
