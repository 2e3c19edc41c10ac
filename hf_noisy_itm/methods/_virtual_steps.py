"""What a virtual step does to the entries of a memory bank: NPC's further passes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import InputError
from ..functional.pair_steps import losses_after_pair_steps, pair_steps
from ..functional.similarity import inner_products
from ..memory.gradient_moments import GradientMoments
from ._base import MAX_LOG_LOGIT_SCALE, NoisyITMModel
from ._batch import PairBatch
from ._lookahead import look_ahead

EntryLosses = Callable[[PairBatch, Tensor, Tensor, Tensor], dict[str, Tensor]]


class BatchStep(NamedTuple):
    """A virtual step on a batch.

    Args:
        optimizer: "sgd", or "adamw" with the state of the real optimizer, or with `moments`.
        moments: see `look_ahead`.
        blocks: how many of the last blocks of either tower move, with what follows them; None for all parameters.
    """

    optimizer: str
    moments: GradientMoments | None
    blocks: int | None


def fixed_layers(model: NoisyITMModel, blocks: int | None) -> list[list[nn.Module]]:
    """Of either tower, the blocks that do not move."""
    towers = model.clip.vision_model.encoder.layers, model.clip.text_model.encoder.layers
    return [[] if blocks is None else list(layers)[: len(layers) - blocks] for layers in towers]


def losses_around_batch_step(
    model: NoisyITMModel, batch: PairBatch, loss: Tensor, step: BatchStep, entry_losses: EntryLosses
) -> tuple[dict[str, Tensor] | None, dict[str, Tensor]]:
    """Losses of the entries before a virtual step on the batch, and after it; the model is not changed.

    Float16 is refused: the gradient of the virtual step is not scaled as that of the real one is, and would underflow.

    Args:
        model: with an optimizer attached.
        batch: embedded before by `batch.kept["towers"]`, see `_parts.towers_of`.
        loss: that the step is to lower.
        step: how.
        entry_losses: of a batch, its embedded rows and an inverse temperature.

    Returns:
        Losses before, or None where those that were computed with `loss` serve: under autocast they do not, since half
        precision rounds by more than a step changes, nor with dropout. And losses after.
    """
    if model.optimizer is None:
        raise InputError(
            "NPC's virtual step needs the optimizer that trains the model: train with NoisyITMTrainer, or call "
            "model.attach(exchange, optimizer) first."
        )
    rounded = torch.is_autocast_enabled(model.device.type)
    if rounded and torch.get_autocast_dtype(model.device.type) == torch.float16:
        raise InputError(
            "NPC's virtual step on the batch cannot be taken in float16, where its gradient underflows: train with "
            "--bf16 true or in float32, or give --virtual_step pair, which needs no gradient."
        )
    ahead = look_ahead(
        model,
        loss,
        model.optimizer,
        model.exchange,
        step.optimizer,
        _fixed_parameters(model, step.blocks),
        step.moments,
    )
    with torch.autocast(model.device.type, enabled=False):
        before = _losses_at(model, batch, {}, entry_losses) if rounded or _has_dropout(model) else None
        return before, _losses_at(model, batch, ahead, entry_losses)


@torch.no_grad()
def log_weights_of_entries(
    model: NoisyITMModel, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """How much wrong answers to the entries count by the embeddings as they are, both directions, by kind of entry.

    A virtual step is to tell how the same loss changes: by the embeddings that it moves they would count otherwise.
    """
    weights = {}
    for name, entry in batch.entries.items() if model.config.negatives != "all" else ():
        images, texts = image_embeds[entry["image_row"]], text_embeds[entry["text_row"]]
        among = model.contrast(images, texts, entry["image_id"])
        weights[name] = (
            among["log_weight"](inner_products(images, among["all_text_embeds"])),
            among["log_weight"](inner_products(texts, among["all_image_embeds"])),
        )
    return weights


@torch.no_grad()
def losses_around_single_steps(
    model: NoisyITMModel, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor, size: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses of the entries before, and each after the step of its own pair alone; see `functional.pair_steps`.

    Both by the same code, since rounding would decide where a step changes nothing.
    """
    own, scale = (image_embeds[: len(batch)], text_embeds[: len(batch)]), model.logit_scale
    steps = pair_steps(*own, scale, size, **model.contrast(*own, batch.image_id))
    before, after = {}, {}
    for name, entry in batch.entries.items():
        embeds = image_embeds[entry["image_row"]], text_embeds[entry["text_row"]]
        among = model.contrast(*embeds, entry["image_id"])
        before[name] = losses_after_pair_steps(steps._replace(size=0.0), *embeds, scale, **among)
        after[name] = losses_after_pair_steps(steps, *embeds, scale, **among)
    return before, after


@torch.no_grad()
def _losses_at(
    model: NoisyITMModel, batch: PairBatch, parameters: dict[str, Tensor], entry_losses: EntryLosses
) -> dict[str, Tensor]:
    """Losses of the entries with other parameters, without dropout."""
    if "clip.logit_scale" in parameters:
        parameters["clip.logit_scale"] = parameters["clip.logit_scale"].clamp(max=MAX_LOG_LOGIT_SCALE)
    moved = {f"model.{name}": parameter for name, parameter in parameters.items()}
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        return entry_losses(batch, *functional_call(_Embedding(model), moved, (batch,)))
    finally:
        for module in training:
            module.training = True


def _has_dropout(model: NoisyITMModel) -> bool:
    """Whether two passes differ though nothing moved."""
    towers = model.config.vision_config, model.config.text_config
    layers = (module.p for module in model.modules() if isinstance(module, nn.Dropout))
    return any(share > 0 for share in (*layers, *(tower.attention_dropout for tower in towers)))


def _fixed_parameters(model: NoisyITMModel, blocks: int | None) -> list[Tensor]:
    """Those of the fixed blocks, and of what stands before them."""
    if blocks is None:
        return []
    vision, text = model.clip.vision_model, model.clip.text_model
    parts = [vision.embeddings, vision.pre_layrnorm, text.embeddings, *sum(fixed_layers(model, blocks), [])]
    return [parameter for part in parts for parameter in part.parameters()]


class _Embedding(nn.Module):
    """Embeds again, as a module that `functional_call` can give other parameters."""

    def __init__(self, model: NoisyITMModel):
        super().__init__()
        self.model = model

    def forward(self, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Unit rows of pictures and of captions, and the inverse temperature."""
        images, texts = batch.kept["towers"]
        return images.embed_again(), texts.embed_again(), self.model.logit_scale
