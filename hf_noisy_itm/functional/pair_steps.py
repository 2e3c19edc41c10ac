"""What each pair of a batch, alone, would teach a linear head on the embeddings, and what that does to other pairs.

A step on a whole batch says little about one of its pairs: the others move the model too, and further. To know what
pair i alone does, put a linear map on each tower's embeddings, the identity so far, and take a gradient step on the
loss of pair i with these two matrices. That loss depends on row i and column i of the similarities: its gradient has
rank two in either matrix, and the embeddings after the step have a closed form: all pairs together cost a few (B, G)
products, and no pass through a tower. This is ours; NPC takes one step for the batch, see `methods/npc.py`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .contrastive import LogWeight, SameImage, info_nce_residual, logits_of, pair_losses_of_cosines
from .similarity import inner_products, normalize


class PairSteps(NamedTuple):
    """One step per pair, all (B, D): the pair, and where its loss pushes the own caption's and picture's side.

    Args:
        image: unit rows.
        text: unit rows.
        image_push: derivative of the image-to-text loss by the own picture, per unit of inverse temperature.
        text_push: likewise of the text-to-image loss by the own caption.
        size: of the step.
    """

    image: Tensor
    text: Tensor
    image_push: Tensor
    text_push: Tensor
    size: float


@torch.no_grad()
def pair_steps(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor | float,
    size: float,
    same: Tensor | None = None,
    same_image: SameImage = "mask",
    all_image_embeds: Tensor | None = None,
    all_text_embeds: Tensor | None = None,
    own_column: Tensor | None = None,
    log_weight: LogWeight | None = None,
) -> PairSteps:
    """Gradient step of each pair's loss (`contrastive.pair_losses`) with a linear head on either tower.

    Args:
        image_embeds: unit rows of the local pairs, (B, D).
        text_embeds: unit rows, (B, D).
        logit_scale: inverse temperature, > 0.
        size: learning rate times half the inverse temperature: the length by which a picture moves towards its caption
            if it is found nowhere near.
        same: see `pair_losses`.
        same_image: see `pair_losses`.
        all_image_embeds: see `pair_losses`.
        all_text_embeds: see `pair_losses`.
        own_column: see `pair_losses`.
        log_weight: see `pair_losses`.
    """
    own = torch.arange(len(image_embeds), device=image_embeds.device) if own_column is None else own_column
    images = image_embeds if all_image_embeds is None else all_image_embeds
    texts = text_embeds if all_text_embeds is None else all_text_embeds

    def push(anchors: Tensor, candidates: Tensor) -> Tensor:
        logits = logits_of(inner_products(anchors, candidates), own, logit_scale, same, same_image, log_weight)
        return inner_products(info_nce_residual(logits, own, same, same_image), candidates.T)

    return PairSteps(image_embeds, text_embeds, push(image_embeds, texts), push(text_embeds, images), size)


@torch.no_grad()
def losses_after_pair_steps(
    steps: PairSteps,
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor | float,
    same: Tensor | None = None,
    same_image: SameImage = "mask",
    all_image_embeds: Tensor | None = None,
    all_text_embeds: Tensor | None = None,
    own_column: Tensor | None = None,
    log_weight: LogWeight | None = None,
) -> Tensor:
    """Loss of entry i among all entries after the step of pair i, which moves the embeddings of all of them.

    Args:
        steps: of the B pairs.
        image_embeds: pictures of the local entries, unit rows, (B, D); entry i is that of pair i.
        text_embeds: their captions, (B, D).
        logit_scale: inverse temperature, > 0.
        same: see `pair_losses`, of the entries.
        same_image: see `pair_losses`.
        all_image_embeds: see `pair_losses`, of the entries.
        all_text_embeds: see `pair_losses`.
        own_column: see `pair_losses`.
        log_weight: see `info_nce`; worked out before the step, which is to tell how the same loss changes.

    Returns:
        float32 (B,), to be compared with `pair_losses` of the same entries.
    """
    own = torch.arange(len(image_embeds), device=image_embeds.device) if own_column is None else own_column
    images = image_embeds if all_image_embeds is None else all_image_embeds
    texts = text_embeds if all_text_embeds is None else all_text_embeds
    # What moves a picture x is  size * ((x . image) image_push + (x . text_push) text),  and a caption the reverse.
    image_move = (steps.image, steps.image_push), (steps.text_push, steps.text)
    text_move = (steps.text, steps.text_push), (steps.image_push, steps.image)
    image_to_text = _moved_cosines(_moved(image_embeds, image_move, steps.size), texts, text_move, steps.size)
    text_to_image = _moved_cosines(_moved(text_embeds, text_move, steps.size), images, image_move, steps.size)
    if callable(log_weight):
        log_weight = (
            log_weight(inner_products(image_embeds, texts)),
            log_weight(inner_products(text_embeds, images)),
        )
    cosines = image_to_text, text_to_image
    return pair_losses_of_cosines(cosines, own, logit_scale, same, same_image, log_weight)


_Move = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]  # two keys, each with the direction it moves along


def _moved(own: Tensor, move: _Move, size: float) -> Tensor:
    """Row i after the step of pair i, unit rows (B, D)."""
    shift = sum((own * key).sum(dim=1, keepdim=True) * direction for key, direction in move)
    return normalize(own - size * shift)


def _moved_cosines(own: Tensor, others: Tensor, move: _Move, size: float) -> Tensor:
    """Cosine of row i with each of `others` after the step of pair i, (B, G), without the G moved rows of each i."""
    (key, direction), (key2, direction2) = move
    by, by2 = inner_products(key, others), inner_products(key2, others)  # (B, G): how far each row goes
    product = inner_products(own, others) - size * sum(
        far * (own * along).sum(dim=1, keepdim=True) for far, along in ((by, direction), (by2, direction2))
    )
    square = others.square().sum(dim=1) - 2 * size * (
        by * inner_products(direction, others) + by2 * inner_products(direction2, others)
    )
    lengths = [(one * two).sum(dim=1, keepdim=True) for one, two in ((direction, direction), (direction, direction2))]
    square = square + size**2 * (
        by.square() * lengths[0] + 2 * by * by2 * lengths[1] + by2.square() * direction2.square().sum(1, keepdim=True)
    )
    return product / square.clamp(min=1e-12).sqrt()
