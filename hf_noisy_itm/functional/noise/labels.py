"""Wrong class labels, for category-level retrieval (MRL, CVPR 2021).

MRL's released code draws the class K, which does not exist, and may draw the true class; here the first never
happens and the second is an option. Labels of several modalities, (M, N), get independent draws; for noise that all
modalities share, draw once for (N,) and use it for all.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .draw import hash_bits, hash_uniform, random_order, random_words, row_numbers, share_of
from .result import check_rate

_BY_ROW = "label_symmetric_by_row"


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

    @property
    def sha256(self) -> str:
        """Names the draw: SHA-256 of `labels` as little-endian int64, so that a stream can be hashed as it passes."""
        return hashlib.sha256(np.ascontiguousarray(self.labels, dtype="<i8").tobytes()).hexdigest()


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
    _check_choice(num_classes, exclude_true)
    return _flip(labels, rate, rng, lambda old: _another(old, random_words(len(old), rng), num_classes, exclude_true))


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


def flip_labels_by_row(
    labels: np.ndarray,
    num_classes: int,
    rate: float,
    seed: int,
    exclude_true: bool = False,
    rows: Sequence[int] | np.ndarray | None = None,
) -> LabelNoise:
    """Gives each sample, by chance, a class drawn uniformly; no sample depends on another.

    Row i is picked if `hash_uniform(seed, "label_symmetric_by_row", i)` is below the rate: on average, not exactly,
    `rate * N` rows. Its class comes from `hash_bits` of the same arguments. So whether row i is picked depends on
    (seed, rate, i) only, and its class on (seed, i), with `exclude_true` on its own label too: it works on a stream,
    on a part of the data, and in any order. Picks are nested over rates, and a row that is picked at two rates gets
    the same class. Without `exclude_true` the true class may be drawn, as in `flip_labels_symmetric`, which is exact
    but needs all rows.

    Args:
        labels: clean labels in [0, K), int (N,). For independent noise on several modalities give each its own seed.
        num_classes: K, at least 1, or 2 with `exclude_true`.
        rate: chance of a row to be picked, in [0, 1].
        seed: any integer.
        exclude_true: never draw the true class.
        rows: number of each row, the i above: for a part of the data, those of the whole; 0..N-1 if left out.

    Raises:
        ValueError: the rate is outside [0, 1], a label outside [0, K), K is too small, a row number is no integer, or
            the lengths differ.
    """
    labels = _checked(labels, num_classes, rate)
    _check_choice(num_classes, exclude_true)
    rows = np.arange(labels.shape[-1]) if rows is None else row_numbers(rows)
    if labels.ndim != 1 or rows.shape != labels.shape:
        raise ValueError(f"Labels and row numbers are vectors of one length, got {labels.shape} and {rows.shape}.")
    picked = np.flatnonzero(hash_uniform(seed, _BY_ROW, rows) < rate)
    noisy = labels.copy()
    noisy[picked] = _another(labels[picked], hash_bits(seed, _BY_ROW, rows[picked], 1), num_classes, exclude_true)
    return LabelNoise(noisy, noisy != labels, rate)


def _another(old: np.ndarray, words: np.ndarray, num_classes: int, exclude_true: bool) -> np.ndarray:
    """A class for each random word."""
    if exclude_true:
        return (old + 1 + (words % np.uint64(num_classes - 1)).astype(np.int64)) % num_classes
    return (words % np.uint64(num_classes)).astype(np.int64)


def _check_choice(num_classes: int, exclude_true: bool) -> None:
    if num_classes < 1 + exclude_true:
        raise ValueError(f"There must be at least {1 + exclude_true} classes to draw from, got {num_classes}.")


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
