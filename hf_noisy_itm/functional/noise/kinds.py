"""All kinds of noise by name, on captions and on labels, each drawn from a seed."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from .labels import LabelNoise, flip_labels_asymmetric, flip_labels_by_row, flip_labels_symmetric
from .move import shuffle_captions, shuffle_images
from .result import Noise
from .semantic import swap_semantic
from .text import TEXT_KINDS, damage_captions

KINDS = ("shuffle", "shuffle_images", "semantic", *TEXT_KINDS)
LABEL_KINDS = ("label_symmetric", "label_asymmetric", "label_symmetric_by_row")


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


def draw_label_noise(
    kind: str,
    rate: float,
    seed: int,
    labels: np.ndarray,
    num_classes: int,
    exclude_true: bool = False,
    rows: Sequence[int] | np.ndarray | None = None,
) -> LabelNoise:
    """Draws noise on class labels of a kind that is given by name; each kind's own function says what is exact.

    The first two kinds take their randomness from `Generator(PCG64(seed))` and need all rows, the third takes it from
    hashes of the seed and the row number.

    Args:
        kind: "label_symmetric" (`flip_labels_symmetric`), "label_asymmetric" (`flip_labels_asymmetric`, each class for
            the next), or "label_symmetric_by_row" (`flip_labels_by_row`).
        rate: share of samples to pick, in [0, 1].
        seed: at least 0.
        labels: clean labels in [0, K), int (N,).
        num_classes: K.
        exclude_true: for the symmetric kinds: never draw the true class.
        rows: for "label_symmetric_by_row": number of each row in the whole, (N,); 0..N-1 if left out.

    Raises:
        ValueError: there is no such kind, or its own function refuses.
    """
    if kind not in LABEL_KINDS:
        raise ValueError(f"There is no kind of noise {kind!r} on labels; there are {', '.join(LABEL_KINDS)}.")
    if seed < 0:
        raise ValueError(f"The seed of noise must not be negative, got {seed}.")
    if exclude_true and kind == "label_asymmetric":
        raise ValueError("exclude_true is for symmetric noise; asymmetric noise draws no class. Leave it out.")
    rng = np.random.Generator(np.random.PCG64(seed))
    if kind == "label_symmetric":
        return flip_labels_symmetric(labels, num_classes, rate, rng, exclude_true)
    if kind == "label_asymmetric":
        return flip_labels_asymmetric(labels, num_classes, rate, rng)
    return flip_labels_by_row(labels, num_classes, rate, seed, exclude_true, rows)
