"""Values of the data's other columns, for each pair."""

import numpy as np

from ._arguments import DataArguments
from ._columns import read_cells
from ._pairs import Pairs
from ._splits import ROW, find_column, find_splits


def column_of(data: DataArguments, pairs: Pairs, column: str) -> np.ndarray:
    """What a column of the training rows says of each pair's picture, strings (N,).

    Args:
        data: what the pairs were loaded with.
        pairs: to train on.
        column: name.

    Raises:
        InputError: there is no such column; those that are there are named.
    """
    rows = find_splits(data)[0]
    cells = np.asarray(read_cells(rows, find_column(rows, column))).astype(str)
    of_row = dict(zip(read_cells(rows, ROW), cells.tolist()))
    return np.array([of_row[number] for number in pairs.row.tolist()])[pairs.image_row]
