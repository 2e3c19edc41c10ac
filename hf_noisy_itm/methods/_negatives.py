"""False negatives among a batch's wrong answers: what all methods share of FNE, see `fne.py` for the method."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..exchange import Exchange
from ..functional.false_negatives import hardest
from ..functional.moments import Moments
from ..functional.similarity import inner_products, same_image_mask
from ..memory.matches import MatchMoments
from ..memory.queue import NO_PICTURE, NO_ROW, PairQueue
from ._batch import PairBatch
from ._config import NoisyITMConfig


def match_moments(config: NoisyITMConfig, **released: bool) -> MatchMoments:
    """Moments as a config asks for them.

    Args:
        config: with `match_prior` and what follows it.
        released: see `MatchMoments`.
    """
    kept = config.moments_kept if config.moments == "ema" else 1.0
    return MatchMoments(config.match_prior, config.min_right_pairs, config.monotone, kept, **released)


@dataclass(frozen=True)
class InBatch:
    """Similarities of B local pairs with the G of all processes.

    Args:
        cosines: pictures with captions, and captions with pictures, (B, G) each, with graph; the rest has none.
        own_column: where the local pairs stand among the G, (B,).
        same: shows the pair's picture but is not the pair, bool (B, G); None if all pictures differ.
        excluded: what is no wrong answer, bool (B, G).
        own: of each pair, (B,).
        hardest: of its hardest wrong caption, and picture, (2, B), -inf where there is none.
        row: in the training set, of the G pairs, `NO_ROW` where unknown.
    """

    cosines: tuple[Tensor, Tensor]
    own_column: Tensor
    same: Tensor | None
    excluded: Tensor
    own: Tensor
    hardest: Tensor
    row: Tensor

    @classmethod
    def of(
        cls, image_embeds: Tensor, text_embeds: Tensor, batch: PairBatch, exchange: Exchange, same_image: str
    ) -> "InBatch":
        """Of the embeddings of a batch, (B, D) each; by "negative" captions of the own picture are wrong answers."""
        own = exchange.own_rows(len(batch), image_embeds.device)
        cosines = (
            inner_products(image_embeds, exchange.gather(text_embeds)),
            inner_products(text_embeds, exchange.gather(image_embeds)),
        )
        same = None
        if batch.image_id is not None:
            same = same_image_mask(batch.image_id, exchange.gather(batch.image_id), own)
        excluded = torch.zeros_like(cosines[0], dtype=torch.bool).scatter_(1, own[:, None], True)
        if same is not None and same_image != "negative":
            excluded |= same
        return cls(
            cosines,
            own,
            same,
            excluded,
            cosines[0].detach().gather(1, own[:, None]).squeeze(1),
            torch.stack([hardest(each.detach(), excluded)[0] for each in cosines]),
            exchange.gather(rows_of(batch)),
        )

    @property
    def to_remember(self) -> dict[str, Tensor]:
        """What `MatchMoments` wants to know of each pair."""
        return {"own_similarity": self.own, "hardest_similarity": self.hardest.T}


@dataclass(frozen=True)
class Candidates:
    """What is known, apart from embeddings, of K candidates: the keys of G pairs, and a queue if there is one.

    Args:
        row: in the training set, (K,).
        image_id: of the anchors' pictures, (B,).
        same: shows the anchor's picture, but is not its pair, bool (B, K).
        is_none: no candidate at all: an earlier copy of the anchor's pair, or a place of the queue that holds none,
            bool (B, K).
        excluded: no negative: either, and the anchor's pair, bool (B, K).
        own_column: where each anchor's pair stands, (B,).
        name: of each anchor, for draws, (B,).
    """

    row: Tensor
    image_id: Tensor
    same: Tensor
    is_none: Tensor
    excluded: Tensor
    own_column: Tensor
    name: Tensor

    @classmethod
    def of(cls, batch: PairBatch, seen: InBatch, queue: PairQueue | None, exchange: Exchange) -> "Candidates":
        """For the local pairs of a batch; pairs of different rows show different pictures if it does not name them."""
        row = rows_of(batch)
        own_column = exchange.own_rows(len(batch), row.device)
        image_id = torch.full_like(row, NO_PICTURE) if batch.image_id is None else batch.image_id
        image_ids, rows, is_empty = exchange.gather(image_id), seen.row, torch.zeros_like(seen.row, dtype=torch.bool)
        if queue is not None:
            image_ids, rows = torch.cat([image_ids, queue.image_id]), torch.cat([rows, queue.row])
            is_empty = torch.cat([is_empty, queue.is_empty])
        same = (image_id[:, None] == image_ids) & (image_id != NO_PICTURE)[:, None]
        is_none = (row[:, None] == rows) & (row != NO_ROW)[:, None] | is_empty
        same, is_none = (each.scatter_(1, own_column[:, None], False) for each in (same & ~is_none, is_none))
        return cls(
            rows,
            image_id,
            same,
            is_none,
            (same | is_none).scatter_(1, own_column[:, None], True),
            own_column,
            torch.where(row == NO_ROW, own_column, row),
        )


def rows_of(batch: PairBatch) -> Tensor:
    """Of each pair in the training set, (B,); `NO_ROW` where the batch does not say."""
    if batch.index is not None:
        return batch.index
    return torch.full((len(batch),), NO_ROW, device=batch.pixel_values.device)


@torch.no_grad()
def proposals(
    cosines: Tensor, excluded: Tensor, log_odds: Tensor, row: Tensor, column: Tensor, found: Tensor | None = None
) -> dict[str, dict[str, Tensor]]:
    """The wrong answer that was chosen for each anchor, the hardest one, and the posterior of both.

    Args:
        cosines: (B, K).
        excluded: bool (B, K).
        log_odds: (B, K).
        row: in the training set, of the candidates, (K,).
        column: the chosen candidate, (B,).
        found: whether there was one to choose, bool (B,).
    """
    best, best_column = hardest(cosines, excluded)
    there = best.isfinite()
    choices = {"chosen": (column, there if found is None else found), "hardest": (best_column, there)}
    return {
        name: {
            "row": row[place].masked_fill(~known, NO_ROW),
            "score": log_odds.gather(1, place[:, None]).squeeze(1).sigmoid().masked_fill(~known, torch.nan),
        }
        for name, (place, known) in choices.items()
    }


@torch.no_grad()
def in_batch_proposals(
    seen: InBatch, log_odds: tuple[Tensor, Tensor], log_weight: tuple[Tensor, Tensor], logit_scale: Tensor
) -> dict[str, dict[str, Tensor]]:
    """`proposals` where nothing is drawn: chosen is what counts most in the loss.

    Args:
        seen: the batch.
        log_odds: of both directions, (B, G) each.
        log_weight: see `functional.contrastive.info_nce`, likewise.
        logit_scale: inverse temperature.
    """
    found = {}
    for way, cosines, odds, weight in zip(("i2t", "t2i"), seen.cosines, log_odds, log_weight):
        column = hardest(cosines * logit_scale + weight, seen.excluded)[1]
        of_way = proposals(cosines, seen.excluded, odds, seen.row, column)
        found |= {f"{way}_{name}": value for name, value in of_way.items()}
    return found


def told(negatives: dict[str, dict[str, Tensor]], moments: tuple[Moments, Moments]) -> dict[str, Tensor]:
    """For the log: posterior by choice, (B,), NaN where there was no negative; and how many right pairs were seen."""
    posteriors = {f"posterior_{name}": value["score"] for name, value in negatives.items()}
    return posteriors | {"right_pairs": moments[0].seen.float()}
