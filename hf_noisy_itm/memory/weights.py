"""What weight each training pair received: the ledger behind the separation figures."""

import torch
from torch import Tensor, nn


class PairWeights(nn.Module):
    """Sum, count and last of the weights of N pairs; of a pair never seen, means are NaN and the last is 1."""

    def __init__(self, num_pairs: int):
        super().__init__()
        self.register_buffer("total", torch.zeros(num_pairs, dtype=torch.float64))
        self.register_buffer("own", torch.zeros(num_pairs, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(num_pairs, dtype=torch.long))
        self.register_buffer("last", torch.ones(num_pairs))

    @torch.no_grad()
    def add(self, index: Tensor, weight: Tensor, own: Tensor | None = None) -> None:
        """Adds one weight for each row of `index`, both (B,); a row may occur more than once.

        Args:
            index: rows.
            weight: that they were given.
            own: what the training alone said, (B,), which is kept as the last one; the weight, if left out.
        """
        index = index.to(self.count.device)
        self.total.index_add_(0, index, weight.to(self.total))
        self.count.index_add_(0, index, torch.ones_like(index))
        own = weight if own is None else own
        self.own.index_add_(0, index, own.to(self.own))
        self.last[index] = own.to(self.last)

    def mean(self) -> Tensor:
        """Mean weight of each pair, float64 (N,)."""
        return self.total / self.count

    def own_mean(self) -> Tensor:
        """Mean of what the training alone said, without a frozen scorer's trust and the data's weights, (N,)."""
        return self.own / self.count

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if f"{prefix}total" in state_dict:  # of before `own` was kept
            state_dict.setdefault(f"{prefix}own", state_dict[f"{prefix}total"])
        super()._load_from_state_dict(state_dict, prefix, *args)
