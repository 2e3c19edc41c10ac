"""Rows of a stream as they come, and the pairs in them."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import fsspec

from ..errors import InputError
from ._arguments import DataArguments
from ._columns import plain
from ._paths import PictureFolder, refused_path
from ._pictures import decode
from ._sources import CAPTION_COLUMNS, UNREADABLE, unreadable


class BadRow(InputError):
    """A row that `on_bad_row` speaks of; other errors are of the whole stream."""


class Cells(NamedTuple):
    """What a row of a stream holds, as it is: nothing of it is refused yet.

    Args:
        image: bytes or a path; a path that leaves its folder as `PictureFolder` marks it; None where there is none.
        captions: of any number, None or empty ones too.
        image_id: `plain`; None where there is none.
        row: all cells.
    """

    image: dict | None
    captions: list[str | None]
    image_id: int | str | None
    row: dict[str, Any]


def reading(rows: Iterable[dict[str, Any]], args: DataArguments) -> Iterator[dict[str, Any]]:
    """The rows of a stream; files turn out not to be what they should be only when they are read.

    Raises:
        InputError: they cannot be read.
    """
    try:
        yield from rows
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(unreadable(args, error)) from error


def cells_of(row: dict[str, Any], args: DataArguments, folder: PictureFolder | None) -> Cells:
    """The cells of a row.

    Raises:
        InputError: a column is missing, or holds something else than it should.
    """
    row = with_fields(row)
    image = _first(row, args.image_column, *(key for key, cell in row.items() if _is_picture(cell)))
    captions = captions_of(row, args)
    if wrong := [text for text in captions if not isinstance(text, str | None)]:
        raise InputError(
            f"The captions of {args.dataset} hold {type(wrong[0]).__name__}, not strings or lists of strings."
        )
    image_id = plain(row.get(args.image_id_column))
    if isinstance(image_id, list | dict):
        raise InputError(
            f"The column {args.image_id_column!r} holds {type(image_id).__name__}, not a text or a number."
        )
    image_id = image_id if image_id is None or type(image_id) is int else str(image_id)
    return Cells(_encoded(image, folder), captions, image_id, row)


def captions_of(row: dict[str, Any], args: DataArguments) -> list:
    """What stands where captions should, whatever it is.

    Raises:
        InputError: there is no such column.
    """
    names = [args.caption_column] if args.caption_column else CAPTION_COLUMNS
    captions = _first(with_fields(row), *names, "txt")
    return captions if isinstance(captions, list) else [captions]


def read_row(row: dict[str, Any], args: DataArguments, folder: PictureFolder | None) -> list[dict[str, Any]]:
    """The pairs of one row: `image` (encoded: bytes or a path), `caption`, `image_id` (int64).

    Raises:
        BadRow: there is no caption or no picture in it, or with `on_bad_row="skip"` none that decodes.
        InputError: see `cells_of`.
    """
    image, captions, image_id, row = cells_of(row, args, folder)
    captions = [text for text in captions if text and text.strip()]
    if not captions:
        raise BadRow(f"A row of {args.dataset} has no caption: {_told(row)}; try --on_bad_row skip.")
    if image is None or image["bytes"] == b"":
        raise BadRow(f"A row of {args.dataset} has no picture: {_told(row)}; try --on_bad_row skip.")
    if image["bytes"] is not None and (path := refused_path(image["bytes"])) is not None:
        raise BadRow(f"The picture path {path!r} leaves its folder {folder.root}; try --on_bad_row skip.")
    if not isinstance(image_id, int):
        image_id = _hash(image["bytes"] or image["path"].encode() if image_id is None else image_id.encode())
    pairs = [{"image": image, "caption": caption, "image_id": image_id} for caption in captions]
    if args.on_bad_row == "skip" and not decodes(image):
        raise BadRow(f"A row of {args.dataset} has a picture that does not decode: {_told(row)}.")
    return pairs


def decodes(image: dict) -> bool:
    """Tries whether a picture decodes."""
    try:
        decode(image["path"] if image["bytes"] is None else image["bytes"])
    except Exception:  # Pillow's decoders raise almost anything on broken files
        return False
    return True


def with_fields(row: dict[str, Any]) -> dict[str, Any]:
    """A row of WebDataset with the fields of its JSON beside the others; other rows as they are."""
    return {**row["json"], **row} if isinstance(row.get("json"), dict) else row


def _first(row: dict[str, Any], *names: str) -> Any:
    for name in names:
        if name in row:
            return row[name]
    there = ", ".join(row)
    raise InputError(
        f"There is no column {' or '.join(map(repr, dict.fromkeys(names)))} in the stream; there are {there}."
    )


def _is_picture(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.keys() == {"bytes", "path"}


def _encoded(cell: Any, folder: PictureFolder | None) -> dict | None:
    """Bytes or a local path; what lies elsewhere is fetched, and what leaves its folder refused."""
    if isinstance(cell, str):
        if folder is None and "://" not in cell:
            raise InputError(
                f"The stream holds picture paths, {cell!r} for one: say with --image_root where they start."
            )
        cell = {"bytes": None, "path": cell}
    if isinstance(cell, bytes):
        cell = {"bytes": cell, "path": None}
    if cell is not None and not _is_picture(cell):
        raise InputError(f"The column of pictures holds {type(cell).__name__}, not encoded pictures or paths.")
    if cell is None or (cell["bytes"] is None and not cell["path"]):
        return None
    if cell["bytes"] is not None:
        return {"bytes": cell["bytes"], "path": None}
    if "://" in cell["path"] and not _is_on_this_machine(cell["path"]):
        with suppress(Exception), fsspec.open(cell["path"], "rb") as file:  # what is not there is a missing picture
            return {"bytes": file.read(), "path": None}
        return cell
    return cell if folder is None else folder.cell(cell["path"])


def _is_on_this_machine(address: str) -> bool:
    """Whether an address of fsspec, such as `zip://a.png::file:///x.zip`, leads to a local file."""
    parts = address.split("::")
    return "://" not in parts[-1] or any(part.startswith(("file:", "local:")) for part in parts)


def _hash(content: bytes) -> int:
    """63 bits that stand for an id, the same in every process; equal bytes are one picture."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1


def _told(row: dict[str, Any]) -> str:
    """A row in few words: a stream has no row numbers."""
    words = (f"{name} {cell!r}" for name, cell in row.items() if isinstance(cell, str | int) and len(str(cell)) < 80)
    return ", ".join(list(words)[:4]) or "nothing else is in it"
