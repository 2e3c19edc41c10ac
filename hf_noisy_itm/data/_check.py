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
| `no_vector`, `not_finite` | of vectors: none in the row, or one with a number that is not finite | left out |
| `no_label` | an empty cell of a `label_column` | left out |
| `cut` | a caption of more than 75 words | used; the tokenizer cuts it at the model's length |
| `wordless` | a caption without a letter or a digit, emoji only, for one | used as it is |
| `repeated` | a caption id that stands twice with one text | used |
| `noisy` | a caption that is known to be wrong | trained on, not evaluated on |

Left out means: with `on_bad_row="skip"`. With "stop" the first row of each kind is named in an `InputError`.
"""

import io
import warnings
from collections.abc import Iterator, Sequence

import datasets
import numpy as np
import pyarrow as pa
from PIL import Image

from ._paths import refused_path
from ._report import MOST_WORDS, RowReport

_SAMPLE = 64  # bytes; two pictures of one size and the same samples are one


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
        if (kind := caption_kind(caption)) is not None:
            report.add(kind, row)
            keep[place] = kind != "empty"
    if caption_ids is not None:
        _check_caption_ids(report, keep, captions, number[row_of], caption_ids)
    keep &= check_pictures(report, pictures, number, image_ids)[row_of]
    return report, keep


def caption_kind(caption: str | None) -> str | None:
    """What is to be said of a caption by itself, or None."""
    if not caption or not caption.strip():
        return "empty"
    if not any(letter.isalnum() for letter in caption):
        return "wordless"
    return "cut" if len(caption) > 2 * MOST_WORDS and len(caption.split()) > MOST_WORDS else None


def _check_caption_ids(report: RowReport, keep: np.ndarray, captions, rows: np.ndarray, ids: np.ndarray) -> None:
    first: dict[int, int] = {}
    for place in np.flatnonzero(keep):
        other = first.setdefault(int(ids[place]), place)
        if other != place:
            same = captions[place] == captions[other]
            report.add("repeated" if same else "other_caption", rows[place])
            keep[place] = same


def check_pictures(
    report: RowReport, pictures: datasets.Dataset, number: np.ndarray, image_ids: np.ndarray | None = None
) -> np.ndarray:
    """Which rows have a usable picture, bool (R,); rows of one image id share the first good one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, for one; who decodes them will say so
        return _usable(report, pictures, number, image_ids)


def _usable(report: RowReport, pictures: datasets.Dataset, number, image_ids) -> np.ndarray:
    good = np.zeros(len(number), dtype=bool)
    known: dict[str, object] = {}  # by image id, path or sample of the first good picture: bytes would add up
    for row, (path, content) in enumerate(_cells(pictures)):
        first = None if image_ids is None else known.get(image_ids[row])
        if first is not None and content is None and path == first:
            good[row] = True
            continue
        problem = sniff(path, content)
        if problem is None and first is not None:
            same = sample(path, content) == (sample(first, None) if isinstance(first, str) else first)
            problem = None if same else "other_picture"
        elif problem is None and image_ids is not None:
            known[image_ids[row]] = path if content is None else sample(path, content)
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


def sniff(path: str | None, content: pa.Buffer | None) -> str | None:
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


def sample(path: str | None, content: pa.Buffer | None) -> tuple[int, list[bytes]]:
    """Length and samples of a picture's file, by which copies of one picture are known."""
    stream = open(path, "rb") if content is None else io.BytesIO(content)
    with stream:
        size = stream.seek(0, io.SEEK_END)
        samples = []
        for place in (0, size // 2, max(0, size - _SAMPLE)):
            stream.seek(place)
            samples.append(stream.read(_SAMPLE))
    return size, samples
