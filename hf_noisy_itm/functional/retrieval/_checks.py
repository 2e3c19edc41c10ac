"""What cannot be ranked is refused, with its numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_embeds(image_embeds: Tensor, text_embeds: Tensor, names: tuple[str, str] = ("image", "text")) -> None:
    """Two matrices of one width and finite values.

    Raises:
        ValueError: they are not.
    """
    shapes = tuple(image_embeds.shape), tuple(text_embeds.shape)
    if image_embeds.ndim != 2 or text_embeds.ndim != 2 or shapes[0][1] != shapes[1][1] or not shapes[0][1]:
        raise ValueError(
            f"{names[0].capitalize()} and {names[1]} embeddings must be two matrices of one width, "
            f"got {shapes[0]} and {shapes[1]}."
        )
    if not len(image_embeds) or not len(text_embeds):
        raise ValueError(
            f"Retrieval needs {names[0]} and {names[1]} embeddings, got {shapes[0][0]} and {shapes[1][0]}."
        )
    for name, embeds in zip(names, (image_embeds, text_embeds)):
        if not embeds.is_floating_point():
            raise ValueError(f"The {name} embeddings must be floating-point numbers, got {embeds.dtype}.")
        for start, rows in zip(range(0, len(embeds), 4096), embeds.split(4096)):
            finite = torch.isfinite(rows).all(dim=1)
            if not bool(finite.all()):
                row = start + int((~finite).nonzero()[0])
                raise ValueError(f"The {name} embedding of row {row} is not finite.")


def check_owner(image_of_caption: Tensor, num_images: int, num_texts: int) -> None:
    """One picture for each caption, and a caption for each picture.

    Raises:
        ValueError: a caption lacks its picture or a picture its caption.
    """
    if tuple(image_of_caption.shape) != (num_texts,) or image_of_caption.is_floating_point():
        raise ValueError(
            f"image_of_caption must name one picture, by an integer, for each of {num_texts} captions, "
            f"got shape {tuple(image_of_caption.shape)} of {image_of_caption.dtype}."
        )
    low, high = int(image_of_caption.min()), int(image_of_caption.max())
    if low < 0 or high >= num_images:
        raise ValueError(f"Captions name pictures {low} to {high}, but there are pictures 0 to {num_images - 1}.")
    counts = torch.bincount(image_of_caption, minlength=num_images)
    if not bool((counts > 0).all()):
        lacking = int((counts == 0).sum())
        raise ValueError(
            f"Picture {int((counts == 0).nonzero()[0])} has no caption, so it can never be found"
            + (f"; nor have {lacking - 1} others." if lacking > 1 else ".")
        )


def check_ks(ks: Sequence[int], smallest: int) -> None:
    """Cut-offs that the smaller gallery can fill.

    Raises:
        ValueError: one is below 1 or above its size.
    """
    if not ks or min(ks) < 1 or max(ks) > smallest:
        raise ValueError(f"Each K must be between 1 and the smaller gallery ({smallest}), got {list(ks)}.")
