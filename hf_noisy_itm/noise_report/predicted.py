"""What linear maps, fitted on the pairs of other pictures, make of a picture and of a caption.

Fitted over many pairs, of which most are right, such a map learns what belongs together in these data, whatever the
scorer learnt elsewhere; it has not seen the pictures that it judges (the idea, to judge a label by predictions out of
sample, is cleanlab's; the form is ours).
"""

import numpy as np
import torch
from torch import Tensor

from ..functional.cross_fit import mapped, maps_without_fold
from ..functional.precision import full_precision
from ..memory.bank import EncodedPairs

_FOLDS = 5
_STRENGTH = 1.0  # how firmly the maps hold on to what the scorer learnt
_PART = 16_384  # pairs at once


class Predictions:
    """Maps between the pictures and captions of N pairs, in both directions, five of each.

    Args:
        encoded: the pairs.
        seed: of the folds, which are of pictures.
    """

    def __init__(self, encoded: EncodedPairs, seed: int = 0):
        self.picture = picture = encoded.image_of_pair
        self.images = encoded.image_embeds - encoded.image_embeds[picture].mean(dim=0)
        self.texts = encoded.text_embeds - encoded.text_embeds.mean(dim=0)
        order = np.random.default_rng(seed).permutation(len(self.images))
        self.fold = torch.from_numpy(order % max(1, min(_FOLDS, len(order) // 2))).to(picture.device)
        pair = torch.arange(len(picture), device=picture.device)
        with full_precision():
            fold = self.fold[picture]
            to_text = maps_without_fold(self.images, self.texts, picture, pair, fold, _STRENGTH)
            self.to_image = maps_without_fold(self.texts, self.images, pair, picture, fold, _STRENGTH)
            self.said = mapped(self.images, to_text, self.fold)

    def agree(self, caption: Tensor) -> tuple[Tensor, Tensor]:
        """How the pairs agree with what is predicted, cosines from the pictures and from the captions, (N,) each.

        Args:
            caption: row of the caption that each pair has, (N,); another's as if it had been moved here.
        """
        parts = []
        with full_precision():
            for picture, rows in zip(self.picture.split(_PART), caption.split(_PART)):
                texts, images = self.texts[rows], self.images[picture]
                shown = mapped(texts, self.to_image, self.fold[picture])
                parts.append((_cosine(self.said[picture], texts), _cosine(shown, images)))
        return tuple(torch.cat(each) for each in zip(*parts))


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(one, other, dim=1)
