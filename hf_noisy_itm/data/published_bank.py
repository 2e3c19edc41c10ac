"""The memory banks that NPC published, as entries of given pairs.

`{ratio}_mbank_img_idx.npy` holds a dictionary from each picture's id, `{ratio}_mbank_txt_idx.npy` one from each
caption's index, to the index of a pair: the entry. Indices count the captions of the training split in its order, as
it was when the bank was built, noise included, whose rate is the ratio. They are read without being unpickled
(`_npy_dict.py`). That each is an integer, and that an id may be a number or the same in letters, is as far as the form
is known; the rest is ours.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ._npy_dict import read_npy_dict
from ._pairs import Pairs
from .pedigree import stated_rate


def read_published_bank(image_path: str | Path, text_path: str | Path, pairs: Pairs) -> dict[str, np.ndarray]:
    """Reads both files for pairs; that they are those for which the bank was built shows in their number alone.

    Args:
        image_path: dictionary from ids of pictures.
        text_path: dictionary from indices of captions.
        pairs: N pairs, in the order of the split, none left out; `name` has the ids of their pictures.

    Returns:
        "image" and "text", the entry of each pair, int64 (N,), in [0, N).

    Raises:
        InputError: a file is no such dictionary, lacks ids or has others, or names a pair that does not exist.
    """
    of_picture = _rows(image_path, pairs.name.tolist(), "picture", len(pairs))
    of_caption = _rows(text_path, range(len(pairs)), "caption", len(pairs))
    return {"image": of_picture[pairs.image_row], "text": of_caption}


def check_stated_rate(path: str | Path, pairs: Pairs) -> None:
    """Does nothing if the file's name states no rate of noise, or that of the pairs, within one percentage point.

    Of pairs with a pedigree the nominal rate counts, where it is known; else the share that is known to be wrong.

    Raises:
        InputError: it states another one.
    """
    stated, nominal = stated_rate(path), (pairs.pedigree or {}).get("nominal")
    own = float(pairs.is_noisy.mean()) if nominal is None else nominal
    if stated is not None and abs(stated - own) > 0.01:
        raise InputError(
            f"{path} is by its name of data with a rate of {stated:.2%} of wrong captions, and of these pairs "
            f"{own:.2%} are known to be: give the noise that the bank was built for, or rename the file if these have "
            f"it and do not tell."
        )


def _rows(path: str | Path, ids: Iterable[int | str], what: str, num_pairs: int) -> np.ndarray:
    """The entry of each id, int64 (number of ids,)."""
    content = read_npy_dict(path)
    by_id = {_word(key): value for key, value in content.items()}
    if len(by_id) != len(content):
        raise InputError(
            f"{path} has {len(content) - len(by_id)} of its {len(content)} ids twice, as number and word."
        )
    words = [_word(each) for each in ids]
    missing = [word for word in words if word not in by_id]
    other = "it is a bank of other data, or these are not all training pairs of its split"
    if missing:
        raise InputError(
            f"{path} lacks {len(missing)} of the {len(words)} {what} ids, {missing[0]!r} for one: {other}."
        )
    if len(by_id) > len(words):
        raise InputError(f"{path} has {len(by_id)} {what} ids, and there are {len(words)} to train on: {other}.")
    values = [by_id[word] for word in words]
    odd = [place for place, value in enumerate(values) if not _is_row(value, num_pairs)]
    if odd:
        raise InputError(
            f"{path} names for {len(odd)} of its {len(values)} {what}s something else than one of the {num_pairs} "
            f"pairs, {values[odd[0]]!r} for {words[odd[0]]!r}; is it a bank of these data?"
        )
    return np.array(values, dtype=np.int64)


def _word(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def _is_row(value: Any, num_pairs: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < num_pairs
