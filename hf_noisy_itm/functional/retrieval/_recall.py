"""Recall@K, rSum and ranks, of a whole gallery or as a mean over folds."""

from collections.abc import Sequence
from fractions import Fraction

from torch import Tensor

from ._checks import check_embeds, checked_ks, checked_number, checked_owner
from ._ranks import Ranks, retrieval_ranks


def recall(
    image_embeds: Tensor, text_embeds: Tensor, image_of_caption: Tensor, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Recall@K of image-to-text and text-to-image retrieval by cosine.

    The protocol of Flickr30K 1K and MSCOCO 5K, and of any gallery. An image is found by the best of its captions; ties
    count against the model.

    Relations: `recall_of_folds` is the mean over parts of the gallery (MSCOCO 1K); `extended_recall` counts answers
    that are right beyond the given ones; `similarity_ranks` and `recall_of_ranks` take any model's scores.

    Args:
        image_embeds: one row per picture, (P, D), any scale and floating dtype.
        text_embeds: one row per caption, (C, D).
        image_of_caption: row of each caption's picture, int (C,), in [0, P); every picture has a caption.
        ks: cut-offs, each between 1 and the size of either gallery.

    Returns:
        See `recall_of_ranks`.

    Raises:
        ValueError: shapes, ids or K do not fit, or an embedding is not finite; the numbers are named.
    """
    check_embeds(image_embeds, text_embeds)
    ks = checked_ks(ks, min(len(image_embeds), len(text_embeds)))  # before the work
    return recall_of_ranks(retrieval_ranks(image_embeds, text_embeds, image_of_caption), ks)


def recall_of_ranks(ranks: Ranks, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Figures of ranks; each is counted in integers and rounded once, so it does not depend on the order of rows.

    Args:
        ranks: of both directions, 0 is best.
        ks: cut-offs, each between 1 and the size of either gallery.

    Returns:
        Percentages `i2t_r@K` and `t2i_r@K` for each K, `rsum` (their sum), `mean_r@1` if K has 1, and for both
        directions `*_median_rank` and `*_mean_rank` (1 is best).

    Raises:
        ValueError: K does not fit, or these are no ranks.
    """
    if not isinstance(ranks, Ranks):
        raise ValueError(
            f"Ranks are a Ranks(i2t=…, t2i=…), as retrieval_ranks and similarity_ranks give it, got a "
            f"{type(ranks).__name__}."
        )
    ks = checked_ks(ks, min(len(ranks.i2t), len(ranks.t2i)))
    return {name: float(value) for name, value in _figures(ranks, ks).items()}


def recall_of_folds(
    image_embeds: Tensor,
    text_embeds: Tensor,
    image_of_caption: Tensor,
    folds: int = 5,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Mean of `recall` over disjoint parts of the gallery: with five folds of 5,000 pictures, the MSCOCO 1K protocol.

    A fold is P / folds pictures in their order, with all their captions. Each figure is averaged by itself, and
    rounded once.

    Args:
        image_embeds: (P, D).
        text_embeds: (C, D).
        image_of_caption: row of each caption's picture, int (C,).
        folds: number of parts; it divides P.
        ks: cut-offs, each between 1 and the smaller gallery of each fold.

    Returns:
        As `recall`.

    Raises:
        ValueError: as `recall`, or the pictures cannot be divided evenly.
    """
    folds = checked_number(folds, "folds", 1)
    check_embeds(image_embeds, text_embeds)
    if len(image_embeds) % folds:
        raise ValueError(f"{len(image_embeds)} pictures cannot be divided into {folds} folds of one size.")
    owner = checked_owner(image_of_caption, len(image_embeds), len(text_embeds))
    size, members = len(image_embeds) // folds, []
    for fold in range(folds):
        members.append((owner // size == fold).nonzero().squeeze(1))
        of_fold = "the smaller gallery" + (f" of fold {fold + 1} of {folds}" if folds > 1 else "")
        ks = checked_ks(ks, min(size, len(members[-1])), of_fold)  # of all folds before the work
    parts = []
    for fold, rows in enumerate(members):
        images = image_embeds[fold * size : (fold + 1) * size]
        texts = text_embeds[rows.to(text_embeds.device)]
        parts.append(_figures(retrieval_ranks(images, texts, owner[rows] - fold * size), ks))
    return {name: float(sum(part[name] for part in parts) / folds) for name in parts[0]}


def _figures(ranks: Ranks, ks: list[int]) -> dict[str, Fraction]:
    figures = {
        f"{direction}_r@{k}": Fraction(100 * int((rank < k).sum()), len(rank))
        for direction, rank in ranks._asdict().items()
        for k in ks
    }
    figures["rsum"] = sum(figures.values())
    if 1 in ks:
        figures["mean_r@1"] = (figures["i2t_r@1"] + figures["t2i_r@1"]) / 2
    for direction, rank in ranks._asdict().items():
        ordered = rank.sort().values
        middle = ordered[[(len(rank) - 1) // 2, len(rank) // 2]]
        figures[f"{direction}_median_rank"] = 1 + Fraction(int(middle.sum()), 2)
        figures[f"{direction}_mean_rank"] = 1 + Fraction(int(rank.sum()), len(rank))
    return figures
