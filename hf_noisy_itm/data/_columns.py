"""Columns of a table as flat arrays: one entry a row, or one a caption."""

import math
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc

from ..errors import InputError
from ._arguments import DataArguments

YES = {True, "True", "true", "1"}
NO = {False, "False", "false", "0", None}


def read_cells(rows: datasets.Dataset, column: str) -> list:
    """All cells of a column; `rows[column]` would fetch them one by one, a hundred times slower.

    Raises:
        InputError: a text is not UTF-8, which some readers of files do not look at.
    """
    try:
        return rows.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    except UnicodeDecodeError as error:
        raise InputError(f"The column {column!r} holds text that is not UTF-8: {error}; convert the file.") from error


def plain(cell: Any) -> Any:
    """A cell as tables mean it: an empty text and NaN are nothing, a float that is a whole number is an integer.

    pandas turns integers into floats where one is missing, and a table of text has no other word for nothing.
    """
    if isinstance(cell, list):
        return [plain(each) for each in cell]
    if isinstance(cell, float):
        return None if math.isnan(cell) else int(cell) if cell.is_integer() else cell
    return None if isinstance(cell, str) and not cell else cell


def read_names(rows: datasets.Dataset, column: str, number: np.ndarray) -> list:
    """The cells of a column that names pictures or groups, `plain`; None where one is empty.

    Raises:
        InputError: a cell holds several values; its row is named.
    """
    names = [plain(cell) for cell in read_cells(rows, column)]
    for row, cell in zip(number, names):
        if isinstance(cell, list | dict):
            raise InputError(
                f"The column {column!r} holds {type(cell).__name__} in row {row}, not a text or a number."
            )
    return names


def read_ids(rows: datasets.Dataset, column: str, number: np.ndarray) -> list:
    """The same, of a column that names all.

    Raises:
        InputError: a cell is empty, or holds several values; its row is named.
    """
    ids = read_names(rows, column, number)
    for row, cell in zip(number, ids):
        if cell is None:
            raise InputError(
                f"The column {column!r} is empty in row {row}: fill it, or name another column with --image_id_column."
            )
    return ids


def read_pictures(rows: datasets.Dataset, column: str, args: DataArguments) -> datasets.Dataset:
    """The column of pictures, undecoded and named `image`.

    Raises:
        InputError: it holds something else, or paths of which nobody said where they start.
    """
    if rows.features[column] in (datasets.Value("string"), datasets.Value("large_string")):
        raise InputError(
            f"The column {column!r} of {args.dataset} holds paths: say with --image_root which folder they start from."
        )
    try:
        pictures = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    except (TypeError, ValueError, NotImplementedError) as error:  # pyarrow's errors derive from these
        raise InputError(f"The column {column!r} of {args.dataset} holds no pictures.") from error
    return pictures.rename_columns({} if column == "image" else {column: "image"})


def read_captions(rows: datasets.Dataset, column: str, number: np.ndarray) -> tuple[list[str | None], np.ndarray]:
    """All captions of R rows, C, and the row of each, int64 (C,); a row may have a string, a list, or nothing.

    Raises:
        InputError: a cell holds something else; its row is named.
    """
    captions, counts = [], []
    for row, cell in enumerate(read_cells(rows, column)):
        texts = [cell] if isinstance(cell, str) else cell if isinstance(cell, list) else [] if cell is None else None
        if texts is None or not all(isinstance(text, str | None) for text in texts):
            raise InputError(
                f"The column {column!r} holds {type(cell).__name__} in row {number[row]}, "
                f"not a string or a list of strings."
            )
        captions += texts
        counts.append(len(texts))
    return captions, np.repeat(np.arange(len(counts)), counts)


def number_captions(rows: datasets.Dataset, column: str) -> np.ndarray:
    """The number of each row's first caption, int64 (R,): that of the row, or counted through lists of captions."""
    if not isinstance(rows.features[column], (datasets.List, datasets.LargeList)):
        return np.arange(len(rows))
    cells = rows.select_columns([column]).with_format("arrow")[:][column]
    counts = pc.fill_null(pc.list_value_length(cells), 0).to_numpy()
    return np.cumsum(counts, dtype=np.int64) - counts


def read_image_ids(rows: datasets.Dataset, column: str, number: np.ndarray) -> np.ndarray | None:
    """The id of each row's picture as text, (R,); None without such a column.

    Raises:
        InputError: see `read_ids`.
    """
    if column not in rows.column_names:
        return None
    return np.asarray([str(cell) for cell in read_ids(rows, column, number)])


