"""Right answers beyond the given ones: judged by people and named by id in a file, or known of `scenes`."""

import json
from pathlib import Path

from ..errors import InputError
from ..functional.retrieval import NOT_IN_GALLERY
from ._arguments import DataArguments
from ._pairs import Pairs
from ._splits import find_splits
from .scenes import true_pairs

_FORM = "{'i2t': {IMAGE_ID: [CAPTION_ID, …], …}, 't2i': {CAPTION_ID: [IMAGE_ID, …], …}}"


def read_positives(path: str | Path, pairs: Pairs) -> dict[str, list[list[int]]]:
    """Reads lists of right answers as CxC and ECCV Caption publish them, by id, one file for both directions.

    Args:
        path: JSON, `{"i2t": {IMAGE_ID: [CAPTION_ID, …], …}, "t2i": {CAPTION_ID: [IMAGE_ID, …], …}}`. Ids are those of
            the data (COCO's own, of `mscoco`), or row numbers where it has none. Queries that are not among the pairs
            are passed over.
        pairs: the gallery.

    Returns:
        As `functional.retrieval.extended_recall` takes them: for each picture (`i2t`), and each caption (`t2i`), rows
        of its right answers, `NOT_IN_GALLERY` for one that is not among the pairs.

    Raises:
        InputError: the file is not there or has another form, or not one of its queries is among the pairs.
    """
    try:
        lists = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        named = {way: {query: _ids(answers) for query, answers in lists[way].items()} for way in ("i2t", "t2i")}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read as lists of right answers, {_FORM}: {type(error).__name__} {error}."
        ) from error
    images, captions = _rows(pairs.name), _rows(pairs.caption_id)
    found = {}
    for way, queries, items in (("i2t", images, captions), ("t2i", captions, images)):
        if not any(query in queries and answers for query, answers in named[way].items()):
            raise InputError(
                f"{path} has no answers for any of the {len(queries)} {'pictures' if way == 'i2t' else 'captions'}: "
                f"its ids are like {', '.join(list(named[way])[:3]) or 'none'}, those of the data like "
                f"{', '.join(list(queries)[:3])}."
            )
        found[way] = [[] for _ in range(len(pairs.name) if way == "i2t" else len(pairs))]
        for query, answers in named[way].items():
            rows = [row for answer in answers for row in items.get(answer, [NOT_IN_GALLERY])]
            for row in queries.get(query, []):
                found[way][row] = rows
    return found


def known_positives(data: DataArguments, pairs: Pairs) -> dict[str, list[list[int]]] | None:
    """The same from what a data set knows of itself; None if it knows nothing.

    Args:
        data: what the pairs were loaded with.
        pairs: to evaluate on.
    """
    if data.dataset != "scenes":
        return None
    lists = {"i2t": [[] for _ in pairs.image_id], "t2i": [[] for _ in pairs.captions]}
    for caption, picture in true_pairs(find_splits(data)[1]).tolist():
        lists["t2i"][caption].append(picture)
        lists["i2t"][picture].append(caption)
    return lists


def _ids(answers: object) -> list[str]:
    if not isinstance(answers, list) or not all(isinstance(answer, int | str) for answer in answers):
        raise TypeError(f"{answers!r} is no list of ids")
    return list(dict.fromkeys(map(str, answers)))


def _rows(ids) -> dict[str, list[int]]:
    """By id as text, where it stands: a caption id may stand in several rows."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(ids.tolist()):
        rows.setdefault(str(name), []).append(row)
    return rows
