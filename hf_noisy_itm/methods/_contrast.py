"""Contrast with the batch and with a queue, wrong answers weighed: CODER's loss in either branch, FNE's InfoNCE."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..exchange import Exchange
from ..functional.contrastive import SameImage, info_nce_of_logits, logits_of
from ..functional.diversity import adaptive_log_weight, spread_of_negatives, uniform_log_weight
from ..functional.moments import Moments
from ..functional.similarity import inner_products
from ..memory.matches import MatchMoments
from ._negatives import Candidates, InBatch

Both = tuple[Tensor, Tensor]  # of pictures, and of captions
Weighting = Callable[[Tensor, Tensor], Tensor]  # of cosines and of which are negatives, to logarithms of weights


def weighting_of(
    name: str, kappa: float, spread: str, moments: MatchMoments | None, seen: InBatch, exchange: Exchange
) -> Weighting:
    """How wrong answers are weighed.

    Args:
        name: "uniform", "adaptive" or "fne".
        kappa: of "adaptive".
        spread: of "adaptive", what standings are counted in: the deviation of each anchor's negatives ("anchor"), or
            the mean of these ("batch").
        moments: of "fne".
        seen: the batch.
        exchange: the processes, whose anchors all count.
    """
    if name == "fne":
        return posterior_weighting(
            moments, moments.including(exchange.gather(seen.own), exchange.gather(seen.hardest.T).T)
        )
    if name == "uniform" or kappa == 0:
        return uniform_log_weight

    def weigh(cosines: Tensor, is_negative: Tensor) -> Tensor:
        own = spread_of_negatives(cosines, is_negative)
        return adaptive_log_weight(
            cosines, is_negative, kappa, own if spread == "anchor" else exchange.mean([own.mean()])[0]
        )

    return weigh


def posterior_weighting(moments: MatchMoments, known: tuple[Moments, Moments]) -> Weighting:
    """Wrong answers by the chance that they are wrong, by moments that are `known`."""
    return lambda cosines, is_negative: moments.log_weight(cosines, known).masked_fill(~is_negative, -torch.inf)


@dataclass(frozen=True)
class Contrast:
    """What local pairs are told apart from, and how much each of it counts.

    Embeddings of the model as it is and keys of its twin never stand in one softmax as right and wrong answer: the
    model could tell them apart by their age alone.

    Args:
        candidates: the G pairs of the batch, and behind them the K of the dictionaries.
        same_image: see `NoisyITMConfig`.
        in_batch: what the batch's pairs are compared with: each other's embeddings ("embeds"), and then their own keys
            with the dictionaries in a second term; or, in one, with the dictionaries and each other's keys ("keys"),
            or their own keys alone ("own").
        dictionary_weight: of that second term.
        weigh: see there.
        exchange: the processes.
    """

    candidates: Candidates
    same_image: SameImage
    in_batch: str
    dictionary_weight: float
    weigh: Weighting
    exchange: Exchange

    def pair_losses(
        self,
        embeds: Both,
        keys: Both,
        stored: Both | None,
        logit_scale: Tensor,
        log_weights: list[Both] | None = None,
    ) -> tuple[Tensor, list[Both], list[Both]]:
        """The mean of both directions' cross-entropies, (B,); for each term the weights, and the cosines, in either.

        Args:
            embeds: unit rows, (B, D) each.
            keys: likewise, without gradient.
            stored: keys of earlier pairs, the dictionaries, (K, D) each; None without.
            logit_scale: inverse temperature.
            log_weights: for pictures and for captions as anchors, of each term, as returned; by `weigh` if left out.
        """
        terms = []
        if self.in_batch == "embeds":
            terms.append((1.0, self._gathered(embeds), self._is_negative(batch=True, stored=False)))
        if stored is not None:
            others = tuple(torch.cat(each) for each in zip(self._gathered(keys), stored))
            is_negative = self._is_negative(batch=self.in_batch == "keys", stored=True)
            terms.append((self.dictionary_weight if terms else 1.0, others, is_negative))
        total, used, seen = 0.0, [], []
        for number, (share, others, is_negative) in enumerate(terms):
            known = None if log_weights is None else log_weights[number]
            losses, weights, cosines = self._term(embeds, others, is_negative, logit_scale, known)
            total = total + share * losses
            used.append(weights)
            seen.append(cosines)
        return total, used, seen

    def _term(
        self, anchors: Both, others: Both, is_negative: Tensor, logit_scale: Tensor, known: Both | None
    ) -> tuple[Tensor, Both, Both]:
        own, same = self.candidates.own_column, self.candidates.same[:, : is_negative.shape[1]]
        losses, used, seen = [], [], []
        for way, other in ((0, 1), (1, 0)):
            cosines = inner_products(anchors[way], others[other])
            seen.append(cosines.detach())
            used.append(self.weigh(seen[-1], is_negative) if known is None else known[way])
            logits = logits_of(cosines, own, logit_scale, same, self.same_image, used[-1])
            losses.append(info_nce_of_logits(logits, own, same, self.same_image))
        return (losses[0] + losses[1]) / 2, tuple(used), tuple(seen)

    def _gathered(self, both: Both) -> Both:
        return self.exchange.gather(both[0]), self.exchange.gather(both[1])

    def _is_negative(self, batch: bool, stored: bool) -> Tensor:
        """Bool (B, G + K), or (B, G) without what is stored; no pair of the batch is one where it does not count."""
        known, pairs = self.candidates, len(self.candidates.own_column) * self.exchange.num_processes
        is_other = known.is_none.scatter(1, known.own_column[:, None], True)
        if self.same_image != "negative":
            is_other = is_other | known.same
        if not batch:
            is_other = is_other | (torch.arange(len(known.row), device=is_other.device) < pairs)
        return ~is_other if stored else ~is_other[:, :pairs]