def read_caption_ids(
    rows: datasets.Dataset, row_of: np.ndarray, number: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The column `caption_id`, int64 (C,), and as it stands there; None if it is not there.

    Ids that are no integers are numbered as they come.

    Raises:
        InputError: a cell is empty; its row is named.
    """
    cells = _per_caption(rows, "caption_id", row_of, number)
    if cells is None:
        return None
    if None in cells:
        raise InputError(f"The column 'caption_id' is empty in row {number[row_of[cells.index(None)]]}; fill it.")
    names = np.asarray(cells)
    if not all(isinstance(cell, int) for cell in cells):
        order = {cell: place for place, cell in enumerate(dict.fromkeys(cells))}
        cells = [order[cell] for cell in cells]
    if large := [place for place, cell in enumerate(cells) if not -(2**63) <= cell < 2**63]:
        raise InputError(
            f"The column 'caption_id' holds {cells[large[0]]} in row {number[row_of[large[0]]]}, which does not fit "
            f"into 64 bits with a sign; number captions from 0."
        )
    return np.asarray(cells, dtype=np.int64), names


def read_noise(
    rows: datasets.Dataset, row_of: np.ndarray, number: np.ndarray, image_ids: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
    """What the columns `is_noisy` and `noise_source` say of C captions.

    Returns:
        The id of the picture that each caption was written for, as text, (C,), or None where nothing is said of any;
        which captions are wrong though it is their own, bool (C,): damaged, or nobody says whose they are; and of
        which anything is said, bool (C,), or None where of none.

    Raises:
        InputError: the columns contradict each other, or a cell is neither true nor false; the row is named.
    """
    noisy, sources = (_per_caption(rows, name, row_of, number) for name in ("is_noisy", "noise_source"))
    if noisy is not None:
        if wrong := [place for place, cell in enumerate(noisy) if cell not in YES | NO]:
            raise InputError(
                f"The column 'is_noisy' is neither true nor false in row {number[row_of[wrong[0]]]}: "
                f"{noisy[wrong[0]]!r}."
            )
    said = [
        np.array([cell is not None for cell in cells], dtype=bool) for cells in (noisy, sources) if cells is not None
    ]
    is_said = np.any(said, axis=0) if any(each.any() for each in said) else None
    if noisy is not None:
        noisy = np.array([cell in YES for cell in noisy], dtype=bool)
    if sources is None or all(source is None for source in sources):
        return None, np.zeros(len(row_of), dtype=bool) if noisy is None else noisy, is_said
    if image_ids is None:
        raise InputError("The column 'noise_source' names pictures, so there must be their ids: --image_id_column.")
    own = image_ids[row_of]
    written_for = np.array([own[place] if cell is None else str(cell) for place, cell in enumerate(sources)])
    if noisy is None:
        return written_for, np.zeros(len(row_of), dtype=bool), is_said
    if (wrong := np.flatnonzero((written_for != own) & ~noisy)).size:
        raise InputError(
            f"Row {number[row_of[wrong[0]]]} has the caption of picture {written_for[wrong[0]]} (noise_source), "
            f"but is_noisy is false; mend one of the two columns."
        )
    return written_for, noisy & (written_for == own), is_said


def read_weights(
    rows: datasets.Dataset, column: str | None, row_of: np.ndarray, number: np.ndarray
) -> np.ndarray | None:
    """What a column says of how much each of C captions counts, float32 (C,); None without such a column.

    Raises:
        InputError: a cell is no number from 0 to 1; its row is named.
    """
    cells = None if column is None else _per_caption(rows, column, row_of, number)
    if cells is None:
        return None
    for place, cell in enumerate(cells):
        if isinstance(cell, bool | str) or cell is None or not 0 <= cell <= 1:
            raise InputError(
                f"The column {column!r} holds {cell!r} in row {number[row_of[place]]}, and a weight is a number from "
                f"0 to 1: mend it, or leave --weight_column out."
            )
    return np.array(cells, dtype=np.float32)


def _per_caption(rows: datasets.Dataset, name: str, row_of: np.ndarray, number: np.ndarray) -> list | None:
    """A column spread over captions: a list gives one cell to each caption of its row, another cell goes to all."""
    if name not in rows.column_names:
        return None
    cells = [plain(cell) for cell in read_cells(rows, name)]
    counts = np.bincount(row_of, minlength=len(cells))
    for row, cell in enumerate(cells):
        if isinstance(cell, list) and len(cell) != counts[row]:
            raise InputError(f"Row {number[row]} has {counts[row]} captions but {len(cell)} of {name!r}.")
    spread = []
    for cell, count in zip(cells, counts):
        spread += cell if isinstance(cell, list) else [cell] * count
    for place, cell in enumerate(spread):
        if isinstance(cell, list | dict):
            where = f"{name!r} holds {type(cell).__name__} in row {number[row_of[place]]}"
            raise InputError(f"The column {where}, not a value, or a list of one for each caption.")
    return spread
