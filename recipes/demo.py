"""The main job in one command, `make demo`: captions go wrong, plain fine-tuning suffers, NPC does not.

    python recipes/demo.py [--max_steps 150] [--noise_rate 0.4] [--seed 0] [--output_dir runs/demo] …

Fine-tunes the bundled scenes-clip on the second domain of the embedded world, with the same learning rate, steps and
seed each time: the control and NPC on shuffled captions, and the control on clean ones as the ceiling. Any field of a
recipe that is not NPC's own can be given.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from hf_noisy_itm import report
from hf_noisy_itm.arguments import Recipe, parse_recipe
from hf_noisy_itm.checkpoint import BANK_FILE, WEIGHTS_FILE
from hf_noisy_itm.data import PairCollator, Pairs, load_pairs
from hf_noisy_itm.encode import encode, evaluate_pairs
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.files import write_json
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.run import train

RECIPES = {method: str(Path(__file__).parent / method / "scenes_noise40.yaml") for method in ("baseline", "npc")}
KEYS = ("i2t_r@1", "i2t_r@5", "i2t_r@10", "t2i_r@1", "t2i_r@5", "t2i_r@10", "rsum")


def main(arguments: list[str]) -> None:
    """Runs everything and prints the table."""
    recipe = parse_recipe([RECIPES["npc"], "--output_dir", "runs/demo", *arguments])
    folder = Path(recipe.training.output_dir)
    noisy, held_out = load_pairs(recipe.data)
    clean, _ = load_pairs(replace(recipe.data, noise_rate=0.0))
    print(
        f"{len(noisy)} training pairs over {len(noisy.image_id)} pictures; {noisy.is_noisy.mean():.1%} have the "
        f"caption of another picture. Evaluation: {len(held_out.image_id)} held-out pictures, "
        f"{len(held_out)} clean captions."
    )
    rows = {"zero-shot": {"metrics": _zero_shot(recipe, held_out), "seconds": {"train": 0.0}}}
    for name, method, pairs, place in (
        ("control", "baseline", noisy, "control"),
        ("npc", "npc", noisy, "npc"),
        ("control, clean captions", "baseline", clean, "ceiling"),
    ):
        print(f"\n{name}:")
        rate = recipe.data.noise_rate if pairs is noisy else 0.0
        own = ["--output_dir", str(folder / place), "--noise_rate", str(rate)]
        rows[name] = train(parse_recipe([RECIPES[method], *arguments, *own]), (pairs, held_out))
    write_json(folder / "metrics.json", rows)
    _draw(recipe, folder, rows, noisy, held_out)
    _print_table(rows)
    print(_what_next(folder))


def _zero_shot(recipe: Recipe, held_out: Pairs) -> dict[str, float]:
    model, processor = load_model(recipe.run.model, "baseline")
    return evaluate_pairs(model, PairCollator(processor, held_out))


def _draw(recipe: Recipe, folder: Path, rows: dict, noisy: Pairs, held_out: Pairs) -> None:
    report.plot_recall({name: row["metrics"] for name, row in rows.items()}, folder / "recall.png")
    ledger, bank = load_file(folder / "npc" / WEIGHTS_FILE), load_file(folder / "npc" / BANK_FILE)
    scores = {
        "loss before training, on which NPC's bank is built": bank["scores.loss"].numpy(),
        "NPC's weight, mean over the training": (ledger["total"] / ledger["count"]).numpy(),
    }
    report.plot_separation(scores, noisy.is_noisy, folder / "weights.png")
    trust = -bank["scores.loss"].numpy()
    report.plot_least_trusted(noisy, trust, noisy.is_noisy, folder / "least_trusted.png")
    encoded = {}
    for name, place in (("zero-shot", None), ("control", "control"), ("npc", "npc")):
        model, processor = load_model(str(folder / place) if place else recipe.run.model, "baseline")
        encoded[name] = encode(model, PairCollator(processor, held_out))
    queries = np.random.default_rng(recipe.training.seed).choice(len(held_out), min(6, len(held_out)), replace=False)
    report.plot_retrieval(held_out, encoded, queries.tolist(), folder / "retrieval.png")


def _print_table(rows: dict) -> None:
    heads = ("i2t R@1", "R@5", "R@10", "t2i R@1", "R@5", "R@10", "rSum", "seconds")
    print("\n" + f"{'':24}" + "".join(f"{head:>9}" for head in heads))
    for name, row in rows.items():
        figures = [f"{row['metrics'][key]:9.1f}" if key in row["metrics"] else f"{'-':>9}" for key in KEYS]
        print(f"{name:24}" + "".join(figures) + f"{row['seconds']['train']:9.0f}")


def _what_next(folder: Path) -> str:
    return f"""
In {folder}/: recall.png, weights.png, retrieval.png, least_trusted.png, metrics.json, and the models. Next:
  python -c 'from transformers import CLIPModel; print(CLIPModel.from_pretrained("{folder}/npc").num_parameters())'
  python recipes/train.py recipes/npc/own_pairs.yaml --dataset YOUR.parquet
  (columns `image` and `caption` or `captions`; see README.md, "Your own pairs")"""


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
