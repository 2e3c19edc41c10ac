"""What embeds: a CLIP's towers, whose rows may pass a few at a time, and its temperature."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import CLIPModel

from ..exchange import Exchange
from ..functional.similarity import normalize
from ..memory.bank import EncodedPairs
from ..memory.concepts import ConceptShares
from ._batch import PairBatch
from ._chunks import in_chunks
from ._config import NoisyITMConfig
from ._starting import StartingModel


class EmbeddingModel(StartingModel):
    """A `CLIPModel` (`self.clip`) that embeds batches, and reads what belongs to the training loop.

    `attach` must have been called before `logit_scale` is read.
    """

    base_model_prefix = "clip"
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    chunk: int | None = None

    def _build_towers(self, config: NoisyITMConfig) -> None:
        """Makes what embeds pictures and captions; a hook for methods that can also do without."""
        self.clip = CLIPModel(config)

    def get_input_embeddings(self) -> torch.nn.Module | None:
        """What embeds tokens, which FSDP makes a unit of; None without towers."""
        return self.clip.text_model.embeddings if hasattr(self, "clip") else None

    def embed_in_chunks(self, rows: int | None) -> None:
        """From now on rows pass the towers so many at a time; all at once if None. See `_chunks`.

        Raises:
            InputError: the method has no towers.
        """
        self.chunk = rows

    def attach(self, exchange: Exchange, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Lets the model read (never write) what belongs to the training loop: other processes, the optimizer."""
        self.__dict__["exchange"], self.__dict__["optimizer"] = exchange, optimizer

    def embed_images(self, pixel_values: Tensor) -> Tensor:
        """Embeds pictures, (B, C, H, W) -> unit rows (B, D)."""
        return normalize(self.image_features(pixel_values))

    def embed_texts(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embeds captions, (B, L) -> unit rows (B, D)."""
        return normalize(self.text_features(input_ids, attention_mask))

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """What CLIP makes of pictures, (B, C, H, W) -> (B, D), not yet of unit length; see `embed_in_chunks`."""
        return in_chunks(
            lambda pixels: self.clip.get_image_features(pixel_values=pixels).pooler_output, self.chunk, pixel_values
        )

    def text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Likewise of captions, (B, L) -> (B, D)."""
        return in_chunks(
            lambda ids, mask: self.clip.get_text_features(input_ids=ids, attention_mask=mask).pooler_output,
            self.chunk,
            input_ids,
            attention_mask,
        )

    def embed_modality(self, name: str, **inputs: Tensor) -> Tensor:
        """Embeds rows of one modality outside of `forward`, where an engine may have to gather the model first."""
        return self.embedders[name](**inputs)

    @property
    def embedders(self) -> dict[str, Callable[..., Tensor]]:
        """What embeds each modality of a data set, by its name."""
        return {"image": self.embed_images, "text": self.embed_texts}

    def embed(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """Embeds all rows of a batch, the bank's too: unit rows (B + U, D) and (B + V, D).

        A method that takes further modalities returns one matrix for each; all go to `losses` and `weigh`.
        """
        return (
            self.embed_images(batch.all_pixel_values),
            self.embed_texts(batch.all_input_ids, batch.all_attention_mask),
        )

    def views(self, encoded: EncodedPairs) -> dict[str, EncodedPairs]:
        """Other embeddings that a method makes of its own, and whose figures are worth telling too, by name."""
        return {}

    def concepts_of(self, embeds: Tensor, modality: str, k: int = 5) -> ConceptShares | None:
        """What is to be seen in pictures, or is said in captions, as words; None where the method knows no words.

        Args:
            embeds: their embeddings, unit rows, (B, D).
            modality: "image" or "text".
            k: words of each, the strongest first; all, if there are fewer.
        """
        return None

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature, `exp` of CLIP's parameter, in float32."""
        return self.exchange.read(self.clip.logit_scale).float().reshape(()).exp()
