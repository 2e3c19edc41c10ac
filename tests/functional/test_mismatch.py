import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hf_noisy_itm.functional.mismatch import (
    add_witness,
    normal_scores,
    probability_wrong,
    signal_weights,
)


def drawn(rate, pairs=6000, apart=4.0, seed=0):
    """Suspicion of pairs, whether they are wrong, suspicion of random partners, and pictures of three captions."""
    rng = np.random.default_rng(seed)
    is_wrong = np.arange(pairs) < rate * pairs
    rng.shuffle(is_wrong)
    own = rng.standard_normal(pairs) + apart * is_wrong
    return own, is_wrong, rng.standard_normal(pairs) + apart, np.arange(pairs) // 3


def test_normal_scores_by_hand():
    """Four values in one order: quantiles of 1/8, 3/8, 5/8, 7/8; equals share a rank."""
    own, wrong = normal_scores(np.array([5.0, 1.0]), np.array([9.0, 7.0]))
    np.testing.assert_allclose(own, [-0.318639, -1.150349], atol=1e-6)
    np.testing.assert_allclose(wrong, [1.150349, 0.318639], atol=1e-6)
    own, wrong = normal_scores(np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    np.testing.assert_allclose([*own, *wrong], 0, atol=1e-12)


@given(st.floats(0.1, 50), st.floats(-5, 5))
def test_a_scale_does_not_matter(factor, shift):
    own, _, wrong, _ = drawn(0.3, 100)
    np.testing.assert_allclose(
        normal_scores(factor * own + shift, factor * wrong + shift)[0], normal_scores(own, wrong)[0]
    )


def test_weights_are_shares_times_what_a_signal_tells():
    rng = np.random.default_rng(0)
    own, _, wrong, _ = drawn(0.4)
    chance = rng.standard_normal((2, len(own)))
    against = -own + rng.standard_normal(len(own)), -wrong + rng.standard_normal(len(wrong))
    scores = [normal_scores(*each) for each in ((own, wrong), tuple(chance), against)]
    own, wrong = (np.stack(each, axis=1) for each in zip(*scores))
    weights = signal_weights(own, wrong, np.array([0.2, 0.2, 0.6]))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.9
    assert weights[2] == 0  # it tells the wrong way round
    twice = signal_weights(own[:, [0, 0, 2]], wrong[:, [0, 0, 2]], np.array([0.1, 0.3, 0.6]))
    np.testing.assert_allclose(twice, [0.25, 0.75, 0])
    nothing = np.zeros((10, 3))
    np.testing.assert_allclose(signal_weights(nothing, nothing, np.array([1.0, 1.0, 2.0])), [0.25, 0.25, 0.5])


def test_probabilities_are_calibrated_and_rise():
    own, is_wrong, wrong, picture = drawn(0.3, apart=2.0)
    probability = probability_wrong(own, wrong, 0.3)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert (np.diff(probability[np.argsort(own)]) >= 0).all()
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        there = (probability >= low) & (probability < high)
        assert probability[there].mean() == pytest.approx(is_wrong[there].mean(), abs=0.06)
    assert not probability_wrong(own, wrong, 0.0).any()


def test_a_witness_that_knows_helps_and_one_that_does_not_is_left_alone():
    own, is_wrong, wrong, _ = drawn(0.3, apart=2.0)
    rng = np.random.default_rng(5)
    probability = probability_wrong(own, wrong, 0.3)
    alone = roc_auc_score(is_wrong, own)
    good = rng.standard_normal(len(own)) + 2.0 * is_wrong
    suspicion, better = add_witness(own, probability, good)
    assert roc_auc_score(is_wrong, suspicion) > alone + 0.03
    assert np.mean((better - is_wrong) ** 2) < np.mean((probability - is_wrong) ** 2)
    for witness in (rng.standard_normal(len(own)), -good, np.full(len(own), 0.7), np.full(len(own), np.nan)):
        assert roc_auc_score(is_wrong, add_witness(own, probability, witness)[0]) > alone - 0.005


def test_what_a_witness_did_not_see_keeps_its_order():
    own, _, wrong, _ = drawn(0.3, 600)
    witness = np.where(np.arange(600) < 300, -own, np.nan) * -1
    suspicion, probability = add_witness(own, probability_wrong(own, wrong, 0.3), witness)
    unseen = slice(300, 600)
    assert (np.argsort(suspicion[unseen]) == np.argsort(own[unseen])).all()
    assert np.isfinite(suspicion).all()
    assert ((probability >= 0) & (probability <= 1)).all()
