"""What grows with the batch, the processes, the queue and the data, beside the towers: seconds and memory.

    OMP_NUM_THREADS=1 python recipes/benchmarks/scaling.py [--output FILE.json]

The contrastive loss of B local pairs against the G of all processes, forward and backward on embeddings alone: what
one process computes and holds, with the columns of the others made up. The search of the nearest among N rows, as the
memory bank makes it where half of the pairs are clean. How many bytes a queue of K pairs takes, and what is kept of
each of N training pairs. For each a least-squares line through the origin, drawn against what it should be
proportional to, and how far off the points are.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from _measure import machine, take_turns
from torch import Tensor
from torch.distributed._tools.mem_tracker import MemTracker  # noqa: TID251
from torch.nn.functional import normalize

from hf_noisy_itm.files import write_json
from hf_noisy_itm.functional.contrastive import pair_losses
from hf_noisy_itm.functional.nearest import nearest_rows
from hf_noisy_itm.memory.bank import MemoryBank
from hf_noisy_itm.memory.pair_memory import PairMemory
from hf_noisy_itm.memory.queue import PairQueue
from hf_noisy_itm.memory.trust import TrustScores

RESULT = Path(__file__).parent.parent / "results" / "benchmark_scaling.json"


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--local", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8], help="with the smallest local batch")
    parser.add_argument("--queue", type=int, nargs="+", default=[4096, 16_384, 65_536])
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000, 4_000_000])
    parser.add_argument("--searched", type=int, nargs="+", default=[8000, 16_000, 32_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    small = min(args.local)
    shapes = {f"{b} x {b}": (b, b) for b in args.local}
    shapes |= {f"{small} x {small * w}": (small, small * w) for w in args.processes}
    ways = {name: loss_of(*shape, args.width) for name, shape in shapes.items()}
    cells = {name: rows * columns for name, (rows, columns) in shapes.items()}
    searches = {str(pairs): search_of(pairs, args.width) for pairs in args.searched}
    lines = {
        "loss, seconds by local x global": line(timed(ways, args.repeats), cells),
        "loss, MB by local x global": line({name: peak(way) for name, way in ways.items()}, cells),
        "search, seconds by pairs x pairs": line(timed(searches, args.repeats), squares(args.searched)),
        "queue, MB by pairs": line(
            {str(k): megabytes(PairQueue(k, args.width)) for k in args.queue}, counts(args.queue)
        ),
    }
    for name, kept in KEPT.items():
        lines[f"{name}, MB by pairs"] = line({str(n): kept(n) for n in args.pairs}, counts(args.pairs))
    figures = {"machine": machine("torch"), "command": sys.argv, "width": args.width, "lines": lines}
    write_json(args.output, figures)
    for name, found in lines.items():
        print(f"{name}: {found['each']:.3g} each, points off by {found['off by']:.0%} at most")


def counts(sizes: list[int]) -> dict[str, int]:
    """Of what a line is drawn against."""
    return {str(size): size for size in sizes}


def squares(sizes: list[int]) -> dict[str, int]:
    """Likewise."""
    return {str(size): size**2 for size in sizes}


def line(points: dict[str, float], against: dict[str, int]) -> dict:
    """Points, what each unit of what they grow with costs, and the largest relative distance from that line."""
    each = sum(points[name] * against[name] for name in points) / sum(against[name] ** 2 for name in points)
    off = max(abs(points[name] / (each * against[name]) - 1) for name in points)
    return {"points": points, "each": each, "off by": off}


def timed(ways: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Median seconds, in turns."""
    return {name: median(seconds) for name, seconds in take_turns(ways, repeats).items()}


def loss_of(local: int, everywhere: int, width: int) -> Callable[[], None]:
    """Forward and backward of the loss of some pairs against all; the first rows of all are the local ones."""
    rng = torch.Generator().manual_seed(0)
    rows = [normalize(torch.randn(everywhere, width, generator=rng), dim=1).requires_grad_() for _ in range(2)]

    def step() -> None:
        images, texts = rows
        pair_losses(
            images[:local],
            texts[:local],
            20.0,
            all_image_embeds=images,
            all_text_embeds=texts,
            own_column=torch.arange(local),
        ).mean().backward()

    return step


def search_of(pairs: int, width: int) -> Callable[[], Tensor]:
    """The nearest of the second half of N pictures among the first, as a bank looks for it where half are clean."""
    embeds = normalize(torch.randn(pairs, width, generator=torch.Generator().manual_seed(0)), dim=1)
    clean, others = torch.arange(pairs).split(pairs // 2)
    return lambda: nearest_rows(embeds, others, clean)


def peak(way: Callable) -> float:
    """MB of tensors at the most."""
    way()  # gradients are there
    tracker = MemTracker()
    with tracker:
        way()
    return tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"] / 1e6


def megabytes(module: torch.nn.Module) -> float:
    """Of a module's buffers."""
    return sum(each.nbytes for each in module.state_dict().values()) / 1e6


def weights_kept(pairs: int) -> float:
    """MB of what is kept of the weight of each pair, by every method."""
    return megabytes(PairMemory("a", pairs).weights)


def negatives_kept(pairs: int) -> float:
    """MB of what FNE's ledger keeps of each pair's negatives: two directions, the chosen and the hardest."""
    ledger = PairMemory("a", pairs).negatives
    names = [f"{way}_{choice}" for way in ("i2t", "t2i") for choice in ("chosen", "hardest")]
    one = {"row": torch.zeros(1, dtype=torch.long), "score": torch.zeros(1)}
    ledger.add(torch.zeros(1, dtype=torch.long), dict.fromkeys(names, one))
    return sum(part.nbytes for each in ledger.choices.values() for part in each.values()) / 1e6


def bank_kept(pairs: int) -> float:
    """MB of a memory bank: entries of both kinds, and the scores that NPC's bank has."""
    rows = torch.zeros(pairs, dtype=torch.long)
    scores = {"loss": torch.zeros(pairs), "clean_posterior": torch.zeros(pairs)}
    bank = MemoryBank({"image": rows, "text": rows.clone()}, scores)
    return sum(each.nbytes for part in (bank.entries, bank.scores) for each in part.values()) / 1e6


def cosines_kept(pairs: int) -> float:
    """MB of a frozen scorer's cosines."""
    levels = {"wrong": 0.0, "confident": 1.0, "noise": 0.0}
    return TrustScores(torch.zeros(pairs), levels, 100.0).cosine.nbytes / 1e6


KEPT = {"weights": weights_kept, "negatives": negatives_kept, "memory bank": bank_kept, "cosines": cosines_kept}


if __name__ == "__main__":
    main(sys.argv[1:])
