"""Which captions of the training pairs fit which of their pictures in truth: for figures, never for a batch."""

from collections.abc import Callable

import numpy as np

from ._arguments import DataArguments
from ._columns import read_cells
from ._pairs import Pairs
from ._splits import ROW, find_column, find_splits
from .scenes import true_pairs

IsMatch = Callable[[np.ndarray, np.ndarray], np.ndarray]


def known_matches(data: DataArguments, pairs: Pairs) -> IsMatch | None:
    """What tells whether captions fit pictures, or None if nobody knows.

    Args:
        data: what the pairs were loaded with; of `scenes` all is known, of other data what `match_by` says.
        pairs: to train on, noise applied.

    Returns:
        A function of two arrays of rows of `pairs`, one of captions and one of pictures, to bool of the same shape.
        What counts is what a caption says: one that noise has moved fits the picture that it was written for, and one
        that noise has damaged fits none.

    Raises:
        InputError: there is no column `match_by`.
    """
    if data.dataset != "scenes" and data.match_by is None:
        return None
    rows = find_splits(data)[0]
    place = {number: row for row, number in enumerate(read_cells(rows, ROW))}
    picture = np.array([place[number] for number in pairs.row.tolist()])[pairs.image_row]
    if data.match_by is None:
        known, columns = true_pairs(rows), len(rows)
        keys = known[:, 0] * columns + known[:, 1]  # sorted

        def is_match(captions: np.ndarray, pictures: np.ndarray) -> np.ndarray:
            wanted = pairs.caption_id[captions] * columns + picture[pictures]
            return _is_in(wanted, keys) & ~pairs.damaged[captions]

        return is_match
    cells = np.asarray(read_cells(rows, find_column(rows, data.match_by))).astype(str)
    _, group = np.unique(cells, return_inverse=True)
    of_image = dict(zip(pairs.image_id[pairs.image_row].tolist(), group[picture].tolist()))
    written_for = np.array([of_image.get(number, -1) for number in pairs.caption_image_id.tolist()])
    written_for[pairs.damaged] = -1
    return lambda captions, pictures: written_for[captions] == group[picture[pictures]]


def _is_in(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    places = np.searchsorted(ascending, values).clip(max=len(ascending) - 1)
    return ascending[places] == values
