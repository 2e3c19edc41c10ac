"""From the name of a data set to `StreamedPairs` for training and `Pairs` for evaluation."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import datasets

from ..errors import InputError
from ._arguments import DataArguments
from ._pairs import Pairs
from ._sources import open_stream
from .load import to_pairs
from .pedigree import pedigree_of_source
from .stream import StreamedPairs, undecoded

_ROW = datasets.Features(
    {"image": datasets.Image(), "caption": datasets.Value("string"), "image_id": datasets.Value("int64")}
)


def load_stream(args: DataArguments, seed: int = 0) -> tuple[StreamedPairs, Pairs]:
    """A stream of training pairs, and the pairs to evaluate on, which are read at once.

    Args:
        args: as for `load_pairs`; `max_eval_pictures` limits what is read for the evaluation.
        seed: of the shuffle.

    Raises:
        InputError: there is no such data set or split, or something is asked for that a stream cannot give.
    """
    given = ("noise_rate", "noise_file", "noise_kind", "noise_seed", "noise_keep_none")
    if any(getattr(args, name) not in (0, getattr(DataArguments(), name)) for name in given):
        raise InputError(
            "Captions are shuffled among all pairs, which a stream does not know: leave noise_rate and the like "
            "out, or make a noisy data set first with recipes/make_noise.py and stream that."
        )
    for name in ("label_column", "feature_columns", "test_split", "weight_column"):
        if getattr(args, name) is not None:
            raise InputError(f"{name} is for data that are read at once: leave --streaming out.")
    if args.match_by is not None:
        raise InputError("Of a stream it is not kept which pairs were compared: leave --streaming or --match_by out.")
    if args.shuffle_buffer < 1:
        raise InputError(f"shuffle_buffer must be at least 1, got {args.shuffle_buffer}.")
    splits, root = open_stream(args)
    if args.train_split not in splits:
        raise InputError(f"{args.dataset} has no split {args.train_split!r}; it has {', '.join(splits)}.")
    names = [args.eval_split] if args.eval_split else ["test", "validation"]
    held_out = next((name for name in names if name in splits and name != args.train_split), None)
    if held_out is None:
        raise InputError(
            f"Nothing can be held out of a stream, and {args.dataset} has no split {' or '.join(map(repr, names))} "
            f"beside {args.train_split!r}: give --eval_split, or leave --streaming out."
        )
    train = StreamedPairs(
        _select(splits[args.train_split], args, args.max_train_pictures),
        args,
        seed,
        image_root=root,
        pedigree=pedigree_of_source(args),
    )
    evaluation = replace(
        train,
        rows=_select(splits[held_out], args, args.max_eval_pictures),
        args=replace(args, shuffle_buffer=1),
    )
    rows = list(evaluation.one_pass())
    if not rows:
        raise InputError(f"The split {held_out!r} of {args.dataset} has not one usable pair.")
    columns = {"image_column": "image", "caption_column": "caption", "image_id_column": "image_id"}
    pairs = to_pairs(datasets.Dataset.from_list(rows, features=_ROW), replace(args, **columns), "evaluation")
    pairs.report.split = held_out
    return train, pairs


def _select(rows: datasets.IterableDataset, args: DataArguments, limit: int | None) -> datasets.IterableDataset:
    if args.where is not None:
        rows = undecoded(rows).filter(condition(args.where))
    return rows if limit is None else rows.take(limit)


def condition(where: str) -> Callable[[dict], bool]:
    """Whether a row has the value that `--where column=value` names.

    Raises:
        InputError: it has another form.
    """
    column, sign, value = where.partition("=")
    if not sign:
        raise InputError(f"--where is column=value, got {where!r}.")
    return partial(_is, column, value)


def _is(column: str, value: str, row: dict) -> bool:
    if column not in row:
        raise InputError(f"There is no column {column!r}; there are {', '.join(row)}.")
    return str(row[column]) == value
