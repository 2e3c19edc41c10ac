"""Wrong captions that sound right: each is one of the nearest captions of another picture."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .draw import random_order, random_words, share_of
from .result import Noise, check_rate, moved, picture_ids

_MORE = 4096  # rows that are looked at anew where some have no near caption
_LANE = 64  # captions per group; the k best captions lie in the k groups with the highest best


def swap_semantic(
    text_embeds: Tensor | np.ndarray,
    image_of_caption: Sequence | np.ndarray,
    rate: float,
    k: int,
    rng: np.random.Generator,
    max_similarity: float = 0.9999,
    block: int = 256,
    min_similarity: float = 0.01,
) -> Noise:
    """Puts a near caption of another picture in the place of a given share of the captions.

    Exact: `floor(rate * N)` rows are picked, and each is noisy: its new caption is drawn, all alike, from the k that
    are nearest by cosine among those of other pictures, not nearer than `max_similarity` and not as far as
    `min_similarity` (fewer, if there are no k). Where there is none, another row is picked instead. `source` is no
    permutation: a caption may stand in several rows, and others are lost. Which rows are picked
    and which rank is drawn depend on `rng` alone, and picks are nested over rates; who has that rank depends on all
    embeddings, and between near-equals on the machine's floating point. No stream.

    Args:
        text_embeds: one row per caption, (N, D), any scale.
        image_of_caption: id of each row's picture, numbers or strings (N,).
        rate: share of rows to pick, in [0, 1].
        k: how many nearest captions to draw from, at least 1.
        rng: the only source of randomness.
        max_similarity: captions with a higher cosine say the same in the same words: no wrong caption.
        block: queries per block, see `nearest_of_other_pictures`.
        min_similarity: captions with a cosine no higher have nothing in common, whatever their rank (ours).

    Raises:
        ValueError: rate, k or shapes do not fit, an embedding is not finite, or too few rows have such a caption.
    """
    check_rate(rate)
    ids = picture_ids(image_of_caption)
    order, count = random_order(len(ids), rng), share_of(len(ids), rate)
    words = random_words(len(ids), rng)
    source = np.arange(len(ids), dtype=np.int64)
    start = taken = 0
    while taken < count and start < len(order):
        stop = start + max(count - taken, _MORE if start else 0)
        rows, word = order[start:stop], words[start:stop]
        nearest, found = nearest_of_other_pictures(text_embeds, ids, rows, k, max_similarity, block, min_similarity)
        near = np.flatnonzero(found)[: count - taken]
        rank = (word[near] % found[near].astype(np.uint64)).astype(np.int64)
        source[rows[near]] = nearest[near, rank]
        start, taken = stop, taken + len(near)
    if taken < count:
        raise ValueError(
            f"Of {len(ids)} captions only {taken} have a near one of another picture, one with a cosine above "
            f"{min_similarity} and not above {max_similarity}, but {count} are to be replaced: lower the rate to "
            f"{int(1000 * taken / len(ids)) / 1000} or less, or give other embeddings (a --text_model)."
        )
    return moved(source, ids, rate)


def similarity_to_source(text_embeds: Tensor | np.ndarray, source: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cosines of the captions of some rows with those that replaced them, how near a draw came.

    Args:
        text_embeds: (N, D), any scale.
        source: row whose caption now stands in each of the rows, (Q,).
        rows: (Q,).

    Returns:
        float64 (Q,).
    """
    embeds = torch.as_tensor(text_embeds).detach()
    parts = [
        (_unit_rows(embeds[source[start : start + 8192]]) * _unit_rows(embeds[rows[start : start + 8192]])).sum(dim=1)
        for start in range(0, len(rows), 8192)
    ]
    return torch.cat(parts).double().cpu().numpy()[: len(rows)] if parts else np.zeros(0)


