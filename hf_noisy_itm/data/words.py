"""Which captions are near each other by the words they share, without a model."""

import re

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from ..errors import InputError

NEAR_BY = "TF-IDF and TruncatedSVD"  # what a pedigree says of it
_TOPICS = 256
_WORD = r"(?u)\b\w+\b"


def embed_by_words(captions: list[str]) -> np.ndarray:
    """Embeds captions by the words they share, without a model: TF-IDF, then latent semantic analysis.

    This stand-in is ours. Words are runs of letters and digits; in a language that does not part its words captions
    share none. The factors come from a fixed seed, and are rounded as the machine's algebra does.

    Args:
        captions: N strings.

    Returns:
        float64 (N, D), D at most 256; a caption that shares no word with another is near none.

    Raises:
        InputError: no caption has a word.
    """
    try:
        counts = TfidfVectorizer(sublinear_tf=True, token_pattern=_WORD).fit_transform(captions)
    except ValueError as error:  # an empty vocabulary
        raise InputError(
            "No caption has a letter or a digit, so none is near another by the words they share: give a --text_model."
        ) from error
    if min(counts.shape) <= _TOPICS:
        return counts.toarray()
    embeds = TruncatedSVD(_TOPICS, random_state=0).fit_transform(counts)
    alone = counts[:, counts.getnnz(axis=0) > 1].getnnz(axis=1) == 0
    embeds[alone] = 0  # where topics put it is chance
    return embeds


def share_no_word(caption: str, other: str) -> bool:
    """Whether two captions have not one word in common, as `embed_by_words` knows words."""
    return not {word.lower() for word in re.findall(_WORD, caption)} & {
        word.lower() for word in re.findall(_WORD, other)
    }
