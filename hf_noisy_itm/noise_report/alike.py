"""What is in a training set twice or nearly so, and captions that may fit a picture that they are not of."""

from dataclasses import dataclass

import numpy as np
import torch

from ..functional.nearest_k import nearest_k
from ..memory.bank import EncodedPairs
from .signals import Neighbours

FOREIGN = 3  # captions of other pictures that are kept for each picture
_FURTHER = 12  # own captions, and such of their words, which do not count


@dataclass(frozen=True)
class Alike:
    """Of N pairs over P pictures.

    Args:
        pictures: couples of near-duplicate pictures, rows (K, 2), the most similar first.
        picture_cosines: of these, (K,).
        captions: couples of near-duplicate captions of different pictures, rows of pairs (L, 2), likewise; captions
            of equal words are counted instead.
        caption_cosines: of these, (L,).
        equal_captions: pairs whose words, but for case and spaces, another picture's caption has too.
        foreign: for each picture the captions of other pictures, in other words, that may fit it best, rows of pairs
            (P, FOREIGN), -1 where there are no more.
        foreign_cosines: of these with the picture, (P, FOREIGN), -inf likewise.
        likeness: of these with the picture's own captions that seem right, the nearest one's cosine, (P, FOREIGN), NaN
            where there are none.
        levels: from which on a foreign caption is called a possible match: the cosine of half of the pairs that seem
            right, and the likeness of half of these captions to another of their picture (None: none has two).
    """

    pictures: np.ndarray
    picture_cosines: np.ndarray
    captions: np.ndarray
    caption_cosines: np.ndarray
    equal_captions: int
    foreign: np.ndarray
    foreign_cosines: np.ndarray
    likeness: np.ndarray
    levels: tuple[float, float | None]

    @property
    def may_fit(self) -> np.ndarray:
        """Pictures whose first foreign caption is a possible match, rows, the likeliest first."""
        best, likeness = self.foreign_cosines[:, 0], self.likeness[:, 0]
        found = best >= self.levels[0]
        if self.levels[1] is not None:
            found &= ~(likeness < self.levels[1])
        rows = np.flatnonzero(found)
        return rows[np.argsort(-_fit(best, likeness)[rows], kind="stable")]


def find_alike(
    encoded: EncodedPairs, captions: list[str], neighbours: Neighbours, duplicate_cosine: float, is_right: np.ndarray
) -> Alike:
    """Finds them among neighbours that are known, and the nearest captions of each picture.

    Args:
        encoded: the pairs.
        captions: their texts.
        neighbours: of the pairs.
        duplicate_cosine: above this two are near-duplicates.
        is_right: the pairs that seem right, bool (N,).
    """
    text = _text_numbers(captions)
    pictures, picture_cosines = _couples(*neighbours.pictures, duplicate_cosine)
    couples, cosines = _couples(*neighbours.captions, duplicate_cosine)
    in_other_words = text[couples[:, 0]] != text[couples[:, 1]]
    picture = encoded.image_of_pair.cpu().numpy()
    known = np.unique(np.stack([text, picture], axis=1), axis=0)
    pictures_of_text = np.bincount(known[:, 0])
    trusted = _Trusted(encoded, is_right)
    return Alike(
        pictures,
        picture_cosines,
        couples[in_other_words],
        cosines[in_other_words],
        int((pictures_of_text[text] > 1).sum()),
        *_foreign(encoded, text, trusted),
        trusted.levels(),
    )


def _text_numbers(captions: list[str]) -> np.ndarray:
    """Numbers that are equal where the words are, case and spaces apart, (N,)."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(" ".join(caption.split()).casefold(), len(known)) for caption in captions])


def _couples(rows: torch.Tensor, cosines: torch.Tensor, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Couples above the level, each once, the most similar first."""
    rows, cosines = rows.cpu().numpy(), cosines.cpu().numpy()
    one, place = np.nonzero((cosines >= level) & (rows >= 0))
    couples = np.sort(np.stack([one, rows[one, place]], axis=1), axis=1)
    couples, first = np.unique(couples, axis=0, return_index=True)
    values = cosines[one, place][first]
    order = np.argsort(-values, kind="stable")
    return couples[order], values[order]


