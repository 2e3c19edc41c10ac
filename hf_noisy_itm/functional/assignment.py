"""Soft cluster labels without a label: every row to the clusters it is like, every cluster equally full.

Balanced assignment by optimal transport, as SwAV has it (Caron et al., NeurIPS 2020): Sinkhorn's iteration (Cuturi,
NeurIPS 2013), here in logarithms, and Altschuler et al.'s rounding (NeurIPS 2017, Algorithm 2), which makes what any
number of iterations leaves balanced to the last digits; so nothing has to be read from the device to know the end.
"""

import torch
from torch import Tensor


def balanced_assignment(scores: Tensor, temperature: float, iterations: int = 10) -> Tensor:
    """Assigns N rows to K clusters.

    Args:
        scores: how well each row fits each cluster, (N, K).
        temperature: of the assignment, > 0; the lower, the nearer it is to one cluster for each row.
        iterations: of Sinkhorn's algorithm, >= 1; few leave it balanced but not the best such assignment.

    Returns:
        float64 (N, K), >= 0: rows add up to 1 and columns to N / K.
    """
    rows, clusters = scores.shape
    logits = scores.double() / temperature
    for _ in range(iterations):
        logits = logits - logits.logsumexp(dim=0, keepdim=True)  # columns to 1
        logits = logits - logits.logsumexp(dim=1, keepdim=True)  # rows to 1
    plan = logits.exp()
    full = rows / clusters
    plan = plan * (full / plan.sum(dim=0, keepdim=True).clamp(min=full))  # no column above its share
    lacking = (1 - plan.sum(dim=1, keepdim=True)).clamp(min=0)
    room = (full - plan.sum(dim=0, keepdim=True)).clamp(min=0)
    return plan + lacking * room / lacking.sum().clamp(min=torch.finfo(torch.float64).tiny)


def prediction_losses(logits: Tensor, assignment: Tensor) -> Tensor:
    """Cross-entropy of predicting soft labels, `-sum_k q_k log softmax_k(logits)`, float32 (B,).

    Args:
        logits: (B, K).
        assignment: rows that add up to 1, (B, K); constants, no gradient flows into them.
    """
    return -(assignment.detach().float() * logits.float().log_softmax(dim=1)).sum(dim=1)
