"""What label noise in memory and on a stream share: the rows that are written, and what is told of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np

from ..data import DataArguments
from ..data._columns import plain
from ..data._splits import own_columns
from ..data.labels import LABEL, LABEL_IS_NOISY, TRUE_LABEL, Classes, two_labels
from ..errors import InputError
from ..functional.noise import LabelNoise, draw_label_noise
from .content import EXAMPLES, content_of, rate_of

CONFIG = "labels"


class Tally:
    """What is told of the noisy rows, counted as they pass."""

    def __init__(self, classes: Classes):
        self.classes, self.rows, self.wrong, self.flipped = classes, 0, 0, 0
        self.clean, self.noisy = hashlib.sha256(), hashlib.sha256()
        self.examples: list[dict] = []

    def add(self, before: np.ndarray, noise: LabelNoise, true: np.ndarray) -> None:
        """Counts rows with their classes before and after the draw, and the true ones."""
        self.clean.update(before.astype("<i8").tobytes())
        self.noisy.update(noise.labels.astype("<i8").tobytes())
        for place in np.flatnonzero(noise.is_noisy)[: EXAMPLES - len(self.examples)].tolist():
            names = (self.classes.names[int(labels[place])] for labels in (before, noise.labels))
            self.examples.append({"row": self.rows + place, **dict(zip(("before", "after"), names))})
        self.rows += len(before)
        self.flipped += int(noise.is_noisy.sum())
        self.wrong += int((noise.labels != true).sum())


class Draws:
    """The number of the draw of each row: rows of one picture share it, for a picture has one class.

    Such rows are those of equal ids in data with pictures; all others have a number of their own. What is kept of a
    picture is its id, its number, its class and its first row.

    Args:
        features: of the rows.
        data: names of columns.
        classes: of the labels.
    """

    def __init__(self, features: datasets.Features, data: DataArguments, classes: Classes):
        has_ids = data.image_id_column in features and picture_columns(features)
        self.column = data.image_id_column if has_ids else None
        self.classes, self.count, self._known = classes, 0, {}

    def numbers(self, ids: Iterable, labels: np.ndarray, rows: Iterable[int]) -> np.ndarray:
        """Numbers of rows that follow those before, int64 (N,), counted from 0 in order of appearance.

        Args:
            ids: cells of `column`; not looked at where that is None.
            labels: classes, (N,).
            rows: number of each in the data, for messages, (N,).

        Raises:
            InputError: an id is a list, or rows of one picture are of several classes; they are named.
        """
        if self.column is None:
            self.count += len(labels)
            return np.arange(self.count - len(labels), self.count)
        found = []
        for cell, label, row in zip(map(plain, ids), labels.tolist(), rows):
            if isinstance(cell, list | dict):
                raise InputError(f"The column {self.column!r} holds {cell!r} in row {row}, not a text or a number.")
            key = (row,) if cell is None else str(cell)
            number, own, first = self._known.setdefault(key, (self.count, label, row))
            if label != own:
                raise two_labels([first, row], [self.classes.names[each] for each in (own, label)])
            self.count = len(self._known)
            found.append(number)
        return np.array(found, dtype=np.int64)


def check_image_column(columns: Iterable[str], data: DataArguments) -> None:
    """Refuses a column of pictures that was named and is not there; without one labels need no pictures."""
    if data.image_column not in (DataArguments().image_column, *columns):
        raise InputError(f"There is no column {data.image_column!r}; there are {', '.join(own_columns(columns))}.")


def picture_columns(features: datasets.Features) -> list[str]:
    """The names of the columns of pictures."""
    return [name for name, feature in features.items() if isinstance(feature, datasets.Image)]


def label_columns(columns: Iterable[str]) -> list[str]:
    """Those of labels among the names of columns: each must hold one in a row that is used."""
    return [name for name in (LABEL, TRUE_LABEL) if name in columns]


def draw(args, clean: np.ndarray, classes: Classes, rows: range | None = None) -> LabelNoise:
    """Draws what the arguments ask for; `rows` are numbers of rows of a stream."""
    try:
        return draw_label_noise(args.kind, args.rate, args.seed or 0, clean, len(classes), args.keep_none, rows)
    except ValueError as error:
        raise InputError(str(error)) from error


def labelled_row(classes: Classes, row: dict, pictures: list[str], label: int, true: int) -> dict:
    """A row of `labelled_features`, with the bytes of its pictures."""
    whole = {name: _whole(row[name]) for name in pictures}
    labels = {LABEL: classes.values[label], TRUE_LABEL: classes.values[true], LABEL_IS_NOISY: label != true}
    return {**row, **whole, **labels}


def _whole(cell: dict) -> dict:
    """The cell of a picture with its bytes."""
    if cell["bytes"] is not None:
        return {"bytes": cell["bytes"], "path": None}
    try:
        return {"bytes": Path(cell["path"]).read_bytes(), "path": None}
    except OSError as error:
        raise InputError(f"The picture {cell['path']} cannot be read: {error.strerror or error}.") from error


def label_content(source, before: dict | None) -> dict:
    """What `noise.json` says; `before` is the pedigree of the source, if it has one."""
    args, tally = source.args, source.tally
    pedigree = {
        "kind": args.kind,
        "nominal": args.rate,
        "realised": tally.flipped / tally.rows,
        "seed": args.seed or 0,
        "family": None,
        "labels": tally.rows,
        "classes": len(source.classes),
        "sha256": tally.noisy.hexdigest(),
    }
    if args.kind != "label_asymmetric":
        pedigree["keep_none"] = args.keep_none
    if source.draws.count < tally.rows:
        pedigree["pictures"] = source.draws.count
    if before is not None:
        pedigree["before"] = before
    rates = [rate_of("training rows", tally.rows), rate_of("wrong labels", tally.wrong, tally.rows)]
    fingerprints = tally.clean.hexdigest()[:16], tally.noisy.hexdigest()[:16]
    return content_of(source, pedigree, fingerprints, rates, source.evaluation, tally.examples)
