"""FNE: Your Negative May not be True Negative: Boosting Image-Text Matching with False Negative Elimination (ACM MM
2023), https://arxiv.org/abs/2308.04380

The hardest wrong answer to a picture may be a caption that fits it, though nobody said so. Two normal distributions,
of similarities that the model got right and of the hardest wrong ones beside them, give each candidate the chance that
it is such a false negative; negatives are drawn from a queue of a momentum encoder's embeddings, rarely where that
chance is high, and rarely too where they are far too easy.

Relations: with `loss = "infonce"`, an empty queue and no candidate suspected this is `baseline`. The posterior alone
serves other methods as `negatives = "fne"`, within the batch and without a momentum encoder. CODER keeps the queues
and weighs by difficulty instead.
Differs from the official code (`variant = "released"` computes what that does, quirks included): the variance is that
of the values; same-picture captions do not count as wrong answers in the statistics; the odds are logarithms and do
not fall where similarity rises; a row without candidates has no loss; the queue has no random rows; all of the state
is in a checkpoint. Ours, for CLIP, whose similarities lie close together: margins in units of their spread, fading
moments, a larger prior (wrong answers are compared with the hardest ones, among which matches are not rare), and the
InfoNCE form: the batch as in CLIP's loss, the queue in a second one beside it, nothing drawn, and every wrong answer
counted by the chance that it is wrong.
The paper could not be read beyond its abstract and figure: its numbers are not known to us, and those of the official
code are called so.
"""  # noqa: D205, D400, D415

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from ..exchange import Exchange
from ..functional.contrastive import pair_losses_of_cosines
from ..functional.draws import uniform
from ..functional.false_negatives import draw, hardest, sampling_log_weights, triplet_hinge
from ..functional.moments import Moments, pooled_deviation
from ..functional.similarity import inner_products
from ..memory.epoch import Epoch
from ..memory.queue import PairQueue
from ..memory.steps import Steps
from ._base import NoisyITMModel
from ._batch import PairBatch, PairLosses
from ._config import Paper
from ._contrast import Both, Contrast, posterior_weighting
from ._fne_config import FNEConfig
from ._negatives import Candidates, InBatch, match_moments, proposals, rows_of, told
from ._twin import Twin, twin_copies

logger = logging.get_logger(__name__)

_FIRST_UNIT = 0.05  # of similarity, until two right pairs are known: about CLIP's spread (ours)


