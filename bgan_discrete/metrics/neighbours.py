"""Figures from nearest neighbours: two-sample accuracy, precision and its kin, copies of the training data."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError

_ROWS_AT_ONCE = 1024
_RELATIVE_TIE = 1e-9
"""Squared distances that differ by less than this share of the largest are equal: rounding must not break ties."""

PRODUCTS_MAX_CATEGORIES = 4
"""Up to this K equal codes are counted by products of matrices, whose time grows with K; above, by comparing bytes."""

COMPARED_AT_ONCE = 2048
"""References that are compared at once: memory does not grow with their number."""

Features = NDArray[np.floating]
Codes = NDArray[np.integer]


def squared_distances(a: Features, b: Features) -> NDArray[np.float64]:
    """``|a_i - b_j|^2``, in float64, never negative.

    Args:
        a: ``[n, D]``.
        b: ``[m, D]``.

    Returns:
        ``[n, m]``.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    # About a common centre the squares are small, so that little is lost in their difference.
    centre = b.mean(0)
    a, b = a - centre, b - centre
    distances = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * (a @ b.T)
    return np.maximum(distances, 0, out=distances)


@dataclass(frozen=True)
class TwoSampleAccuracy:
    """Accuracy of a leave-one-out 1-nearest-neighbour classifier of real against generated.

    Attributes:
        accuracy: Of all; 0.5 for two sets from one distribution, 1 for sets that are apart, below 0.5 for copies.
        real: On the real samples: high where generated samples miss a part of the data.
        fake: On the generated samples: high where they lie outside the data, or in few places.
    """

    accuracy: float
    real: float
    fake: float


def nearest_neighbour_accuracy(real: Features, fake: Features) -> TwoSampleAccuracy:
    """Leave-one-out 1-nearest-neighbour two-sample test; a tie counts by the share of the tied neighbours.

    Args:
        real: ``[n, D]``, n >= 2.
        fake: ``[n, D]``, as many.

    Returns:
        The accuracies.

    Raises:
        InputError: If the sets differ in size or width, or have fewer than two rows.

    Source:
        Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (2017).

    Examples:
        >>> points = np.random.default_rng(0).normal(size=(200, 2))
        >>> nearest_neighbour_accuracy(points[:100], points[100:] + 9).accuracy
        1.0
    """
    if len(real) != len(fake) or len(real) < 2:
        raise InputError(f"real and fake must have one number of rows, at least 2, got {len(real)} and {len(fake)}")
    _check_width(real, fake)
    points = np.concatenate([real, fake]).astype(np.float64)
    is_real = np.arange(len(points)) < len(real)
    correct = np.empty(len(points))
    for start in range(0, len(points), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(points)))
        distances = squared_distances(points[rows], points)
        tolerance = _RELATIVE_TIE * max(distances.max(), 1e-300)
        distances[rows - start, rows] = np.inf
        nearest = distances <= distances.min(1, keepdims=True) + tolerance
        same_kind = is_real[rows][:, None] == is_real
        correct[rows] = (nearest & same_kind).sum(1) / nearest.sum(1)
    return TwoSampleAccuracy(float(correct.mean()), float(correct[is_real].mean()), float(correct[~is_real].mean()))


def precision_recall_density_coverage(real: Features, fake: Features, k: int = 5) -> dict[str, float]:
    """How two sets cover each other, by balls that reach to the k-th neighbour of their own set.

    Args:
        real: ``[n, D]``, n > k.
        fake: ``[m, D]``, m > k.
        k: Neighbours that define a ball, not counting the centre.

    Returns:
        ``precision``: share of generated samples inside a real ball; ``recall``: share of real samples inside a
        generated ball; ``density``: mean number of real balls around a generated sample, divided by k, about 1 is
        right, more is possible; ``coverage``: share of real balls with a generated sample inside.

    Raises:
        InputError: If a set has no more than k rows, or the widths differ.

    Source:
        Kynkäänniemi et al., "Improved precision and recall metric" (2019); Naeem et al., "Reliable fidelity and
        diversity metrics" (2020), equations 3 to 6.
    """
    if min(len(real), len(fake)) <= k or k < 1:
        raise InputError(f"real and fake must have more than k = {k} rows each, got {len(real)} and {len(fake)}")
    _check_width(real, fake)
    real_radius, fake_radius = _kth_distance(real, k), _kth_distance(fake, k)
    distances = squared_distances(real, fake)
    in_real_ball = distances < real_radius[:, None]
    return {
        "precision": float(in_real_ball.any(0).mean()),
        "recall": float((distances < fake_radius).any(1).mean()),
        "density": float(in_real_ball.sum(0).mean() / k),
        "coverage": float((distances.min(1) < real_radius).mean()),
    }


