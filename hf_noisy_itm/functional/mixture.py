"""Which of many losses belong to clean pairs: a mixture of two Gaussians."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture


@dataclass(frozen=True)
class LossMixture:
    """A fitted mixture: posterior of the component with the smaller mean, (N,) in [0, 1], and what was fitted."""

    clean_posterior: np.ndarray
    means: tuple[float, float]  # smaller first
    variances: tuple[float, float]
    shares: tuple[float, float]
    converged: bool


def fit_loss_mixture(losses: np.ndarray, seed: int = 0) -> LossMixture:
    """Fits two Gaussians to the losses of all pairs by expectation-maximisation (scikit-learn).

    Constants are those of NPC's release: 100 iterations, tolerance 1e-2, variance floor 5e-4.

    Args:
        losses: one per pair, (N,), finite, N >= 2.
        seed: of the k-means start.

    Returns:
        The fitted mixture.

    Raises:
        ValueError: fewer than two losses, or one that is not finite (its position is named).
    """
    losses = np.asarray(losses, dtype=np.float64)
    if losses.ndim != 1 or len(losses) < 2:
        raise ValueError(f"A mixture needs at least two losses in one dimension, got shape {losses.shape}.")
    if not np.isfinite(losses).all():
        row = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise ValueError(f"Loss {row} of {len(losses)} is {losses[row]}: the scoring model is broken for that pair.")
    mixture = GaussianMixture(2, max_iter=100, tol=1e-2, reg_covar=5e-4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # reported in `converged`
        posterior = mixture.fit(losses[:, None]).predict_proba(losses[:, None])  # (N, 2)
    order = np.argsort(mixture.means_[:, 0], kind="stable")

    def in_order(values: np.ndarray) -> tuple[float, float]:
        return float(values.ravel()[order[0]]), float(values.ravel()[order[1]])

    return LossMixture(
        clean_posterior=posterior[:, order[0]],
        means=in_order(mixture.means_),
        variances=in_order(mixture.covariances_),
        shares=in_order(mixture.weights_),
        converged=bool(mixture.converged_),
    )
