"""What a report draws of a table: shares of each column and of pairs of columns, real and of samples, worst first."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.metrics.table_rows import TableColumns, TableRows

MAX_BARS, MAX_SIDE = 12, 10
"""Bars of a column, and rows and columns of the picture of a pair: the rest of the values are one of them."""

NUM_INTERVALS = 24
"""Intervals of equal width that numbers as written are drawn in."""

MAX_COLUMNS, MAX_PICTURES = 60, 9
"""Columns, and pairs of them, that a report draws."""

MAX_OF_COLUMN = 3
"""Pairs that a column is drawn in: where it is bad by itself, all of its pairs are."""

OUTER = 0.005
"""Share of the real numbers on each side that the outermost intervals hold."""

OTHERS = "all others"
_LETTERS = 24
_BIN = re.compile(r"\[(\S+), (\S+[)\]])")

Groups = NDArray[np.int64]


def column_profiles(
    samples: TableRows, heldout: TableRows, training: TableRows, columns: TableColumns
) -> list[dict[str, Any]]:
    """Each column's shares, the worst first: by how much farther samples are from the training rows than real rows.

    Args:
        samples: A block of samples.
        heldout: As many held-out rows.
        training: Training rows.
        columns: Of all of them.

    Returns:
        For each of at most `MAX_COLUMNS` columns plain JSON types: ``name``, ``is_number``, ``variation`` of the groups
        that are drawn, its ``floor``, and ``bars``: name, real share and share of the samples of each group.
    """
    found: list[dict[str, Any]] = []
    for place, name in enumerate(columns.names):
        names, of = _bars(training, columns, place)
        real, own, floor = (_shares(of(rows), len(names)) for rows in (training, samples, heldout))
        found.append(
            {
                "name": name,
                "is_number": columns.is_number[place],
                "variation": _rounded(0.5 * np.abs(own - real).sum()),
                "floor": _rounded(0.5 * np.abs(floor - real).sum()),
                "bars": [[n, _rounded(a), _rounded(b)] for n, a, b in zip(names, real, own, strict=True)],
            }
        )
    return sorted(found, key=lambda entry: entry["floor"] - entry["variation"])[:MAX_COLUMNS]


def pair_profiles(
    samples: TableRows, heldout: TableRows, training: TableRows, columns: TableColumns, pairs: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Differences of the joint shares of pairs of columns, the worst first; arguments as of `column_profiles`.

    Returns:
        For each of at most `MAX_PICTURES` pairs plain JSON types: ``names`` of the two columns, ``variation`` of what
        is drawn, its ``floor``, ``rows`` and ``columns``, the names of the groups, and ``difference`` and ``real``:
        for each row its cells, as shares of all rows.
    """
    groups = [_sides(training, columns, place) for place in range(len(columns.names))]
    grouped = [[of(rows) for _, of in groups] for rows in (training, samples, heldout)]
    scored = []
    for i, j in pairs.tolist():
        size = len(groups[i][0]) * len(groups[j][0])
        real, own, floor = (_shares(g[i] * len(groups[j][0]) + g[j], size) for g in grouped)
        variation, least = 0.5 * np.abs(own - real).sum(), 0.5 * np.abs(floor - real).sum()
        scored.append((least - variation, i, j, variation, least, own - real, real))
    found: list[dict[str, Any]] = []
    drawn = np.zeros(len(groups), np.int64)
    for _, i, j, variation, least, difference, real in sorted(scored, key=lambda entry: entry[:3]):
        if len(found) == MAX_PICTURES or max(drawn[i], drawn[j]) == MAX_OF_COLUMN:
            continue
        drawn[[i, j]] += 1
        shape = len(groups[i][0]), len(groups[j][0])
        found.append(
            {
                "names": [columns.names[i], columns.names[j]],
                "variation": _rounded(variation),
                "floor": _rounded(least),
                "rows": groups[i][0],
                "columns": groups[j][0],
                "difference": [[_rounded(cell) for cell in row] for row in difference.reshape(shape)],
                "real": [[_rounded(cell) for cell in row] for row in real.reshape(shape)],
            }
        )
    return found


