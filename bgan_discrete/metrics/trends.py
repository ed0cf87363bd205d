"""How alike columns and pairs of columns are, as sdmetrics defines it: computed here from the published definitions.

Both scores are between 0 and 1, the best.

Source: the documentation of SDMetrics, "Quality report": KSComplement, TVComplement, CorrelationSimilarity and
ContingencySimilarity (https://docs.sdv.dev/sdmetrics).
"""

import math

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.metrics.table_rows import TableColumns, TableRows

NUM_BINS = 10
"""Bins of equal width that numbers are cut into where they meet categories."""

Floats = NDArray[np.float64]


def column_shapes(rows: TableRows, real: TableRows, columns: TableColumns) -> Floats:
    """How alike each column is by itself.

    Args:
        rows: To be scored.
        real: To be scored by.
        columns: Of both.

    Returns:
        ``[P]``: of numbers 1 minus the Kolmogorov-Smirnov distance of those that are not missing, else 1 minus the
        total variation.
    """
    found = np.empty(len(columns.names))
    for place, (is_number, size) in enumerate(zip(columns.is_number, columns.sizes, strict=True)):
        if is_number:
            found[place] = 1 - _largest_gap(rows.values[:, place], real.values[:, place])
        else:
            found[place] = 1 - _variation(rows.codes[:, place], real.codes[:, place], size)
    return found


def pair_trends(rows: TableRows, real: TableRows, columns: TableColumns, pairs: NDArray[np.int64]) -> Floats:
    """How alike pairs of columns are.

    Args:
        rows: To be scored.
        real: To be scored by.
        columns: Of both.
        pairs: Places of columns, ``[pairs, 2]``.

    Returns:
        ``[pairs]``: of two columns of numbers 1 minus half the difference of their correlations, NaN where one of them
        is constant; else 1 minus the total variation of both columns together, numbers cut into `NUM_BINS` bins of
        equal width over the real ones.
    """
    sides = [[_categories(side, real, columns, place) for place in range(len(columns.names))] for side in (rows, real)]
    sizes = [NUM_BINS + 1 if known else size for known, size in zip(columns.is_number, columns.sizes, strict=True)]
    found = np.empty(len(pairs))
    for place, (i, j) in enumerate(pairs.tolist()):
        if columns.is_number[i] and columns.is_number[j]:
            own, other = (_correlation(side.values[:, i], side.values[:, j]) for side in (rows, real))
            found[place] = 1 - abs(own - other) / 2
        else:
            joint = [side[i] * sizes[j] + side[j] for side in sides]
            found[place] = 1 - _variation(joint[0], joint[1], sizes[i] * sizes[j])
    return found


def _categories(rows: TableRows, real: TableRows, columns: TableColumns, place: int) -> NDArray[np.int64]:
    """The codes of a column, or the bins of its numbers, of which the last one means missing."""
    if not columns.is_number[place]:
        return rows.codes[:, place].astype(np.int64)
    values, known = rows.values[:, place], real.values[:, place]
    known = known[~np.isnan(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    inner = np.linspace(low, high, NUM_BINS + 1)[1:-1]
    bins = np.searchsorted(inner, np.nan_to_num(values), side="right")
    return np.where(np.isnan(values), NUM_BINS, bins)


def _largest_gap(a: Floats, b: Floats) -> float:
    """The Kolmogorov-Smirnov distance of numbers that are not missing; 1 where only one side has any."""
    a, b = (np.sort(side[~np.isnan(side)]) for side in (a, b))
    if not (len(a) and len(b)):
        return float(len(a) != len(b))
    points = np.concatenate([a, b])
    shares = [np.searchsorted(side, points, side="right") / len(side) for side in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _variation(a: NDArray[np.integer], b: NDArray[np.integer], size: int) -> float:
    a, b = a.astype(np.int64), b.astype(np.int64)
    if size > 2**18:
        known, places = np.unique(np.concatenate([a, b]), return_inverse=True)
        size, (a, b) = len(known), np.split(places, [len(a)])
    shares = [np.bincount(side, minlength=size) / len(side) for side in (a, b)]
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson's, of rows that have both; NaN where one is constant."""
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    if len(a) < 2 or a.min() == a.max() or b.min() == b.max():
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
