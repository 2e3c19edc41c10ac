"""Columns of picture paths that others wrote, made columns of pictures from one folder."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from ._columns import read_cells
from ._paths import PictureFolder

_STRINGS = (datasets.Value("string"), datasets.Value("large_string"))


def confine_all(splits: dict[str, datasets.Dataset], column: str, root: str | Path) -> dict[str, datasets.Dataset]:
    """`confine` for each split."""
    return {name: confine(rows, column, root) for name, rows in splits.items()}


def confine(rows: datasets.Dataset, column: str, root: str | Path) -> datasets.Dataset:
    """Takes picture paths of a column from `root`; one of strings, or of paths and bytes, becomes one of pictures.

    Nothing is opened. Pictures whose bytes are in the row stay as they are. Rows without such a column, or with
    another kind of it, are returned as they are.
    """
    rows = _with_feature(rows, column)
    feature = rows.features.get(column)
    if feature is None or not (isinstance(feature, datasets.Image) or feature in _STRINGS):
        return rows
    folder = PictureFolder(root)
    if feature in _STRINGS:
        cells = [folder.cell(path) for path in read_cells(rows, column)]
    else:
        paths = rows.cast_column(column, datasets.Image(decode=False)).with_format("arrow")
        if not any(_path_only(batch[column]) for batch in paths.iter(batch_size=1000)):
            return rows
        cells = list(_confined(read_cells(paths, column), folder))
    names = rows.column_names
    rows = rows.remove_columns(column).add_column(column, cells, feature=datasets.Image())
    return rows.select_columns(names)


def _with_feature(rows: datasets.Dataset, column: str) -> datasets.Dataset:
    """Structs of paths and bytes are pictures, whether or not a file says so."""
    feature = rows.features.get(column)
    if isinstance(feature, dict) and "path" in feature:
        with suppress(TypeError, ValueError, NotImplementedError):  # another kind, which who reads pictures refuses
            return rows.cast_column(column, datasets.Image())
    return rows


def _path_only(column: pa.ChunkedArray) -> bool:
    chunks = (chunk for chunk in column.chunks if len(chunk))
    return any(pc.any(pc.and_(pc.is_null(c.field("bytes")), pc.is_valid(c.field("path")))).as_py() for c in chunks)


def _confined(cells: Iterable[dict | None], folder: PictureFolder) -> Iterable[dict | None]:
    for cell in cells:
        yield folder.cell(cell["path"]) if cell is not None and cell["bytes"] is None else cell
