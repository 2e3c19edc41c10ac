"""Wrong captions on purpose, with a pedigree: pure functions of the number of rows, a rate and a generator."""

import numpy as np


def shuffle_captions(num_captions: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Permutes a given share of the captions among themselves (the caption-level noise of NPC and NCR).

    Exact: `floor(rate * num_captions)` captions are picked and permuted; all others keep their place, and every
    caption is used once. The permutation may have fixed points, and may hand a picture another of its own captions,
    so slightly fewer pairs are wrong than were picked: compare picture ids to know which. The draw depends on all
    rows together: it is not the same for a part of the data, and does not work on a stream.

    Args:
        num_captions: N >= 0.
        rate: share of captions to move, in [0, 1].
        rng: the only source of randomness.

    Returns:
        Source of each row's new caption, int64 (N,), a permutation: row i receives caption `source[i]`.

    Raises:
        ValueError: the rate is outside [0, 1].
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"A noise rate is between 0 and 1, got {rate}.")
    source = np.arange(num_captions)
    picked = rng.choice(num_captions, size=int(rate * num_captions + 1e-9), replace=False)
    source[picked] = rng.permutation(picked)
    return source
