"""From the name of a data set to `Pairs` for training and for evaluation."""

import glob
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import datasets
import numpy as np
from tqdm.auto import tqdm

from ..errors import InputError
from ..functional.noise import shuffle_captions
from ._pairs import Pairs
from .scenes import Scenes

_CAPTION_COLUMNS = ("captions", "caption", "text")
_ROW = "_row"  # where a row stood before any selection


@dataclass
class DataArguments:
    """Which pairs to train and evaluate on."""

    dataset: str = field(
        default="scenes",
        metadata={"help": "'scenes', a .parquet file, a folder (ImageFolder, save_to_disk), or a name on the Hub."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration, e.g. 'street' of scenes."})
    image_column: str = field(default="image", metadata={"help": "Column of pictures."})
    caption_column: str | None = field(
        default=None,
        metadata={
            "help": "Column of captions, each a string or a list; the first of captions, caption, text if unset."
        },
    )
    image_id_column: str = field(
        default="image_id", metadata={"help": "Column whose equal values are the same picture; optional."}
    )
    where: str | None = field(default=None, metadata={"help": "Keep rows of one value: column=value."})
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split: str | None = field(
        default=None, metadata={"help": "Split to evaluate on; test, validation, or held-out rows if unset."}
    )
    holdout_every: int = field(
        default=10, metadata={"help": "Without a split to evaluate on, every n-th picture is held out."}
    )
    holdout_by: str | None = field(
        default=None, metadata={"help": "Hold out every n-th of the sorted values of this column instead."}
    )
    max_train_pictures: int | None = field(default=None, metadata={"help": "Train on the first so many pictures."})
    max_eval_pictures: int | None = field(default=None, metadata={"help": "Evaluate on the first so many pictures."})
    noise_rate: float = field(
        default=0.0, metadata={"help": "Share of the training captions to shuffle, 0 to 1; for experiments."}
    )
    noise_seed: int = field(default=0, metadata={"help": "Of the shuffle; apart from the training seed."})
    on_bad_row: Literal["stop", "skip"] = field(
        default="stop",
        metadata={
            "help": "A picture that does not decode or a caption without a letter: stop and name the row, or decode "
            "all pictures once before training and leave such rows out."
        },
    )


def load_pairs(args: DataArguments) -> tuple[Pairs, Pairs]:
    """Loads the training pairs, noise applied, and the clean pairs to evaluate on.

    Raises:
        InputError: a file, split, column or value is not there (those that are there are named), or a row is bad.
    """
    if not 0.0 <= args.noise_rate <= 1.0:
        raise InputError(f"noise_rate is a share between 0 and 1, got {args.noise_rate}.")
    train, held_out = _splits(args)
    train_pairs = to_pairs(train, args, "training", args.max_train_pictures)
    eval_pairs = to_pairs(held_out, args, "evaluation", args.max_eval_pictures)
    if args.noise_rate:
        rng = np.random.default_rng(args.noise_seed)
        train_pairs = train_pairs.with_noise(shuffle_captions(len(train_pairs), args.noise_rate, rng))
    return train_pairs, eval_pairs


def to_pairs(rows: datasets.Dataset, args: DataArguments, what: str, limit: int | None = None) -> Pairs:
    """Turns rows with a picture and one caption or several into `Pairs`; checks every row."""
    image_column = _column(rows, args.image_column)
    caption_column = _column(rows, *([args.caption_column] if args.caption_column else _CAPTION_COLUMNS))
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    captions = [[cell] if isinstance(cell, str) else list(cell or []) for cell in rows[caption_column]]
    pictures = rows.select_columns([image_column]).rename_columns(
        {} if image_column == "image" else {image_column: "image"}
    )
    image_id = np.arange(len(rows))
    if args.image_id_column in rows.column_names:
        image_id = np.unique(np.asarray(rows[args.image_id_column]), return_inverse=True)[1].astype(np.int64)
    image_row = np.repeat(np.arange(len(rows)), [len(group) for group in captions])
    pairs = Pairs(
        pictures.cast_column("image", datasets.Image(decode=False)),
        [caption for group in captions for caption in group],
        image_row,
        image_id,
        image_id[image_row],
        np.asarray(rows[_ROW]) if _ROW in rows.column_names else np.arange(len(rows)),
    )
    pairs = _check_captions(pairs, args.on_bad_row, what)
    if args.on_bad_row == "skip":
        pairs = _without_broken_pictures(pairs, what)
    if not len(pairs):
        raise InputError(f"There is not one usable pair to use for {what} in {args.dataset}.")
    return pairs


def _check_captions(pairs: Pairs, on_bad_row: str, what: str) -> Pairs:
    bad = [row for row, caption in enumerate(pairs.captions) if not (isinstance(caption, str) and caption.strip())]
    lonely = np.setdiff1d(np.arange(len(pairs.image_id)), pairs.image_row)
    if not bad and not len(lonely):
        return pairs
    picture = min([int(pairs.image_row[row]) for row in bad[:1]] + lonely[:1].tolist())
    problem = f"{len(bad) + len(lonely)} empty caption(s) among the {what} rows, first in row {pairs.row[picture]}"
    if on_bad_row == "stop":
        raise InputError(f"There are {problem}; mend them, or leave them out with --on_bad_row skip.")
    print(f"Left out: {problem}.")
    good = np.setdiff1d(np.arange(len(pairs)), bad)
    kept = Pairs(
        pairs.pictures,
        [pairs.captions[i] for i in good],
        pairs.image_row[good],
        pairs.image_id,
        pairs.caption_image_id[good],
        pairs.row,
    )
    return kept.keep_pictures(np.unique(kept.image_row))


def _without_broken_pictures(pairs: Pairs, what: str) -> Pairs:
    good, broken = [], []
    for row in tqdm(range(len(pairs.image_id)), desc=f"Checking {what} pictures", delay=2):
        try:
            pairs.picture(row)
            good.append(row)
        except InputError:
            broken.append(int(pairs.row[row]))
    if broken:
        print(f"Left out: {len(broken)} {what} picture(s) that do not decode, rows {broken[:10]}.")
    return pairs.keep_pictures(np.array(good, dtype=np.int64)) if broken else pairs


def _splits(args: DataArguments) -> tuple[datasets.Dataset, datasets.Dataset]:
    splits = _load(args)
    if args.train_split not in splits:
        raise InputError(f"{args.dataset} has no split {args.train_split!r}; it has {', '.join(splits)}.")
    splits = {name: rows.add_column(_ROW, np.arange(len(rows))) for name, rows in splits.items()}
    train = _filter(splits[args.train_split], args.where)
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
    groups = rows[_column(rows, args.holdout_by)] if args.holdout_by else _picture_groups(rows, args)
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
    cells = np.asarray(rows[_column(rows, column)]).astype(str)
    kept = np.flatnonzero(cells == value)
    if not len(kept):
        raise InputError(f"No row has {column}={value}; there are {', '.join(np.unique(cells)[:10])}.")
    return rows.select(kept)


def _column(rows: datasets.Dataset, *names: str) -> str:
    for name in names:
        if name in rows.column_names:
            return name
    raise InputError(
        f"There is no column {' or '.join(map(repr, names))}; "
        f"there are {', '.join(name for name in rows.column_names if name != _ROW)}."
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
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise InputError(f"{path} cannot be read as a data set: {reason}") from error
    elif path.is_absolute() or args.dataset.startswith("."):
        raise InputError(f"There is no file or folder {path.resolve()}.")
    else:
        try:
            loaded = datasets.load_dataset(args.dataset, args.dataset_config)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
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
