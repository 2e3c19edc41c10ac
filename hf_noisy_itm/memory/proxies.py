"""Class proxies: one trained unit row for each class, which all modalities share."""

import torch
from torch import Tensor, nn

from ..functional.similarity import normalize


class Proxies(nn.Module):
    """K unit rows of width L; `project` makes them unit rows again after an optimizer step.

    Args:
        count: K.
        width: L.
    """

    def __init__(self, count: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Starts with orthogonal rows, as MRL's code does; with random ones where there are more than dimensions."""
        if len(self.weight) <= self.weight.shape[1]:
            nn.init.orthogonal_(self.weight)
        else:
            nn.init.normal_(self.weight)
            self.project()

    @torch.no_grad()
    def take(self, rows: Tensor) -> None:
        """Starts with these rows, (K, L), scaled to unit length."""
        self.weight.copy_(normalize(rows))

    @torch.no_grad()
    def project(self) -> None:
        """Scales all rows to unit length."""
        self.weight.copy_(normalize(self.weight))
