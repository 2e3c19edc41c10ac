"""What different looks at the embedded pairs say of each: higher is more suspicious.

    cosine      of picture and caption by the scorer
    loss        of the pair among 255 others, to which a mixture of two normal distributions is fitted too
    agreement   of the caption with those of similar pictures, and of the picture with those of similar captions:
                pictures are compared with pictures and captions with captions, so that what the scorer makes of this
                pair does not enter (the idea, to ask the neighbours, is cleanlab's; the form is ours)

The same is measured of pairs that are wrong on purpose (`memory.scores.wrong_captions`).
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

NEIGHBOURS = 10
_FURTHER = 8  # of the own picture, which do not count
_LOSS, _COSINE = Scoring("loss"), Scoring("cosine")


@dataclass(frozen=True)
class Neighbours:
    """The nearest others of pictures and captions, by pictures alone and by captions alone.

    Args:
        pictures: rows of pictures, -1 where there are no more, (P, K), and their cosines.
        captions: rows of pairs of other pictures, likewise, (N, K), and their cosines.
    """

    pictures: tuple[Tensor, Tensor]
    captions: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, encoded: EncodedPairs) -> "Neighbours":
        """Finds them; on a GPU if the embeddings are there."""
        picture = torch.arange(len(encoded.image_embeds), device=encoded.image_embeds.device)
        return cls(
            _others(encoded.image_embeds, picture, 1),
            _others(encoded.text_embeds, encoded.image_of_pair, _FURTHER),
        )


def _others(embeds: Tensor, group: Tensor, further: int) -> tuple[Tensor, Tensor]:
    """The nearest rows of another group, (R, K), -1 where fewer were found, and their cosines."""
    cosines, rows = nearest_k(embeds, embeds, NEIGHBOURS + further)
    own = (group[rows.clamp(min=0)] == group[:, None]) | (rows < 0)
    first = own.long().argsort(dim=1, stable=True)[:, :NEIGHBOURS]  # others before own, nearest first
    rows = rows.masked_fill(own, -1).gather(1, first)
    return rows, cosines.masked_fill(own, -torch.inf).gather(1, first)


@dataclass(frozen=True)
class Signals:
    """Of N pairs, and of M pairs that are wrong on purpose.

    Args:
        own: by name, (N,).
        wrong: by name, (M,).
        own_picture: row of each pair's picture, (N,).
        wrong_picture: likewise, (M,).
        noisy_by_loss: posterior of the mixture's high-loss component, (N,).
    """

    own: dict[str, np.ndarray]
    wrong: dict[str, np.ndarray]
    own_picture: np.ndarray
    wrong_picture: np.ndarray
    noisy_by_loss: np.ndarray

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
    caption, is_wrong = wrong_captions(encoded, _LOSS)
    if not is_wrong.any():
        raise InputError("All captions are of one picture, so that nobody knows what wrong pairs look like.")
    to_text, to_image = _contexts(encoded, neighbours)
    everyone = torch.arange(len(caption), device=caption.device)

    def signals_of(captions: Tensor) -> dict[str, np.ndarray]:
        moved = None if captions is everyone else captions
        picture = encoded.image_of_pair
        agreement = (
            _inner(encoded.text_embeds, captions, to_text, picture),
            _inner(to_image, captions, encoded.image_embeds, picture),
        )
        values = {
            "cosine": -score_pairs(encoded, logit_scale, _COSINE, moved),
            "loss": score_pairs(encoded, logit_scale, _LOSS, moved),
            "by captions": -agreement[0],
            "by pictures": -agreement[1],
        }
        return {name: value.cpu().numpy().astype(np.float64) for name, value in values.items()}

    chosen = is_wrong.cpu().numpy()
    own = signals_of(everyone)
    wrong = {name: values[chosen] for name, values in signals_of(caption).items()}
    both = [normal_scores(own.pop(name), wrong.pop(name)) for name in ("by captions", "by pictures")]
    own["agreement"], wrong["agreement"] = (sum(each) / 2 for each in zip(*both))
    picture = encoded.image_of_pair.cpu().numpy()
    mixture = fit_loss_mixture(own["loss"])
    return Signals(own, wrong, picture, picture[chosen], 1 - mixture.clean_posterior)


def _contexts(encoded: EncodedPairs, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
    """What captions of similar pictures say on the whole, (P, D), and pictures of similar captions show, (N, D)."""
    images, texts, picture = encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair
    said = torch.zeros(len(images), texts.shape[1], device=texts.device).index_add_(0, picture, texts)
    by_captions = _sum_of(said, neighbours.pictures[0])
    rows = neighbours.captions[0]
    shown = torch.where(rows < 0, -1, picture[rows.clamp(min=0)])
    return by_captions, _sum_of(images, shown)


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
