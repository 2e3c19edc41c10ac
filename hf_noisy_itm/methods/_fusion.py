"""Two similarities in one: a weighted sum of the cosines of two branches, as the inner product of joined rows."""

import torch
from torch import Tensor

from ..functional.retrieval import recall
from ..memory.bank import EncodedPairs

_STEPS = 20


def join(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Unit rows that hold those of both branches, scaled by the roots of their shares.

    So `share * s_one + (1 - share) * s_other` is an inner product, and whatever compares embeddings compares by both.

    Args:
        one: unit rows, (B, D).
        other: unit rows, (B, E).
        share: of the first, in [0, 1].

    Returns:
        (B, D + E).
    """
    return torch.cat([share**0.5 * one, (1 - share) ** 0.5 * other], dim=1)


def best_share(one: EncodedPairs, other: EncodedPairs) -> tuple[float, dict[str, float]]:
    """The share of the first branch with which most is found; of equally good ones the largest.

    Args:
        one: pairs as the first branch embeds them.
        other: the same by the other branch.

    Returns:
        The share, and rSum at each one that was tried, by its name.
    """
    smallest = min(len(one.image_embeds), len(one.text_embeds))
    ks, found = [k for k in (1, 5, 10) if k <= smallest], {}
    for share in (step / _STEPS for step in range(_STEPS + 1)):
        images = join(one.image_embeds, other.image_embeds, share)
        texts = join(one.text_embeds, other.text_embeds, share)
        found[share] = recall(images, texts, one.image_of_pair, ks)["rsum"]
    best = max(found, key=lambda share: (found[share], share))
    return best, {f"rsum_at_{share:.2f}": value for share, value in found.items()}
