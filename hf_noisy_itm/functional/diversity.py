"""How much each wrong answer counts in a contrastive loss: all alike, or the more the harder it is for its anchor.

CODER (Wang et al., ECCV 2022, https://arxiv.org/abs/2208.09843) weighs negatives adaptively and calls that diversity
sensitive. Only the abstract of the paper is known to us; the formulae are this project's.

A weighting is a function of cosines, (B, K), and of which of them are negatives, to logarithms of weights; the loss is
`contrastive.info_nce`, which takes those. Another weighting is that of FNE: the chance that a negative is one indeed,
see `memory.matches.MatchMoments.log_weight`.
"""

import torch
from torch import Tensor


def uniform_log_weight(cosines: Tensor, is_negative: Tensor) -> Tensor:
    """All weights are 1: plain (momentum) contrast.

    Args:
        cosines: (B, K).
        is_negative: bool (B, K).

    Returns:
        (B, K): 0, and -inf for what is no negative.
    """
    return torch.zeros_like(cosines).masked_fill(~is_negative, -torch.inf)


def spread_of_negatives(cosines: Tensor, is_negative: Tensor) -> Tensor:
    """Deviation of each anchor's negatives, float32 (B,); 0 where there are none.

    Args:
        cosines: (B, K).
        is_negative: bool (B, K).
    """
    count = is_negative.sum(dim=1).clamp(min=1)
    centred = cosines.float() - _mean(cosines, is_negative, count)[:, None]
    return centred.square().masked_fill(~is_negative, 0.0).sum(dim=1).div(count).sqrt()


def adaptive_log_weight(cosines: Tensor, is_negative: Tensor, kappa: float, spread: Tensor) -> Tensor:
    """Weights of mean 1 that grow with how far a negative stands above its anchor's others.

    With mean m_i of anchor i's N_i negatives and a spread s_i to count in, a negative's standing is
    `h_ij = (c_ij - m_i) / s_i`, and its weight `N_i * softmax_j(kappa * h_ij)`. Counted in each anchor's deviation,
    hard negatives of all anchors have the same odds; counted in one number for all, the mean S of these, the odds are
    sharper where negatives are diverse, as by `kappa_i = kappa * s_i / S` of own standings, in which s_i cancels.
    (m_i cancels in either, by the softmax.)

    Args:
        cosines: (B, K).
        is_negative: bool (B, K).
        kappa: >= 0; 0 makes all weights exactly 1, and a large one leaves the hardest negative alone.
        spread: what `spread_of_negatives` returns, (B,), or one number for all, scalar; where it is 0, standings
            are.

    Returns:
        float32 (B, K), -inf for what is no negative; the weights of a row add up to the number of its negatives.
    """
    if kappa == 0:
        return uniform_log_weight(cosines.float(), is_negative)
    count = is_negative.sum(dim=1).clamp(min=1)
    sharpness = torch.where(spread > 0, kappa / spread.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
    standing = (cosines.float() - _mean(cosines, is_negative, count)[:, None]) * sharpness[..., None]
    standing = standing.masked_fill(~is_negative, -torch.inf)
    total = standing.logsumexp(dim=1, keepdim=True)
    total = torch.where(total.isfinite(), total, 0.0)  # a row without negatives
    return standing - total + count.log()[:, None]


def _mean(cosines: Tensor, is_negative: Tensor, count: Tensor) -> Tensor:
    return cosines.float().masked_fill(~is_negative, 0.0).sum(dim=1) / count
