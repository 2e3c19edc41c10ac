"""What different looks at the embedded pairs say of each: higher is more suspicious.

    cosine      of picture and caption by the scorer
    loss        of the pair among 255 others, to which a mixture of two normal distributions is fitted too
    agreement   of the caption with those of similar pictures, and of the picture with those of similar captions:
                pictures are compared with pictures and captions with captions, so that what the scorer makes of this
                pair does not enter (the idea, to ask the neighbours, is cleanlab's; the form is ours)
    prediction  of the caption from the picture and the other way round, see `predicted.py`

The same is measured of pairs that are wrong on purpose (`memory.scores.wrong_captions`), as if their captions had been
moved: a caption's neighbours are then sought where it is now, not where it stands in the data.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..functional.mismatch import normal_scores
from ..functional.mixture import fit_loss_mixture
from ..functional.nearest_k import nearest_k
from ..functional.similarity import normalize
from ..memory.bank import EncodedPairs
from ..memory.scores import Scoring, score_pairs, wrong_captions
from .predicted import Predictions

NEIGHBOURS = 10
_FURTHER = 8  # of the own picture, which do not count
_DRAWS = 3  # of random partners: the more, the less chance decides what these look like
_LOSS, _COSINE = Scoring("loss"), Scoring("cosine")
_OF_TWO = {"agreement": ("by captions", "by pictures"), "prediction": ("from pictures", "from captions")}


@dataclass(frozen=True)
class Neighbours:
    """The nearest others of pictures and captions, by pictures alone and by captions alone.

    Args:
        pictures: rows of pictures, -1 where there are no more, (P, K), and their cosines.
        captions: rows of pairs of other pictures, likewise, (N, K), and their cosines.
        near: rows of the nearest captions, of the own picture or not, the own row too, (N, K + `_FURTHER`).
    """

    pictures: tuple[Tensor, Tensor]
    captions: tuple[Tensor, Tensor]
    near: Tensor

    @classmethod
    def of(cls, encoded: EncodedPairs) -> "Neighbours":
        """Finds them; on a GPU if the embeddings are there."""
        images, texts, picture = encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair
        cosines, rows = nearest_k(images, images, NEIGHBOURS + 1)
        pictures = _kept(rows, cosines, rows == torch.arange(len(rows), device=rows.device)[:, None])
        cosines, near = nearest_k(texts, texts, NEIGHBOURS + _FURTHER)
        return cls(pictures, _kept(near, cosines, picture[near.clamp(min=0)] == picture[:, None]), near)

    def of_moved(self, caption: Tensor, picture: Tensor) -> Tensor:
        """Neighbours of captions that were moved, rows of pairs, (N, K), -1 where there are no more.

        Args:
            caption: row of the caption that each pair has now, (N,).
            picture: row of each pair's picture, (N,); captions of this one do not count, nor does the moved one.
        """
        rows = self.near[caption]
        out = (rows == caption[:, None]) | (picture[rows.clamp(min=0)] == picture[:, None])
        return _kept(rows, torch.zeros_like(rows, dtype=torch.float32), out)[0]


def _kept(rows: Tensor, cosines: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """The first neighbours that are not out, (R, K), -1 where fewer are left, and their cosines."""
    out = out | (rows < 0)
    first = out.long().argsort(dim=1, stable=True)[:, :NEIGHBOURS]  # others before those that are out, nearest first
    return rows.masked_fill(out, -1).gather(1, first), cosines.masked_fill(out, -torch.inf).gather(1, first)


@dataclass(frozen=True)
class Signals:
    """Of N pairs, and of M pairs that are wrong on purpose.

    Args:
        own: by name, (N,).
        wrong: by name, (M,).
        own_picture: row of each pair's picture, (N,).
        wrong_picture: likewise, (M,).
        noisy_by_loss: posterior of the mixture's high-loss component, (N,).
        clarity: of each picture, how firmly it predicts its captions, (P,).
    """

    own: dict[str, np.ndarray]
    wrong: dict[str, np.ndarray]
    own_picture: np.ndarray
    wrong_picture: np.ndarray
    noisy_by_loss: np.ndarray
    clarity: np.ndarray

    def normal(self) -> tuple[np.ndarray, np.ndarray]:
        """Normal scores of the signals, (N, S) and (M, S), see `functional.mismatch`."""
        both = [normal_scores(self.own[name], self.wrong[name]) for name in self.own]
        return np.stack([own for own, _ in both], axis=1), np.stack([wrong for _, wrong in both], axis=1)


@torch.no_grad()
def measure(encoded: EncodedPairs, logit_scale: float, neighbours: Neighbours) -> Signals:
    """Measures all signals.

    Args:
        encoded: N >= 2 pairs.
        logit_scale: inverse temperature of the scorer.
        neighbours: of these pairs.

    Raises:
        InputError: all captions are of one picture.
    """
    said = _said_nearby(encoded, neighbours)
    predictions = Predictions(encoded)
    # Of other folds, a partner's caption would have been seen by the map that judges it: no moved caption was.
    fold = predictions.fold[encoded.image_of_pair]
    draws = [wrong_captions(encoded, _LOSS, draw, fold) for draw in range(_DRAWS)]
    if not any(is_wrong.any() for _, is_wrong in draws):
        raise InputError("All captions are of one picture, so that nobody knows what wrong pairs look like.")
    everyone = torch.arange(len(encoded.image_of_pair), device=encoded.image_of_pair.device)

    def looks(shown: Tensor, caption: Tensor | None = None) -> dict[str, np.ndarray]:
        given = everyone if caption is None else caption
        picture = encoded.image_of_pair
        predicted = predictions.agree(given)
        values = {
            "cosine": -score_pairs(encoded, logit_scale, _COSINE, caption),
            "loss": score_pairs(encoded, logit_scale, _LOSS, caption),
            "by captions": -_inner(encoded.text_embeds, given, said, picture),
            "by pictures": -_inner(shown, everyone, encoded.image_embeds, picture),
            "from pictures": -predicted[0],
            "from captions": -predicted[1],
        }
        return {name: value.cpu().numpy().astype(np.float64) for name, value in values.items()}

    own = looks(_shown_nearby(encoded, neighbours.captions[0]))
    parts = []
    for caption, is_wrong in draws:
        shown = _shown_nearby(encoded, neighbours.of_moved(caption, encoded.image_of_pair))
        chosen = is_wrong.cpu().numpy()
        parts.append({name: values[chosen] for name, values in looks(shown, caption).items()})
    wrong = {name: np.concatenate([part[name] for part in parts]) for name in own}
    for total, (one, other) in _OF_TWO.items():
        both = [normal_scores(own.pop(name), wrong.pop(name)) for name in (one, other)]
        own[total], wrong[total] = (sum(each) / 2 for each in zip(*both))
    picture = encoded.image_of_pair.cpu().numpy()
    mixture = fit_loss_mixture(own["loss"])
    wrong_picture = np.concatenate([picture[is_wrong.cpu().numpy()] for _, is_wrong in draws])
    clarity = predictions.said.norm(dim=1).cpu().numpy()
    return Signals(own, wrong, picture, wrong_picture, 1 - mixture.clean_posterior, clarity)


def _said_nearby(encoded: EncodedPairs, neighbours: Neighbours) -> Tensor:
    """What captions of similar pictures say on the whole, (P, D)."""
    texts = encoded.text_embeds
    said = torch.zeros(len(encoded.image_embeds), texts.shape[1], device=texts.device)
    return _sum_of(said.index_add_(0, encoded.image_of_pair, texts), neighbours.pictures[0])


def _shown_nearby(encoded: EncodedPairs, captions: Tensor) -> Tensor:
    """What the pictures of some captions show on the whole, (N, D), of rows of pairs (N, K), -1 for none."""
    picture = torch.where(captions < 0, -1, encoded.image_of_pair[captions.clamp(min=0)])
    return _sum_of(encoded.image_embeds, picture)


def _sum_of(vectors: Tensor, rows: Tensor) -> Tensor:
    """Unit sums of the named vectors, (R, D); one neighbour after the other, for memory."""
    total = torch.zeros(len(rows), vectors.shape[1], device=vectors.device)
    for column in rows.T:
        there = (column >= 0)[:, None]
        total += torch.where(there, vectors[column.clamp(min=0)], 0)
    return normalize(total)


def _inner(one: Tensor, rows: Tensor, other: Tensor, columns: Tensor, part: int = 16_384) -> Tensor:
    places = zip(rows.split(part), columns.split(part))
    return torch.cat([(one[row] * other[column]).sum(dim=1) for row, column in places])
