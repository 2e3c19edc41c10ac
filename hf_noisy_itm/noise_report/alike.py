"""What is in a training set twice or nearly so, and captions that may fit a picture that they are not of."""

from dataclasses import dataclass

import numpy as np
import torch

from ..functional.nearest_k import nearest_k
from ..memory.bank import EncodedPairs
from .signals import NEIGHBOURS, Neighbours

FOREIGN = 3  # captions of other pictures that are kept for each picture
_FURTHER = 8  # captions of the own picture, which do not count
_MOST_OWN = 100  # captions of a picture that may stand nearer to it than others' do


@dataclass(frozen=True)
class Alike:
    """Of N pairs over P pictures.

    Args:
        pictures: couples of near-duplicate pictures, rows (K, 2), the most similar first.
        picture_cosines: of these, (K,).
        captions: couples of near-duplicate captions of different pictures in other words, rows of pairs (L, 2),
            likewise; equal words count once.
        caption_cosines: of these, (L,).
        equal: couples of captions of different pictures that are equal but for case and spaces, rows of pairs (E, 2):
            a caption's first picture with each further one.
        equal_captions: pairs whose words, likewise, another picture's caption has too.
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
    equal: np.ndarray
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

    Where texts, or pictures, are equal, one stands for all in the search: else they would leave no room for others.

    Args:
        encoded: the pairs.
        captions: their texts.
        neighbours: of the pairs.
        duplicate_cosine: above this two are near-duplicates.
        is_right: the pairs that seem right, bool (N,).
    """
    text, picture = text_numbers(captions), encoded.image_of_pair.cpu().numpy()
    texts = _Places(text, picture)
    trusted = _Trusted(encoded, is_right)
    return Alike(
        *_alike_pictures(encoded.image_embeds, neighbours, duplicate_cosine),
        *_alike_captions(encoded, texts, neighbours, duplicate_cosine),
        texts.couples,
        int((texts.count[text] > 1).sum()),
        *_foreign(encoded, text, texts.first, trusted),
        trusted.levels(),
    )


class _Places:
    """At which pictures texts stand.

    Args:
        text: number of each pair's text, 0 to T - 1, (N,).
        picture: row of its picture, (N,).

    Attributes:
        first: the first pair of each text, (T,).
        second: one of the same text at another picture, -1 where there is none, (T,).
        count: of the pictures of each text, (T,).
        couples: the first pair with that of each further picture, rows (E, 2).
    """

    def __init__(self, text: np.ndarray, picture: np.ndarray):
        _, rows = np.unique(text * (len(text) + 1) + picture, return_index=True)
        rows = np.sort(rows)  # one for each text at each picture, as they stand
        known, place = np.unique(text[rows], return_index=True)
        self.first = rows[place]
        self.count = np.bincount(text[rows], minlength=len(known))
        further = np.delete(rows, place)
        self.couples = np.stack([self.first[text[further]], further], axis=1)
        self.second = np.full(len(known), -1)
        self.second[text[further[::-1]]] = further[::-1]


def _alike_pictures(embeds: torch.Tensor, neighbours: Neighbours, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Couples of pictures: the first of equal ones with each further one, and near ones among the first."""
    content: dict[bytes, int] = {}
    number = np.array([content.setdefault(row.tobytes(), len(content)) for row in embeds.cpu().numpy().round(5)])
    _, first = np.unique(number, return_index=True)
    if len(first) == len(number):
        return _couples(*neighbours.pictures, level)
    kept = torch.from_numpy(first).to(embeds.device)
    cosines, rows = nearest_k(embeds[kept], embeds[kept], NEIGHBOURS + 1)
    rows[rows == torch.arange(len(rows), device=rows.device)[:, None]] = -1
    couples, values = _couples(rows, cosines, level)
    further = np.delete(np.arange(len(number)), first)
    equal = np.stack([first[number[further]], further], axis=1)
    return np.concatenate([equal, first[couples]]), np.concatenate([np.ones(len(equal), values.dtype), values])


def _alike_captions(
    encoded: EncodedPairs, texts: _Places, neighbours: Neighbours, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Couples of captions of different pictures in other words, of each text one."""
    if len(texts.first) == len(encoded.text_embeds):
        return _couples(*neighbours.captions, level)
    picture = encoded.image_of_pair.cpu().numpy()
    kept = encoded.text_embeds[torch.from_numpy(texts.first).to(encoded.text_embeds.device)]
    cosines, rows = nearest_k(kept, kept, NEIGHBOURS + _FURTHER)
    rows[rows == torch.arange(len(rows), device=rows.device)[:, None]] = -1
    numbers, values = _couples(rows, cosines, level)
    couples = texts.first[numbers]
    for side in (0, 1):  # texts that begin at one picture: another place of either will do
        same, second = picture[couples[:, 0]] == picture[couples[:, 1]], texts.second[numbers[:, side]]
        couples[:, side] = np.where(same & (second >= 0), second, couples[:, side])
    apart = picture[couples[:, 0]] != picture[couples[:, 1]]
    return couples[apart], values[apart]


def text_numbers(captions: list[str]) -> np.ndarray:
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
    encoded: EncodedPairs, text: np.ndarray, first_row: np.ndarray, trusted: "_Trusted"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the texts near each picture those that none of its own captions has, the best first."""
    picture = encoded.image_of_pair.cpu().numpy()
    width = len(picture) + 1
    own = np.unique(picture * width + text)  # (picture, words) that are given
    most = int(np.bincount(own // width).max())
    keys = encoded.text_embeds[torch.from_numpy(first_row).to(encoded.text_embeds.device)]
    cosines, found = nearest_k(encoded.image_embeds, keys, FOREIGN + min(most, _MOST_OWN))
    cosines, found = cosines.cpu().numpy(), found.cpu().numpy()
    rows = np.where(found < 0, -1, first_row[found.clip(0)])
    asked = np.arange(len(rows))[:, None] * width + text[rows.clip(0)]
    place = np.searchsorted(own, asked).clip(max=len(own) - 1)
    out = (rows < 0) | (own[place] == asked)
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
