"""How the columns of a table are fitted: which become categories, which bins, and what is said of those that cannot."""

import heapq
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_integer
from bgan_discrete.codecs.arrays import MAX_ARRAY_CATEGORIES, USUAL_BINS
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn, Column
from bgan_discrete.codecs.values import (
    Table,
    Value,
    check_name,
    identity,
    is_number,
    listed,
    number_of,
    option_of,
    reads_as_number,
)
from bgan_discrete.errors import InputError

MAX_COLUMN_CATEGORIES = 256
"""A column of more different values is refused, unless someone says what to do with it."""

MAX_FLOAT_CATEGORIES = 20
"""A column of floating-point numbers is one of categories up to so many different ones."""

OTHER_NAME = "(other)"
USUAL_CATEGORIES = 50
"""What errors advise."""

_THOUSANDS = re.compile(r"-?(0|[1-9][0-9]{0,2}(,[0-9]{3})*)")
_DATE = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}\b.*")


def check_table(table: Any) -> None:
    """Raise InputError for what is not a dictionary of columns of one length, with at least one row."""
    if not isinstance(table, Mapping) or not table:
        raise InputError(f"a table must be a dictionary of columns, got {type(table).__name__}")
    lengths = {name: len(values) for name, values in table.items()}
    first, count = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != count:
            raise InputError(f"columns must have one length, got {count} values in {first!r} and {length} in {name!r}")
    if count == 0:
        raise InputError(f"the table has no rows, only the columns {', '.join(map(str, table))}")


