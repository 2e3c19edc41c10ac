"""Centres of clusters that move with the embeddings: where pseudo labels come from."""

import torch
from torch import Tensor, nn

from ..functional.assignment import balanced_assignment
from ..functional.similarity import inner_products, normalize


class Prototypes(nn.Module):
    """K unit rows, each the fading mean of the embeddings that were assigned to it.

    They start as the first K pairs that are seen, each the mean of its picture and its caption; until then there is
    no assignment to learn from. Pictures and captions have the same prototypes, but are balanced apart, so that no
    cluster is of one kind alone.

    Args:
        count: K.
        width: D.
        momentum: what remains of a prototype at each update, in [0, 1).
        temperature: of the assignment, in cosines.
    """

    def __init__(self, count: int, width: int, momentum: float, temperature: float):
        super().__init__()
        self.momentum, self.temperature = momentum, temperature
        self.register_buffer("rows", torch.empty(count, width))
        self.register_buffer("filled", torch.empty((), dtype=torch.long))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Knows none."""
        self.rows.zero_()
        self.filled.zero_()

    @property
    def are_there(self) -> Tensor:
        """Whether all K have started, a bool scalar on the device."""
        return self.filled >= len(self.rows)

    @torch.no_grad()
    def assign(self, embeds: Tensor) -> Tensor:
        """Soft labels of unit rows of one modality, those of all processes: (G, D) -> float32 (G, K)."""
        return balanced_assignment(inner_products(embeds, self.rows), self.temperature).float()

    @torch.no_grad()
    def update(self, *modalities: Tensor) -> None:
        """Moves to the embeddings of a step.

        Args:
            modalities: unit rows of all processes, (G, D) for each modality.
        """
        embeds = torch.cat(modalities)
        wanted = torch.cat([self.assign(rows) for rows in modalities])  # (M G, K)
        moved = normalize(inner_products(wanted.T, embeds.T))
        moved = normalize(self.momentum * self.rows + (1 - self.momentum) * moved)
        pairs = normalize(torch.stack(modalities).sum(dim=0))
        self.rows.copy_(torch.where(self.are_there, moved, self._started(pairs)))
        self.filled.add_(len(pairs)).clamp_(max=len(self.rows))

    def _started(self, pairs: Tensor) -> Tensor:
        """The rows that have not started are the next pairs, as far as there are any."""
        source = torch.arange(len(self.rows), device=self.rows.device) - self.filled
        fresh = pairs[source.clamp(0, len(pairs) - 1)]
        return torch.where(((source >= 0) & (source < len(pairs)))[:, None], fresh, self.rows)
