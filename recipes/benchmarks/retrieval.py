"""How long ranks take at the size of MSCOCO 5K and beyond, and how much memory.

    python recipes/benchmarks/retrieval.py [--images 5000] [--captions 25000] [--width 512] [--output FILE.json]

In turns in one process, medians over the repeats: the bare product of all pictures with all captions; our ranks, from
which all figures come; the same in blocks of pictures with two products, as one would plainly write it; and the full
matrix sorted twice in each direction, as released evaluations do. Then our ranks again in a process of their own, for
the memory they take beyond the embeddings; and a slice of a gallery that is too large for this machine's patience.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch
from _measure import extra_memory, in_own_process, machine, take_turns

from hf_noisy_itm.files import write_json
from hf_noisy_itm.functional.retrieval import Ranks, retrieval_ranks

BARE = "images @ captions.T"
RESULT = Path(__file__).parent.parent / "results" / "benchmark_retrieval.json"


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--captions", type=int, default=25_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9, help="rounds, after one that does not count")
    parser.add_argument("--slice_images", type=int, default=1200, help="pictures of the large gallery, and twice that")
    parser.add_argument("--large_images", type=int, default=100_000)
    parser.add_argument("--large_captions", type=int, default=500_000)
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    if problem := what_is_wrong(args):
        parser.error(problem)
    figures = {"machine": machine("torch"), "command": sys.argv}
    sizes = (args.images, args.captions, args.width)
    figures["gallery"] = dict(zip(("images", "captions", "width"), sizes))
    figures["seconds"], figures["times the bare product"] = in_turns(sizes, args.repeats)
    figures["extra_memory_mb"] = in_own_process(memory, *sizes, start="spawn")
    large = (args.slice_images, args.large_images, args.large_captions, args.width)
    figures["large"] = in_own_process(large_gallery, *large, start="spawn")
    write_json(args.output, figures)
    print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()))
    for name, seconds in figures["seconds"].items():
        print(f"{name:48s} {seconds:8.2f} s  {figures['times the bare product'][name]:7.2f} times the bare product")
    print(f"extra memory of our ranks: {figures['extra_memory_mb']:.0f} MB")
    print("large gallery: " + ", ".join(f"{name} {value:,.4g}" for name, value in figures["large"].items()))


def what_is_wrong(args: argparse.Namespace) -> str | None:
    """The first thing that cannot be measured, in words."""
    for name in ("images", "captions", "width", "repeats", "slice_images", "large_images", "large_captions"):
        if getattr(args, name) < 1:
            return f"--{name} must be at least 1, got {getattr(args, name)}."
    if args.captions < args.images:
        return f"every picture needs a caption: --captions is {args.captions}, but --images {args.images}."
    for name in ("large_images", "large_captions"):
        if getattr(args, name) < 2 * args.slice_images:
            least = 2 * args.slice_images
            return f"--{name} must be at least twice --slice_images, {least}, got {getattr(args, name)}."
    if args.output.is_dir() or not args.output.absolute().parent.is_dir():
        return f"--output {args.output} is no file in a folder that is there."
    return None


def in_turns(sizes: tuple[int, int, int], repeats: int) -> tuple[dict, dict]:
    """Median seconds of each way, and median of the ratios to the bare product of the same round."""
    images, texts, owner = gallery(*sizes)
    cone = images + 1000.0, texts + 1000.0  # all cosines within a hundred-thousandth
    unit_images, unit_texts = (torch.nn.functional.normalize(rows, dim=1) for rows in (images, texts))
    ways = {
        BARE: lambda: unit_images @ unit_texts.T,
        "ours": lambda: retrieval_ranks(images, texts, owner),
        "plain blocks, two products, float32": lambda: blocks(unit_images, unit_texts, owner),
        "ours, all cosines within 1e-5": lambda: retrieval_ranks(*cone, owner),
    }
    seconds = take_turns(ways, repeats)
    start = time.perf_counter()
    by_sorting = sorted_twice(unit_images, unit_texts, owner)  # once: it takes as long as all the rest
    seconds["argsort twice in each direction, float32, once"] = [time.perf_counter() - start] * repeats
    if [rank.tolist() for rank in by_sorting] != [rank.tolist() for rank in ways["ours"]()]:
        print("note: float32 decided some near ties otherwise than float64")
    ratios = {name: median(a / b for a, b in zip(times, seconds[BARE])) for name, times in seconds.items()}
    return {name: median(times) for name, times in seconds.items()}, ratios


def gallery(num_images: int, num_texts: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random pictures, and captions that are somewhat near their pictures."""
    rng = torch.Generator().manual_seed(0)
    owner = torch.arange(num_texts) % num_images
    images = torch.randn(num_images, width, generator=rng)
    texts = torch.randn(num_texts, width, generator=rng)
    for part, rows in zip(texts.split(4096), owner.split(4096)):
        part += 0.15 * images[rows]
    return images, texts, owner


