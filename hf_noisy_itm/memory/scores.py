"""Scores of all training pairs by one fixed model: how well each picture and caption belong together.

One sequential pass over embeddings, in one fixed random order, in groups of one size, and none left out: a loss
depends on the pairs it meets, so order and size are part of what a score is.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..exchange import Exchange
from ..functional.contrastive import SameImage, pair_losses_of_cosines
from ..functional.similarity import inner_products, same_image_mask
from .bank import EncodedPairs


@dataclass(frozen=True)
class Scoring:
    """How pairs are scored.

    Args:
        score: the contrastive loss of each pair among its group (lower is better), or the cosine of its picture and
            caption (higher is better).
        group_size: pairs that are scored together, as negatives of each other; of no effect on cosines.
        seed: of the order in which pairs meet.
        same_image: what captions of one picture are to each other in a group, see `contrastive.info_nce`.

    Raises:
        InputError: a field has a wrong value.
    """

    score: Literal["loss", "cosine"] = "loss"
    group_size: int = 256
    seed: int = 0
    same_image: SameImage = "mask"

    def __post_init__(self):
        check_scoring(self.group_size, self.seed)
        for name, known in (("score", ("loss", "cosine")), ("same_image", get_args(SameImage))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}.")


def check_scoring(group_size: int, seed: int, called: tuple[str, str] = ("group_size", "seed")) -> None:
    """Does nothing if pairs can be scored so.

    Args:
        group_size: see `Scoring`.
        seed: of order and mixture; NumPy and scikit-learn take it.
        called: what the user calls the two.

    Raises:
        InputError: they cannot.
    """
    if group_size < 2:
        raise InputError(f"{called[0]} must be at least 2, got {group_size}: a pair alone has no negatives.")
    if not 0 <= seed < 2**32:
        raise InputError(f"{called[1]} must be at least 0 and below 2**32, got {seed}.")


@torch.no_grad()
def score_pairs(
    encoded: EncodedPairs, logit_scale: Tensor | float, scoring: Scoring, caption: Tensor | None = None
) -> Tensor:
    """Score of every pair.

    Args:
        encoded: N pairs; the work is done where they are.
        logit_scale: inverse temperature, > 0; of no effect on cosines.
        scoring: see there.
        caption: what each pair would score if it exchanged captions with another one, whose row this is, int64 (N,),
            and all others stayed as they are.

    Returns:
        float32 (N,). The last group is filled up with pairs of the group before, so that none has fewer negatives.
    """
    total = len(encoded.image_of_pair)
    size = min(scoring.group_size, total)
    order = order_of(encoded, scoring)
    scores = torch.empty(total, device=encoded.text_embeds.device)
    for start in range(0, total, size):
        first = min(start, total - size)
        rows = order[first : start + size]
        image = encoded.image_of_pair[rows]
        images = encoded.image_embeds[image].float()
        moved = rows if caption is None else caption[rows]
        texts = encoded.text_embeds[moved].float()
        if scoring.score == "cosine":
            group = (images * texts).sum(dim=1)
        else:
            own = torch.arange(len(rows), device=rows.device)
            same = same_image_mask(image, image, own)
            to_texts, to_images = (
                inner_products(images, encoded.text_embeds[rows].float()),
                inner_products(texts, images),
            )
            given = to_texts.diagonal()[:, None].clone()
            to_texts = torch.where(moved[:, None] == rows, given, to_texts)  # in exchange for the one that came
            to_texts.diagonal().copy_(to_images.diagonal())
            group = pair_losses_of_cosines((to_texts, to_images), own, logit_scale, same, scoring.same_image)
        scores[rows[start - first :]] = group[start - first :]
    return scores


@torch.no_grad()
def score_wrong_pairs(encoded: EncodedPairs, logit_scale: Tensor | float, scoring: Scoring) -> Tensor:
    """The same for pairs that are wrong on purpose: what a caption that was moved at random would score.

    Each pair exchanges captions with one at random, as if no other did: it meets what a moved caption meets in these
    data, at times the picture that it was written for, or the one that its picture had.

    Returns:
        float32 (M,), M <= N: pairs that got another caption of their own picture are left out.
    """
    caption, is_wrong = wrong_captions(encoded, scoring)
    return score_pairs(encoded, logit_scale, scoring, caption)[is_wrong]


def wrong_captions(
    encoded: EncodedPairs, scoring: Scoring, draw: int = 0, fold: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """For each pair the row of the one whose caption it gets to be wrong on purpose, (N,), and whether it is, bool.

    Args:
        encoded: N pairs.
        scoring: whose seed counts.
        draw: number of the draw, from 0; the first few give each pair different captions.
        fold: of each pair, int64 (N,), whose captions alone it may get; any if left out.
    """
    rng = np.random.default_rng((scoring.seed, 1))  # not the order of the groups: a partner may stand in any of them
    order = torch.from_numpy(rng.permutation(len(encoded.image_of_pair))).to(encoded.image_of_pair.device)
    caption = torch.empty_like(order)
    for rows in (order,) if fold is None else (order[fold[order] == each] for each in fold.unique()):
        caption[rows] = rows.roll(1 + draw)
    return caption, encoded.image_of_pair[caption] != encoded.image_of_pair


def weights_sha256(model: nn.Module, exchange: Exchange | None = None) -> str:
    """SHA-256 of all tensors of a model by name, type, shape and content: what identifies a scorer, hexadecimal.

    One number has no shape here, since some engines train it as a vector.

    Args:
        model: whose tensors.
        exchange: by which tensors are read that lie in parts; all processes call then.
    """
    digest, exchange = hashlib.sha256(), exchange or Exchange()
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        whole = exchange.read(tensor).detach()
        digest.update(f"{name} {whole.dtype} {tuple(whole.shape) if whole.numel() != 1 else ()}\n".encode())
        digest.update(whole.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def order_of(encoded: EncodedPairs, scoring: Scoring) -> Tensor:
    """In which order pairs meet, rows (N,)."""
    order = np.random.default_rng(scoring.seed).permutation(len(encoded.image_of_pair))
    return torch.from_numpy(order).to(encoded.image_of_pair.device)
