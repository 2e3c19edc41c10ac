"""How far a figure may be from what other queries of the same kind would give."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ._checks import checked_ks, checked_owner
from ._ranks import Ranks


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
    the gallery, the training seed or the noise draw.

    Args:
        ranks: of both directions.
        image_of_caption: row of each caption's picture, int (C,).
        rng: the only source of randomness.
        ks: cut-offs.
        level: of confidence, in (0, 1).
        samples: bootstrap samples, at least 1.

    Returns:
        Lower and upper end, in percent, of `i2t_r@K` and `t2i_r@K` for each K, and of `rsum`.

    Raises:
        ValueError: level, samples, K or ids do not fit.
    """
    if not 0 < level < 1 or samples < 1:
        raise ValueError(f"A bootstrap needs a level in (0, 1) and samples, got level {level} and {samples} samples.")
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
    return {name: (float(low), float(high)) for name, low, high in zip([*hits, "rsum"], *ends)}