def _bars(training: TableRows, columns: TableColumns, place: int) -> tuple[list[str], Any]:
    """Names of the groups that a column is drawn in, and what gives the group of each of some rows."""
    if columns.is_number[place] and columns.as_written and columns.sizes[place] > MAX_BARS:
        return _intervals(training, columns, place)
    if columns.is_number[place]:
        return _neighbours(training, columns, place, NUM_INTERVALS)
    return _frequent(training, columns, place, MAX_BARS)


def _sides(training: TableRows, columns: TableColumns, place: int) -> tuple[list[str], Any]:
    if columns.is_number[place]:
        return _neighbours(training, columns, place, MAX_SIDE)
    return _frequent(training, columns, place, MAX_SIDE)


def _frequent(training: TableRows, columns: TableColumns, place: int, most: int) -> tuple[list[str], Any]:
    """The most frequent values, in the order of their codes where all are shown; else by how frequent they are."""
    names = columns.categories[place]
    counts = np.bincount(training.codes[:, place].astype(np.int64), minlength=len(names))
    present = np.flatnonzero(counts)
    if len(present) == len(names) <= most:
        return [_short(name) for name in names], lambda rows: rows.codes[:, place].astype(np.int64)
    order = np.argsort(-counts, kind="stable")[: min(most - 1, len(present))]
    group = np.full(len(names), len(order))
    group[order] = np.arange(len(order))
    return [*(_short(names[code]) for code in order), OTHERS], lambda rows: group[rows.codes[:, place].astype(np.int64)]


def _neighbours(training: TableRows, columns: TableColumns, place: int, most: int) -> tuple[list[str], Any]:
    """Codes in their order, with neighbours together so that at most so many groups have about equally many rows."""
    names = columns.categories[place]
    counts = np.bincount(training.codes[:, place].astype(np.int64), minlength=len(names))
    group = np.arange(len(names))
    if len(names) > most:
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()
        group = np.unique(np.minimum((middle * most).astype(np.int64), most - 1), return_inverse=True)[1]
    of_group = [[names[code] for code in np.flatnonzero(group == number)] for number in range(int(group.max()) + 1)]
    joined = [_short(own[0] if len(own) == 1 else _from_to(own[0], own[-1])) for own in of_group]
    return joined, lambda rows: group[rows.codes[:, place].astype(np.int64)]


def _from_to(first: str, last: str) -> str:
    """The name of neighbours: of bins, such as ``[10, 25)``, one that reaches over all of them."""
    ends = [_BIN.fullmatch(name) for name in (first, last)]
    return f"[{ends[0][1]}, {ends[1][2]}" if ends[0] and ends[1] else f"{first} … {last}"


def _intervals(training: TableRows, columns: TableColumns, place: int) -> tuple[list[str], Any]:
    """Intervals of equal width, of which the outermost hold all beyond them; missing numbers are the last group."""
    known = training.values[:, place]
    known = known[~np.isnan(known)]
    low, high = np.quantile(known, [OUTER, 1 - OUTER]) if len(known) else (0.0, 1.0)
    if low == high:
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if len(known) and (known == np.round(known)).all():
        # As many integers in each interval.
        step = max(1, math.ceil((high - low + 1) / NUM_INTERVALS))
        edges = np.arange(low, high + step + 1, step)
    else:
        edges = np.linspace(low, high, NUM_INTERVALS + 1)
    write = _day if columns.is_date and columns.is_date[place] else _number
    names = [f"{write(float(a))} … {write(float(b))}" for a, b in pairwise(edges)]
    has_missing = len(known) < len(training)

    def of(rows: TableRows) -> Groups:
        values = rows.values[:, place]
        group = np.searchsorted(edges[1:-1], np.nan_to_num(values), side="right")
        return np.where(np.isnan(values), len(names) if has_missing else 0, group)

    return [*names, *(["(missing)"] if has_missing else [])], of


def _number(number: float) -> str:
    return f"{number:,.6g}"


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s"))[:10]


def _shares(groups: Groups, size: int) -> NDArray[np.float64]:
    return np.bincount(groups, minlength=size) / len(groups)


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _rounded(number: float) -> float:
    return round(float(number), 5)


def quantiles(numbers: NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    """Quantiles as plain numbers."""
    return [round(float(number), 7) for number in np.quantile(numbers, shares)]
