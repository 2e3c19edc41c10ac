"""Vectors of two or more modalities with a class, instead of pictures and captions: rows, and what makes batches.

Such data come from networks, or from before there were any (`wikipedia`). A row is a sample, its vectors belong
together, and its class, one for each modality, may be wrong.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor
from transformers.utils import cached_file

from ..errors import InputError
from ..files import atomic_path
from ._labels import Labels
from ._modality import Modality, distinct
from ._report import RowReport

_COLUMNS = 8  # in double precision at once
PROCESSOR_FILE = "feature_processor.safetensors"
_PARTS = ("mean", "deviation")


@dataclass(frozen=True)
class FeatureRows:
    """N samples; a map-style data set whose rows are places, for the collator looks vectors up.

    Args:
        features: by modality, float32 (N, D), D of its own.
        labels: of the N samples, by modality.
        report: what was found when the rows were read.
        pedigree: what is known of noise that was put in on purpose, see `data/pedigree.py`; None where there was none.
    """

    features: dict[str, np.ndarray]
    labels: Labels
    report: RowReport | None = None
    pedigree: dict | None = None

    def __post_init__(self):
        counts = {len(each) for each in (*self.features.values(), *self.labels.given.values())}
        if len(counts) != 1 or self.features.keys() != self.labels.given.keys() or len(self.features) < 2:
            raise ValueError(
                f"There must be equally many vectors and labels of two modalities or more, got {self._shapes}."
            )

    def __len__(self) -> int:
        return len(next(iter(self.features.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"index": int(index), "of": self.fingerprint}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    @property
    def _shapes(self) -> dict[str, tuple]:
        labels = {name: each.shape for name, each in self.labels.given.items()}
        return {name: (each.shape, labels.get(name)) for name, each in self.features.items()}

    @property
    def label_is_noisy(self) -> np.ndarray:
        """Whether a sample has a wrong label in any modality, bool (N,): for analysis, no batch contains it."""
        return np.any(list(self.labels.is_wrong.values()), axis=0)

    @property
    def noise_is_known(self) -> np.ndarray:
        """Whether it is known of a row if its labels are wrong, bool (N,): as far as `label_is_noisy` is."""
        return np.ones(len(self), dtype=bool)

    is_noisy = label_is_noisy  # there are no captions that could be wrong

    @cached_property
    def fingerprint(self) -> str:
        """Hash of vectors and labels."""
        digest = hashlib.sha256()
        for name, features in sorted(self.features.items()):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(features, dtype="<f4").tobytes())
        digest.update(self.labels.digest)
        return digest.hexdigest()[:16]

    @property
    def told(self) -> str:
        """What it is, in words."""
        return f"{len(self)} samples of {' and '.join(self.features)} vectors in {len(self.labels.names)} classes"

    @property
    def facts(self) -> dict[str, Any]:
        """What the data say of fields of a method's config, by their names."""
        widths = {name: each.shape[1] for name, each in self.features.items()}
        return {"class_names": self.labels.names, "feature_widths": widths}

    def category(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Given labels of some samples, int64 (B,) by modality."""
        return {name: labels[index] for name, labels in self.labels.given.items()}

    def with_labels(self, labels: Labels, pedigree: dict | None) -> "FeatureRows":
        """The same vectors with other labels; the pedigree before stays in the new one as `before`."""
        if pedigree is not None and self.pedigree is not None:
            pedigree = {**pedigree, "before": self.pedigree}
        return replace(self, labels=labels, pedigree=pedigree)


class FeatureProcessor:
    """What a processor is to pictures: it standardises vectors, and is saved with the model that was trained on them.

    Args:
        mean: by modality, (D,).
        deviation: likewise, > 0.
    """

    model_input_names = ("features",)

    def __init__(self, mean: dict[str, np.ndarray], deviation: dict[str, np.ndarray]):
        self.mean, self.deviation = mean, deviation

    @classmethod
    def of(cls, rows: FeatureRows, standardize: bool = True) -> "FeatureProcessor":
        """With mean and deviation of these rows, number by number; numbers that never vary are only centred."""
        mean, deviation = {}, {}
        for name, features in rows.features.items():
            width = features.shape[1]
            centre, spread = np.zeros(width), np.ones(width)
            for start in range(0, width, _COLUMNS) if standardize else ():  # float64 of all would be twice the data
                some = slice(start, start + _COLUMNS)
                exact = features[:, some].astype(np.float64)
                centre[some], spread[some] = exact.mean(axis=0), exact.std(axis=0)
            mean[name] = centre.astype(np.float32)
            deviation[name] = np.where(spread > 0, spread, 1.0).astype(np.float32)
        return cls(mean, deviation)

    def __call__(self, name: str, features: np.ndarray) -> np.ndarray:
        """Standardises vectors of a modality, (N, D) -> float32 (N, D)."""
        return ((features - self.mean[name]) / self.deviation[name]).astype(np.float32, copy=False)

    def save_pretrained(self, folder: str | Path, **kwargs) -> None:
        """Writes one file into a model's folder."""
        tensors = {f"mean.{name}": each for name, each in self.mean.items()}
        tensors |= {f"deviation.{name}": each for name, each in self.deviation.items()}
        with atomic_path(Path(folder) / PROCESSOR_FILE) as temporary:
            save_file(tensors, temporary)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> "FeatureProcessor":
        """Reads that file of a model's folder, or of its page on the Hub.

        Raises:
            InputError: there is none, or it is broken or holds something else.
        """
        try:
            tensors = load_file(cached_file(str(name), PROCESSOR_FILE))
            names = [key.removeprefix("mean.") for key in tensors if key.startswith("mean.")]
            mean, deviation = ({each: tensors.pop(f"{part}.{each}") for each in names} for part in _PARTS)
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{name} lacks a whole {PROCESSOR_FILE}, which its vectors need; copy it there."
            ) from error
        fit = all(mean[each].shape == deviation[each].shape == (mean[each].size,) for each in names)
        if tensors or not fit or not all(((spread > 0) & np.isfinite(spread)).all() for spread in deviation.values()):
            raise InputError(
                f"{PROCESSOR_FILE} of {name} must hold, of each modality, a mean and a deviation above 0 of one width "
                f"and nothing else; copy it there anew."
            )
        return cls(mean, deviation)


