"""From the name of a data set to rows to train on and rows to evaluate on."""

import glob
from pathlib import Path

import datasets
import numpy as np

from ..errors import InputError, last_line
from ._arguments import DataArguments
from .scenes import Scenes

ROW = "__row_as_loaded__"  # where a row stood before any selection


def find_splits(args: DataArguments) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Rows to train on and rows to evaluate on; each keeps its number, as loaded, in the column `ROW`.

    Raises:
        InputError: a file, split, column or value is not there; those that are there are named.
    """
    splits = _load(args)
    if args.train_split not in splits:
        raise InputError(f"{args.dataset} has no split {args.train_split!r}; it has {', '.join(splits)}.")
    splits = {name: rows.add_column(ROW, np.arange(len(rows))) for name, rows in splits.items()}
    train = _filter(splits[args.train_split], args.where)
    if args.eval_split == args.train_split:
        raise InputError(f"eval_split and train_split are both {args.train_split!r}: a model knows what it was shown.")
    if args.eval_split and args.eval_split not in splits:
        raise InputError(f"{args.dataset} has no split {args.eval_split!r}; it has {', '.join(splits)}.")
    candidates = [args.eval_split] if args.eval_split else ["test", "validation"]
    for name in candidates:
        if name in splits and name != args.train_split:
            return train, _filter(splits[name], args.where)
    return _hold_out(train, args)


def _hold_out(rows: datasets.Dataset, args: DataArguments) -> tuple[datasets.Dataset, datasets.Dataset]:
    if args.holdout_every < 2:
        raise InputError(f"holdout_every must be at least 2, got {args.holdout_every}.")
    groups = rows[find_column(rows, args.holdout_by)] if args.holdout_by else _picture_groups(rows, args)
    groups = list(groups)
    if None in groups:
        column = args.holdout_by or args.image_id_column
        raise InputError(
            f"The column {column!r}, by which rows are held out, is empty in row {rows[ROW][groups.index(None)]}."
        )
    number = np.unique(np.asarray(groups), return_inverse=True)[1]
    held_out = number % args.holdout_every == args.holdout_every - 1
    if held_out.all() or not held_out.any():
        raise InputError(
            f"Of {number.max() + 1} groups in {args.dataset} none can be held out with --holdout_every "
            f"{args.holdout_every}; give a smaller number, or an --eval_split."
        )
    return rows.select(np.flatnonzero(~held_out)), rows.select(np.flatnonzero(held_out))


def _picture_groups(rows: datasets.Dataset, args: DataArguments):
    return rows[args.image_id_column] if args.image_id_column in rows.column_names else range(len(rows))


def _filter(rows: datasets.Dataset, where: str | None) -> datasets.Dataset:
    if where is None:
        return rows
    column, sign, value = where.partition("=")
    if not sign:
        raise InputError(f"--where is column=value, got {where!r}.")
    cells = np.asarray(rows[find_column(rows, column)]).astype(str)
    kept = np.flatnonzero(cells == value)
    if not len(kept):
        raise InputError(f"No row has {column}={value}; there are {', '.join(np.unique(cells)[:10])}.")
    return rows.select(kept)


def find_column(rows: datasets.Dataset, *names: str) -> str:
    """The first of these columns that is there."""
    for name in names:
        if name in rows.column_names:
            return name
    raise InputError(
        f"There is no column {' or '.join(map(repr, names))}; "
        f"there are {', '.join(name for name in rows.column_names if name != ROW)}."
    )


def _load(args: DataArguments) -> dict[str, datasets.Dataset]:
    path = Path(args.dataset)
    if args.dataset == "scenes":
        return _load_scenes(args)
    if path.suffix == ".parquet" or path.exists():
        if not path.exists():
            raise InputError(f"There is no file {path.resolve()}.")
        if path.is_file() and path.suffix != ".parquet":
            raise InputError(f"{path} is neither a .parquet file nor a folder; these are what can be read so far.")
        try:
            loaded = _load_local(path, args.dataset_config)
        except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
            raise InputError(f"{path} cannot be read as a data set: {last_line(error.__cause__ or error)}") from error
    elif path.is_absolute() or args.dataset.startswith("."):
        raise InputError(f"There is no file or folder {path.resolve()}.")
    else:
        try:
            loaded = datasets.load_dataset(args.dataset, args.dataset_config)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetGenerationError) as error:
            reason = last_line(error)
            raise InputError(f"{args.dataset!r} is no local file, nor can the Hub give it: {reason}") from error
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def _load_local(path: Path, config: str | None):
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return datasets.load_from_disk(str(path))
    if path.is_file():
        return datasets.load_dataset("parquet", data_files=glob.escape(str(path)))
    return datasets.load_dataset(str(path), config)


def _load_scenes(args: DataArguments) -> dict[str, datasets.Dataset]:
    sizes = {"train_size": args.max_train_pictures, "test_size": args.max_eval_pictures}
    try:
        builder = Scenes(
            config_name=args.dataset_config, **{name: size for name, size in sizes.items() if size is not None}
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    builder.download_and_prepare()
    return builder.as_dataset()
