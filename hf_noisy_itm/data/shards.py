"""Rows to Parquet shards: pictures as they are in their files, and each once for all its captions.

Rows that follow each other with the same picture share one entry of a dictionary page: the file is as large as with
the picture stored once. What reads such a file into Arrow, as `datasets` does for its cache, spreads it again.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError, last_line
from ._pairs import Pairs

_GROUP_BYTES = 2**26  # of a row group in memory, pictures spread over their rows
_GROUP_ROWS = 2**16  # each a dictionary in Python until the group is written, however little is in it
_NO_LIMIT = 2**30  # of a dictionary page: a row group is smaller


def pair_features(id_type: str, caption_id_type: str = "int64") -> datasets.Features:
    """Of training rows, one caption each; types of ids are "int64" or "string"."""
    return datasets.Features(
        {
            "image": datasets.Image(),
            "caption": datasets.Value("string"),
            "image_id": datasets.Value(id_type),
            "caption_id": datasets.Value(caption_id_type),
            "is_noisy": datasets.Value("bool"),
            "noise_source": datasets.Value(id_type),
        }
    )


def picture_features(id_type: str, caption_id_type: str = "int64") -> datasets.Features:
    """Of rows to evaluate on, one picture each."""
    return datasets.Features(
        {
            "image": datasets.Image(),
            "captions": datasets.List(datasets.Value("string")),
            "image_id": datasets.Value(id_type),
            "caption_id": datasets.List(datasets.Value(caption_id_type)),
        }
    )


def id_type_of(*ids: np.ndarray) -> str:
    """Under which type ids of pictures, or of captions, are stored."""
    return "int64" if all(each.dtype.kind in "iu" for each in ids) else "string"


def pair_rows(pairs: Pairs, id_type: str, caption_id_type: str = "int64") -> Iterator[dict]:
    """The rows of `pair_features`, in the order of the pairs; of noise nothing is said where nothing is known.

    Raises:
        InputError: a picture's file cannot be read.
    """
    names, sources = (_as(id_type, ids) for ids in (pairs.name, pairs.noise_source))
    last, cell = -1, None
    caption_ids = _caption_ids(pairs, caption_id_type)
    truth = pairs.is_noisy.tolist(), sources, pairs.noise_is_known.tolist()
    for row, caption, caption_id, is_noisy, source, is_known in zip(
        pairs.image_row.tolist(), pairs.captions, caption_ids, *truth
    ):
        if row != last:
            last, cell = row, _cell(pairs, row)
        yield {
            "image": cell,
            "caption": caption,
            "image_id": names[row],
            "caption_id": caption_id,
            "is_noisy": is_noisy if is_known else None,
            "noise_source": source if is_known else None,
        }


def picture_rows(pairs: Pairs, id_type: str, caption_id_type: str = "int64") -> Iterator[dict]:
    """The rows of `picture_features`, in the order of the pictures.

    Raises:
        InputError: a picture's file cannot be read.
    """
    captions: list[list[tuple]] = [[] for _ in pairs.image_id]
    for row, *caption in zip(pairs.image_row.tolist(), pairs.captions, _caption_ids(pairs, caption_id_type)):
        captions[row].append(caption)
    for row, (name, own) in enumerate(zip(_as(id_type, pairs.name), captions)):
        texts, ids = zip(*own)
        yield {"image": _cell(pairs, row), "captions": list(texts), "image_id": name, "caption_id": list(ids)}


def _caption_ids(pairs: Pairs, id_type: str) -> list:
    """The source's own ids; where it has none, the captions' numbers as loaded, as wherever else ids are written."""
    return _as(id_type, pairs.caption_name)


def _as(id_type: str, ids: np.ndarray) -> list:
    return ids.tolist() if id_type == "int64" else [str(each) for each in ids.tolist()]


def _cell(pairs: Pairs, row: int) -> dict:
    content = pairs.encoded(row)
    if content is None:
        raise InputError(f"The picture in row {pairs.row[row]} cannot be read; mend it, or try --on_bad_row skip.")
    return {"bytes": content, "path": None}


def write_shards(
    folder: Path, split: str, features: datasets.Features, rows: Iterable[dict], shard_bytes: int
) -> list[Path]:
    """Writes `{split}-00000-of-0000N.parquet` …; memory is that of one row group, whatever the number of rows.

    The same rows give the same bytes with the same version of pyarrow.

    Args:
        folder: where to, made if need be.
        split: name of the files.
        features: of the rows, of any columns; cells of pictures hold bytes.
        rows: to write; rows of one picture that follow each other share its bytes object.
        shard_bytes: begin another file when one has so many bytes.

    Raises:
        InputError: a row does not fit the features.
    """
    folder.mkdir(parents=True, exist_ok=True)
    schema = features.arrow_schema
    paths: list[Path] = []
    writer, written = None, shard_bytes
    try:
        for group, size in _groups(rows):
            if written >= shard_bytes:
                if writer is not None:
                    writer.close()
                paths.append(folder / f"{split}-{len(paths):05}.parquet")
                writer, written = _writer(paths[-1], schema), 0
            try:
                table = pa.Table.from_pylist(group, schema=schema)
            except (ValueError, TypeError, OverflowError) as error:  # pyarrow's errors derive from these
                raise InputError(
                    f"A row of the split {split!r} does not fit the others: {last_line(error)}."
                ) from error
            writer.write_table(table, row_group_size=len(table))
            written += size
    finally:
        if writer is not None:
            writer.close()
    final = [folder / f"{split}-{number:05}-of-{len(paths):05}.parquet" for number in range(len(paths))]
    for path, name in zip(paths, final):
        os.replace(path, name)
    return final


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    leaves = [leaf for field in schema for leaf in _leaves(field)]
    return pq.ParquetWriter(
        path,
        schema,
        use_dictionary=[name for name, kind in leaves if not pa.types.is_floating(kind)],
        dictionary_pagesize_limit=_NO_LIMIT,
        compression={name: "NONE" if _is_bytes(kind) else "ZSTD" for name, kind in leaves},  # pictures are packed
        write_statistics=[name for name, kind in leaves if "." not in name and not _is_bytes(kind)],
    )


def _leaves(field: pa.Field, before: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Name, as Parquet has it, and type of each column that a field is stored as."""
    name, kind = f"{before}{field.name}", field.type
    if pa.types.is_struct(kind):
        for inner in kind:
            yield from _leaves(inner, f"{name}.")
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(pa.field("element", kind.value_type), f"{name}.list.")
    else:
        yield name, kind


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _groups(rows: Iterable[dict]) -> Iterator[tuple[list[dict], int]]:
    """Rows in groups that fit in memory, cut between pictures if these have not too many captions; bytes of each."""
    group: list[dict] = []
    spread = size = 0
    last: dict[str, bytes] = {}
    for row in rows:
        cells = {name: cell.get("bytes") for name, cell in row.items() if isinstance(cell, dict)}
        contents = {name: content for name, content in cells.items() if content and isinstance(content, bytes)}
        is_new = not contents or any(content is not last.get(name) for name, content in contents.items())
        if max(spread / _GROUP_BYTES, len(group) / _GROUP_ROWS) >= (1 if is_new else 2):
            yield group, size
            group, spread, size, last = [], 0, 0, {}
        whole = _size(row)
        spread += whole
        size += whole - sum(len(content) for name, content in contents.items() if content is last.get(name))
        last = contents
        group.append(row)
    if group:
        yield group, size


def _size(cell: object) -> int:
    """About how many bytes a cell takes."""
    if isinstance(cell, str | bytes):
        return len(cell)
    if isinstance(cell, dict):
        return sum(map(_size, cell.values()))
    if isinstance(cell, list | tuple):
        return sum(map(_size, cell))
    return 8
