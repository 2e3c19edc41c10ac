"""From the name of a data set to rows to train on and rows to evaluate on."""

from collections.abc import Iterable

import datasets
import numpy as np

from ..errors import InputError
from ._arguments import DataArguments
from ._columns import number_captions, read_cells, read_ids
from ._sources import CAPTION_COLUMNS, load_splits


class _NoSuchRow(InputError):
    """No row has the value of `where`."""


ROW = "__row_as_loaded__"  # where a row stood before any selection
CAPTION = "__caption_as_loaded__"  # and the number of its first caption


def own_columns(names: Iterable[str]) -> list[str]:
    """The columns of the data, less those that are added here."""
    return [name for name in names if name not in (ROW, CAPTION)]


def find_splits(args: DataArguments) -> tuple[datasets.Dataset, datasets.Dataset, tuple[str, str]]:
    """Rows to train on, rows to evaluate on, and in words where both come from.

    Each row keeps its number, as loaded, in the column `ROW`, and that of its first caption in `CAPTION`.

    Raises:
        InputError: a file, split, column or value is not there; those that are there are named.
    """
    train, others = all_splits(args)
    candidates = [args.eval_split] if args.eval_split else ["test", "validation"]
    for name in candidates:
        if name in others and name != args.test_split:
            return train, filter_rows(others[name], args.where), (args.train_split, name)
    held = f"every {args.holdout_every}th {args.holdout_by or 'picture'} of {args.train_split}"
    held += f", less {args.holdout_offset}" if args.holdout_offset else ""
    return *_hold_out(train, args), (f"{args.train_split}, less the other", f"{held} (no test, no validation)")


def all_splits(args: DataArguments) -> tuple[datasets.Dataset, dict[str, datasets.Dataset]]:
    """Rows to train on, `args.where` applied, and all other splits as they are; rows numbered as above.

    Raises:
        InputError: a file, split, column or value is not there; those that are there are named.
    """
    splits = load_splits(args)
    check_splits(args, splits)
    splits = {name: _numbered(rows, args) for name, rows in splits.items()}
    train = filter_rows(splits.pop(args.train_split), args.where)
    if not len(train):
        raise InputError(f"The split {args.train_split!r} of {args.dataset} holds no rows.")
    return train, splits


def _numbered(rows: datasets.Dataset, args: DataArguments) -> datasets.Dataset:
    if len(own := own_columns(rows.column_names)) < len(rows.column_names):  # of a file that was written with them
        rows = rows.select_columns(own)
    wanted = [args.caption_column] if args.caption_column else CAPTION_COLUMNS
    column = next((name for name in wanted if name in rows.column_names), None)
    if column is not None:
        rows = rows.add_column(CAPTION, number_captions(rows, column))
    return rows.add_column(ROW, np.arange(len(rows)))


def check_splits(args: DataArguments, splits: Iterable[str]) -> None:
    """Refuses splits that are not there, or serve for both training and evaluation.

    Raises:
        InputError: see above.
    """
    if args.train_split not in splits:
        raise InputError(f"{args.dataset} has no split {args.train_split!r}; it has {', '.join(splits)}.")
    if args.eval_split == args.train_split:
        raise InputError(f"eval_split and train_split are both {args.train_split!r}: a model knows what it was shown.")
    if args.test_split in (args.train_split, args.eval_split) and args.test_split is not None:
        raise InputError(f"test_split {args.test_split!r} serves for something else already: name a split of its own.")
    if args.test_split and args.test_split not in splits:
        raise InputError(f"{args.dataset} has no split {args.test_split!r}; it has {', '.join(splits)}.")
    if args.eval_split and args.eval_split not in splits:
        raise InputError(f"{args.dataset} has no split {args.eval_split!r}; it has {', '.join(splits)}.")


def rows_with(rows: datasets.Dataset, where: str | None) -> datasets.Dataset | None:
    """The rows that `where` keeps; None if these are none."""
    try:
        return filter_rows(rows, where)
    except _NoSuchRow:
        return None


def _hold_out(rows: datasets.Dataset, args: DataArguments) -> tuple[datasets.Dataset, datasets.Dataset]:
    if args.holdout_every < 2:
        raise InputError(f"holdout_every must be at least 2, got {args.holdout_every}.")
    if not 0 <= args.holdout_offset < args.holdout_every:
        raise InputError(
            f"holdout_offset must be at least 0 and below holdout_every ({args.holdout_every}), got "
            f"{args.holdout_offset}."
        )
    column = find_column(rows, args.holdout_by) if args.holdout_by else args.image_id_column
    groups = range(len(rows))
    if column in rows.column_names:
        groups = read_ids(rows, column, np.asarray(read_cells(rows, ROW)))
    held_out = held_out_groups(groups, args.holdout_every, args.holdout_offset)
    if held_out.all() or not held_out.any():
        raise InputError(
            f"Of {len(np.unique(np.asarray(groups)))} groups in {args.dataset} none can be held out with "
            f"--holdout_every {args.holdout_every}; give a smaller number, or an --eval_split."
        )
    return rows.select(np.flatnonzero(~held_out)), rows.select(np.flatnonzero(held_out))


def held_out_groups(groups: Iterable, every: int, offset: int = 0) -> np.ndarray:
    """Which rows are of every n-th of the sorted groups, or so many before it, bool (R,)."""
    number = np.unique(np.asarray(groups), return_inverse=True)[1]
    return number % every == every - 1 - offset


def filter_rows(rows: datasets.Dataset, where: str | None) -> datasets.Dataset:
    """The rows that `where` keeps; an `InputError` if these are none."""
    if where is None:
        return rows
    column, sign, value = where.partition("=")
    if not sign:
        raise InputError(f"--where is column=value, got {where!r}.")
    cells = [str(cell) for cell in read_cells(rows, find_column(rows, column))]
    kept = [row for row, cell in enumerate(cells) if cell == value]
    if not kept:
        raise _NoSuchRow(f"No row has {column}={value}; there are {', '.join(sorted(set(cells))[:10])}.")
    return rows.select(kept)


def find_column(rows: datasets.Dataset, *names: str) -> str:
    """The first of these columns that is there."""
    for name in names:
        if name in rows.column_names:
            return name
    raise InputError(
        f"There is no column {' or '.join(map(repr, names))}; there are {', '.join(own_columns(rows.column_names))}."
    )
