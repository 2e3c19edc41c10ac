"""How long a memory bank takes at the size of Flickr30K once features exist, and how much memory.

    python recipes/benchmarks/bank.py [--pictures 29000] [--captions 5] [--width 512] [--noise 0.4] [--output FILE]

`memory.clean.build_bank` over random pictures and captions that are somewhat near them, a share of which are moved:
NPC's bank; the same where no pair may be its own entry; scored by cosine; and as many pairs of one caption each. Each
in a process of its own, once, with the seconds that its threads computed beside those that passed: on a busy machine
they differ. The bare product of all captions with the clean ones, which a search without any saving must make, is
measured on a part of the captions.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from _measure import extra_memory, in_own_process, machine

from hf_noisy_itm.files import write_json
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.memory.clean import build_bank
from hf_noisy_itm.memory.scores import Scoring

RESULT = Path(__file__).parent.parent / "results" / "benchmark_bank.json"
LOGIT_SCALE = 100.0  # of a trained CLIP
SIZES = ("pictures", "captions", "width", "noise")


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=29_000)
    parser.add_argument("--captions", type=int, default=5, help="of each picture")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--noise", type=float, default=0.4, help="share of captions that are moved")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    usual = (args.pictures, args.captions, args.width, args.noise)
    single = (args.pictures * args.captions, 1, args.width, args.noise)
    ways = {
        "NPC's": (usual, False, "loss"),
        "exclude_self": (usual, True, "loss"),
        "by cosine": (usual, False, "cosine"),
        "one caption per picture": (single, False, "loss"),
    }
    figures = {"machine": machine("torch", "scikit-learn"), "command": sys.argv}
    figures["data"] = {"pairs": args.pictures * args.captions, **{name: vars(args)[name] for name in SIZES}}
    print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()))
    figures["banks"] = {}
    for name, way in ways.items():
        figures["banks"][name] = bank = in_own_process(measure, *way)
        tell(name, bank)
    figures["bare product"] = in_own_process(bare_product, usual, figures["banks"]["NPC's"]["clean pairs"])
    tell("bare product", figures["bare product"])
    write_json(args.output, figures)


def tell(name: str, figures: dict[str, float]) -> None:
    """Prints one line."""
    print(f"{name:24s} " + ", ".join(f"{what} {value:,.4g}" for what, value in figures.items()), flush=True)


def measure(sizes: tuple, exclude_self: bool, score: str) -> dict[str, float]:
    """Seconds, and memory beyond the embeddings, of one bank."""
    scoring = Scoring(score)
    build_bank(embeddings(60, 5, 8, 0.4), LOGIT_SCALE, 0.5, exclude_self, scoring)  # libraries load what they need
    encoded = embeddings(*sizes)
    start = time.perf_counter(), time.process_time()
    bank, megabytes = extra_memory(lambda: build_bank(encoded, LOGIT_SCALE, 0.9, exclude_self, scoring))
    return {
        "seconds": time.perf_counter() - start[0],
        "processor seconds": time.process_time() - start[1],
        "extra memory in MB": megabytes,
        "clean pairs": bank.provenance["clean_pairs"],
    }


def bare_product(sizes: tuple, num_clean: int, rows: int = 2048) -> dict[str, float]:
    """Seconds of all captions times the clean ones, extrapolated from some rows; nothing is done with the result."""
    texts = embeddings(*sizes).text_embeds
    rows, clean = min(rows, len(texts)), texts[:num_clean]
    out = torch.empty(rows, len(clean))
    torch.mm(texts[:rows], clean.T, out=out)
    start = time.perf_counter(), time.process_time()
    for _ in range(3):
        torch.mm(texts[:rows], clean.T, out=out)
    all_of_them = len(texts) / rows / 3
    return {
        "rows measured": rows,
        "seconds for all, extrapolated": (time.perf_counter() - start[0]) * all_of_them,
        "processor seconds for all, extrapolated": (time.process_time() - start[1]) * all_of_them,
    }


def embeddings(pictures: int, captions: int, width: int, noise: float) -> EncodedPairs:
    """Random pictures and captions; the cosine of a right pair is 0.3 or so, and of any other 0 give or take."""
    rng = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(pictures, width, generator=rng), dim=1)
    owner = torch.arange(pictures).repeat_interleave(captions)
    texts = torch.randn(len(owner), width, generator=rng)
    source = torch.arange(len(owner))
    moved = torch.randperm(len(owner), generator=rng)[: int(noise * len(owner))]
    source[moved] = moved.roll(1)
    for rows, part in zip(source.split(4096), texts.split(4096)):
        part += 0.3 * width**0.5 * images[owner[rows]]
        part /= part.norm(dim=1, keepdim=True)
    return EncodedPairs(images, texts, owner, "random")


if __name__ == "__main__":
    main(sys.argv[1:])