def hamming_to_nearest(
    codes: NDArray[np.integer], references: NDArray[np.integer], num_categories: int
) -> NDArray[np.float64]:
    """Hamming distance of each sample to the nearest reference, as a share of the positions; 0 is a copy.

    Args:
        codes: Integers ``[n, *event_shape]`` in ``[0, K)``.
        references: Integers ``[m, *event_shape]`` in ``[0, K)``, m >= 1.
        num_categories: K.

    Returns:
        ``[n]``, between 0 and 1.

    Raises:
        InputError: If the event shapes differ, or there is no reference.
    """
    if codes.shape[1:] != references.shape[1:] or len(references) == 0:
        raise InputError(f"references must be [m, {codes.shape[1:]}] with m >= 1, got {list(references.shape)}")
    a, b = codes.reshape(len(codes), -1), references.reshape(len(references), -1)
    count = _equal_by_products if num_categories <= PRODUCTS_MAX_CATEGORIES else _equal_by_bytes
    most = np.zeros(len(a), np.int64)
    for start in range(0, len(b), COMPARED_AT_ONCE):
        most = np.maximum(most, count(a, b[start : start + COMPARED_AT_ONCE], num_categories))
    return 1 - most / a.shape[1]


def _equal_by_products(a: Codes, b: Codes, num_categories: int) -> NDArray[np.int64]:
    """Most positions ``[n]`` in which a row of ``b [m, P]`` equals each of ``a [n, P]``: category by category."""
    equal = np.zeros((len(a), len(b)), np.float32)
    for category in range(num_categories):
        has_a, has_b = a == category, b == category
        if has_a.any() and has_b.any():
            # A product of matrices counts where both have it; sums of ones are exact.
            equal += has_a.astype(np.float32) @ has_b.astype(np.float32).T
    return equal.max(1).astype(np.int64)


def _equal_by_bytes(a: Codes, b: Codes, num_categories: int) -> NDArray[np.int64]:
    """The same, at each position with all of ``b`` at once; what is true is a byte of 1, and is summed as bytes."""
    columns = np.ascontiguousarray(b.T)
    is_equal = np.empty(columns.shape, np.bool_)
    most = np.empty(len(a), np.int64)
    for number, row in enumerate(a):
        np.equal(columns, row[:, None], out=is_equal)
        ones = is_equal.view(np.uint8)
        total = np.zeros(len(b), np.int64)
        for start in range(0, len(ones), 255):  # the most that a byte holds
            total += np.add.reduce(ones[start : start + 255], 0, dtype=np.uint8)
        most[number] = total.max()
    return most


def _kth_distance(points: Features, k: int) -> NDArray[np.float64]:
    """Squared distance of each point to its k-th neighbour."""
    distances = squared_distances(points, points)
    # The k + 1 smallest include the point itself at distance 0, which rounding may have moved.
    np.fill_diagonal(distances, 0)
    return np.partition(distances, k, axis=1)[:, k]


def _check_width(real: Features, fake: Features) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise InputError(f"real and fake must be [n, D] of one width, got {list(real.shape)} and {list(fake.shape)}")


def share_repeated(items: Iterable[Hashable]) -> float:
    """Share of the items that are there more than once: about how often a new one of their kind is among them.

    Source: Good, "The population frequencies of species and the estimation of population parameters" (1953).
    """
    counts = Counter(items)
    return sum(count for count in counts.values() if count > 1) / max(counts.total(), 1)
