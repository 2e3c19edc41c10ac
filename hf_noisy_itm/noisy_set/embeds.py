"""Embeddings of captions alone, to find near ones, by the text tower of a CLIP; `data.words` does without a model."""

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..data import PairCollator, Pairs
from ..loading import load_model


@torch.no_grad()
def embed_by_model(pairs: Pairs, name: str, batch_size: int = 256) -> Tensor:
    """Embeds the captions by the text tower of a CLIP, "scenes-clip", a folder or a name on the Hub.

    Returns:
        Unit rows, float32 (N, D), on a GPU if there is one.

    Raises:
        InputError: there is no such model.
    """
    model, processor = load_model(name)
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    collator = PairCollator(processor, pairs, max_length=model.config.text_config.max_position_embeddings)
    parts = []
    for start in tqdm(range(0, len(pairs), batch_size), desc="Embedding captions", delay=2, leave=False):
        tokens = collator.texts(pairs.captions[start : start + batch_size])
        parts.append(model.embed_texts(**{key: value.to(model.device) for key, value in tokens.items()}).float())
    return torch.cat(parts)
