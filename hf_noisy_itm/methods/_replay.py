"""Runs a model's last blocks again on what the first ones made before: for virtual steps that move the last ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def recorded(stacks: Sequence[Sequence[nn.Module]]) -> Iterator[list]:
    """Keeps what the last layer of each stack puts out, without its graph; a stack may be empty.

    Yields:
        One output for each stack, once it has run.
    """
    outputs: list = [None] * len(stacks)

    def keep(place: int):
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            outputs[place] = output.detach()

        return hook

    hooks = [layers[-1].register_forward_hook(keep(place)) for place, layers in enumerate(stacks) if layers]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def replayed(stacks: Sequence[Sequence[nn.Module]], outputs: Sequence[Tensor | None]) -> Iterator[None]:
    """Lets the layers of each stack pass on what was recorded instead of working."""

    def pass_on(hidden: Tensor, *args, **kwargs) -> Tensor:
        return hidden

    def put_out(output: Tensor):
        return lambda *args, **kwargs: output

    try:
        for layers, output in zip(stacks, outputs):
            for layer in layers:
                layer.forward = put_out(output) if layer is layers[-1] else pass_on
        with torch.no_grad():
            yield
    finally:
        for layer in (layer for layers in stacks for layer in layers):
            del layer.forward  # of the instance; the class's own comes back
