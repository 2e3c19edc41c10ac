"""Columns of a table as flat arrays: one entry a row, or one a caption."""

import datasets
import numpy as np
import pyarrow.compute as pc

from ..errors import InputError
from ._arguments import DataArguments

YES = {True, "True", "true", "1"}
NO = {False, "False", "false", "0", None}


def read_cells(rows: datasets.Dataset, column: str) -> list:
    """All cells of a column; `rows[column]` would fetch them one by one, a hundred times slower."""
    return rows.select_columns([column]).with_format("arrow")[:][column].to_pylist()


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
        InputError: a cell is empty; its row is named.
    """
    if column not in rows.column_names:
        return None
    ids = [None if cell == "" else cell for cell in read_cells(rows, column)]
    if None in ids:
        raise InputError(
            f"The column {column!r} is empty in row {number[ids.index(None)]}: fill it, or name another column with "
            f"--image_id_column."
        )
    return np.asarray(ids).astype(str)


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
    return np.asarray(cells, dtype=np.int64), names


def read_noise(
    rows: datasets.Dataset, row_of: np.ndarray, number: np.ndarray, image_ids: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray]:
    """What the columns `is_noisy` and `noise_source` say of C captions.

    Returns:
        The id of the picture that each caption was written for, as text, (C,), or None where nothing is said of any;
        and which captions are wrong though it is their own, bool (C,): damaged, or nobody says whose they are.

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
        noisy = np.array([cell in YES for cell in noisy], dtype=bool)
    if sources is None or all(source is None for source in sources):
        return None, np.zeros(len(row_of), dtype=bool) if noisy is None else noisy
    if image_ids is None:
        raise InputError("The column 'noise_source' names pictures, so there must be their ids: --image_id_column.")
    own = image_ids[row_of]
    written_for = np.array([own[place] if cell is None else str(cell) for place, cell in enumerate(sources)])
    if noisy is None:
        return written_for, np.zeros(len(row_of), dtype=bool)
    if (wrong := np.flatnonzero((written_for != own) & ~noisy)).size:
        raise InputError(
            f"Row {number[row_of[wrong[0]]]} has the caption of picture {written_for[wrong[0]]} (noise_source), "
            f"but is_noisy is false; mend one of the two columns."
        )
    return written_for, noisy & (written_for == own)


def _per_caption(rows: datasets.Dataset, name: str, row_of: np.ndarray, number: np.ndarray) -> list | None:
    """A column spread over captions: a list gives one cell to each caption of its row, another cell goes to all."""
    if name not in rows.column_names:
        return None
    cells = [
        None if cell == "" else cell for cell in read_cells(rows, name)
    ]  # a table of text has no other word for nothing
    counts = np.bincount(row_of, minlength=len(cells))
    for row, cell in enumerate(cells):
        if isinstance(cell, list) and len(cell) != counts[row]:
            raise InputError(f"Row {number[row]} has {counts[row]} captions but {len(cell)} of {name!r}.")
    spread = []
    for cell, count in zip(cells, counts):
        spread += cell if isinstance(cell, list) else [cell] * count
    return spread
