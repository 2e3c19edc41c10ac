"""What is wrong with rows, counted before training starts, without decoding a picture.

| kind | what it is | outcome |
|---|---|---|
| `missing` | no picture in the row, or no such file | left out |
| `outside` | a picture path that leaves its folder | left out, never opened |
| `no_image` | no kind of picture by its first bytes, whatever its name says | left out |
| `other_picture` | an image id that an earlier row gave to another picture | left out |
| `empty` | a caption of nothing, or of spaces | left out |
| `other_caption` | a caption id that an earlier row gave to another text | left out |
| `broken` | a picture that does not decode; only `on_bad_row="skip"` looks | left out |
| `cut` | a caption of more than 75 words | used; the tokenizer cuts it at the model's length |
| `wordless` | a caption without a letter or a digit, emoji only, for one | used as it is |
| `repeated` | a caption id that stands twice with one text | used |
| `noisy` | a caption to evaluate on that is known to be wrong | not evaluated on |

Left out means: with `on_bad_row="skip"`. With "stop" the first row of each kind is named in an `InputError`.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import datasets
import numpy as np
import pyarrow as pa
from PIL import Image

from ..errors import InputError
from ._paths import refused_path

MOST_WORDS = 75  # CLIP's 77 tokens without the two that mark start and end: more words are cut for certain
_SAMPLE = 64  # bytes; two pictures of one size and the same samples are one
BAD = {
    "missing": "row(s) of a missing picture",
    "outside": "row(s) of a picture path that leaves its folder",
    "no_image": "row(s) of a file that is no image",
    "other_picture": "row(s) of an image id with another picture",
    "empty": "empty caption(s)",
    "other_caption": "caption(s) of an id with another text",
    "broken": "picture(s) that do not decode",
}
NOTED = {
    "cut": f"caption(s) of more than {MOST_WORDS} words",
    "wordless": "caption(s) without letter or digit",
    "repeated": "caption id(s) repeated",
    "noisy": "caption(s) known to be wrong",
}
_NOTED_OUTCOME = {
    "cut": "used, cut by the tokenizer",
    "wordless": "used",
    "repeated": "used",
    "noisy": "not evaluated on",
}


class BadRows(InputError):
    """Rows that stop a run; `reports` hold all that was found."""

    def __init__(self, reports: Sequence["RowReport"]):
        problems = ", and ".join(report.problem for report in reports if report.bad)
        super().__init__(f"There are {problems}; mend them, or leave them out with --on_bad_row skip.")
        self.reports = reports


@dataclass
class RowReport:
    """What was found in the rows of one split; `str()` is a table.

    Args:
        what: the rows are for, "training", for one.
        rows: number of rows.
        split: where they come from.
        found: by kind, the row of each finding, as it is numbered in the data.
        example: by kind, the path of the first finding, where it has one.
        pictures: that are used, in the end.
        captions: that are used, in the end.
    """

    what: str
    rows: int
    split: str = ""
    found: dict[str, list[int]] = field(default_factory=dict)
    example: dict[str, str] = field(default_factory=dict)
    pictures: int = 0
    captions: int = 0

    def add(self, kind: str, row: int, path: str | None = None) -> None:
        """Counts a finding; rows come in ascending order."""
        if kind not in self.found and path:
            self.example[kind] = path
        self.found.setdefault(kind, []).append(int(row))

    @property
    def bad(self) -> int:
        """How many findings cost a row or a caption."""
        return sum(len(rows) for kind, rows in self.found.items() if kind in BAD)

    @property
    def problem(self) -> str:
        """The bad rows in words, each kind with its first row."""
        return ", and ".join(
            f"{len(self.found[kind])} {name} among the {self.what} rows, first in row {min(self.found[kind])}"
            + (f" ({self.example[kind]})" if kind in self.example else "")
            for kind, name in BAD.items()
            if kind in self.found
        )

    def __str__(self) -> str:
        return table([self])


def table(reports: Sequence[RowReport]) -> str:
    """One table of what several splits hold and what is wrong with them, kinds that do not occur left out."""
    lines = [["rows", *(each.what for each in reports), "outcome", "first rows"]]
    lines.append(["split", *(each.split or "-" for each in reports), "", ""])
    lines += [
        [name, *(str(getattr(each, name.split()[0])) for each in reports), "", ""]
        for name in ("rows", "pictures used", "captions used")
    ]
    for kind, name in (BAD | NOTED).items():
        found = [each.found.get(kind, []) for each in reports]
        if any(found):
            first = (
                f"{each.what} {', '.join(map(str, sorted(rows)[:3]))}" for each, rows in zip(reports, found) if rows
            )
            outcome = _NOTED_OUTCOME.get(kind, "left out")
            lines.append([name, *(str(len(rows)) for rows in found), outcome, "; ".join(first)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    last = len(reports)  # columns of figures stand right, words left
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 1 <= column <= last else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def check_rows(
    pictures: datasets.Dataset,
    captions: Sequence[str | None],
    row_of: np.ndarray,
    number: np.ndarray,
    what: str,
    image_ids: np.ndarray | None = None,
    caption_ids: np.ndarray | None = None,
) -> tuple[RowReport, np.ndarray]:
    """Looks at R rows with C captions; opens each picture, reads its head, and decodes none.

    Args:
        pictures: undecoded column `image`, R rows.
        captions: all captions, C.
        row_of: row of each caption, (C,).
        number: how each row is numbered in the data, (R,).
        what: the rows are for, in words.
        image_ids: equal for rows of the same picture, (R,); every row has its own picture if left out.
        caption_ids: equal for captions of the same text, (C,).

    Returns:
        The report, and which captions can be used, bool (C,).
    """
    report = RowReport(what, len(number))
    keep = np.ones(len(captions), dtype=bool)
    for row in np.setdiff1d(np.arange(len(number)), row_of):
        report.add("empty", number[row])
    for place, (caption, row) in enumerate(zip(captions, number[row_of])):
        if not caption or not caption.strip():
            report.add("empty", row)
            keep[place] = False
        elif not any(letter.isalnum() for letter in caption):
            report.add("wordless", row)
        elif len(caption) > 2 * MOST_WORDS and len(caption.split()) > MOST_WORDS:
            report.add("cut", row)
    if caption_ids is not None:
        _check_caption_ids(report, keep, captions, number[row_of], caption_ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, for one; who decodes them will say so
        keep &= _check_pictures(report, pictures, number, image_ids)[row_of]
    return report, keep


def _check_caption_ids(report: RowReport, keep: np.ndarray, captions, rows: np.ndarray, ids: np.ndarray) -> None:
    first: dict[int, int] = {}
    for place in np.flatnonzero(keep):
        other = first.setdefault(int(ids[place]), place)
        if other != place:
            same = captions[place] == captions[other]
            report.add("repeated" if same else "other_caption", rows[place])
            keep[place] = same


def _check_pictures(report: RowReport, pictures: datasets.Dataset, number, image_ids) -> np.ndarray:
    """Which rows have a usable picture, bool (R,); rows of one image id share the first good one."""
    good = np.zeros(len(number), dtype=bool)
    known: dict[str, object] = {}  # by image id, path or sample of the first good picture: bytes would add up
    for row, (path, content) in enumerate(_cells(pictures)):
        first = None if image_ids is None else known.get(image_ids[row])
        if first is not None and content is None and path == first:
            good[row] = True
            continue
        problem = _sniff(path, content)
        if problem is None and first is not None:
            same = _sample(path, content) == (_sample(first, None) if isinstance(first, str) else first)
            problem = None if same else "other_picture"
        elif problem is None and image_ids is not None:
            known[image_ids[row]] = path if content is None else _sample(path, content)
        good[row] = problem is None
        if problem is not None:
            report.add(problem, number[row], refused_path(memoryview(content)) if problem == "outside" else path)
    return good


def _cells(pictures: datasets.Dataset) -> Iterator[tuple[str | None, pa.Buffer | None]]:
    """Path and bytes of each picture, the bytes not copied."""
    for batch in pictures.with_format("arrow").iter(batch_size=100):
        column = batch["image"].combine_chunks()
        paths, contents = column.field("path"), column.field("bytes")
        for path, content, there in zip(paths, contents, column.is_valid()):
            there = there.as_py()
            yield path.as_py() if there else None, content.as_buffer() if there and content.is_valid else None


def _sniff(path: str | None, content: pa.Buffer | None) -> str | None:
    """What is wrong with a picture by its head, or None; Pillow reads the head and decodes nothing."""
    if content is None and path is None:
        return "missing"
    if content is not None and refused_path(memoryview(content)) is not None:
        return "outside"
    try:
        Image.open(path if content is None else io.BytesIO(content)).close()
    except FileNotFoundError:
        return "missing"
    except Image.DecompressionBombError:
        return None  # a picture; whether it is too large is for those who decode it
    except Exception:  # Pillow's plug-ins raise almost anything on what is no picture
        return "no_image"
    return None


def _sample(path: str | None, content: pa.Buffer | None) -> tuple[int, list[bytes]]:
    """Length and samples of a picture's file, by which copies of one picture are known."""
    stream = open(path, "rb") if content is None else io.BytesIO(content)
    with stream:
        size = stream.seek(0, io.SEEK_END)
        samples = []
        for place in (0, size // 2, max(0, size - _SAMPLE)):
            stream.seek(place)
            samples.append(stream.read(_SAMPLE))
    return size, samples
