"""What cannot be ranked is refused, with its numbers."""

from collections.abc import Iterable, Sequence
from operator import index

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


def checked_owner(image_of_caption: Tensor | Sequence[int], num_images: int, num_texts: int) -> Tensor:
    """One picture for each caption, and a caption for each picture: int64 (C,).

    Raises:
        ValueError: a caption lacks its picture or a picture its caption.
    """
    owner = torch.as_tensor(image_of_caption)
    whole = not (owner.is_floating_point() or owner.is_complex() or owner.dtype == torch.bool)
    if tuple(owner.shape) != (num_texts,) or not whole:
        raise ValueError(
            f"image_of_caption must name one picture, by an integer, for each of {num_texts} captions, "
            f"got shape {tuple(owner.shape)} of {owner.dtype}."
        )
    owner = owner.long()
    low, high = int(owner.min()), int(owner.max())
    if low < 0 or high >= num_images:
        raise ValueError(f"Captions name pictures {low} to {high}, but there are pictures 0 to {num_images - 1}.")
    counts = torch.bincount(owner, minlength=num_images)
    if not bool((counts > 0).all()):
        lacking = int((counts == 0).sum())
        raise ValueError(
            f"Picture {int((counts == 0).nonzero()[0])} has no caption, so it can never be found"
            + (f"; nor have {lacking - 1} others." if lacking > 1 else ".")
        )
    return owner


def checked_ks(ks: Iterable[int], smallest: int, gallery: str = "the smaller gallery") -> list[int]:
    """Cut-offs that a gallery can fill, each once.

    Raises:
        ValueError: one is no integer, below 1, or above the gallery's size.
    """
    try:
        numbers = list(dict.fromkeys(index(k) for k in ks))
    except TypeError:
        raise ValueError(f"K must be a list of integers, got {ks!r}.") from None
    if not numbers or min(numbers) < 1 or max(numbers) > smallest:
        raise ValueError(f"Each K must be between 1 and {gallery} ({smallest}), got {numbers}.")
    return numbers
