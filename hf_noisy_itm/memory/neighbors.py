"""For every training pair, the nearest clean pair by cosine: the entries of a memory bank.

Nothing is nearer than the thing itself. So a clean pair's caption, and a picture that has a clean caption, are their
own entries, and only for the rest is searched; what equals them to the last bit in other rows is not considered.
"""

import torch
from torch import Tensor

from ..functional.nearest import EXACT, nearest_others, nearest_rows
from .bank import EncodedPairs


def nearest_by_image(
    encoded: EncodedPairs, clean: Tensor, rank: Tensor, exclude_self: bool = False, exact: int = EXACT
) -> Tensor:
    """For each pair, the clean pair whose picture is most like its own.

    Pictures are compared, each once; of a picture's clean captions the one of lowest rank is taken (ours: the papers
    do not say).

    Args:
        encoded: N pairs over P pictures.
        clean: rows of the clean pairs, (M,), M >= 1.
        rank: of all pairs, lowest first, (N,): their losses, for one.
        exclude_self: leave out the pair itself, unless it is the only clean one. The next clean caption of its picture
            takes its place and, where there is none, that of the nearest other picture.
        exact: see `functional.nearest.nearest_rows`.

    Returns:
        Rows of clean pairs, int64 (N,).
    """
    ordered = clean[rank[clean].argsort(stable=True)]  # lowest first
    first = _first_of_picture(encoded, ordered)  # (P,)
    found = first < len(ordered)
    pictures, others = torch.nonzero(found).squeeze(1), torch.nonzero(~found).squeeze(1)
    first[others] = first[pictures[nearest_rows(encoded.image_embeds, others, pictures, exact=exact)]]
    entries = ordered[first][encoded.image_of_pair]
    if exclude_self:
        own = torch.nonzero(entries == _count(entries)).squeeze(1)  # the first clean pair of each picture
        further = ordered[first[encoded.image_of_pair[ordered]] != _count(ordered)]
        second = _first_of_picture(encoded, further)[encoded.image_of_pair[own]]
        found = second < len(further)
        entries[own[found]] = further[second[found]]
        if len(alone := own[~found]):
            place = torch.empty_like(first)
            place[pictures] = pictures[nearest_others(encoded.image_embeds, pictures, exact=exact)]
            entries[alone] = ordered[first[place[encoded.image_of_pair[alone]]]]
    return entries


def nearest_by_text(encoded: EncodedPairs, clean: Tensor, exclude_self: bool = False, exact: int = EXACT) -> Tensor:
    """For each pair, the clean pair whose caption is most like its own.

    Args:
        encoded: N pairs.
        clean: rows of the clean pairs, (M,), M >= 1.
        exclude_self: leave out the pair itself, unless it is the only clean one; not other pairs of an equal caption.
        exact: see `functional.nearest.nearest_rows`.

    Returns:
        Rows of clean pairs, int64 (N,).
    """
    entries = torch.full((len(encoded.text_embeds),), -1, device=clean.device)
    entries[clean] = clean[nearest_others(encoded.text_embeds, clean, exact=exact)] if exclude_self else clean
    others = torch.nonzero(entries < 0).squeeze(1)
    entries[others] = clean[nearest_rows(encoded.text_embeds, others, clean, exact=exact)]
    return entries


def _first_of_picture(encoded: EncodedPairs, pairs: Tensor) -> Tensor:
    """Where in `pairs` the first pair of each picture stands, (P,); len(pairs) where there is none."""
    none = torch.full((len(encoded.image_embeds),), len(pairs), device=pairs.device)
    return none.scatter_reduce(0, encoded.image_of_pair[pairs], _count(pairs), "amin")


def _count(rows: Tensor) -> Tensor:
    return torch.arange(len(rows), device=rows.device)
