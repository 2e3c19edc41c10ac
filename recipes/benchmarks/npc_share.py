"""How far from the whole gradient that of a share of the bank's entries is on average (`bank_share`).

    python recipes/benchmarks/npc_share.py [--pairs 2000] [--batch_size 64] [--draws 60] [--output FILE.json]

On a batch of `scenes` with 40 % of the captions shuffled and the bundled CLIP: the mean gradient of the entries' loss
over many draws beside that with all entries, as the cosine of the two and the ratio of their lengths; and the mean
cosine of one draw's. What is left of the noise of drawing is told by the same figures of half of the draws. Then the
same of the whole loss, in which the batch has its part.
"""

import argparse
import sys
from pathlib import Path

import torch
from _measure import machine
from torch.nn.functional import cosine_similarity
from tqdm.auto import trange

from hf_noisy_itm import load_pairs
from hf_noisy_itm.data import DataArguments, PairCollator
from hf_noisy_itm.encode import encode
from hf_noisy_itm.files import write_json
from hf_noisy_itm.loading import load_model

RESULT = Path(__file__).parent.parent / "results" / "benchmark_npc_share.json"
SHARES = (0.25, 0.5, 0.75)


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000, help="of which bank and batch are made")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    batch = make_batch(args)
    of_batch = gradients({name: value for name, value in batch.items() if name != "bank"}, share=1.0, draws=1)
    whole = gradients(batch, share=1.0, draws=1)
    figures = {"machine": machine("torch"), "command": sys.argv, "shares": {}}
    for share in SHARES:
        drawn = gradients(batch, share, args.draws)
        figures["shares"][str(share)] = {
            "entries": told(drawn - of_batch, whole - of_batch),
            "batch and entries": told(drawn, whole),
        }
        for name, row in figures["shares"][str(share)].items():
            print(f"share {share}, {name}: " + ", ".join(f"{key} {value:.4f}" for key, value in row.items()))
    write_json(args.output, figures)


def told(drawn: torch.Tensor, whole: torch.Tensor) -> dict[str, float]:
    """How the mean of (draws, parameters) stands to (1, parameters)."""
    mean, half = drawn.mean(dim=0), drawn[::2].mean(dim=0)
    return {
        "cosine": cosine_similarity(mean, whole[0], dim=0).item(),
        "length": (mean.norm() / whole.norm()).item(),
        "cosine, half of the draws": cosine_similarity(half, whole[0], dim=0).item(),
        "length, half of the draws": (half.norm() / whole.norm()).item(),
        "cosine of one draw": cosine_similarity(drawn, whole, dim=1).mean().item(),
    }


def make_batch(args: argparse.Namespace) -> dict:
    """The first pairs of a training set with wrong captions, and their entries in its bank."""
    pairs, _ = load_pairs(
        DataArguments("scenes", max_train_pictures=args.pairs // 5, max_eval_pictures=10, noise_rate=0.4)
    )
    model, processor = load_model("scenes-clip", "npc")
    collator = PairCollator(processor, pairs)
    bank = model.build_bank(encode(model.eval(), collator), epoch=0)
    collator.entries = {name: rows.numpy() for name, rows in bank.entries.items()}
    rows = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))[: args.batch_size]
    return collator([pairs[int(row)] for row in rows])


def gradients(batch: dict, share: float, draws: int) -> torch.Tensor:
    """Of the loss, float64 (draws, parameters).

    Not by the temperature, one number whose gradient could hide all others.
    """
    model = load_model("scenes-clip", "npc", {"weights": "ones", "bank_share": share})[0].train()
    parameters = [parameter for name, parameter in model.named_parameters() if name != "clip.logit_scale"]
    found = []
    for _ in trange(draws, desc=f"share {share}", leave=False):
        part = torch.autograd.grad(model(**batch).loss, parameters)
        found.append(torch.cat([gradient.flatten().double() for gradient in part]))
        model.step()
    return torch.stack(found)


if __name__ == "__main__":
    main(sys.argv[1:])
