"""What speaks against a clean set: sentences for the user. A mixture always finds two components, right or not.

The measure is pairs that are wrong on purpose (`scores.score_wrong_pairs`). How many of those would pass as clean
bounds how many wrong ones the clean set holds, and how many pairs have a cosine like theirs tells about how many are
wrong. Both are blind to wrong captions that are nearly right. All of this, limits included, is ours.
"""

import numpy as np

from ..functional.mixture import CleanMixture

_WRONG = 0.1  # share of the clean set that may be wrong
_NOISE = 0.01  # below this share of wrong pairs there is nothing for a mixture to find
_FEW = 0.05  # share of the pairs that is few to serve all as entries
_BEYOND = 0.01  # share of the pairs that score better than the clean ones and are not called clean


def estimate_noise(cosines: np.ndarray, wrong_cosines: np.ndarray) -> float:
    """About what share of pairs is wrong, in [0, 1]: twice the share below the median cosine of wrong pairs.

    Args:
        cosines: of all pairs, (N,).
        wrong_cosines: of pairs that are wrong on purpose, (M,), M >= 1. Not losses: those of wrong pairs grow with the
            number of right ones beside them.
    """
    return min(1.0, 2 * float((cosines < np.median(wrong_cosines)).mean()))


def assess(
    scores: np.ndarray,
    mixture: CleanMixture,
    clean_threshold: float,
    is_loss: bool,
    wrong_that_pass: float | None,
    noise: float | None,
) -> list[str]:
    """Judges a clean set.

    Args:
        scores: of all pairs, (N,).
        mixture: of the scores.
        clean_threshold: clean is above this.
        is_loss: lower scores are better; else higher ones.
        wrong_that_pass: share of pairs wrong on purpose that the mixture would call clean; None if there are none.
        noise: see `estimate_noise`; None likewise.

    Returns:
        Sentences, none where nothing is to be said.
    """
    clean = float((mixture.clean_posterior > clean_threshold).mean())
    doubts = []
    if not mixture.converged:
        doubts.append("The mixture did not converge, so who is clean may be chance: try another seed or score.")
    if noise is not None:
        at_most = min(1.0, noise * wrong_that_pass / clean)
        if at_most > _WRONG:
            doubts.append(
                f"By this model about {noise:.0%} of the pairs are wrong, and of those with the caption of another "
                f"picture {wrong_that_pass:.1%} pass as clean, as {clean:.1%} of all pairs do: up to about "
                f"{at_most:.0%} of the clean set may be wrong; raise clean_threshold, or score with a model that "
                f"knows the data better."
            )
        if noise < _NOISE:
            doubts.append(
                f"Hardly any pair ({noise:.1%}) scores as the caption of another picture does: the mixture parts "
                f"easier pairs from harder ones, and calls the easier {clean:.0%} clean."
            )
    if clean < _FEW:
        doubts.append(f"Only {clean:.1%} of the pairs are clean, and serve as entries of all others.")
    better = scores < mixture.means[0] if is_loss else scores > mixture.means[0]
    beyond = float((better & (mixture.clean_posterior <= clean_threshold)).mean())
    if beyond > _BEYOND:
        doubts.append(
            f"{beyond:.1%} of the pairs score better than the mean of the clean component and are not clean, since "
            f"the other one is so wide that it claims them too."
        )
    return doubts
