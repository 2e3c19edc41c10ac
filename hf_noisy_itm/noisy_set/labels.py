"""A noisy data set of rows with class labels: features, pictures or anything else, in memory or as a stream.

The noisy rows are the split "train" of one config, the source's other splits stand beside it, clean. All columns are
those of the source; `label` is noisy, `true_label` is not, and `label_is_noisy` says where they differ. A column
`is_noisy` of the source is of its captions, and stays as it is. One draw serves all modalities of a row, and all rows
of one picture (`image_id`); for a draw per modality see `flip_labels_symmetric` with labels of shape (M, N).
"""

from collections.abc import Iterator

import datasets
import numpy as np

from ..data import DataArguments, RowReport, table
from ..data._check import check_pictures
from ..data._columns import plain, read_cells
from ..data._report import BadRows
from ..data._splits import ROW, all_splits, rows_with
from ..data._stream_rows import decodes
from ..data.labels import LABEL, TRUE_LABEL, Classes, labelled_features, rows_as_stored
from ..data.pedigree import pedigree_of_source
from ..errors import InputError
from ..functional.noise import LabelNoise
from .content import Part, written_splits
from .label_rows import (
    CONFIG,
    Draws,
    Tally,
    check_image_column,
    draw,
    label_columns,
    label_content,
    labelled_row,
    picture_columns,
)


class LabelSource:
    """All rows in memory; for every kind of label noise.

    Args:
        args: `NoisySetArguments`.
        data: the source.
    """

    def __init__(self, args, data: DataArguments):
        self.args, self.data, self.evaluation = args, data, {}
        train, others = all_splits(data)
        check_image_column(train.column_names, data)
        names = [data.eval_split] if data.eval_split else list(others)
        found = {name: rows_with(others[name], data.where) for name in names}
        found = {name: _first(rows, data.max_eval_pictures) for name, rows in found.items() if rows is not None}
        train = _first(train, data.max_train_pictures)
        self.classes = Classes.of([train, *found.values()])
        checked = [_check(train, data, "training", data.train_split)]
        checked += [_check(rows, data, f"evaluation ({name})", name) for name, rows in found.items()]
        reports = [report for _, report in checked]
        if any(report.bad or not report.of_vectors for report in reports):
            print(table(reports))
        if data.on_bad_row == "stop" and any(report.bad for report in reports):
            raise BadRows(reports)
        (self.rows, _), *held_out = checked
        self.held_out = {name: rows for name, (rows, _) in zip(found, held_out) if len(rows)}
        if not len(self.rows):
            raise InputError(f"The split {data.train_split!r} of {data.dataset} has not one usable row.")
        for name, rows in self.held_out.items():
            if (self._numbers(rows, LABEL) != self._true(rows)).any():
                raise InputError(f"The split {name!r} of {data.dataset} has wrong labels; only clean ones are copied.")
        self.pedigree = pedigree_of_source(data, labels=True)
        clean, self.true = self._numbers(self.rows, LABEL), self._true(self.rows)
        self.noise, self.tally = self._drawn(clean), Tally(self.classes)
        self.tally.add(clean, self.noise, self.true)
        self.evaluation = {
            written: {"of": name, "rows": len(self.held_out[name])}
            for name, written in written_splits(self.held_out).items()
        }

    def _drawn(self, clean: np.ndarray) -> LabelNoise:
        self.draws = Draws(self.rows.features, self.data, self.classes)
        column = self.draws.column
        ids = () if column is None else read_cells(self.rows, column)
        number = self.draws.numbers(ids, clean, read_cells(self.rows, ROW))
        noise = draw(self.args, clean[np.unique(number, return_index=True)[1]], self.classes)
        return LabelNoise(noise.labels[number], noise.is_noisy[number], noise.nominal)

    def _numbers(self, rows: datasets.Dataset, column: str) -> np.ndarray:
        return self.classes.numbers(read_cells(rows, column), read_cells(rows, ROW), column)

    def _true(self, rows: datasets.Dataset) -> np.ndarray:
        return self._numbers(rows, TRUE_LABEL if TRUE_LABEL in rows.column_names else LABEL)

    def parts(self) -> Iterator[Part]:
        """The noisy rows, then the other splits."""
        everything = {"train": (self.rows, self.noise.labels, self.true)}
        for name, written in written_splits(self.held_out).items():
            rows = self.held_out[name]
            labels = self._numbers(rows, LABEL)
            everything[written] = rows, labels, labels
        for written, (rows, labels, true) in everything.items():
            pictures = picture_columns(rows.features)
            numbers = zip(rows_as_stored(rows), labels.tolist(), true.tolist())
            cells = (labelled_row(self.classes, row, pictures, *two) for row, *two in numbers)
            yield Part(CONFIG, "data", written, labelled_features(rows.features), cells)

    def content(self) -> dict:
        """What `noise.json` says."""
        return label_content(self, self.pedigree)


def _first(rows: datasets.Dataset, limit: int | None) -> datasets.Dataset:
    return rows if limit is None else rows.select(range(min(limit, len(rows))))


def _check(rows: datasets.Dataset, data: DataArguments, what: str, split: str) -> tuple[datasets.Dataset, RowReport]:
    """The rows with labels whose pictures, if they have any, can be used, and what was found."""
    report = RowReport(what, len(rows), split, of_vectors=not picture_columns(rows.features))
    number, good = np.asarray(read_cells(rows, ROW)), np.ones(len(rows), dtype=bool)
    for column in label_columns(rows.column_names):
        good &= [plain(cell) is not None for cell in read_cells(rows, column)]
    for row in number[~good]:
        report.add("no_label", row)
    for column in picture_columns(rows.features):
        pictures = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        pictures = pictures.rename_columns({column: "image"} if column != "image" else {})
        good &= check_pictures(report, pictures, number)
        if data.on_bad_row == "skip":
            for row in np.flatnonzero(good).tolist():
                if not decodes(pictures[row]["image"]):
                    report.add("broken", number[row])
                    good[row] = False
    report.pictures = int(good.sum()) if picture_columns(rows.features) else 0
    return (rows if good.all() else rows.select(np.flatnonzero(good))), report
