"""Which of many pairs are wrong, by several signals, measured against pairs that are wrong on purpose.

Pairs of random partners look like pairs whose caption was moved at random, and there are as many of them as anyone
wants. So every signal is compared with what it says of those: that gives a scale that all signals share, weights for
their sum, a share of wrong pairs, and a probability for each. A wrong caption that is nearly right does not look like
a random one: such pairs may rank high, but are neither counted in the share nor in the probabilities.

The idea to learn from a contaminated set and a clean one of the other class is that of learning from positive and
unlabelled data; the share is the mixture proportion of Blanchard et al. (JMLR 2010). What is done here in detail is
ours.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

_LEVELS = np.linspace(0.6, 0.95, 36)  # of random partners, where the share of wrong pairs is read off
_QUANTILE = 0.25  # of what the levels say: right pairs that look bad add to it, the more the lower the level
_SAMPLES = 200  # of the bootstrap
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


@dataclass(frozen=True)
class NoiseRate:
    """An estimated share of wrong pairs.

    Args:
        value: in [0, 1].
        low: end of the 95 % interval, from resampling pictures; that right pairs may look random is not in it.
        high: the other end.
    """

    value: float
    low: float
    high: float


def estimate_rate(
    own: np.ndarray, wrong: np.ndarray, own_picture: np.ndarray, wrong_picture: np.ndarray, seed: int = 0
) -> NoiseRate:
    """How many pairs look like random partners.

    Above a level that a share `q` of random partners exceeds there are at least `rate * q` of the pairs, and more
    where right pairs look so bad. So each level gives an estimate that is too high rather than too low; taken is the
    lower quartile of theirs.

    Args:
        own: suspicion of the pairs, higher is worse, (N,).
        wrong: of random partners, (M,), M >= 1.
        own_picture: row of each pair's picture, int64 (N,); captions of one picture are resampled together.
        wrong_picture: likewise, (M,).
        seed: of the resampling.
    """
    levels = np.quantile(wrong, _LEVELS)
    known, place = np.unique(np.concatenate([own_picture, wrong_picture]), return_inverse=True)
    count, places = len(known), np.split(place, [len(own)])
    of_own, of_wrong = (_counts_above(values, levels, each, count) for values, each in zip((own, wrong), places))
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(_SAMPLES):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        samples.append(_rate(drawn @ of_own, drawn @ of_wrong))
    everything = np.ones(count)
    low, high = np.quantile(samples, (0.025, 0.975))
    return NoiseRate(_rate(everything @ of_own, everything @ of_wrong), float(low), float(high))


def _counts_above(values: np.ndarray, levels: np.ndarray, picture: np.ndarray, count: int) -> np.ndarray:
    """How many values of each picture reach each level, and how many there are, (P, L + 1)."""
    columns = [np.bincount(picture[values >= level], minlength=count) for level in levels]
    return np.stack([*columns, np.bincount(picture, minlength=count)], axis=1).astype(np.float64)


def _rate(own: np.ndarray, wrong: np.ndarray) -> float:
    own, wrong = own[:-1] / max(own[-1], 1), wrong[:-1] / max(wrong[-1], 1)
    known = wrong > 0
    return float(np.clip(np.quantile(own[known] / wrong[known], _QUANTILE), 0, 1)) if known.any() else 0.0


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
