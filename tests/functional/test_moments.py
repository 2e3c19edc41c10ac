import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.moments import Moments, fade, merge, moments_of, pooled_deviation

numbers = st.lists(st.floats(-1, 1, width=32), min_size=0, max_size=12)


def of(values):
    return moments_of(torch.tensor(values, dtype=torch.float32), torch.ones(len(values), dtype=torch.bool))


@given(st.lists(numbers, min_size=1, max_size=6))
def test_merged_moments_are_those_of_all_values(parts):
    total = Moments(*torch.zeros(4, dtype=torch.float64))
    for part in parts:
        total = merge(total, of(part))
    values = np.array([value for part in parts for value in part], dtype=np.float64)
    assert total.count == len(values)
    if len(values):
        assert total.mean.item() == pytest.approx(values.mean(), abs=1e-12)
    wanted = values.var(ddof=1) if len(values) > 1 else 0.0
    assert total.variance.item() == pytest.approx(wanted, abs=1e-12)


def test_a_small_spread_far_from_zero_is_not_lost():
    """Sums of squares would be: 1e4 squared has no digits left for 1e-3 squared in float32, few in float64."""
    values = 1e4 + 1e-3 * torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    everything = torch.ones(100, dtype=torch.bool)
    total = Moments(*torch.zeros(4, dtype=torch.float64))
    for part in values.split(100):
        total = merge(total, moments_of(part, everything))
    assert total.variance.item() == pytest.approx(values.numpy().var(ddof=1), rel=1e-6)


def test_what_is_not_counted_may_be_infinite():
    values = torch.tensor([1.0, -torch.inf, 3.0, torch.nan])
    assert torch.stack(moments_of(values, values.isfinite())).tolist() == [2.0, 2.0, 2.0, 2.0]  # 1 and 3 around 2


def test_the_released_merge_by_hand():
    # 1 and 3: mean 2, square 2. Then 6: mean 10/3, and (6 - 10/3)^2 = 64/9 is added; what 1 and 3 lie off is left.
    released = merge(of([1.0, 3.0]), of([6.0]), exact=False)
    assert released.square.item() == pytest.approx(2 + 64 / 9)
    exact = merge(of([1.0, 3.0]), of([6.0]))
    assert exact.square.item() == pytest.approx(2 + 64 / 9 + 2 * (4 / 3) ** 2)


def test_fading_leaves_mean_and_spread_and_gives_new_values_more_weight():
    past = of([0.0, 2.0, 4.0, 6.0])
    faded = fade(past, 0.5)
    assert faded.count == 2
    assert (faded.seen, merge(faded, of([10.0, 10.0])).seen) == (4, 6)
    assert faded.mean == past.mean
    assert faded.square / faded.count == past.square / past.count
    # 2 values' worth of mean 3, and 2 of mean 10: 6.5 instead of (4 * 3 + 2 * 10) / 6.
    assert merge(faded, of([10.0, 10.0])).mean == 6.5


def test_below_two_values_there_is_no_variance():
    assert of([]).variance == 0
    assert of([3.0]).variance == 0


def test_a_pooled_deviation_needs_two_values_on_both_sides():
    assert pooled_deviation(of([0.0, 2.0]), of([1.0, 7.0]), 0.05) == pytest.approx(10**0.5)  # variances 2 and 18
    for one, other in (([3.0], [1.0, 7.0]), ([1.0, 7.0], []), ([1.0, 1.0], [7.0, 7.0])):
        assert pooled_deviation(of(one), of(other), 0.05) == pytest.approx(0.05)
