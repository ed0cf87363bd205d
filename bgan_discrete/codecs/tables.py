"""Codecs of integer arrays and of tables with columns of categories.

A table is a dictionary: column name -> the column's values, one a row. A value is a string, an integer, a number with a
point, a boolean, or None where it is missing.
"""

import heapq
import itertools
import math
import re
import shlex
import sys
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_integer
from bgan_discrete.codecs.base import Codec
from bgan_discrete.errors import InputError
from bgan_discrete.space import SampleSpace

Value = str | int | float | bool | None
Table = Mapping[str, Sequence[Value]]
Codes = NDArray[Any]

MAX_ARRAY_CATEGORIES = 65_536
"""Of integer arrays and of a column whose rare categories were lumped together."""

MAX_COLUMN_CATEGORIES = 256
"""A column of more different values is refused, unless someone says what to do with it."""

MAX_FLOAT_CATEGORIES = 20
"""A column of floating-point numbers is one of categories up to so many different ones."""

MISSING_NAME = "(missing)"
OTHER_NAME = "(other)"

USUAL_BINS, USUAL_CATEGORIES = 20, 50
"""What errors advise."""

_NUMBER = re.compile(r"\s*[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?\s*")
_THOUSANDS = re.compile(r"-?(0|[1-9][0-9]{0,2}(,[0-9]{3})*)")
_DATE = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}\b.*")


class ArrayCodec(Codec):
    """A map from arrays or tables to integer codes ``[N, *event_shape]`` and back.

    Attributes:
        space: What the codes of one sample are.
        column_names: Of the positions; None for arrays without names.
    """

    space: SampleSpace
    column_names: tuple[str, ...] | None

    def space_of(self, event_shape: Sequence[int] = (), class_names: Sequence[str] | None = None) -> SampleSpace:
        """`space`, whatever the arguments."""
        return self.space

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The smallest integer type that holds the codes: uint8, int16 or int32."""
        if self.num_categories <= 256:
            return np.dtype(np.uint8)
        return np.dtype(np.int16 if self.num_categories <= 32768 else np.int32)

    @abstractmethod
    def encode(self, data: Any) -> Codes:
        """Codes ``[N, *event_shape]`` of type `dtype`.

        Raises:
            InputError: If the data hold what the codec has no code for.
        """

    @abstractmethod
    def decode(self, codes: Codes) -> Any:
        """What the codes stand for.

        Raises:
            InputError: If the codes are not integers in range, of the shape that `encode` gives.
        """

    def validate_codes(self, codes: Any) -> None:
        """Raise InputError for what is not integers ``[N, *event_shape]``, each below its position's size."""
        if not isinstance(codes, np.ndarray) or not np.issubdtype(codes.dtype, np.integer):
            kind = codes.dtype if isinstance(codes, np.ndarray) else type(codes).__name__
            raise InputError(f"codes must be an array of integers, got {kind}")
        shape, sizes = self.space.event_shape, self.space.sizes
        if codes.shape[1:] != shape or codes.ndim < 2:
            wanted = ", ".join(map(str, shape))
            raise InputError(
                f"codes of the {self.name} codec must have the shape [N, {wanted}], got {list(codes.shape)}"
            )
        if codes.size == 0:
            return
        limits = np.array(sizes or self.num_categories).reshape(shape if sizes else ())
        wrong = np.argwhere((codes < 0) | (codes >= limits))
        if len(wrong):
            row, *place = wrong[0].tolist()
            name = f"column {self.column_names[place[0]]!r}" if self.column_names else f"position {place}"
            limit = limits[tuple(place)] if sizes else self.num_categories
            raise InputError(
                f"codes of {name} must lie in [0, {limit}), got {int(codes[tuple(wrong[0])])} in row {row}"
            )


