"""Wrong class labels, for category-level retrieval (MRL, CVPR 2021).

MRL's released code draws the class K, which does not exist, and may draw the true class; here the first never
happens and the second is an option. Labels of several modalities, (M, N), get independent draws; for noise that all
modalities share, draw once for (N,) and use it for all.
"""

from dataclasses import dataclass

import numpy as np

from .draw import random_order, random_words, share_of
from .result import check_rate


@dataclass(frozen=True, eq=False)
class LabelNoise:
    """A draw of noise on class labels.

    Args:
        labels: noisy labels, int64, (N,) or (M, N).
        is_noisy: whether the label changed, bool, as `labels`.
        nominal: rate that was asked for, in [0, 1].
    """

    labels: np.ndarray
    is_noisy: np.ndarray
    nominal: float

    @property
    def realised(self) -> np.ndarray:
        """Share of labels that changed, the effective rate, float64 () or (M,): one per modality."""
        return self.is_noisy.mean(axis=-1) if self.is_noisy.size else np.zeros(self.is_noisy.shape[:-1])


def flip_labels_symmetric(
    labels: np.ndarray, num_classes: int, rate: float, rng: np.random.Generator, exclude_true: bool = False
) -> LabelNoise:
    """Gives a share of the samples a class drawn uniformly.

    Exact: in each modality `floor(rate * N)` samples are picked, all others keep their label. With `exclude_true`
    exactly these are noisy. Without, as in MRL's release, the true class may be drawn, and the expected rate is
    rate * (K - 1) / K; `realised` is what came out. Classes are 0..K-1. All rows are drawn together: no stream.

    Args:
        labels: clean labels in [0, K), int (N,), or (M, N) for independent draws per modality.
        num_classes: K, at least 1, or 2 with `exclude_true`.
        rate: share of samples to pick, in [0, 1].
        rng: the only source of randomness.
        exclude_true: never draw the true class.

    Raises:
        ValueError: the rate is outside [0, 1], a label outside [0, K), or K is too small.
    """
    labels = _checked(labels, num_classes, rate)
    if num_classes < 1 + exclude_true:
        raise ValueError(f"There must be at least {1 + exclude_true} classes to draw from, got {num_classes}.")

    def another(old: np.ndarray) -> np.ndarray:
        words = random_words(len(old), rng)
        if exclude_true:
            return (old + 1 + (words % np.uint64(num_classes - 1)).astype(np.int64)) % num_classes
        return (words % np.uint64(num_classes)).astype(np.int64)

    return _flip(labels, rate, rng, another)


def flip_labels_asymmetric(
    labels: np.ndarray, num_classes: int, rate: float, rng: np.random.Generator, mapping: np.ndarray | None = None
) -> LabelNoise:
    """Gives a share of the samples the class that their own is mistaken for.

    Exact: in each modality `floor(rate * N)` samples of all classes together are picked, and class c becomes
    `mapping[c]`; where that is c itself, picked samples stay clean. All rows are drawn together: no stream.

    Args:
        labels: clean labels in [0, K), int (N,), or (M, N) for independent draws per modality.
        num_classes: K, at least 1.
        rate: share of samples to pick, in [0, 1].
        rng: the only source of randomness.
        mapping: int (K,), with entries in [0, K); the next class, and the first after the last, if left out.

    Raises:
        ValueError: the rate is outside [0, 1], or a label or the mapping does not fit the classes.
    """
    labels = _checked(labels, num_classes, rate)
    mapping = (np.arange(num_classes) + 1) % num_classes if mapping is None else np.asarray(mapping)
    if mapping.shape != (num_classes,):
        raise ValueError(f"The mapping names one class for each of {num_classes}, got shape {mapping.shape}.")
    mapping = _checked(mapping, num_classes, rate, "The mapping")
    return _flip(labels, rate, rng, lambda old: mapping[old])


def _flip(labels: np.ndarray, rate: float, rng: np.random.Generator, another) -> LabelNoise:
    noisy = labels.copy()
    for row in noisy.reshape(-1, labels.shape[-1]) if labels.size else ():  # a view: one row per modality
        picked = random_order(len(row), rng)[: share_of(len(row), rate)]
        row[picked] = another(row[picked])
    return LabelNoise(noisy, noisy != labels, rate)


def _checked(labels: np.ndarray, num_classes: int, rate: float, what: str = "The labels") -> np.ndarray:
    check_rate(rate)
    labels = np.asarray(labels)
    if labels.ndim not in (1, 2) or (labels.size and labels.dtype.kind not in "iu"):
        raise ValueError(
            f"{what} must be integers of shape (N,) or (modalities, N), got {labels.dtype} {labels.shape}."
        )
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(
            f"{what} must be classes 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}; "
            f"classes are counted from 0."
        )
    return np.ascontiguousarray(labels, dtype=np.int64)
