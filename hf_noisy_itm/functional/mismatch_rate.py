"""How many of many pairs are wrong, by comparison with pairs of random partners.

Above a level that a share `q` of random partners exceeds there are at least `rate * q` of the pairs, and more where
right pairs look so bad. So each level gives an estimate that is too high rather than too low. A low level rests on
nearly all wrong pairs, and is right only where right ones look much better; a high level rests on a few. (That the
share is the mixture proportion of Blanchard et al. (JMLR 2010), and that the choice of a level is one between bias and
variance, as Lepski's, is known; what is done here in detail is ours.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_NEARLY_ALL = (0.97, 0.9)  # of the random partners; the first of these levels that does not contradict others is taken
_FEWER = (0.7, 0.5, 0.3, 0.2)
_FEW = np.linspace(0.4, 0.05, 36)  # where right pairs look like wrong ones
_QUANTILE = 0.25  # of what these say
_APART = 3.5  # standard deviations of the difference by which two levels contradict each other
_SAMPLES = 200  # of the bootstrap
_OFTEN = 0.5  # of the samples: where no level would do in more of them, the share is a bound
_HARMLESS = 0.05  # a bound as low as that says enough


@dataclass(frozen=True)
class NoiseRate:
    """An estimated share of wrong pairs.

    Args:
        value: in [0, 1].
        low: end of the 95 % interval, from resampling pictures; that right pairs may look random is not in it.
        high: the other end.
        is_bound: whether right pairs look so bad that the share is an upper bound at best.
    """

    value: float
    low: float
    high: float
    is_bound: bool = False


def estimate_rate(
    own: np.ndarray,
    wrong: np.ndarray,
    own_picture: np.ndarray,
    wrong_picture: np.ndarray,
    clear: np.ndarray | None = None,
    seed: int = 0,
) -> NoiseRate:
    """How many pairs look like random partners.

    Taken is a level that nearly all random partners exceed, where higher levels say no less, and the clear pictures
    alone do not either: then right pairs are well apart, and the estimate rests on all pairs. If not of all pictures,
    it is looked for among the clear ones; and if right pairs look bad there too, the lower quartile of what high
    levels say of these is taken, which is less sure by far. The value is the median of what samples of the pictures
    say, for a choice by a hair is no cause for a leap.

    Args:
        own: suspicion of the pairs, higher is worse, (N,).
        wrong: of random partners, (M,), M >= 1.
        own_picture: row of each pair's picture, int64 (N,); captions of one picture are resampled together.
        wrong_picture: likewise, (M,).
        clear: pictures whose right captions are told from random ones best, bool (P,); all if left out. How many
            wrong captions they have must not depend on it.
        seed: of the resampling.
    """
    count = int(max(own_picture.max(initial=0), wrong_picture.max())) + 1
    clear = np.ones(count, dtype=bool) if clear is None else clear
    levels = [*_NEARLY_ALL, *_FEWER], [*_NEARLY_ALL, *_FEWER, *_FEW]
    ratios = []  # of all pictures, and of the clear ones, (1 + _SAMPLES, L) each, the first as it is
    for chosen, shares in zip((np.ones_like(clear), clear), levels):
        at, wrong_at = chosen[own_picture], chosen[wrong_picture]
        if not wrong_at.any():
            continue
        level = np.quantile(wrong[wrong_at], 1 - np.array(shares))
        of_own = _counts_above(own[at], level, own_picture[at], count)
        of_wrong = _counts_above(wrong[wrong_at], level, wrong_picture[wrong_at], count)
        ratios.append(np.array([_ratio(drawn @ of_own, drawn @ of_wrong) for drawn in _draws(count, seed)]))
    values, fell_back = _chosen(ratios[0], ratios[-1])
    low, value, high = np.quantile(values[1:], (0.025, 0.5, 0.975)).tolist()
    return NoiseRate(value, low, high, bool(high > _HARMLESS and fell_back[1:].mean() > _OFTEN))


def _chosen(everything: np.ndarray, clear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The estimate of each sample, and whether no level would do, (1 + _SAMPLES,) each.

    Each makes a choice of its own: that is uncertain, too.
    """
    nearly, fewer = len(_NEARLY_ALL), len(_NEARLY_ALL) + len(_FEWER)
    values = np.quantile(clear[:, fewer:], _QUANTILE, axis=1)
    fell_back = np.ones(len(values), dtype=bool)
    for place in reversed(range(nearly)):
        agrees = _agree(clear[:, place], clear[:, place + 1 : fewer])
        values, fell_back = np.where(agrees, clear[:, place], values), fell_back & ~agrees
    for place in reversed(range(nearly)):
        others = np.concatenate([everything[:, place + 1 : fewer], clear[:, place : fewer - 2]], axis=1)
        agrees = _agree(everything[:, place], others)
        values, fell_back = np.where(agrees, everything[:, place], values), fell_back & ~agrees
    return values, fell_back


def _agree(value: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether an estimate is not clearly above any of others, bool (S,), of (S,) and (S, L)."""
    above = value[:, None] - others
    return (above <= _APART * above[1:].std(axis=0) + 1e-9).all(axis=1)


def _draws(count: int, seed: int) -> Iterator[np.ndarray]:
    """How often each picture counts: once, and then in each sample, (P,)."""
    yield np.ones(count, dtype=np.float32)
    rng = np.random.default_rng(seed)
    for _ in range(_SAMPLES):
        yield np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float32)


def _counts_above(values: np.ndarray, levels: np.ndarray, picture: np.ndarray, count: int) -> np.ndarray:
    """How many values of each picture reach each level, and how many there are, (P, L + 1)."""
    columns = [np.bincount(picture[values >= level], minlength=count) for level in levels]
    return np.stack([*columns, np.bincount(picture, minlength=count)], axis=1).astype(np.float32)


def _ratio(own: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Share of the pairs that reach each level, by that of random partners, in [0, 1]; 1 where none of these does."""
    own, wrong = own[:-1] / max(own[-1], 1), wrong[:-1] / max(wrong[-1], 1)
    return np.clip(np.divide(own, wrong, out=np.ones_like(own), where=wrong > 0), 0, 1)
