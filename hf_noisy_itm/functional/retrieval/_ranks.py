"""Ranks of the right answers in both directions from one product, in tiles, decided exactly.

The product is made in float32 and each of its tiles serves both directions. Where float32 cannot tell whether a rival
scores as high as the right answer, the two cosines are compared in float64. So the ranks are those of the full float64
matrix, whatever the tiles, the order of rows and the precision in which embeddings are stored. Where cosines are
spread as those of a trained model are, it takes little more time than the bare product; where they all lie within a
hundred-thousandth of each other, most are compared in float64.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..precision import full_precision
from ._checks import check_embeds, check_tensor, checked_number, checked_owner
from ._tiles import Cosines, Tally, Tile

TIE = 1e-12  # cosines closer than this are equal: what rounding does to equal rows in float64
_ROWS = 240  # pictures per tile


class Ranks(NamedTuple):
    """Rank of the best own caption of each picture, (P,), and of each caption's picture, (C,); int64, 0 is best."""

    i2t: Tensor
    t2i: Tensor


@torch.no_grad()
def retrieval_ranks(
    image_embeds: Tensor, text_embeds: Tensor, image_of_caption: Tensor, tile_size: int | None = None
) -> Ranks:
    """Ranks of the right answers by cosine: rivals that score as high count before them.

    A rival of a picture is any caption of another picture, and of a caption any other picture.

    Args:
        image_embeds: one row per picture, (P, D), any scale and floating dtype.
        text_embeds: one row per caption, (C, D).
        image_of_caption: row of each caption's picture, int (C,), in [0, P); every picture has a caption.
        tile_size: similarities in memory at a time, 240 at the least; about 600,000 on CPU and 30 million elsewhere if
            left out. The ranks do not depend on it.

    Raises:
        ValueError: shapes or ids do not fit, or an embedding is not finite; the numbers are named.
    """
    check_embeds(image_embeds, text_embeds)
    if tile_size is None:
        tile_size = 600_000 if image_embeds.device.type == "cpu" else 30_000_000
    tile_size = checked_number(tile_size, "tile_size", 1)
    owner = checked_owner(image_of_caption, len(image_embeds), len(text_embeds))
    with full_precision():
        return _ranks(
            Cosines(image_embeds, text_embeds.to(image_embeds.device)),
            owner.to(image_embeds.device),
            tile_size,
        )


def _ranks(cosines: Cosines, owner: Tensor, tile_size: int) -> Ranks:
    device, num_images, num_texts = owner.device, len(cosines.images), len(owner)
    own = cosines.exact(owner, torch.arange(num_texts, device=device))  # (C,)
    best = torch.full((num_images,), -torch.inf, dtype=torch.float64, device=device)
    best = best.scatter_reduce(0, owner, own, "amax")  # (P,)
    by_image = torch.argsort(owner, stable=True)
    first = torch.searchsorted(owner[by_image], torch.arange(num_images + 1, device=device)).tolist()

    width = max(1, tile_size // _ROWS)
    memory, mask = torch.empty(2, _ROWS * min(width, num_texts), dtype=torch.float32, device=device)
    rivals = Tally(best - TIE, 1, cosines, mask), Tally(own - TIE, 0, cosines, mask)
    for top in range(0, num_images, _ROWS):
        rows = slice(top, min(top + _ROWS, num_images))
        captions = by_image[first[rows.start] : first[rows.stop]]
        for left in range(0, num_texts, width):
            columns = slice(left, left + width)
            here = captions[(captions >= left) & (captions < left + width)]
            tile = Tile(cosines, rows, columns, (owner[here] - top, here - left), memory)
            for tally in rivals:
                tally.add(tile)
    return Ranks(*(tally.result() for tally in rivals))


@torch.no_grad()
def similarity_ranks(similarity: Tensor, image_of_caption: Tensor) -> Ranks:
    """Like `retrieval_ranks`, from scores of any model: exactly equal scores are ties.

    Args:
        similarity: score of each picture with each caption, (P, C), real numbers of any type, higher is better;
            integers are compared as integers.
        image_of_caption: row of each caption's picture, int (C,).

    Raises:
        ValueError: shapes or ids do not fit, or a score is not a number.
    """
    check_tensor(similarity, "A similarity matrix")
    if similarity.ndim != 2 or not similarity.numel():
        shape = tuple(similarity.shape)
        raise ValueError(f"A similarity matrix has pictures as rows and captions as columns, got {shape}.")
    similarity = _ordered(similarity)
    num_images, num_texts = similarity.shape
    owner = checked_owner(image_of_caption, num_images, num_texts).to(similarity.device)
    own = similarity[owner, torch.arange(num_texts, device=similarity.device)]
    lowest = -torch.inf if similarity.is_floating_point() else torch.iinfo(similarity.dtype).min
    i2t, t2i = [], torch.full((num_texts,), -1, device=similarity.device)  # its own picture is no rival
    for top in range(0, num_images, _ROWS):
        score = similarity[top : top + _ROWS]
        right = owner == torch.arange(top, top + len(score), device=score.device)[:, None]
        best = own.masked_fill(~right, lowest).amax(dim=1, keepdim=True)
        i2t.append(((score >= best) & ~right).sum(dim=1))
        t2i += (score >= own).sum(dim=0)
    return Ranks(torch.cat(i2t), t2i)


def _ordered(similarity: Tensor) -> Tensor:
    """Scores of a type that torch can compare, in the same order, equal where they were equal."""
    if similarity.is_complex():
        raise ValueError(f"Scores must be real numbers, which have an order, got {similarity.dtype}.")
    if similarity.is_floating_point():
        similarity = similarity.float() if similarity.dtype.itemsize == 1 else similarity
        if bool(torch.isnan(similarity).any()):
            row, column = torch.isnan(similarity).nonzero()[0].tolist()
            raise ValueError(f"The similarity of picture {row} and caption {column} is not a number.")
        return similarity
    if similarity.dtype == torch.uint64:
        return similarity.view(torch.int64) ^ torch.iinfo(torch.int64).min
    return similarity.long()
