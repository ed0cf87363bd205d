"""The Fréchet distance between two sets of features."""

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError


def frechet_distance(features_a: NDArray[np.floating], features_b: NDArray[np.floating]) -> float:
    """``|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))``, with unbiased covariances.

    The trace of the square root is the sum of the singular values of ``A B^T``, where ``A`` and ``B`` are the centred
    features divided by ``sqrt(n - 1)``: exact for covariances of any rank, and never complex.

    Args:
        features_a: ``[n_a, D]``, n_a >= 2.
        features_b: ``[n_b, D]``, n_b >= 2.

    Returns:
        The distance, >= 0, in squared units of the features.

    Raises:
        InputError: If a set has fewer than two rows, or the widths differ.

    Source:
        Heusel et al., "GANs trained by a two time-scale update rule" (2017), equation 6.

    Examples:
        >>> features = np.random.default_rng(0).normal(size=(1000, 2))
        >>> round(frechet_distance(features, features + 3), 6)  # the means differ by 3 in both features
        18.0
    """
    for name, features in (("features_a", features_a), ("features_b", features_b)):
        if features.ndim != 2 or len(features) < 2:
            raise InputError(f"{name} must be [n, D] with at least 2 rows, got {list(features.shape)}")
    if features_a.shape[1] != features_b.shape[1]:
        raise InputError(f"features must have one width, got {features_a.shape[1]} and {features_b.shape[1]}")
    mean_a, factor_a = _mean_and_factor(features_a)
    mean_b, factor_b = _mean_and_factor(features_b)
    # A singular value is never negative, so neither is the trace; rounding may still leave the sum a little below 0.
    trace = float(np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum())
    spread = float((factor_a**2).sum() + (factor_b**2).sum())
    return max(0.0, float(((mean_a - mean_b) ** 2).sum()) + spread - 2 * trace)


def _mean_and_factor(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean, and a matrix ``F`` of at most D rows with ``F^T F`` the covariance."""
    features = np.asarray(features, dtype=np.float64)
    mean = features.mean(0)
    factor = (features - mean) / np.sqrt(len(features) - 1)
    if len(factor) > factor.shape[1]:
        # The triangular factor has the same product and only D rows.
        factor = np.linalg.qr(factor, mode="r")
    return mean, factor
