"""All kinds of noise on captions by name, each drawn from a seed."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from .move import shuffle_captions, shuffle_images
from .result import Noise
from .semantic import swap_semantic
from .text import TEXT_KINDS, damage_captions

KINDS = ("shuffle", "shuffle_images", "semantic", *TEXT_KINDS)


def draw_noise(
    kind: str,
    rate: float,
    seed: int,
    image_of_caption: Sequence | np.ndarray,
    captions: Sequence[str] | None = None,
    text_embeds: Tensor | np.ndarray | None = None,
    keep_none: bool = False,
    k: int = 10,
    rows: Sequence[int] | np.ndarray | None = None,
) -> Noise:
    """Draws noise of a kind that is given by name; each kind's own function says what is exact and what is not.

    Kinds that move captions take their randomness from `Generator(PCG64(seed))`, the others from hashes of the seed.

    Args:
        kind: "shuffle" (`shuffle_captions`), "shuffle_images" (`shuffle_images`), "semantic" (`swap_semantic`), or one
            of `TEXT_KINDS` (`damage_captions`).
        rate: share of captions, or of pictures, to pick, in [0, 1].
        seed: at least 0.
        image_of_caption: id of each row's picture, (N,).
        captions: N strings; the kinds that damage text need them.
        text_embeds: (N, D); "semantic" needs them.
        keep_none: for the two kinds that shuffle: nothing that is picked stays where it was.
        k: for "semantic": how many nearest captions to draw from.
        rows: for `TEXT_KINDS`: number of each row in the whole, (N,); 0..N-1 if left out.

    Raises:
        ValueError: there is no such kind, it lacks what it needs, or its own function refuses.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no kind of noise {kind!r}; there are {', '.join(KINDS)}.")
    if seed < 0:
        raise ValueError(f"The seed of noise must not be negative, got {seed}.")
    if keep_none and kind not in ("shuffle", "shuffle_images"):
        raise ValueError(f"keep_none is for captions that are shuffled, not for the kind {kind!r}; leave it out.")
    rng = np.random.Generator(np.random.PCG64(seed))  # what default_rng takes may change
    if kind == "shuffle":
        return shuffle_captions(image_of_caption, rate, rng, keep_none)
    if kind == "shuffle_images":
        return shuffle_images(image_of_caption, rate, rng, keep_none)
    if kind == "semantic":
        if text_embeds is None:
            raise ValueError("The kind 'semantic' looks for near captions: give their embeddings, text_embeds.")
        return swap_semantic(text_embeds, image_of_caption, rate, k, rng)
    if captions is None:
        raise ValueError(f"The kind {kind!r} damages text: give the captions.")
    return damage_captions(captions, image_of_caption, kind, rate, seed, rows)
