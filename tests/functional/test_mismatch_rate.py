import numpy as np
import pytest

from hf_noisy_itm.functional.mismatch_rate import _FEW, estimate_rate

from .test_mismatch import drawn


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 0.6, 1.0])
def test_the_rate_is_found_and_lies_in_its_interval(rate):
    own, is_wrong, wrong, picture = drawn(rate)
    found = estimate_rate(own, wrong, picture, picture)
    assert found.value == pytest.approx(is_wrong.mean(), abs=0.02)
    assert found.low - 0.01 <= found.value <= found.high + 0.01
    assert found.high - found.low < 0.12
    assert found.low - 0.01 <= is_wrong.mean() <= found.high + 0.01


def test_captions_that_go_wrong_together_widen_the_interval():
    """Ten captions a picture, all right or all wrong, against the same number picked one by one."""
    rng = np.random.default_rng(1)
    picture = np.arange(3000) // 10
    wrong = rng.standard_normal(3000) + 4
    widths = []
    for is_wrong in (rng.random(300)[picture] < 0.4, rng.random(3000) < 0.4):
        found = estimate_rate(rng.standard_normal(3000) + 4 * is_wrong, wrong, picture, picture)
        widths.append(found.high - found.low)
    assert widths[0] > 1.25 * widths[1]


def test_right_pairs_that_look_bad_are_not_counted_where_few_wrong_ones_are():
    """No level that nearly all random partners exceed will do here: the lower quartile of what high levels say."""
    own, _, wrong, picture = drawn(0.3, 3000, apart=1.2)
    ratios = []
    for share in _FEW:
        level = np.quantile(wrong, 1 - share)
        above = sum(value >= level for value in own) / len(own)
        ratios.append(above / (sum(value >= level for value in wrong) / len(wrong)))
    found = estimate_rate(own, wrong, picture, picture)
    assert found.value == pytest.approx(np.quantile(ratios, 0.25), abs=0.02)  # the median of samples of it
    assert found.is_bound
    assert found.value == pytest.approx(0.3, abs=0.08)
    assert 1 - np.mean(own < np.quantile(wrong, 0.1)) > 0.5  # that share would be said of nearly all


def test_a_part_of_the_pictures_that_says_nothing_is_left_out():
    rng = np.random.default_rng(0)
    picture = np.arange(6000) // 3
    clear = np.arange(2000) % 2 == 0
    is_wrong = rng.random(6000) < 0.3
    wrong = rng.standard_normal(6000) + 5
    own = rng.standard_normal(6000) + 5 * (is_wrong | ~clear[picture])
    assert estimate_rate(own, wrong, picture, picture).value > 0.6
    found = estimate_rate(own, wrong, picture, picture, clear)
    assert found.low <= is_wrong.mean() <= found.high
    assert found.value == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.4, 0.6])
def test_the_interval_covers_and_no_draw_is_far_off_where_pairs_separate(share):
    """Captions that go wrong one by one and by the picture, 1000 to 5000 of them, three distances."""
    covered = []
    for seed in range(18):
        rng = np.random.default_rng(seed)
        pairs, captions, apart = (1000, 2000, 5000)[seed % 3], (1, 5)[seed % 2], (4.0, 6.0, 10.0)[seed // 6]
        picture = np.arange(pairs) // captions
        together = seed % 4 == 3
        is_wrong = (rng.random(pairs) < share)[picture if together else slice(None)]
        partners = np.tile(picture, 3)
        own, wrong = rng.standard_normal(pairs) + apart * is_wrong, rng.standard_normal(3 * pairs) + apart
        clear = rng.random(picture.max() + 1) < 0.5
        found = estimate_rate(own, wrong, picture, partners, clear)
        assert found.value == pytest.approx(is_wrong.mean(), abs=0.05), (pairs, captions, apart, together)
        assert not found.is_bound
        covered.append(found.low - 1e-3 <= is_wrong.mean() <= found.high + 1e-3)
    assert np.mean(covered) >= 0.85
