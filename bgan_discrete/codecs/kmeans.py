"""k-means on weighted points: enough for the colours of a palette."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS = 100
NUM_RESTARTS = 4

_Float = TypeVar("_Float", np.float32, np.float64)


def weighted_kmeans(
    points: NDArray[np.float64], weights: NDArray[np.int64], num_centres: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Minimise ``sum_i weight_i min_k |point_i - centre_k|^2`` by Lloyd's algorithm from several k-means++ starts.

    Args:
        points: ``[D, C]``, distinct.
        weights: ``[D]``, positive.
        num_centres: K <= D.
        generator: Of the starts.

    Returns:
        The best centres found, ``[K, C]``.
    """
    best, best_cost = points[:num_centres], np.inf
    for _ in range(NUM_RESTARTS):
        centres, cost = _lloyd(points, weights, _plus_plus_start(points, weights, num_centres, generator))
        if cost < best_cost:
            best, best_cost = centres, cost
    return best


def nearest_centre(points: NDArray[_Float], centres: NDArray[_Float]) -> NDArray[np.int64]:
    """The number of the nearest centre for each point, the lowest where several are equally near.

    Args:
        points: ``[B, C]``.
        centres: ``[K, C]``.

    Returns:
        ``[B]``, 0 .. K-1.
    """
    # |x - c|^2 less |x|^2, which is the same for all centres.
    partial = (centres**2).sum(1) - 2 * (points @ centres.T)
    nearest: NDArray[np.int64] = partial.argmin(1)
    return nearest


def _plus_plus_start(
    points: NDArray[np.float64], weights: NDArray[Any], num_centres: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Each next centre is a point drawn in proportion to weight times squared distance to the centres so far."""
    chosen = np.empty(num_centres, dtype=np.int64)
    distance = np.ones(len(points))
    for number in range(num_centres):
        cumulated = np.cumsum(weights * distance)
        # A point at distance 0 has no share: side="right" steps over it, so the centres are distinct.
        chosen[number] = np.searchsorted(cumulated, generator.random() * cumulated[-1], side="right")
        to_chosen = ((points - points[chosen[number]]) ** 2).sum(1)
        distance = to_chosen if number == 0 else np.minimum(distance, to_chosen)
    return points[chosen]


def _lloyd(
    points: NDArray[np.float64], weights: NDArray[Any], centres: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    assigned: NDArray[np.int64] | None = None
    for _ in range(MAX_ITERATIONS):
        before, assigned = assigned, nearest_centre(points, centres)
        if before is not None and np.array_equal(before, assigned):
            break
        centres = _means(points, weights, assigned, centres)
    distance = ((points - centres[nearest_centre(points, centres)]) ** 2).sum(1)
    return centres, float((weights * distance).sum())


def _means(
    points: NDArray[np.float64], weights: NDArray[Any], assigned: NDArray[np.int64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted mean of the points of each centre; a centre without points moves to the point that is worst served."""
    num_centres = len(centres)
    total = np.bincount(assigned, weights, num_centres)
    sums = np.stack([np.bincount(assigned, weights * column, num_centres) for column in points.T], axis=1)
    means = sums / np.maximum(total, 1)[:, None]
    empty = np.flatnonzero(total == 0)
    if len(empty):
        distance = weights * ((points - centres[assigned]) ** 2).sum(1)
        means[empty] = points[np.argsort(-distance, kind="stable")[: len(empty)]]
    return means
