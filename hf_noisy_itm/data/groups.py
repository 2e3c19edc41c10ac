"""Values of the data's other columns, for each pair."""

import numpy as np

from ._arguments import DataArguments
from ._columns import read_cells, read_names
from ._pairs import Pairs
from ._splits import ROW, find_column, find_splits


def column_of(data: DataArguments, pairs: Pairs, column: str) -> np.ndarray:
    """What a column of the training rows says of each pair's picture, strings (N,); "(empty)" where that is nothing.

    Args:
        data: what the pairs were loaded with.
        pairs: to train on.
        column: name.

    Raises:
        InputError: there is no such column (those that are there are named), or a cell holds several values.
    """
    rows = find_splits(data)[0]
    number = np.asarray(read_cells(rows, ROW))
    names = read_names(rows, find_column(rows, column), number)
    of_row = dict(zip(number.tolist(), ["(empty)" if name is None else str(name) for name in names]))
    return np.array([of_row[number] for number in pairs.row.tolist()])[pairs.image_row]
