"""What two million pairs cost, and whether cost grows in a line: noise, scores, a bank, and an epoch of sampling.

    python recipes/benchmarks/load.py [--sizes 500000 1000000 2000000] [--set_sizes …] [--bank_sizes …]

Everything is synthetic: ids, captions of a grammar, random embeddings of width 16; where pictures are needed (the
stages of a data set), one of a single pixel. Each stage runs at each size in a process of its own. Told are seconds of
the processor (on a shared machine those that pass say little), the memory that it takes beyond its input, the most
that the process has (libraries, input and all), and how far the middle size lies off the straight line between the
others, as a share of it: 0 is linear.

    shuffle             `shuffle_captions` over the ids, and its provenance as Parquet
    words               `damage_captions`, "partial", over the captions
    scores              `score_pairs`, the contrastive loss of every pair in its group
    sampling            an epoch of random batches of 128 rows, and what `PairMemory` keeps of each pair
    noisy set           `make_noisy_set` of a stream of Parquet shards, "truncated", into a folder (`--set_sizes`)
    streamed epoch      one shuffled pass over such shards (`--set_sizes`)
    bank                `build_bank` (`--bank_sizes`), its search through cells at each size
    bank, exact         the same, every noisy pair compared with every clean one: time grows with the square
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from _measure import _status, extra_memory, in_own_process, machine
from bank import embeddings
from PIL import Image
from torch.utils.data import RandomSampler

from hf_noisy_itm.data import DataArguments, StreamedPairs
from hf_noisy_itm.data._sources import open_stream
from hf_noisy_itm.data.provenance import write_provenance
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.even_batches import EvenBatchSampler
from hf_noisy_itm.files import write_json
from hf_noisy_itm.functional.noise import damage_captions, shuffle_captions
from hf_noisy_itm.memory.clean import build_bank
from hf_noisy_itm.memory.pair_memory import PairMemory
from hf_noisy_itm.memory.scores import Scoring, score_pairs
from hf_noisy_itm.noisy_set import make_noisy_set
from hf_noisy_itm.noisy_set.arguments import NoisySetArguments

RESULT = Path(__file__).parent.parent / "results" / "benchmark_load.json"
CAPTIONS, WIDTH, BATCH, ROWS_OF_A_SHARD = 5, 16, 128, 25_000
FIGURES = ("processor seconds", "extra memory in MB", "peak memory in MB")


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, sizes in (
        ("sizes", (500_000, 1_000_000, 2_000_000)),
        ("set_sizes", (500_000, 1_000_000, 2_000_000)),
        ("bank_sizes", (500_000, 1_000_000, 2_000_000)),
    ):
        parser.add_argument(f"--{name}", type=int, nargs=3, default=sizes, metavar="PAIRS")
    parser.add_argument("--only", nargs="+", choices=STAGES, metavar="STAGE", help="the others keep their figures")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    old = json.loads(args.output.read_text()) if args.only and args.output.exists() else {"stages": {}}
    told = {"machine": machine("numpy", "torch", "datasets", "pyarrow"), "commands": old.get("commands", {})}
    stages = dict(old["stages"])
    for name in args.only or STAGES:
        stage, sizes = STAGES[name][0], getattr(args, STAGES[name][1])
        points = {str(size): in_own_process(_measured, stage, size) for size in sizes}
        lines = {what: off_the_line(list(sizes), [point[what] for point in points.values()]) for what in FIGURES}
        stages[name] = {"sizes": points, "off the line": lines}
        told["commands"][name] = sys.argv
        for size, point in points.items():
            print(f"{name:16}{int(size):>12,}  " + ", ".join(f"{what} {point[what]:,.4g}" for what in FIGURES))
        print(f"{'':16}off the line: " + ", ".join(f"{what} {share:.1%}" for what, share in lines.items()), flush=True)
        write_json(args.output, {**told, "stages": stages})


def off_the_line(sizes: list[int], values: list[float]) -> float:
    """How far the middle value lies from the line between the first and the last, as a share of what that says."""
    share = (sizes[1] - sizes[0]) / (sizes[2] - sizes[0])
    expected = values[0] + share * (values[2] - values[0])
    return abs(values[1] - expected) / max(expected, 1e-9)


def _measured(stage: Callable, size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        work = stage(size)
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            _, extra = extra_memory(work)
        seconds = time.process_time() - start
    return dict(zip(FIGURES, (round(seconds, 3), round(extra, 1), round(_status("VmHWM"), 1))))


def _shuffle(size: int) -> Callable:
    ids = np.arange(size) // CAPTIONS
    shuffle_captions(ids[:100], 0.4, np.random.default_rng(0))

    def work():
        noise = shuffle_captions(ids, 0.4, np.random.default_rng(0))
        write_provenance("noise.parquet", noise)

    return work


def _captions(size: int) -> list[str]:
    texts = [caption for row in range(200) for caption in draw_row("street", (0, 1, 0), row)["captions"]]
    return (texts * (size // len(texts) + 1))[:size]


def _words(size: int) -> Callable:
    captions, ids = _captions(size), np.arange(size) // CAPTIONS
    return lambda: damage_captions(captions, ids, "partial", 0.4, seed=0)


def _scores(size: int) -> Callable:
    encoded = embeddings(size // CAPTIONS, CAPTIONS, WIDTH, 0.4)
    score_pairs(embeddings(60, CAPTIONS, WIDTH, 0.4), 100.0, Scoring())
    return lambda: score_pairs(encoded, 100.0, Scoring())


def _sampling(size: int) -> Callable:
    def work():
        memory, rng = PairMemory("synthetic", size), torch.Generator().manual_seed(0)
        for rows in EvenBatchSampler(RandomSampler(range(size), generator=rng), BATCH, 1):
            index = torch.tensor(rows)
            memory.weights.add(index, memory.of(index)["last_weight"])

    return work


def _bank(size: int, exact: int = 0) -> Callable:
    encoded = embeddings(size // CAPTIONS, CAPTIONS, WIDTH, 0.4)
    build_bank(embeddings(60, CAPTIONS, WIDTH, 0.4), 100.0, 0.5)
    return lambda: build_bank(encoded, 100.0, 0.5, exact=exact)


def _exact_bank(size: int) -> Callable:
    return _bank(size, exact=size)


def _shards(size: int) -> str:
    """Parquet shards of pairs in this folder; a pattern of their names."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    captions, cell = _captions(ROWS_OF_A_SHARD), {"bytes": file.getvalue(), "path": None}
    Path("shards").mkdir()
    for first in range(0, size, ROWS_OF_A_SHARD):
        rows = min(ROWS_OF_A_SHARD, size - first)
        ids = [number // CAPTIONS for number in range(first, first + rows)]
        columns = {"image": [cell] * rows, "caption": captions[:rows], "image_id": ids}
        pq.write_table(pa.table(columns), f"shards/{first:09}.parquet", row_group_size=1000)
    return str(Path("shards").absolute() / "*.parquet")


def _noisy_set(size: int) -> Callable:
    data = DataArguments(_shards(size), image_id_column="image_id", streaming=True)
    args = NoisySetArguments(str(Path("noisy").absolute()), "truncated", 0.2)
    return lambda: make_noisy_set(args, data)


def _streamed_epoch(size: int) -> Callable:
    data = DataArguments(_shards(size), image_id_column="image_id", streaming=True)
    splits, root = open_stream(data)

    def work():
        assert sum(1 for _ in StreamedPairs(splits["train"], data, image_root=root).one_pass()) == size

    return work


STAGES = {
    "shuffle": (_shuffle, "sizes"),
    "words": (_words, "sizes"),
    "scores": (_scores, "sizes"),
    "sampling": (_sampling, "sizes"),
    "noisy set": (_noisy_set, "set_sizes"),
    "streamed epoch": (_streamed_epoch, "set_sizes"),
    "bank": (_bank, "bank_sizes"),
    "bank, exact": (_exact_bank, "bank_sizes"),
}

if __name__ == "__main__":
    main(sys.argv[1:])
