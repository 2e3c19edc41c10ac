"""From the name of a data set to `Pairs` for training and for evaluation."""

import datasets
import numpy as np
from tqdm.auto import tqdm

from ..errors import InputError
from ..functional.noise import shuffle_captions
from ._arguments import DataArguments
from ._pairs import Pairs
from ._splits import ROW, find_column, find_splits

_CAPTION_COLUMNS = ("captions", "caption", "text")


def load_pairs(args: DataArguments) -> tuple[Pairs, Pairs]:
    """Loads the training pairs, noise applied, and the clean pairs to evaluate on.

    Raises:
        InputError: a file, split, column or value is not there (those that are there are named), or a row is bad.
    """
    for name in ("max_train_pictures", "max_eval_pictures"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise InputError(f"{name} must be at least 1, got {getattr(args, name)}.")
    if args.noise_seed < 0:
        raise InputError(f"noise_seed must not be negative, got {args.noise_seed}.")
    if not 0.0 <= args.noise_rate <= 1.0:
        raise InputError(f"noise_rate is a share between 0 and 1, got {args.noise_rate}.")
    train, held_out = find_splits(args)
    train_pairs = to_pairs(train, args, "training", args.max_train_pictures)
    eval_pairs = to_pairs(held_out, args, "evaluation", args.max_eval_pictures)
    if args.noise_rate:
        rng = np.random.Generator(np.random.PCG64(args.noise_seed))  # what default_rng takes may change
        image_of_caption = train_pairs.image_id[train_pairs.image_row]
        train_pairs = train_pairs.with_noise(shuffle_captions(image_of_caption, args.noise_rate, rng).source)
    return train_pairs, eval_pairs


def to_pairs(rows: datasets.Dataset, args: DataArguments, what: str, limit: int | None = None) -> Pairs:
    """Turns rows with a picture and one caption or several into `Pairs`; rows of one image id share a picture.

    Args:
        rows: a split.
        args: names of columns, and what to do with bad rows.
        what: the pairs are for, in messages.
        limit: use the first so many rows.

    Raises:
        InputError: a column is not there or holds something else, or a row is bad; the first is named.
    """
    image_column = find_column(rows, args.image_column)
    caption_column = find_column(rows, *([args.caption_column] if args.caption_column else _CAPTION_COLUMNS))
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    number = np.asarray(rows[ROW]) if ROW in rows.column_names else np.arange(len(rows))
    captions = _captions(rows, caption_column, number, args.on_bad_row, what)
    rows = rows.select([row for row, texts in enumerate(captions) if texts])
    number = number[[bool(texts) for texts in captions]]
    captions = [texts for texts in captions if texts]
    if not captions:
        raise InputError(f"There is not one usable pair to use for {what} in {args.dataset}.")

    ids = list(rows[args.image_id_column]) if args.image_id_column in rows.column_names else list(range(len(rows)))
    if None in ids:
        raise InputError(
            f"The column {args.image_id_column!r} is empty in row {number[ids.index(None)]}: fill it, or name another "
            f"column with --image_id_column."
        )
    _, first, picture_of_row = np.unique(np.asarray(ids).astype(str), return_index=True, return_inverse=True)
    order = np.argsort(first)  # pictures in order of appearance
    picture_of_row = np.argsort(order)[picture_of_row]
    image_row = np.repeat(picture_of_row, [len(texts) for texts in captions])
    try:
        pictures = rows.select_columns([image_column]).cast_column(image_column, datasets.Image(decode=False))
    except (TypeError, ValueError, NotImplementedError) as error:  # pyarrow's errors derive from these
        raise InputError(f"The column {image_column!r} of {args.dataset} holds no pictures.") from error
    pairs = Pairs(
        pictures.rename_columns({} if image_column == "image" else {image_column: "image"}).select(first[order]),
        [caption for texts in captions for caption in texts],
        image_row,
        np.arange(len(first)),
        image_row,
        number[first[order]],
    )
    return _without_broken_pictures(pairs, what) if args.on_bad_row == "skip" else pairs


def _captions(rows: datasets.Dataset, column: str, number: np.ndarray, on_bad_row: str, what: str) -> list[list[str]]:
    """The captions of each row, blank ones left out or refused."""
    captions, blank = [], []
    for row, cell in enumerate(rows[column]):
        texts = [cell] if isinstance(cell, str) else cell if isinstance(cell, list) else [] if cell is None else None
        if texts is None or not all(isinstance(text, str | None) for text in texts):
            raise InputError(
                f"The column {column!r} holds {type(cell).__name__} in row {number[row]}, "
                f"not a string or a list of strings."
            )
        good = [text for text in texts if text and text.strip()]
        blank += [int(number[row])] * max(len(texts) - len(good), not good)
        captions.append(good)
    if blank:
        problem = f"{len(blank)} empty caption(s) among the {what} rows, first in row {blank[0]}"
        if on_bad_row == "stop":
            raise InputError(f"There are {problem}; mend them, or leave them out with --on_bad_row skip.")
        print(f"Left out: {problem}.")
    return captions


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
    if not good:
        raise InputError(f"There is not one usable pair to use for {what}: no picture of {len(broken)} decodes.")
    return pairs.keep_pictures(np.array(good)) if broken else pairs