class ColumnError(InputError):
    """A column that cannot be used as it is, and the option that would help: drop, bins or max_categories."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def fit_columns(
    table: Table,
    bins: int | None,
    max_categories: int | None,
    refused: Mapping[str, InputError] | None = None,
    dropped: Sequence[str] = (),
) -> list[Column]:
    """See `TableCodec.fit`; the error ends with the options that make the table load.

    ``refused`` are other columns that could not be read, and why; ``dropped`` those that an option leaves out.
    """
    for name, number in (("bins", bins), ("max_categories", max_categories)):
        if number is not None:
            check_integer(name, number, 2, MAX_ARRAY_CATEGORIES - 1)
    refused = dict(refused or {})
    if table or not refused:
        check_table(table)
    columns: list[Column] = []
    for name, values in table.items():
        check_name(name)
        try:
            columns.append(_fit_column(name, values, bins, max_categories))
        except InputError as error:
            refused[name] = error
    if not refused:
        return columns
    remedies = {name: error.remedy if isinstance(error, ColumnError) else "drop" for name, error in refused.items()}
    names = [*dropped, *(name for name, remedy in remedies.items() if remedy == "drop")]
    bins = bins or (USUAL_BINS if "bins" in remedies.values() else None)
    max_categories = max_categories or (USUAL_CATEGORIES if "max_categories" in remedies.values() else None)
    options = [option_of("--drop", names)] if names else []
    options += [f"--bins {bins}"] if bins else []
    options += [f"--max-categories {max_categories}"] if max_categories else []
    (_, first), *others = refused.items()
    named = ", ".join(repr(name) for name, _ in others[:10]) + (", ..." if len(others) > 10 else "")
    nor = f"; nor can {named} be used as they are" if others else ""
    works = f"; what works: {' '.join(options)}" if columns or {*remedies.values()} != {"drop"} else ""
    raise InputError(f"{first}{nor}{works}")


def _fit_column(name: str, values: Sequence[Value], bins: int | None, max_categories: int | None) -> Column:
    counts = _count_values(name, values)
    missing = counts.pop(identity(None), 0) > 0
    found: list[Value] = [value for _, value in sorted(counts, key=_order)]
    numbers = [number_of(value) for value in found]
    is_numeric = bool(found) and None not in numbers
    if is_numeric and bins is not None and len(found) > bins:
        of_text = {value: number for value, number in zip(found, numbers, strict=True) if isinstance(value, str)}
        given = [of_text[value] if isinstance(value, str) else value for value in values if value is not None]
        return _cut_column(name, given, bins, missing)
    rows = sum(counts.values())
    kept = dict(counts.most_common((max_categories or USUAL_CATEGORIES) - 1))
    lumped = rows - sum(kept.values())
    is_whole = all(not isinstance(part, float) or part.is_integer() for part in (numbers if is_numeric else found))
    is_free = is_numeric and bins is not None  # as many bins as there are numbers are the numbers themselves
    fault, lump, remedy = "", "", "bins" if is_numeric else "drop"
    if not is_whole and not is_free and len(found) > max(MAX_FLOAT_CATEGORIES, max_categories or 0):
        fault = f"holds {len(found):,} different floating-point numbers, such as {listed(found)}"
    elif max_categories is None and not is_free and len(found) > MAX_COLUMN_CATEGORIES:
        fault = f"has {len(found):,} different values, such as {listed(found)}"
        fault += f"; up to {MAX_COLUMN_CATEGORIES} are categories"
        remedy = "drop" if 2 * len(found) > rows and not is_numeric else remedy
        if 10 * lumped <= 9 * rows:
            lump = f"lump rare ones together (--max-categories {USUAL_CATEGORIES}), "
            remedy = "max_categories" if 2 * len(found) <= rows and not is_numeric else remedy
    elif max_categories is not None and not is_free and len(found) > max_categories and 10 * lumped > 9 * rows:
        fault = f"has {len(found):,} different values, of which '{OTHER_NAME}' would be {lumped:,} of {rows:,} rows"
    if fault:
        advice = f"{_advice(found, is_numeric)}{lump}"
        drop = f"{'or ' if advice else ''}drop it ({option_of('--drop', [name])})"
        raise ColumnError(f"column {name!r} {fault}: {advice}{drop}", remedy)
    other = None
    if max_categories is not None and len(found) > max_categories and 10 * lumped <= 9 * rows:
        found = [value for value in found if identity(value) in kept]
        other = OTHER_NAME
        while other in found:
            other = f"({other})"
    return CategoryColumn(name, (*found, *([None] if missing else [])), other)


def _count_values(name: str, values: Sequence[Value]) -> "Counter[tuple[str, Value]]":
    """How often each value of a column occurs, by what tells it apart."""
    counts: Counter[tuple[type, Value]] = Counter()
    with suppress(TypeError):  # of lists and the like
        counts.update(zip(map(type, values), values, strict=True))
    if sum(counts.values()) == len(values) and all(_is_category(value) for _, value in counts):
        if {kind for kind, _ in counts} <= {str, int, float, bool, type(None)} and (float, 0.0) not in counts:
            return Counter({identity(value): count for (_, value), count in counts.items()})
        return Counter(map(identity, values))
    row, value = next((row, value) for row, value in enumerate(values, 1) if not _is_category(value))
    held, right = type(value).__name__, "categories are strings, numbers below 2**1000, booleans or None"
    if isinstance(value, float):
        held, right = repr(value), "missing values are None"
    drop = option_of("--drop", [name])
    raise InputError(f"column {name!r} holds {held} in row {row}; {right}: drop it ({drop})")


def _advice(found: Sequence[Value], is_numeric: bool) -> str:
    """What would help a column of many values besides to lump or to drop it."""
    texts = [value for value in found if isinstance(value, str)]
    others = [text for text in texts if number_of(text) is None]
    if is_numeric:
        return f"cut it into bins (--bins {USUAL_BINS}), "
    if texts and all(reads_as_number(text) for text in texts):
        padded = next((text for text in others if text.lstrip("-").startswith("0") and len(text) > 1), others[0])
        return f"its numbers are text because of how some are written, such as {listed([padded])}; "
    if texts and all(_THOUSANDS.fullmatch(text) for text in texts):
        return "take the commas out of its numbers; "
    if texts and len(others) <= len(texts) // 10:
        option = option_of("--missing", others[:10])
        return f"its numbers are text because of {listed(others)}: if that means a missing value, {option}; "
    if texts and all(reads_as_number(text.replace(",", ".", 1)) for text in texts):
        return "write its decimal commas as points; "
    if texts and sum(_DATE.fullmatch(text) is not None for text in texts) > len(texts) // 2:
        return "bins do not reach dates: write each as a number, such as its year or its days since a day; "
    return ""


def _cut_column(name: str, numbers: Sequence[Any], bins: int, missing: bool) -> BinnedColumn:
    # Bins are of floating-point numbers, which integers beyond 2^53 may not be.
    ordered = sorted(numbers if all(float(number) == number for number in numbers) else map(float, numbers))
    floats = np.array(ordered, float)
    # Numbers of the data, so that no bin is empty.
    edges = [*(ordered[place] for place in _bin_starts(floats, bins)), ordered[-1]]
    inside = np.searchsorted(np.array(edges[1:-1], float), floats, side="right")
    medians = []
    for place in range(len(edges) - 1):
        begin, end = np.searchsorted(inside, [place, place + 1])
        medians.append(ordered[(begin + end - 1) // 2])
    return BinnedColumn(name, tuple(edges), tuple(medians), missing)


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


def _order(identity: tuple[str, Value]) -> tuple[str, Any]:
    kind, value = identity
    return ("number" if kind in ("int", "float", "-0.0") else kind, value)


def _is_category(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or is_number(value)
