"""How far a figure may be from what other queries of the same kind would give."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from torch import Tensor

from ._checks import checked_ks, checked_level, checked_number, checked_owner
from ._ranks import Ranks
from ._recall import recall_of_ranks

_BEYOND = 2.5  # samples beyond each end of an interval: with fewer, its ends are those of single samples


def bootstrap_recall(
    ranks: Ranks,
    image_of_caption: Tensor,
    rng: np.random.Generator,
    ks: Sequence[int] = (1, 5, 10),
    level: float = 0.95,
    samples: int = 1000,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of R@K and rSum (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, Sec. 13.3).

    Pictures are drawn with replacement, each with all its captions, since captions of one picture are not independent.
    The gallery stays as it is: the interval tells how the figure varies with the queries, not with the size of
    the gallery, the training seed or the noise draw. It holds the figure itself: where samples leave that out, as they
    may with few queries of very uneven weight, the interval is widened to it.

    Args:
        ranks: of both directions.
        image_of_caption: row of each caption's picture, int (C,).
        rng: the only source of randomness.
        ks: cut-offs.
        level: of confidence, in (0, 1).
        samples: bootstrap samples, at least 5 / (1 - level), which is 100 at a level of 0.95; 1,000 is usual.

    Returns:
        Lower and upper end, in percent, of `i2t_r@K` and `t2i_r@K` for each K, and of `rsum`.

    Raises:
        ValueError: level, samples, generator, K or ids do not fit.
    """
    level, samples = checked_level(level), checked_number(samples, "The number of bootstrap samples", 1)
    least = ceil(round(2 * _BEYOND / (1 - level), 6))
    if samples < least:
        raise ValueError(f"An interval of level {level} takes at least {least} bootstrap samples, got {samples}.")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"rng must be a numpy.random.Generator, as numpy.random.default_rng(0) makes, got {rng!r:.80}."
        )
    num_images = len(ranks.i2t)
    ks = checked_ks(ks, min(num_images, len(ranks.t2i)))
    owner = checked_owner(image_of_caption, num_images, len(ranks.t2i)).cpu().numpy()
    i2t, t2i = (rank.cpu().numpy() for rank in ranks)
    captions = np.bincount(owner, minlength=num_images)
    hits = {f"i2t_r@{k}": (i2t < k).astype(float) for k in ks}
    hits |= {f"t2i_r@{k}": np.bincount(owner, t2i < k, num_images) for k in ks}
    table = np.stack(list(hits.values()), axis=1)  # (P, 2 len(ks)): hits of each picture, hits of its captions
    figures = np.empty((samples, table.shape[1]))
    for sample in range(samples):
        times = np.bincount(rng.integers(num_images, size=num_images), minlength=num_images)
        queries = np.repeat([num_images, times @ captions], len(ks))
        figures[sample] = 100 * (times @ table) / queries
    figures = np.column_stack([figures, figures.sum(axis=1)])
    ends = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2], axis=0)
    figure = recall_of_ranks(ranks, ks)
    return {
        name: (min(float(low), figure[name]), max(float(high), figure[name]))
        for name, low, high in zip([*hits, "rsum"], *ends)
    }
