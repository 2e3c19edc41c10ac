"""Pairs that are read while training, for data sets too large to list: no bank, no index, no length."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import datasets
import fsspec
import numpy as np
import torch
from datasets.distributed import split_dataset_by_node
from transformers import ProcessorMixin

from ..errors import InputError
from ._arguments import DataArguments
from ._pairs import Pairs
from ._paths import PictureFolder, refused_path
from ._sources import CAPTION_COLUMNS
from .collator import PairCollator


@dataclass(frozen=True)
class StreamedPairs(torch.utils.data.IterableDataset):
    """An endless stream of pairs, pass after pass over the same rows; how long to train is said in steps.

    Each pass is shuffled anew: the order of the shards, which are read one after the other, and within a buffer of
    `shuffle_buffer` rows. It depends on `seed` and the number of the pass alone. Of each pass every row comes exactly
    once, to one process and there to one worker: where the number of shards can be divided by that of the processes,
    each takes its own shards (`datasets.distributed.split_dataset_by_node`), else all read everything and each keeps
    every n-th row. The workers of a process share its shards; workers beyond the number of shards have nothing to do.
    Passes of different processes may end at different steps; they follow each other without a break, so no process
    waits for another.

    What `Pairs` offer beyond this needs a set that can be indexed: a memory bank, weights per pair, shuffled captions,
    a check of all rows before training.

    Args:
        rows: a data set with a column of pictures and one of captions (strings, or lists: one pair each).
        args: names of columns, `shuffle_buffer`, and `on_bad_row`: a row without a caption or a picture, or one whose
            picture does not decode, is left out ("skip", at the price of decoding twice) or ends the run ("stop").
        seed: of the shuffle.
        rank: of this process, and `num_processes`: how many share the stream.
        num_processes: see above.
        image_root: folder that local picture paths start from and may not leave; None takes them as they are.
        pedigree: of noise that was put into the rows on purpose, see `data/pedigree.py`.
    """

    rows: datasets.IterableDataset
    args: DataArguments
    seed: int = 0
    rank: int = 0
    num_processes: int = 1
    image_root: str | None = None
    pedigree: dict | None = None

    def share(self, rank: int, num_processes: int) -> "StreamedPairs":
        """The part of one of several processes."""
        return replace(self, rank=rank, num_processes=num_processes)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in count():
            is_empty = True
            for row in self.one_pass(number):
                is_empty = False
                yield row
            if is_empty and torch.utils.data.get_worker_info() is None:
                raise InputError(f"The stream of {self.args.dataset} has not one usable pair for process {self.rank}.")
            if is_empty:  # a worker without a shard
                return

    def one_pass(self, number: int = 0) -> Iterator[dict[str, Any]]:
        """The pairs of one pass: `image` (encoded: bytes or a path), `caption`, `image_id` (int64)."""
        rows = undecoded(self.rows)
        if self.args.shuffle_buffer > 1:
            seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            # One shard at a time: `datasets` reads several in threads, whose end takes it five seconds in each pass.
            rows = rows.shuffle(seed=seed, buffer_size=self.args.shuffle_buffer, max_buffer_input_shards=1)
        folder = PictureFolder(self.image_root) if self.image_root else None
        for row in split_dataset_by_node(rows, self.rank, self.num_processes):
            try:
                pairs = read_row(row, self.args, folder)
            except InputError:
                if self.args.on_bad_row == "stop":
                    raise
                continue
            yield from pairs


class StreamCollator:
    """Makes of streamed rows the batch that `PairCollator` makes of rows of `Pairs`, without `index` and `bank`.

    Args:
        processor: of CLIP.
        max_length: tokens per caption.
    """

    def __init__(self, processor: ProcessorMixin, max_length: int | None = None):
        self.processor, self.max_length = processor, max_length

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows."""
        pairs = _as_pairs(rows)
        batch = PairCollator(self.processor, pairs, max_length=self.max_length)(list(pairs))
        del batch["index"]  # a row of the batch, not of a data set
        return batch


