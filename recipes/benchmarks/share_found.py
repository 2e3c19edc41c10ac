"""How far off a noise report's share is on made-up embeddings, and whether it says so.

    python recipes/benchmarks/share_found.py

Each draw has a number of captions, captions per picture, width, quality of the scorer (from hopeless to perfect) and
share of wrong captions of its own. Told is the error by how well right pairs are told from random partners in truth,
and by whether there were doubts.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from _measure import machine
from sklearn.metrics import roc_auc_score

from hf_noisy_itm.files import write_json
from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.noise_report import examine
from hf_noisy_itm.noise_report.doubts import doubts_of

_GAP = 0.5  # between pictures and captions, as CLIP has one
_AUC = (0.995, 0.97, 0.9, 0.75, 0.0)


def main(draws: int, seed: int, output: Path) -> None:
    """Draws, prints a table, and writes the draws."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    found = [_draw(rng) for _ in range(draws)]
    print("| draws | number | mean error | largest | interval covers |\n|---|---:|---:|---:|---:|")
    for least, below in zip(_AUC, (1.01, *_AUC)):
        _tell(f"AUC {least} to {min(below, 1.0)}", [one for one in found if least <= one["auc_of_right"] < below])
    sure = [one for one in found if one["auc_of_right"] >= 0.97]
    _tell("AUC from 0.97, from 1000 captions", [one for one in sure if one["captions"] >= 1000])
    _tell("AUC from 0.97, 300 captions", [one for one in sure if one["captions"] < 1000])
    _tell("without a doubt", [one for one in found if not one["doubts"]])
    _tell("with one", [one for one in found if one["doubts"]])
    write_json(output, {"machine": machine("torch", "scikit-learn"), "command": sys.argv, "draws": found})


def _draw(rng: np.random.Generator) -> dict:
    captions = int(rng.choice([300, 1000, 2000], p=[0.4, 0.4, 0.2]))
    per_picture = int(rng.choice([1, 2, 5]))
    width = int(rng.choice([16, 64, 128, 512], p=[0.25, 0.3, 0.35, 0.1]))
    width = 64 if captions > 1000 and width == 512 else width
    clear, share = float(rng.choice([0.2, 0.5, 1, 2, 5])), float(rng.choice([0, 0.1, 0.2, 0.4, 0.6]))
    kinds, together = int(rng.choice([0, 0, 12])), bool(rng.random() < 0.2)
    rank = width if rng.random() < 0.6 else max(4, width // 8)
    pictures = captions // per_picture
    noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
    basis = torch.randn(rank, width, generator=noise) / rank**0.5
    idea = torch.randn(pictures, rank, generator=noise)
    if kinds:  # pictures of a few kinds: captions of one's own are hard to tell
        kind = torch.randn(kinds, rank, generator=noise)[torch.randint(kinds, (pictures,), generator=noise)]
        idea = kind + 0.7 * idea
    idea = idea @ basis
    idea = idea / idea.std()
    owner = np.repeat(np.arange(pictures), per_picture)
    images = _seen(idea, clear, noise)
    texts = _seen(idea[owner], clear, noise)
    source = _moved(rng, pictures, per_picture, share, together)
    is_wrong = owner[source] != owner
    encoded = EncodedPairs(images, texts[torch.from_numpy(source)], torch.from_numpy(owner), "made up")
    findings = examine(encoded, 30.0, [str(row) for row in source])
    right, random = findings.suspicion_alone[~is_wrong], findings.random_suspicion
    auc = roc_auc_score(np.repeat([0, 1], [len(right), len(random)]), np.concatenate([right, random]))
    rate = findings.rate
    facts = {"captions": captions, "per_picture": per_picture, "width": width, "clear": clear, "together": together}
    told = {"wrong": float(is_wrong.mean()), "estimated": rate.value, "interval": [rate.low, rate.high]}
    return {**facts, **told, "auc_of_right": float(auc), "doubts": len(doubts_of(findings))}


def _seen(idea: torch.Tensor, clear: float, noise: torch.Generator) -> torch.Tensor:
    """Ideas as the scorer embeds them, all a little to one side."""
    blurred = idea + torch.randn(idea.shape, generator=noise) / clear
    return normalize(blurred + _GAP * torch.randn(1, idea.shape[1], generator=noise))


def _moved(rng: np.random.Generator, pictures: int, per_picture: int, share: float, together: bool) -> np.ndarray:
    """Row of the caption that each pair has: moved one by one, or all of a picture together."""
    count = pictures * per_picture
    if together:
        chosen, source = rng.permutation(np.flatnonzero(rng.random(pictures) < share)), np.arange(pictures)
        source[chosen] = np.roll(chosen, 1)
        return source[np.repeat(np.arange(pictures), per_picture)] * per_picture + np.tile(
            np.arange(per_picture), pictures
        )
    chosen, source = rng.choice(count, round(share * count), replace=False), np.arange(count)
    source[chosen] = np.roll(chosen, 1)
    return source


def _tell(name: str, draws: list[dict]) -> None:
    if not draws:
        return
    errors = [100 * abs(one["estimated"] - one["wrong"]) for one in draws]
    covers = np.mean([one["interval"][0] - 5e-3 <= one["wrong"] <= one["interval"][1] + 5e-3 for one in draws])
    print(f"| {name} | {len(draws)} | {np.mean(errors):.1f} | {max(errors):.1f} | {covers:.0%} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=112)
    parser.add_argument("--seed", type=int, default=90210)
    parser.add_argument("--output", type=Path, default=Path("recipes/results/benchmark_share_found.json"))
    main(**vars(parser.parse_args()))
