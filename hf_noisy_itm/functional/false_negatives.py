"""Which candidates may be right answers that nobody gave: FNE's posterior, weights, draw and hinge, without a loop.

Everything is made of cosines of anchors with candidates, (B, K). Two normal distributions tell what is right from what
is wrong: similarities of pairs that a batch answers rightly, and of their hardest wrong answers.

Source: Li et al., Your Negative May not Be True Negative: Boosting Image-Text Matching with False Negative Elimination
(ACM MM 2023), https://arxiv.org/abs/2308.04380, and facts about its released code; the equations and their limits are
ours where a function says so.
"""

import math

import torch
from torch import Tensor

from .moments import Moments, moments_of

_FINEST = 2**30  # of the largest weight: so small a weight is still drawn
_SMALLEST_VARIANCE = 1e-8  # a deviation of 0.0001 of a cosine


def right_and_wrong(own: Tensor, hardest: Tensor, zero_own: bool = False) -> tuple[Moments, Moments]:
    """Moments of right pairs and of their hardest wrong answers.

    A pair is right if picture and caption find each other among all of the batch; a tie is no find.

    Args:
        own: similarity of each pair, (G,).
        hardest: of its picture's hardest wrong caption, and of its caption's hardest wrong picture, (2, G); -inf where
            there is none.
        zero_own: a hardest wrong answer below zero counts as zero (FNE's released code, which sets a pair's own
            similarity to zero and takes the maximum).

    Returns:
        Of n right pairs, and of up to 2 n wrong answers.
    """
    there = hardest.isfinite()
    right = (own > hardest.amax(dim=0)) & there.any(dim=0)
    counted = right & there
    return moments_of(own, right), moments_of(hardest.clamp(min=0) if zero_own else hardest, counted)


def match_log_odds(
    cosines: Tensor, right: Moments, wrong: Moments, prior: float, at_least: float, monotone: bool = True
) -> Tensor:
    """Logarithm of the odds that a candidate is a right answer, by Bayes' rule.

    `log N(s; right) - log N(s; wrong) + log(prior / (1 - prior))`, in logarithms, so that far from both means it does
    not become 0 / 0. The posterior is its sigmoid, and `logsigmoid` of its negative the logarithm of one minus that.

    Args:
        cosines: (B, K).
        right: of right pairs, scalars.
        wrong: of wrong ones.
        prior: chance that a candidate is a right answer, in (0, 1); FNE's code has 1 / 10,000.
        at_least: so many right pairs must have been seen (more than that), else the odds are -inf. Those that have
            faded count: what is left of them tends to a limit that may lie below.
        monotone: a more similar candidate is never less suspicious. With unequal variances the odds are a parabola; it
            is followed on the rising side only and constant beyond its vertex (ours).

    Returns:
        float32 (B, K).
    """
    spread_right, spread_wrong = (each.variance.clamp(min=_SMALLEST_VARIANCE) for each in (right, wrong))
    shift = right.mean - wrong.mean
    # A parabola in x = s - mean of the wrong ones.
    bend = 1 / (2 * spread_wrong) - 1 / (2 * spread_right)
    slope = shift / spread_right
    base = math.log(prior / (1 - prior)) + (spread_wrong / spread_right).log() / 2
    base = base - shift.square() / (2 * spread_right)
    known = (right.seen > at_least) & (right.count > 1) & (wrong.count > 1)
    zero = torch.zeros_like(bend)
    bend, slope, base = (
        torch.where(known, number, otherwise).float()
        for number, otherwise in ((bend, zero), (slope, zero), (base, zero - torch.inf))
    )
    offset = cosines.float() - wrong.mean.float()
    if monotone:
        vertex = -slope / (2 * bend)
        low = torch.where(bend > 0, vertex, -torch.inf)
        high = torch.where(bend < 0, vertex, torch.inf)
        offset = offset.clamp(low, high)
    return (offset * bend).add_(slope).mul_(offset).add_(base)


def sampling_log_weights(
    cosines: Tensor,
    own: Tensor,
    log_odds: Tensor,
    excluded: Tensor,
    floor: Tensor | float,
    elimination: float,
    cut_down: float,
    threshold: float,
    unit: Tensor | float = 1.0,
) -> Tensor:
    """Logarithm of how often each candidate is drawn as a negative, up to a summand per row.

    `-elimination * P` where the posterior P is above the threshold; else `-cut_down * (s - s_own)^2`, which spares
    easy candidates; -inf where excluded, and where the similarity is not above the floor.

    Args:
        cosines: (B, K).
        own: similarity of each anchor's right answer, (B,).
        log_odds: of `match_log_odds`, (B, K).
        excluded: candidates that must not be drawn, bool (B, K).
        floor: of the window of similarities, a scalar or (B, 1).
        elimination: >= 0; FNE's code has 0.5.
        cut_down: >= 0; 0.5 likewise.
        threshold: of the posterior; 0.001 likewise.
        unit: of similarity in the cut-down, > 0; FNE's code has 1.

    Returns:
        float32 (B, K), at most 0.
    """
    posterior = log_odds.sigmoid()
    easy = ((cosines - own[:, None]) / unit).square_().mul_(cut_down)
    log_weight = torch.where(posterior > threshold, elimination * posterior, easy).neg_()
    return log_weight.masked_fill_(excluded | (cosines <= floor), -torch.inf)


def draw(log_weight: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """One column of each row, drawn in proportion to the weights: the inverse of their distribution function.

    However small the weights of a row are, one is drawn. They are summed as whole numbers, so a weight of zero is
    never drawn, whatever the order of summation of a device; and a weight below a 2**30th of its row's largest counts
    as zero.

    Args:
        log_weight: logarithms of weights, (B, K), -inf where a column must not be drawn.
        number: uniform in [0, 1), (B,).

    Returns:
        Columns, int64 (B,), and whether there was one to draw, bool (B,); the column means nothing where not.
    """
    largest = log_weight.amax(dim=1, keepdim=True)
    largest = torch.where(largest.isfinite(), largest, 0.0)  # of a row without any
    parts = ((log_weight - largest).exp_() * _FINEST).long()
    reached = parts.cumsum(dim=1)
    total = reached[:, -1:]
    wanted = (number.double()[:, None] * total).long()
    column = torch.searchsorted(reached, wanted, right=True).squeeze(1)
    return column.clamp(max=log_weight.shape[1] - 1), total.squeeze(1) > 0


def hardest(cosines: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
    """The most similar candidate of each row that is not excluded.

    Args:
        cosines: (B, K).
        excluded: bool (B, K).

    Returns:
        Similarities, (B,), -inf where all are excluded; and columns, int64 (B,).
    """
    found = cosines.masked_fill(excluded, -torch.inf).max(dim=1)
    return found.values, found.indices


def triplet_hinge(own: Tensor, other: Tensor, margin: Tensor | float) -> Tensor:
    """`[margin + s_other - s_own]_+` of each anchor, any shape (VSE++, Faghri et al. 2018)."""
    return (margin + other - own).clamp(min=0)