def undecoded(rows: datasets.IterableDataset) -> datasets.IterableDataset:
    """The same rows with pictures as bytes and paths; what has no features is not decoded anyway."""
    return rows.decode(False) if rows.features else rows


def _as_pairs(rows: list[dict[str, Any]]) -> Pairs:
    ids = np.array([row["image_id"] for row in rows], dtype=np.int64)
    told = np.array([f"of image_id {image_id}" for image_id in ids])
    return Pairs(rows, [row["caption"] for row in rows], np.arange(len(rows)), ids, ids, told)


def read_row(row: dict[str, Any], args: DataArguments, folder: PictureFolder | None) -> list[dict[str, Any]]:
    """The pairs of one row: `image` (encoded: bytes or a path), `caption`, `image_id` (int64).

    Raises:
        InputError: a column is missing, or the row is bad.
    """
    row = with_fields(row)
    image = _first(row, args.image_column, *(key for key, cell in row.items() if _is_picture(cell)))
    captions = _first(row, *([args.caption_column] if args.caption_column else CAPTION_COLUMNS), "txt")
    captions = [text for text in (captions if isinstance(captions, list) else [captions]) if text and text.strip()]
    if not captions:
        raise InputError(f"A row of {args.dataset} has no caption: {_told(row)}; try --on_bad_row skip.")
    image = _encoded(image, folder)
    if image is None:
        raise InputError(f"A row of {args.dataset} has no picture: {_told(row)}; try --on_bad_row skip.")
    image_id = row.get(args.image_id_column)
    if not isinstance(image_id, int):
        image_id = _hash(image["bytes"] or image["path"].encode() if image_id is None else str(image_id).encode())
    pairs = [{"image": image, "caption": caption, "image_id": image_id} for caption in captions]
    if args.on_bad_row == "skip":
        _as_pairs(pairs[:1]).picture(0)
    return pairs


def with_fields(row: dict[str, Any]) -> dict[str, Any]:
    """A row of WebDataset with the fields of its JSON beside the others; other rows as they are."""
    return {**row["json"], **row} if isinstance(row.get("json"), dict) else row


def _first(row: dict[str, Any], *names: str) -> Any:
    for name in names:
        if name in row:
            return row[name]
    there = ", ".join(row)
    raise InputError(
        f"There is no column {' or '.join(map(repr, dict.fromkeys(names)))} in the stream; there are {there}."
    )


def _is_picture(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.keys() == {"bytes", "path"}


def _encoded(cell: Any, folder: PictureFolder | None) -> dict | None:
    """Bytes or a local path; what lies elsewhere is fetched, and what leaves its folder refused."""
    if isinstance(cell, str):
        if folder is None and "://" not in cell:
            raise InputError(
                f"The stream holds picture paths, {cell!r} for one: say with --image_root where they start."
            )
        cell = {"bytes": None, "path": cell}
    if cell is not None and not _is_picture(cell):
        raise InputError(f"The column of pictures holds {type(cell).__name__}, not encoded pictures or paths.")
    if cell is None or (not cell["bytes"] and not cell["path"]):
        return None
    if cell["bytes"]:
        return {"bytes": cell["bytes"], "path": None}
    if "://" in cell["path"]:
        with fsspec.open(cell["path"], "rb") as file:
            return {"bytes": file.read(), "path": None}
    if folder is not None:
        cell = folder.cell(cell["path"])
        if cell["bytes"] is not None:
            raise InputError(f"The picture path {refused_path(cell['bytes'])!r} leaves its folder {folder.root}.")
    return cell


def _hash(content: bytes) -> int:
    """63 bits that stand for an id, the same in every process; equal bytes are one picture."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1


def _told(row: dict[str, Any]) -> str:
    """A row in few words: a stream has no row numbers."""
    words = (f"{name} {cell!r}" for name, cell in row.items() if isinstance(cell, str | int) and len(str(cell)) < 80)
    return ", ".join(list(words)[:4]) or "nothing else is in it"
