"""Per-position category frequencies, their distance, and the trivial baseline that they alone define."""

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.errors import InputError

_ROWS_AT_ONCE = 4096


def category_counts(codes: NDArray[np.integer], num_categories: int) -> NDArray[np.int64]:
    """How often each category stands at each position.

    Args:
        codes: Integers ``[n, *event_shape]`` in ``[0, K)``; may be memory-mapped.
        num_categories: K.

    Returns:
        ``[*event_shape, K]``.

    Raises:
        InputError: If a code is outside [0, K), or there are no codes.
    """
    if codes.size == 0:
        raise InputError(f"codes must hold data, got the shape {list(codes.shape)}")
    positions = int(np.prod(codes.shape[1:]))
    counts = np.zeros(positions * num_categories, np.int64)
    offsets = np.arange(positions) * num_categories
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        rows = np.asarray(codes[start : start + _ROWS_AT_ONCE]).reshape(-1, positions)
        if rows.min() < 0 or rows.max() >= num_categories:
            raise InputError(f"codes must lie in [0, {num_categories}), got {int(rows.min())} to {int(rows.max())}")
        counts += np.bincount((rows + offsets).ravel(), minlength=len(counts))
    return counts.reshape(*codes.shape[1:], num_categories)


def evenly_spaced(num_rows: int, most: int) -> NDArray[np.int64]:
    """Places of ``most`` rows among ``num_rows``, from the first to the last; of all where there are no more."""
    return np.linspace(0, num_rows - 1, min(num_rows, most)).astype(np.int64)


def log_frequencies(codes: NDArray[np.integer], num_categories: int, pseudo_count: float = 1.0) -> NDArray[np.float32]:
    """Logarithms of the per-position frequencies, finite for categories that never occur.

    Args:
        codes: Integers ``[n, *event_shape]`` in ``[0, K)``.
        num_categories: K.
        pseudo_count: Added to each position's count, shared evenly by its categories; positive.

    Returns:
        float32 ``[*event_shape, K]``; each position's frequencies sum to 1.

    Raises:
        InputError: If a code is outside [0, K), or the pseudo-count is not positive.
    """
    if not pseudo_count > 0:
        raise InputError(f"pseudo_count must be positive, got {pseudo_count}")
    counts = category_counts(codes, num_categories) + pseudo_count / num_categories
    frequencies = counts / counts.sum(-1, keepdims=True)
    return np.log(frequencies).astype(np.float32)


def marginal_total_variation(codes_a: NDArray[np.integer], codes_b: NDArray[np.integer], num_categories: int) -> float:
    """``1/2 sum_k |p_a(k) - p_b(k)|``, averaged over positions.

    Args:
        codes_a: Integers ``[n_a, *event_shape]`` in ``[0, K)``.
        codes_b: Integers ``[n_b, *event_shape]`` in ``[0, K)``.
        num_categories: K.

    Returns:
        Between 0 and 1.

    Raises:
        InputError: If the event shapes differ or a code is outside [0, K).
    """
    if codes_a.shape[1:] != codes_b.shape[1:]:
        raise InputError(f"codes must have one event shape, got {codes_a.shape[1:]} and {codes_b.shape[1:]}")
    frequencies_a = category_counts(codes_a, num_categories) / len(codes_a)
    frequencies_b = category_counts(codes_b, num_categories) / len(codes_b)
    return float(0.5 * np.abs(frequencies_a - frequencies_b).sum(-1).mean())


def independent_pixels(codes: NDArray[np.integer], num_samples: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """The trivial model: every position drawn by itself from the data's marginal.

    Args:
        codes: ``[n, *event_shape]``.
        num_samples: How many samples, >= 1.
        rng: Source of the draws.

    Returns:
        ``[num_samples, *event_shape]``, of the dtype of the codes.

    Raises:
        InputError: If ``num_samples`` < 1.
    """
    check_at_least_one(num_samples=num_samples)
    flat = np.asarray(codes).reshape(len(codes), -1)
    rows = rng.integers(len(flat), size=(num_samples, flat.shape[1]))
    return np.take_along_axis(flat, rows, axis=0).reshape(num_samples, *codes.shape[1:])
