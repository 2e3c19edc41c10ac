"""Captions that change places: one by one, or all captions of a picture together."""

from collections.abc import Sequence

import numpy as np

from .draw import random_order, random_words, share_of
from .result import Noise, check_rate, moved, picture_ids


def shuffle_captions(
    image_of_caption: Sequence | np.ndarray, rate: float, rng: np.random.Generator, keep_none: bool = False
) -> Noise:
    """Permutes a given share of the captions among themselves (the caption-level noise of NPC and NCR).

    Exact: `floor(rate * N)` captions are picked and permuted, all others keep their place, and `source` is a
    permutation. As in NPC's release, a picked caption may keep its place, or land on its own picture in the row of
    another of its captions; both are clean, so slightly fewer rows are noisy than were picked. With `keep_none`
    exactly `floor(rate * N)` rows are noisy: no picked caption lands on a picture it was written for. To make that
    possible no picture then has more than half of the picked captions; where one would, others are picked instead.

    The picks of a seed at a low rate are among those at a higher one (with `keep_none`, unless a picture has too many
    of them); where they land is drawn anew. A row depends on all rows: the draw does not work on a stream.

    Args:
        image_of_caption: id of each row's picture, numbers or strings (N,); equal ids are the same picture. All
            captions are taken to be written for the picture of their row.
        rate: share of captions to pick, in [0, 1].
        rng: the only source of randomness; `draw.py` says which to take.
        keep_none: no picked caption stays with its picture.

    Raises:
        ValueError: the rate is outside [0, 1], or with `keep_none` so many captions cannot leave their pictures: a
            single one, or most captions belong to one picture.
    """
    check_rate(rate)
    ids = picture_ids(image_of_caption)
    count = share_of(len(ids), rate)
    order = random_order(len(ids), rng)
    if not keep_none:
        picked = order[:count]
        landing = picked[random_order(count, rng)]
    else:
        group = np.unique(ids, return_inverse=True)[1]
        picked = order[_number_within(group[order]) < count // 2][:count]
        if len(picked) < count:
            raise ValueError(
                f"{count} of {len(ids)} captions cannot all leave their pictures: at most {len(picked)} can be picked "
                f"so that no picture has more than half of them; change the rate or do without keep_none."
            )
        landing = picked[_derange(random_order(count, rng), group[picked], rng)]
    source = np.arange(len(ids), dtype=np.int64)
    source[picked] = landing
    return moved(source, ids, rate)


def shuffle_images(
    image_of_caption: Sequence | np.ndarray, rate: float, rng: np.random.Generator, keep_none: bool = False
) -> Noise:
    """Permutes a given share of the pictures; all captions of a picture move together (DECL, RCL, NCR's code).

    Exact: `floor(rate * P)` of the P pictures are picked and change captions among themselves, all others keep theirs,
    and `source` is a permutation: the j-th caption of the one picture takes the place of the j-th of the other. Only
    pictures with equally many captions change with each other. A picked picture may keep its captions, all of them
    (always, if no other picked picture has as many); with `keep_none` none does, and `floor(rate * P)` pictures have
    wrong captions only. Picks are nested as in `shuffle_captions`. A row depends on all rows: no stream.

    Args:
        image_of_caption: as in `shuffle_captions`; captions of a picture need not be adjacent.
        rate: share of pictures to pick, in [0, 1].
        rng: the only source of randomness.
        keep_none: no picked picture keeps its captions.

    Raises:
        ValueError: the rate is outside [0, 1], or with `keep_none` a picked picture has a number of captions that no
            other picked one has.
    """
    check_rate(rate)
    ids = picture_ids(image_of_caption)
    group, size = np.unique(ids, return_inverse=True, return_counts=True)[1:]
    picked = random_order(len(size), rng)[: share_of(len(size), rate)]
    # both orders have the pictures of one size in the same places, so the one maps sizes onto equal sizes
    old = picked[np.argsort(size[picked], kind="stable")]
    again = picked[random_order(len(picked), rng)]
    new = again[np.argsort(size[again], kind="stable")]
    if keep_none:
        new = _derange_within(new, old, size, rng)
    takes = np.arange(len(size))
    takes[old] = new
    rows = np.argsort(group, kind="stable")  # rows of picture 0 in order, then of picture 1, …
    first = np.cumsum(size) - size
    source = rows[first[takes[group]] + _number_within(group)]
    return moved(source, ids, rate)


def _number_within(group: np.ndarray) -> np.ndarray:
    """How many equal entries stand before each one, (N,)."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(group) else np.zeros(0, int)
    number = np.empty(len(group), dtype=np.int64)
    number[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return number


def _derange(order: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mends a permutation so that place i never gets something of its own group; others stay where they are.

    Each offender changes places with a random other that neither brings nor takes the group. There is always one: a
    group of a <= N / 2 is met at no more than 2a - 1 places, the offender's among them.

    Args:
        order: a permutation of 0..N-1, (N,).
        group: of each place and of each thing, (N,); no group has more than N / 2.
        rng: draws partners; few are needed, about as many as a picture has captions.
    """
    order = order.copy()
    for place in np.flatnonzero(group[order] == group).tolist():
        own = group[place]
        if group[order[place]] != own:  # an earlier offender has taken it
            continue
        for _ in range(64):
            partner = int(random_words(1, rng)[0] % np.uint64(len(order)))
            if group[partner] != own and group[order[partner]] != own:
                break
        else:
            possible = np.flatnonzero((group != own) & (group[order] != own))
            partner = possible[int(random_words(1, rng)[0] % np.uint64(len(possible)))]
        order[place], order[partner] = order[partner], order[place]
    return order


def _derange_within(new: np.ndarray, old: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mends a permutation of pictures, sorted by size, so that none keeps its own; sizes stay equal to sizes."""
    new = new.copy()
    for each in np.unique(size[old]):
        part = np.flatnonzero(size[old] == each)
        if len(part) == 1:
            raise ValueError(
                f"Picture number {old[part[0]]} is the only picked one with {each} caption(s), so none can change "
                f"with it; change the rate or do without keep_none."
            )
        place_of = {int(picture): place for place, picture in enumerate(old[part])}
        order = np.array([place_of[int(picture)] for picture in new[part]])
        new[part] = old[part][_derange(order, np.arange(len(part)), rng)]
    return new
