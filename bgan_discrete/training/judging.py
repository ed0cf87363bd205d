"""Which training data a judge is given.

A judge from outside of the game (`bgan_discrete.metrics.verdict`) is handed to a training, which asks it some ten
times; it never sees the players, and they never see its data.
"""

import numpy as np
from numpy.typing import NDArray

SHARE, MAX_ROWS = 10, 4000
"""A tenth of the rows are kept back, but no more than these."""

MIN_HALF = 100
"""Rows of a half, at the least: with fewer, a judge cannot tell one good model from another."""

MIN_ROWS = SHARE * 2 * MIN_HALF
"""Training rows with which there is a judge."""


def validation_rows(num_rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Choose the rows that are kept from training for a judge, in two halves: one chooses, the other accepts.

    They are a tenth of the rows, but at most `MAX_ROWS`. Where a half would have fewer than `MIN_HALF`, with fewer than
    2,000 rows in all, there is no judge.

    Args:
        num_rows: Of the training data.
        seed: Of the choice.

    Returns:
        The rows of the halves, ascending, equally many and different ones; None where there are too few rows.

    Examples:
        >>> [len(half) for half in validation_rows(30_000, seed=0)]
        [1500, 1500]
        >>> validation_rows(1900, seed=0) is None
        True
    """
    half = min(num_rows // SHARE, MAX_ROWS) // 2
    if half < MIN_HALF:
        return None
    chosen = np.random.default_rng(seed).permutation(num_rows)[: 2 * half]
    return np.sort(chosen[:half]), np.sort(chosen[half:])
