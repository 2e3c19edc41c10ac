import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.contrastive import info_nce
from hf_noisy_itm.functional.diversity import adaptive_log_weight, spread_of_negatives, uniform_log_weight
from hf_noisy_itm.functional.similarity import normalize


def drawn(seed, rows=4, columns=9):
    generator = torch.Generator().manual_seed(seed)
    cosines = torch.rand(rows, columns, generator=generator) * 2 - 1
    return cosines, torch.rand(rows, columns, generator=generator) < 0.7


def naive(cosines, is_negative, kappa, own=False):
    """The formula anchor by anchor, with the deviation that cancels unless it is the anchor's `own`."""
    kept = [[c for c, there in zip(row, mask) if there] for row, mask in zip(cosines.tolist(), is_negative.tolist())]
    means = [sum(row) / len(row) if row else 0.0 for row in kept]
    spreads = [math.sqrt(sum((c - m) ** 2 for c in row) / len(row)) if row else 0.0 for row, m in zip(kept, means)]
    typical = sum(spreads) / len(spreads)
    weights = torch.zeros(cosines.shape)
    for i, row in enumerate(kept):
        if not row:
            continue
        own_kappa = kappa if own else kappa * spreads[i] / typical
        shares = [math.exp(own_kappa * (c - means[i]) / spreads[i]) if spreads[i] else 1.0 for c in row]
        places = is_negative[i].nonzero().squeeze(1)
        weights[i, places] = torch.tensor([len(row) * share / sum(shares) for share in shares])
    return weights, typical


@given(st.integers(0, 500), st.sampled_from([0.0, 0.25, 1.0, 3.0]))
def test_weights_equal_a_loop_over_anchors(seed, kappa):
    cosines, is_negative = drawn(seed)
    wanted, typical = naive(cosines, is_negative, kappa)
    spread = spread_of_negatives(cosines, is_negative).mean()
    assert spread.item() == pytest.approx(typical, abs=1e-6)
    weights = adaptive_log_weight(cosines, is_negative, kappa, spread).exp()
    torch.testing.assert_close(weights, wanted, atol=1e-5, rtol=1e-4)
    weights = adaptive_log_weight(cosines, is_negative, kappa, spread_of_negatives(cosines, is_negative)).exp()
    torch.testing.assert_close(weights, naive(cosines, is_negative, kappa, own=True)[0], atol=1e-5, rtol=1e-4)


def test_two_anchors_by_hand():
    # Anchor 0 has 0 and 0.2: mean 0.1, deviation 0.1. Anchor 1 has 0 and 0.6: deviation 0.3. Typical: 0.2.
    cosines, all_of_them = torch.tensor([[0.0, 0.2], [0.0, 0.6]]), torch.ones(2, 2, dtype=torch.bool)
    spread = spread_of_negatives(cosines, all_of_them)
    torch.testing.assert_close(spread, torch.tensor([0.1, 0.3]))
    weights = adaptive_log_weight(cosines, all_of_them, 1.0, spread.mean()).exp()
    own = adaptive_log_weight(cosines, all_of_them, 1.0, spread).exp()
    for row in own.tolist():  # standings of -1 and 1 in either
        assert row == pytest.approx([2 / (1 + math.e**2), 2 * math.e**2 / (1 + math.e**2)], rel=1e-5)
    # kappa_0 = 1/2 with standings -1 and 1: the odds are e; kappa_1 = 3/2: e^3.
    for row, odds in zip(weights.tolist(), (math.e, math.e**3)):
        assert row == pytest.approx([2 / (1 + odds), 2 * odds / (1 + odds)], rel=1e-5)


@given(st.integers(0, 500), st.floats(0, 20))
def test_the_weights_of_an_anchor_have_mean_one_and_grow_with_the_cosine(seed, kappa):
    cosines, is_negative = drawn(seed)
    weights = adaptive_log_weight(cosines, is_negative, kappa, spread_of_negatives(cosines, is_negative).mean()).exp()
    torch.testing.assert_close(weights.sum(dim=1), is_negative.sum(dim=1).float(), atol=1e-4, rtol=1e-4)
    for row, mask, weight in zip(cosines, is_negative, weights):
        assert (weight[mask][row[mask].argsort()].diff() >= -1e-5).all()


def test_a_large_kappa_leaves_the_hardest():
    cosines, is_negative = drawn(3)
    weights = adaptive_log_weight(cosines, is_negative, 1e4, torch.tensor(0.3)).exp()
    hardest = cosines.masked_fill(~is_negative, -9).argmax(dim=1)
    torch.testing.assert_close(weights.gather(1, hardest[:, None]).squeeze(1), is_negative.sum(dim=1).float())


def test_kappa_zero_is_momentum_contrast_to_the_last_bit():
    generator = torch.Generator().manual_seed(0)
    anchors, keys, queue = (normalize(torch.randn(n, 6, generator=generator)) for n in (4, 4, 20))
    candidates = torch.cat([keys, queue])
    own, is_negative = torch.arange(4), torch.ones(4, 24, dtype=torch.bool)
    is_negative[:, :4] = False  # MoCo: the own key against the queue
    losses = [
        info_nce(anchors, candidates, own, 14.0, log_weight=weight)
        for weight in (
            lambda cosines: adaptive_log_weight(cosines, is_negative, 0.0, torch.tensor(0.3)),
            lambda cosines: uniform_log_weight(cosines, is_negative),
        )
    ]
    assert torch.equal(*losses)
    for i, loss in enumerate(losses[0].tolist()):
        right = math.exp(14 * float(anchors[i] @ keys[i]))
        wrong = sum(math.exp(14 * float(anchors[i] @ key)) for key in queue)
        assert loss == pytest.approx(-math.log(right / (right + wrong)), rel=1e-4)


def test_rows_without_negatives_and_negatives_without_spread_have_numbers():
    cosines = torch.tensor([[0.3, 0.1, 0.2], [0.4, 0.4, 0.4]])
    is_negative = torch.tensor([[False, False, False], [False, True, True]])
    spread = spread_of_negatives(cosines, is_negative)
    assert spread.tolist() == [0.0, 0.0]
    for unit in (spread, spread.mean()):
        weights = adaptive_log_weight(cosines, is_negative, 1.0, unit).exp()
        assert weights.tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
