"""What training on the published data sets takes on one GPU, on paper: operations counted, minutes at a supposed rate.

    python recipes/benchmarks/published_cost.py [--rate 30e12] [--output FILE.json]

Operations are those that torch counts on CLIP ViT-B/32 (two for each multiplication and addition), for a picture and a
caption of 32 tokens; training takes three times as many as a forward pass. What a method takes times the control's
step is read from the benchmarks of NPC's and of FNE's step on a CPU; NPC (to choose its bank) and OSA have one forward
pass over all pairs before.
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from _measure import vit_b_32
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel

from hf_noisy_itm.files import write_json

RESULTS = Path(__file__).parent.parent / "results"
PAIRS = {"CC120K": 118_851, "Flickr30K": 145_000, "MSCOCO": 566_435}
ONE_CAPTION = ("CC120K",)  # so that no entry of the bank is in the batch
TOKENS, EPOCHS, OF_FORWARD = 32, 5, 3


def main(arguments: list[str]) -> None:
    """Counts, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=30e12, help="operations a second that a GPU sustains")
    parser.add_argument("--output", type=Path, default=RESULTS / "benchmark_published_cost.json")
    args = parser.parse_args(arguments)
    forward = operations()
    times = {name: _times(name in ONE_CAPTION) for name in PAIRS}
    lines = {}
    for name, pairs in PAIRS.items():
        once = pairs * sum(forward.values())
        training = once * EPOCHS * OF_FORWARD
        minutes = {
            method: (training * steps + once * passes) / args.rate / 60
            for method, (steps, passes) in times[name].items()
        }
        lines[name] = {"pairs": pairs, "operations of the control": training, "minutes": minutes}
        print(f"{name}: {training:.1e} operations, minutes { ({k: round(v) for k, v in minutes.items()}) }")
    steps = {name: {method: step for method, (step, _) in each.items()} for name, each in times.items()}
    write_json(
        args.output,
        {
            "command": ["recipes/benchmarks/published_cost.py", *arguments],
            "torch": version("torch"),
            "operations a second": args.rate,
            "forward": forward,
            "times the control's step": steps,
            "lines": lines,
        },
    )


def operations() -> dict[str, int]:
    """Of a forward pass of each tower on one input."""
    model = CLIPModel(CLIPConfig(**vit_b_32()))
    pixels, ids = torch.zeros(1, 3, 224, 224), torch.zeros(1, TOKENS, dtype=torch.long)
    counted = {}
    for name, call in (
        ("picture", lambda: model.get_image_features(pixel_values=pixels)),
        ("caption", lambda: model.get_text_features(input_ids=ids, attention_mask=torch.ones_like(ids))),
    ):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
        counted[name] = counter.get_total_flops()
    return counted


def _times(is_of_one_caption: bool) -> dict[str, tuple[float, int]]:
    """By method, its step over the control's, and its forward passes over all pairs before."""
    npc = _read("npc_step")["strangers" if is_of_one_caption else "bank"]["times the control"]
    return {
        "the control": (1.0, 0),
        "OSA": (1.0, 1),
        "NPC, each pair alone": (npc["each pair alone, half of the entries trained on"], 1),
        "FNE": (_read("fne_step")["times the control's step"], 0),
        "NPC, full form": (npc["full: all parameters move"], 1),
    }


def _read(name: str) -> dict:
    return json.loads((RESULTS / f"benchmark_{name}.json").read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
