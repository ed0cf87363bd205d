"""Columns of tables: of categories, and of numbers that are cut into bins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.arrays import Codes
from bgan_discrete.codecs.values import (
    Value,
    check_name,
    identity,
    is_number,
    is_utf8,
    listed,
    number_of,
    read_otherwise,
    reads_as_number,
    shown,
)
from bgan_discrete.errors import InputError


@dataclass(frozen=True)
class CategoryColumn:
    """A column whose values are categories; None is the missing one.

    ``other`` names the last code, which means every value that is no category; None without such a code.
    """

    name: str
    categories: tuple[Value, ...]
    other: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        for value in self.categories:
            if value is not None and not isinstance(value, (str, int, float)):
                raise InputError(f"categories of column {self.name!r} must be strings, numbers or None, got {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"categories of column {self.name!r} must be finite, got {value!r}")
            if isinstance(value, str) and not is_utf8(value):
                raise InputError(f"categories of column {self.name!r} must be UTF-8, got {value!r}")
        if len({identity(value) for value in self.categories}) != len(self.categories) or self.size < 1:
            raise InputError(f"categories of column {self.name!r} must be different, and at least one")
        if self.other is not None and (
            not isinstance(self.other, str) or self.other in self.categories or not is_utf8(self.other)
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
        last = len(self.categories)
        code_of = {_key(value): code for code, value in enumerate(self.categories)}
        for code, category in enumerate(self.categories):
            for alike in read_otherwise(category):
                code_of.setdefault(_key(alike), code)
        if self.other is not None:
            code_of.setdefault(self.other, last)
        code_of.setdefault(_key(None), -1)
        unknown = -1 if self.other is None else last
        codes = [code_of.get(_key(value), unknown) for value in values]
        if -1 in codes:
            is_numeric = all(is_number(known) or known is None for known in self.categories)
            row = codes.index(-1)
            place, wrong = _reason_for_text(values, row) if is_numeric else (row, values[row])
            raise InputError(
                f"column {self.name!r} has the value {shown(wrong)} in row {place + 1}, which is none of its "
                f"{len(self.categories)} categories: {listed(self.categories)}"
            )
        return np.array(codes, dtype)

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
    what lies outside goes to the first or last bin. A bin decodes to its entry of ``values``, the median of the numbers
    that it was made of. With ``has_missing`` a last code means missing values.
    """

    name: str
    edges: tuple[float, ...]
    values: tuple[float, ...]
    has_missing: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        for number in (*self.edges, *self.values):
            if not is_number(number):
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

    def _bins(self, numbers: Sequence[Any]) -> NDArray[np.int64]:
        return np.searchsorted(np.array(self.edges[1:-1], float), np.array(numbers, float), side="right")

    def encode(self, values: Sequence[Value], dtype: "np.dtype[Any]") -> Codes:
        """Codes ``[N]``."""
        number_by = {text: number_of(text) for text in {value for value in values if isinstance(value, str)}}
        missing = self.edges[0] if self.has_missing else None
        numbers = [
            missing if value is None else number_by[value] if isinstance(value, str) else number_of(value)
            for value in values
        ]
        if None in numbers:
            place, wrong = _reason_for_text(values, numbers.index(None))
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


def _key(value: Value) -> Any:
    """`identity`, and of the many texts the text itself, which is quicker."""
    return value if type(value) is str else identity(value)


def column_from_config(entry: Any) -> Column:
    """A column again from what its ``to_config`` gave."""
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


def _reason_for_text(values: Sequence[Value], row: int) -> tuple[int, Value]:
    """Row and value of what made a file's numbers text; else of the row that was given."""
    others = ((r, v) for r, v in enumerate(values) if isinstance(v, str) and not reads_as_number(v))
    return next(others, (row, values[row]))
