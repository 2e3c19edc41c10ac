"""Noise on a stream: one pass in order, for the kinds of noise that need no other row."""

from collections.abc import Iterable, Iterator
from itertools import islice

import datasets

from ..errors import InputError
from ..functional.noise import TEXT_KINDS, draw_noise
from ._arguments import DataArguments
from ._columns import NO
from ._paths import PictureFolder
from ._stream_load import condition
from .stream import read_row, undecoded, with_fields

_CHUNK = 64  # captions damaged at once; their pictures are in memory


def check_streamed_kind(kind: str) -> None:
    """Refuses kinds of which a row depends on others.

    Raises:
        InputError: see above.
    """
    if kind not in TEXT_KINDS:
        raise InputError(
            f"A row of the kind {kind!r} depends on all rows, which a stream does not know: leave --streaming out, or "
            f"take one of {', '.join(TEXT_KINDS)}."
        )


def stream_pictures(
    rows: datasets.IterableDataset, args: DataArguments, root: str | None, limit: int | None
) -> Iterator[dict]:
    """One pass over the rows in order: `image` (bytes), `captions`, `image_id` as the source has it.

    Args:
        rows: a split.
        args: names of columns, `where`, and what to do with bad rows.
        root: folder that picture paths start from and may not leave.
        limit: use the first so many rows.

    Raises:
        InputError: a row is bad and `args.on_bad_row` is "stop", or it is noisy already.
    """
    folder = PictureFolder(root) if root else None
    keep = condition(args.where) if args.where is not None else None
    used = 0
    for number, row in enumerate(undecoded(rows)):
        if used == limit:
            return
        if keep is not None and not keep(row):
            continue
        used += 1
        try:
            pairs = read_row(row, args, folder)
            row = with_fields(row)
            image_id = row.get(args.image_id_column, number)
            if image_id is None or image_id == "":
                raise InputError(f"The column {args.image_id_column!r} is empty in row {number}; fill it.")
            _refuse_noisy(row, image_id, number)
            image = pairs[0]["image"]
            content = image["bytes"] if image["bytes"] is not None else _read(image["path"], number)
        except InputError:
            if args.on_bad_row == "stop":
                raise
            continue
        id_ = image_id if isinstance(image_id, int) else str(image_id)
        yield {"image": {"bytes": content, "path": None}, "captions": [p["caption"] for p in pairs], "image_id": id_}


def clean_pairs(pictures: Iterable[dict]) -> Iterator[dict]:
    """One row a caption, before noise; `caption_id` is its number in the stream."""
    number = 0
    for row in pictures:
        for caption in row["captions"]:
            yield {"image": row["image"], "caption": caption, "image_id": row["image_id"], "caption_id": number}
            number += 1


def damaged_pairs(pairs: Iterable[dict], kind: str, rate: float, seed: int) -> Iterator[tuple[dict, str]]:
    """Rows of `pair_features` after noise, each with its caption before.

    Row i is damaged as row i of the whole would be: memory is that of a few rows.

    Raises:
        InputError: the rate or the seed is none.
    """
    check_streamed_kind(kind)
    pairs = iter(pairs)
    while some := list(islice(pairs, _CHUNK)):
        captions, numbers = [row["caption"] for row in some], [row["caption_id"] for row in some]
        try:
            noise = draw_noise(kind, rate, seed, numbers, captions, rows=numbers)
        except ValueError as error:
            raise InputError(str(error)) from error
        for row, caption, is_noisy in zip(some, noise.captions, noise.is_noisy.tolist()):
            after = {**row, "caption": caption, "is_noisy": is_noisy, "noise_source": row["image_id"]}
            yield after, row["caption"]


def _refuse_noisy(row: dict, image_id: object, number: int) -> None:
    noisy, sources = (_as_list(row.get(name)) for name in ("is_noisy", "noise_source"))
    if any(cell not in {*NO, ""} for cell in noisy) or any(
        cell not in (None, "") and str(cell) != str(image_id) for cell in sources
    ):
        raise InputError(
            f"Row {number} of the stream is noisy already (is_noisy, noise_source): leave --streaming out, "
            f"so that what is known of it is kept."
        )


def _as_list(cell: object) -> list:
    return cell if isinstance(cell, list) else [cell]


def _read(path: str, number: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"The picture in row {number} cannot be read: {error.strerror or error}.") from error
