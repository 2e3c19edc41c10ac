"""Count, mean and spread of a growing number of values, merged without loss of precision and without a loop."""

from typing import NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """Of a set of values, in float64.

    Args:
        count: how many; not whole where old values fade.
        mean: of the values; 0 where there are none.
        square: sum of squared deviations from the mean (Welford's M2).
        seen: how many there ever were; `count` unless old values fade.
    """

    count: Tensor
    mean: Tensor
    square: Tensor
    seen: Tensor

    @property
    def variance(self) -> Tensor:
        """`square / (count - 1)`, and 0 below two values."""
        return torch.where(self.count > 1, self.square / (self.count - 1), 0.0)


def moments_of(values: Tensor, counted: Tensor) -> Moments:
    """Of those values that are counted; the others may be anything, infinite too.

    Args:
        values: any shape.
        counted: bool, of the same shape.

    Returns:
        Scalars.
    """
    values = values.double().masked_fill(~counted, 0.0)
    count = counted.sum().double()
    mean = values.sum() / count.clamp(min=1)
    return Moments(count, mean, (values - mean).masked_fill(~counted, 0.0).square().sum(), count)


def merge(past: Moments, new: Moments, exact: bool = True) -> Moments:
    """Of both sets together (Chan, Golub & LeVeque 1983).

    Args:
        past: of any shape.
        new: of the same shape.
        exact: False leaves out by how much the mean of the past moves, as FNE's released code does: it adds the
            squared deviations of the new values from the new mean to a sum that belongs to older means.
    """
    count = past.count + new.count
    mean = past.mean + (new.mean - past.mean) * (new.count / count.clamp(min=1e-300))
    square = past.square + new.square + new.count * (new.mean - mean).square()
    if exact:
        square = square + past.count * (past.mean - mean).square()
    return Moments(count, mean, square, past.seen + new.seen)


def pooled_deviation(one: Moments, other: Moments, unknown: float) -> Tensor:
    """Root of the mean of both variances, float32; `unknown` where it is 0, or either has fewer than two values."""
    spread = ((one.variance + other.variance) / 2).sqrt()
    known = (one.count > 1) & (other.count > 1) & (spread > 0)
    return torch.where(known, spread, unknown).float()


def fade(past: Moments, kept: float) -> Moments:
    """The same values, each counted `kept` times as much, in (0, 1]; then newer ones weigh more."""
    return Moments(past.count * kept, past.mean, past.square * kept, past.seen)
