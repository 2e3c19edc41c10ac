"""Class labels of a data set: what training is given, and what is true as far as that is known."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

LABEL, TRUE_LABEL, LABEL_IS_NOISY = "label", "true_label", "label_is_noisy"  # columns
NO_LABEL = -1  # of a row that has none, until it is left out


@dataclass(frozen=True)
class Labels:
    """One class for each item of each modality; noise may differ between modalities.

    Args:
        names: of the classes 0..K-1.
        given: by modality, int64, one for each item: perhaps wrong, and what a batch holds.
        true: likewise; for evaluation and analysis, no batch holds them.
    """

    names: list[str]
    given: dict[str, np.ndarray]
    true: dict[str, np.ndarray]

    @property
    def is_wrong(self) -> dict[str, np.ndarray]:
        """Whether the given label is not the true one, bool, by modality."""
        return {name: self.given[name] != self.true[name] for name in self.given}

    def taken(self, **rows: np.ndarray) -> "Labels":
        """The labels of some items of some modalities, in the order of `rows`; those of other modalities stay."""
        parts = {
            part: {name: each[rows[name]] if name in rows else each for name, each in getattr(self, part).items()}
            for part in ("given", "true")
        }
        return replace(self, **parts)

    @property
    def digest(self) -> bytes:
        """Hash of class names and given labels."""
        digest = hashlib.sha256("\0".join(self.names).encode("utf-8", "surrogatepass"))
        for name, labels in sorted(self.given.items()):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(labels, dtype="<i8").tobytes())
        return digest.digest()
