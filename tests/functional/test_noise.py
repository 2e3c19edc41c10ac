import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.noise import shuffle_captions


@given(st.integers(0, 60), st.floats(0, 1), st.integers(0, 2**32))
def test_it_is_a_permutation_that_moves_no_more_than_the_share(num_captions, rate, seed):
    source = shuffle_captions(num_captions, rate, np.random.default_rng(seed))
    assert sorted(source) == list(range(num_captions))
    assert (source != np.arange(num_captions)).sum() <= int(rate * num_captions + 1e-9)


def test_exactly_the_share_is_picked():
    # A random permutation of k things leaves one of them in place on average (variance 1), so over 900 draws
    # 40 % of 50 captions move 20 - 1 = 19 on average, give or take 1 / 30.
    moved = [(shuffle_captions(50, 0.4, np.random.default_rng(seed)) != np.arange(50)).sum() for seed in range(900)]
    assert max(moved) == 20
    assert np.mean(moved) == pytest.approx(19, abs=5 / 30)


def test_every_row_is_as_likely_to_move_as_any_other():
    # Each row moves with chance 0.4 * 19 / 20 = 0.38; the standard error over 900 draws is 0.016.
    moved = [shuffle_captions(50, 0.4, np.random.default_rng(seed)) != np.arange(50) for seed in range(900)]
    assert np.mean(moved, axis=0) == pytest.approx(np.full(50, 0.38), abs=5 * 0.016)


@pytest.mark.parametrize(("num_captions", "rate", "picked"), [(10, 0.3, 3), (100, 0.29, 29), (7, 0.5, 3), (5, 1.0, 5)])
def test_the_share_is_rounded_down_but_not_by_rounding_errors(num_captions, rate, picked):
    moved = [
        (shuffle_captions(num_captions, rate, np.random.default_rng(seed)) != np.arange(num_captions)).sum()
        for seed in range(200)
    ]
    assert max(moved) == picked


def test_a_rate_of_zero_moves_nothing():
    assert shuffle_captions(9, 0.0, np.random.default_rng(0)).tolist() == list(range(9))


def test_the_same_seed_gives_the_recorded_indices():
    source = shuffle_captions(12, 0.5, np.random.default_rng(0))
    assert source.tolist() == [5, 1, 2, 0, 3, 7, 6, 4, 8, 9, 10, 11]
    assert source.dtype == np.int64


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {rate}"):
        shuffle_captions(10, rate, np.random.default_rng(0))