def blocks(images: torch.Tensor, texts: torch.Tensor, owner: torch.Tensor, block: int = 512) -> Ranks:
    """Ranks in float32 with two products: the second when the captions' own scores are known."""
    i2t, own_score = [], torch.empty(len(texts))
    for start in range(0, len(images), block):
        score = images[start : start + block] @ texts.T
        own = owner == torch.arange(start, start + len(score))[:, None]
        best = score.masked_fill(~own, -torch.inf).amax(dim=1, keepdim=True)
        i2t.append(((score >= best) & ~own).sum(dim=1))
        row, column = own.nonzero(as_tuple=True)
        own_score[column] = score[row, column]
    t2i = torch.full((len(texts),), -1)
    for start in range(0, len(images), block):
        t2i += (images[start : start + block] @ texts.T >= own_score).sum(dim=0)
    return Ranks(torch.cat(i2t), t2i)


def sorted_twice(images: torch.Tensor, texts: torch.Tensor, owner: torch.Tensor) -> Ranks:
    """Ranks in float32 by sorting all scores, and the order once more, for each direction."""
    score = images @ texts.T
    place = score.argsort(dim=1, descending=True).argsort(dim=1)
    own = owner == torch.arange(len(images))[:, None]
    i2t = place.masked_fill(~own, len(texts)).amin(dim=1)
    place = score.T.argsort(dim=1, descending=True).argsort(dim=1)
    return Ranks(i2t, place[torch.arange(len(texts)), owner])


def memory(*sizes: int) -> float:
    """MB that the ranks take beyond the embeddings."""
    retrieval_ranks(*gallery(50, 100, sizes[2]))  # libraries load what they need
    embeds = gallery(*sizes)
    return extra_memory(lambda: retrieval_ranks(*embeds))[1]


def large_gallery(slice_images: int, num_images: int, num_texts: int, width: int) -> dict[str, float]:
    """All captions against a slice of the pictures, and against twice as many: the difference is the cost of one."""
    slices = {images: gallery(images, num_texts, width) for images in (slice_images, 2 * slice_images)}
    ways = {images: partial(retrieval_ranks, *embeds) for images, embeds in slices.items()}
    megabytes = extra_memory(ways[2 * slice_images])[1]  # first, before the allocator keeps what it once had
    seconds = {images: median(times) for images, times in take_turns(ways, 3).items()}
    per_image = (seconds[2 * slice_images] - seconds[slice_images]) / slice_images
    fixed = seconds[slice_images] - per_image * slice_images
    return {
        "images": num_images,
        "captions": num_texts,
        "slice images": 2 * slice_images,
        "slice seconds": seconds[2 * slice_images],
        "slice extra memory in MB": megabytes,
        "hours for all, extrapolated": (fixed + per_image * num_images) / 3600,
        # What grows with the pictures is their float32 copy, and a rank and a threshold for each.
        "extra memory for all in MB, extrapolated": megabytes
        + (num_images - 2 * slice_images) * (width * 4 + 40) / 1e6,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
