"""From the name of a data set to `Pairs` for training and for evaluation."""

from collections.abc import Sequence
from dataclasses import replace

import datasets
import numpy as np
from tqdm.auto import tqdm

from ..errors import InputError
from ._arguments import DataArguments
from ._check import check_rows
from ._columns import (
    number_captions,
    read_caption_ids,
    read_captions,
    read_cells,
    read_image_ids,
    read_noise,
    read_pictures,
    read_weights,
)
from ._feature_load import read_features
from ._names import as_in_source, numbered
from ._noise import add_noise, check_noise
from ._pairs import Pairs
from ._report import BadRows
from ._sources import CAPTION_COLUMNS
from ._splits import CAPTION, ROW, all_splits, filter_rows, find_column, find_splits
from .features import FeatureRows
from .labels import labelled, read_labels, refuse_other_classes, two_labels
from .matches import refuse_wrong_match_by
from .pedigree import pedigree_of_source


def load_pairs(args: DataArguments) -> tuple[Pairs, Pairs] | tuple[FeatureRows, FeatureRows]:
    """Loads the training pairs, noise applied, and the pairs to evaluate on, less what is known to be wrong of these.

    With `args.feature_columns` these are rows of vectors. What was found in the rows is in the pairs' `report`; all
    kinds of bad rows are listed in `data/_check.py`.

    Raises:
        BadRows: rows are bad and `args.on_bad_row` is "stop"; an `InputError` that holds the reports.
        InputError: a file, split, column or value is not there (those that are there are named).
    """
    if args.streaming:
        raise InputError("What is done here needs all pairs at once: leave --streaming out, or use load_stream.")
    check_noise(args)
    for name in ("weight_column", "match_by"):
        if args.feature_columns and getattr(args, name) is not None:
            raise InputError(f"{name} is of pictures with captions, not of vectors: leave it out.")
    if args.shuffle_buffer != DataArguments().shuffle_buffer:
        raise InputError("shuffle_buffer is of a stream, and pairs in memory are shuffled whole; leave it out.")
    train, held_out, origin = find_splits(args)
    refuse_wrong_match_by(args, train)
    if args.weight_column is not None:
        find_column(train, args.weight_column)
    read = read_features if args.feature_columns else read_pairs
    parts = [(), ()] if origin[0] == args.train_split else [(held_out,), (train,)]
    train_pairs = read(train, args, "training", args.max_train_pictures, origin[0], parts[0])
    eval_pairs = read(held_out, args, "evaluation", args.max_eval_pictures, origin[1], parts[1])
    refuse_bad_rows(args, train_pairs, eval_pairs)
    _refuse_other_kind(train_pairs, eval_pairs, args.train_split, origin[1])
    train_pairs = replace(train_pairs, pedigree=pedigree_of_source(args, labels=args.label_column is not None))
    return add_noise(train_pairs, args), only_clean(eval_pairs)


def load_test(args: DataArguments, train: Pairs | FeatureRows) -> Pairs | FeatureRows | None:
    """Loads the split to report on once, after training; None where none is named.

    Args:
        args: as for `load_pairs`.
        train: what is trained on; the classes, and of vectors the widths, must be the same.

    Raises:
        BadRows: see `load_pairs`.
        InputError: likewise.
    """
    if args.test_split is None:
        return None
    if args.streaming:
        raise InputError("A test_split is read at once: leave --streaming out.")
    rows = filter_rows(all_splits(args)[1][args.test_split], args.where)
    read = read_features if args.feature_columns else read_pairs
    pairs = read(rows, args, "test", args.max_eval_pictures, args.test_split)
    refuse_bad_rows(args, pairs)
    _refuse_other_kind(train, pairs, args.train_split, args.test_split)
    return only_clean(pairs)


def _refuse_other_kind(train: Pairs | FeatureRows, other: Pairs | FeatureRows, *names: str) -> None:
    """What is evaluated on has the classes, and of vectors the widths, of what is trained on."""
    if train.labels is not None and other.labels is not None:
        refuse_other_classes(train.labels.names, other.labels.names, *(f"the split {name!r}" for name in names))
    widths, others = (pairs.facts.get("feature_widths") for pairs in (train, other))
    if widths != others:
        raise InputError(
            f"The vectors of the split {names[1]!r} are of widths {others}, and those of {names[0]!r} of {widths}: "
            f"they must be equal."
        )


def to_pairs(rows: datasets.Dataset, args: DataArguments, what: str, limit: int | None = None) -> Pairs:
    """Turns rows with a picture and one caption or several into `Pairs`; rows of one image id share a picture.

    Columns `caption_id`, `is_noisy` and `noise_source`, where they are there, are carried along: what is known about
    noise is known of the pairs.

    Args:
        rows: a split.
        args: names of columns, and what to do with bad rows.
        what: the pairs are for, in messages.
        limit: use the first so many rows.

    Raises:
        BadRows: rows are bad and `args.on_bad_row` is "stop".
        InputError: a column is not there or holds something else.
    """
    pairs = read_pairs(rows, args, what, limit)
    refuse_bad_rows(args, pairs)
    return pairs


