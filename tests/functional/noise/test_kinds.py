"""Kinds by name are the functions they name, with the seed's generator."""

import hashlib

import numpy as np
import pytest

from hf_noisy_itm.functional.noise import (
    KINDS,
    TEXT_KINDS,
    damage_captions,
    draw_noise,
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
