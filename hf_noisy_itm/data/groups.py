"""Values of the data's other columns, for each pair."""

import numpy as np

from ._arguments import DataArguments
from ._columns import plain, read_cells, read_names
from ._pairs import Pairs
from ._splits import ROW, find_column
from .other_columns import SourceRows


def column_of(data: DataArguments, pairs: Pairs, column: str) -> np.ndarray:
    """What a column of the training rows says of each pair, strings (N,); "(empty)" where that is nothing.

    A pair has the cell of its own row, also where other rows have the same picture; of a list with an entry for each
    caption of its row it has the entry of its own.

    Args:
        data: what the pairs were loaded with.
        pairs: to train on, with their `place`.
        column: name.

    Raises:
        InputError: there is no such column (those that are there are named), or a cell holds several values.
    """
    source = SourceRows(data, pairs)
    rows = source.rows
    if source.of_captions([find_column(rows, column)]):
        cells = [None if cell is None else plain(cell) for cell in read_cells(rows, column)]
        told = (cells[row] and cells[row][number] for row, number in zip(source.row.tolist(), source.number.tolist()))
    else:
        names = read_names(rows, column, np.asarray(read_cells(rows, ROW)))
        told = (names[row] for row in source.row.tolist())
    return np.array(["(empty)" if name is None else str(name) for name in told])
