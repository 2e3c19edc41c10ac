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
        foreign: for each picture the nearest captions of other pictures in other words, rows of pairs (P, FOREIGN), -1
            where there are no more.
        foreign_cosines: of these, (P, FOREIGN), -inf likewise.
        match_level: cosine from which a foreign caption may well fit: that of half of the pairs that seem right.
    """

    pictures: np.ndarray
    picture_cosines: np.ndarray
    captions: np.ndarray
    caption_cosines: np.ndarray
    equal_captions: int
    foreign: np.ndarray
    foreign_cosines: np.ndarray
    match_level: float

    @property
    def may_fit(self) -> np.ndarray:
        """Pictures whose nearest foreign caption may well fit, rows, the likeliest first."""
        best = self.foreign_cosines[:, 0]
        found = np.flatnonzero(best >= self.match_level)
        return found[np.argsort(-best[found], kind="stable")]


def find_alike(
    encoded: EncodedPairs, captions: list[str], neighbours: Neighbours, duplicate_cosine: float, match_level: float
) -> Alike:
    """Finds them among neighbours that are known, and the nearest captions of each picture.

    Args:
        encoded: the pairs.
        captions: their texts.
        neighbours: of the pairs.
        duplicate_cosine: above this two are near-duplicates.
        match_level: see `Alike`.
    """
    text = _text_numbers(captions)
    pictures, picture_cosines = _couples(*neighbours.pictures, duplicate_cosine)
    couples, cosines = _couples(*neighbours.captions, duplicate_cosine)
    in_other_words = text[couples[:, 0]] != text[couples[:, 1]]
    foreign, foreign_cosines = _foreign(encoded, text)
    picture = encoded.image_of_pair.cpu().numpy()
    known = np.unique(np.stack([text, picture], axis=1), axis=0)
    pictures_of_text = np.bincount(known[:, 0])
    return Alike(
        pictures,
        picture_cosines,
        couples[in_other_words],
        cosines[in_other_words],
        int((pictures_of_text[text] > 1).sum()),
        foreign,
        foreign_cosines,
        match_level,
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


def _foreign(encoded: EncodedPairs, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest captions of each picture that are neither its own nor of the words of one of these."""
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
    order = np.argsort(out, axis=1, kind="stable")[:, :FOREIGN]
    out, rows, cosines = (np.take_along_axis(each, order, axis=1) for each in (out, rows, cosines))
    return np.where(out, -1, rows), np.where(out, -np.inf, cosines)
