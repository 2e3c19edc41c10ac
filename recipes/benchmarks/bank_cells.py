"""What a memory bank loses where its nearest pairs are searched through cells, and how much time that saves.

    python recipes/benchmarks/bank_cells.py [--pictures 2000] [--random 145000] [--output FILE]

Two banks of the same pairs, one by the exact search and one through cells: of the pairs of the embedded world, 40 % of
them wrong, by the bundled model; and of random embeddings of width 512, which have no neighbours to speak of, so that
this is the worst case. Told are the share of searched entries that are the same, the mean cosine of the searched
captions (of the world: pairs that are not clean) to what they found by either search, and processor seconds.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from _measure import machine
from bank import LOGIT_SCALE, embeddings

from hf_noisy_itm.data import DataArguments, PairCollator, load_pairs
from hf_noisy_itm.encode import encode
from hf_noisy_itm.files import write_json
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.memory.clean import build_bank

RESULT = Path(__file__).parent.parent / "results" / "benchmark_bank_cells.json"


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000, help="of the embedded world, five captions each")
    parser.add_argument("--random", type=int, default=145_000, help="random pairs")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    figures = {"machine": machine("torch"), "command": sys.argv}
    random = embeddings(args.random // 5, 5, 512, 0.4)
    for name, encoded, logit_scale in (("scenes", *scenes(args.pictures)), ("random", random, LOGIT_SCALE)):
        figures[name] = told = compare(encoded, logit_scale)
        print(f"{name:8s} " + ", ".join(f"{what} {value:,.4g}" for what, value in told.items()), flush=True)
    write_json(args.output, figures)


@torch.no_grad()
def scenes(pictures: int) -> tuple[EncodedPairs, float]:
    """Pairs of the embedded world as the bundled model sees them, and its scale."""
    pairs, _ = load_pairs(DataArguments("scenes", max_train_pictures=pictures, noise_rate=0.4))
    model, processor = load_model("scenes-clip")
    return encode(model, PairCollator(processor, pairs)), float(model.logit_scale)


def compare(encoded: EncodedPairs, logit_scale: float) -> dict[str, float]:
    """Both banks, of the captions' side."""
    told, entries = {"pairs": len(encoded.text_embeds)}, {}
    for name, exact in (("exact", len(encoded.text_embeds)), ("cells", 0)):
        start = time.process_time()
        bank = build_bank(encoded, logit_scale, 0.9, exact=exact)
        told[f"processor seconds, {name}"] = round(time.process_time() - start, 2)
        entries[name] = bank.entries["text"]
    searched = bank.scores["clean_posterior"] <= 0.9
    told["same entries"] = float((entries["exact"] == entries["cells"])[searched].float().mean())
    for name, rows in entries.items():
        cosines = (encoded.text_embeds[searched] * encoded.text_embeds[rows[searched]]).sum(dim=1)
        told[f"cosine, {name}"] = float(cosines.mean())
    return told


if __name__ == "__main__":
    main(sys.argv[1:])
