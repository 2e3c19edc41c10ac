"""Recall@K in both directions as an `evaluate.Metric`: rows of captions in, `functional.retrieval` inside.

`evaluate.load` copies this file alone to its cache, after looking in its text for the packages it imports. So imports
are absolute, and each package has a line of its own.
"""

from collections.abc import Sequence
from numbers import Real
from operator import index
from typing import Any

import datasets
import evaluate
import numpy as np
import pyarrow as pa
import torch

from hf_noisy_itm.functional.retrieval import bootstrap_recall, recall_of_folds, recall_of_ranks, retrieval_ranks

_BLOCK = 4096  # rows that are compared at a time
_FLOAT32 = np.finfo(np.float32)
_LARGEST_ID = np.iinfo(np.int64).max
_OF_NUMPY = (torch.float16, torch.float32, torch.float64)  # other floats fit float32 exactly

_DESCRIPTION = """
Recall@K, rSum and ranks of image-to-text and text-to-image retrieval by cosine, for any number of captions per
picture. A picture is found by the best of its captions, and ties count against the model. The figures are those of
Flickr30K 1K and MSCOCO 5K, and with `folds=5` those of MSCOCO 1K.
"""

_CITATION = """
@article{hodosh2013framing,
    author = {Hodosh, Micah and Young, Peter and Hockenmaier, Julia},
    title = {Framing Image Description as a Ranking Task: Data, Models and Evaluation Metrics},
    journal = {Journal of Artificial Intelligence Research},
    volume = {47},
    year = {2013},
}
@inproceedings{karpathy2015deep,
    author = {Karpathy, Andrej and Fei-Fei, Li},
    title = {Deep Visual-Semantic Alignments for Generating Image Descriptions},
    booktitle = {CVPR},
    year = {2015},
}
"""

_INPUTS = """
Args:
    image_embeds: embedding of the picture of each caption, (C, D); captions of one picture repeat its row exactly.
        It is kept in float32.
    text_embeds: embedding of each caption, (C, D), any scale.
    image_id: an integer for each caption that names its picture. The rows may come in any order.
    ks: cut-offs, each between 1 and the number of pictures (of a fold).
    folds: divide the pictures, in the order of `image_id`, into so many parts and take the mean.
    bootstrap: number of bootstrap samples for intervals, 0 for none; 1,000 is usual, and 100 the least at level 0.95.
    level: of confidence.
    seed: of the bootstrap.

Returns:
    Percentages `i2t_r@K`, `t2i_r@K`, `rsum` and `mean_r@1`, and `i2t_`/`t2i_` `median_rank` and `mean_rank` (1 is
    best). With a bootstrap also `NAME_low` and `NAME_high` of each recall and of `rsum`.

Examples:
    >>> metric = evaluate.load("hf_noisy_itm/metrics/itm_recall")
    >>> pictures, captions = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[1.0, 0.1], [0.2, 1.0], [0.0, 1.0]]
    >>> figures = metric.compute(image_embeds=pictures, text_embeds=captions, image_id=[7, 7, 8], ks=(1,))
    >>> round(figures["i2t_r@1"], 1), round(figures["t2i_r@1"], 1)
    (100.0, 66.7)
"""


class ITMRecall(evaluate.Metric):
    """Image-text retrieval from one row per caption: the embedding of its picture, its own, and the picture's id.

    Relations: `functional.retrieval.recall` is the same without `evaluate`, and takes each picture once.
    """

    def _info(self) -> evaluate.MetricInfo:
        embeds = datasets.List(datasets.Value("float32"))
        info = evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"image_embeds": embeds, "text_embeds": embeds, "image_id": datasets.Value("int64")}
            ),
        )
        # Rows come back as arrays, not as lists of Python numbers. The constructor refuses this for lists of numbers,
        # although `datasets` has long been able to do it.
        info.format = "numpy"
        return info

    def add(self, *, prediction: None = None, reference: None = None, **inputs: Any) -> None:
        """Adds one row; see `add_batch`."""
        rows = {
            name: value[None] if isinstance(value, torch.Tensor) else [value]
            for name, value in inputs.items()
            if value is not None
        }
        self.add_batch(predictions=prediction, references=reference, **rows)

    def add_batch(self, *, predictions: None = None, references: None = None, **inputs: Any) -> None:
        """Adds rows, from lists, arrays or tensors.

        `evaluate` would make a Python object of each number; here whole columns become Arrow.

        Raises:
            ValueError: an input is missing or unknown, or the shapes do not fit; nothing has been added then.
        """
        given = [name for name, column in inputs.items() if column is not None]
        if predictions is not None or references is not None or set(given) != set(self.features):
            raise ValueError(
                f"This metric takes {', '.join(self.features)}, one row per caption; got {', '.join(given) or 'none'}."
            )
        columns = {name: _column(name, inputs[name]) for name in self.features}
        sizes = {name: len(column) for name, column in columns.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"All inputs have one row per caption, got {_listed(sizes)} rows.")
        if self.writer is None:
            self.selected_feature_format = self.features
            self._init_writer()
        self.writer.write_batch({name: _arrow(column) for name, column in columns.items()})

    def _compute(
        self,
        image_embeds: np.ndarray,
        text_embeds: np.ndarray,
        image_id: np.ndarray,
        ks: Sequence[int] = (1, 5, 10),
        folds: int | None = None,
        bootstrap: int = 0,
        level: float = 0.95,
        seed: int = 0,
    ) -> dict[str, float]:
        bootstrap, seed = _whole("bootstrap", bootstrap), _whole("seed", seed)
        if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
            raise ValueError(f"level must be a number between 0 and 1, like 0.95, got {level!r}.")
        if folds is not None and bootstrap:
            raise ValueError("Intervals are of the whole gallery, not of a mean over folds: leave one of them out.")
        if not len(image_id):
            raise ValueError("There are no rows to compute recall from: add one per caption.")
        _check_rows({"image_embeds": image_embeds, "text_embeds": text_embeds}, image_id)
        pictures, owner = _pictures(image_embeds, image_id)
        gallery = torch.from_numpy(pictures), torch.from_numpy(text_embeds), torch.from_numpy(owner)
        if folds is not None:
            return recall_of_folds(*gallery, folds=folds, ks=ks)
        ranks = retrieval_ranks(*gallery)
        figures = recall_of_ranks(ranks, ks)
        if bootstrap:
            rng = np.random.default_rng(seed)
            for name, ends in bootstrap_recall(ranks, gallery[2], rng, ks, level, bootstrap).items():
                figures |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
        return figures


