"""Rows to batches: decode, resize, tokenize, and bring along the entries of the memory bank."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import ProcessorMixin

from ._pairs import Pairs

CONTEXT_LENGTH = 77  # CLIP, Radford et al. 2021, Sec. 2.4


class PairCollator:
    """Makes the batch that every method's `forward` takes, from rows of `Pairs`.

    Keys: `pixel_values` (B, C, H, W), `input_ids` and `attention_mask` (B, L), `index` and `image_id` (B,). What is
    known about noise never enters a batch.

    With memory bank entries there is `bank`: pictures (U, C, H, W) and captions (V, L) that the batch does not hold
    already, and for each kind of entry where its picture and caption stand among the batch's rows followed by those.
    So a picture or caption that serves twice is decoded, and embedded, once.

    Args:
        processor: of CLIP; pictures of any size and mode, captions cut at `max_length` tokens.
        pairs: where entries of the memory bank are looked up.
        cache_pictures: how many processed pictures to keep in memory (per worker); the first ones stay.
        max_length: tokens per caption, as many as the text tower has positions; CLIP's 77 if left out.
    """

    def __init__(
        self, processor: ProcessorMixin, pairs: Pairs, cache_pictures: int = 0, max_length: int | None = None
    ):
        self.processor, self.pairs = processor, pairs
        self.cache_pictures, self._cache = cache_pictures, {}
        self.max_length = min(max_length or CONTEXT_LENGTH, processor.tokenizer.model_max_length)
        self.entries: dict[str, np.ndarray] = {}

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows."""
        index = np.array([row["index"] for row in rows])
        own_images = self.pairs.image_row[index]
        entries = {name: of_pair[index] for name, of_pair in self.entries.items()}
        wanted = np.concatenate([index, *entries.values()])
        more_images = _beyond(own_images, self.pairs.image_row[wanted])
        more_texts = _beyond(index, wanted)

        texts = self.texts([self.pairs.captions[i] for i in (*index, *more_texts)])
        batch = {
            "pixel_values": self.images(own_images),
            **{name: value[: len(index)] for name, value in texts.items()},
            "index": torch.from_numpy(index),
            "image_id": torch.from_numpy(self.pairs.image_id[own_images]),
        }
        if entries:
            image_place = _places(own_images, more_images)
            text_place = _places(index, more_texts)
            batch["bank"] = {
                "pixel_values": self.images(more_images, like=batch["pixel_values"]),
                **{name: value[len(index) :] for name, value in texts.items()},
                "entries": {
                    name: {
                        "image_row": torch.tensor([image_place[row] for row in self.pairs.image_row[pairs]]),
                        "text_row": torch.tensor([text_place[pair] for pair in pairs]),
                        "image_id": torch.from_numpy(self.pairs.image_id[self.pairs.image_row[pairs]]),
                    }
                    for name, pairs in entries.items()
                },
            }
        return batch

    def images(self, rows: np.ndarray, like: Tensor | None = None) -> Tensor:
        """Decodes and processes pictures of `pairs`, (len(rows), C, H, W); no rows need `like` for the shape."""
        if not len(rows):
            return like[:0]
        return torch.stack([self._image(int(row)) for row in rows])

    def texts(self, captions: list[str]) -> dict[str, Tensor]:
        """Tokenizes captions: `input_ids` and `attention_mask`, (len(captions), L)."""
        tokens = self.processor.tokenizer(
            captions, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    def _image(self, row: int) -> Tensor:
        if row in self._cache:
            return self._cache[row]
        picture = self.pairs.picture(row)
        pixels = self.processor.image_processor(picture, return_tensors="pt")["pixel_values"][0]
        if len(self._cache) < self.cache_pictures:
            self._cache[row] = pixels
        return pixels


def _beyond(own: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.setdiff1d(wanted, own)


def _places(own: np.ndarray, more: np.ndarray) -> dict[int, int]:
    """Where each row stands in `own` followed by `more`; the first place of rows that stand twice."""
    places: dict[int, int] = {}
    for place, row in enumerate((*own, *more)):
        places.setdefault(int(row), place)
    return places
