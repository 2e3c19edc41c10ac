"""A momentum encoder: CLIP's towers and projections as they were on average over the last steps."""

import copy

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from ..errors import InputError
from ..functional.similarity import normalize
from ._batch import PairBatch
from ._chunks import in_chunks

PARTS = ("vision_model", "visual_projection", "text_model", "text_projection")


class Twin(nn.Module):
    """Both towers and projections of a CLIP, without its temperature; not trained.

    A method that has one as `self.twin` sets `copies = twin_copies`, calls `adopt` where it is attached to a trainer,
    and `follow` in its `step`.
    """

    def __init__(self, clip: CLIPModel):
        super().__init__()
        self._copy(clip)

    def _copy(self, clip: CLIPModel) -> None:
        frozen = {id(each): each for each in clip.parameters() if not each.requires_grad}  # beside adapters: shared
        for name in PARTS:
            setattr(self, name, copy.deepcopy(getattr(clip, name), dict(frozen)))

    def adopt(self, clip: CLIPModel) -> None:
        """Starts anew from a CLIP that was given other layers since, adapters for one; what they hold follows too."""
        if dict(self.named_parameters()).keys() != _parameters(clip).keys():
            self._copy(clip)
            self.train(False)
        self.requires_grad_(False)  # whoever puts in adapters may ask for the gradient of all

    def train(self, mode: bool = True) -> "Twin":
        """Stays in evaluation mode: keys have no dropout."""
        return super().train(False)

    @torch.no_grad()
    def embed(self, batch: PairBatch, chunk: int | None = None) -> tuple[Tensor, Tensor]:
        """Embeds the batch's own pictures and captions, so many rows at a time: unit rows (B, D), without gradient."""
        images = in_chunks(self._embed_images, chunk, batch.pixel_values)
        return images, in_chunks(self._embed_texts, chunk, batch.input_ids, batch.attention_mask)

    def _embed_images(self, pixel_values: Tensor) -> Tensor:
        return normalize(self.visual_projection(self.vision_model(pixel_values=pixel_values).pooler_output))

    def _embed_texts(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        pooled = self.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return normalize(self.text_projection(pooled))

    @torch.no_grad()
    def follow(self, clip: CLIPModel, momentum: float) -> None:
        """`theta_twin <- momentum * theta_twin + (1 - momentum) * theta`, after an optimizer step.

        Raises:
            InputError: the model has other parameters than when the twin was made, or last adopted it.
        """
        online, own = _parameters(clip), dict(self.named_parameters())
        if own.keys() != online.keys():
            strange = sorted(own.keys() ^ online.keys())[0]
            raise InputError(
                f"The momentum encoder cannot follow a model whose parameters were changed after the trainer was made "
                f"({strange} for one): put adapters in before."
            )
        moving = [name for name in own if own[name] is not online[name]]
        torch._foreach_lerp_([own[name] for name in moving], [online[name] for name in moving], 1 - momentum)


def _parameters(clip: CLIPModel) -> dict[str, Tensor]:
    return {f"{part}.{name}": each for part in PARTS for name, each in getattr(clip, part).named_parameters()}


twin_copies = {f"twin.{name}": f"clip.{name}" for name in PARTS}
