"""Texts that stand for classes, embedded by a model's own CLIP."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import AutoTokenizer

from ._base import NoisyITMModel

_PLACE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")  # of files on the Hub


@torch.no_grad()
def embed_prompts(model: NoisyITMModel, prompts: Sequence[str], *source, **keywords) -> Tensor:
    """Embeds K texts with the tokenizer that lies where the model came from, to unit rows (K, D).

    Args:
        model: embeds texts.
        prompts: K of them; what is longer than the model reads is cut.
        source: what `from_pretrained` was given.
        keywords: likewise.
    """
    name = source[0] if source else keywords["pretrained_model_name_or_path"]
    place = {key: keywords[key] for key in _PLACE if key in keywords}
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **place)
    positions = model.config.text_config.max_position_embeddings
    tokens = tokenizer(list(prompts), padding=True, truncation=True, max_length=positions, return_tensors="pt")
    tokens = tokens.to(model.device)
    return model.embed_texts(tokens["input_ids"], tokens["attention_mask"])
