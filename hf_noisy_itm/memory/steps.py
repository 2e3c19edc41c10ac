"""How many steps, or batches, a model has seen: the clock by which methods draw."""

import torch
from torch import nn


class Steps(nn.Module):
    """A count that is saved with the model, so that a resumed run goes on with it; `functional.draws` takes it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.empty((), dtype=torch.long))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Starts at 0."""
        self.count.zero_()

    @torch.no_grad()
    def advance(self) -> None:
        """One more; to be called from a method's `step`, or from `remember`, which several batches of a step call."""
        self.count.add_(1)
