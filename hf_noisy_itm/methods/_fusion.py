"""Two similarities in one: a weighted sum of the cosines of two branches, as the inner product of joined rows."""

import torch
from torch import Tensor, nn

from ..functional.retrieval import recall
from ..memory.bank import EncodedPairs

_STEPS = 20


class Fusion(nn.Module):
    """The share of the first branch in the similarity; `choose` finds one by validation pairs.

    `share * s_one + (1 - share) * s_other` is the inner product of unit rows that hold the rows of both branches,
    scaled by the roots of their shares. So whatever compares embeddings can compare by both.

    Args:
        share: to start with, in [0, 1].
    """

    def __init__(self, share: float):
        super().__init__()
        self.start = share
        self.register_buffer("share", torch.empty(()))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Starts anew."""
        self.share.fill_(self.start)

    def join(self, one: Tensor, other: Tensor) -> Tensor:
        """Unit rows of both branches, (B, D) and (B, E) -> (B, D + E)."""
        return torch.cat([self.share.sqrt() * one, (1 - self.share).sqrt() * other], dim=1)

    @torch.no_grad()
    def choose(self, one: EncodedPairs, other: EncodedPairs) -> dict[str, float]:
        """Sets the share with which most is found; of equally good ones the largest.

        Args:
            one: pairs as the first branch embeds them.
            other: the same by the other branch.

        Returns:
            rSum at each share that was tried, by its name.
        """
        smallest = min(len(one.image_embeds), len(one.text_embeds))
        ks, found = [k for k in (1, 5, 10) if k <= smallest], {}
        for share in (step / _STEPS for step in range(_STEPS + 1)):
            self.share.fill_(share)
            images = self.join(one.image_embeds, other.image_embeds)
            texts = self.join(one.text_embeds, other.text_embeds)
            found[share] = recall(images, texts, one.image_of_pair, ks)["rsum"]
        self.share.fill_(max(found, key=lambda share: (found[share], share)))
        return {f"rsum_at_{share:.2f}": value for share, value in found.items()}
