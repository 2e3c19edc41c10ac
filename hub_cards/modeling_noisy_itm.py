"""A CLIP that was trained on image-text pairs with partly wrong captions, for `trust_remote_code=True`.

`AutoModel.from_pretrained(…, trust_remote_code=True)` makes this class, whether or not hf_noisy_itm is installed. It
needs transformers alone and adds two methods to `CLIPModel`; what a method trained beside CLIP, and how it trains,
is in the package.
"""

import torch
from transformers import CLIPConfig, CLIPModel


class NoisyITMModel(CLIPModel):
    """A `CLIPModel` with the two methods by which models of hf_noisy_itm embed."""

    config_class = CLIPConfig

    def embed_images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Embeds pictures, (B, C, H, W) -> unit rows (B, D)."""
        return _unit(self.get_image_features(pixel_values=pixel_values))

    def embed_texts(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Embeds captions, (B, L) -> unit rows (B, D)."""
        return _unit(self.get_text_features(input_ids=input_ids, attention_mask=attention_mask))


def _unit(features) -> torch.Tensor:
    rows = getattr(features, "pooler_output", features)
    return torch.nn.functional.normalize(rows.float(), dim=-1)
