"""Weights of pairs from the cosines that a frozen scorer gives them (OSA, arXiv 2410.01944): three forms."""

import torch
from torch import Tensor


def trust_of_paper(cosine: Tensor, wrong: Tensor) -> Tensor:
    """`w = d^2 (1 - d)` with `d = s - b`, and 0 where `s <= b`: the paper's form.

    It falls again beyond `d = 2/3`, where it is 4/27, and would be negative beyond 1: there it is 0 here.

    Args:
        cosine: `s`, of each pair by the scorer, any shape.
        wrong: `b`, mean cosine of pairs of random partners, of that shape or a scalar.

    Returns:
        In [0, 4/27], of the shape of `cosine`.
    """
    distance = (cosine - wrong).clamp(min=0, max=1)
    return distance.square() * (1 - distance)


def trust_as_released(excess: Tensor, largest: Tensor) -> Tensor:
    """`w = x^2 (1 - x^2)` with `x` the excess as a share of the batch's largest: what the released code computes.

    So the most confident pair of every batch has weight 0, and a weight depends on whom the pair meets.

    Args:
        excess: logit of each pair above that of noise, 0 where it is below, (B,).
        largest: of the excesses of the whole batch, a scalar.

    Returns:
        In [0, 1/4], (B,); all 0 where no pair is above noise.
    """
    share = excess / largest.clamp(min=torch.finfo(torch.float32).tiny)
    return share.square() * (1 - share.square())


def trust_monotone(cosine: Tensor, wrong: Tensor, confident: Tensor) -> Tensor:
    """Smoothstep from pairs of random partners, 0, to those that the scorer is confident of, 1 (ours).

    Args:
        cosine: of each pair by the scorer, any shape.
        wrong: mean cosine of pairs of random partners.
        confident: mean cosine of the pairs that are taken for right; above `wrong`.

    Returns:
        In [0, 1], of the shape of `cosine`; it never falls where the cosine rises.
    """
    place = ((cosine - wrong) / (confident - wrong)).clamp(0, 1)
    return place.square() * (3 - 2 * place)
