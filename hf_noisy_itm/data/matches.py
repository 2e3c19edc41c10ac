"""Which captions of the training pairs fit which of their pictures in truth: for figures, never for a batch."""

import functools
from collections.abc import Callable

import datasets
import numpy as np

from ..errors import InputError
from ._arguments import DataArguments
from ._columns import read_cells, read_image_ids, read_names
from ._pairs import Pairs
from ._splits import ROW, find_column, find_splits
from .scenes import true_pairs

IsMatch = Callable[[np.ndarray, np.ndarray], np.ndarray]


def refuse_wrong_match_by(data: DataArguments, rows: datasets.Dataset) -> None:
    """Refuses what cannot say which pictures share their captions, before anything is done with the rows.

    Raises:
        InputError: there is no column `match_by`, a cell of it holds several values, or rows of one picture differ.
    """
    if data.match_by is None:
        return
    number = np.asarray(read_cells(rows, ROW))
    names = read_names(rows, find_column(rows, data.match_by), number)
    ids = read_image_ids(rows, data.image_id_column, number)
    if ids is None:
        return
    first = dict(zip(ids[::-1].tolist(), range(len(ids) - 1, -1, -1)))
    for row, (name, before) in enumerate(zip(names, map(first.get, ids.tolist()))):
        if str(name) != str(names[before]):
            raise InputError(
                f"Rows {number[before]} and {number[row]} are of one picture, but {data.match_by} is "
                f"{names[before]!r} there and {name!r} here: a picture has one value of match_by."
            )


def known_matches(data: DataArguments, pairs: Pairs) -> IsMatch | None:
    """What tells whether captions fit pictures, or None if nobody knows.

    Args:
        data: what the pairs were loaded with; of `scenes` all is known, of other data what `match_by` says: captions
            fit all pictures of equal cells, and where the cell is empty their own picture alone.
        pairs: to train on, noise applied.

    Returns:
        A function of two arrays of rows of `pairs`, one of captions and one of pictures, to bool of the same shape.
        What counts is what a caption says: one that noise has moved fits the picture that it was written for, and one
        that noise has damaged fits none.

    Raises:
        InputError: see `refuse_wrong_match_by`.
    """
    if data.dataset != "scenes" and data.match_by is None:
        return None
    rows = find_splits(data)[0]
    place = {number: row for row, number in enumerate(read_cells(rows, ROW))}
    picture = np.array([place[number] for number in pairs.row.tolist()])[pairs.image_row]
    if data.match_by is None:

        @functools.cache
        def keys() -> np.ndarray:  # takes seconds, and not every method asks
            known = true_pairs(rows)
            return known[:, 0] * len(rows) + known[:, 1]  # ascending

        def is_match(captions: np.ndarray, pictures: np.ndarray) -> np.ndarray:
            wanted = pairs.caption_id[captions] * len(rows) + picture[pictures]
            return _is_in(wanted, keys()) & ~pairs.damaged[captions]

        return is_match
    group = _groups(rows, data.match_by)
    of_image = dict(zip(pairs.image_id[pairs.image_row].tolist(), group[picture].tolist()))
    written_for = np.array([of_image.get(number, -1) for number in pairs.caption_image_id.tolist()])
    written_for[pairs.damaged] = -1
    return lambda captions, pictures: written_for[captions] == group[picture[pictures]]


def _groups(rows: datasets.Dataset, column: str) -> np.ndarray:
    """Number of the group that each row is of, int64 (R,), from 0; a row with an empty cell is a group of its own."""
    names = read_names(rows, find_column(rows, column), np.asarray(read_cells(rows, ROW)))
    group: dict[object, int] = {}
    return np.array([group.setdefault((row,) if name is None else str(name), row) for row, name in enumerate(names)])


def _is_in(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    places = np.searchsorted(ascending, values).clip(max=len(ascending) - 1)
    return ascending[places] == values
