"""Runs a model's last blocks again on what the first ones made before: for virtual steps that move the last ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def recorded(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Keeps what the last of the layers puts out, without its graph; there may be no layers.

    Yields:
        A list that holds the outputs once they have run, one of each pass.
    """
    outputs: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda *seen: outputs.append(seen[2].detach())) for layer in layers[-1:]]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def replayed(layers: Sequence[nn.Module], outputs: Sequence[Tensor]) -> Iterator[None]:
    """Lets the layers pass on what was recorded instead of working, pass by pass."""
    each = iter(outputs)

    def pass_on(hidden: Tensor, *args, **kwargs) -> Tensor:
        return hidden

    def put_out(*args, **kwargs) -> Tensor:
        return next(each)

    try:
        for layer in layers:
            layer.forward = put_out if layer is layers[-1] else pass_on
        yield
    finally:
        for layer in layers:
            del layer.forward  # of the instance; the class's own comes back
