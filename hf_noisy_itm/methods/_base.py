"""What every method is: a CLIP, a config of declared fields, and five verbs, of which three may write.

    forward(batch)             reads    embeds the batch, one loss per pair, one weight per pair, their mean
    weigh(batch, losses)       reads    trust in each pair; called by `forward`, so that both share one graph
    remember(**to_remember)    writes   queues and statistics, after backward, with the rows of all processes
    step()                     writes   after each optimizer step: momentum copies, projections, clamps
    begin_epoch(epoch)         writes   warm-up and resets, once per epoch, also across a resumed run

Between epochs `build_bank` may look at the whole embedded training set and name, for each pair, clean pairs to
compare it with (`MemoryBank`); the collator then brings those along in `batch["bank"]`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, PreTrainedModel

from ..exchange import Exchange
from ..functional.contrastive import pair_losses
from ..functional.reduction import weighted_mean
from ..functional.similarity import normalize, same_image_mask
from ..memory.bank import EncodedPairs, MemoryBank
from ._batch import NoisyITMOutput, PairBatch

MAX_LOG_LOGIT_SCALE = math.log(100.0)  # CLIP, Radford et al. 2021, Sec. 2.5


@strict
class NoisyITMConfig(CLIPConfig):
    """CLIP's config and what all methods share.

    Args:
        same_image: captions of one picture that meet in a batch are left out of each other's negatives ("mask"), are
            negatives ("negative", as in the released codes of NPC and FNE), or are right answers too ("positive").
    """

    model_type = "noisy_itm"

    same_image: Literal["mask", "negative", "positive"] = "mask"

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """Takes a plain CLIP's dictionary too: its `model_type` does not stick to the method's config."""
        return super().from_dict({key: value for key, value in config_dict.items() if key != "model_type"}, **kwargs)


@dataclass(frozen=True)
class Paper:
    """Where a method comes from; cards cite it."""

    title: str
    venue: str
    url: str
    bibtex: str


class NoisyITMModel(PreTrainedModel):
    """A `CLIPModel` (`self.clip`) and the state that one method needs beside it.

    `from_pretrained` takes checkpoints of the method and plain CLIP checkpoints alike; what it saves can be loaded by
    `CLIPModel.from_pretrained` too.
    """

    config_class = NoisyITMConfig
    config: NoisyITMConfig
    base_model_prefix = "clip"
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    accepts_loss_kwargs = False  # the loss is the mean over the batch; the Trainer scales it for accumulation
    paper: ClassVar[Paper | None] = None

    def __init__(self, config: NoisyITMConfig):
        super().__init__(config)
        self.clip = CLIPModel(config)
        self._build(config)
        self.attach(Exchange(), None)
        self.post_init()

    def _build(self, config: NoisyITMConfig) -> None:
        """Adds the method's own modules and buffers; a hook, so that all are there before `post_init`."""

    def _init_weights(self, module: nn.Module) -> None:
        """CLIP's own modules are initialised by CLIP; buffers of the methods start as they are built."""

    def attach(self, exchange: Exchange, optimizer: torch.optim.Optimizer | None) -> None:
        """Lets the model read (never write) what belongs to the training loop: other processes, the optimizer."""
        self.__dict__["exchange"], self.__dict__["optimizer"] = exchange, optimizer

    # -- reading ------------------------------------------------------------------------------------------------------

    def embed_images(self, pixel_values: Tensor) -> Tensor:
        """Embeds pictures, (B, C, H, W) -> unit rows (B, D)."""
        return normalize(self.clip.get_image_features(pixel_values=pixel_values).pooler_output)

    def embed_texts(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embeds captions, (B, L) -> unit rows (B, D)."""
        return normalize(self.clip.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output)

    def embed(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Embeds all rows of a batch, the bank's too: unit rows (B + U, D) and (B + V, D)."""
        return (
            self.embed_images(batch.all_pixel_values),
            self.embed_texts(batch.all_input_ids, batch.all_attention_mask),
        )

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature, `exp` of CLIP's parameter, in float32."""
        return self.clip.logit_scale.float().exp()

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_id: Tensor | None = None,
        index: Tensor | None = None,
        bank: dict | None = None,
    ) -> NoisyITMOutput:
        """CLIP's loss over the pairs of all processes, each pair's share weighted by `weigh`, plus `bank_loss`.

        Args:
            pixel_values: (B, C, H, W).
            input_ids: (B, L).
            attention_mask: (B, L).
            image_id: which picture each pair shows, (B,); pairs of one id are treated by `config.same_image`.
            index: row of each pair in the training set, (B,).
            bank: entries of the memory bank as `PairCollator` lays them out.
        """
        batch = PairBatch(pixel_values, input_ids, attention_mask, image_id, index, bank)
        image_embeds, text_embeds = self.embed(batch)
        size = len(pixel_values)
        loss_per_pair = self.pair_losses(image_embeds[:size], text_embeds[:size], image_id)
        entry_losses = {
            name: self.pair_losses(image_embeds[entry["image_row"]], text_embeds[entry["text_row"]], entry["image_id"])
            for name, entry in batch.entries.items()
        }
        weight = self.weigh(batch, loss_per_pair, entry_losses) if self.training else None
        loss = weighted_mean(loss_per_pair, weight)
        for losses in entry_losses.values():
            loss = loss + weighted_mean(losses)
        return NoisyITMOutput(
            loss=loss,
            loss_per_pair=loss_per_pair.detach(),
            weight_per_pair=weight,
            image_embeds=image_embeds[:size],
            text_embeds=text_embeds[:size],
        )

    def pair_losses(
        self, image_embeds: Tensor, text_embeds: Tensor, image_id: Tensor | None, logit_scale: Tensor | None = None
    ) -> Tensor:
        """Loss of each local pair against the pairs of all processes, (B,); see `functional.contrastive`.

        Args:
            image_embeds: unit rows, (B, D).
            text_embeds: unit rows, (B, D).
            image_id: (B,), or None if all pictures differ.
            logit_scale: inverse temperature; the model's own if left out.
        """
        scale = self.logit_scale if logit_scale is None else logit_scale
        own = self.exchange.own_rows(len(image_embeds), image_embeds.device)
        same = None if image_id is None else same_image_mask(image_id, self.exchange.gather(image_id), own)
        return pair_losses(
            image_embeds,
            text_embeds,
            scale,
            same,
            self.config.same_image,
            self.exchange.gather(image_embeds),
            self.exchange.gather(text_embeds),
            own,
        )

    def weigh(self, batch: PairBatch, loss_per_pair: Tensor, entry_losses: dict[str, Tensor]) -> Tensor | None:
        """Trust in each pair of a training batch, (B,) in [0, 1], or None for all ones.

        Args:
            batch: what `forward` was given.
            loss_per_pair: (B,), with its graph, so that a method may differentiate it.
            entry_losses: loss of each pair's entries in the memory bank, (B,) by kind of entry, with graph.
        """
        return None

    def build_bank(self, encoded: EncodedPairs, epoch: int) -> MemoryBank | None:
        """Looks at the whole training set before an epoch; None keeps the bank that is there."""
        return None

    def needs_bank(self, epoch: int) -> bool:
        """Whether `build_bank` is wanted before this epoch (counted from 0); it costs a pass over the data."""
        return False

    # -- writing ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def remember(self, **to_remember: Tensor) -> None:
        """Takes in what `forward` returned as `to_remember`, gathered from all processes, (G, …) each."""

    @torch.no_grad()
    def step(self) -> None:
        """Follows an optimizer step; here: bounds the temperature as CLIP did, `exp(logit_scale) <= 100`."""
        self.clip.logit_scale.clamp_(max=MAX_LOG_LOGIT_SCALE)

    @torch.no_grad()
    def begin_epoch(self, epoch: int) -> None:
        """Starts an epoch (counted from 0); called once per epoch, not again where a run resumes within it."""
