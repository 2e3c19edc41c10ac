"""NPC: Negative Pre-aware for Noisy Cross-modal Matching (AAAI 2024), https://arxiv.org/abs/2312.05777

Before each update the model looks where the batch alone would take it, and asks, for every pair, whether that helps a
clean pair of the same kind (its entries in a memory bank). Pairs whose entries get worse are given less weight, and
the entries themselves are trained on. It trusts what a mixture of two Gaussians calls clean, and pays with a second
backward pass and two further forward passes on the entries.

Relations: with all weights 1 and no bank this is `baseline`. Like OSA it weighs pairs, but by what the current model
learns from them, not by a frozen scorer.
Differs from the official code: weights act on each pair's own loss and the bank's loss has a gradient, as the paper's
figure says (there the weights meet a batch mean and the bank's loss is a constant); float32 ratios; cosine on both
sides of the bank search; entries of one picture are no negatives of each other. Not in the paper and so ours: which
optimizer state the virtual step uses, and which of a picture's clean captions its entry is (the one of lowest loss).
Under autocast the two passes that the ratio compares are in float32 nevertheless, since half precision would decide
by rounding on which side of 1 it lies.
"""  # noqa: D400, D415

from dataclasses import replace
from typing import Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.func import functional_call
from transformers import AutoConfig, AutoModel

from ..errors import InputError
from ..functional.reduction import weighted_mean
from ..memory.bank import EncodedPairs, MemoryBank
from ..memory.clean import build_bank
from ..memory.scores import Scoring, weights_sha256
from ._base import MAX_LOG_LOGIT_SCALE, NoisyITMModel
from ._batch import PairBatch, PairLosses
from ._config import NoisyITMConfig, Paper
from ._lookahead import look_ahead

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


@strict
class NPCConfig(NoisyITMConfig):
    """Fields of NPC; numbers with their sources.

    Args:
        clean_threshold: a pair is clean if its posterior of the low-loss component is above this, in [0, 1).
            (0.9: official code; the paper says "strict" without a number that we could read.)
        bank_score: what the mixture is fitted to, the loss of each pair or the cosine of its picture and caption.
            ("loss": official code.)
        bank_batch_size: pairs scored together, as negatives of each other, for the mixture. (256: official code.)
        bank_refresh_epochs: build the bank again every so many epochs, 0 for never. (0: the official bank is frozen.)
        exclude_self: a clean pair is not its own entry, see `memory/neighbors.py`. (False: official code.)
        virtual_optimizer: the virtual step is AdamW with the real optimizer's state, which it reads and does not
            change ("adamw_base_state"), or a plain gradient step ("sgd"). (Ours; the official one keeps a state.)
        weights: "impact", the method; or "ones", the ablation that trains on batch and entries without weighing, and
            so without a virtual step. (Ours.)
        bank_seed: of the order in which pairs meet when they are scored, and of the mixture's start.
    """

    model_type = "noisy_itm_npc"

    clean_threshold: float = 0.9
    bank_score: Literal["loss", "cosine"] = "loss"
    bank_batch_size: int = 256
    bank_refresh_epochs: int = 0
    exclude_self: bool = False
    virtual_optimizer: Literal["adamw_base_state", "sgd"] = "adamw_base_state"
    weights: Literal["impact", "ones"] = "impact"
    bank_seed: int = 0

    def validate_npc(self):
        """Called by `@strict`."""
        if not 0 <= self.clean_threshold < 1:
            raise ValueError(f"clean_threshold is a probability below 1, got {self.clean_threshold}.")
        if self.bank_batch_size < 2 or self.bank_refresh_epochs < 0:
            raise ValueError(
                f"bank_batch_size must be at least 2 and bank_refresh_epochs not negative, "
                f"got {self.bank_batch_size} and {self.bank_refresh_epochs}."
            )


class NPCModel(NoisyITMModel):
    """CLIP with NPC's weights; without a bank in the batch it is the baseline."""

    config_class = NPCConfig
    config: NPCConfig
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

    def losses(self, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor) -> PairLosses:
        """CLIP's loss of each pair, and that of its entries, which no weight touches."""
        own = super().losses(batch, image_embeds, text_embeds)
        return replace(own, further=self._entry_losses(batch, image_embeds, text_embeds, self.logit_scale))

    def _entry_losses(
        self, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor
    ) -> dict[str, Tensor]:
        """Loss of each pair's entry among the entries of one kind, (B,) by kind."""
        return {
            name: self.pair_losses(
                image_embeds[entry["image_row"]], text_embeds[entry["text_row"]], entry["image_id"], logit_scale
            )
            for name, entry in batch.entries.items()
        }

    def weigh(self, batch: PairBatch, losses: PairLosses) -> Tensor | None:
        """Weight of each pair by what a virtual step on the batch does to its entries, (B,) in (0, 1]."""
        if not batch.entries or self.config.weights == "ones":
            return None
        if self.optimizer is None:
            raise InputError(
                "NPC's virtual step needs the optimizer that trains the model: train with NoisyITMTrainer, or call "
                "model.attach(exchange, optimizer) first."
            )
        follow = "sgd" if self.config.virtual_optimizer == "sgd" else "adamw"
        ahead = look_ahead(self, weighted_mean(losses.per_pair), self.optimizer, self.exchange, follow)
        before = {name: loss.detach() for name, loss in losses.further.items()}
        rounded = torch.is_autocast_enabled(self.device.type)  # by more than a step changes
        with torch.autocast(self.device.type, enabled=False):
            before = self._entry_losses_at({}, batch) if rounded else before
            after = self._entry_losses_at(ahead, batch)
        return confidence_weight(impact_ratio(before, after))

    @torch.no_grad()
    def _entry_losses_at(self, parameters: dict[str, Tensor], batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the entries with other parameters; the model's own are not touched.

        The same rows pass through the same code as in `forward`, so that parameters that did not move give the same
        losses to the last bit: the weight jumps at a ratio of 1, where rounding would decide.
        """
        if "clip.logit_scale" in parameters:
            parameters["clip.logit_scale"] = parameters["clip.logit_scale"].clamp(max=MAX_LOG_LOGIT_SCALE)
        moved = {f"model.{name}": parameter for name, parameter in parameters.items()}
        return self._entry_losses(batch, *functional_call(_Embedding(self), moved, (batch,)))

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
        return bank.told(method=config.model_type, epoch=epoch, scorer={"weights_sha256": weights_sha256(self.clip)})


class _Embedding(nn.Module):
    """What `forward` does before any loss, as a module that `functional_call` can give other parameters."""

    def __init__(self, model: NPCModel):
        super().__init__()
        self.model = model

    def forward(self, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Unit rows of pictures and of captions, and the inverse temperature."""
        return *self.model.embed(batch), self.model.logit_scale


AutoConfig.register(NPCConfig.model_type, NPCConfig)
AutoModel.register(NPCConfig, NPCModel)
