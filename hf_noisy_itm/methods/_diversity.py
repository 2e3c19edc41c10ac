"""Contrast with the batch and with dictionaries, every wrong answer weighed: CODER's loss in either branch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..exchange import Exchange
from ..functional.contrastive import SameImage, info_nce_of_logits, logits_of
from ..functional.diversity import adaptive_log_weight, spread_of_negatives, uniform_log_weight
from ..functional.similarity import inner_products
from ..memory.matches import MatchMoments
from ._negatives import Candidates, InBatch

Both = tuple[Tensor, Tensor]  # of pictures, and of captions
Weighting = Callable[[Tensor, Tensor], Tensor]  # of cosines and of which are negatives, to logarithms of weights


def weighting_of(
    name: str, kappa: float, moments: MatchMoments | None, seen: InBatch, exchange: Exchange
) -> Weighting:
    """How wrong answers are weighed.

    Args:
        name: "uniform", "adaptive" or "fne".
        kappa: of "adaptive".
        moments: of "fne".
        seen: the batch.
        exchange: the processes, whose anchors all count.
    """
    if name == "fne":
        known = moments.including(exchange.gather(seen.own), exchange.gather(seen.hardest.T).T)
        return lambda cosines, is_negative: moments.log_weight(cosines, known).masked_fill(~is_negative, -torch.inf)
    if name == "uniform" or kappa == 0:
        return uniform_log_weight

    def weigh(cosines: Tensor, is_negative: Tensor) -> Tensor:
        spread = spread_of_negatives(cosines, is_negative).mean()
        return adaptive_log_weight(cosines, is_negative, kappa, exchange.mean([spread])[0])

    return weigh


@dataclass(frozen=True)
class Contrast:
    """What local pairs are told apart from, and how much each of it counts.

    Args:
        candidates: the G pairs of the batch, and behind them the K of the dictionaries.
        same_image: see `NoisyITMConfig`.
        in_batch: what the batch's pairs are compared with: each other's embeddings ("embeds"), each other's keys
            ("keys"), or their own keys alone ("own").
        weigh: see there.
        exchange: the processes.
    """

    candidates: Candidates
    same_image: SameImage
    in_batch: str
    weigh: Weighting
    exchange: Exchange

    @property
    def is_negative(self) -> Tensor:
        """Bool (B, G + K)."""
        known = self.candidates
        is_other = known.is_none.expand_as(known.same).scatter(1, known.own_column[:, None], True)
        if self.same_image != "negative":
            is_other = is_other | known.same
        if self.in_batch == "own":
            pairs = len(known.own_column) * self.exchange.num_processes
            is_other = is_other | (torch.arange(len(known.row), device=is_other.device) < pairs)
        return ~is_other

    def pair_losses(
        self,
        embeds: Both,
        keys: Both,
        stored: Both | None,
        logit_scale: Tensor,
        log_weights: Both | None = None,
    ) -> tuple[Tensor, Both]:
        """The mean of both directions' cross-entropies, (B,), and the weights in either, (B, G + K).

        Args:
            embeds: unit rows, (B, D) each.
            keys: likewise, without gradient.
            stored: keys of earlier pairs, the dictionaries, (K, D) each; None without.
            logit_scale: inverse temperature.
            log_weights: for pictures and for captions as anchors, (B, G + K) each; by `weigh` if left out.
        """
        others = [self.exchange.gather(each) for each in (embeds if self.in_batch == "embeds" else keys)]
        losses, used = [], []
        for way, other in ((0, 1), (1, 0)):
            cosines = inner_products(embeds[way], others[other])
            if stored is not None:
                cosines = torch.cat([cosines, inner_products(embeds[way], stored[other])], dim=1)
            used.append(self.weigh(cosines.detach(), self.is_negative) if log_weights is None else log_weights[way])
            losses.append(self._losses(cosines, used[-1], logit_scale))
        return (losses[0] + losses[1]) / 2, tuple(used)

    def _losses(self, cosines: Tensor, log_weight: Tensor, logit_scale: Tensor) -> Tensor:
        own, same = self.candidates.own_column, self.candidates.same
        logits = logits_of(cosines, own, logit_scale, same, self.same_image, lambda _: log_weight)
        return info_nce_of_logits(logits, own, same, self.same_image)
