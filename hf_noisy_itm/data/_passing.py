"""What is wrong with rows of a stream, counted as they pass; `_check.py` does the same for rows in memory."""

import hashlib

from ._check import caption_kind, sample, sniff
from ._paths import refused_path
from ._report import RowReport


class PassingRows:
    """Looks at one row after the other and keeps a report of them.

    What is kept: for each image id a hash of the id and one of the length and some samples of its picture, for each
    caption id one of the id and one of the text, together about 200 bytes per id in Python; and a row number per
    finding. No picture and no text is kept, and nothing of rows without ids in which nothing is found.

    Args:
        what: the rows are for, in words.
        split: where they come from.
    """

    def __init__(self, what: str, split: str = ""):
        self.report = RowReport(what, 0, split)
        self._pictures: dict[bytes, bytes] = {}
        self._texts: dict[bytes, bytes] = {}

    def picture(self, number: int, cell: dict | None, image_id: int | str | None = None) -> bool:
        """Whether a row has a usable picture, and the one that its id had before.

        Args:
            number: of the row.
            cell: bytes or path of the picture, or None.
            image_id: of the picture; None where the data name none.
        """
        path, content = (None, None) if cell is None else (cell["path"], cell["bytes"])
        problem = sniff(path, content)
        if problem is None and image_id is not None:
            own = _hash(repr(sample(path, content)))
            problem = None if self._pictures.setdefault(_hash(str(image_id)), own) == own else "other_picture"
        if problem is not None:
            self.report.add(problem, number, refused_path(content) if problem == "outside" else path)
        return problem is None

    def caption(self, number: int, caption: str | None, caption_id: int | str | None = None) -> bool:
        """Whether a caption can be used: there is one, and its id did not have another text before."""
        kind = caption_kind(caption)
        if kind is not None:
            self.report.add(kind, number)
        if kind == "empty" or caption_id is None:
            return kind != "empty"
        key, own = _hash(str(caption_id)), _hash(caption)
        known = self._texts.setdefault(key, own)
        if known is not own:
            self.report.add("repeated" if known == own else "other_caption", number)
        return known == own


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
