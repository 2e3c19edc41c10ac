"""The one form in which the trainer sees data: pictures, captions, and which caption goes with which picture."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from ..errors import InputError, last_line
from ..functional.noise import Noise
from ._labels import Labels
from ._pictures import decode
from ._report import RowReport


@dataclass(frozen=True)
class Pairs:
    """N image-caption pairs over P pictures; a map-style data set whose rows are pairs.

    Captions live beside the pictures, not in copies of them, so five captions cost one picture, and noise moves or
    changes captions alone (`with_noise`). Pictures stay encoded until a collator asks for them.

    Args:
        pictures: data set with an undecoded `image` column, P rows.
        captions: N strings.
        image_row: row of each pair's picture, int64 (N,).
        image_id: id of each picture, int64 (P,); equal ids are the same picture.
        caption_image_id: id of the picture that each caption was written for, int64 (N,); the pair's own before noise.
        row: where each picture stands in the data as loaded, for messages, int64 (P,); 0..P-1 if left out.
        caption_id: names each caption's text and moves with it, int64 (N,); 0..N-1 if left out.
        damaged: captions that are wrong even for the picture they were written for, bool (N,); none if left out.
        report: what was found when the rows were read.
        name: the source's own id of each picture, integers or strings, (P,); `image_id` if left out.
        elsewhere: names of pictures that are not here but that captions here were written for, by their id.
        pedigree: what is known of noise that was put in on purpose, see `data/pedigree.py`; None where there was none.
        caption_name: the source's own id of each caption, integers or strings, or its number as loaded; moves with the
            text, (N,); `caption_id` if left out.
        labels: classes of the pictures ("image", P of them) and of the captions ("text", N, which move with the
            texts); None where there are none.
        weight: how much each pair counts in training by the data's own word, in [0, 1], float32 (N,); stays where it
            is when captions move. None where the data say nothing.
        place: number, as loaded, of the caption that each pair came with, int64 (N,); stays where it is likewise. None
            where the pairs are of no data that can be loaded again.
        is_judged: whether the data say of each caption if it is wrong, bool (N,); moves with the text. None where they
            say it of none.
    """

    pictures: datasets.Dataset
    captions: list[str]
    image_row: np.ndarray
    image_id: np.ndarray
    caption_image_id: np.ndarray
    row: np.ndarray | None = None
    caption_id: np.ndarray | None = None
    damaged: np.ndarray | None = None
    report: RowReport | None = None
    name: np.ndarray | None = None
    elsewhere: dict[int, int | str] = field(default_factory=dict)
    pedigree: dict | None = None
    caption_name: np.ndarray | None = None
    labels: Labels | None = None
    weight: np.ndarray | None = None
    place: np.ndarray | None = None
    is_judged: np.ndarray | None = None

    def __post_init__(self):
        if self.row is None:
            object.__setattr__(self, "row", np.arange(len(self.image_id)))
        if self.caption_id is None:
            object.__setattr__(self, "caption_id", np.arange(len(self.captions)))
        if self.damaged is None:
            object.__setattr__(self, "damaged", np.zeros(len(self.captions), dtype=bool))
        if self.name is None:
            object.__setattr__(self, "name", self.image_id)
        if self.caption_name is None:
            object.__setattr__(self, "caption_name", self.caption_id)
        of_captions = ("image_row", "caption_image_id", "caption_id", "damaged", "caption_name", "weight", "place")
        of_captions += ("is_judged",)
        lengths = {len(values) for name in of_captions if (values := getattr(self, name)) is not None}
        if lengths != {len(self.captions)}:
            raise ValueError(f"{len(self.captions)} captions, but arrays of {sorted(lengths)} for them.")
        sizes = {"image": len(self.image_id), "text": len(self.captions)}
        if self.labels is not None and {name: len(each) for name, each in self.labels.given.items()} != sizes:
            raise ValueError(f"There must be labels for {sizes}.")

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = int(self.image_row[index])
        return {"index": int(index), "image_row": row, "caption": self.captions[index]}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    @property
    def is_noisy(self) -> np.ndarray:
        """Whether a pair has the caption of another picture, or a damaged one, bool (N,).

        As far as is known, and for analysis: no batch contains it.
        """
        return (self.image_id[self.image_row] != self.caption_image_id) | self.damaged

    @property
    def noise_is_known(self) -> np.ndarray:
        """Whether it is known of a pair if it is wrong, bool (N,): the data say so, or noise was put in on purpose."""
        if self.is_judged is not None:
            return self.is_judged | self.is_noisy
        return np.full(len(self), self.pedigree is not None or bool(self.is_noisy.any()))

    @property
    def label_is_noisy(self) -> np.ndarray:
        """Whether the label of a pair's picture, or of its caption, is wrong, bool (N,); likewise for analysis."""
        if self.labels is None:
            return np.zeros(len(self), dtype=bool)
        is_wrong = self.labels.is_wrong
        return is_wrong["image"][self.image_row] | is_wrong["text"]

    @property
    def noise_source(self) -> np.ndarray:
        """Name of the picture that each caption was written for, (N,)."""
        names = self.elsewhere | dict(zip(self.image_id.tolist(), self.name.tolist()))
        known, place = np.unique(self.caption_image_id, return_inverse=True)
        return np.asarray([names[number] for number in known.tolist()])[place]

    @property
    def fingerprint(self) -> str:
        """Hash of captions, pairing, picture ids and labels (not of pixels)."""
        digest = hashlib.sha256()
        for array in (self.image_row, self.image_id):
            digest.update(np.ascontiguousarray(array).tobytes())
        for caption in self.captions:
            digest.update(caption.encode("utf-8", "surrogatepass") + b"\0")
        if self.labels is not None:
            digest.update(self.labels.digest)
        return digest.hexdigest()[:16]

    @property
    def caption_fingerprint(self) -> str:
        """Hash of the captions alone, whichever pictures they are with: shuffling them does not change it."""
        digest = hashlib.sha256()
        for caption in sorted(self.captions):
            digest.update(caption.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()[:16]

    @property
    def told(self) -> str:
        """What it is, in words."""
        return f"{len(self)} pairs over {len(self.image_id)} pictures"

    @property
    def facts(self) -> dict[str, Any]:
        """What the data say of fields of a method's config, by their names."""
        return {} if self.labels is None else {"class_names": self.labels.names}

    def category(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Given labels of some pairs, int64 (B,) by modality."""
        return {"image": self.labels.given["image"][self.image_row[index]], "text": self.labels.given["text"][index]}

    def picture(self, row: int) -> Image.Image:
        """Decodes a picture to RGB; what becomes of odd files says the table in `_pictures.py`.

        Raises:
            InputError: it does not decode; the row is named.
        """
        cell = self.pictures[int(row)]["image"] or {"bytes": None, "path": None}
        try:
            return decode(cell["path"] if cell["bytes"] is None else cell["bytes"])
        except Exception as error:  # Pillow's decoders raise almost anything on broken files
            reason = last_line(error) if type(error) is ValueError else f"{type(error).__name__}: {last_line(error)}"
            raise InputError(
                f"The picture in row {self.row[row]} does not decode ({reason}); "
                f"mend it, or leave such rows out with --on_bad_row skip."
            ) from error

    def content_key(self, row: int) -> bytes | int:
        """What is equal for pictures that are equal: a hash of the file's content; the row where none can be read."""
        content = self.encoded(row)
        return hashlib.sha256(content).digest() if content else row

    def encoded(self, row: int) -> bytes | None:
        """The content of a picture's file; None if there is none, which `picture` says better."""
        cell = self.pictures[int(row)]["image"] or {"bytes": None, "path": None}
        if cell["bytes"] is not None:
            return cell["bytes"]
        try:
            return Path(cell["path"]).read_bytes()
        except (OSError, TypeError):
            return None

    def with_noise(self, noise: Noise, pedigree: dict | None = None) -> "Pairs":
        """The same pairs with the captions of a draw over them.

        Args:
            noise: a draw over the N captions, on top of what is known already.
            pedigree: of the draw; that of the pairs before, if they have one, stays in it as `before`.
        """
        damaged = self.damaged[noise.source]
        if pedigree is not None and self.pedigree is not None:
            pedigree = {**pedigree, "before": self.pedigree}
        return replace(
            self,
            captions=noise.apply(self.captions),
            caption_image_id=self.caption_image_id[noise.source],
            caption_id=self.caption_id[noise.source],
            caption_name=self.caption_name[noise.source],
            is_judged=None if self.is_judged is None else self.is_judged[noise.source],
            damaged=damaged if noise.captions is None else damaged | noise.is_noisy,
            pedigree=pedigree,
            labels=None if self.labels is None else self.labels.taken(text=noise.source),
        )

    def with_labels(self, labels: Labels, pedigree: dict | None = None) -> "Pairs":
        """The same pairs with other labels; the pedigree before stays in the new one as `before`."""
        if pedigree is not None and self.pedigree is not None:
            pedigree = {**pedigree, "before": self.pedigree}
        return replace(self, labels=labels, pedigree=pedigree)

    def keep_pictures(self, rows: np.ndarray) -> "Pairs":
        """The pairs of some pictures, given by ascending rows; both are numbered anew."""
        return self._keep(rows, np.flatnonzero(np.isin(self.image_row, rows)))

    def keep_captions(self, kept: np.ndarray) -> "Pairs":
        """Some pairs, given by ascending numbers, and their pictures; both are numbered anew."""
        return self._keep(np.unique(self.image_row[kept]), kept)

    def _keep(self, rows: np.ndarray, kept: np.ndarray) -> "Pairs":
        new_row = np.full(len(self.image_id), -1)
        new_row[rows] = np.arange(len(rows))
        left_out = np.flatnonzero(new_row < 0)
        names = dict(zip(self.image_id[left_out].tolist(), self.name[left_out].tolist()))
        return replace(
            self,
            pictures=self.pictures.select(rows),
            captions=[self.captions[i] for i in kept],
            image_row=new_row[self.image_row[kept]],
            image_id=self.image_id[rows],
            caption_image_id=self.caption_image_id[kept],
            row=self.row[rows],
            caption_id=self.caption_id[kept],
            caption_name=self.caption_name[kept],
            damaged=self.damaged[kept],
            weight=None if self.weight is None else self.weight[kept],
            place=None if self.place is None else self.place[kept],
            is_judged=None if self.is_judged is None else self.is_judged[kept],
            name=self.name[rows],
            elsewhere=self.elsewhere | names,
            labels=None if self.labels is None else self.labels.taken(image=rows, text=kept),
        )
