"""Recall that can be trusted: both directions, any number of captions per picture, ties against the model.

Similarities are made in blocks of pictures by captions, so memory is bounded and the full matrix never exists. A
pair's own score is read from the same product as its rivals': computed apart, rounding would decide between equals.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

TIE = 1e-6  # cosines closer than this are equal: float32 products of equal rows differ by as much


def recall(
    image_embeds: Tensor, text_embeds: Tensor, image_of_caption: Tensor, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Recall@K of image-to-text and text-to-image retrieval by cosine.

    Args:
        image_embeds: one row per picture, (P, D), any scale.
        text_embeds: one row per caption, (C, D), any scale.
        image_of_caption: row of each caption's picture, int (C,), in [0, P); every picture has a caption.
        ks: cut-offs, each between 1 and the size of either gallery.

    Returns:
        Percentages `i2t_r@K` and `t2i_r@K` for each K, `rsum` (their sum), `mean_r@1`, and for both directions
        `*_median_rank` and `*_mean_rank` (1 is best). An image is found by the best of its captions.

    Raises:
        ValueError: shapes, ids or K do not fit, or an embedding is not finite; the numbers are named.
    """
    _check(image_embeds, text_embeds, image_of_caption, ks)
    ranks = dict(zip(("i2t", "t2i"), retrieval_ranks(image_embeds, text_embeds, image_of_caption), strict=True))
    figures: dict[str, float] = {}
    for direction, rank in ranks.items():
        for k in ks:
            figures[f"{direction}_r@{k}"] = 100.0 * (rank < k).double().mean().item()
    figures["rsum"] = sum(figures.values())
    for direction, rank in ranks.items():
        figures[f"{direction}_median_rank"] = 1.0 + rank.double().quantile(0.5).item()
        figures[f"{direction}_mean_rank"] = 1.0 + rank.double().mean().item()
    if 1 in ks:
        figures["mean_r@1"] = (figures["i2t_r@1"] + figures["t2i_r@1"]) / 2
    return figures


@torch.no_grad()
def retrieval_ranks(
    image_embeds: Tensor, text_embeds: Tensor, image_of_caption: Tensor, block: int = 512
) -> tuple[Tensor, Tensor]:
    """Ranks of the right answers, 0 for the best: rivals that score as high, within `TIE`, count before them.

    Args:
        image_embeds: (P, D), any scale.
        text_embeds: (C, D), any scale.
        image_of_caption: row of each caption's picture, int (C,).
        block: pictures per block; memory is two such blocks of `block` x C similarities.

    Returns:
        Rank of the best own caption of each picture, int64 (P,), and rank of each caption's picture, int64 (C,).
    """
    images, texts = _unit(image_embeds), _unit(text_embeds)
    num_images, num_texts = len(images), len(texts)
    image_ranks = torch.empty(num_images, dtype=torch.long, device=images.device)
    own_score = torch.empty(num_texts, device=images.device)
    for start in range(0, num_images, block):  # first pass: image-to-text, and each caption's own score
        score = images[start : start + block] @ texts.T  # (block, C)
        own = image_of_caption[None, :] == torch.arange(start, start + len(score), device=images.device)[:, None]
        best = score.masked_fill(~own, -torch.inf).amax(dim=1, keepdim=True)
        image_ranks[start : start + block] = ((score >= best - TIE) & ~own).sum(dim=1)
        row, column = own.nonzero(as_tuple=True)
        own_score[column] = score[row, column]
    text_ranks = torch.full((num_texts,), -1, dtype=torch.long, device=images.device)  # the own picture is no rival
    for start in range(0, num_images, block):  # second pass, same blocks and so the same products
        score = images[start : start + block] @ texts.T
        text_ranks += (score >= own_score - TIE).sum(dim=0)
    return image_ranks, text_ranks


def _unit(embeds: Tensor) -> Tensor:
    """Unit rows in float32, whatever the scale; a zero row stays zero."""
    largest = embeds.abs().amax(dim=1, keepdim=True)
    return torch.nn.functional.normalize((embeds / largest.where(largest > 0, 1.0)).float(), dim=1)


def _check(image_embeds: Tensor, text_embeds: Tensor, image_of_caption: Tensor, ks: Sequence[int]) -> None:
    shapes = tuple(image_embeds.shape), tuple(text_embeds.shape)
    if image_embeds.ndim != 2 or text_embeds.ndim != 2 or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"Image and text embeddings must be two matrices of one width, got {shapes[0]} and {shapes[1]}."
        )
    if not len(image_embeds) or not len(text_embeds):
        raise ValueError(f"Retrieval needs pictures and captions, got {shapes[0][0]} and {shapes[1][0]}.")
    if tuple(image_of_caption.shape) != (len(text_embeds),):
        raise ValueError(
            f"image_of_caption must name one picture for each of {len(text_embeds)} captions, "
            f"got shape {tuple(image_of_caption.shape)}."
        )
    low, high = int(image_of_caption.min()), int(image_of_caption.max())
    if low < 0 or high >= len(image_embeds):
        raise ValueError(
            f"Captions name pictures {low} to {high}, but there are pictures 0 to {len(image_embeds) - 1}."
        )
    counts = torch.bincount(image_of_caption, minlength=len(image_embeds))
    if not bool((counts > 0).all()):
        raise ValueError(f"Picture {int((counts == 0).nonzero()[0])} has no caption, so it can never be right.")
    smallest = min(len(image_embeds), len(text_embeds))
    if not ks or min(ks) < 1 or max(ks) > smallest:
        raise ValueError(f"Each K must be between 1 and the smaller gallery ({smallest}), got {list(ks)}.")
    for name, embeds in (("image", image_embeds), ("text", text_embeds)):
        if not bool(torch.isfinite(embeds).all()):
            row = int((~torch.isfinite(embeds)).any(dim=1).nonzero()[0])
            raise ValueError(f"The {name} embedding of row {row} is not finite.")
