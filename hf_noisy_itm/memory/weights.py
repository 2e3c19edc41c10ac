"""What weight each training pair received: the ledger behind the separation figures."""

import torch
from torch import Tensor, nn


class PairWeights(nn.Module):
    """Sum and count of the weights of N pairs; `mean` is NaN for a pair that was never seen."""

    def __init__(self, num_pairs: int):
        super().__init__()
        self.register_buffer("total", torch.zeros(num_pairs, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(num_pairs, dtype=torch.long))

    @torch.no_grad()
    def add(self, index: Tensor, weight: Tensor) -> None:
        """Adds one weight for each row of `index`, both (B,); a row may occur more than once."""
        index = index.to(self.count.device)
        self.total.index_add_(0, index, weight.to(self.total))
        self.count.index_add_(0, index, torch.ones_like(index))

    def mean(self) -> Tensor:
        """Mean weight of each pair, float64 (N,)."""
        return self.total / self.count
