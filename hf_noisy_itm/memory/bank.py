"""The memory bank: for each training pair, the clean pairs it is measured against."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path

KINDS = ("image", "text")
_TOLD = {"kind": "kind", "nominal": "rate", "seed": "seed"}  # of a pedigree


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
        tensors = {f"entries.{name}": rows.contiguous().clone() for name, rows in self.entries.items()}
        tensors |= {f"scores.{name}": values.contiguous().clone() for name, values in self.scores.items()}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"provenance": json.dumps(self.provenance, sort_keys=True)})

    @classmethod
    def read(cls, path: str | Path) -> "MemoryBank":
        """Reads a bank, of whatever data.

        Raises:
            InputError: the file is no bank.
        """
        groups: dict[str, dict[str, Tensor]] = {"entries": {}, "scores": {}}
        try:
            with safe_open(path, framework="pt") as file:
                provenance = json.loads((file.metadata() or {}).get("provenance", "{}"))
                if not isinstance(provenance, dict):
                    raise ValueError("its provenance is no object")
                for key in file.keys():  # noqa: SIM118
                    group, name = key.split(".", 1)
                    groups[group][name] = file.get_tensor(key)
            return cls(groups["entries"], groups["scores"], provenance)
        except (OSError, SafetensorError, ValueError, KeyError, RecursionError) as error:
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
        own, noise = self.provenance.get("fingerprint"), self.provenance.get("noise") or {}
        if own is None or own != fingerprint:
            told = ", ".join(f"{word} {noise[key]}" for key, word in _TOLD.items() if noise.get(key) is not None)
            raise InputError(
                f"{name} was built for other data (fingerprint {own}{f', with noise of {told}' if told else ''}; this "
                f"data has {fingerprint}); build it again for this data."
            )
        if pairs is not None and len(self) != pairs:
            raise InputError(f"{name} is damaged: it has entries for {len(self)} pairs, and there are {pairs}.")