def read_pairs(
    rows: datasets.Dataset,
    args: DataArguments,
    what: str,
    limit: int | None = None,
    split: str = "",
    beside: Sequence[datasets.Dataset] = (),
) -> Pairs:
    """As `to_pairs`, bad rows left out in any case; `report` of the pairs tells of them.

    Args:
        rows: see `to_pairs`, and likewise the next three.
        args: names of columns.
        what: the pairs are for.
        limit: of rows.
        split: where the rows come from, in words.
        beside: rows of the same split that serve for something else; it is the split that has the classes.
    """
    image_column = find_column(rows, args.image_column)
    caption_column = find_column(rows, *([args.caption_column] if args.caption_column else CAPTION_COLUMNS))
    number = np.asarray(read_cells(rows, ROW)) if ROW in rows.column_names else np.arange(len(rows))
    labels = read_labels(rows, args, ("image", "text"), number, beside) if args.label_column else None
    if limit is not None:
        rows, number = rows.select(range(min(limit, len(rows)))), number[:limit]
    captions, row_of = read_captions(rows, caption_column, number)
    image_ids = read_image_ids(rows, args.image_id_column, number)
    of_row = read_cells(rows, CAPTION) if CAPTION in rows.column_names else number_captions(rows, caption_column)
    place = np.asarray(of_row)[row_of] + np.arange(len(row_of)) - np.searchsorted(row_of, row_of)
    caption_ids, caption_names = read_caption_ids(rows, row_of, number) or (None, place)
    written_for, damaged, is_judged = read_noise(rows, row_of, number, image_ids)
    weights = read_weights(rows, args.weight_column, row_of, number)
    pictures = read_pictures(rows, image_column, args)
    report, keep = check_rows(pictures, captions, row_of, number, what, image_ids, caption_ids)
    report.split = split
    if labels is not None:
        keep &= labelled(labels, number, report)[row_of]
    kept = np.flatnonzero(keep)
    if not len(kept):
        if report.bad and args.on_bad_row == "stop":
            raise BadRows([report])
        raise InputError(f"There is not one usable pair to use for {what} in {args.dataset}.")

    names = number.astype(str) if image_ids is None else image_ids
    used, own_row = np.unique(row_of[kept], return_inverse=True)
    known, first, picture_of_row = np.unique(names[used], return_index=True, return_inverse=True)
    order = np.argsort(first)  # pictures in order of appearance
    picture_of_row = np.argsort(order)[picture_of_row]
    image_row = picture_of_row[own_row]
    source, beyond = image_row, known[:0]
    if written_for is not None:
        source, beyond = numbered(written_for[kept], known[order])
    name, beyond = as_in_source(known[order], beyond, rows, args.image_id_column)
    if labels is not None:
        given, first_of = labels.given["image"][used], first[order][picture_of_row]
        if (wrong := np.flatnonzero(given != given[first_of])).size:
            two = [first_of[wrong[0]], wrong[0]]
            raise two_labels(number[used[two]], [labels.names[each] for each in given[two]])
        labels = labels.taken(image=used[first[order]], text=row_of[kept])
    pairs = Pairs(
        pictures.select(used[first[order]]),
        [captions[caption] for caption in kept],
        image_row,
        np.arange(len(first)),
        source,
        number[used[first[order]]],
        None if caption_ids is None else caption_ids[kept],
        damaged[kept],
        report,
        name,
        dict(enumerate(beyond.tolist(), len(first))),
        caption_name=caption_names[kept],
        labels=labels,
        weight=None if weights is None else weights[kept],
        place=place[kept],
        is_judged=None if is_judged is None else is_judged[kept],
    )
    if args.on_bad_row == "skip":
        pairs = _without_broken_pictures(pairs, what)
    for pair in np.flatnonzero(pairs.is_noisy):
        report.add("noisy", pairs.row[pairs.image_row[pair]])
    report.pictures, report.captions = len(pairs.image_id), len(pairs)
    return pairs


def only_clean(pairs: Pairs | FeatureRows) -> Pairs | FeatureRows:
    """Pairs to evaluate on, less those that are known to be wrong, and with their true labels.

    Raises:
        InputError: all are.
    """
    if pairs.labels is not None:
        pairs = pairs.with_labels(replace(pairs.labels, given=pairs.labels.true), None)
    if not pairs.is_noisy.any():
        return pairs
    if pairs.is_noisy.all():
        raise InputError(
            "All captions to evaluate on are known to be wrong (is_noisy, noise_source); give clean ones."
        )
    clean = pairs.keep_captions(np.flatnonzero(~pairs.is_noisy))
    clean.report.pictures, clean.report.captions = len(clean.image_id), len(clean)
    return clean


def refuse_bad_rows(args: DataArguments, *several: Pairs) -> None:
    """Raises `BadRows` if there are any and `args` say to stop."""
    if args.on_bad_row == "stop" and any(pairs.report.bad for pairs in several):
        raise BadRows([pairs.report for pairs in several])


def _without_broken_pictures(pairs: Pairs, what: str) -> Pairs:
    good = []
    for row in tqdm(range(len(pairs.image_id)), desc=f"Checking {what} pictures", delay=2):
        try:
            pairs.picture(row)
            good.append(row)
        except InputError:
            pairs.report.add("broken", pairs.row[row])
    broken = len(pairs.image_id) - len(good)
    if not good:
        raise InputError(f"There is not one usable pair to use for {what}: no picture of {broken} decodes.")
    return pairs.keep_pictures(np.array(good)) if broken else pairs
