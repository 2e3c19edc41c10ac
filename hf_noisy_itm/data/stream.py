"""Pairs that are read while training, for data sets too large to list: no bank, no index, no length."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar

import datasets
import numpy as np
import torch
from datasets.distributed import split_dataset_by_node
from transformers import ProcessorMixin

from ..errors import InputError
from ._arguments import DataArguments
from ._pairs import Pairs
from ._paths import PictureFolder
from ._stream_rows import BadRow, read_row, reading
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
    told: ClassVar[str] = "a stream of pairs"
    facts: ClassVar[dict[str, Any]] = {}  # of fields of a method's config; a stream knows none

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
        for row in reading(split_dataset_by_node(rows, self.rank, self.num_processes), self.args):
            try:
                pairs = read_row(row, self.args, folder)
            except BadRow:
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