class FeatureCollator:
    """Makes batches of `FeatureRows`: `features` and `category`, (B, D) and int64 (B,) by modality, and `index` (B,).

    Args:
        processor: of the model.
        rows: to look vectors and labels up in.

    Raises:
        InputError: the model was made for other modalities or widths.
    """

    def __init__(self, processor: FeatureProcessor, rows: FeatureRows):
        self.pairs = rows
        widths = {name: features.shape[1] for name, features in rows.features.items()}
        known = {name: len(mean) for name, mean in processor.mean.items()}
        if widths != known:
            raise InputError(f"The data hold vectors of widths {widths}, and the model takes {known}.")
        self.features = {name: torch.from_numpy(processor(name, features)) for name, features in rows.features.items()}

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows.

        Raises:
            InputError: a row is of other data.
        """
        if any(row["of"] != self.pairs.fingerprint for row in rows):
            raise InputError("A row is of other data than this collator looks up: give each a collator of its own.")
        index = np.array([row["index"] for row in rows])
        return {
            "features": {name: features[index] for name, features in self.features.items()},
            "category": {name: torch.from_numpy(each) for name, each in self.pairs.category(index).items()},
            "index": torch.from_numpy(index),
        }

    def modalities(self) -> dict[str, Modality]:
        """What there is to embed, by name."""
        found = {}
        for name, features in self.pairs.features.items():
            first, place = distinct([row.tobytes() for row in features])
            found[name] = Modality(place, partial(self._some, name, first))
        return found

    def _some(self, name: str, first: np.ndarray, places: list[int]) -> dict[str, Tensor]:
        return {"features": self.features[name][first[places]]}
