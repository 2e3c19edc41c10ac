"""From rows of a table to `FeatureRows`."""

from collections.abc import Sequence

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InputError
from ._arguments import DataArguments
from ._columns import read_cells
from ._report import RowReport
from ._splits import ROW, find_column
from .features import FeatureRows
from .labels import labelled, read_labels

_SUFFIX = "_features"
_ROWS = 10_000  # read at once


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
    there = np.all([found for _, found in features.values()], axis=0)
    features = {name: matrix for name, (matrix, _) in features.items()}
    finite = np.all([np.isfinite(matrix).all(axis=1) for matrix in features.values()], axis=0)
    report = RowReport(what, count, split, of_vectors=True)
    for kind, bad in (("no_vector", ~there), ("not_finite", there & ~finite)):
        for row in number[bad]:
            report.add(kind, row)
    kept = np.flatnonzero(there & finite & labelled(labels, number, report))
    if not len(kept):
        raise InputError(f"There is not one usable row to use for {what} in {args.dataset}.")
    if len(kept) < count:
        features = {name: matrix[kept] for name, matrix in features.items()}
    return FeatureRows(features, labels.taken(**dict.fromkeys(names, kept)), report)


def _vectors(rows: datasets.Dataset, column: str, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A column as a matrix, float32 (N, D), and which rows have a vector, bool (N,); the others are NaN.

    Numbers go from the table into the matrix some rows at a time, so that nothing of its size is beside it.
    """
    matrix, there = np.zeros((len(rows), 0), dtype=np.float32), np.zeros(len(rows), dtype=bool)
    batches = rows.select_columns([column]).with_format("arrow").iter(batch_size=_ROWS)
    for place, batch in zip(range(0, len(rows), _ROWS), batches):
        cells = batch[column].combine_chunks()
        _refuse_other_than_vectors(cells.type, column)
        own = place + np.flatnonzero(pc.is_valid(cells).to_numpy(zero_copy_only=False))
        cells = cells.drop_null()
        widths = pc.list_value_length(cells).to_numpy()
        if len(own) and not there.any():
            first, matrix = number[own[0]], np.full((len(rows), widths[0]), np.nan, dtype=np.float32)
        width = matrix.shape[1]
        if (wrong := np.flatnonzero((widths != width) | (widths == 0))).size:
            raise InputError(
                f"The column {column!r} holds {widths[wrong[0]]} numbers in row {number[own[wrong[0]]]}, and vectors "
                f"must all be of one width, 1 or more ({width} in row {first})."
            )
        if len(own):
            values = cells.flatten().to_numpy(zero_copy_only=False)  # NaN where a number is missing
            matrix[own] = values.reshape(-1, width)
        there[own] = True
    return matrix, there


def _refuse_other_than_vectors(kind: pa.DataType, column: str) -> None:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    numbers = kind.value_type if is_list else pa.null()
    if not (pa.types.is_integer(numbers) or pa.types.is_floating(numbers)):
        raise InputError(
            f"The column {column!r} does not hold vectors of numbers but {kind}: a vector is a list of numbers, one "
            f"in each row."
        )
