"""Rows to batches: decode, resize, tokenize, and bring along the entries of the memory bank."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import ProcessorMixin

from ..errors import InputError
from ._modality import Modality, distinct
from ._pairs import Pairs
from ._picture_cache import PictureCache
from ._pixels import Pixels

CONTEXT_LENGTH = 77  # CLIP, Radford et al. 2021, Sec. 2.4
_KEPT_CAPTIONS = 100_000  # 50 MB at most


class PairCollator:
    """Makes the batch that every method's `forward` takes, from rows of `Pairs`.

    Keys: `pixel_values` (B, C, H, W), `input_ids` and `attention_mask` (B, L), `index` and `image_id` (B,), and where
    there are labels `category`, the given ones, (B,) by modality. What is known about noise never enters a batch.

    With memory bank entries there is `bank`: pictures (U, C, H, W) and captions (V, L) that the batch does not hold
    already, and for each kind of entry where its picture and caption stand among the batch's rows followed by those.
    So a picture or caption that serves as an entry too is decoded, and embedded, once. A picture that stands in
    several rows is decoded once too, and captions are tokenized once, up to 100,000 of them.

    Args:
        processor: of CLIP; pictures of any size and mode, captions cut at `max_length` tokens.
        pairs: where entries of the memory bank are looked up.
        cache_pictures: how many resized pictures to keep in memory (per worker); the first ones stay.
        max_length: tokens per caption, as many as the text tower has positions; CLIP's 77 if left out.
        picture_cache: folder in which resized pictures are kept for later epochs and runs, see `PictureCache`.
    """

    def __init__(
        self,
        processor: ProcessorMixin,
        pairs: Pairs,
        cache_pictures: int = 0,
        max_length: int | None = None,
        picture_cache: str | Path | None = None,
    ):
        self.processor, self.pairs = processor, pairs
        self.cache_pictures = cache_pictures
        self._pixels = Pixels(processor.image_processor)
        self._files = None
        if picture_cache:
            self._files = PictureCache(picture_cache, self._pixels.settings, self._pixels.fits)
        self._shrunk: dict[int, np.ndarray] = {}
        self._tokens: dict[str, np.ndarray] = {}
        self.max_length = min(max_length or CONTEXT_LENGTH, processor.tokenizer.model_max_length)
        self.entries: dict[str, np.ndarray] = {}
        self._equal_pictures: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows of `pairs`.

        Raises:
            InputError: a row is of other pairs, which would be given captions and pictures that are not theirs.
        """
        for row in rows:
            if not self._is_own(row):
                raise InputError(
                    f"Row {row['index']} ({row.get('caption')!r}) is not of the pairs that this collator looks up: "
                    f"give each data set a PairCollator of its own."
                )
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
        if self.pairs.labels is not None:
            batch["category"] = {name: torch.from_numpy(each) for name, each in self.pairs.category(index).items()}
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
                        "index": torch.from_numpy(np.asarray(pairs)),
                    }
                    for name, pairs in entries.items()
                },
            }
        return batch

    def _is_own(self, row: dict[str, Any]) -> bool:
        index = row["index"]
        return index < len(self.pairs) and all(
            row.get(name, own) == own
            for name, own in (("caption", self.pairs.captions[index]), ("image_row", self.pairs.image_row[index]))
        )

    def images(self, rows: np.ndarray, like: Tensor | None = None) -> Tensor:
        """Decodes and processes pictures of `pairs`, (len(rows), C, H, W); no rows need `like` for the shape."""
        if not len(rows):
            return like[:0]
        shrunk = {row: self._shrink(row) for row in dict.fromkeys(map(int, rows))}
        return self._pixels.values([shrunk[int(row)] for row in rows])

    def texts(self, captions: list[str]) -> dict[str, Tensor]:
        """Tokenizes captions: `input_ids` and `attention_mask`, (len(captions), L)."""
        tokens = self._tokenize(captions)
        length = max(map(len, tokens))
        ids = np.full((len(tokens), length), self.processor.tokenizer.pad_token_id)
        mask = np.zeros_like(ids)
        left = self.processor.tokenizer.padding_side == "left"
        for row, own in enumerate(tokens):
            place = slice(length - len(own), length) if left else slice(len(own))
            ids[row, place], mask[row, place] = own, 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}

    def distinct_pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Pictures of `pairs` whose files differ: their rows, and for each picture (P,) the place of its equal there.

        Files of equal content are one, wherever they lie; each is read once in the collator's life.
        """
        if self._equal_pictures is None:
            self._equal_pictures = distinct([self.pairs.content_key(row) for row in range(len(self.pairs.image_id))])
        return self._equal_pictures

    def distinct_captions(self) -> tuple[np.ndarray, np.ndarray]:
        """Captions of `pairs` whose tokens differ: their rows, and for each caption (N,) the place of its equal."""
        captions = self.pairs.captions
        keys = [
            tokens.tobytes()
            for part in range(0, len(captions), 4096)
            for tokens in self._tokenize(captions[part : part + 4096])
        ]
        return distinct(keys)

    def modalities(self) -> dict[str, Modality]:
        """What there is to embed, by name; places of pictures and captions are those of `distinct_…`."""
        image_rows, image_place = self.distinct_pictures()
        text_rows, text_place = self.distinct_captions()
        return {
            "image": Modality(image_place, partial(self._some_images, image_rows), decodes=True),
            "text": Modality(text_place, partial(self._some_texts, text_rows)),
        }

    def _some_images(self, rows: np.ndarray, places: list[int]) -> dict[str, Tensor]:
        return {"pixel_values": self.images(rows[places])}

    def _some_texts(self, rows: np.ndarray, places: list[int]) -> dict[str, Tensor]:
        return self.texts([self.pairs.captions[row] for row in rows[places]])

    def _tokenize(self, captions: list[str]) -> list[np.ndarray]:
        fresh: dict[str, np.ndarray] = {}
        if new := [caption for caption in dict.fromkeys(captions) if caption not in self._tokens]:
            tokens = self.processor.tokenizer(new, truncation=True, max_length=self.max_length)["input_ids"]
            fresh = {caption: np.array(ids, dtype=np.int32) for caption, ids in zip(new, tokens)}
            self._tokens.update(islice(fresh.items(), _KEPT_CAPTIONS - len(self._tokens)))
        return [fresh[caption] if caption in fresh else self._tokens[caption] for caption in captions]

    def _shrink(self, row: int) -> np.ndarray:
        if row in self._shrunk:
            return self._shrunk[row]
        content = self.pairs.encoded(row) if self._files else None
        if content is None:
            pixels = self._decode(row)
        else:
            pixels = self._files.fetch(content, lambda: self._decode(row))
        if len(self._shrunk) < self.cache_pictures:
            self._shrunk[row] = pixels
        return pixels

    def _decode(self, row: int) -> np.ndarray:
        return self._pixels.shrink(self.pairs.picture(row))


def _beyond(own: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.setdiff1d(wanted, own)


def _places(own: np.ndarray, more: np.ndarray) -> dict[int, int]:
    """Where each row stands in `own` followed by `more`; the first place of rows that stand twice."""
    places: dict[int, int] = {}
    for place, row in enumerate((*own, *more)):
        places.setdefault(int(row), place)
    return places