@torch.no_grad()
def nearest_of_other_pictures(
    text_embeds: Tensor | np.ndarray,
    image_of_caption: Sequence | np.ndarray,
    rows: np.ndarray,
    k: int,
    max_similarity: float = math.inf,
    block: int = 256,
    min_similarity: float = -math.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """The k captions nearest to those of some rows by cosine, captions of the same picture left out.

    Args:
        text_embeds: (N, D), any scale; on a GPU, the search runs there.
        image_of_caption: id of each row's picture, (N,).
        rows: which captions to search for, (Q,).
        k: how many, at least 1.
        max_similarity: leave out captions with a higher cosine.
        min_similarity: leave out captions with no higher cosine.
        block: queries per block. Memory is a copy of the embeddings in float32 and `block` x N similarities.

    Returns:
        Rows of the nearest captions, the nearest first, int64 (Q, k), -1 where there are fewer; and how many were
        found, int64 (Q,).

    Raises:
        ValueError: k or shapes do not fit, or an embedding is not finite.
    """
    ids = picture_ids(image_of_caption)
    embeds = torch.as_tensor(text_embeds).detach()
    if embeds.ndim != 2 or len(embeds) != len(ids):
        raise ValueError(f"{len(ids)} captions need a matrix with as many rows, got shape {tuple(embeds.shape)}.")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    keys = _unit_rows(embeds)
    lanes = len(keys) // _LANE
    same_picture = _SamePicture(ids)
    nearest = np.full((len(rows), k), -1, dtype=np.int64)
    score = keys.new_empty(min(block, len(rows)), len(keys))
    for start in range(0, len(rows), block):
        part = torch.as_tensor(rows[start : start + block], device=keys.device)
        now = torch.mm(keys[part], keys.T, out=score[: len(part)])  # (block, N + padding)
        now[:, len(ids) :] = -torch.inf
        own = same_picture(rows[start : start + block])
        now[tuple(torch.as_tensor(each, device=now.device) for each in own)] = -torch.inf
        by_lane = now.view(len(part), lanes, _LANE)
        best = by_lane.amax(dim=2)  # (block, lanes)
        hot = torch.nonzero(best > max_similarity, as_tuple=True)  # few: a mask over all pairs would cost much more
        kept = by_lane[hot].masked_fill_(by_lane[hot] > max_similarity, -torch.inf)
        by_lane[hot], best[hot] = kept, kept.amax(dim=1)
        lane = best.topk(min(k, lanes), dim=1).indices  # (block, k)
        few = by_lane.gather(1, lane[:, :, None].expand(-1, -1, _LANE)).flatten(1)  # (block, k * _LANE)
        top = few.topk(min(k, few.shape[1]), dim=1)
        row = lane.gather(1, top.indices // _LANE) * _LANE + top.indices % _LANE
        found = row.masked_fill(top.values <= min_similarity, -1).cpu().numpy()
        nearest[start : start + len(part), : found.shape[1]] = found
    return nearest, (nearest >= 0).sum(axis=1)


def _unit_rows(embeds: Tensor, block: int = 8192) -> Tensor:
    """Unit rows in float32, zero rows added up to a multiple of `_LANE`; block by block, so that one copy is all."""
    keys = torch.zeros(-(-len(embeds) // _LANE) * _LANE, embeds.shape[1], device=embeds.device)
    for start in range(0, len(embeds), block):
        part = embeds[start : start + block]
        finite = torch.isfinite(part).all(dim=1)
        if not finite.all():
            raise ValueError(f"The embedding of caption {start + int(finite.int().argmin())} is not finite.")
        largest = part.abs().amax(dim=1, keepdim=True)
        part = (part / largest.where(largest > 0, 1.0)).float()
        keys[start : start + len(part)] = torch.nn.functional.normalize(part, dim=1)
    return keys


class _SamePicture:
    """Finds the captions of the same picture."""

    def __init__(self, ids: np.ndarray):
        self.group, self.size = np.unique(ids, return_inverse=True, return_counts=True)[1:]
        self.by_group = np.argsort(self.group, kind="stable")
        self.first = np.cumsum(self.size) - self.size

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of a place in `rows` and a caption of the same picture, the row's own caption too."""
        group = self.group[rows]
        count = self.size[group]
        place = np.repeat(np.arange(len(rows)), count)
        number = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        return place, self.by_group[self.first[group][place] + number]
