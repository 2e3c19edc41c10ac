"""Draws by hand."""

import numpy as np

from hf_noisy_itm.functional.noise.result import moved


def moved_by(pairs, source):
    """The pairs with caption `source[i]` in place of caption i."""
    return pairs.with_noise(moved(np.asarray(source), pairs.image_id[pairs.image_row], None))
