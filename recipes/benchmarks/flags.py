"""What flags of a training cost or save on a CPU: bf16, checkpointing, the fused optimizer, compiling, short captions.

    OMP_NUM_THREADS=1 python recipes/benchmarks/flags.py [--compile] [--output FILE.json]

One step of the control, forward, backward and AdamW, on a CLIP of ViT-B/32's shape with fewer layers: median seconds
in turns over those of the plain step, and MB of tensors at the peak of forward and backward beyond model, gradients
and inputs. The plain step has captions of 16 tokens, as long as the longest of a batch is apt to be; the collator pads
no further, and CLIP's own processor is often told to pad to 77.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from _measure import machine, take_turns, vit_b_32
from torch.distributed._tools.mem_tracker import MemTracker  # noqa: TID251

from hf_noisy_itm.files import write_json
from hf_noisy_itm.methods import BaselineConfig, BaselineModel

RESULT = Path(__file__).parent.parent / "results" / "benchmark_flags.json"
SHORT, LONG = 16, 77


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--compile", action="store_true", help="also what torch.compile makes, which takes minutes")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    short, long = batch_of(args.batch, SHORT), batch_of(args.batch, LONG)
    plain = model_of(args.layers)
    thrifty = model_of(args.layers)
    thrifty.activation_checkpointing_enable()
    ways = {
        "plain": step_of(plain, short),
        "bf16": step_of(plain, short, half=True),
        "gradient_checkpointing": step_of(thrifty, short),
        "optim adamw_torch": step_of(plain, short, fused=False),
        f"captions padded to {LONG}": step_of(plain, long),
    }
    figures = {"machine": machine("torch", "transformers"), "command": sys.argv, "layers": args.layers}
    if args.compile:
        ways["torch_compile"] = step_of(torch.compile(model_of(args.layers)), short)
        start = time.perf_counter()
        ways["torch_compile"]()
        figures["seconds of the first compiled step"] = time.perf_counter() - start
    seconds = {name: median(each) for name, each in take_turns(ways, args.repeats).items()}
    figures |= {
        "batch": args.batch,
        "seconds": seconds,
        "times the plain step": {name: each / seconds["plain"] for name, each in seconds.items()},
        "MB": {"plain": peak(plain, short), "gradient_checkpointing": peak(thrifty, short)},
    }
    write_json(args.output, figures)
    for name, times in figures["times the plain step"].items():
        print(f"{name}: {times:.2f} times the plain step")
    print(", ".join(f"{name}: {megabytes:.0f} MB" for name, megabytes in figures["MB"].items()))


def model_of(layers: int) -> BaselineModel:
    """The same weights each time."""
    torch.manual_seed(0)
    return BaselineModel(BaselineConfig(**vit_b_32(layers))).train()


def batch_of(size: int, tokens: int) -> dict:
    """Random pictures and captions."""
    pixels = torch.randn(size, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return {"pixel_values": pixels, "input_ids": torch.randint(1, 400, (size, tokens))}


def step_of(model: torch.nn.Module, inputs: dict, half: bool = False, fused: bool = True) -> Callable[[], None]:
    """Forward, backward and AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=fused)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()

    return step


def peak(model: BaselineModel, inputs: dict) -> float:
    """MB of tensors at the most in forward and backward, beyond model, gradients and inputs."""
    model.zero_grad(set_to_none=False)
    there = [*model.parameters(), *(each.grad for each in model.parameters()), *inputs.values()]
    tracker = MemTracker()
    tracker.track_external(model, *there)
    with tracker:
        model(**inputs).loss.backward()
    total = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    return (total - sum(each.untyped_storage().nbytes() for each in there)) / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
