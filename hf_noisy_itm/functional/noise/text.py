"""Captions damaged in place: a detail wrong, the end missing, or the clutter of the web.

Each row depends on the seed, the kind, its own number and its own caption alone, so a part of the data, a shard or a
stream gets the damage that the whole would get. Which rows are damaged is nested over rates, and a row damaged at a
low rate has the same damage at a higher one.
"""

import re
import string
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ._vocabulary import CLASSES, NEVER_PUT_IN, NOT_AFTER, NOT_BEFORE, ONLY_BEFORE, OR_AFTER
from .draw import hash_bits, hash_uniform, row_numbers
from .result import Noise, check_rate, picture_ids

_MEMBER_OF = {
    form: (name, number)
    for name, members in CLASSES.items()
    for number, member in enumerate(members)
    for form in member
}
_FORMS = sorted((form for form in _MEMBER_OF if not form.isdigit()), key=len, reverse=True)
# No part of a longer word; digits also no part of a price, a time, a share or a decimal fraction.
_SITE = re.compile(
    rf"(?<![\w'’-])(?:{'|'.join(map(re.escape, _FORMS))})(?![\w-])"
    r"|(?<![\w'’$€£#/:+-])(?<!\d[.,])(?:1[0-2]|[2-9])(?![\w%°/:-]|[.,]\d)"
)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # unlike `lower`, it keeps every place
_WORD_BEFORE = re.compile(r"(\w+)\s+\Z")
_WORD_AFTER = re.compile(r"\s+(\w+)")
_WORD = re.compile(r"\S+")
_BOILERPLATE = (
    " stock photo", " - stock photo", " stock image", " | royalty free image", " - free download", " | buy online",
    " (photo)", " click to enlarge", " - best price", " | high resolution", " - image 1 of 5", " share on facebook",
)  # fmt: skip


def damage_captions(
    captions: Sequence[str],
    image_of_caption: Sequence | np.ndarray,
    kind: str,
    rate: float,
    seed: int,
    rows: Sequence[int] | np.ndarray | None = None,
) -> Noise:
    """Damages captions in place.

    Row i is chosen if `hash_uniform(seed, kind, i)` is below the rate: on average, not exactly, `rate * N` rows. A
    chosen caption that has nothing to damage stays as it is and is clean, so `realised` is lower than `nominal`, most
    of all for "partial", which knows English alone. Every noisy row has another text than before. No caption moves:
    `source` is 0..N-1, and `noise_source` is `image_of_caption`. Row i depends on seed, kind, i and caption i only: it
    works on a stream. What a word is, and its lower case, say Python's Unicode tables, which change with its version.

    Args:
        captions: N strings.
        image_of_caption: id of each row's picture, (N,).
        kind: one of `TEXT_KINDS`: "partial" (`replace_detail`), "truncated" (`cut_short`), "duplicated" (`clutter`).
        rate: chance of a row to be chosen, in [0, 1].
        seed: any integer.
        rows: number of each row, the i above: for a part of the data, those of the whole. `caption_id` serves well.
            0..N-1 if left out.

    Raises:
        ValueError: the kind is none of these, the rate is outside [0, 1], a caption is no string, a row number no
            integer, or the lengths differ.
    """
    check_rate(rate)
    if kind not in TEXT_KINDS:
        raise ValueError(f"There is no kind of text noise {kind!r}; there are {', '.join(TEXT_KINDS)}.")
    ids = picture_ids(image_of_caption)
    rows = np.arange(len(captions)) if rows is None else row_numbers(rows)
    if not len(captions) == len(ids) == len(rows):
        raise ValueError(f"There are {len(captions)} captions, {len(ids)} picture ids and {len(rows)} row numbers.")
    if wrong := [row for row, caption in enumerate(captions) if not isinstance(caption, str)]:
        raise ValueError(f"Caption {wrong[0]} is {type(captions[wrong[0]]).__name__}, not a string.")
    chosen = np.flatnonzero(hash_uniform(seed, kind, rows) < rate)
    words = np.stack([hash_bits(seed, kind, rows[chosen], draw) for draw in (1, 2, 3)], axis=1).tolist()
    damaged = list(captions)
    is_noisy = np.zeros(len(captions), dtype=bool)
    for row, (first, second, third) in zip(chosen.tolist(), words, strict=True):
        damaged[row] = TEXT_KINDS[kind](captions[row], first, second, third)
        is_noisy[row] = damaged[row] != captions[row]
    return Noise(np.arange(len(captions), dtype=np.int64), is_noisy, ids.copy(), rate, damaged)


