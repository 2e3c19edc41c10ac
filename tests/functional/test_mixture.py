import warnings

import numpy as np
import pytest

from hf_noisy_itm.functional.mixture import fit_cosine_mixture, fit_loss_mixture


def two_groups(seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(1.0, 0.2, 1400), rng.normal(4.0, 0.5, 600)])


def density(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def test_the_mixture_finds_the_gaussians_that_the_losses_were_drawn_from():
    mixture = fit_loss_mixture(two_groups())
    assert mixture.means == pytest.approx((1.0, 4.0), abs=0.05)
    assert np.sqrt(mixture.variances) == pytest.approx((0.2, 0.5), abs=0.03)
    assert mixture.shares == pytest.approx((0.7, 0.3), abs=0.01)
    assert mixture.converged


def test_the_posterior_is_bayes_rule_on_what_was_fitted():
    losses = two_groups()
    mixture = fit_loss_mixture(losses)
    clean, noisy = (
        share * density(losses, mean, variance)
        for share, mean, variance in zip(mixture.shares, mixture.means, mixture.variances)
    )
    np.testing.assert_allclose(mixture.clean_posterior, clean / (clean + noisy), atol=1e-9)


def test_the_posterior_tells_the_groups_apart():
    posterior = fit_loss_mixture(two_groups()).clean_posterior
    assert (posterior[:1400] > 0.5).mean() > 0.99
    assert (posterior[1400:] < 0.5).mean() > 0.99


@pytest.mark.parametrize("seed", range(6))
def test_the_clean_component_is_the_one_of_smaller_mean_whatever_the_seed(seed):
    mixture = fit_loss_mixture(two_groups(), seed)
    assert mixture.means[0] < mixture.means[1]
    assert mixture.clean_posterior[:1400].mean() > 0.99


def test_permuting_the_losses_permutes_the_posterior():
    losses = two_groups()
    order = np.random.default_rng(1).permutation(len(losses))
    posterior = fit_loss_mixture(losses).clean_posterior
    np.testing.assert_allclose(fit_loss_mixture(losses[order]).clean_posterior, posterior[order], atol=1e-3)


def test_the_variance_has_a_floor_so_that_two_losses_are_enough():
    mixture = fit_loss_mixture(np.array([0.0, 1.0]))
    assert mixture.variances == pytest.approx((5e-4, 5e-4))
    assert mixture.clean_posterior == pytest.approx([1.0, 0.0])


def test_equal_losses_give_a_posterior_and_no_warning():
    with warnings.catch_warnings(record=True) as caught:
        posterior = fit_loss_mixture(np.full(10, 2.0)).clean_posterior
    assert not caught
    assert ((posterior >= 0) & (posterior <= 1)).all()
    assert np.ptp(posterior) == 0


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf")])
def test_a_loss_that_is_not_finite_is_named(value, word):
    losses = two_groups()
    losses[[17, 40]] = value
    with pytest.raises(ValueError, match=f"Loss 17 of 2000 is {word}"):
        fit_loss_mixture(losses)


@pytest.mark.parametrize("losses", [np.array([]), np.array([1.0]), np.ones((4, 2))])
def test_fewer_than_two_losses_or_a_matrix_are_refused(losses):
    with pytest.raises(ValueError, match="at least two losses"):
        fit_loss_mixture(losses)


def cosines_of_clip(seed=0):
    """1,200 right pairs near 0.30 and 800 wrong ones near 0.15, as the cosines of a CLIP are."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0.30, 0.03, 1200), rng.normal(0.15, 0.03, 800)])


def test_of_cosines_the_higher_component_is_clean_and_told_in_cosines():
    mixture = fit_cosine_mixture(cosines_of_clip())
    assert mixture.means == pytest.approx((0.30, 0.15), abs=0.005)
    assert np.sqrt(mixture.variances) == pytest.approx((0.03, 0.03), abs=0.005)
    assert mixture.shares == pytest.approx((0.6, 0.4), abs=0.01)
    assert mixture.converged
    assert (mixture.clean_posterior[:1200] > 0.5).mean() > 0.98
    assert (mixture.clean_posterior[1200:] < 0.5).mean() > 0.98


def test_cosines_of_any_scale_give_the_same_posterior():
    """A floor of the variance that is made for losses would melt the two components into one."""
    cosines = cosines_of_clip()
    posterior = fit_cosine_mixture(cosines).clean_posterior
    np.testing.assert_allclose(fit_cosine_mixture(0.01 * cosines + 0.9).clean_posterior, posterior, atol=1e-6)


@pytest.mark.parametrize("fit", [fit_loss_mixture, fit_cosine_mixture])
def test_other_scores_get_the_posterior_of_the_fitted_ones(fit):
    scores = two_groups()
    mixture = fit(scores)
    np.testing.assert_allclose(mixture.posterior(scores), mixture.clean_posterior, atol=1e-9)
    best, worst = (-50.0, 1e6) if fit is fit_loss_mixture else (1e6, -50.0)
    assert np.isfinite(mixture.posterior(np.array([best, worst]))).all()
    assert mixture.posterior(np.array([])).shape == (0,)


def test_equal_cosines_give_a_posterior():
    assert np.ptp(fit_cosine_mixture(np.full(10, 0.25)).clean_posterior) == 0


def test_a_cosine_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match="Cosine 1 of 3 is nan"):
        fit_cosine_mixture(np.array([0.1, np.nan, 0.3]))
    with pytest.raises(ValueError, match="at least two cosines"):
        fit_cosine_mixture(np.array([0.1]))
