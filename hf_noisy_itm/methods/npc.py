"""NPC: Negative Pre-aware for Noisy Cross-modal Matching (AAAI 2024), https://arxiv.org/abs/2312.05777

Before each update the model looks where the batch alone would take it, and asks, for every pair, whether that helps a
clean pair of the same kind (its entries in a memory bank). Pairs whose entries get worse are given less weight, and
the entries themselves are trained on. It trusts what a mixture of two Gaussians calls clean, and pays with forward
and backward passes of the entries, a second backward pass of the batch and a second forward pass of the entries: where
none of these is in the batch, 13/3 of a plain step and what one step of AdamW costs.

Relations: with all weights 1 and no bank this is `baseline`. Like OSA it weighs pairs, but by what the current model
learns from them, not by a frozen scorer.
Differs from the official code: weights act on each pair's own loss and the bank's loss has a gradient, as the paper's
figure says (there the weights meet a batch mean and the bank's loss is a constant); float32 ratios; cosine on both
sides of the bank search; entries of one picture are no negatives of each other. Not in the paper and so ours: which
optimizer state the virtual step uses, and which of a picture's clean captions its entry is (the one of lowest loss).
`variant="released"` is what the official loop computes instead, to be compared with and not to be recommended: since
its weights scale the whole batch and its bank's loss is a constant, it is plain fine-tuning whose step length varies,
which Adam nearly ignores. Its bank, half precision, staircase of learning rates, decay of all parameters and unbounded
temperature are not part of it.
Ours as well, and cheaper: `virtual_step="pair"` asks what each pair alone does to its entries instead of what the
batch does to them, in closed form and without a pass; `virtual_blocks`, `impact_every` and `bank_share` leave parts
of the work out. In a batch of 128 the others hide what one pair does: on `scenes` the paper's weights tell right from
wrong pairs little better than chance, and those of single pairs tell them well, as far as the bank is right.
Under autocast the two passes that the ratio compares are in float32 nevertheless, since half precision would decide
by rounding on which side of 1 it lies; and they are without dropout, which would decide by its draw.
"""  # noqa: D400, D415

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from ..functional.draws import uniform
from ..functional.reduction import product_of_means, weighted_mean
from ..memory.bank import EncodedPairs, MemoryBank
from ..memory.clean import build_bank
from ..memory.epoch import Epoch
from ..memory.gradient_moments import GradientMoments
from ..memory.scores import Scoring, weights_sha256
from ..memory.steps import Steps
from ._base import NoisyITMModel
from ._batch import PairBatch, PairLosses
from ._config import Paper
from ._npc_config import NPCConfig
from ._parts import towers_of
from ._virtual_steps import (
    BatchStep,
    fixed_layers,
    log_weights_of_entries,
    losses_around_batch_step,
    losses_around_single_steps,
)

EPS = 1e-6


def impact_ratio(before: dict[str, Tensor], after: dict[str, Tensor]) -> Tensor:
    """`r_i`: how much the virtual step helped the entries of pair i, the mean over its entries of before / after.

    Args:
        before: losses of the entries at the current parameters, (B,) by kind of entry.
        after: the same after the virtual step.

    Returns:
        float32 (B,), > 0; at least 1 where the pair does no harm.
    """
    ratios = [(before[name].float() + EPS) / (after[name].float() + EPS) for name in before]
    return torch.stack(ratios).mean(dim=0)


def confidence_weight(ratio: Tensor) -> Tensor:
    """`w = 1 if r >= 1 else tanh(r)`, in (0, 1]; it jumps at r = 1, where tanh is 0.76."""
    return torch.where(ratio >= 1, torch.ones_like(ratio), ratio.tanh())  # a ratio that is no number stays none


