"""Cosine similarity, and which pairs of a batch show the same picture."""

import torch
from torch import Tensor


def normalize(embeds: Tensor) -> Tensor:
    """Scales rows (..., D) to unit length, in float32 at least; a zero row stays zero."""
    return torch.nn.functional.normalize(embeds.float(), dim=-1)


def inner_products(rows: Tensor, columns: Tensor) -> Tensor:
    """All inner products in float32, (B, D) and (G, D) -> (B, G); cosines, if the rows have unit length.

    Autocast would round a product of float32 matrices to half precision: an error of 0.004 of a cosine is one of 0.4
    of a logit at CLIP's inverse temperature of 100. So it is off here, for the backward pass too.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return rows.float() @ columns.float().T


def same_image_mask(image_id: Tensor, all_image_id: Tensor, own_column: Tensor) -> Tensor:
    """Marks captions of the same picture that stand in other rows.

    Args:
        image_id: picture of each local pair, (B,).
        all_image_id: picture of each pair of all processes, (G,).
        own_column: where in those G the local pairs stand, (B,).

    Returns:
        Bool (B, G), True where a column shows the row's picture but is not the row's own pair.
    """
    same = image_id[:, None] == all_image_id[None, :]
    return same.scatter(1, own_column[:, None], False)
