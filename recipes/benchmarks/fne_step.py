"""What FNE adds to a training step: a twin's forward pass, and loss, draw and queue over many candidates.

    python recipes/benchmarks/fne_step.py [--batch 8] [--large 128] [--queue 65536] [--output FILE.json]

A CLIP of ViT-B/32's shape with random weights, control and FNE in turns in one process, one optimizer step each; and
the control whose wrong answers are weighed by FNE's posterior (`--negatives fne`). Apart from that, in the same
rounds: what loss, statistics, draw and queue take with the embeddings given (forward, backward, remembering), which is
what grows with the queue; also for a large batch, whose towers would take too long here. It is set beside as many of
the control's steps as there are small batches in the large one.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

import torch
from _measure import machine, take_turns, vit_b_32

from hf_noisy_itm.files import write_json
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, FNEConfig, FNEModel, NoisyITMModel

RESULT = Path(__file__).parent.parent / "results" / "benchmark_fne_step.json"


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--large", type=int, default=128, help="batch of which loss, draw and queue alone are measured"
    )
    parser.add_argument("--queue", type=int, default=65_536)
    parser.add_argument("--layers", type=int, default=12, help="of both towers; 12 is ViT-B/32")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, after one that does not count")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    plain = vit_b_32(args.layers)
    torch.manual_seed(0)
    control = BaselineModel(BaselineConfig(**plain)).train()
    fne = filled(FNEModel(FNEConfig(**plain, queue_size=args.queue, min_right_pairs=1)).train())
    weighed = BaselineModel(BaselineConfig(**plain, negatives="fne", min_right_pairs=1)).train()
    know_something(weighed)
    names = {loss: f"fne, {loss}: loss, draw and queue" for loss in ("triplet", "infonce")}
    large_names = {loss: f"{name}, batch of {args.large}" for loss, name in names.items()}
    models = {"control": control, "fne": fne, "control, negatives=fne": weighed}
    ways = {name: Step(model, args.batch) for name, model in models.items()}
    ways |= {name: Extra(fne, args.batch, loss) for loss, name in names.items()}
    ways |= {name: Extra(fne, args.large, loss) for loss, name in large_names.items()}
    seconds = take_turns(ways, args.repeats)
    medians = {name: median(times) for name, times in seconds.items()}

    def times(name: str, other: str, factor: float = 1.0) -> float:
        return median(a / (factor * b) for a, b in zip(seconds[name], seconds[other]))

    ratio, weighed_ratio = times("fne", "control"), times("control, negatives=fne", "control")
    shares = {loss: times(name, "fne") for loss, name in names.items()}
    large = {loss: times(name, "control", args.large / args.batch) for loss, name in large_names.items()}
    figures = {
        "machine": machine("torch", "transformers"),
        "command": sys.argv,
        "batch": args.batch,
        "queue": args.queue,
        "parameters": control.num_parameters(),
        "seconds": medians,
        "times the control's step": ratio,
        "times the control's step, negatives=fne": weighed_ratio,
        "share of loss, draw and queue": shares,
        "large": {"batch": args.large, "loss, draw and queue, times as many of the control's steps": large},
    }
    write_json(args.output, figures)
    print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()))
    for name, value in medians.items():
        print(f"{name:56s} {value:8.3f} s")
    parts, large_parts = (", ".join(f"{loss} {part:.1%}" for loss, part in each.items()) for each in (shares, large))
    print(f"FNE takes {ratio:.2f} times the control's step; of its step, loss, draw and queue take: {parts}")
    print(
        f"In a batch of {args.large} they take, of {args.large / args.batch:g} of the control's steps: {large_parts}"
    )
    print(f"The control with negatives=fne takes {weighed_ratio:.2f} times the control's step")


def filled(model: FNEModel) -> FNEModel:
    """With a full queue of random unit rows, and moments of a model that knows something."""
    size = len(model.queue)
    rows = torch.nn.functional.normalize(torch.randn(size, model.config.projection_dim), dim=1)
    model.queue.push(rows, rows, torch.arange(size) + 10**6, torch.arange(size))
    know_something(model)
    return model


def know_something(model: NoisyITMModel) -> None:
    """Right pairs and wrong answers, as if it had seen them."""
    own = torch.linspace(0.0, 0.2, 100)
    model.match_moments.add(own, torch.stack([own - 0.05, own - 0.1]))


class Step:
    """One optimizer step as the trainer takes it."""

    def __init__(self, model, batch: int):
        self.model = model
        self.optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-5)
        pixels = model.config.vision_config.image_size
        self.batch = {
            "pixel_values": torch.randn(batch, 3, pixels, pixels),
            "input_ids": torch.randint(10, 40_000, (batch, 32)),
            "image_id": torch.arange(batch),
            "index": torch.arange(batch),
        }
        self.batch["input_ids"][:, -1] = model.config.text_config.eos_token_id

    def __call__(self) -> None:
        """Takes it."""
        output = self.model(**self.batch)
        output.loss.backward()
        self.model.remember(**{name: rows.detach() for name, rows in (output.to_remember or {}).items()})
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.model.step()


class Extra:
    """The same from the embeddings on: no tower runs, forward or backward."""

    def __init__(self, model: FNEModel, batch: int, loss: str):
        self.model, self.batch, self.loss = model, Step(model, batch).batch, loss
        width = model.config.projection_dim
        self.embeds = [torch.nn.functional.normalize(torch.randn(batch, width), dim=1) for _ in range(4)]

    def __call__(self) -> None:
        """Takes it, and leaves the model as it was but for its queue and statistics."""
        images, texts = (each.clone().requires_grad_() for each in self.embeds[:2])
        embed, twin, loss = self.model.embed, self.model.twin.embed, self.model.config.loss
        self.model.config.loss = self.loss
        self.model.embed, self.model.twin.embed = lambda _: (images, texts), lambda _, chunk: tuple(self.embeds[2:])
        try:
            output = self.model(**self.batch)
            output.loss.backward()
            self.model.remember(**{name: rows.detach() for name, rows in output.to_remember.items()})
        finally:
            self.model.embed, self.model.twin.embed, self.model.config.loss = embed, twin, loss


if __name__ == "__main__":
    main(sys.argv[1:])
