"""Running means of gradients that are looked at and never applied: AdamW's state beside that of the real optimizer."""

import torch
from torch import Tensor, nn

from ..functional.optim import adamw_moments
from .steps import Steps


class GradientMoments(nn.Module):
    """First and second moments by name of parameter, and the number of steps they have seen; saved with the model.

    They are read while a batch is looked at, and written after the optimizer's step, from the mean of all gradients
    noted since the last: a batch that is accumulated from parts counts once, like a large one.

    Args:
        parameters: by name. One that comes later (an adapter) starts from zero at its first gradient.
    """

    def __init__(self, parameters: dict[str, Tensor]):
        super().__init__()
        self.steps = Steps()
        for name, parameter in parameters.items():
            self._add(name, parameter)
        self._noted: dict[str, tuple[Tensor, int, tuple[float, float]]] = {}  # sum, number, betas; not of the state

    @torch.no_grad()
    def reset(self) -> None:
        """Starts as if no gradient had been seen."""
        self._noted.clear()
        for moment in self.buffers(recurse=False):
            moment.zero_()

    def of(self, name: str) -> tuple[Tensor | None, Tensor | None]:
        """Means of a parameter's gradients and of their squares; None before its first."""
        return tuple(self._buffers.get(key) for key in _keys(name))

    def note(self, name: str, gradient: Tensor, betas: tuple[float, float]) -> None:
        """Lays a gradient aside until the next `update`, which will decay the means by `betas`."""
        total, number, _ = self._noted.get(name, (0.0, 0, betas))
        self._noted[name] = (total + gradient, number + 1, betas)

    @torch.no_grad()
    def update(self) -> None:
        """Takes in what was noted: one step, or none if there was no gradient."""
        if not self._noted:
            return
        for name, (total, number, betas) in self._noted.items():
            if self.of(name)[0] is None:
                self._add(name, total)
            moments = self.of(name)
            for moment, value in zip(moments, adamw_moments(total / number, *moments, betas)):
                moment.copy_(value)
        self._noted.clear()
        self.steps.advance()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Makes room for what came later when it was saved."""
        self._noted.clear()
        for key, moment in state_dict.items():
            if key.startswith(prefix) and "." not in (name := key.removeprefix(prefix)) and name not in self._buffers:
                self.register_buffer(name, torch.zeros_like(moment, device=self.steps.count.device))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _add(self, name: str, like: Tensor) -> None:
        for key in _keys(name):
            self.register_buffer(key, torch.zeros_like(like))


def _keys(name: str) -> tuple[str, str]:
    """Names of buffers, which must not contain a dot."""
    path = name.replace(".", "/")
    return f"exp_avg:{path}", f"exp_avg_sq:{path}"
