"""From rows of a table to `FeatureRows`."""

from collections.abc import Sequence

import datasets
import numpy as np

from ..errors import InputError
from ._arguments import DataArguments
from ._columns import read_cells
from ._report import RowReport
from ._splits import ROW, find_column
from .features import FeatureRows
from .labels import read_labels

_SUFFIX = "_features"


def read_features(
    rows: datasets.Dataset,
    args: DataArguments,
    what: str,
    limit: int | None = None,
    split: str = "",
    beside: Sequence[datasets.Dataset] = (),
) -> FeatureRows:
    """Reads the columns `args.feature_columns` and `args.label_column`; bad rows are left out and reported.

    The arguments are those of `load.read_pairs`.

    Raises:
        InputError: a column is not there or holds no vectors of one width, or there are no labels, or no usable row.
    """
    if args.label_column is None:
        raise InputError("Vectors are retrieved by their class: say with --label_column where that is.")
    columns = [find_column(rows, name.strip()) for name in args.feature_columns.split(",")]
    names = [column.removesuffix(_SUFFIX) or column for column in columns]
    if len(set(names)) < 2 or len(set(names)) != len(names):
        raise InputError(f"feature_columns names two different modalities or more, got {args.feature_columns!r}.")
    number = np.asarray(read_cells(rows, ROW)) if ROW in rows.column_names else np.arange(len(rows))
    labels = read_labels(rows, args, names, number, beside)
    count = len(rows) if limit is None else min(limit, len(rows))
    rows, number = rows.select(range(count)), number[:count]
    features = {name: _vectors(rows, column, number) for name, column in zip(names, columns)}
    finite = np.all([np.isfinite(each).all(axis=1) for each in features.values()], axis=0)
    report = RowReport(what, count, split, of_vectors=True)
    for row in number[~finite]:
        report.add("not_finite", row)
    kept = np.flatnonzero(finite)
    if not len(kept):
        raise InputError(f"There is not one usable row to use for {what} in {args.dataset}.")
    features = {name: each[kept] for name, each in features.items()}
    return FeatureRows(features, labels.taken(**dict.fromkeys(names, kept)), report)


def _vectors(rows: datasets.Dataset, column: str, number: np.ndarray) -> np.ndarray:
    """A column as a matrix, float32 (N, D)."""
    cells = read_cells(rows, column)
    width = len(cells[0]) if cells and isinstance(cells[0], list) else None
    for row, cell in zip(number, cells):
        if not isinstance(cell, list) or len(cell) != width or not width:
            held = f"{len(cell)} numbers" if isinstance(cell, list) else f"{cell!r:.40}"
            raise InputError(
                f"The column {column!r} holds {held} in row {row}, and vectors must all be of one width "
                f"({width or 'none'} in the first row)."
            )
    try:
        return np.array(cells, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"The column {column!r} does not hold vectors of numbers: {error}.") from error
