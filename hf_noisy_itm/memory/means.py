"""Means of what methods report, between two lines of the log."""

import torch
from torch import Tensor


class RunningMeans:
    """Sum and number of values by name, on the device that they come from: adding waits for nothing."""

    def __init__(self):
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Adds values of any shape; NaN stands for none."""
        there = ~values.isnan()
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = (total + torch.where(there, values, 0.0).sum(), count + there.sum())

    def take(self) -> dict[str, float]:
        """The mean of each name that has had a value since this was last asked."""
        means = {name: (total / count).item() for name, (total, count) in self._sums.items() if count}
        self._sums.clear()
        return means
