"""Concepts of a training set: words that its captions use often, how strongly they belong together, their embeddings.

A file of them is made by recipes/build_concepts.py. In a model they are `ConceptGraph`, a part of its checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..functional.graph import propagation
from .stored import read_tensors, write_tensors

_ROUNDING = 1e-3  # of the length of a unit row, whatever the machine that made it


def check_words(words: Sequence[str]) -> None:
    """Does nothing for two or more different words.

    Raises:
        ValueError: they are fewer, or no words.
    """
    count = len(words)
    if count < 2:
        raise ValueError(f"{count} concept{'s make' if count != 1 else ' makes'} no graph: at least 2 are needed")
    if not all(isinstance(word, str) and word for word in words) or len(set(words)) < count:
        raise ValueError("its words are not all different")
    "".join(words).encode()  # half a letter is a ValueError, too


@dataclass(frozen=True)
class Concepts:
    """K concepts and the graph between them.

    Args:
        words: K >= 2 different ones.
        links: strength of the tie between each two, in [0, 1], symmetric and without loops, float32 (K, K).
        vectors: a CLIP's embedding of each word, unit rows, float32 (K, D).
        provenance: JSON-able facts; `captions` is the hash of the captions whose words they are.

    Raises:
        ValueError: the parts do not belong together.
    """

    words: list[str]
    links: Tensor
    vectors: Tensor
    provenance: dict = field(default_factory=dict)

    def __post_init__(self):
        count = len(self.words)
        check_words(self.words)
        if self.links.shape != (count, count) or self.vectors.ndim != 2 or len(self.vectors) != count:
            raise ValueError(
                f"links of shape {tuple(self.links.shape)} and vectors of shape {tuple(self.vectors.shape)} are not "
                f"those of {count} words"
            )
        if self.links.dtype != torch.float32 or self.vectors.dtype != torch.float32:
            raise ValueError("links and vectors are not float32")
        if not self.vectors.isfinite().all() or not ((self.links >= 0) & (self.links <= 1)).all():
            raise ValueError("vectors are not finite, or links are not in [0, 1]")
        if not torch.equal(self.links, self.links.T) or self.links.diagonal().any():
            raise ValueError("its links are not symmetric, or tie a word to itself")
        if bad := [word for word, norm in zip(self.words, self.vectors.norm(dim=1)) if abs(norm - 1) > _ROUNDING]:
            raise ValueError(f"the vectors of {len(bad)} words, {bad[0]!r} for one, are not of unit length")
        if not isinstance(self.provenance.get("scorer", {}), dict):
            raise ValueError("the scorer in its provenance is no object")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def edges(self) -> int:
        """How many pairs of words are tied."""
        return int((self.links > 0).sum()) // 2

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, words and provenance as JSON in its header; there only when it is whole."""
        facts = {"words": self.words, "provenance": self.provenance}
        write_tensors(path, {"links": self.links, "vectors": self.vectors}, facts)

    @classmethod
    def read(cls, path: str | Path) -> "Concepts":
        """Reads what `save` wrote.

        Raises:
            InputError: the file is not there, or something else.
        """
        if not Path(path).is_file():
            raise InputError(f"There is no file of concepts {path}: make it with recipes/build_concepts.py.")
        try:
            tensors, facts = read_tensors(path)
            words, provenance = facts.get("words"), facts.get("provenance")
            if not isinstance(words, list) or not isinstance(provenance, dict):
                raise ValueError("its words are no list, or its provenance is no object")
            return cls(words, tensors["links"], tensors["vectors"], provenance)
        except (ValueError, KeyError) as error:
            raise InputError(f"{path} is no file of concepts ({error}); build it again.") from error


@dataclass(frozen=True)
class ConceptShares:
    """The k strongest concepts of each of B pictures or captions, the strongest first.

    Args:
        words: all K concepts.
        places: which of them, int64 (B, k).
        shares: how much of each there is, in [0, 1], float32 (B, k).
    """

    words: Sequence[str]
    places: Tensor
    shares: Tensor

    def __len__(self) -> int:
        return len(self.places)

    def of(self, row: int) -> list[tuple[str, float]]:
        """Words and shares of one picture or caption."""
        places, shares = self.places[row].tolist(), self.shares[row].tolist()
        return [(self.words[place], share) for place, share in zip(places, shares)]


class ConceptGraph(nn.Module):
    """Embeddings of K concepts, and how they take in their neighbours; not trained, and kept in checkpoints.

    Args:
        count: K.
        width: D.
        concepts: what it starts as; all zeros without, until a checkpoint is loaded.
    """

    def __init__(self, count: int, width: int, concepts: Concepts | None = None):
        super().__init__()
        self._concepts = concepts
        self.register_buffer("vectors", torch.empty(count, width))
        self.register_buffer("propagation", torch.empty(count, count))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Starts; not called `reset`, since a new training does not forget what the model is made of."""
        if self._concepts is None:
            self.vectors.zero_()
            self.propagation.zero_()
        else:
            self.vectors.copy_(self._concepts.vectors)
            self.propagation.copy_(propagation(self._concepts.links))
