"""What weight each training pair received: the ledger behind the separation figures."""

import torch
from torch import Tensor, nn


class PairWeights(nn.Module):
    """Sum, count and last of the weights of N pairs; of a pair never seen, `mean` is NaN and the last is 1."""

    def __init__(self, num_pairs: int):
        super().__init__()
        self.register_buffer("total", torch.zeros(num_pairs, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(num_pairs, dtype=torch.long))
        self.register_buffer("last", torch.ones(num_pairs))

    @torch.no_grad()
    def add(self, index: Tensor, weight: Tensor, last: Tensor | None = None) -> None:
        """Adds one weight for each row of `index`, both (B,); a row may occur more than once.

        Args:
            index: rows.
            weight: that they were given.
            last: what is kept as the last one, (B,), if that is not the weight.
        """
        index = index.to(self.count.device)
        self.total.index_add_(0, index, weight.to(self.total))
        self.count.index_add_(0, index, torch.ones_like(index))
        self.last[index] = (weight if last is None else last).to(self.last)

    def mean(self) -> Tensor:
        """Mean weight of each pair, float64 (N,)."""
        return self.total / self.count
