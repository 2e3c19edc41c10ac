"""What every method is: a CLIP, a config of declared fields, and five verbs, of which three may write.

    forward(batch)             reads    embeds the batch, one loss per pair (`losses`), one weight per pair, their mean
    weigh(batch, …, losses)    reads    trust in each pair; called by `forward`, so that both share one graph
    remember(**to_remember)    writes   queues and statistics, after backward, with the rows of all processes
    step()                     writes   after each optimizer step: momentum copies, projections, clamps
    begin_epoch(epoch)         writes   warm-up and resets, once per epoch, also across a resumed run

Between epochs `build_bank` may look at the whole embedded training set and name, for each pair, clean pairs to
compare it with (`MemoryBank`); the collator then brings those along in `batch["bank"]`.

What a method adds to CLIP it adds in `_build`, as modules that know how to start, see `_starting.py`.

What a batch holds is the data's affair: pictures and captions, or `features` of two modalities or more, and `category`
where there are labels. `embed` returns one matrix for each modality, and `losses` and `weigh` are given all of them.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..exchange import Exchange
from ..functional.contrastive import pair_losses, pair_losses_of_cosines
from ..functional.reduction import weighted_mean
from ..functional.similarity import same_image_mask
from ..memory.bank import EncodedPairs, MemoryBank
from ._batch import NoisyITMOutput, PairBatch, PairLosses
from ._config import NoisyITMConfig, Paper
from ._embedding import EmbeddingModel
from ._negatives import InBatch, in_batch_proposals, match_moments, told
from ._trust import trust_in

MAX_LOG_LOGIT_SCALE = math.log(100.0)  # CLIP, Radford et al. 2021, Sec. 2.5


class NoisyITMModel(EmbeddingModel):
    """A `CLIPModel` (`self.clip`) and the state that one method needs beside it.

    `from_pretrained` takes checkpoints of the method and plain CLIP checkpoints alike; what it saves can be loaded by
    `CLIPModel.from_pretrained` too.

    Where `needs_scores` is true, `forward` is given what the memory bank scored of each pair, by the bank's names,
    what a frozen scorer says of it (`TrustScores.of`), and `last_weight`, what `weigh` last said of it (1 before the
    first). Where the data have weights, `data_weight` comes in the same way, for every method. Where
    `needs_validation` is true, `choose` is called after training, if there are pairs for it. `embeds_by_clip_alone`
    says whether `clip` without the rest embeds as the model does. `sources` are facts about files that the method was
    made with, by name, for the record. `copies` and `frozen`: see `StartingModel`.
    """

    config_class = NoisyITMConfig
    config: NoisyITMConfig
    accepts_loss_kwargs = False  # the loss is the mean over the batch; the Trainer scales it for accumulation
    paper: ClassVar[Paper | None] = None
    needs_validation: bool = False
    embeds_by_clip_alone: bool = True
    sources: dict[str, dict] = {}

    def __init__(self, config: NoisyITMConfig):
        super().__init__(config)
        self._build_towers(config)
        self.match_moments = None if config.negatives == "all" else match_moments(config)
        self._build(config)
        self.attach(Exchange(), None)
        self._start_all()

    def _build(self, config: NoisyITMConfig) -> None:
        """Adds the method's own modules; a hook, so that all are there before `post_init`."""

    @property
    def needs_scorer(self) -> bool:
        """Whether a frozen scorer's cosines of all training pairs are wanted."""
        return self.config.trust == "osa"

    @property
    def needs_scores(self) -> bool:
        """Whether `forward` is to be given what is known of each pair."""
        return self.needs_scorer

    @property
    def needs_whole(self) -> dict[str, str]:
        """What must lie whole on each process, "parameters" or "optimizer", and what to do where it does not.

        Here: parameters that `copies` follow, or that each chunk of a batch would gather.
        """
        if self.copies:
            return {"parameters": "train with DistributedDataParallel or DeepSpeed ZeRO-1 or 2"}
        return {"parameters": "give --gradient_checkpointing true instead of --grad_cache_chunk"} if self.chunk else {}

    # -- reading ------------------------------------------------------------------------------------------------------

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_id: Tensor | None = None,
        index: Tensor | None = None,
        bank: dict | None = None,
        scores: dict | None = None,
        features: dict | None = None,
        category: dict | None = None,
    ) -> NoisyITMOutput:
        """Mean of what `losses` returns, each pair's share weighted by `weigh` and by others' trust in training.

        Args:
            pixel_values: (B, C, H, W).
            input_ids: (B, L).
            attention_mask: (B, L).
            image_id: which picture each pair shows, (B,); pairs of one id are treated by `config.same_image`.
            index: row of each pair in the training set, (B,).
            bank: entries of the memory bank as `PairCollator` lays them out.
            scores: what is known of each pair, (B,) by name, where the method `needs_scores`.
            features: vectors instead of pictures and captions, (B, D) by modality.
            category: class label of each pair, as the data give it and so perhaps wrong, int64 (B,) by modality. (The
                word "labels" is avoided: `Trainer` takes a loss that comes with them as scaled for accumulation.)
        """
        batch = PairBatch(pixel_values, input_ids, attention_mask, image_id, index, bank, scores, features, category)
        embeds = self.embed(batch)
        losses = self.losses(batch, *embeds)
        own = weight = self.weigh(batch, *embeds, losses=losses) if self.training else None
        trust = trust_in(batch, self.config, self.exchange) if self.training else None
        if trust is not None:
            own = torch.ones_like(trust) if own is None else own
            weight = own * trust
        loss = self.average(losses.per_pair, weight)
        for further in losses.further.values():
            loss = loss + weighted_mean(further)
        return NoisyITMOutput(
            loss=loss,
            loss_per_pair=losses.per_pair.detach(),
            weight_per_pair=weight,
            own_weight_per_pair=own,
            image_embeds=embeds[0][: len(batch)],
            text_embeds=embeds[1][: len(batch)],
            to_remember=losses.to_remember,
            report=losses.report,
            negatives=losses.negatives,
        )

    def losses(self, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor) -> PairLosses:
        """The method's loss of each pair, and what it wants remembered and logged in training; here: CLIP's loss.

        Args:
            batch: what `forward` was given.
            image_embeds: unit rows of the batch's B pictures and of further ones of the bank, (B + U, D).
            text_embeds: likewise of captions, (B + V, D).
        """
        size = len(batch)
        image_embeds, text_embeds = image_embeds[:size], text_embeds[:size]
        if self.config.negatives == "all" or not self.training:
            return PairLosses(self.pair_losses(image_embeds, text_embeds, batch.image_id))
        same_image, scale = self.config.same_image, self.logit_scale
        seen = InBatch.of(image_embeds, text_embeds, batch, self.exchange, same_image)
        log_odds = tuple(self.match_moments.log_odds(each.detach()) for each in seen.cosines)
        log_weight = tuple(logsigmoid(-each) for each in log_odds)
        per_pair = pair_losses_of_cosines(seen.cosines, seen.own_column, scale, seen.same, same_image, log_weight)
        negatives = in_batch_proposals(seen, log_odds, log_weight, scale)
        report = told(negatives, self.match_moments.read())
        return PairLosses(per_pair, to_remember=seen.to_remember, report=report, negatives=negatives)

    def pair_losses(
        self,
        image_embeds: Tensor,
        text_embeds: Tensor,
        image_id: Tensor | None,
        logit_scale: Tensor | None = None,
        log_weight: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Loss of each local pair against the pairs of all processes, (B,); see `functional.contrastive`.

        Args:
            image_embeds: unit rows, (B, D).
            text_embeds: unit rows, (B, D).
            image_id: (B,), or None if all pictures differ.
            logit_scale: inverse temperature; the model's own if left out.
            log_weight: how much wrong answers count, both directions; by the similarities themselves if left out.
        """
        scale = self.logit_scale if logit_scale is None else logit_scale
        among = self.contrast(image_embeds, text_embeds, image_id)
        if log_weight is not None:
            among["log_weight"] = log_weight
        return pair_losses(image_embeds, text_embeds, scale, **among)

    def contrast(self, image_embeds: Tensor, text_embeds: Tensor, image_id: Tensor | None) -> dict:
        """What local pairs are told apart from: the further arguments of `functional.contrastive.pair_losses`.

        Args:
            image_embeds: unit rows, (B, D).
            text_embeds: unit rows, (B, D).
            image_id: (B,), or None if all pictures differ.
        """
        own = self.exchange.own_rows(len(image_embeds), image_embeds.device)
        return {
            "same": None if image_id is None else same_image_mask(image_id, self.exchange.gather(image_id), own),
            "same_image": self.config.same_image,
            "all_image_embeds": self.exchange.gather(image_embeds),
            "all_text_embeds": self.exchange.gather(text_embeds),
            "own_column": own,
            "log_weight": None if self.config.negatives == "all" else self.match_moments.log_weight,
        }

    def weigh(self, batch: PairBatch, *embeds: Tensor, losses: PairLosses) -> Tensor | None:
        """Trust in each pair of a training batch, (B,) in [0, 1], or None for all ones.

        Args:
            batch: what `forward` was given.
            embeds: as in `losses`.
            losses: with their graph, so that a method may differentiate them.
        """
        return None

    def average(self, loss_per_pair: Tensor, weight: Tensor | None) -> Tensor:
        """One number of the losses of a batch, (B,), and of their weights, (B,) or None; here: the weighted mean."""
        return weighted_mean(loss_per_pair, weight)

    def build_bank(self, encoded: EncodedPairs, epoch: int) -> MemoryBank | None:
        """Looks at the whole training set before an epoch; None keeps the bank that is there."""
        return None

    def needs_bank(self, epoch: int) -> bool:
        """Whether `build_bank` is wanted before this epoch (counted from 0); it costs a pass over the data."""
        return False

    # -- writing ------------------------------------------------------------------------------------------------------

    def choose(self, encoded: EncodedPairs) -> dict[str, float]:
        """Settles after training, where it `needs_validation`, what validation pairs are to decide.

        Args:
            encoded: these pairs.

        Returns:
            What was chosen, and why, for the record.
        """
        return {}

    @torch.no_grad()
    def remember(self, **to_remember: Tensor) -> None:
        """Takes in what `forward` returned as `to_remember`, gathered from all processes, (G, …) each.

        Here: similarities of right pairs and of their wrong answers, where the config asks for them.
        """
        if self.match_moments is not None and to_remember:
            self.match_moments.add(to_remember["own_similarity"], to_remember["hardest_similarity"].T)

    @torch.no_grad()
    def step(self) -> None:
        """Follows an optimizer step; here: bounds the temperature as CLIP did, `exp(logit_scale) <= 100`."""
        self.exchange.rewrite(self.clip.logit_scale, lambda scale: scale.clamp(max=MAX_LOG_LOGIT_SCALE))

    @torch.no_grad()
    def begin_epoch(self, epoch: int) -> None:
        """Starts an epoch (counted from 0); called once per epoch, not again where a run resumes within it."""
        if self.match_moments is not None and self.config.moments == "per_epoch":
            self.match_moments.reset()
