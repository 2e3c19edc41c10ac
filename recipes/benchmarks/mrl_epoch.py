"""An epoch on the Wikipedia set, evaluation included: the released protocol, and ours.

    python recipes/benchmarks/mrl_epoch.py --data FOLDER [--recipe recipes/mrl/wikipedia_noise60.yaml] [--output FILE]

The released protocol, written anew from its description: heads of width 4096, and mean average precision by a loop
over queries and, within it, one over ranked items, on the training set (all four pairs of modalities, as it logs them)
and on validation and test set (both directions). Ours is an epoch of the recipe: its heads, `NoisyITMTrainer`, and
`category_map` on the validation set, which is what chooses a model. As heads of other widths are another amount of
work, both are measured with both widths, and the evaluation alone on equal terms: the same embeddings, in both ways.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _measure import machine, take_turns

from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.data import FeatureCollator, load_pairs, load_test
from hf_noisy_itm.encode import category_figures, embed_modalities
from hf_noisy_itm.files import write_json
from hf_noisy_itm.loading import start_model
from hf_noisy_itm.trainer import NoisyITMTrainer

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "results" / "benchmark_mrl_epoch.json"
RELEASED = {"head_width": 4096, "embed_width": 512}


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the Wikipedia set")
    parser.add_argument("--recipe", type=Path, default=ROOT / "mrl" / "wikipedia_noise60.yaml")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, after one that does not count")
    parser.add_argument("--head_width", type=int, default=RELEASED["head_width"], help="of the released protocol")
    parser.add_argument("--batch", type=int, default=100, help="samples per step")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        words = ["--num_train_epochs", "1", "--save_strategy", "no", "--load_best_model_at_end", "false"]
        words += ["--data", args.data, "--output_dir", folder, "--disable_tqdm", "true", "--logging_strategy", "no"]
        words += ["--per_device_train_batch_size", str(args.batch)]
        recipe = parse_recipe([str(args.recipe), *words])
        ours = recipe.method
        released = {**ours, **RELEASED, "head_width": args.head_width}
        parts = _load(recipe)
        ways = {
            "released protocol": lambda: released_epoch(recipe, released, parts),
            "its heads, our evaluation": lambda: our_epoch(recipe, released, parts),
            "our heads, its evaluation": lambda: released_epoch(recipe, ours, parts),
            "ours": lambda: our_epoch(recipe, ours, parts),
        }
        seconds = take_turns(ways, args.repeats)
        evaluation = take_turns(_evaluations(recipe, ours, parts), args.repeats)
    medians = {name: median(times) for name, times in seconds.items()}
    alone = {name: median(times) for name, times in evaluation.items()}
    figures = {
        "machine": machine("torch", "transformers"),
        "heads": {"released": released, "ours": ours},
        "samples": {name: len(rows) for name, rows in parts.items()},
        "seconds of an epoch": medians,
        "times faster": medians["released protocol"] / medians["ours"],
        "times faster, both with our heads": medians["our heads, its evaluation"] / medians["ours"],
        "times faster, both with its heads": medians["released protocol"] / medians["its heads, our evaluation"],
        "seconds of the evaluation, validation and test": alone,
        "times faster, evaluation alone": alone["loops"] / alone["ours"],
    }
    write_json(args.output, figures)
    for name, value in {**medians, **{f"evaluation alone, {name}": value for name, value in alone.items()}}.items():
        print(f"{name:32s} {value:8.3f} s")
    print(f"an epoch {figures['times faster']:.1f} times, ", end="")
    print(f"evaluation alone {figures['times faster, evaluation alone']:.1f} times as fast as the released protocol")


def _load(recipe) -> dict:
    train, validation = load_pairs(recipe.data)
    return {"train": train, "validation": validation, "test": load_test(recipe.data, train)}


def our_epoch(recipe, fields: dict, parts: dict) -> None:
    """One epoch by the trainer, which evaluates on the validation set at its end."""
    _trainer(recipe, fields, parts).train()


def released_epoch(recipe, fields: dict, parts: dict) -> None:
    """The same training, and then the loops over training, validation and test set."""
    trainer = _trainer(recipe, fields, {**parts, "validation": None})
    trainer.args.eval_strategy = "no"
    trainer.train()
    for name, rows in parts.items():
        embeds = embed_modalities(trainer.model, FeatureCollator(trainer.processing_class, rows))
        slow_figures(embeds, rows.labels.true, within=name == "train")


def _trainer(recipe, fields: dict, parts: dict) -> NoisyITMTrainer:
    torch.manual_seed(0)
    model, processor = start_model("none", "mrl", fields, parts["train"])
    arguments = recipe.training
    arguments.eval_strategy = "epoch" if parts["validation"] is not None else "no"
    return NoisyITMTrainer(model, arguments, parts["train"], parts["validation"], processor)


def _evaluations(recipe, fields: dict, parts: dict) -> dict:
    """Both ways to the same figures of validation and test set."""
    trainer = _trainer(recipe, fields, parts)
    embedded = [
        (embed_modalities(trainer.model, FeatureCollator(trainer.processing_class, parts[name])), parts[name].labels)
        for name in ("validation", "test")
    ]
    for embeds, labels in embedded:
        fast, slow = category_figures(embeds, labels)["map"], slow_figures(embeds, labels.true)
        if abs(fast - 100 * slow) > 1e-2:
            raise AssertionError(f"The two ways disagree: {fast} and {100 * slow}.")
    return {
        "loops": lambda: [slow_figures(embeds, labels.true) for embeds, labels in embedded],
        "ours": lambda: [category_figures(embeds, labels) for embeds, labels in embedded],
    }


def slow_figures(embeds: dict, labels: dict[str, np.ndarray], within: bool = False) -> float:
    """Mean over pairs of modalities of a mean average precision that is made item by item."""
    arrays = {name: rows.double().numpy() for name, rows in embeds.items()}
    values = [
        _slow_map(arrays[query], labels[query], arrays[items], labels[items])
        for query in arrays
        for items in arrays
        if within or query != items
    ]
    return sum(values) / len(values)


def _slow_map(queries: np.ndarray, of_query: np.ndarray, items: np.ndarray, of_item: np.ndarray) -> float:
    order = np.argsort(-(queries @ items.T), axis=1)
    average = []
    for query in range(len(queries)):
        ranked, wanted = order[query], of_query[query]
        found = total = 0.0
        for place in range(len(items)):
            if of_item[ranked[place]] == wanted:
                found += 1
                total += found / (place + 1)
        average.append(total / found if found else 0.0)
    return sum(average) / len(average)


if __name__ == "__main__":
    main(sys.argv[1:])
