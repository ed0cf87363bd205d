"""A judge from outside of the game: what samples are worth against data that no player learns from.

A judge is handed to a training, which asks it some ten times; it never sees the players, and they never see its data.
"""

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.metrics.verdict import Codes, Judge, Verdict

__all__ = ["MAX_VALIDATION_ROWS", "MIN_HALF", "Codes", "Judge", "Verdict", "validation_rows"]

MAX_VALIDATION_ROWS = 4000
MIN_HALF = 100
"""Rows of a half, at the least: with fewer, a judge cannot tell one good model from another."""

_USUAL, _MOST = 10, 5
"""The validation share is 1/10, and at most 1/5 where a tenth is too few."""


def validation_rows(num_rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Choose the rows that are kept from training for a judge, in two halves: one chooses, the other accepts.

    A tenth of the rows, but at least `MIN_HALF` for each half and at most `MAX_VALIDATION_ROWS` in all. Of fewer than
    1,000 rows the two halves would be more than a fifth: then there is no judge.

    Args:
        num_rows: Of the training data.
        seed: Of the choice.

    Returns:
        The rows of the halves, ascending, equally many and different ones; None where there are too few rows.

    Examples:
        >>> [len(half) for half in validation_rows(30_000, seed=0)]
        [1500, 1500]
        >>> validation_rows(900, seed=0) is None
        True
    """
    half = min(max(num_rows // _USUAL, 2 * MIN_HALF), MAX_VALIDATION_ROWS) // 2
    if 2 * half * _MOST > num_rows:
        return None
    chosen = np.random.default_rng(seed).permutation(num_rows)[: 2 * half]
    return np.sort(chosen[:half]), np.sort(chosen[half:])
