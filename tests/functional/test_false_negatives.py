"""FNE's equations against loops, values by hand, and their limits (methods spec: acceptance list FNE 2, 3, 6)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.draws import uniform
from hf_noisy_itm.functional.false_negatives import (
    draw,
    hardest,
    match_log_odds,
    right_and_wrong,
    sampling_log_weights,
    triplet_hinge,
)
from hf_noisy_itm.functional.moments import Moments


def moments(mean, deviation, count=1000.0, seen=None):
    numbers = (count, mean, (count - 1) * deviation**2, count if seen is None else seen)
    return Moments(*(torch.tensor(x, dtype=torch.float64) for x in numbers))


def posterior_by_densities(s, right, wrong, prior):
    def density(s, mean, deviation):
        return math.exp(-(((s - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))

    match, other = prior * density(s, *right), (1 - prior) * density(s, *wrong)
    return match / (match + other)


@pytest.mark.parametrize(("right", "wrong"), [((0.6, 0.05), (0.35, 0.05)), ((0.3, 0.04), (0.2, 0.06))])
def test_the_posterior_is_that_of_the_densities(right, wrong):
    cosines = torch.linspace(0.1, 0.8, 57)[None]
    odds = match_log_odds(cosines, moments(*right), moments(*wrong), 1e-4, 200, monotone=False)
    wanted = [posterior_by_densities(s, right, wrong, 1e-4) for s in cosines[0].tolist()]
    torch.testing.assert_close(odds.sigmoid()[0], torch.tensor(wanted), atol=1e-6, rtol=1e-4)


def test_the_weights_of_the_specification():
    """mu+ .6, mu- .35, both deviations .05, prior 1 / 10,000, alpha .5: computed by hand there (own pair at .5)."""
    cosines = torch.tensor([[0.45, 0.50, 0.55, 0.60, 0.70, 0.39]])
    odds = match_log_odds(cosines, moments(0.6, 0.05), moments(0.35, 0.05), 1e-4, 200, monotone=False)
    weights = sampling_log_weights(
        cosines, torch.tensor([0.6]), odds, torch.zeros(1, 6, dtype=torch.bool), 0.4, 0.5, 0.5, 0.001
    ).exp()
    torch.testing.assert_close(weights[0], torch.tensor([0.989, 0.999, 0.926, 0.618, 0.607, 0.0]), atol=1e-3, rtol=0)


deviations = st.floats(0.005, 0.3)


@given(deviations, deviations, st.floats(-0.5, 0.9), st.floats(0.001, 0.5), st.floats(1e-6, 0.5))
def test_a_more_similar_candidate_is_never_less_suspicious(spread_right, spread_wrong, mean, shift, prior):
    cosines = torch.linspace(-1, 1, 401)[None]
    right, wrong = moments(mean + shift, spread_right), moments(mean, spread_wrong)
    odds = match_log_odds(cosines, right, wrong, prior, 200)
    assert torch.isfinite(odds).all()
    assert (odds.diff() >= -1e-5 * odds.abs().clamp(min=1)[:, 1:]).all()
    plain = match_log_odds(cosines, right, wrong, prior, 200, monotone=False)
    between = (cosines > mean) & (cosines < mean + shift)  # there the parabola rises already
    torch.testing.assert_close(odds[between], plain[between], atol=1e-4, rtol=1e-4)


def test_without_the_option_the_odds_fall_again():
    cosines = torch.tensor([[0.8, 0.9, 1.0]])
    plain = match_log_odds(cosines, moments(0.6, 0.05), moments(0.35, 0.08), 1e-4, 200, monotone=False).sigmoid()
    assert plain[0].tolist() == pytest.approx([0.28, 0.04, 4e-4], abs=0.01)  # methods spec, F5
    assert (plain.diff() < 0).all()
    monotone = match_log_odds(cosines, moments(0.6, 0.05), moments(0.35, 0.08), 1e-4, 200).sigmoid()
    assert (monotone >= monotone[0, 0]).all()


@pytest.mark.parametrize("at_least", [0, 1000])
def test_nothing_is_suspected_before_enough_is_known(at_least):
    few = 1.0 if at_least == 0 else 1000.0  # one value has no variance; 1000 are not more than 1000
    odds = match_log_odds(torch.tensor([[-1.0, 0.9, 1.0]]), moments(0.6, 0.1, few), moments(0.3, 0.1), 0.1, at_least)
    assert (odds == -torch.inf).all()
    assert (odds.sigmoid() == 0).all()


def test_far_from_both_means_and_without_spread_the_odds_are_numbers():
    ends = torch.tensor([[-1.0, 1.0]])
    for spread in (0.0, 1e-3, 0.01):
        for monotone in (False, True):
            odds = match_log_odds(ends, moments(0.5, spread), moments(0.4, spread), 1e-4, 200, monotone)
            assert torch.isfinite(odds).all()
            assert odds[0, 1] > odds[0, 0]


def test_right_pairs_and_their_wrong_answers_as_in_a_loop():
    rng = torch.Generator().manual_seed(0)
    cosines = torch.randn(30, 30, generator=rng) * 0.2 + torch.eye(30) * 0.4
    image = torch.arange(30) // 3
    same = image[:, None] == image
    rights, wrongs = [], []
    for i in range(30):
        others = [j for j in range(30) if image[j] != image[i]]
        forth, back = (max(cosines[i, j] for j in others), max(cosines[j, i] for j in others))
        if cosines[i, i] > forth and cosines[i, i] > back:
            rights.append(cosines[i, i].item())
            wrongs += [forth.item(), back.item()]
    assert 5 < len(rights) < 30
    both = torch.stack([hardest(cosines, same)[0], hardest(cosines.T, same)[0]])
    right, wrong = right_and_wrong(cosines.diag(), both)
    for got, values in ((right, torch.tensor(rights).double()), (wrong, torch.tensor(wrongs).double())):
        assert got.count == len(values)
        torch.testing.assert_close(got.mean, values.mean())
        torch.testing.assert_close(got.variance, values.var())


def test_a_tie_is_not_right_and_a_pair_alone_proves_nothing():
    own = torch.tensor([0.5, 0.5, 0.5])
    both = torch.tensor([[0.5, -torch.inf, 0.4], [0.1, -torch.inf, -torch.inf]])
    right, wrong = right_and_wrong(own, both)
    assert (right.count, wrong.count) == (1, 1)


def test_below_zero_the_released_code_counts_zero():
    own, both = torch.tensor([0.5]), torch.tensor([[-0.4], [0.2]])
    assert right_and_wrong(own, both)[1].mean.item() == pytest.approx(-0.1)
    assert right_and_wrong(own, both, zero_own=True)[1].mean.item() == pytest.approx(0.1)


def test_what_is_excluded_is_never_drawn():
    rng = torch.Generator().manual_seed(0)
    weights = torch.rand(1, 50, generator=rng)
    weights[0, torch.randperm(50, generator=rng)[:25]] = 0
    column, found = draw(weights.log().expand(100_000, 50), uniform(0, "test", 0, torch.arange(100_000)))
    assert found.all()
    assert (weights[0, column] > 0).all()
    share = column.bincount(minlength=50) / 100_000
    torch.testing.assert_close(share, weights[0] / weights.sum(), atol=0.004, rtol=0)


@pytest.mark.parametrize("number", [0.0, 1 - 2.0**-24])
def test_the_ends_of_the_numbers_draw_the_ends_of_the_weights(number):
    weights = torch.zeros(1, 70_000)
    weights[0, [10, 20, 60_000]] = torch.tensor([1e-6, 1.0, 1e-6])
    column, found = draw(weights.log(), torch.tensor([number]))
    assert found.all()
    assert column.item() == (10 if number == 0 else 60_000)


@pytest.mark.parametrize("smallest", [-1.0, -69.0, -100.0, -1e6, -1e30])
def test_however_small_the_weights_are_one_is_drawn(smallest):
    log_weight = torch.full((1, 4), -torch.inf)
    log_weight[0, [1, 3]] = smallest
    column, found = draw(log_weight.expand(2, 4), torch.tensor([0.49, 0.51]))
    assert found.all()
    assert column.tolist() == [1, 3]


def test_a_row_without_candidates_says_so():
    column, found = draw(torch.tensor([[0.0, 0.0], [0.0, 0.5]]).log(), torch.tensor([0.9, 0.9]))
    assert found.tolist() == [False, True]
    assert column[1] == 1
    assert 0 <= column[0] < 2


def test_one_number_draws_what_the_distribution_function_says():
    # Weights 1, 0, 2, 1 of a sum of 4: the first below 0.25, the third from there, the last from 0.75.
    weights = torch.tensor([[1.0, 0.0, 2.0, 1.0]]).expand(6, 4)
    numbers = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 0.99])
    assert draw(weights.log(), numbers)[0].tolist() == [0, 0, 2, 2, 3, 3]


def test_the_window_and_its_unit_by_hand():
    # Own pair 0.5, unit 0.1: s = 0.4 is one unit away, exp(-0.5) of it; 0.2 lies below the floor of the anchor.
    cosines, own = torch.tensor([[0.5, 0.4, 0.2]]), torch.tensor([0.5])
    odds = torch.full((1, 3), -torch.inf)
    excluded = torch.tensor([[True, False, False]])
    log_weight = sampling_log_weights(cosines, own, odds, excluded, own[:, None] - 0.2, 9.0, 0.5, 0.001, unit=0.1)
    torch.testing.assert_close(log_weight.exp(), torch.tensor([[0.0, math.exp(-0.5), 0.0]]))


def test_the_hinge_by_hand():
    hinge = triplet_hinge(torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.4, 0.2, -torch.inf]), 0.2)
    torch.testing.assert_close(hinge, torch.tensor([0.1, 0.0, 0.0]))


def test_nothing_waits_for_the_device(monkeypatch):
    """Whatever reads a number out of a tensor would; the numbers of rows are shapes."""
    rng = torch.Generator().manual_seed(0)
    cosines, excluded = torch.rand(8, 20, generator=rng), torch.zeros(8, 20, dtype=torch.bool)

    def refuse(*_):
        raise AssertionError("read from the device")

    for name in ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    both = torch.stack([hardest(cosines, excluded)[0]] * 2)
    right, wrong = right_and_wrong(cosines[:, 0], both)
    odds = match_log_odds(cosines, right, wrong, 0.1, 0)
    log_weight = sampling_log_weights(cosines, cosines[:, 0], odds, excluded, 0.0, 0.5, 0.5, 0.001)
    draw(log_weight, uniform(0, "test", torch.tensor(3), torch.arange(8)))