def _foreign(
    encoded: EncodedPairs, text: np.ndarray, trusted: "_Trusted"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the captions near each picture those that are neither its own nor of the words of one, the best first."""
    cosines, rows = nearest_k(encoded.image_embeds, encoded.text_embeds, FOREIGN + _FURTHER)
    cosines, rows = cosines.cpu().numpy(), rows.cpu().numpy()
    picture = encoded.image_of_pair.cpu().numpy()
    width = len(picture) + 1
    own = np.unique(picture * width + text)  # (picture, words) that are given
    asked = np.arange(len(rows))[:, None] * width + text[rows.clip(0)]
    place = np.searchsorted(own, asked).clip(max=len(own) - 1)
    out = (rows < 0) | (own[place] == asked)
    for column in range(1, rows.shape[1]):  # equal words of several pictures count once
        out[:, column] |= (text[rows[:, :column].clip(0)] == text[rows[:, column : column + 1].clip(0)]).any(axis=1)
    first = np.argsort(out, axis=1, kind="stable")[:, :FOREIGN]
    out, rows, cosines = (np.take_along_axis(each, first, axis=1) for each in (out, rows, cosines))
    rows, cosines = np.where(out, -1, rows), np.where(out, -np.inf, cosines)
    likeness = np.stack([trusted.likeness(column) for column in rows.T], axis=1)
    order = np.argsort(-_fit(cosines, likeness), axis=1, kind="stable")
    return tuple(np.take_along_axis(each, order, axis=1) for each in (rows, cosines, likeness))


def _fit(cosines: np.ndarray, likeness: np.ndarray) -> np.ndarray:
    """What foreign captions are ordered by: both count alike; without own captions the cosine alone."""
    return cosines + np.where(np.isnan(likeness), cosines, likeness)


class _Trusted:
    """The captions that seem right of each picture.

    Args:
        encoded: the pairs.
        is_right: bool (N,).
    """

    def __init__(self, encoded: EncodedPairs, is_right: np.ndarray):
        self.texts = encoded.text_embeds
        self.images = encoded.image_embeds
        self.picture = encoded.image_of_pair
        self.rows = torch.from_numpy(np.flatnonzero(is_right)).to(self.picture.device)

    def likeness(self, foreign: np.ndarray) -> np.ndarray:
        """Of a caption for each picture, rows (P,), with the nearest own one, cosines (P,); NaN if there is none."""
        best = torch.full((len(foreign),), -torch.inf, device=self.picture.device)
        captions = torch.from_numpy(foreign.clip(0)).to(self.picture.device)
        for rows in self.rows.split(16_384):
            picture = self.picture[rows]
            cosines = (self.texts[rows] * self.texts[captions[picture]]).sum(dim=1)
            best.scatter_reduce_(0, picture, cosines, "amax")
        best = best.cpu().numpy()
        return np.where(np.isfinite(best) & (foreign >= 0), best, np.nan)

    def levels(self) -> tuple[float, float | None]:
        """See `Alike`."""
        if not len(self.rows):
            return 1.0, None
        rows = self.rows[self.picture[self.rows].argsort(stable=True)]
        picture = self.picture[rows]
        cosines = torch.cat(
            [(self.texts[part] * self.images[self.picture[part]]).sum(dim=1) for part in rows.split(16_384)]
        )
        beside = torch.nonzero(picture[1:] == picture[:-1]).squeeze(1)
        pairs = zip(rows[beside].split(16_384), rows[beside + 1].split(16_384))
        alike = [(self.texts[one] * self.texts[other]).sum(dim=1) for one, other in pairs]
        return float(cosines.median()), float(torch.cat(alike).median()) if len(beside) else None