class IntegersCodec(ArrayCodec):
    """Arrays of integers or of single characters, of any event shape: a code for each value.

    Args:
        event_shape: Shape of one sample, with at least one position.
        num_categories: K, 2 .. 65,536.
        low: The least integer, at least -2^63, where the values are ``[low, low + K)``; low + K is at most 2^63.
        values: The value of each code where they are others: K ascending integers of int64, or K ascending characters.

    Raises:
        InputError: If an argument is out of its range.
    """

    name: ClassVar[str] = "integers"

    def __init__(
        self,
        event_shape: Sequence[int],
        num_categories: int,
        low: int = 0,
        values: Sequence[int] | Sequence[str] | None = None,
    ) -> None:
        if not event_shape or not all(_is_integer(side) and side >= 1 for side in event_shape):
            raise InputError(f"event_shape must hold integers of at least 1, got {event_shape!r}")
        self.num_categories = check_integer("num_categories", num_categories, 2, MAX_ARRAY_CATEGORIES)
        if not _is_integer(low) or not -(2**63) <= low <= 2**63 - num_categories:
            raise InputError(f"low must be an integer with all values from it on in int64, got {low!r}")
        if values is not None:
            _check_symbols(values, num_categories)
        self.space = SampleSpace(tuple(event_shape), self.num_categories)
        self.low = int(low)
        self.values: tuple[Any, ...] | None = None if values is None else tuple(values)
        self._symbols = np.arange(self.low, self.low + self.num_categories) if values is None else np.array(values)
        self.ordered, self.column_names = False, None

    @classmethod
    def fit(cls, values: Codes) -> "IntegersCodec":
        """The codec of the values that an array holds.

        Args:
            values: Integers, booleans or single characters ``[N, *event_shape]``.

        Returns:
            The codec.

        Raises:
            InputError: If the array has another type, holds nothing, or too many different values.
        """
        values = symbols_of(values)
        rows = max(1, 2**22 // values[0].size)
        found = np.unique(
            np.concatenate([np.unique(values[start : start + rows]) for start in range(0, len(values), rows)])
        ).tolist()
        if len(found) > MAX_ARRAY_CATEGORIES:
            raise InputError(
                f"the array holds {len(found):,} integers from {found[0]} to {found[-1]}; at most "
                f"{MAX_ARRAY_CATEGORIES} different ones can be categories"
                + f": read its columns as a table and cut them into bins (--layout table --bins {USUAL_BINS})"
                * (values.ndim == 2)
            )
        if isinstance(found[0], str) and len(found) == 1:
            raise InputError(f"the array holds a single character, {found[0]!r}: there is nothing to learn")
        if isinstance(found[0], str) or found[-1] - found[0] >= len(found):
            return cls(values.shape[1:], len(found), values=found)
        # One value alone is no choice, but a code needs two.
        return cls(values.shape[1:], max(len(found), 2), min(found[0], 2**63 - 2))

    def encode(self, data: Codes) -> Codes:
        """Codes of integers or characters ``[N, *event_shape]``; errors as in `ArrayCodec.encode`."""
        data = symbols_of(data)
        if tuple(data.shape[1:]) != self.space.event_shape:
            wanted = str(list(self.space.event_shape))[1:-1]
            raise InputError(f"the array must have the shape [N, {wanted}], got {list(data.shape)}")
        if (self._symbols.dtype.kind == "U") != (data.dtype.kind == "U"):
            raise InputError(f"the array's values must {self._named()}, got {data.dtype}")
        symbols, values = (part.view(np.uint32) if part.dtype.kind == "U" else part for part in (self._symbols, data))
        codes = np.minimum(np.searchsorted(symbols, values), len(symbols) - 1)
        wrong = np.argwhere(symbols[codes] != values)
        if len(wrong):
            value = data[tuple(wrong[0])].item()
            raise InputError(f"the array's values must {self._named()}, got {value!r} in row {wrong[0][0]}")
        return codes.astype(self.dtype)

    def decode(self, codes: Codes) -> Codes:
        """The values themselves, int64 or ``U1`` ``[N, *event_shape]``."""
        self.validate_codes(codes)
        return self._symbols[codes]

    def describe(self) -> str:
        """Say in one line what the codec does."""
        shape = " x ".join(map(str, self.space.event_shape))
        if self.values is None:
            return f"{shape} integers from {self.low} to {self.low + self.num_categories - 1}"
        return f"{shape}, each to {self._named()}"

    def _named(self) -> str:
        """What its values must do."""
        if self.values is None:
            return f"lie in [{self.low}, {self.low + self.num_categories})"
        kind = "characters" if isinstance(self.values[0], str) else "integers"
        return f"be one of {len(self.values)} {kind}: {_listed(self.values)}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types; without ``values`` where they are a range."""
        return {
            "name": self.name,
            "event_shape": list(self.space.event_shape),
            "num_categories": self.num_categories,
            "low": self.low,
            **({} if self.values is None else {"values": list(self.values)}),
        }


@dataclass(frozen=True)
class CategoryColumn:
    """A column whose values are categories.

    Attributes:
        name: Of the column.
        categories: The value of each code; None is the missing value.
        other: What the last code is called, which stands for every value that is no category; None without such a code.
    """

    name: str
    categories: tuple[Value, ...]
    other: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no list of different values."""
        check_name(self.name)
        for value in self.categories:
            if value is not None and not isinstance(value, (str, int, float)):
                raise InputError(f"categories of column {self.name!r} must be strings, numbers or None, got {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"categories of column {self.name!r} must be finite, got {value!r}")
            if isinstance(value, str) and not _is_utf8(value):
                raise InputError(f"categories of column {self.name!r} must be UTF-8, got {value!r}")
        if len({identity(value) for value in self.categories}) != len(self.categories) or self.size < 1:
            raise InputError(f"categories of column {self.name!r} must be different, and at least one")
        if self.other is not None and (
            not isinstance(self.other, str) or self.other in self.categories or not _is_utf8(self.other)
        ):
            raise InputError(f"other of column {self.name!r} must be a string that is no category, got {self.other!r}")

    @property
    def size(self) -> int:
        """The number of codes."""
        return len(self.categories) + (self.other is not None)

    @property
    def has_missing(self) -> bool:
        """Whether there is a code for missing values."""
        return None in self.categories

    def encode(self, values: Sequence[Value], dtype: "np.dtype[Any]") -> Codes:
        """Codes ``[N]``; a value that is no category is taken for one that a file can hold in its place, 2 for 2.0."""
        code_of = {identity(value): code for code, value in enumerate(self.categories)}
        for place, category in enumerate(self.categories):
            for alike in _read_otherwise(category):
                code_of.setdefault(identity(alike), place)
        if self.other is not None:
            code_of.setdefault(identity(self.other), len(self.categories))
        last = len(self.categories)
        if {*map(type, values)} == {str}:
            of_text = {value: code for (kind, value), code in code_of.items() if kind == "str"}
            found = [of_text.get(value, last if self.other is not None else -1) for value in values]
            if -1 not in found:
                return np.array(found, dtype)
        codes = np.empty(len(values), dtype)
        for row, value in enumerate(values):
            code = code_of.get(identity(value), last if self.other is not None and value is not None else None)
            if code is None:
                is_numeric = all(_is_number(known) or known is None for known in self.categories)
                place, wrong = _reason_for_text(values, row) if is_numeric else (row, value)
                raise InputError(
                    f"column {self.name!r} has the value {shown(wrong)} in row {place + 1}, which is none of its "
                    f"{len(self.categories)} categories: {_listed(self.categories)}"
                )
            codes[row] = code
        return codes

    def decode(self, codes: Codes, ranges: bool = False) -> list[Value]:
        """The values of codes ``[N]``."""
        values = [*self.categories, *([] if self.other is None else [self.other])]
        return [values[code] for code in codes.tolist()]

    def to_config(self) -> dict[str, Any]:
        """All that the column is, as plain JSON types."""
        return {"name": self.name, "categories": list(self.categories), "other": self.other}


@dataclass(frozen=True)
class BinnedColumn:
    """A column of numbers, cut into bins.

    Bin i holds the numbers in ``[edges[i], edges[i + 1])``, the last one its end too, which may be all that it holds;
    what lies outside goes to the first or last bin. A bin decodes to one number of its own.

    Attributes:
        name: Of the column.
        edges: Ascending, one more than there are bins; only the last two may be equal.
        values: A number inside each bin: the median of those that it was made of.
        has_missing: Whether a last code stands for missing values.
    """

    name: str
    edges: tuple[float, ...]
    values: tuple[float, ...]
    has_missing: bool = False

    def __post_init__(self) -> None:
        """Refuse what are no bins."""
        check_name(self.name)
        for number in (*self.edges, *self.values):
            if not _is_number(number):
                raise InputError(f"edges and values of column {self.name!r} must be finite numbers, got {number!r}")
        steps = [b - a for a, b in zip(self.edges[:-1], self.edges[1:], strict=True)]
        # The last bin, which holds its end, may hold a single number.
        ascending = all(step > 0 for step in steps[:-1]) and all(step >= 0 for step in steps[-1:])
        if not isinstance(self.has_missing, bool) or not ascending or len(self.values) != len(steps) or not steps:
            raise InputError(f"edges of column {self.name!r} must ascend, and be one more than the values")
        if self._bins(self.values).tolist() != list(range(len(steps))):
            raise InputError(f"values of column {self.name!r} must lie in their bins")

    @property
    def size(self) -> int:
        """The number of codes."""
        return len(self.values) + self.has_missing

    def _bins(self, numbers: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
        return np.searchsorted(np.array(self.edges[1:-1], float), np.array(numbers, float), side="right")

    def encode(self, values: Sequence[Value], dtype: "np.dtype[Any]") -> Codes:
        """Codes ``[N]``."""
        if {*map(type, values)} <= {int, float}:
            with suppress(OverflowError):
                if np.abs(plain := np.array(values, float)).max(initial=0) < 2.0**1000:
                    return self._bins(plain).astype(dtype)
        numbers: list[float] = []
        number_by = {text: number_of(text) for text in {value for value in values if isinstance(value, str)}}
        for row, value in enumerate(values):
            number = number_by[value] if isinstance(value, str) else number_of(value)
            if value is None and self.has_missing:
                numbers.append(self.edges[0])
            elif number is not None:
                numbers.append(number)
            else:
                place, wrong = _reason_for_text(values, row)
                raise InputError(
                    f"column {self.name!r} holds numbers, cut into bins, but {shown(wrong)} stands in row {place + 1}"
                    + ("; name what means a missing value by --missing" if isinstance(wrong, str) else "")
                )
        codes = self._bins(numbers).astype(dtype)
        codes[[value is None for value in values]] = len(self.values)
        return codes

    def decode(self, codes: Codes, ranges: bool = False) -> list[Value]:
        """The values of codes ``[N]``: numbers, or with ``ranges`` the bins as text, such as ``[10, 25)``."""
        values: list[Value] = list(self.values)
        if ranges:
            ends = list(zip(self.edges[:-1], self.edges[1:], strict=True))
            values = [
                f"[{low:g}, {high:g}{']' if place == len(ends) - 1 else ')'}" for place, (low, high) in enumerate(ends)
            ]
        values.append(None)
        return [values[code] for code in codes.tolist()]

    def to_config(self) -> dict[str, Any]:
        """All that the column is, as plain JSON types."""
        return {
            "name": self.name,
            "edges": list(self.edges),
            "values": list(self.values),
            "has_missing": self.has_missing,
        }


Column = CategoryColumn | BinnedColumn


class TableCodec(ArrayCodec):
    """Tables of categories: a code for each different value of a column, or for each bin of a column of numbers.

    Columns may have different numbers of categories; K is the largest of them.

    Args:
        columns: At least one, with different names.

    Raises:
        InputError: If there is no column, or two have one name.
    """

    name: ClassVar[str] = "table"

    def __init__(self, columns: Sequence[Column]) -> None:
        names = [column.name for column in columns]
        if not names or len(set(names)) != len(names):
            raise InputError(f"columns must be at least one, with different names, got {names}")
        self.columns = tuple(columns)
        self.column_names = tuple(names)
        sizes = [column.size for column in columns]
        # One value alone is no choice, but a code needs two.
        self.num_categories = max(2, *sizes)
        self.space = SampleSpace((len(names),), self.num_categories, tuple(sizes))
        self.ordered = False

    @classmethod
    def fit(cls, table: Table, *, bins: int | None = None, max_categories: int | None = None) -> "TableCodec":
        """Learn the categories of each column from a table.

        A column of strings, booleans, integers or few different numbers has a category for each value, in their order;
        missing values (None) are one more. With ``bins``, a column of more different numbers than that, also if they
        are texts such as 2.50, is cut at their quantiles; a number of so many rows that it fills a bin, such as the
        zeros of a column of amounts, has its own.

        Args:
            table: The rows.
            bins: Quantile bins of a column of numbers, >= 2; None refuses a column of more than
                `MAX_FLOAT_CATEGORIES` different floating-point numbers.
            max_categories: The most categories of a column beside the missing one, >= 2: the rarest are lumped together
                as one called "(other)", unless that would be nine tenths of the rows. None refuses a column of more
                than `MAX_COLUMN_CATEGORIES`.

        Returns:
            The codec.

        Raises:
            InputError: If the table has no rows, columns differ in length, an option is out of its range, or a column
                cannot be used as it is; the message names the column and says what would help.
        """
        return fit_table(table, bins, max_categories)

    def encode(self, data: Table) -> Codes:
        """Codes ``[N, columns]`` of a table with at least this codec's columns; errors as in `ArrayCodec.encode`."""
        check_table(data)
        codes = np.empty((len(next(iter(data.values()))), len(self.columns)), self.dtype)
        for place, column in enumerate(self.columns):
            if column.name not in data:
                raise InputError(f"column {column.name!r} is not in the table, which has: {', '.join(data)}")
            codes[:, place] = column.encode(data[column.name], self.dtype)
        return codes

    def decode(self, codes: Codes, ranges: bool = False) -> dict[str, list[Value]]:
        """The table that codes ``[N, columns]`` stand for.

        Args:
            codes: Integers, each below its column's number of categories.
            ranges: Give bins as text such as ``[10, 25)`` rather than a number inside them.

        Returns:
            Column name -> values.
        """
        self.validate_codes(codes)
        return {column.name: column.decode(codes[:, place], ranges) for place, column in enumerate(self.columns)}

    def category_names(self) -> list[list[str]]:
        """What each code of each column stands for, in words."""
        return [
            [MISSING_NAME if value is None else str(value) for value in column.decode(np.arange(column.size), True)]
            for column in self.columns
        ]

    def describe(self) -> str:
        """Say in one line what the codec does."""
        shown = ", ".join(f"{column.name} {_description(column)}" for column in self.columns[:20])
        more = f", and {len(self.columns) - 20} more" if len(self.columns) > 20 else ""
        count = f"{len(self.columns)} columns" if len(self.columns) > 1 else "1 column"
        return f"{count} of categories: {shown}{more}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types."""
        return {"name": self.name, "columns": [column.to_config() for column in self.columns]}


def table_codec_from_columns(columns: Any) -> TableCodec:
    """The codec of columns as `TableCodec.to_config` writes them.

    Raises:
        InputError: If they are none.
    """
    if not isinstance(columns, list):
        raise InputError(f"columns must be a list, got {columns!r}")
    return TableCodec([_column_from_config(entry) for entry in columns])


def _column_from_config(entry: Any) -> Column:
    keys = set(entry) if isinstance(entry, dict) else set()
    if keys == {"name", "categories", "other"} and isinstance(entry["categories"], list):
        return CategoryColumn(entry["name"], tuple(entry["categories"]), entry["other"])
    if keys == {"name", "edges", "values", "has_missing"}:
        edges, values = entry["edges"], entry["values"]
        if isinstance(edges, list) and isinstance(values, list):
            return BinnedColumn(entry["name"], tuple(edges), tuple(values), entry["has_missing"])
    raise InputError(
        "a column must have name, categories (a list) and other, or name, edges and values (lists) and has_missing; "
        f"got {entry!r}"
    )


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


def fit_table(
    table: Table,
    bins: int | None,
    max_categories: int | None,
    refused: Mapping[str, InputError] | None = None,
    dropped: Sequence[str] = (),
) -> TableCodec:
    """`TableCodec.fit`, whose error ends with the options that make the table load.

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
        return TableCodec(columns)
    remedies = {name: getattr(error, "remedy", "drop") for name, error in refused.items()}
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
        fault = f"holds {len(found):,} different floating-point numbers, such as {_listed(found)}"
    elif max_categories is None and not is_free and len(found) > MAX_COLUMN_CATEGORIES:
        fault = f"has {len(found):,} different values, such as {_listed(found)}"
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
    if texts and all(_reads_as_number(text) for text in texts):
        padded = next((text for text in others if text.lstrip("-").startswith("0") and len(text) > 1), others[0])
        return f"its numbers are text because of how some are written, such as {_listed([padded])}; "
    if texts and all(_THOUSANDS.fullmatch(text) for text in texts):
        return "take the commas out of its numbers; "
    if texts and len(others) <= len(texts) // 10:
        option = option_of("--missing", others[:10])
        return f"its numbers are text because of {_listed(others)}: if that means a missing value, {option}; "
    if texts and all(_reads_as_number(text.replace(",", ".", 1)) for text in texts):
        return "write its decimal commas as points; "
    if texts and sum(_DATE.fullmatch(text) is not None for text in texts) > len(texts) // 2:
        return "bins do not reach dates: write each as a number, such as its year or its days since a day; "
    return ""


def option_of(option: str, names: Sequence[str]) -> str:
    """An option with names in the data, as a shell takes it: behind ``=`` unless they are plain."""
    cells = [f'"{name.replace(chr(34), chr(34) * 2)}"' if {*name} & {*',"\r\n'} else name for name in names]
    text = shlex.quote(joined := ",".join(cells))
    return f"{option}{'=' if text != joined or text.startswith('-') else ' '}{text}"


def _reason_for_text(values: Sequence[Value], row: int) -> tuple[int, Value]:
    """Row and value of what made a file's numbers text; else of the row that was given."""
    others = ((r, v) for r, v in enumerate(values) if isinstance(v, str) and not _reads_as_number(v))
    return next(others, (row, values[row]))


def number_of(value: Any) -> float | None:
    """The finite number that a value is, or that its text spells without leading zeros; None for all else."""
    number = value
    if isinstance(value, str):
        if len(value) > 400 or not _NUMBER.fullmatch(value) or not any(letter in "0123456789" for letter in value):
            return None
        with suppress(ValueError):  # an exponent alone
            number = float(value) if set(value) & set(".eE") else int(value)
    return number if _is_number(number) else None


def _reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


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


def _description(column: Column) -> str:
    kind = (
        f"{len(column.values)} bins"
        if isinstance(column, BinnedColumn)
        else str(len(column.categories) - column.has_missing)
    )
    other = f" + {column.other}" if isinstance(column, CategoryColumn) and column.other is not None else ""
    return kind + other + (f" + {MISSING_NAME}" if column.has_missing else "")


def identity(value: Any) -> tuple[str, Any]:
    """What tells values apart: 1, 1.0 and True are three, and so are 0, 0.0 and -0.0."""
    is_negative_zero = isinstance(value, float) and value == 0 and math.copysign(1, value) < 0
    return "-0.0" if is_negative_zero else type(value).__name__, value


def one_for_each_number(values: Sequence[Value]) -> Sequence[Value]:
    """A column of integers and floating-point numbers, with 2.0 as 2 where both occur; else, also -0.0, as it is."""
    if {type(value) for value in values if value is not None} != {int, float}:
        return values
    integers = {identity(float(value)) for value in values if isinstance(value, int) and abs(value) < 2**1000}
    return [int(value) if isinstance(value, float) and identity(value) in integers else value for value in values]


def _read_otherwise(value: Value) -> list[Value]:
    """What else a value is read as where other cells stand in its column: of a CSV file 2, 2.0 or the text 2."""
    found: list[Value] = []
    for kind in (str,) if isinstance(value, bool) else (int, float, str):
        with suppress(TypeError, ValueError, OverflowError):
            other = kind(value)  # type: ignore[arg-type]
            # Only the same number, and the number of no other text than that which it would be written as.
            same = str(other) == value if isinstance(value, str) else kind is str or other == value
            if value is not None and not isinstance(value, kind) and same:
                found.append(other)
    return found


def _order(identity: tuple[str, Value]) -> tuple[str, Any]:
    kind, value = identity
    return ("number" if kind in ("int", "float", "-0.0") else kind, value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_category(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or _is_number(value)


def _is_number(value: Any) -> bool:
    """Whether it is a number with an order, which a floating-point number can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**1000


def check_name(name: Any) -> None:
    """Raise InputError for what is no name of a column."""
    if not isinstance(name, str) or not name or not _is_utf8(name):
        raise InputError(f"a column's name must be a string that is not empty, in UTF-8, got {name!r}")


def _is_utf8(text: str) -> bool:
    """Whether a file can hold it: half of a surrogate pair is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def symbols_of(values: Any) -> Codes:
    """An array ``[samples, ...]`` of integers, booleans or single characters (``U1``), with data in it.

    Raises:
        InputError: If it is something else.
    """
    kind = values.dtype.kind if isinstance(values, np.ndarray) else "O"
    is_table = isinstance(values, np.ndarray) and values.ndim == 2
    advice = "read its columns as a table (--layout table)" if is_table else "make it one of integers"
    if kind == "f":
        advice = "convert whole numbers to integers"
        advice += f", or read its columns as a table in bins (--layout table --bins {USUAL_BINS})" * is_table
    elif kind in "SU" and values.size and values.ndim:
        values = values if kind == "U" else np.char.decode(values, "latin-1")
        check_characters(values, "the array")
        if np.char.str_len(values).max() <= 1 and values.ndim > 1:
            return np.ascontiguousarray(values.astype("U1"))
        advice = "split its texts into single characters"
        advice += ", or read its columns as a table (--layout table)" * is_table
    if kind == "b":
        values = values.astype(np.uint8)
    elif kind not in "iu":
        got = getattr(values, "dtype", type(values).__name__)
        raise InputError(f"the array must hold integers, got {got}: {advice}")
    if values.ndim < 2 or values.size == 0:
        advice = ": make one number a sample [samples, 1]" if values.ndim == 1 else ""
        raise InputError(f"the array must have shape [samples, ...] and hold data, got {list(values.shape)}{advice}")
    if values.dtype == np.uint64:
        if (high := int(values.max())) >= 2**63:
            row = int(np.argwhere(values == high)[0][0])
            raise InputError(f"the array must hold integers below 2**63, got {high} in row {row}")
        return values.astype(np.int64)
    return values


def check_characters(values: Codes, what: str) -> None:
    """Raise InputError for strings of any numbers, which NumPy would make and Python cannot read again."""
    if values.size and values.dtype.itemsize:
        numbers = np.ascontiguousarray(values).view(np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
        if numbers.max() > sys.maxunicode:
            raise InputError(f"{what} holds {numbers.max():#x} in the place of a character")


def _check_symbols(values: Any, num_categories: int) -> None:
    are_texts = all(isinstance(value, str) and len(value) <= 1 and _is_utf8(value) for value in values)
    are_numbers = all(_is_integer(value) and -(2**63) <= value < 2**63 for value in values)
    ascend = (are_texts or are_numbers) and all(a < b for a, b in itertools.pairwise(values))
    if len(values) != num_categories or not ascend:
        raise InputError(f"values must be {num_categories} ascending integers or characters, got {_listed(values)}")


def shown(value: Value) -> str:
    """A value in a message, shortened."""
    text = "no value" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(map(shown, values[:5])) + (", ..." if len(values) > 5 else "")
