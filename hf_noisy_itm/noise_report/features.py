"""Embeddings of a training set in a file, so that another report does not make them again."""

from pathlib import Path

import torch

from ..data import PairCollator
from ..encode import encode
from ..errors import InputError
from ..memory.bank import EncodedPairs
from ..memory.stored import read_tensors, write_tensors
from ..methods import NoisyITMModel
from ..scoring import content_key


def embeddings_of(
    model: NoisyITMModel, collator: PairCollator, weights: str, path: str | None, batch_size: int, num_workers: int
) -> EncodedPairs:
    """Embeds the pairs, or reads what the file holds if that is of these pairs, pictures and weights.

    Args:
        model: the scorer.
        collator: of the pairs.
        weights: hash of the scorer's weights.
        path: of the file, or None.
        batch_size: pictures, and captions, per forward pass.
        num_workers: processes that decode pictures.

    Raises:
        InputError: the file holds something else, or embeddings of other pairs, or cannot be written.
    """
    if path is None:
        return encode(model, collator, batch_size, num_workers)
    key = content_key(collator, weights)
    if Path(path).exists():
        return _read(path, key, collator)
    encoded = encode(model, collator, batch_size, num_workers)
    tensors = {"image_embeds": encoded.image_embeds.cpu(), "text_embeds": encoded.text_embeds.cpu()}
    try:
        write_tensors(path, tensors, {"key": key})
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}; name another --features.") from error
    return encoded


def _read(path: str, key: str, collator: PairCollator) -> EncodedPairs:
    pairs = collator.pairs
    try:
        tensors, facts = read_tensors(path)
        images, texts = tensors["image_embeds"], tensors["text_embeds"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} holds no embeddings ({error}): name another file, or delete it.") from error
    if facts.get("key") != key or len(images) != len(pairs.image_id) or len(texts) != len(pairs):
        raise InputError(
            f"{path} holds embeddings of other pairs, pictures or weights than are given now: name another file, or "
            f"delete it."
        )
    return EncodedPairs(images, texts, torch.from_numpy(pairs.image_row), pairs.fingerprint)
