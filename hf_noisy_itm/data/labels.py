"""Class labels of rows: which classes there are, and columns that say which labels are wrong on purpose.

Rows of any columns may have a `label` (a `ClassLabel`, integers or strings). Noise on it leaves all other columns as
they are; `true_label` has the label before any noise, `label_is_noisy` says whether `label` is another. A column
`is_noisy` is of captions, always, and no label is called wrong by it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import datasets
import numpy as np

from ..errors import InputError
from ._arguments import DataArguments
from ._columns import plain, read_cells
from ._labels import LABEL, LABEL_IS_NOISY, NO_LABEL, TRUE_LABEL, Labels
from ._report import RowReport
from ._splits import find_column, own_columns


@dataclass(frozen=True)
class Classes:
    """The classes 0..K-1, and how the data write each.

    Args:
        values: what stands in the column for each class.
        names: what each is called.
    """

    values: list[int | str]
    names: list[str]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def declared(cls, features: datasets.Features | None, column: str = LABEL) -> "Classes | None":
        """The classes that the type of the column names; None if it names none."""
        feature = (features or {}).get(column)
        if not isinstance(feature, datasets.ClassLabel):
            return None
        return cls(list(range(feature.num_classes)), list(feature.names))

    @classmethod
    def of(cls, splits: Iterable[datasets.Dataset], column: str = LABEL) -> "Classes":
        """The classes that the type names, else the different labels of all splits, sorted.

        Raises:
            InputError: there is no such column, or it holds something else than integers or strings. Whole numbers as
            floats are taken where a cell is empty, for that is how pandas writes integers then, and nowhere else.
        """
        splits = list(splits)
        for rows in splits:
            find_column(rows, column)
        if (declared := cls.declared(splits[0].features, column)) is not None:
            return declared
        cells = [plain(cell) for rows in splits for cell in read_cells(rows, column)]
        found = {cell for cell in cells if cell is not None and not isinstance(cell, list | dict)}
        values = sorted(found) if {type(cell) for cell in found} in ({int}, {str}) else []
        if values and None not in cells and any("float" in str(rows.features[column]) for rows in splits):
            raise InputError(
                f"The column {column!r} holds floating-point numbers, and a class is an integer, a string or of a "
                f"ClassLabel: convert it."
            )
        if not values:
            raise InputError(f"The column {column!r} holds no classes: integers, strings or a ClassLabel.")
        return cls(values, [str(value) for value in values])

    def numbers(self, cells: Iterable, rows: Iterable[int], column: str = LABEL, may_lack: bool = False) -> np.ndarray:
        """Cells as classes, int64 (N,).

        Args:
            cells: of a column.
            rows: number of each in the data, for messages.
            column: its name.
            may_lack: an empty cell becomes `NO_LABEL`.

        Raises:
            InputError: a cell is none of the classes; its row is named.
        """
        number = {value: place for place, value in enumerate(self.values)}
        if may_lack:
            number[None] = NO_LABEL
        found = []
        for cell, row in zip(cells, rows):
            cell = plain(cell)
            if isinstance(cell, list | dict) or cell not in number:
                raise InputError(f"The column {column!r} holds {cell!r} in row {row}, which is none of the classes.")
            found.append(number[cell])
        return np.array(found, dtype=np.int64)


def read_labels(
    rows: datasets.Dataset,
    args: DataArguments,
    modalities: Sequence[str],
    number: np.ndarray,
    beside: Sequence[datasets.Dataset] = (),
) -> Labels:
    """The labels of each row in each modality, from `args.label_column`: one column, or one for each modality.

    A column `true_label` says what is true of the column `label`. Rows without a label have `NO_LABEL`; `labelled`
    finds them.

    Args:
        rows: R of them.
        args: names of columns.
        modalities: their names.
        number: of each row in the data, for messages, (R,).
        beside: rows of the same split, whose classes are classes of these, too.

    Raises:
        InputError: a column is not there, holds something else, or several labels in a row; or columns have other
            classes than each other.
    """
    columns = [name.strip() for name in args.label_column.split(",")]
    if len(columns) not in (1, len(modalities)):
        raise InputError(
            f"label_column names {len(columns)} columns for {len(modalities)} modalities ({', '.join(modalities)}): "
            f"give one for all, or one for each."
        )
    found = {}
    for column in dict.fromkeys(columns):
        _refuse_several(rows, find_column(rows, column), number)
        found[column] = Classes.of([part for each in (rows, *beside) for part in _with_true(each, column)], column)
    classes, *others = found.values()
    for other, column in zip(others, list(found)[1:]):
        refuse_other_classes(classes.names, other.names, f"the column {columns[0]!r}", f"the column {column!r}")
    given, true = {}, {}
    for modality, column in zip(modalities, columns * len(modalities) if len(columns) == 1 else columns):
        given[modality] = true[modality] = found[column].numbers(read_cells(rows, column), number, column, True)
        if column == LABEL and TRUE_LABEL in rows.column_names:
            true[modality] = found[column].numbers(read_cells(rows, TRUE_LABEL), number, TRUE_LABEL, True)
    return Labels(classes.names, given, true)


def labelled(labels: Labels, number: np.ndarray, report: RowReport) -> np.ndarray:
    """Which of the first rows that `read_labels` read have all their labels, bool; the others are reported.

    Args:
        labels: of R rows or more.
        number: of each row in the data, (R,).
        report: of these rows.
    """
    parts = [each[: len(number)] for part in (labels.given, labels.true) for each in part.values()]
    found = np.all([part != NO_LABEL for part in parts], axis=0)
    for row in number[~found]:
        report.add("no_label", row)
    return found


def _with_true(rows: datasets.Dataset, column: str) -> list[datasets.Dataset]:
    """The rows, and their column `true_label` as `label`: noise may have left a class to the true labels alone."""
    if column != LABEL or TRUE_LABEL not in rows.column_names:
        return [rows]
    return [rows, rows.select_columns([TRUE_LABEL]).rename_column(TRUE_LABEL, LABEL)]


def _refuse_several(rows: datasets.Dataset, column: str, number: np.ndarray) -> None:
    if isinstance(rows.features[column], datasets.ClassLabel):
        return
    for row, cell in zip(number, read_cells(rows, column)):
        if isinstance(cell, list | dict):
            raise InputError(
                f"The column {column!r} holds several labels in row {row}: retrieval by category takes one class for "
                f"each sample; choose one of them, or make a class of each combination."
            )


def two_labels(rows: Sequence[int], classes: Sequence[str]) -> InputError:
    """What to raise where two rows of one picture are of different classes."""
    return InputError(
        f"Rows {rows[0]} and {rows[1]} are of one picture, but of the classes {classes[0]!r} and {classes[1]!r}: a "
        f"picture has one class here."
    )


def refuse_other_classes(one: list[str], other: list[str], what: str, what_other: str) -> None:
    """Does nothing if two lists name the same classes in the same order.

    Raises:
        InputError: they do not; the difference is named.
    """
    if one == other:
        return
    told = [
        f"{', '.join(repr(name) for name in names[:5])}{' …' if len(names) > 5 else ''} in {where} alone"
        for names, where in (
            ([name for name in one if name not in other], what),
            ([name for name in other if name not in one], what_other),
        )
        if names
    ]
    difference = " and ".join(told) or f"in {what} {one[:5]}, in {what_other} {other[:5]}"
    raise InputError(
        f"{what[:1].upper()}{what[1:]} and {what_other} have other classes: {difference}; mend one of them."
    )


def labelled_features(features: datasets.Features) -> datasets.Features:
    """Of rows after noise: those of the source, `true_label` as `label`, and `label_is_noisy`."""
    kept = {name: features[name] for name in own_columns(features) if name not in (TRUE_LABEL, LABEL_IS_NOISY)}
    return datasets.Features({**kept, TRUE_LABEL: kept[LABEL], LABEL_IS_NOISY: datasets.Value("bool")})


def rows_as_stored(rows: datasets.Dataset) -> Iterator[dict]:
    """All rows in order, pictures as bytes and paths."""
    for batch in rows.select_columns(own_columns(rows.column_names)).with_format("arrow").iter(batch_size=100):
        yield from batch.to_pylist()
