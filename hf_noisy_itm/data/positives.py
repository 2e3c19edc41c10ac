"""Right answers beyond the given ones: judged by people and named by id in a file, or known of `scenes`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import read_json
from ..functional.retrieval import NOT_IN_GALLERY
from ._arguments import DataArguments
from ._columns import read_cells
from ._pairs import Pairs
from ._splits import ROW, find_splits
from .scenes import true_pairs

_FORM = "{'i2t': {IMAGE_ID: [CAPTION_ID, …], …}, 't2i': {CAPTION_ID: [IMAGE_ID, …], …}}"
_WAYS = {"i2t": ("pictures", "captions"), "t2i": ("captions", "pictures")}


@dataclass(frozen=True)
class RightAnswers:
    """Right answers of one direction.

    Args:
        rows: as `functional.retrieval.extended_recall` takes them: for each query of the gallery rows of its right
            answers, `NOT_IN_GALLERY` for one that is not among the items.
        in_file: how many queries the file has answers for; None where there was no file.
        used: how many of these are in the gallery.
    """

    rows: list[list[int]]
    in_file: int | None = None
    used: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """`answers`, how many there are; `outside`, how many of them the gallery lacks; and the fields above."""
        counts = {
            "answers": sum(map(len, self.rows)),
            "outside": sum(answers.count(NOT_IN_GALLERY) for answers in self.rows),
        }
        return counts if self.in_file is None else {**counts, "file_queries": self.in_file, "file_used": self.used}


def read_positives(path: str | Path, pairs: Pairs) -> dict[str, RightAnswers]:
    """Reads lists of right answers as CxC and ECCV Caption publish them, by id, both directions in one file, or one.

    Args:
        path: JSON, `{"i2t": {IMAGE_ID: [CAPTION_ID, …], …}, "t2i": {CAPTION_ID: [IMAGE_ID, …], …}}`. Ids are those of
            the data (COCO's own, of `mscoco`), numbers or text. Data without a column of ids are numbered as they were
            loaded, before any selection: pictures by row; captions by row, or, where rows hold lists of captions,
            counted through all rows. Queries that are not among the pairs are passed over.
        pairs: the gallery.

    Returns:
        By direction, `i2t` or `t2i`, those that the file has.

    Raises:
        InputError: the file is not there or has another form, or of a direction not one query, or not one right
            answer, is among the pairs.
    """
    try:
        lists = read_json(path)
        if strangers := [way for way in lists.keys() if way not in _WAYS]:
            raise ValueError(f"there is {strangers[0]!r} in it")
        named = {way: {query: _ids(answers) for query, answers in lists[way].items()} for way in lists}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read as lists of right answers, {_FORM}: {type(error).__name__} {error}."
        ) from error
    named = {way: {query: answers for query, answers in named[way].items() if answers} for way in named}
    if not any(named.values()):
        raise InputError(f"{path} has no right answers; it should hold {_FORM}.")
    rows = {"pictures": _rows(pairs.name), "captions": _rows(pairs.caption_name)}
    sizes = {"pictures": len(pairs.image_id), "captions": len(pairs)}
    found = {}
    for way, answers_of in named.items():
        if not answers_of:
            continue
        queries, items = (rows[what] for what in _WAYS[way])
        used = {query: answers for query, answers in answers_of.items() if query in queries}
        _refuse_strangers(f"{path} has no answers for any of", answers_of, queries, _WAYS[way][0])
        _refuse_strangers(
            f"{path} names right answers of {len(used)} {_WAYS[way][0]}, but none is among",
            [answer for answers in used.values() for answer in answers],
            items,
            _WAYS[way][1],
        )
        lists = [[] for _ in range(sizes[_WAYS[way][0]])]
        for query, answers in used.items():
            for row in queries[query]:
                lists[row] = [row for answer in answers for row in items.get(answer, [NOT_IN_GALLERY])]
        found[way] = RightAnswers(lists, len(answers_of), len(used))
    return found


def known_positives(data: DataArguments, pairs: Pairs) -> dict[str, RightAnswers] | None:
    """The same from what a data set knows of itself; None if it knows nothing.

    Args:
        data: what the pairs were loaded with.
        pairs: to evaluate on.
    """
    if data.dataset != "scenes":
        return None
    rows = find_splits(data)[1]
    rows = rows.select(np.flatnonzero(np.isin(read_cells(rows, ROW), pairs.row)))
    lists = {"i2t": [[] for _ in pairs.image_id], "t2i": [[] for _ in pairs.captions]}
    for caption, picture in true_pairs(rows).tolist():
        lists["t2i"][caption].append(picture)
        lists["i2t"][picture].append(caption)
    return {way: RightAnswers(rows) for way, rows in lists.items()}


def _ids(answers: object) -> list[str]:
    whole = isinstance(answers, list) and not any(isinstance(answer, bool) for answer in answers)
    if not whole or not all(isinstance(answer, int | str) for answer in answers):
        raise TypeError(f"{answers!r:.80} is no list of ids")
    return list(dict.fromkeys(map(str, answers)))


def _rows(ids: np.ndarray) -> dict[str, list[int]]:
    """By id as text, where it stands: a caption id may stand in several rows."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(ids.tolist()):
        rows.setdefault(str(name), []).append(row)
    return rows


def _refuse_strangers(problem: str, ids, known: dict[str, list[int]], what: str) -> None:
    if not any(each in known for each in ids):
        raise InputError(
            f"{problem} the {len(known)} {what}: its ids are like {', '.join(list(ids)[:3])}, those of the data like "
            f"{', '.join(list(known)[:3])}."
        )
