"""Losses of samples that carry a class, seen in several modalities: one value per sample. MRL's equations are here."""

from typing import Literal

import torch
from torch import Tensor

from .contrastive import SameImage
from .similarity import inner_products

ContrastForm = Literal["code", "paper"]


def proxy_logits(embeds: Tensor, proxies: Tensor, temperature: float) -> Tensor:
    """Similarity of each sample with the proxy of each class, `c_k . z / tau` (MRL, Eq. 2).

    Args:
        embeds: unit rows, (N, L).
        proxies: one unit row for each class, (K, L).
        temperature: tau, > 0.

    Returns:
        float32 (N, K).
    """
    return inner_products(embeds, proxies) / temperature


def cross_entropy(logits: Tensor, category: Tensor) -> Tensor:
    """`-log p_y` of each sample, float32 (N,), >= 0: the baseline of `robust_clustering`, with the same arguments."""
    return torch.nn.functional.cross_entropy(logits.float(), category, reduction="none")


def robust_clustering(logits: Tensor, category: Tensor) -> Tensor:
    """`log(1 - p_y)` of each sample (MRL, Eq. 5), minimised.

    As the difference of two sums of exponentials, over all classes but y and over all, so that it is finite where
    `1 - p_y` rounds to 0. Its gradient is that of `cross_entropy` times the odds `p_y / (1 - p_y)`: a sample whose
    label the model finds unlikely pulls hardly at all, where cross-entropy would follow it most.

    Args:
        logits: (N, K), K at least 2.
        category: label of each sample, int64 in [0, K), (N,).

    Returns:
        float32 (N,), <= 0 and without a lower bound.
    """
    logits = logits.float()
    own = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, category[:, None], True)
    return logits.masked_fill(own, -torch.inf).logsumexp(dim=1) - logits.logsumexp(dim=1)


def multimodal_contrast(
    embeds: Tensor,
    all_embeds: Tensor,
    own_column: Tensor,
    temperature: float,
    form: ContrastForm = "code",
    same: Tensor | None = None,
    same_image: SameImage = "mask",
) -> Tensor:
    """`-log P(j | x_j)`: how well a sample is found among all samples of all modalities (MRL, Eq. 6 and 7).

    Relations: with two modalities, "code" and no negatives of the own modality this would be `info_nce` in both
    directions; NT-Xent (SimCLR) is "code" with two views of one modality.

    Args:
        embeds: unit rows of B samples in M modalities, (M, B, L), M at least 2.
        all_embeds: those of all processes, (M, G, L).
        own_column: where the B samples stand among the G, (B,).
        temperature: tau, > 0.
        form: "paper" counts a row's similarity with itself, which is always 1, among right and all answers, as the
            paper prints it, and so saturates; "code" leaves it out of both, as the released code does.
        same: True where another column shows the row's picture, (B, G), see `similarity.same_image_mask`.
        same_image: what such columns are, in all modalities: left out ("mask"), wrong ("negative") or right answers
            ("positive").

    Returns:
        float32 (M, B), >= 0.
    """
    modalities, size, columns = len(embeds), embeds.shape[1], all_embeds.shape[1]
    logits = inner_products(embeds.flatten(0, 1), all_embeds.flatten(0, 1)) / temperature
    logits = logits.view(modalities, size, modalities, columns)
    own = torch.zeros(size, columns, dtype=torch.bool, device=logits.device)
    own = own.scatter_(1, own_column[:, None], True)[None, :, None, :]  # (1, B, 1, G)
    right = own.expand_as(logits)
    if form == "code":
        itself = own & torch.eye(modalities, dtype=torch.bool, device=logits.device)[:, None, :, None]
        logits, right = logits.masked_fill(itself, -torch.inf), right & ~itself
    if same is not None and same_image == "mask":
        logits = logits.masked_fill(same[None, :, None, :], -torch.inf)
    if same is not None and same_image == "positive":
        right = right | same[None, :, None, :]
    found = logits.masked_fill(~right, -torch.inf).flatten(2)
    return logits.flatten(2).logsumexp(dim=2) - found.logsumexp(dim=2)
