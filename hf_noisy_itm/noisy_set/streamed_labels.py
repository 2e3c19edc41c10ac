"""A noisy data set of a stream of rows with class labels, which is read once."""

from collections.abc import Iterator
from itertools import chain, islice

from ..data import DataArguments, RowReport, table
from ..data._columns import plain
from ..data._passing import PassingRows
from ..data._paths import PictureFolder
from ..data._report import BadRows
from ..data._sources import open_stream
from ..data._splits import check_splits
from ..data._stream_load import condition
from ..data._stream_rows import decodes, reading
from ..data.labels import LABEL, TRUE_LABEL, Classes, labelled_features
from ..data.pedigree import pedigree_of_source
from ..data.stream import undecoded
from ..errors import InputError
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

_CHUNK = 64  # rows drawn at once


class LabelStream:
    """One pass over a stream, in order; for noise that needs no other row.

    Args:
        args: `NoisySetArguments`.
        data: the source; its column `label` must be a `ClassLabel`, for a stream does not know all labels.
    """

    def __init__(self, args, data: DataArguments):
        if args.kind != "label_symmetric_by_row":
            raise InputError(
                f"A row of the kind {args.kind!r} depends on all rows, which a stream does not know: leave "
                f"--streaming out, or take label_symmetric_by_row."
            )
        splits, root = open_stream(data)
        check_splits(data, splits)
        check_image_column((splits[data.train_split].features or {}).keys(), data)
        self.args, self.data, self.splits, self.evaluation = args, data, splits, {}
        self.folder = PictureFolder(root) if root else None
        self.reports: list[RowReport] = []
        self.classes = Classes.declared(splits[data.train_split].features)
        if self.classes is None:
            raise InputError(
                f"The classes of {data.dataset} are not known before all rows are read, for its column {LABEL!r} is "
                f"no ClassLabel: leave --streaming out."
            )
        self.draws = Draws(splits[data.train_split].features, data, self.classes)
        self.tally = Tally(self.classes)

    def parts(self) -> Iterator[Part]:
        """The noisy rows, then the other splits; each is read to its end before the next is asked for."""
        data = self.data
        yield self._part(data.train_split, "train", self._noisy_rows())
        others = [data.eval_split] if data.eval_split else [name for name in self.splits if name != data.train_split]
        found = {}
        for name in others:
            rows = self._clean_rows(name)
            if (first := next(rows, None)) is not None:
                found[name] = chain([first], rows)
        for name, written in written_splits(found).items():
            yield self._part(name, written, self._counted(name, written, found[name]))
        if any(report.bad or not report.of_vectors for report in self.reports):
            print(table(self.reports))
        if not self.tally.rows:
            raise InputError(f"The split {data.train_split!r} of {data.dataset} has not one usable row.")

    def _part(self, name: str, written: str, rows: Iterator[dict]) -> Part:
        return Part(CONFIG, "data", written, labelled_features(self.splits[name].features), rows)

    def _noisy_rows(self) -> Iterator[dict]:
        rows = self._rows(self.data.train_split, self.data.max_train_pictures, "training")
        pictures = picture_columns(self.splits[self.data.train_split].features)
        while some := list(islice(rows, _CHUNK)):
            numbers = [number for number, _ in some]
            clean = self.classes.numbers((row[LABEL] for _, row in some), numbers)
            true = clean
            if TRUE_LABEL in some[0][1]:
                true = self.classes.numbers((row[TRUE_LABEL] for _, row in some), numbers, TRUE_LABEL)
            ids = (row.get(self.draws.column) for _, row in some)
            noise = draw(self.args, clean, self.classes, self.draws.numbers(ids, clean, numbers))
            self.tally.add(clean, noise, true)
            for (_, row), *two in zip(some, noise.labels.tolist(), true.tolist()):
                yield labelled_row(self.classes, row, pictures, *two)

    def _counted(self, name: str, written: str, rows: Iterator[dict]) -> Iterator[dict]:
        count = self.evaluation[written] = {"of": name, "rows": 0}
        for row in rows:
            count["rows"] += 1
            yield row

    def _clean_rows(self, name: str) -> Iterator[dict]:
        pictures = picture_columns(self.splits[name].features)
        for number, row in self._rows(name, self.data.max_eval_pictures, f"evaluation ({name})"):
            label, true = (
                self.classes.numbers([row.get(each, row[LABEL])], [number])[0] for each in (LABEL, TRUE_LABEL)
            )
            if label != true:
                raise InputError(f"The split {name!r} has a wrong label in row {number}; only clean ones are copied.")
            yield labelled_row(self.classes, row, pictures, int(label), int(label))

    def _rows(self, name: str, limit: int | None, what: str) -> Iterator[tuple[int, dict]]:
        """The usable rows of a split, each with its number."""
        data, passing = self.data, PassingRows(what, name)
        self.reports.append(passing.report)
        keep = condition(data.where) if data.where is not None else None
        pictures = picture_columns(self.splits[name].features)
        passing.report.of_vectors = not pictures
        for number, row in enumerate(reading(undecoded(self.splits[name]), data)):
            if passing.report.rows == limit:
                return
            if keep is not None and not keep(row):
                continue
            passing.report.rows += 1
            row = {**row, **{column: self._inside(row[column]) for column in pictures}}
            good = [passing.picture(number, row[column]) for column in pictures]
            if any(plain(row[column]) is None for column in label_columns(row)):
                passing.report.add("no_label", number)
                good.append(False)
            if data.on_bad_row == "skip" and all(good) and not all(decodes(row[column]) for column in pictures):
                passing.report.add("broken", number)
                good = [False]
            if passing.report.bad and data.on_bad_row == "stop":
                raise BadRows([passing.report])
            if all(good):
                passing.report.pictures += bool(pictures)
                yield number, row

    def _inside(self, cell: dict | None) -> dict | None:
        by_path = cell is not None and cell["bytes"] is None and self.folder is not None
        return self.folder.cell(cell["path"]) if by_path else cell

    def content(self) -> dict:
        """What `noise.json` says."""
        return label_content(self, pedigree_of_source(self.data, labels=True))
