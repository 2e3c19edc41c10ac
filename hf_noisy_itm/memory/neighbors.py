"""For every training pair, the nearest clean pair by cosine: the entries of a memory bank."""

import torch
from torch import Tensor

from ..functional.similarity import nearest_rows
from .bank import EncodedPairs


def nearest_by_image(encoded: EncodedPairs, clean: Tensor, losses: Tensor, exclude_self: bool = False) -> Tensor:
    """For each pair, the clean pair whose picture is most like its own.

    Pictures are compared, each once; of a picture's clean captions the one of lowest loss is taken (ours: the papers
    do not say).

    Args:
        encoded: N pairs over P pictures.
        clean: rows of the clean pairs, (M,), M >= 1.
        losses: of all pairs, (N,).
        exclude_self: leave out the pair's own picture, unless it is the only one with a clean caption.

    Returns:
        Rows of clean pairs, int64 (N,).
    """
    by_loss = clean[losses[clean].argsort(stable=True)]  # lowest first
    num_images, none = len(encoded.image_embeds), len(by_loss)
    place = torch.full((num_images,), none, device=clean.device).scatter_reduce(
        0, encoded.image_of_pair[by_loss], torch.arange(none, device=clean.device), "amin"
    )
    pictures = torch.nonzero(place < none).squeeze(1)  # pictures with a clean caption
    own = _positions(num_images, pictures) if exclude_self else None
    nearest = nearest_rows(encoded.image_embeds, encoded.image_embeds[pictures], own)
    return by_loss[place[pictures[nearest]]][encoded.image_of_pair]


def nearest_by_text(encoded: EncodedPairs, clean: Tensor, exclude_self: bool = False) -> Tensor:
    """For each pair, the clean pair whose caption is most like its own.

    Args:
        encoded: N pairs.
        clean: rows of the clean pairs, (M,), M >= 1.
        exclude_self: leave out the pair itself, unless it is the only clean one.

    Returns:
        Rows of clean pairs, int64 (N,).
    """
    own = _positions(len(encoded.text_embeds), clean) if exclude_self else None
    return clean[nearest_rows(encoded.text_embeds, encoded.text_embeds[clean], own)]


def _positions(size: int, rows: Tensor) -> Tensor:
    """Where each of `size` rows stands in `rows`, or -1, (size,)."""
    positions = torch.full((size,), -1, device=rows.device)
    positions[rows] = torch.arange(len(rows), device=rows.device)
    return positions
