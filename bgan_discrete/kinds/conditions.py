"""Conditions of columns, such as ``sex=Female,age>=40,job in (farm, none)`` -> the codes that each column may have.

A condition that a bin holds in part leaves the bin among them; the numbers that it decodes to are checked one by one.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import TableCodec
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn, Column
from bgan_discrete.codecs.values import Value, number_of
from bgan_discrete.errors import InputError
from bgan_discrete.sources.rules import numbers_of

Booleans = NDArray[np.bool_]

FORM = "sex=Female,age>=40,job in (farm, none)"

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "!=": operator.ne,
}  # fmt: skip

_SET = r"\(\s*(?:\"(?:[^\"]|\"\")*\"|[^\")])*\)"
_ITEM = re.compile(rf"\s*(?:\"((?:[^\"]|\"\")*)\"|((?:\bin\s*{_SET}|[^,])*))\s*(,|\Z)")
_HOW = re.compile(r"\s*(<=|>=|!=|==?|<|>)\s*(.*)|\s+((?:not\s+)?in)\s*\((.*)\)", re.S)
_DAY = re.compile(r"\d{4}(-\d\d){0,2}([ T].*)?")


@dataclass(frozen=True)
class Condition:
    """What one column is to be.

    Attributes:
        text: As it was given.
        column: The number of the column.
        allowed: Codes that may be, bool ``[size]``.
        holds: Which decoded values obey it, bool ``[N]``; None where the codes say all.
        border: Of a column of bins, a number, and which numbers obey; None for others.
        exact: The one value that obeys, where its code does not tell it.
    """

    text: str
    column: int
    allowed: Booleans
    holds: Callable[[Sequence[Value]], Booleans] | None = None
    border: tuple[float, Callable[[Any], Booleans]] | None = None
    exact: Value = None


def conditions_of(text: str, codec: TableCodec) -> list[Condition]:
    """Read conditions with commas between them.

    Args:
        text: Such as ``sex=Female,age>=40,job in (farm, none)``, with ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``,
            ``in`` and ``not in``; one that holds a comma in double quotes.
        codec: Of the table.

    Returns:
        A condition for each; a column may have several. A missing value obeys none of them.

    Raises:
        InputError: If one has another form, or names a column or a value that there is not.
    """
    return [_condition(item, text, codec) for item in _items(text)]


def allowed_codes(conditions: Sequence[Condition], codec: TableCodec) -> dict[int, Booleans]:
    """The codes that each column with conditions may have; InputError if there are none."""
    found: dict[int, Booleans] = {}
    for place in dict.fromkeys(condition.column for condition in conditions):
        column, of_column = codec.columns[place], [one for one in conditions if one.column == place]
        found[place] = np.logical_and.reduce([condition.allowed for condition in of_column])
        borders = [condition.border for condition in of_column if condition.border is not None]
        if borders and isinstance(column, BinnedColumn):  # of which two may leave nothing of a bin
            found[place] &= _bins_where(column, [at for at, _ in borders], [obeys for _, obeys in borders])[0]
        if not found[place].any():
            texts = " and ".join(condition.text for condition in of_column)
            raise InputError(f"given: column {column.name!r} has no value with {texts}")
    return found


def _items(text: str) -> list[str]:
    items, start = [], 0
    while start <= len(text):
        match = _ITEM.match(text, start)
        if match is None:
            raise InputError(f"given must be such as {FORM}, or a file, got {text!r}")
        quoted, plain, end = match.groups()
        items.append(plain if quoted is None else quoted.replace('""', '"'))
        start = match.end() if end else len(text) + 1
    return items


def _condition(item: str, text: str, codec: TableCodec) -> Condition:
    """One condition; of several columns whose names it begins with, that with the longest name."""
    item = item.strip()
    names = [column.name for column in codec.columns]
    for name in sorted(names, key=len, reverse=True):
        match = _HOW.fullmatch(item, len(name)) if item.startswith(name) else None
        if match is not None:
            place = names.index(name)
            how, value, how_set, values = match.groups()
            if how is None:
                return _of_set(item, place, codec.columns[place], how_set == "in", _listed(values, item))
            return _of_value(item, place, codec.columns[place], how, _unquoted(value.strip()))
    wrong = re.match(r"(.*?)\s*(?:[<>!=]|\s(?:not\s+)?in\s*\()", item, re.S)
    if wrong is None or not wrong[1]:
        raise InputError(f"given must be such as {FORM}, or a file, got {text!r}")
    known = ", ".join(names[:20]) + ", ..." * (len(names) > 20)
    raise InputError(f"given has the column {wrong[1]!r}, which the model does not know; it has {known}")


def exact_value(column: Column, value: Value) -> Value:
    """The value that samples are to have where its code stands for others too, as a sample has it; else None."""
    if isinstance(column, BinnedColumn):
        number = None if value is None else column.number_of(value)
        if number is not None and column.decimals == 0 and float(number).is_integer():
            number = int(number)
        return None if number is None else column.written([number])[0]
    is_lumped = value is not None and column.other is not None and value != column.other
    return value if is_lumped and code_of(column, value) == len(column.categories) else None


def _listed(values: str, item: str) -> list[str]:
    found = re.findall(r"\s*(?:\"((?:[^\"]|\"\")*)\"|([^,]*))\s*(?:,|\Z)", values)
    # The last match is the empty one at the end.
    texts = [quoted.replace('""', '"') if quoted else plain.strip() for quoted, plain in found[:-1] or found]
    if not values.strip() or "" in texts:
        raise InputError(f"given must have values with commas between them in {item!r}")
    return texts


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1].replace('""', '"') if is_quoted else value


def code_of(column: Column, value: Value) -> int:
    """The code of a value that is given."""
    try:
        return int(column.encode([value], np.dtype(np.int64))[0])
    except InputError as error:
        raise InputError(f"given: {error}") from None


def _codes(column: Column, codes: Sequence[int]) -> Booleans:
    allowed = np.zeros(column.size, bool)
    allowed[list(codes)] = True
    return allowed


def _present(column: Column) -> Booleans:
    """The codes that stand for a value."""
    return np.array([value is not None for value in column.decode(np.arange(column.size))], bool)


def _of_set(item: str, place: int, column: Column, is_in: bool, values: Sequence[str]) -> Condition:
    allowed = _codes(column, [code_of(column, value) for value in values])
    if is_in:
        return Condition(item, place, allowed)
    if isinstance(column, BinnedColumn):
        raise InputError(f"given: column {column.name!r} is cut into bins: give ranges instead of {item!r}")
    return Condition(item, place, ~allowed & _present(column))


def _of_value(item: str, place: int, column: Column, how: str, value: str) -> Condition:
    if how in ("=", "=="):
        allowed = _codes(column, [code_of(column, value)])
        return Condition(item, place, allowed, exact=exact_value(column, value))
    compare, number = COMPARISONS[how], number_of(value)
    if isinstance(column, BinnedColumn):
        number = column.number_of(value)
    if isinstance(column, BinnedColumn):
        if number is None:
            raise InputError(f"given: column {column.name!r} holds numbers, so that {item!r} cannot be")
        return _of_bins(item, place, column, how, number)
    if how == "!=":
        return Condition(item, place, ~_codes(column, [code_of(column, value)]) & _present(column))
    values = [value for value in column.decode(np.arange(column.size)) if value not in (None, _other(column))]
    numbers = numbers_of(values)
    is_number = not np.isnan(numbers).any()
    if is_number and number is None:
        raise InputError(f"given: column {column.name!r} holds numbers, so that {item!r} cannot be")
    if not is_number and not (_DAY.fullmatch(value) and all(_DAY.fullmatch(str(day)) for day in values)):
        raise InputError(
            f"given: column {column.name!r} holds text, which has no order, so that {item!r} cannot be: list the "
            f"values, as {column.name} in (a, b)"
        )
    possible = column.decode(np.arange(column.size))
    if is_number:
        allowed = compare(numbers_of(possible), number)  # never of NaN, which is what is missing here
    else:
        allowed = np.array([v not in (None, _other(column)) and bool(compare(str(v), value)) for v in possible])
    return Condition(item, place, allowed)


def _other(column: Column) -> str | None:
    return column.other if isinstance(column, CategoryColumn) else None


def _of_bins(item: str, place: int, column: BinnedColumn, how: str, number: float) -> Condition:
    def obeys(numbers: NDArray[np.float64]) -> Booleans:
        return np.asarray(COMPARISONS[how](numbers, number) & ~np.isnan(numbers), bool)

    def holds_of(values: Sequence[Value]) -> Booleans:
        number_by = {value: column.number_of(value) for value in set(values)}
        return obeys(np.array([number_by[value] for value in values], float))  # None is NaN

    some, every = _bins_where(column, [number], [obeys])
    holds = None if every[some].all() else holds_of
    return Condition(item, place, some, holds, (number, obeys))


def _bins_where(
    column: BinnedColumn, borders: Sequence[float], tests: Sequence[Callable[[Any], Booleans]]
) -> tuple[Booleans, Booleans]:
    """Codes of bins in which some, and in which all, numbers pass all tests; nothing changes between the borders."""
    ends = np.unique([*column.edges, *borders])
    points = np.concatenate([ends, ends[:-1] + np.diff(ends) / 2])
    points = points[(points >= column.edges[0]) & (points <= column.edges[-1])]
    bins = np.searchsorted(np.array(column.edges[1:-1]), points, side="right")
    passed = np.logical_and.reduce([test(points) for test in tests])
    counts, passing = (np.bincount(part, minlength=column.size) for part in (bins, bins[passed]))
    return passing > 0, (passing == counts) & (counts > 0)
