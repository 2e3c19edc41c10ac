import hashlib
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.noise import shuffle_captions, shuffle_images


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


pictures = st.lists(st.integers(0, 8), max_size=50)
rates = st.floats(0, 1)
seeds = st.integers(0, 2**32)


@given(pictures, rates, seeds)
def test_provenance_is_that_of_the_rows(ids, rate, seed):
    for shuffle in (shuffle_captions, shuffle_images):
        noise = shuffle(ids, rate, generator(seed))
        assert sorted(noise.source) == list(range(len(ids)))
        assert [ids[row] for row in noise.source] == noise.noise_source.tolist()
        assert [a != b for a, b in zip(ids, noise.noise_source)] == noise.is_noisy.tolist()
        assert noise.nominal == rate
        assert noise.source.dtype == np.int64


@given(pictures, rates, seeds)
def test_no_more_captions_move_than_the_share(ids, rate, seed):
    noise = shuffle_captions(ids, rate, generator(seed))
    assert (noise.source != np.arange(len(ids))).sum() <= int(rate * len(ids) + 1e-9)


@given(pictures, rates, seeds)
def test_with_keep_none_exactly_the_share_is_noisy_or_it_is_impossible(ids, rate, seed):
    count = int(rate * len(ids) + 1e-9)
    # k captions can all leave if k of them can be picked with no picture having more than half of them
    possible = sum(min(times, count // 2) for times in Counter(ids).values()) >= count
    if possible:
        noise = shuffle_captions(ids, rate, generator(seed), keep_none=True)
        assert noise.is_noisy.sum() == count
        assert (noise.source != np.arange(len(ids))).sum() == count
        assert sorted(noise.source) == list(range(len(ids)))
    else:
        with pytest.raises(ValueError, match=f"{count} of {len(ids)} captions cannot all leave"):
            shuffle_captions(ids, rate, generator(seed), keep_none=True)


def test_two_pictures_with_half_the_captions_each_change_all_of_them():
    noise = shuffle_captions([0] * 100 + [1] * 100, 1.0, generator(0), keep_none=True)
    assert noise.is_noisy.all()


def test_exactly_the_share_is_picked():
    # A random permutation of k things leaves one of them in place on average (variance 1), so over 900 draws
    # 40 % of 50 captions move 20 - 1 = 19 on average, give or take 1 / 30.
    moved = [shuffle_captions(np.arange(50), 0.4, generator(seed)).is_noisy.sum() for seed in range(900)]
    assert max(moved) == 20
    assert np.mean(moved) == pytest.approx(19, abs=5 / 30)


def test_every_row_is_as_likely_to_move_as_any_other():
    # Each row moves with chance 0.4 * 19 / 20 = 0.38; the standard error over 900 draws is 0.016.
    moved = [shuffle_captions(np.arange(50), 0.4, generator(seed)).is_noisy for seed in range(900)]
    assert np.mean(moved, axis=0) == pytest.approx(np.full(50, 0.38), abs=5 * 0.016)


def test_with_keep_none_every_other_picture_is_as_likely():
    # 12 captions of 6 pictures, all picked: each goes to one of the 10 places of other pictures.
    ids = np.arange(12) // 2
    taken = np.zeros((6, 6))
    for seed in range(900):
        noise = shuffle_captions(ids, 1.0, generator(seed), keep_none=True)
        np.add.at(taken, (ids, noise.noise_source), 1)
    away = taken[~np.eye(6, dtype=bool)]
    assert away == pytest.approx(np.full(30, 900 * 2 / 5), abs=6 * 19)
    assert (np.diag(taken) == 0).all()


@pytest.mark.parametrize("shuffle", [shuffle_captions, shuffle_images])
def test_picks_are_nested_over_rates(shuffle):
    ids = np.arange(1000)
    low, high = (shuffle(ids, rate, generator(5), keep_none=True).is_noisy for rate in (0.2, 0.4))
    assert (low.sum(), high.sum()) == (200, 400)
    assert not (low & ~high).any()


def test_a_rate_of_zero_moves_nothing():
    for shuffle in (shuffle_captions, shuffle_images):
        for keep_none in (False, True):
            noise = shuffle([3, 3, 1], 0.0, generator(0), keep_none)
            assert noise.source.tolist() == [0, 1, 2]
            assert noise.realised == 0


def test_no_rows_are_no_problem():
    for shuffle in (shuffle_captions, shuffle_images):
        assert shuffle([], 0.5, generator(0)).realised == 0


def test_ids_may_be_strings():
    number, word = (shuffle_captions(ids, 1.0, generator(4), True) for ids in ([1, 1, 2, 2, 3], list("aabbc")))
    assert word.source.tolist() == number.source.tolist()
    assert word.noise_source.tolist() == ["?abc"[picture] for picture in number.noise_source]


def test_the_same_seed_gives_the_recorded_indices():
    """Literal, so that another version of NumPy or another machine cannot draw otherwise unnoticed."""
    ids = np.arange(12) // 2
    assert shuffle_captions(ids, 0.5, generator(0)).source.tolist() == [0, 2, 6, 1, 4, 5, 8, 7, 11, 9, 10, 3]
    assert shuffle_captions(ids, 1.0, generator(1)).source.tolist() == [9, 1, 11, 2, 8, 4, 10, 6, 7, 5, 3, 0]
    assert shuffle_captions(ids, 1.0, generator(1), keep_none=True).source.tolist() == [
        9,
        8,
        11,
        0,
        1,
        6,
        10,
        4,
        7,
        5,
        3,
        2,
    ]
    assert shuffle_images(ids, 1.0, generator(2)).source.tolist() == [4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 10, 11]
    assert shuffle_images(ids, 1.0, generator(2), keep_none=True).source.tolist() == [
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        2,
        3,
        0,
        1,
    ]


def test_566435_captions_in_no_time_and_always_the_same():
    """As many as the training half of MSCOCO has; recorded as a hash."""
    ids = np.arange(566_435) // 5
    start = time.perf_counter()
    noise = shuffle_captions(ids, 0.4, generator(0), keep_none=True)
    assert time.perf_counter() - start < 4
    assert noise.is_noisy.sum() == 226_574
    assert (
        hashlib.sha256(noise.source.astype("<i8").tobytes()).hexdigest()
        == "fc2dcc249f8be4ced65769d8d3cb648ccd537a1a6d115a8e3338fa2118694348"
    )


def test_images_move_whole():
    ids = np.repeat([7, 8, 9, 10], 5)
    noise = shuffle_images(ids, 1.0, generator(1), keep_none=True)
    blocks = noise.source.reshape(-1, 5)
    assert (blocks == blocks[:, :1] + np.arange(5)).all()
    assert (blocks[:, 0] % 5 == 0).all()
    assert noise.is_noisy.all()


def test_images_move_whole_where_captions_are_not_adjacent():
    ids = np.array([0, 1, 0, 2, 1, 2, 0])  # pictures 1 and 2 have two captions, 0 has three and cannot change
    sources = {tuple(shuffle_images(ids, 1.0, generator(seed)).source.tolist()) for seed in range(20)}
    assert sources == {tuple(range(7)), (0, 3, 2, 1, 5, 4, 6)}


@given(pictures, rates, seeds)
def test_a_picture_gets_all_captions_of_one_picture_in_order(ids, rate, seed):
    noise = shuffle_images(ids, rate, generator(seed))
    rows_of = {picture: [row for row, each in enumerate(ids) if each == picture] for picture in set(ids)}
    got = {picture: [int(noise.source[row]) for row in rows] for picture, rows in rows_of.items()}
    assert all(rows in rows_of.values() for rows in got.values())
    changed = sum(got[picture] != rows for picture, rows in rows_of.items())
    assert changed <= int(rate * len(rows_of) + 1e-9)


def test_with_keep_none_exactly_the_share_of_pictures_changes():
    for seed in range(50):
        noise = shuffle_images(np.arange(200) // 5, 0.3, generator(seed), keep_none=True)
        assert noise.is_noisy.sum() == 60


def test_a_picture_that_can_change_with_none_is_an_error():
    with pytest.raises(ValueError, match="Picture number 0 is the only picked one with 2 caption"):
        shuffle_images([5, 5, 6, 7], 1.0, generator(0), keep_none=True)
    with pytest.raises(ValueError, match="only picked one"):
        shuffle_images([5, 6], 0.5, generator(0), keep_none=True)


@pytest.mark.parametrize("shuffle", [shuffle_captions, shuffle_images])
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(shuffle, rate):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {rate}"):
        shuffle(np.arange(10), rate, generator(0))


@pytest.mark.parametrize("shuffle", [shuffle_captions, shuffle_images])
def test_a_matrix_of_ids_is_refused(shuffle):
    with pytest.raises(ValueError, match=r"one picture for each caption, got shape \(2, 5\)"):
        shuffle(np.zeros((2, 5)), 0.5, generator(0))


def test_applying_gives_each_row_its_caption():
    noise = shuffle_captions([0, 1, 2], 1.0, generator(0), keep_none=True)
    captions = ["a", "b", "c"]
    assert noise.apply(captions) == [captions[row] for row in noise.source]
    with pytest.raises(ValueError, match="for 3 captions, got 2"):
        noise.apply(captions[:2])
