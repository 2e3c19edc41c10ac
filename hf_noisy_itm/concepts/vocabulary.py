"""Which words of the captions are concepts: those in many captions that say something of a picture.

Words are counted and cut off by scikit-learn's `CountVectorizer`, and found by Unicode's classes of letters, for its
own pattern cuts words of Indic scripts at their vowels. Taggers (NLTK, spaCy, Stanza) would tell nouns from verbs, but
need models that are downloaded apart from the library, and know one language each; with the words that grammar needs
left out, what is frequent in captions are nouns, attributes, numbers and places anyhow. Nor are forms of a word put
together: "dog" and "dogs" are two concepts, as near to each other as CLIP embeds them.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from ..errors import InputError

_TELLING = frozenset(  # of scikit-learn's list: numbers, places, looks and things, which captions are about
    "above across along among around back behind below beside between bottom down eight eleven empty fifteen fifty "
    "fire five forty four front full hundred inside into mill move next nine off one onto out over several side six "
    "sixty ten thick thin three through together top toward towards twelve twenty two under up".split()
)
STOP_WORDS = sorted(ENGLISH_STOP_WORDS - _TELLING)
_WORD = regex.compile(r"[\p{L}\p{N}_]\w+|[\p{Han}\p{Hangul}]")  # \w has marks and joiners; one syllable is a word
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+")
_SHARE_UNSPACED, _LONGEST_WORDS = 0.1, 4.0  # of the captions; letters of a word on average, where they are parted


@dataclass(frozen=True)
class Vocabulary:
    """K concepts, the most frequent first.

    Args:
        words: K words.
        occurs: which of the N captions have which words, 0 or 1, sparse (N, K).
    """

    words: list[str]
    occurs: csr_matrix

    @property
    def captions(self) -> np.ndarray:
        """In how many captions each word is, int64 (K,)."""
        return np.asarray(self.occurs.sum(axis=0)).ravel().astype(np.int64)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case and Unicode's composed form; single letters are none in most scripts."""
    return _WORD.findall(unicodedata.normalize("NFC", text.lower()))


def unspaced(captions: Sequence[str]) -> str | None:
    """A sentence about captions whose words do not stand apart, so that clauses would be the concepts; else None."""
    runs = [found for caption in captions if (found := _UNSPACED.findall(caption))]
    letters = [sum(letter.isalpha() for letter in run) for found in runs for run in found]
    if len(runs) < _SHARE_UNSPACED * len(captions) or not letters or np.mean(letters) <= _LONGEST_WORDS:
        return None
    return (
        f"{len(runs) / len(captions):.0%} of the captions have words without spaces between them, which are taken for "
        f"one: put spaces there, for this and for training (jieba, MeCab or PyThaiNLP part words), or train with "
        f"--concept_branch false."
    )


def find_vocabulary(
    captions: Sequence[str],
    max_concepts: int = 300,
    min_captions: int = 5,
    max_share: float = 0.5,
    stop_words: Sequence[str] = STOP_WORDS,
) -> Vocabulary:
    """The words that most captions have; of equally frequent ones the first in the alphabet.

    A word counts once for each caption, so that who repeats a word has no more say. Captions alone matter, not whose
    they are: a caption that was moved to another picture does no harm here.

    Args:
        captions: N of them.
        max_concepts: K at most. (300: CVSE, the nearest public relative of CODER.)
        min_captions: rarer words are left out. (Ours.)
        max_share: so are words in more than this share of the captions, which tell nothing apart. (Ours.)
        stop_words: that are no concepts; English if left out.

    Raises:
        InputError: fewer than two words are left.
    """
    words, occurs = [], csr_matrix((len(captions), 0))
    counter = CountVectorizer(
        tokenizer=words_of, token_pattern=None, lowercase=False, stop_words=list(stop_words), binary=True,
        min_df=min_captions, max_df=max_share, dtype=np.int64,
    )  # fmt: skip
    if len(captions) * max_share >= min_captions:  # scikit-learn does not count below
        try:
            occurs = counter.fit_transform(captions)
            words = counter.get_feature_names_out().tolist()
        except ValueError:  # no word is left, and scikit-learn's sentence speaks of its own arguments
            words = []
    if len(words) < 2:
        raise InputError(
            f"The {len(captions):,} captions have {len(words)} words that are in at least {min_captions} captions and "
            f"in at most {max_share:.0%} of them, and concepts are two or more: give a smaller --min_captions or a "
            f"larger --max_share, or train without concepts."
        )
    count = np.asarray(occurs.sum(axis=0)).ravel()
    order = np.lexsort((np.arange(len(words)), -count))[:max_concepts]
    return Vocabulary([words[place] for place in order], occurs.tocsc()[:, order].tocsr())
