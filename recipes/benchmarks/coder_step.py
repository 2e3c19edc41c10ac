"""What CODER adds to a training step: a twin's forward pass, and both branches' losses over the dictionaries.

    python recipes/benchmarks/coder_step.py [--batch 8] [--queue 4096] [--concepts 300] [--output FILE.json]

A CLIP of ViT-B/32's shape with random weights, control and CODER in turns in one process, one optimizer step each, and
CODER with fewer of its parts in the same rounds.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch
from _measure import machine, take_turns, vit_b_32
from fne_step import Step
from torch.nn.functional import normalize

from hf_noisy_itm.files import write_json
from hf_noisy_itm.memory.concepts import Concepts
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, CODERConfig, CODERModel

RESULT = Path(__file__).parent.parent / "results" / "benchmark_coder_step.json"
PARTS = {
    "coder": {},
    "coder, no pseudo labels": {"pseudo_labels": False},
    "coder, no concept branch": {"concept_branch": False, "concepts": None},
}


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--queue", type=int, default=4096, help="pairs in the dictionaries")
    parser.add_argument("--concepts", type=int, default=300)
    parser.add_argument("--layers", type=int, default=12, help="of both towers; 12 is ViT-B/32")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, after one that does not count")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    plain = vit_b_32(args.layers)
    torch.manual_seed(0)
    control = BaselineModel(BaselineConfig(**plain)).train()
    ways = {"control": Step(control, args.batch)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "concepts.safetensors"
        random_concepts(args.concepts, control.config.projection_dim).save(path)
        for name, fields in PARTS.items():
            model = CODERModel(CODERConfig(**plain, **{"queue_size": args.queue, "concepts": str(path), **fields}))
            ways[name] = Step(filled(model.train()), args.batch)
    seconds = take_turns(ways, args.repeats)
    ratios = {name: median(a / b for a, b in zip(seconds[name], seconds["control"])) for name in PARTS}
    figures = {
        "machine": machine("torch", "transformers"),
        "command": sys.argv,
        "batch": args.batch,
        "queue": args.queue,
        "concepts": args.concepts,
        "clusters": model.config.clusters,
        "parameters": control.num_parameters(),
        "seconds": {name: median(times) for name, times in seconds.items()},
        "times the control's step": ratios,
    }
    write_json(args.output, figures)
    print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()))
    for name, value in figures["seconds"].items():
        times = f", {ratios[name]:.2f} times the control's step" if name in ratios else ""
        print(f"{name:30s} {value:8.3f} s{times}")


def random_concepts(count: int, width: int) -> Concepts:
    """Random unit rows, each tied to a tenth of the others."""
    links = torch.rand(count, count) * (torch.rand(count, count) < 0.1)
    links = torch.maximum(links, links.T).fill_diagonal_(0.0)
    return Concepts([f"word{number}" for number in range(count)], links, normalize(torch.randn(count, width), dim=1))


def filled(model: CODERModel) -> CODERModel:
    """With full dictionaries of random unit rows, and clusters that have started."""
    size, width = model.config.queue_size, model.config.projection_dim
    rows = normalize(torch.randn(size, width), dim=1)
    remembered = {"image_keys": rows, "text_keys": rows, "image_id": torch.arange(size) + 10**6}
    model.remember(**remembered, row=torch.arange(size), image_descriptors=rows, text_descriptors=rows)
    return model


if __name__ == "__main__":
    main(sys.argv[1:])
