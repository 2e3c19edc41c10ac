"""Centres of clusters that move with the embeddings: where pseudo labels come from."""

import torch
from torch import Tensor, nn

from ..functional.assignment import balanced_assignment
from ..functional.similarity import inner_products, normalize


class Prototypes(nn.Module):
    """K clusters, each known by its centre in the space of one branch, and by its centre in that of another.

    Rows are assigned by the first branch, and the second is to tell which assignment that was. A centre is the fading
    mean of what was assigned to it; it starts as one of the first K pairs, the mean of picture and caption.
    Pictures and captions share the clusters, but are balanced apart, so that no cluster is of one kind alone.

    Args:
        count: K.
        width: D, of either branch.
        momentum: what remains of a centre at each update, in [0, 1).
        temperature: of the assignment, in deviations of the cosines: where embeddings move together in training, an
            assignment stays as sharp, else centres would become the mean of all.
    """

    def __init__(self, count: int, width: int, momentum: float, temperature: float):
        super().__init__()
        self.momentum, self.temperature = momentum, temperature
        self.register_buffer("centres", torch.empty(count, width))
        self.register_buffer("other_centres", torch.empty(count, width))
        self.register_buffer("filled", torch.empty((), dtype=torch.long))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Knows none."""
        self.centres.zero_()
        self.other_centres.zero_()
        self.filled.zero_()

    @property
    def are_there(self) -> Tensor:
        """Whether all K have started, a bool scalar on the device; until then an assignment means nothing."""
        return self.filled >= len(self.centres)

    @torch.no_grad()
    def assign(self, embeds: Tensor) -> Tensor:
        """Soft labels of unit rows of one modality, those of all processes: (G, D) -> float32 (G, K)."""
        cosines = inner_products(embeds, self.centres)
        standing = cosines - cosines.mean(dim=1, keepdim=True)
        deviation = standing.square().mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
        return balanced_assignment(standing / deviation, self.temperature).float()

    @torch.no_grad()
    def update(self, embeds: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> None:
        """Moves to the rows of a step.

        Args:
            embeds: unit rows of all processes by the first branch, (G, D) for each modality.
            others: the same by the other branch.
        """
        share = torch.cat([self.assign(rows) for rows in embeds]).T  # (K, M G)
        for centres, rows in ((self.centres, embeds), (self.other_centres, others)):
            means = normalize(inner_products(share, torch.cat(rows).T))
            moved = normalize(self.momentum * centres + (1 - self.momentum) * means)
            started = self._started(centres, normalize(torch.stack(rows).sum(dim=0)))
            centres.copy_(torch.where(self.are_there, moved, started))
        self.filled.add_(len(embeds[0])).clamp_(max=len(self.centres))

    def _started(self, centres: Tensor, pairs: Tensor) -> Tensor:
        """The centres that have not started are the next pairs, as far as there are any."""
        source = torch.arange(len(centres), device=centres.device) - self.filled
        fresh = pairs[source.clamp(0, len(pairs) - 1)]
        return torch.where(((source >= 0) & (source < len(pairs)))[:, None], fresh, centres)
