"""Captions of the data that may belong to pictures whose own look wrong, and how often they do."""

from collections.abc import Hashable, Sequence

import numpy as np

from ..data import Pairs
from .alike import text_numbers
from .doubts import is_poor_scorer
from .findings import Findings


def suggestions(findings: Findings, image_row: np.ndarray) -> np.ndarray:
    """For each pair, row (N,), the pair whose caption may belong to its picture; -1 where none is likely to.

    Of a flagged pair it is the caption of another picture that fits its picture best, if it fits better than the
    own one, if it is a possible match (`Alike.may_fit`: at least as near to the picture as half of the pairs that seem
    right), and if it is flagged where it stands: a caption that is right there was hardly written for this one too.
    A scorer that tells right pairs from random ones poorly suggests nothing. docs/noise_report.md has what
    this is worth.

    Args:
        findings: of N pairs.
        image_row: row of each pair's picture, (N,).
    """
    if is_poor_scorer(findings):
        return np.full(len(findings), -1)
    alike = findings.alike
    best = alike.foreign[:, 0]
    offered = np.zeros(len(best), dtype=bool)
    offered[alike.may_fit] = True
    offered &= findings.flagged[best] & (best >= 0)
    is_better = alike.foreign_cosines[image_row, 0] > -findings.signals["cosine"]
    return np.where(findings.flagged & offered[image_row] & is_better, best[image_row], -1)


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