class NPCModel(NoisyITMModel):
    """CLIP with NPC's weights; without a bank in the batch it is the baseline."""

    config_class = NPCConfig
    config: NPCConfig
    _keys_to_ignore_on_load_missing = {r"^virtual_moments\."}  # which start by `reset`
    _keys_to_ignore_on_load_unexpected = {r"^virtual_moments\."}
    paper = Paper(
        title="Negative Pre-aware for Noisy Cross-modal Matching",
        venue="AAAI 2024",
        url="https://arxiv.org/abs/2312.05777",
        bibtex="""@inproceedings{zhang2024negative,
  title     = {Negative Pre-aware for Noisy Cross-modal Matching},
  author    = {Zhang, Xu and Li, Hao and Ye, Mang},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2024}
}""",
    )

    def _build(self, config: NPCConfig) -> None:
        own = config.virtual_optimizer == "adamw_own_state"
        self.virtual_moments = GradientMoments(dict(self.named_parameters())) if own else None
        self.steps = Steps() if config.bank_share < 1 else None
        self.epoch = Epoch() if config.impact_every > 1 else None

    @property
    def needs_scores(self) -> bool:
        """In epochs without virtual steps the last weights are asked for."""
        return super().needs_scores or self.config.impact_every > 1

    @property
    def needs_whole(self) -> dict[str, str]:
        """A virtual step on the batch follows the optimizer."""
        way_out = "give --virtual_step pair, or train with DistributedDataParallel"
        follows = self.config.virtual_step == "batch" and self.config.weights == "impact"
        return super().needs_whole | ({"optimizer": way_out} if follows else {})

    def embed(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """See `NoisyITMModel.embed`; in training in parts, which a virtual step uses again."""
        if not (self.training and batch.entries):
            return super().embed(batch)
        batch.kept["trained_on"] = drawn = None if self.config.bank_share == 1 else self._drawn(batch)
        fixed = fixed_layers(self, self.config.virtual_blocks)
        images, texts = batch.kept["towers"] = towers_of(self, batch, fixed, drawn)
        return images.embed(), texts.embed()

    def _drawn(self, batch: PairBatch) -> Tensor:
        """Whose entries are trained on at this step, bool (B,)."""
        return uniform(self.config.bank_seed, "entries", self.steps.count, batch.index) < self.config.bank_share

    def losses(self, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor) -> PairLosses:
        """CLIP's loss of each pair, and that of its entries, which no weight touches."""
        towers = batch.kept.get("towers")
        own = super().losses(
            batch, *([tower.own_embeds for tower in towers] if towers else (image_embeds, text_embeds))
        )
        entries = self._entry_losses(batch, image_embeds, text_embeds, self.logit_scale)
        batch.kept["entry_losses"] = entries
        if (drawn := batch.kept.get("trained_on")) is not None:
            entries = {name: loss * drawn / self.config.bank_share for name, loss in entries.items()}
        if self.config.variant == "released":
            entries = {name: loss.detach() for name, loss in entries.items()}
        return replace(own, further=entries)

    def average(self, loss_per_pair: Tensor, weight: Tensor | None) -> Tensor:
        """The weighted mean; as released, the mean loss times the mean weight of all processes."""
        if self.config.variant == "paper" or weight is None:
            return super().average(loss_per_pair, weight)
        return product_of_means(loss_per_pair, self.exchange.gather(weight))

    def _entry_losses(
        self,
        batch: PairBatch,
        image_embeds: Tensor,
        text_embeds: Tensor,
        logit_scale: Tensor,
        log_weights: dict[str, tuple[Tensor, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Loss of each pair's entry among the entries of one kind, (B,) by kind."""
        return {
            name: self.pair_losses(
                image_embeds[entry["image_row"]],
                text_embeds[entry["text_row"]],
                entry["image_id"],
                logit_scale,
                (log_weights or {}).get(name),
            )
            for name, entry in batch.entries.items()
        }

    def weigh(self, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor, losses: PairLosses) -> Tensor | None:
        """Weight of each pair by what a virtual step does to its entries, (B,) in (0, 1]."""
        if not batch.entries or self.config.weights == "ones":
            return None
        if self.epoch is not None and self.epoch.number % self.config.impact_every and batch.scores is not None:
            return batch.scores["last_weight"]
        if self.config.virtual_step == "pair":
            size = self.config.pair_step_size
            before, after = losses_around_single_steps(self, batch, image_embeds, text_embeds, size)
        else:
            loss = weighted_mean(losses.per_pair)
            if self.config.variant == "released":
                loss = 4 * loss  # both directions are added there, not averaged, and differentiated twice
            held = log_weights_of_entries(self, batch, image_embeds, text_embeds)
            entry_losses = partial(self._entry_losses, log_weights=held)
            before, after = losses_around_batch_step(self, batch, loss, self._virtual_step, entry_losses)
            before = before or {name: loss.detach() for name, loss in batch.kept["entry_losses"].items()}
        return confidence_weight(impact_ratio(before, after))

    @property
    def _virtual_step(self) -> BatchStep:
        optimizer = "sgd" if self.config.virtual_optimizer == "sgd" else "adamw"
        return BatchStep(optimizer, self.virtual_moments, self.config.virtual_blocks)

    @torch.no_grad()
    def step(self) -> None:
        """Takes the virtual gradients since the last step into their moments, and counts, where that is asked for."""
        super().step()
        if self.virtual_moments is not None:
            self.virtual_moments.update()
        if self.steps is not None:
            self.steps.advance()

    @torch.no_grad()
    def begin_epoch(self, epoch: int) -> None:
        """Counts, where virtual steps are taken in some epochs only."""
        super().begin_epoch(epoch)
        if self.epoch is not None:
            self.epoch.begin(epoch)

    def needs_bank(self, epoch: int) -> bool:
        """Before the first epoch, and every `bank_refresh_epochs`."""
        every = self.config.bank_refresh_epochs
        return epoch == 0 or (every > 0 and epoch % every == 0)

    @torch.no_grad()
    def build_bank(self, encoded: EncodedPairs, epoch: int) -> MemoryBank:
        """Scores all pairs, calls some clean, and finds the nearest clean pair of every picture and caption.

        Raises:
            InputError: no pair is clean by the threshold, or a loss is not finite.
        """
        config = self.config
        scoring = Scoring(config.bank_score, config.bank_batch_size, config.bank_seed, config.same_image)
        bank = build_bank(encoded, self.logit_scale, config.clean_threshold, config.exclude_self, scoring)
        scorer = {"weights_sha256": weights_sha256(self.clip, self.exchange)}
        return bank.told(method=config.model_type, epoch=epoch, scorer=scorer)


AutoConfig.register(NPCConfig.model_type, NPCConfig)
AutoModel.register(NPCConfig, NPCModel)
