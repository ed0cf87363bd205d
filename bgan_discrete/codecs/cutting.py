"""How a column of numbers is cut into bins, and what is kept of the numbers in each: their quantile function."""

import heapq
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.columns import MOST_DECIMALS, BinnedColumn, Piece

MAX_BINS = 256
PIECES = 8
"""Of the quantile function of a bin, each with the first and the last of its numbers."""

_LONG = 2**53
"""From here on floating-point numbers are not all integers."""


def default_bins(rows: int) -> int:
    """The bins of so many numbers where no other count is asked for: twice the cube root, 8 .. 256 (Rice's rule)."""
    return min(max(round(2 * rows ** (1 / 3)), 8), MAX_BINS)


def cut_column(
    name: str, numbers: Sequence[Any], bins: int, missing: bool, form: str | None = None, marks: tuple[str, ...] = ()
) -> BinnedColumn:
    """The column of some numbers, in at most so many bins of equally many rows.

    Args:
        name: Of the column.
        numbers: At least one, integers or finite floating-point numbers.
        bins: >= 2.
        missing: Whether the column has missing values too.
        form: In which they are written, of dates and times.
        marks: Texts that stand among them.

    Returns:
        The column.
    """
    ordered = sorted(numbers if all(isinstance(number, int) for number in numbers) else map(_float_of, numbers))
    # Bins are of floating-point numbers, which integers beyond 2^53 may not be.
    floats = np.array(ordered, float)
    are_exact = not isinstance(ordered[0], int) or all(float(number) == number for number in ordered)
    written = ordered if are_exact else floats.tolist()
    # Numbers of the data, so that no bin is empty.
    edges = [*(written[place] for place in _bin_starts(floats, bins)), written[-1]]
    inside = np.searchsorted(np.array(edges[1:-1], float), floats, side="right")
    begins = [*np.searchsorted(inside, np.arange(len(edges) - 1)).tolist(), len(ordered)]
    medians, pieces = [], []
    for begin, end in itertools.pairwise(begins):
        medians.append(ordered[(begin + end - 1) // 2])
        pieces.append(_pieces_of(ordered[begin:end], floats[begin:end]))
    decimals, step = _grid_of(ordered, floats)
    return BinnedColumn(name, tuple(edges), tuple(medians), missing, tuple(pieces), decimals, step, form, marks)


def _float_of(number: float) -> float:
    """With 0.0 for -0.0."""
    return float(number) + 0.0


def _pieces_of(ordered: Sequence[float], floats: NDArray[np.float64]) -> tuple[Piece, ...]:
    """The pieces of the quantile function of ascending numbers; a frequent number has its own, and of few each has."""
    _, firsts, counts = np.unique(floats, return_index=True, return_counts=True)
    starts = firsts
    if len(firsts) > PIECES:
        is_frequent = counts * PIECES >= len(floats)
        after = (firsts + counts)[is_frequent]
        cut = np.searchsorted(floats, floats[_bin_starts(floats, PIECES)])
        starts = np.concatenate([cut, firsts[is_frequent], after[after < len(floats)]])
    ends = [*np.unique(starts).tolist(), len(ordered)]
    return tuple((ordered[begin], ordered[end - 1], end - begin) for begin, end in itertools.pairwise(ends))


def _grid_of(ordered: Sequence[float], floats: NDArray[np.float64]) -> tuple[int | None, int]:
    """Decimals of ascending numbers, None for more than `MOST_DECIMALS`, and the largest step that they are apart by.

    The step is in units of the last decimal: that of 9.99, 14.99 and 24.99 is 500.
    """
    if isinstance(ordered[0], int):
        return 0, math.gcd(*(number - ordered[0] for number in set(ordered))) or 1  # type: ignore[arg-type]
    for decimals in range(MOST_DECIMALS + 1):
        units = np.rint(floats * 10**decimals)
        if np.abs(units).max() >= _LONG:
            break
        if (units / 10**decimals == floats).all():
            return decimals, int(np.gcd.reduce((units - units[0]).astype(np.int64))) or 1
    return None, 1


def _bin_starts(ordered: NDArray[np.float64], bins: int) -> list[int]:
    """Rows whose numbers begin the bins of ascending numbers: as many as asked, if there are so many numbers.

    The bins are cut at quantiles, but a number that fills a bin has one of its own and takes none from the others.
    """
    _, firsts, counts = np.unique(ordered, return_index=True, return_counts=True)
    is_heavy = counts * bins >= len(ordered)
    if not is_heavy.any():
        # The least number at or above each share of the rows.
        return [max(math.ceil(part * len(ordered) / bins) - 1, 0) for part in range(bins)]
    places = np.flatnonzero(is_heavy).tolist()
    ends = [*firsts.tolist(), len(ordered)]
    between = zip([0, *(place + 1 for place in places)], [*places, len(firsts)], strict=True)
    gaps = [(ends[begin], ends[end], end - begin) for begin, end in between if begin < end]
    shares = _share_bins([(end - begin, numbers) for begin, end, numbers in gaps], bins - len(places))
    starts = [ends[place] for place in places]
    for (begin, end, _), share in zip(gaps, shares, strict=True):
        if share:
            starts += [begin + start for start in _bin_starts(ordered[begin:end], share)]
    # What is left without a bin of its own goes to the number before it, or else to the first.
    return [0, *sorted(starts)[1:]]


def _share_bins(gaps: Sequence[tuple[int, int]], bins: int) -> list[int]:
    """Bins for each gap, of which rows and different numbers are given: one for the largest, the others by rows."""
    shares = [0] * len(gaps)
    waiting = [(-math.inf, -rows, place) for place, (rows, _) in enumerate(gaps)]
    heapq.heapify(waiting)
    while waiting and sum(shares) < bins:
        _, _, place = heapq.heappop(waiting)
        rows, numbers = gaps[place]
        shares[place] += 1
        if shares[place] < numbers:
            heapq.heappush(waiting, (-rows / shares[place], -rows, place))
    return shares
