"""For a pair that looks wrong a caption of the data that was likely written for its picture, where that can be told.

A caption that looks wrong where it stands is offered to the picture that it lies nearest to. Most such offers are
wrong, with a poor scorer nearly all, so they are made only where the same rule, asked for captions whose picture is
known, is right: among the captions of pairs that seem right, those that are as near to a picture, and nearer to it
than to any other by as much, must in four of five cases be nearest to their own. Where no lead is enough for that,
nothing is offered. The rule is ours; docs/noise_report.md says how often it was right.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import torch

from ..data import Pairs
from ..functional.nearest_k import nearest_k
from ..memory.bank import EncodedPairs
from .alike import Alike, text_numbers

_RIGHT = 0.8  # ours: share of those who are asked and must be right
_LEAST = 30  # ours: captions that this share rests on
_MOST = 5_000  # captions that are asked, for time


def suggestions(
    encoded: EncodedPairs, alike: Alike, text: np.ndarray, probability: np.ndarray, cosine: np.ndarray
) -> np.ndarray:
    """For each pair the row whose caption may belong to its picture, int64 (N,); -1 where none is likely to.

    Args:
        encoded: N pairs.
        alike: of these; the captions of other pictures that are nearest to a picture may be offered to it.
        text: number of each caption's words, equal where these are, (N,).
        probability: of being wrong, (N,).
        cosine: of each pair, (N,).
    """
    suggested = np.full(len(text), -1)
    wrong, right = np.flatnonzero(probability > 0.5), np.flatnonzero(probability < 0.5)
    if not len(wrong) or not len(right) or len(encoded.image_embeds) < 2:
        return suggested
    level = np.median(cosine[right])
    picture = encoded.image_of_pair.cpu().numpy()
    asked = right[:: -(-len(right) // _MOST)]
    nearest, cosines, leads = _nearest_pictures(encoded, asked)
    near = cosines >= level
    lead = _least_lead(leads[near], (nearest == picture[asked])[near])
    its_pictures = np.unique(picture[wrong])
    fits = alike.foreign[its_pictures][alike.foreign_cosines[its_pictures] >= level]
    rows = np.intersect1d(fits, wrong)
    if not len(rows) or np.isinf(lead):
        return suggested
    nearest, cosines, leads = _nearest_pictures(encoded, rows)
    width = int(text.max()) + 1
    is_own = np.isin(nearest * width + text[rows], picture * width + text)
    offered = np.flatnonzero((cosines >= level) & (leads >= lead) & ~is_own)
    offered = offered[np.argsort(cosines[offered], kind="stable")]  # of several to one picture the last one stays
    of_picture, its_cosine = np.full(len(encoded.image_embeds), -1), np.full(len(encoded.image_embeds), -np.inf)
    of_picture[nearest[offered]], its_cosine[nearest[offered]] = rows[offered], cosines[offered]
    gains = its_cosine[picture[wrong]] - cosine[wrong] >= lead
    suggested[wrong[gains]] = of_picture[picture[wrong[gains]]]
    return suggested


def _nearest_pictures(encoded: EncodedPairs, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some captions the nearest picture, its cosine, and by how much that is above the second's."""
    texts = encoded.text_embeds[torch.from_numpy(rows).to(encoded.text_embeds.device)]
    cosines, found = (each.cpu().numpy() for each in nearest_k(texts, encoded.image_embeds, 2))
    return found[:, 0], cosines[:, 0], cosines[:, 0] - cosines[:, 1]


def _least_lead(leads: np.ndarray, is_right: np.ndarray) -> float:
    """The least lead such that of those that have it or more `_RIGHT` are right; infinite where there is none."""
    order = np.argsort(-leads, kind="stable")
    count = np.arange(1, len(order) + 1)
    enough = np.flatnonzero((np.cumsum(is_right[order]) >= _RIGHT * count) & (count >= _LEAST))
    return float(leads[order[enough[-1]]]) if len(enough) else np.inf


def right_suggestions(suggested: np.ndarray, pairs: Pairs, picture_key: Sequence[Hashable]) -> dict:
    """How many suggestions are right, where it is known which picture each caption was written for.

    Right is a caption of the words, case and spaces apart, of one that was written for the picture or an equal one.

    Args:
        suggested: see `suggestions`, (N,).
        pairs: N of them, no caption of which was written for a picture that is not among theirs.
        picture_key: of each picture, equal for equal ones, (P,), such as `Pairs.content_key`.

    Returns:
        `offered`, how many; `right`, the share of these, None without any.
    """
    number = text_numbers(pairs.captions).tolist()
    key = dict(zip(pairs.image_id.tolist(), picture_key))
    written = {(key[image], text) for image, text in zip(pairs.caption_image_id.tolist(), number)}
    rows = np.flatnonzero(suggested >= 0).tolist()
    right = [(picture_key[pairs.image_row[row]], number[suggested[row]]) in written for row in rows]
    return {"offered": len(rows), "right": float(np.mean(right)) if rows else None}