class FNEModel(NoisyITMModel):
    """CLIP with a momentum twin, a queue, and the moments that tell false negatives."""

    config_class = FNEConfig
    config: FNEConfig
    copies = twin_copies
    paper = Paper(
        title="Your Negative May not Be True Negative: Boosting Image-Text Matching with False Negative Elimination",
        venue="ACM MM 2023",
        url="https://arxiv.org/abs/2308.04380",
        bibtex="""@inproceedings{li2023your,
  title     = {Your Negative May not Be True Negative: Boosting Image-Text Matching with False Negative Elimination},
  author    = {Li, Haoxuan and Bin, Yi and Liao, Junrong and Yang, Yang and Shen, Heng Tao},
  booktitle = {Proceedings of the 31st ACM International Conference on Multimedia},
  year      = {2023}
}""",
    )

    def _build(self, config: FNEConfig) -> None:
        released = config.variant == "released"
        self.match_moments = match_moments(config, exact=not released, zero_own=released)
        self.twin = Twin(self.clip)
        self.queue = PairQueue(config.queue_size, config.projection_dim)
        self.batches, self.epoch = Steps(), Epoch()

    def attach(self, exchange: Exchange, optimizer: torch.optim.Optimizer | None = None) -> None:
        """See `NoisyITMModel.attach`; the twin takes adapters over that were put into the towers since."""
        super().attach(exchange, optimizer)
        self.twin.adopt(self.clip)

    @property
    def frozen(self) -> tuple[str, ...]:
        """The temperature, which a triplet loss does not use."""
        return ("clip.logit_scale",) if self.config.loss == "triplet" else ()

    def losses(self, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor) -> PairLosses:
        """Of each pair, against the batch and the queue; in the warm-up, and in evaluation, against the batch alone.

        What is told apart in the batch are its keys, as published, or by "infonce" its embeddings themselves, as in
        CLIP's loss, with the queue in a second one.
        """
        image_embeds, text_embeds = image_embeds[: len(batch)], text_embeds[: len(batch)]
        seen = InBatch.of(image_embeds, text_embeds, batch, self.exchange, self.config.same_image)
        if not self.training or self.epoch.number < self.config.warmup_epochs:
            per_pair = self._in_batch_losses(image_embeds, text_embeds, seen)
            return PairLosses(per_pair, to_remember=seen.to_remember, report=told({}, self.match_moments.read()))
        gather = self.exchange.gather
        moments = self.match_moments.including(gather(seen.own), gather(seen.hardest.T).T)
        candidates = Candidates.of(batch, seen, self.queue, self.exchange)
        losses_of = self._triplet_losses if self.config.loss == "triplet" else self._info_nce_losses
        keys, stored = self.twin.embed(batch, self.chunk), (self.queue.image_keys, self.queue.text_keys)
        per_pair, negatives = losses_of((image_embeds, text_embeds), keys, stored, candidates, moments)
        remembered = {"image_keys": keys[0], "text_keys": keys[1], "image_id": candidates.image_id}
        remembered |= {**seen.to_remember, "row": rows_of(batch)}
        return PairLosses(per_pair, to_remember=remembered, report=told(negatives, moments), negatives=negatives)

    def _in_batch_losses(self, image_embeds: Tensor, text_embeds: Tensor, seen: InBatch) -> Tensor:
        """CLIP's loss, or the hinge on the hardest wrong answer of all processes (VSE++) in both directions, (B,)."""
        if self.config.loss == "infonce":
            return pair_losses_of_cosines(
                seen.cosines, seen.own_column, self.logit_scale, seen.same, self.config.same_image
            )
        margin = self.config.margin * self._unit(self.match_moments.read())
        own = (image_embeds * text_embeds).sum(dim=1)
        i2t, t2i = (triplet_hinge(own, hardest(each, seen.excluded)[0], margin) for each in seen.cosines)
        return i2t + t2i

    def _triplet_losses(
        self, embeds: Both, keys: Both, stored: Both, candidates: Candidates, moments: tuple
    ) -> tuple[Tensor, dict]:
        """Both directions' hinges on one drawn negative, (B,), and these negatives."""
        losses, negatives = 0.0, {}
        for way, anchors, others, queue in (
            ("i2t", embeds[0], keys[1], stored[1]),
            ("t2i", embeds[1], keys[0], stored[0]),
        ):
            others = self.exchange.gather(others)
            loss, proposed = self._hinge_on_drawn(way, anchors, others, queue, candidates, moments)
            losses = losses + loss
            negatives |= {f"{way}_{name}": value for name, value in proposed.items()}
        return losses, negatives

    def _hinge_on_drawn(
        self, way: str, anchors: Tensor, keys: Tensor, queue: Tensor, candidates: Candidates, moments: tuple
    ) -> tuple[Tensor, dict]:
        """Hinge on one drawn negative, (B,), 0 where there is none; the gradient flows into the anchors alone."""
        config, unit, own_column = self.config, self._unit(moments), candidates.own_column
        with torch.no_grad():
            cosines = torch.cat([inner_products(anchors, keys), inner_products(anchors, queue)], dim=1)
            own = cosines.gather(1, own_column[:, None])
            log_odds = self.match_moments.log_odds(cosines, moments)
            log_weight = sampling_log_weights(
                cosines, own.squeeze(1), log_odds, candidates.excluded, self._floor(own, unit, moments),
                config.elimination, config.cut_down, config.threshold, unit,
            )  # fmt: skip
            number = uniform(config.draw_seed, f"fne.{way}", self.batches.count, candidates.name)
            column, found = draw(log_weight, number)
            if config.variant == "released":  # there a row without candidates has the largest hinge
                cost = triplet_hinge(own, cosines, config.margin * unit).masked_fill(candidates.excluded, 0.0)
                column, found = torch.where(found, column, cost.argmax(dim=1)), found | (cost.amax(dim=1) > 0)
            is_key = (column < len(keys))[:, None]
            other = torch.where(
                is_key, keys[column.clamp(max=len(keys) - 1)], queue[(column - len(keys)).clamp(min=0)]
            )
        losses = triplet_hinge(
            (anchors * keys[own_column]).sum(dim=1), (anchors * other).sum(dim=1), config.margin * unit
        )
        return losses * found, proposals(cosines, candidates.excluded, log_odds, candidates.row, column, found)

    def _info_nce_losses(
        self, embeds: Both, keys: Both, stored: Both, candidates: Candidates, moments: tuple
    ) -> tuple[Tensor, dict]:
        """Finding the own pair in the batch, and its key among those of the queue, (B,), and what counts most there.

        Wrong answers count by the chance that they are wrong.
        """
        weigh = posterior_weighting(self.match_moments, moments)
        contrast = Contrast(candidates, self.config.same_image, "embeds", 1.0, weigh, self.exchange)
        losses, weights, cosines = contrast.pair_losses(embeds, keys, stored, self.logit_scale)
        negatives, size = {}, cosines[0][0].shape[1]
        for place, way in enumerate(("i2t", "t2i")):
            seen, weight = (
                torch.cat([terms[0][place], terms[1][place][:, size:]], dim=1) for terms in (cosines, weights)
            )
            column = hardest(seen * self.logit_scale.detach() + weight, candidates.excluded)[1]
            log_odds = self.match_moments.log_odds(seen, moments)
            proposed = proposals(seen, candidates.excluded, log_odds, candidates.row, column)
            negatives |= {f"{way}_{name}": value for name, value in proposed.items()}
        return losses, negatives

    def _unit(self, moments: tuple[Moments, Moments]) -> Tensor | float:
        """Of margin and cut-down: 1, or the spread of right pairs and of wrong answers."""
        if self.config.units == "absolute":
            return 1.0
        return pooled_deviation(*moments, _FIRST_UNIT)

    def _floor(self, own: Tensor, unit: Tensor | float, moments: tuple[Moments, Moments]) -> Tensor:
        """Where the window of similarities begins, a scalar or (B, 1)."""
        if self.config.window == "anchor":
            return own - self.config.margin * unit
        right = moments[0]
        floor = (right.mean - self.config.margin * unit).float()
        if self.config.variant == "released":
            return floor
        return torch.where(right.seen > self.config.min_right_pairs, floor, -torch.inf)

    @torch.no_grad()
    def remember(self, **to_remember: Tensor) -> None:
        """Adds to the statistics, and after the warm-up to the queue; the next batch draws by other numbers."""
        super().remember(**to_remember)
        self.batches.advance()
        if "row" in to_remember:
            self.queue.push(*(to_remember[name] for name in ("image_keys", "text_keys", "image_id", "row")))

    @torch.no_grad()
    def step(self) -> None:
        """The twin follows: as much as if it did before the next keys are made."""
        super().step()
        self.twin.follow(self.clip, self.config.twin_momentum)

    @torch.no_grad()
    def begin_epoch(self, epoch: int) -> None:
        """Ends the warm-up; says once that there is one, since a run may be over before it."""
        super().begin_epoch(epoch)
        self.epoch.begin(epoch)
        if epoch == 0 and self.config.warmup_epochs:
            logger.warning(
                f"The first {self.config.warmup_epochs} epochs (warmup_epochs) train within the batch, without a "
                f"queue: a run that is no longer never draws a negative."
            )


AutoConfig.register(FNEConfig.model_type, FNEConfig)
AutoModel.register(FNEConfig, FNEModel)
