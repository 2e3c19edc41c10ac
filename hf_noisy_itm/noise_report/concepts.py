"""What a scorer that knows concepts sees in the picture, and finds in the caption, of each pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..memory.bank import EncodedPairs
from ..memory.concepts import ConceptShares
from ..methods import NoisyITMModel

_STRONGEST = 5  # of each


@dataclass(frozen=True)
class PairConcepts:
    """Of P pictures and N captions.

    Args:
        images: of the pictures, P.
        texts: of the captions, N.
    """

    images: ConceptShares
    texts: ConceptShares

    @classmethod
    def of(cls, model: NoisyITMModel, encoded: EncodedPairs) -> "PairConcepts | None":
        """By the model that embedded the pairs; None of one that knows no concepts."""
        images = model.concepts_of(encoded.image_embeds, "image", _STRONGEST)
        texts = model.concepts_of(encoded.text_embeds, "text", _STRONGEST)
        return None if images is None or texts is None else cls(images, texts)

    def columns(self, image_row: np.ndarray) -> dict[str, list[Sequence[str]]]:
        """Words for each pair, the strongest first, by the name of their column.

        Args:
            image_row: each pair's picture, (N,).
        """
        of_image, of_text = (_words(each) for each in (self.images, self.texts))
        return {"image_concepts": [of_image[row] for row in image_row.tolist()], "caption_concepts": of_text}


def _words(found: ConceptShares) -> list[list[str]]:
    return [[found.words[place] for place in row] for row in found.places.tolist()]
