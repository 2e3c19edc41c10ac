"""How strongly two concepts belong together: by the captions that have both."""

import numpy as np

from .vocabulary import Vocabulary


def association(vocabulary: Vocabulary, min_together: int = 3, min_strength: float = 0.05) -> np.ndarray:
    """Normalised pointwise mutual information (Bouma 2009) of two words in one caption, where it is positive.

    `log(p_ij / (p_i p_j)) / -log(p_ij)` with shares of the captions: 0 for words that meet as often as chance has it,
    and 1 for words that never occur apart.

    Args:
        vocabulary: K words in N captions.
        min_together: pairs of words that meet in fewer captions are not tied: few meetings are chance. (Ours.)
        min_strength: nor are those below this strength. (Ours.)

    Returns:
        float32 (K, K), in [0, 1], symmetric, without loops.
    """
    captions = vocabulary.occurs.shape[0]
    together = (vocabulary.occurs.T @ vocabulary.occurs).toarray().astype(np.float64)
    share = together / captions
    own = vocabulary.captions / captions
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.log(share / np.outer(own, own)) / -np.log(share)
    strength[share == 1] = 1.0  # both in every caption
    strength[(together < min_together) | ~(strength >= min_strength)] = 0.0
    np.fill_diagonal(strength, 0.0)
    return np.clip((strength + strength.T) / 2, 0.0, 1.0).astype(np.float32)
