"""Edges of a commonsense graph: a file in ConceptNet's format, looked up for the concepts at hand.

A line holds a relation, two nodes and a weight between tabs (or spaces), as ConceptNet's assertions do, with or
without the assertion's own name in front:

    /r/RelatedTo	/c/en/cat	/c/en/animal	{"weight": 2.0}
"""

import gzip
import json
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError

_APART = ("/r/Antonym", "/r/DistinctFrom", "/r/ExternalURL", "/r/Not")  # these do not say that two belong together
_LONGEST = 2**16  # characters of a line
_HEAVIEST = 1_000_000  # a weight beyond is damage, and sums of these are finite


@dataclass(frozen=True)
class Knowledge:
    """What a commonsense graph says of K concepts.

    Args:
        strength: float32 (K, K), in [0, 1), symmetric, without loops.
        edges: lines between two different concepts, of a weight above 0.
        unknown: lines of which one node, or both, are no concepts here.
        apart: lines that say that two nodes differ.
    """

    strength: np.ndarray
    edges: int
    unknown: int
    apart: int


def read_knowledge(path: str | Path, words: Sequence[str], language: str = "en") -> Knowledge:
    """Reads the edges between known words; of several between two words the weights are added.

    Args:
        path: of the file, `.gz` too; read line by line.
        words: the concepts.
        language: of the nodes; those of others are unknown.

    Returns:
        Strength `w / (1 + w)` of a weight w, which in ConceptNet begins at 0.1 and is 1 for one source (ours).

    Raises:
        InputError: the file is not there, a line is not of this format, or no edge is between two concepts.
    """
    place = {word: number for number, word in enumerate(words)}
    weight = np.zeros((len(words), len(words)))
    edges = unknown = apart = 0
    for relation, *nodes, more in _lines(Path(path)):
        one, other = (place.get(_word(node, language)) for node in nodes)
        if relation.startswith(_APART):
            apart += 1
        elif one is None or other is None:
            unknown += 1
        elif one != other and more > 0:
            weight[one, other] += more
            weight[other, one] += more
            edges += 1
    if not edges:
        raise InputError(
            f"No edge of {path} is between two of the {len(words)} concepts and weighs more than 0 ({unknown:,} have "
            f"other nodes): is it in the language {language!r}, and of the words of these captions?"
        )
    return Knowledge((weight / (1 + weight)).astype(np.float32), edges, unknown, apart)


def _lines(path: Path) -> Iterator[tuple[str, str, str, float]]:
    """Relation, both nodes, and weight of each line that is not empty."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST), ""), 1):
                if len(line) == _LONGEST:  # a few packed bytes can be gigabytes without a line break
                    raise InputError(f"Line {number} of {path} has {_LONGEST:,} characters or more, as no edge has.")
                if line.strip():
                    yield _read(line, path, number)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): name a file of edges, UTF-8 or .gz of that.") from error


def _read(line: str, path: Path, number: int) -> tuple[str, str, str, float]:
    words = line.rstrip("\r\n").split("\t" if "\t" in line else None)
    if words and words[0].startswith("/a/"):
        words = words[1:]
    try:
        relation, one, other, *rest = words
        if not (relation.startswith("/r/") and one.startswith("/c/") and other.startswith(("/c/", "http"))):
            raise ValueError
        weight = json.loads(" ".join(rest))["weight"] if rest else 1.0
        if isinstance(weight, bool) or not 0 <= weight <= _HEAVIEST:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(
            f"Line {number} of {path} is no edge: it must hold /r/RELATION, /c/LANGUAGE/WORD twice, and "
            f'{{"weight": NUMBER}} (from 0 to {_HEAVIEST:,}) or nothing, between tabs; got {line.strip()[:80]!r}.'
        ) from None
    return relation, one, other, float(weight)


def _word(node: str, language: str) -> str | None:
    """The word of `/c/en/cat/n`, "cat"; None in another language."""
    parts = node.split("/")
    if len(parts) <= 3 or parts[2] != language:
        return None
    return unicodedata.normalize("NFC", parts[3].replace("_", " ").lower())
