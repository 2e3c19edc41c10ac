"""Noise on a stream: one pass in order, for the kinds of noise that need no other row."""

from collections.abc import Iterable, Iterator
from itertools import islice

import datasets

from ..errors import InputError
from ..functional.noise import TEXT_KINDS, draw_noise
from ._arguments import DataArguments
from ._columns import NO, plain
from ._passing import PassingRows
from ._paths import PictureFolder
from ._report import BadRows
from ._stream_load import condition
from ._stream_rows import Cells, captions_of, cells_of, decodes, reading
from .stream import undecoded

REPEATED = (
    "Some captions stand in several rows (caption_id), and would be damaged in different ways: damage text first, and "
    "move captions after that."
)
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
    rows: datasets.IterableDataset,
    args: DataArguments,
    root: str | None,
    limit: int | None,
    passing: PassingRows | None = None,
) -> Iterator[dict]:
    """One pass over the rows in order: `image` (bytes), `captions`, `image_id` as the source has it, `caption_id`.

    Caption ids are the source's, too, or where it names none the numbers of the captions that can be used. Rows are
    looked at as rows in memory are (`_check.py`), and those that are bad stop the pass or are left out. Only rows of
    one image id stay apart here.

    Args:
        rows: a split.
        args: names of columns, `where`, and what to do with bad rows.
        root: folder that picture paths start from and may not leave.
        limit: use the first so many rows.
        passing: is told of each row, and keeps little of it.

    Raises:
        BadRows: a row is bad and `args.on_bad_row` is "stop".
        InputError: the stream cannot be read, a cell holds something else than it should, or a row is noisy already.
    """
    folder = PictureFolder(root) if root else None
    keep = condition(args.where) if args.where is not None else None
    passing = passing or PassingRows("streamed")
    report = passing.report
    next_id = 0  # of a caption without one: its number as loaded, whether or not it is kept
    for number, row in enumerate(reading(undecoded(rows), args)):
        if report.rows == limit:
            return
        if keep is not None and not keep(row):
            next_id += len(captions_of(row, args))
            continue
        report.rows += 1
        cells = cells_of(row, args, folder)
        image_id = number if args.image_id_column not in cells.row else cells.image_id
        if image_id is None:
            raise InputError(f"The column {args.image_id_column!r} is empty in row {number}; fill it.")
        _refuse_noisy(cells.row, image_id, number)
        usable = passing.picture(number, cells.image, None if cells.image_id is None else image_id)
        kept = []
        for place, (caption, caption_id) in enumerate(zip(cells.captions, _caption_ids(cells, number)), next_id):
            if passing.caption(number, caption, caption_id) and usable:
                kept.append((caption, place if caption_id is None else caption_id))
        next_id += len(cells.captions)
        if usable and args.on_bad_row == "skip" and not decodes(cells.image):
            report.add("broken", number)
            usable = False
        if not cells.captions:
            report.add("empty", number)
        if report.bad and args.on_bad_row == "stop":
            raise BadRows([report])
        if not usable or not kept:
            continue
        content = cells.image["bytes"] if cells.image["bytes"] is not None else _read(cells.image["path"], number)
        report.pictures += 1
        report.captions += len(kept)
        captions, numbers = zip(*kept)
        image = {"bytes": content, "path": None}
        yield {"image": image, "captions": list(captions), "image_id": image_id, "caption_id": list(numbers)}


def clean_pairs(pictures: Iterable[dict]) -> Iterator[dict]:
    """One row a caption, before noise."""
    for row in pictures:
        for caption, caption_id in zip(row["captions"], row["caption_id"]):
            yield {"image": row["image"], "caption": caption, "image_id": row["image_id"], "caption_id": caption_id}


def damaged_pairs(pairs: Iterable[dict], kind: str, rate: float, seed: int) -> Iterator[tuple[dict, str]]:
    """Rows of `pair_features` after noise, each with its caption before.

    Row i is damaged as row i of the whole would be: memory is that of a few rows.

    Raises:
        InputError: the rate or the seed is none.
    """
    check_streamed_kind(kind)
    pairs = iter(pairs)
    first = 0
    while some := list(islice(pairs, _CHUNK)):
        captions, numbers = [row["caption"] for row in some], range(first, first + len(some))
        first += len(some)
        try:
            noise = draw_noise(kind, rate, seed, numbers, captions, rows=numbers)
        except ValueError as error:
            raise InputError(str(error)) from error
        for row, caption, is_noisy in zip(some, noise.captions, noise.is_noisy.tolist()):
            after = {**row, "caption": caption, "is_noisy": is_noisy, "noise_source": row["image_id"]}
            yield after, row["caption"]


def _caption_ids(cells: Cells, number: int) -> list:
    """The id of each caption; None where the data name none."""
    if "caption_id" not in cells.row:
        return [None] * len(cells.captions)
    ids = _as_list(plain(cells.row["caption_id"]))
    ids = ids * len(cells.captions) if not isinstance(cells.row["caption_id"], list) else ids
    if len(ids) != len(cells.captions):
        raise InputError(f"Row {number} has {len(cells.captions)} captions but {len(ids)} of 'caption_id'.")
    if any(cell is None or isinstance(cell, list | dict) for cell in ids):
        raise InputError(f"The column 'caption_id' is empty in row {number}, or holds no value there; fill it.")
    return [each if each is None or type(each) is int else str(each) for each in ids]


def _refuse_noisy(row: dict, image_id: object, number: int) -> None:
    noisy, sources = (_as_list(plain(row.get(name))) for name in ("is_noisy", "noise_source"))
    if any(isinstance(cell, list | dict) or cell not in NO for cell in noisy) or any(
        cell is not None and str(cell) != str(image_id) for cell in sources
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