def _whole(name: str, value: Any) -> int:
    try:
        number = -1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{name} must be a whole number of 0 or more, got {value!r}.")
    return number


def _column(name: str, column: Any) -> np.ndarray:
    """Float32 (C, D) or int64 (C,)."""
    try:
        column = np.asarray(_without_tensors(column))
    except ValueError:
        raise ValueError(f"The rows of {name} have different widths.") from None
    if name == "image_id":
        if column.ndim != 1 or not (np.issubdtype(column.dtype, np.integer) or not len(column)):
            raise ValueError(f"image_id must be one integer per caption, got {column.dtype} {column.shape}.")
        if column.size and column.max() > _LARGEST_ID:
            raise ValueError(f"image_id must be at most {_LARGEST_ID}, got {column.max()}.")
        return column.astype(np.int64)
    if not column.size and column.ndim in (1, 2) and not len(column):
        return np.empty((0, 1), np.float32)
    if column.ndim != 2 or not column.shape[1] or column.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be a matrix of numbers, one row per caption, got {column.dtype} {column.shape}."
        )
    high, low = (ends.astype(np.longdouble) for ends in (column.max(axis=1), column.min(axis=1)))
    largest = np.maximum(high, -low)  # of integers, abs() leaves the lowest negative
    beyond = np.isfinite(largest) & (largest != 0) & ((largest > _FLOAT32.max) | (largest < _FLOAT32.tiny))
    if beyond.any():
        row = int(beyond.argmax())
        raise ValueError(f"Row {row} of {name} is kept in float32, which cannot hold {largest[row]}: scale the rows.")
    return column.astype(np.float32, copy=False)


def _without_tensors(values: Any) -> Any:
    """Tensors as arrays of the same numbers; also those in lists."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (
            values.numpy() if values.dtype in _OF_NUMPY or not values.is_floating_point() else values.float().numpy()
        )
    if isinstance(values, (list, tuple)) and values and isinstance(values[0], (list, tuple, torch.Tensor)):
        return [_without_tensors(row) for row in values]
    return values


def _arrow(column: np.ndarray) -> pa.Array:
    if column.ndim == 1:
        return pa.array(column)
    ends = np.arange(0, column.size + 1, column.shape[1])
    return pa.LargeListArray.from_arrays(ends, column.ravel())  # Arrow checks that it fits a list of the file


def _listed(sizes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


def _check_rows(embeds: dict[str, np.ndarray], image_id: np.ndarray) -> None:
    """One width and finite values, in batches that were added one after the other.

    Raises:
        ValueError: it is not so; the rows are named.
    """
    widths = {name: sorted({len(row) for row in rows}) for name, rows in embeds.items() if rows.dtype == object}
    widths = widths or {name: [rows.shape[1]] for name, rows in embeds.items()}
    if len({width for found in widths.values() for width in found}) > 1:
        raise ValueError(f"All embeddings must have one width, got {_listed(widths)}.")
    for name, rows in embeds.items():
        for start in range(0, len(rows), _BLOCK):
            bad = ~np.isfinite(rows[start : start + _BLOCK]).all(axis=1)
            if bad.any():
                row = start + int(bad.argmax())
                raise ValueError(f"{name} is not finite in row {row}, of image_id {image_id[row]}.")


def _pictures(image_embeds: np.ndarray, image_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pictures in the order of their ids, (P, D), and the row of each caption's picture, (C,).

    Raises:
        ValueError: a picture has two embeddings.
    """
    _, first, owner = np.unique(image_id, return_index=True, return_inverse=True)
    for start in range(0, len(owner), _BLOCK):
        part = slice(start, start + _BLOCK)
        differs = (image_embeds[part] != image_embeds[first[owner[part]]]).any(axis=1)
        if differs.any():
            row = start + int(differs.argmax())
            raise ValueError(
                f"Rows {first[owner[row]]} and {row} give the picture of image_id {image_id[row]} two different "
                "embeddings; embed each picture once and repeat the result for its captions."
            )
    return image_embeds[first], owner
