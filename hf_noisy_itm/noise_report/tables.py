"""What is found, as Parquet: a row for each pair, and a row for each couple that is alike."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..data import Pairs
from ..files import atomic_path
from .findings import TRAINING_WEIGHT, Findings


def write_scores(path: str | Path, findings: Findings, pairs: Pairs) -> None:
    """Writes one row per pair, in the order of the pairs.

    `image_id` and `caption_id` are those of the data, or what stands for them, so that the file can be joined; rank 1
    is the most suspicious; `weight` is the probability of being right. Where something is known of noise there is
    `is_noisy`, empty in rows of which nobody knows. Where the scorer knows concepts there are `image_concepts` and
    `caption_concepts`, lists of words, the strongest first. What `suggested_caption` is, see `suggestions`.
    """
    rank = np.empty(len(pairs), dtype=np.int64)
    rank[findings.order] = np.arange(1, len(pairs) + 1)
    suggested = findings.suggested
    columns = {
        "image_id": _column(pairs.name[pairs.image_row]),
        "caption_id": _column(pairs.caption_name),
        "caption": _strings(pairs.captions),
        "rank": rank,
        "suspicion": findings.suspicion,
        "probability_wrong": findings.probability,
        "weight": 1 - findings.probability,
        "is_flagged": findings.flagged,
        "cosine": -findings.signals["cosine"],
        "loss": findings.signals["loss"],
        "noisy_by_loss": findings.noisy_by_loss,
        "disagreement": findings.signals["agreement"],
        "misprediction": findings.signals["prediction"],
    }
    if TRAINING_WEIGHT in findings.signals:
        columns["training_weight"] = -findings.signals[TRAINING_WEIGHT]
    if (is_known := pairs.noise_is_known).any():
        columns["is_noisy"] = pa.array(pairs.is_noisy, mask=~is_known)
    if findings.concepts is not None:
        columns |= findings.concepts.columns(pairs.image_row)
    columns["suggested_caption_id"] = _at(pairs.caption_name, suggested)
    columns["suggested_caption"] = _strings([pairs.captions[row] if row >= 0 else None for row in suggested.tolist()])
    _write(path, columns)


def write_alike(path: str | Path, findings: Findings, pairs: Pairs) -> None:
    """Writes one row per couple: what it is, ids of both, and the cosine.

    `what` is "pictures", "captions" (in other words), "equal captions" (but for case and spaces: the first one with
    that of each further picture) or "possible match". Couples of pictures
    have no caption ids; a possible match is a picture and a caption of another one.
    """
    alike = findings.alike
    fits = alike.may_fit
    foreign = alike.foreign[fits, 0]
    nothing, no_caption = np.full(len(alike.pictures), -1), np.full(len(fits), -1)
    captions = np.concatenate([alike.captions, alike.equal])
    one_image = np.concatenate([alike.pictures[:, 0], pairs.image_row[captions[:, 0]], fits])
    other_image = np.concatenate([alike.pictures[:, 1], pairs.image_row[captions[:, 1]], pairs.image_row[foreign]])
    names = ("pictures", "captions", "equal captions", "possible match")
    what = np.repeat(names, [len(nothing), len(alike.captions), len(alike.equal), len(fits)])
    best = alike.foreign_cosines[fits, 0]
    cosine = [alike.picture_cosines, alike.caption_cosines, np.ones(len(alike.equal)), best]
    columns = {
        "what": pa.array(what.tolist(), pa.string()),
        "image_id": _column(pairs.name[one_image]),
        "caption_id": _at(pairs.caption_name, np.concatenate([nothing, captions[:, 0], no_caption])),
        "other_image_id": _column(pairs.name[other_image]),
        "other_caption_id": _at(pairs.caption_name, np.concatenate([nothing, captions[:, 1], foreign])),
        "cosine": np.concatenate(cosine),
    }
    _write(path, columns)


def _column(ids: np.ndarray) -> pa.Array:
    return _at(ids, np.arange(len(ids)))


def _at(ids: np.ndarray, rows: np.ndarray) -> pa.Array:
    """The ids in some rows, nothing where a row is -1; ids that are no integers as text."""
    chosen = [ids[row].item() if row >= 0 else None for row in rows.tolist()]
    if ids.dtype.kind in "iu":
        return pa.array(chosen, pa.int64())
    return _strings([None if each is None else str(each) for each in chosen])


def _strings(texts: list[str | None]) -> pa.Array:
    """Texts, with what UTF-8 cannot hold replaced."""
    clean = [None if text is None else text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    return pa.array(clean, pa.string())


def _write(path: str | Path, columns: dict) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="ZSTD")
