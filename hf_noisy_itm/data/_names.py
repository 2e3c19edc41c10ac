"""Ids of pictures, as rows name them and as numbers of our own."""

import datasets
import numpy as np


def as_in_source(names: np.ndarray, others: np.ndarray, rows: datasets.Dataset, column: str) -> tuple:
    """Two arrays of ids given as text, as integers where the source's column holds these (or has row numbers)."""
    kind = getattr(rows.features[column], "dtype", "") if column in rows.column_names else "int64"
    if "int" not in kind and "float" not in kind:
        return names, others
    try:
        return names.astype(np.int64), others.astype(np.int64)
    except (ValueError, OverflowError):
        return names, others


def numbered(names: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each name among the known ones; others get the numbers beyond, each its own, and are returned."""
    beyond = np.setdiff1d(names, known)
    place = {name: row for row, name in enumerate((*known, *beyond))}
    return np.array([place[name] for name in names], dtype=np.int64), beyond
