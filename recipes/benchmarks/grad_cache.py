"""Batches in chunks (GradCache): memory against batch size at one chunk, and the time of the extra forward pass.

    python recipes/benchmarks/grad_cache.py [--chunk 128] [--batches 256 1024 4096] [--output FILE.json]

A CLIP of ViT-B/32's depth and tokens but narrower, so that 4,096 pairs pass a CPU: one forward and backward pass of
the control. Memory is that of all tensors at the peak, beyond model, gradients and inputs, the loss's own matrices of
pairs by pairs included; counted by torch, since what the process holds depends on how its allocator reuses it. Time is
measured in turns, a batch in chunks over the same batch as a whole.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

import torch
from _measure import machine, take_turns
from torch.distributed._tools.mem_tracker import MemTracker  # noqa: TID251
from transformers import CLIPConfig

from hf_noisy_itm.files import write_json
from hf_noisy_itm.methods import BaselineConfig, BaselineModel

RESULT = Path(__file__).parent.parent / "results" / "benchmark_grad_cache.json"
TOKENS = 32


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunk", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--time_batch", type=int, default=512)
    parser.add_argument("--time_chunk", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of the timing, after one that does not count")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    model, memory = small(args.layers, args.width), {}
    for batch in args.batches:
        memory[batch] = peak(model, batch_of(batch), args.chunk)
        print(f"batch {batch}: {memory[batch]:.0f} MB in chunks of {args.chunk}", flush=True)
    inputs = batch_of(args.time_batch)
    ways = {
        "whole": lambda: step(model, inputs, None),
        "in chunks": lambda: step(model, inputs, args.time_chunk),
    }
    seconds = take_turns(ways, args.repeats)
    ratio = median(a / b for a, b in zip(seconds["in chunks"], seconds["whole"]))
    figures = {
        "machine": machine("torch", "transformers"),
        "command": sys.argv,
        "layers": args.layers,
        "width": args.width,
        "chunk": args.chunk,
        "MB beyond model, gradients and inputs, by batch": memory,
        "timed": {"batch": args.time_batch, "chunk": args.time_chunk},
        "seconds": {name: median(times) for name, times in seconds.items()},
        "times the whole batch's step": ratio,
    }
    write_json(args.output, figures)
    print(f"batch {args.time_batch} in chunks of {args.time_chunk}: {ratio:.2f} times the step of the whole batch")


def small(layers: int, width: int) -> BaselineModel:
    """50 tokens of a picture, as ViT-B/32 has them, 32 of a caption, heads of 64."""
    torch.manual_seed(0)
    shape = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width}
    shape["num_attention_heads"] = width // 64
    plain = CLIPConfig(text_config=shape, vision_config={**shape, "image_size": 112, "patch_size": 16}).to_dict()
    return BaselineModel(BaselineConfig(**{key: value for key, value in plain.items() if key != "model_type"})).train()


def batch_of(size: int) -> dict:
    """Random pictures and captions."""
    return {"pixel_values": torch.randn(size, 3, 112, 112), "input_ids": torch.randint(1, 400, (size, TOKENS))}


def step(model: BaselineModel, inputs: dict, chunk: int | None) -> None:
    """Forward and backward."""
    model.zero_grad(set_to_none=False)
    model.embed_in_chunks(chunk)
    model(**inputs).loss.backward()


def peak(model: BaselineModel, inputs: dict, chunk: int) -> float:
    """MB of tensors at the most, beyond model, gradients and inputs."""
    step(model, {name: rows[:4] for name, rows in inputs.items()}, None)  # makes the gradients
    there = [*model.parameters(), *(each.grad for each in model.parameters()), *inputs.values()]
    tracker = MemTracker()
    tracker.track_external(model, *there)
    with tracker:
        step(model, inputs, chunk)
    total = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    return (total - sum(each.untyped_storage().nbytes() for each in there)) / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
