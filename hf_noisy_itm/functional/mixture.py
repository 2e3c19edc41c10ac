"""Which of many pairs are clean by their scores: a mixture of two Gaussians."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture


@dataclass(frozen=True)
class CleanMixture:
    """A fitted mixture; of each couple of numbers the first is of the clean component.

    Args:
        clean_posterior: of each score that was fitted, (N,) in [0, 1].
        means: lower first for losses, higher first for cosines.
        variances: of the components.
        shares: of the components; they add up to 1.
        converged: whether expectation-maximisation came to an end.
    """

    clean_posterior: np.ndarray
    means: tuple[float, float]
    variances: tuple[float, float]
    shares: tuple[float, float]
    converged: bool

    def posterior(self, scores: np.ndarray) -> np.ndarray:
        """The clean component's posterior of other scores, (M,) -> (M,) in [0, 1]."""
        clean, other = (
            np.log(share) - (np.log(variance) + (np.asarray(scores, dtype=np.float64) - mean) ** 2 / variance) / 2
            for mean, variance, share in zip(self.means, self.variances, self.shares)
        )
        return expit(clean - other)


def fit_loss_mixture(losses: np.ndarray, seed: int = 0) -> CleanMixture:
    """Fits two Gaussians to the losses of all pairs by expectation-maximisation (scikit-learn).

    Clean is the component with the smaller mean. Constants are those of NPC's release: 100 iterations, tolerance 1e-2,
    variance floor 5e-4.

    Args:
        losses: one per pair, (N,), finite, N >= 2.
        seed: of the k-means start.

    Raises:
        ValueError: fewer than two losses, or one that is not finite (its position is named).
    """
    losses = _checked(losses, "loss", "losses")
    mixture = GaussianMixture(2, max_iter=100, tol=1e-2, reg_covar=5e-4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # reported in `converged`
        posterior = mixture.fit(losses[:, None]).predict_proba(losses[:, None])  # (N, 2)
    order = np.argsort(mixture.means_[:, 0], kind="stable")

    def in_order(values: np.ndarray) -> tuple[float, float]:
        return float(values.ravel()[order[0]]), float(values.ravel()[order[1]])

    return CleanMixture(
        clean_posterior=posterior[:, order[0]],
        means=in_order(mixture.means_),
        variances=in_order(mixture.covariances_),
        shares=in_order(mixture.weights_),
        converged=bool(mixture.converged_),
    )


def fit_cosine_mixture(cosines: np.ndarray, seed: int = 0) -> CleanMixture:
    """The same for the cosine of each pair's picture and caption: clean is the component with the larger mean.

    Cosines are standardised first (ours): those of a CLIP differ by hundredths, and the variance floor is for losses.

    Args:
        cosines: one per pair, (N,), finite, N >= 2.
        seed: of the k-means start.

    Raises:
        ValueError: as for losses.
    """
    cosines = _checked(cosines, "cosine", "cosines")
    centre, scale = cosines.mean(), cosines.std() or 1.0
    mixture = fit_loss_mixture((centre - cosines) / scale, seed)
    return CleanMixture(
        clean_posterior=mixture.clean_posterior,
        means=tuple(float(centre - scale * mean) for mean in mixture.means),
        variances=tuple(float(scale**2 * variance) for variance in mixture.variances),
        shares=mixture.shares,
        converged=mixture.converged,
    )


def _checked(scores: np.ndarray, one: str, many: str) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or len(scores) < 2:
        raise ValueError(f"A mixture needs at least two {many} in one dimension, got shape {scores.shape}.")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(
            f"{one.capitalize()} {row} of {len(scores)} is {scores[row]}: the scoring model is broken for that pair."
        )
    return scores
