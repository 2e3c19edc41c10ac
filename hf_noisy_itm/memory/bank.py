"""The memory bank: for each training pair, the clean pairs it is measured against."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from .stored import read_tensors, refuse_other_data, write_tensors

KINDS = ("image", "text")


@dataclass(frozen=True)
class EncodedPairs:
    """The training set as one model sees it; P pictures, N pairs, width D.

    Args:
        image_embeds: unit rows, (P, D).
        text_embeds: unit rows, one per pair, (N, D).
        image_of_pair: row of each pair's picture, int64 (N,).
        fingerprint: hash of the pairs, so that what is derived from them can be refused elsewhere.
    """

    image_embeds: Tensor
    text_embeds: Tensor
    image_of_pair: Tensor
    fingerprint: str


@dataclass(frozen=True)
class MemoryBank:
    """Entries and scores of N training pairs, and where they come from.

    Args:
        entries: for each of `KINDS`, what a pair was found through, the row of a clean pair, int64 (N,).
        scores: figures per pair worth keeping, float32 (N,), finite, by name.
        provenance: JSON-able facts; `fingerprint` names the data it was built for.

    Raises:
        ValueError: entries are of other kinds, or no rows of the pairs, or scores are not float32 or not finite.
    """

    entries: dict[str, Tensor]
    scores: dict[str, Tensor] = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)

    def __post_init__(self):
        if set(self.entries) != set(KINDS):
            raise ValueError(f"there are entries of {' and '.join(KINDS)}, not of {sorted(self.entries)}")
        shapes = {tuple(tensor.shape) for tensor in (*self.entries.values(), *self.scores.values())}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"entries and scores are vectors over the same pairs, not of shapes {sorted(shapes)}")
        for name, rows in self.entries.items():
            if rows.dtype != torch.int64 or not ((rows >= 0) & (rows < len(rows))).all():
                raise ValueError(f"the entries {name!r} are not rows of {len(rows)} pairs")
        for name, values in self.scores.items():
            if values.dtype not in (torch.float32, torch.float64):
                raise ValueError(f"the scores {name!r} are {values.dtype} and not float32")
            if not values.isfinite().all():
                raise ValueError(f"{int((~values.isfinite()).sum())} of the scores {name!r} are no finite numbers")
        if not isinstance(self.provenance.get("noise") or {}, dict):
            raise ValueError("the noise in its provenance is no object")

    def __len__(self) -> int:
        return len(next(iter(self.entries.values())))

    def told(self, **facts) -> "MemoryBank":
        """The same bank with further facts in its provenance: each caller adds what it alone knows."""
        return replace(self, provenance={**self.provenance, **facts})

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, under its final name only when it is whole."""
        tensors = {f"entries.{name}": rows for name, rows in self.entries.items()}
        write_tensors(path, tensors | {f"scores.{name}": each for name, each in self.scores.items()}, self.provenance)

    @classmethod
    def read(cls, path: str | Path) -> "MemoryBank":
        """Reads a bank, of whatever data.

        Raises:
            InputError: the file is no bank.
        """
        groups: dict[str, dict[str, Tensor]] = {"entries": {}, "scores": {}}
        try:
            tensors, provenance = read_tensors(path)
            for key, values in tensors.items():
                group, name = key.split(".", 1)
                groups[group][name] = values
            return cls(groups["entries"], groups["scores"], provenance)
        except (ValueError, KeyError) as error:
            raise InputError(f"{path} is not a memory bank ({error}); build it again.") from error

    @classmethod
    def load(cls, path: str | Path, fingerprint: str, pairs: int | None = None) -> "MemoryBank":
        """Reads a bank for the data of that fingerprint.

        Args:
            path: of the file.
            fingerprint: of the pairs.
            pairs: how many there are; not compared if left out.

        Raises:
            InputError: the file is no bank, or was built for other data.
        """
        bank = cls.read(path)
        bank.refuse_other_data(fingerprint, pairs, f"The memory bank {path}")
        return bank

    def refuse_other_data(
        self, fingerprint: str | None, pairs: int | None = None, name: str = "The memory bank"
    ) -> None:
        """Does nothing if the bank is of the data of that fingerprint; see `load`.

        Raises:
            InputError: it was built for other data.
        """
        refuse_other_data(self.provenance, fingerprint, len(self), pairs, name, "entries")
