"""Kinds by name are the functions they name, with the seed's generator."""

import hashlib
import math

import numpy as np
import pytest

from hf_noisy_itm.functional.noise import (
    KINDS,
    TEXT_KINDS,
    damage_captions,
    draw_noise,
    flip_labels_by_row,
    hash_uniform,
    shuffle_captions,
    shuffle_images,
    swap_semantic,
)

IDS = np.arange(60) // 3
CAPTIONS = [f"two black dogs number {row} behind a fence" for row in range(60)]
EMBEDS = np.random.default_rng(0).normal(size=(60, 8))


def rng(seed=3):
    return np.random.Generator(np.random.PCG64(seed))


def same(one, other):
    assert one.source.tolist() == other.source.tolist()
    assert one.captions == other.captions
    assert one.is_noisy.tolist() == other.is_noisy.tolist()


@pytest.mark.parametrize("keep_none", [False, True])
def test_shuffles(keep_none):
    same(draw_noise("shuffle", 0.5, 3, IDS, keep_none=keep_none), shuffle_captions(IDS, 0.5, rng(), keep_none))
    same(draw_noise("shuffle_images", 0.5, 3, IDS, keep_none=keep_none), shuffle_images(IDS, 0.5, rng(), keep_none))


def test_semantic():
    same(draw_noise("semantic", 0.5, 3, IDS, text_embeds=EMBEDS, k=4), swap_semantic(EMBEDS, IDS, 0.5, 4, rng()))


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_text(kind):
    rows = np.arange(60) + 100
    same(draw_noise(kind, 0.5, 3, IDS, CAPTIONS, rows=rows), damage_captions(CAPTIONS, IDS, kind, 0.5, 3, rows))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mirror", 0.5, 0), f"no kind of noise 'mirror'; there are {', '.join(KINDS)}"),
        (("shuffle", 0.5, -1), "must not be negative, got -1"),
        (("shuffle", 1.5, 0), "between 0 and 1, got 1.5"),
        (("semantic", 0.5, 0), "give their embeddings"),
        (("partial", 0.5, 0), "give the captions"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_noise(*arguments, IDS)


@pytest.mark.parametrize("kind", [*TEXT_KINDS, "semantic"])
def test_keep_none_is_for_shuffles(kind):
    with pytest.raises(ValueError, match=f"not for the kind '{kind}'"):
        draw_noise(kind, 0.5, 0, IDS, CAPTIONS, EMBEDS, keep_none=True)


def test_the_hash_of_a_draw_is_that_of_source_and_changed_captions():
    moved = draw_noise("shuffle", 0.5, 3, IDS)
    numbers = b"".join(int(row).to_bytes(8, "little") for row in moved.source)
    assert moved.sha256 == hashlib.sha256(numbers).hexdigest()
    damaged = draw_noise("truncated", 0.5, 3, IDS, CAPTIONS)
    text = b"".join(caption.encode() + b"\0" for caption in damaged.captions)
    assert damaged.sha256 == hashlib.sha256(text + np.arange(60, dtype="<i8").tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: damage_captions(["two dogs"], [0], "partial", 1.0, 0, rows=[2.7]),
            "Row numbers are integers, got fl",
        ),
        (lambda: flip_labels_by_row(np.array([0, 1]), 2, 1.0, 0, rows=[0.5, 1.2]), "Row numbers are integers, got fl"),
        (lambda: hash_uniform(0, "x", [True]), "Row numbers are integers, got bool"),
        (lambda: damage_captions(["a b", None], [0, 1], "partial", 1.0, 0), "Caption 1 is NoneType, not a string"),
        (
            lambda: draw_noise("shuffle", 1.0, 0, [1, None, 2, 3], keep_none=True),
            "id of row 1 is None: ids are numbers",
        ),
        (lambda: draw_noise("shuffle", 1.0, 0, [math.nan] * 4), "id of row 0 is nan: ids are numbers or strings"),
        (
            lambda: draw_noise("shuffle", 1.0, 0, np.array([1, "a"], dtype=object)),
            "some numbers; make them of one kind",
        ),
    ],
)
def test_what_is_no_row_no_caption_and_no_id_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_ids_of_any_length_and_kind_are_taken():
    for ids in ([2**70, 3, 4], np.array(["a", "bb", "c"], dtype=object), [0.5, 1.5, 2.5], ["a", "b", "c"]):
        assert draw_noise("shuffle", 1.0, 0, ids, keep_none=True).is_noisy.all()