def replace_detail(caption: str, first: int, second: int, third: int = 0) -> str:
    """Replaces one detail by another of its class: "two black dogs behind a fence", "two brown dogs behind a fence".

    A detail is a colour, size, age, material, number, relation in space, person, animal, vehicle or sport (English,
    `_vocabulary.py`). What is put in means something else than what it replaces, is not elsewhere in the caption, fits
    an article before it, and has its case (lower, Capital or UPPER); everything else stays byte for byte.

    Args:
        caption: a caption.
        first: random number that picks the place.
        second: random number that picks the replacement.
        third: not used.

    Returns:
        The caption with another detail, or the same one if it has none.
    """
    lower = caption.translate(_LOWER)
    matches = [(match, _MEMBER_OF[match.group()]) for match in _SITE.finditer(lower)]
    present = {member for _, member in matches}
    sites = []
    for match, member in matches:
        before = _WORD_BEFORE.search(lower[max(match.start() - 40, 0) : match.start()])
        after = _WORD_AFTER.match(lower, match.end())
        before, after = before and before[1], after and after[1]
        if _fits(match.group(), before, after):
            others = _others(*member, before if before in ("a", "an") else None)
            if others := [form for other, form in others if other not in present]:
                sites.append((match.span(), others))
    if not sites:
        return caption
    (start, end), others = sites[first % len(sites)]
    return caption[:start] + _in_case_of(caption[start:end], others[second % len(others)]) + caption[end:]


def cut_short(caption: str, first: int, second: int = 0, third: int = 0) -> str:
    """Leaves a proper beginning of 1 to W - 1 of the caption's W words, all alike; the same caption if W < 2.

    Words are what white space separates; what is left stays byte for byte. It may still be true of the picture.
    """
    words = list(_WORD.finditer(caption))
    return caption[: words[first % (len(words) - 1)].end()] if len(words) > 1 else caption


def clutter(caption: str, first: int, second: int, third: int) -> str:
    """Damages a caption as the web does, in one of four ways alike; the same caption if it has no word.

    A phrase of up to four words stands there twice; a phrase of picture shops is appended; the name of a camera's file
    stands before the caption; or the caption has become the name of a file ("a-dog-on-grass-4711.jpg").

    Args:
        caption: a caption.
        first: random number that picks the way.
        second: random number that picks the place, the phrase or the number.
        third: random number that picks the length or the form.
    """
    words = list(_WORD.finditer(caption))
    if not words:
        return caption
    way, letters = first % 4, re.findall(r"\w+", caption)
    if way == 0:
        start = second % len(words)
        end = start + third % min(4, len(words) - start)
        phrase = caption[words[start].start() : words[end].end()]
        return f"{caption[: words[end].end()]} {phrase}{caption[words[end].end() :]}"
    if way == 1:
        return caption + _BOILERPLATE[second % len(_BOILERPLATE)]
    if way == 2 or not letters:
        camera = ("IMG_", "DSC_", "DSCN", "P10")[third % 4]
        return f"{camera}{second % 10000:04d}.{('jpg', 'JPG')[first // 4 % 2]} {caption}"
    return "-_"[third % 2].join([*letters, str(second % 10000)]).lower() + ".jpg"


TEXT_KINDS: dict[str, Callable[[str, int, int, int], str]] = {
    "partial": replace_detail,
    "truncated": cut_short,
    "duplicated": clutter,
}


def _fits(form: str, before: str | None, after: str | None) -> bool:
    """Whether a form between two words (None: punctuation or nothing) is the detail that it seems to be."""
    if before in NOT_AFTER.get(form, ()) or after in NOT_BEFORE.get(form, ()):
        return False
    return form not in ONLY_BEFORE or after in ONLY_BEFORE[form] or before in OR_AFTER.get(form, ())


@cache
def _others(name: str, number: int, article: str | None) -> tuple[tuple[tuple[str, int], str], ...]:
    """The other members of a class, each with its form that goes with the article before it ("a", "an" or None)."""
    others = []
    for other, member in enumerate(CLASSES[name]):
        forms = [form for form in member if form not in NEVER_PUT_IN]
        if article:
            forms = [form for form in forms if _takes_an(form) == (article == "an")]
        if other != number and forms:
            others.append(((name, other), forms[0]))
    return tuple(others)


def _takes_an(form: str) -> bool:
    return form[0] in "aeiou" or form in ("8", "11")  # no form here has a silent h, or a u or o spoken as a consonant


def _in_case_of(old: str, new: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    if old.istitle() and " " in old:
        return new.title()
    return new[0].upper() + new[1:] if old[0].isupper() else new
