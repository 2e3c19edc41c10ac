"""Fields of NPC: what each means, where its number is from, and which of them do not go together."""

import math
from typing import Literal

from huggingface_hub.dataclasses import strict

from ..memory.clean import check_bank
from ._choices import Choice
from ._config import NoisyITMConfig

_HOW_THE_BATCH_STEPS = {"virtual_blocks": None, "virtual_optimizer": "adamw_base_state"}
_RELEASED = {
    "same_image": "negative",
    "negatives": "all",
    "weights": "impact",
    "virtual_step": "batch",
    "virtual_optimizer": "adamw_own_state",
    "virtual_blocks": None,
    "impact_every": 1,
    "bank_share": 1.0,
}


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
            change ("adamw_base_state"; ours), or with moments of all virtual gradients so far, two more copies of the
            parameters ("adamw_own_state"; official code), or a plain gradient step ("sgd"; ours).
        virtual_step: "batch", as the paper has it: one step on the whole batch, so that all entries feel all pairs; or
            "pair": each pair takes a step alone, with a linear head on the embeddings instead of the towers, which
            costs no pass and shows what this pair does, see `functional/pair_steps.py`. (Ours.)
        pair_step_size: length of such a step, see `pair_steps`; about 1 turns an embedding around. (Ours.)
        virtual_blocks: the virtual step on the batch moves the last so many blocks of either tower and the
            projections, and reuses what the blocks before have made; None moves all. (None: official code.)
        impact_every: take virtual steps in every so many epochs, from the first; in between a pair keeps its last
            weight, which the trainer knows: 1, if the last such epoch left it out of an incomplete batch. (1: official
            code.)
        bank_share: share of the pairs, drawn at each step, whose entries are trained on, in (0, 1]. Their loss counts
            as much more, so that its mean stays the same. The mean of its gradient does not quite, see
            recipes/benchmarks/npc_share.py: entries that are not drawn learn nothing as wrong answers to those that
            are. (1: official code.)
        variant: "paper", or what the official loop computes ("released"): the mean weight times the mean loss, a
            bank's loss without gradient, and a virtual gradient of four times that of the mean loss. It needs
            same_image="negative" and virtual_optimizer="adamw_own_state", which it has too, and none of the cheaper
            forms.
        weights: "impact", the method; or "ones", the ablation that trains on batch and entries without weighing, and
            so without a virtual step, whatever the fields above say. (Ours.)
        bank_seed: of the order in which pairs meet when they are scored, and of the mixture's start.
    """

    model_type = "noisy_itm_npc"

    clean_threshold: float = 0.9
    bank_score: Literal["loss", "cosine"] = "loss"
    bank_batch_size: int = 256
    bank_refresh_epochs: int = 0
    exclude_self: bool = False
    virtual_optimizer: Literal["adamw_base_state", "adamw_own_state", "sgd"] = "adamw_base_state"
    virtual_step: Literal["batch", "pair"] = "batch"
    pair_step_size: float = 0.5
    virtual_blocks: int | None = None
    impact_every: int = 1
    bank_share: float = 1.0
    variant: Literal["paper", "released"] = "paper"
    weights: Literal["impact", "ones"] = "impact"
    bank_seed: int = 0

    choices = (
        *NoisyITMConfig.choices,
        Choice("virtual_step", lambda step: step == "pair", _HOW_THE_BATCH_STEPS),
        Choice("virtual_step", lambda step: step == "batch", {"pair_step_size": 0.5}),
        Choice("bank_share", lambda share: share != 1, {"virtual_blocks": None}),
        Choice("variant", lambda variant: variant == "released", _RELEASED),
    )

    def validate_npc(self):
        """Called by `@strict`."""
        check_bank(self.clean_threshold, self.bank_batch_size, self.bank_seed)
        if self.bank_refresh_epochs < 0:
            raise ValueError(f"bank_refresh_epochs must not be negative, got {self.bank_refresh_epochs}.")
        if not 0 < self.bank_share <= 1 or self.impact_every < 1 or not 0 < self.pair_step_size < math.inf:
            raise ValueError(
                f"bank_share must be above 0 and at most 1, impact_every at least 1 and pair_step_size above 0 and "
                f"finite, got {self.bank_share}, {self.impact_every} and {self.pair_step_size}."
            )
        blocks = min(self.vision_config.num_hidden_layers, self.text_config.num_hidden_layers)
        if self.virtual_blocks is not None and not 0 <= self.virtual_blocks <= blocks:
            raise ValueError(f"virtual_blocks must be between 0 and {blocks}, got {self.virtual_blocks}.")
