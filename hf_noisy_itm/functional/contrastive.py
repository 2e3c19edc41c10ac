"""InfoNCE, one value per pair. Batch losses of every method are made of these; `reduction.py` makes one number."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from .similarity import inner_products

SameImage = Literal["mask", "negative", "positive"]
LogWeight = Tensor | Callable[[Tensor], Tensor]  # of the candidates, (B, G), or from their cosines


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    own_column: Tensor,
    logit_scale: Tensor | float,
    same: Tensor | None = None,
    same_image: SameImage = "mask",
    log_weight: LogWeight | None = None,
) -> Tensor:
    """Cross-entropy of finding each anchor's own candidate (van den Oord et al. 2018; CLIP, Radford et al. 2021).

    Args:
        anchors: unit rows, (B, D).
        candidates: unit rows of the other modality, (G, D), G >= B.
        own_column: the right candidate of each anchor, (B,), in [0, G).
        logit_scale: inverse temperature, > 0 (not its logarithm).
        same: True where a candidate other than the own one shows the anchor's picture, (B, G).
        same_image: what such candidates are: left out ("mask"), wrong answers ("negative", as the released codes of
            NPC and FNE have it), or further right answers ("positive": the mean of -log p over all right ones).
        log_weight: logarithms of how much each wrong candidate counts in the denominator, (B, G), or what makes them
            from cosines; constants (no gradient flows into them). All 0 if left out; -inf leaves a candidate out.

    Returns:
        Loss per anchor, float32 (B,), >= 0.
    """
    cosines = inner_products(anchors, candidates)  # (B, G)
    logits = logits_of(cosines, own_column, logit_scale, same, same_image, log_weight)
    return info_nce_of_logits(logits, own_column, same, same_image)


def logits_of(
    cosines: Tensor,
    own_column: Tensor,
    logit_scale: Tensor | float,
    same: Tensor | None = None,
    same_image: SameImage = "mask",
    log_weight: LogWeight | None = None,
) -> Tensor:
    """Logits of each anchor with each candidate, wrong ones less by how little they count, (B, G).

    Args:
        cosines: (B, G).
        own_column: see `info_nce`.
        logit_scale: see `info_nce`.
        same: see `info_nce`.
        same_image: see `info_nce`.
        log_weight: see `info_nce`.
    """
    logits = cosines * logit_scale
    if log_weight is None:
        return logits
    right = torch.zeros_like(cosines, dtype=torch.bool).scatter_(1, own_column[:, None], True)
    if same is not None and same_image == "positive":
        right |= same
    weight = log_weight if isinstance(log_weight, Tensor) else log_weight(cosines.detach())
    return logits + weight.masked_fill(right, 0.0)


def info_nce_of_logits(
    logits: Tensor, own_column: Tensor, same: Tensor | None = None, same_image: SameImage = "mask"
) -> Tensor:
    """`info_nce` from its logits.

    Args:
        logits: of each anchor with each candidate, (B, G).
        own_column: see `info_nce`.
        same: see `info_nce`.
        same_image: see `info_nce`.
    """
    log_prob = _among(logits, same, same_image).log_softmax(dim=1)
    own = log_prob.gather(1, own_column[:, None]).squeeze(1)  # (B,)
    if same is None or same_image != "positive":
        return -own
    # Not a product with the mask: a candidate that is left out has a logarithm of -inf.
    return -(own + torch.where(same, log_prob, 0.0).sum(dim=1)) / (1 + same.sum(dim=1))


def info_nce_residual(
    logits: Tensor, own_column: Tensor, same: Tensor | None = None, same_image: SameImage = "mask"
) -> Tensor:
    """Derivative of each anchor's loss with respect to its logits, (B, G): what it finds less what it should find.

    Args:
        logits: of each anchor with each candidate, (B, G).
        own_column: see `info_nce`.
        same: see `info_nce`.
        same_image: see `info_nce`.
    """
    wanted = torch.zeros_like(logits).scatter(1, own_column[:, None], 1.0)
    if same is not None and same_image == "positive":
        wanted = (wanted + same) / (1 + same.sum(dim=1, keepdim=True))
    return _among(logits, same, same_image).softmax(dim=1) - wanted


def _among(logits: Tensor, same: Tensor | None, same_image: SameImage) -> Tensor:
    return logits if same is None or same_image != "mask" else logits.masked_fill(same, -torch.inf)


def pair_losses(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor | float,
    same: Tensor | None = None,
    same_image: SameImage = "mask",
    all_image_embeds: Tensor | None = None,
    all_text_embeds: Tensor | None = None,
    own_column: Tensor | None = None,
    log_weight: LogWeight | tuple[LogWeight, LogWeight] | None = None,
) -> Tensor:
    """CLIP's loss of each pair: the mean of both directions, `l_i = (ce_i2t + ce_t2i) / 2`.

    Args:
        image_embeds: unit rows of the local pairs, (B, D).
        text_embeds: unit rows, (B, D); row i belongs to image row i.
        logit_scale: inverse temperature, > 0.
        same: pairs of the same picture, bool (B, G), see `similarity.same_image_mask`.
        same_image: see `info_nce`.
        all_image_embeds: rows of all processes, (G, D); the local ones if left out.
        all_text_embeds: likewise.
        own_column: where the local pairs stand among the G, (B,); 0..B-1 if left out.
        log_weight: see `info_nce`; of either direction, or of both.

    Returns:
        Loss per local pair, float32 (B,), >= 0.
    """
    if own_column is None:
        own_column = torch.arange(len(image_embeds), device=image_embeds.device)
    all_image_embeds = image_embeds if all_image_embeds is None else all_image_embeds
    all_text_embeds = text_embeds if all_text_embeds is None else all_text_embeds
    cosines = inner_products(image_embeds, all_text_embeds), inner_products(text_embeds, all_image_embeds)
    return pair_losses_of_cosines(cosines, own_column, logit_scale, same, same_image, log_weight)


def pair_losses_of_cosines(
    cosines: tuple[Tensor, Tensor],
    own_column: Tensor,
    logit_scale: Tensor | float,
    same: Tensor | None = None,
    same_image: SameImage = "mask",
    log_weight: LogWeight | tuple[LogWeight, LogWeight] | None = None,
) -> Tensor:
    """`pair_losses` from its similarities.

    Args:
        cosines: of pictures with captions, and of captions with pictures, (B, G) each.
        own_column: see `pair_losses`.
        logit_scale: see `pair_losses`.
        same: see `pair_losses`.
        same_image: see `pair_losses`.
        log_weight: see `pair_losses`.
    """
    weights = log_weight if isinstance(log_weight, tuple) else (log_weight, log_weight)
    image_to_text, text_to_image = (
        info_nce_of_logits(
            logits_of(each, own_column, logit_scale, same, same_image, weight), own_column, same, same_image
        )
        for each, weight in zip(cosines, weights)
    )
    return (image_to_text + text_to_image) / 2
