"""Columns of tables: of categories, and of numbers that are cut into bins."""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.arrays import Codes
from bgan_discrete.codecs.dates import DateForm
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

Uniforms = NDArray[np.float64]
"""Numbers in [0, 1), one for each row: the dice of what is drawn."""

Piece = tuple[float, float, int]
"""Of the quantile function of a bin: first and last number, and rows."""

MOST_DECIMALS = 9


@dataclass(frozen=True)
class CategoryColumn:
    """A column whose values are categories; None is the missing one.

    ``other`` names the last code, which means every value that is no category; None without such a code. ``lumped`` are
    the values that it stands for with how often each occurs, to draw from; none where they are private.
    """

    name: str
    categories: tuple[Value, ...]
    other: str | None = None
    lumped: tuple[tuple[Value, int], ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if not all(isinstance(count, int) and count > 0 for _, count in self.lumped) or (
            self.lumped and self.other is None
        ):
            raise InputError(f"lumped of column {self.name!r} must be values with counts, where there is an other")
        for value in (*self.categories, *(value for value, _ in self.lumped)):
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
    def scale(self) -> int:
        """How many of the first codes are a scale: categories that are ascending numbers, also as texts."""
        numbers: list[float] = []
        for value in self.categories:
            number = number_of(value) if isinstance(value, str) else value
            if number is None or isinstance(number, bool) or (numbers and number < numbers[-1]):
                break
            numbers.append(number)
        return len(numbers)

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

    @property
    def draws(self) -> bool:
        """Whether a code has several values, of which `decode` can draw one."""
        return bool(self.lumped)

    def decode(self, codes: Codes, ranges: bool = False, uniforms: Uniforms | None = None) -> list[Value]:
        """The values of codes ``[N]``; that of lumped values is one of them by ``uniforms`` ``[N]``, or their name."""
        values = [*self.categories, *([] if self.other is None else [self.other])]
        found = [values[code] for code in codes.tolist()]
        if uniforms is not None and self.lumped and not ranges:
            rows, ends = np.flatnonzero(codes == len(self.categories)), self._ends_of_lumped
            places = np.minimum(np.searchsorted(ends, uniforms[rows] * ends[-1], side="right"), len(ends) - 1)
            for row, place in zip(rows.tolist(), places.tolist(), strict=True):
                found[row] = self.lumped[place][0]
        return found

    def possible(self, decode: str = "median") -> list[Value]:
        """All values that samples can have, which are decoded ``inside``, by ``median`` or as ``ranges``."""
        lumped = [value for value, _ in self.lumped] if decode == "inside" else []
        return [*self.decode(np.arange(self.size - bool(lumped))), *lumped]

    @functools.cached_property
    def _ends_of_lumped(self) -> NDArray[np.int64]:
        return np.cumsum([count for _, count in self.lumped])

    def to_config(self) -> dict[str, Any]:
        """All that the column is, as plain JSON types."""
        lumped = {"lumped": [list(pair) for pair in self.lumped]} if self.lumped else {}
        return {"name": self.name, "categories": list(self.categories), "other": self.other, **lumped}


@dataclass(frozen=True)
class BinnedColumn:
    """A column of numbers, dates or times, cut into bins.

    Bin i holds the numbers in ``[edges[i], edges[i + 1])``, the last one its end too, which may be all that it holds;
    what lies outside goes to the first or last bin. Without dice a bin decodes to its entry of ``values``, the median
    of the numbers that it was made of. With ``has_missing`` one more code means missing values, and each of ``marks``,
    which are texts that stand among the numbers, has one more.

    With dice a bin decodes to a number by the quantile function of those numbers, which ``pieces`` hold: of each bin
    the first number of each piece, its last one and how many rows it has. In a piece all numbers are equally probable
    that are ``step`` units of the last of ``decimals`` apart, or all real ones where decimals are None. Old codecs have
    no pieces, and decode to the median. With a ``form`` all numbers are dates or times, written so.
    """

    name: str
    edges: tuple[float, ...]
    values: tuple[float, ...]
    has_missing: bool = False
    pieces: tuple[tuple[Piece, ...], ...] = ()
    decimals: int | None = None
    step: int = 1
    form: str | None = None
    marks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if not all(isinstance(mark, str) and is_utf8(mark) for mark in self.marks):
            raise InputError(f"marks of column {self.name!r} must be texts, got {self.marks!r:.100}")
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
        if self.pieces:
            self._check_pieces()

    def _check_pieces(self) -> None:
        of_bins = [number for pieces in self.pieces for piece in pieces for number in piece[:2]]
        places = [place for place, pieces in enumerate(self.pieces) for _ in pieces for _ in range(2)]
        are_pieces = all(
            len(piece) == 3 and all(map(is_number, piece[:2])) and isinstance(piece[2], int) and piece[2] > 0
            for pieces in self.pieces
            for piece in pieces
        )
        if not are_pieces or len(self.pieces) != len(self.values) or not all(self.pieces):
            raise InputError(f"pieces of column {self.name!r} must be [first, last, rows], at least one for each bin")
        if of_bins != sorted(of_bins) or self._bins(of_bins).tolist() != places:
            raise InputError(f"pieces of column {self.name!r} must ascend and lie in their bins")
        is_right = self.decimals is None or (type(self.decimals) is int and 0 <= self.decimals <= MOST_DECIMALS)
        if not is_right or type(self.step) is not int or self.step < 1:
            raise InputError(f"decimals and step of column {self.name!r} must be integers, or decimals None")
        if self.form is not None:
            try:
                self.written([*self.edges, *self.values, *of_bins])
                are_dates = all(isinstance(number, int) for number in (*self.values, *of_bins))
            except (ValueError, OverflowError):
                are_dates = False
            if not are_dates:
                raise InputError(f"numbers of column {self.name!r} must be integers that mean dates or times")

    @functools.cached_property
    def _form(self) -> DateForm | None:
        return None if self.form is None else DateForm(self.form)

    @property
    def size(self) -> int:
        """The number of codes."""
        return len(self.values) + self.has_missing + len(self.marks)

    @property
    def scale(self) -> int:
        """How many of the first codes are a scale: the bins."""
        return len(self.values)

    @property
    def _others(self) -> list[Value]:
        """What the codes behind those of bins mean."""
        return [*([None] if self.has_missing else []), *self.marks]

    @property
    def draws(self) -> bool:
        """Whether a code has several values, of which `decode` can draw one."""
        return bool(self.pieces)

    def _bins(self, numbers: Sequence[Any]) -> NDArray[np.int64]:
        return np.searchsorted(np.array(self.edges[1:-1], float), np.array(numbers, float), side="right")

    def number_of(self, value: Value) -> float | None:
        """The number of a value, by the form of dates where there is one; None for what is none."""
        if self._form is None:
            return number_of(value)
        return self._form.number_of(value) if isinstance(value, str) else None

    def encode(self, values: Sequence[Value], dtype: "np.dtype[Any]") -> Codes:
        """Codes ``[N]``."""
        others = {value: len(self.values) + place for place, value in enumerate(self._others)}
        texts = {value for value in values if isinstance(value, str)}
        numbers_of_texts = map(number_of, texts) if self._form is None else self._form.numbers_of([*texts])
        number_by = dict(zip(texts, numbers_of_texts, strict=True))
        number_by |= dict.fromkeys(others, self.edges[0])  # type: ignore[arg-type]
        numbers = [
            number_by.get(value) if value is None or isinstance(value, str) else self.number_of(value)  # type: ignore[arg-type]
            for value in values
        ]
        if None in numbers:
            row = numbers.index(None)
            if self.form is not None:
                raise InputError(
                    f"column {self.name!r} holds dates or times such as {self.written(self.values[:1])[0]} "
                    f"({self.form}), but {shown(values[row])} stands in row {row + 1}"
                    + ("; name what means a missing value by --missing" if isinstance(values[row], str) else "")
                )
            place, wrong = _reason_for_text(values, row)
            raise InputError(
                f"column {self.name!r} holds numbers, cut into bins, but {shown(wrong)} stands in row {place + 1}"
                + ("; name what means a missing value by --missing" if isinstance(wrong, str) else "")
            )
        codes = self._bins(numbers).astype(dtype)
        for value, code in others.items():
            codes[[given == value for given in values] if value is not None else [v is None for v in values]] = code
        return codes

    def decode(self, codes: Codes, ranges: bool = False, uniforms: Uniforms | None = None) -> list[Value]:
        """The values of codes ``[N]``: medians; numbers by ``uniforms`` ``[N]`` in [0, 1), at which the quantile
        function of each bin is taken; or with ``ranges`` the bins as text, such as ``[10, 25)``.
        """  # fmt: skip
        if uniforms is not None and self.pieces and not ranges:
            return self._drawn(np.asarray(codes, np.int64), uniforms)
        values: list[Value] = self.written(self.values)
        if ranges:
            ends = self.written(self.edges) if self.form is not None else [f"{edge:g}" for edge in self.edges]
            values = [
                f"[{low}, {high}{']' if place == len(self.values) - 1 else ')'}"
                for place, (low, high) in enumerate(itertools.pairwise(ends))
            ]
        values += self._others
        return [values[code] for code in codes.tolist()]

    def possible(self, decode: str = "median") -> list[Value]:
        """The values that samples can have, of which there may be too many to name: then the ends of what is drawn."""
        if decode != "inside" or not self.pieces:
            return self.decode(np.arange(self.size), decode == "ranges")
        numbers = {number for pieces in self.pieces for piece in pieces for number in piece[:2]}
        return [*self.written(sorted(numbers)), *self._others]

    def written(self, numbers: Sequence[float]) -> list[Value]:
        """Numbers as values of the column: themselves, or dates and times in its form."""
        form = self._form
        return list(numbers) if form is None else [*form.texts_of([int(number) for number in numbers])]

    @functools.cached_property
    def _quantiles(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[Any], NDArray[np.float64]]:
        """Of all pieces, one after the other: where each ends, bin + share; the first of each bin; its first number in
        units; and how many numbers it has, or, of real ones, its last number.
        """  # fmt: skip
        ends, firsts = [], [0]
        for place, pieces in enumerate(self.pieces):
            counts = np.cumsum([rows for _, _, rows in pieces], dtype=float)
            ends.append(place + counts / counts[-1])
            firsts.append(firsts[-1] + len(pieces))
        flat = [piece for pieces in self.pieces for piece in pieces]
        if self.decimals is None:
            low, high = (np.array([float(piece[end]) for piece in flat]) for end in (0, 1))
            return np.concatenate(ends), np.array(firsts), low, high
        units = [[_in_units(piece[end], self.decimals) for piece in flat] for end in (0, 1)]
        is_long = any(abs(unit) >= 2**53 for unit in units[1] + units[0])
        low = np.array(units[0], object if is_long else np.int64)
        numbers = [(last - first) // self.step + 1 for first, last in zip(*units, strict=True)]
        return np.concatenate(ends), np.array(firsts), low, np.array(numbers, float)

    def _drawn(self, codes: NDArray[np.int64], uniforms: Uniforms) -> list[Value]:
        ends, firsts, low, lengths = self._quantiles
        is_other = codes >= len(self.values)
        bins = np.where(is_other, 0, codes)
        at = bins + uniforms
        place = np.clip(np.searchsorted(ends, at, side="right"), firsts[bins], firsts[bins + 1] - 1)
        start = np.where(place == firsts[bins], bins, ends[place - 1])
        share = np.clip((at - start) / (ends[place] - start), 0, 1)
        if self.decimals is None:
            low, high = low[place], lengths[place]
            found: list[Value] = np.clip(low * (1 - share) + high * share, low, high).tolist()
        else:
            steps = np.minimum(np.floor(share * lengths[place]), lengths[place] - 1)
            steps = np.array([int(step) for step in steps], object) if low.dtype == object else steps.astype(np.int64)
            units = low[place] + steps * self.step
            if not isinstance(self.values[0], int):
                units = units.astype(float) / 10**self.decimals
            found = self.written(units.tolist())
        others = self._others
        for row in np.flatnonzero(is_other).tolist():
            found[row] = others[int(codes[row]) - len(self.values)]
        return found

    def to_config(self) -> dict[str, Any]:
        """All that the column is, as plain JSON types."""
        config: dict[str, Any] = {
            "name": self.name,
            "edges": list(self.edges),
            "values": list(self.values),
            "has_missing": self.has_missing,
        }
        if self.pieces:
            config["pieces"] = [[list(piece) for piece in pieces] for pieces in self.pieces]
            config |= {"decimals": self.decimals, "step": self.step, "form": self.form, "marks": list(self.marks)}
        return config


def _in_units(number: float, decimals: int) -> int:
    """A number in units of its last decimal."""
    return number if isinstance(number, int) and decimals == 0 else round(number * 10**decimals)


Column = CategoryColumn | BinnedColumn


def _key(value: Value) -> Any:
    """`identity`, and of the many texts the text itself, which is quicker."""
    return value if type(value) is str else identity(value)


def column_from_config(entry: Any) -> Column:
    """A column again from what its ``to_config`` gave, in this version or an earlier one."""
    keys = set(entry) if isinstance(entry, dict) else set()
    lists = {key for key in keys if isinstance(entry[key], list)}
    if keys - {"lumped"} == {"name", "categories", "other"} and keys - lists == {"name", "other"}:
        lumped = entry.get("lumped", [])
        if all(isinstance(pair, list) and len(pair) == 2 for pair in lumped):
            return CategoryColumn(
                entry["name"], tuple(entry["categories"]), entry["other"], tuple((value, n) for value, n in lumped)
            )
    of_pieces = {"pieces", "decimals", "step", "form", "marks"}
    if keys in ({*_BINNED}, {*_BINNED} | of_pieces) and {"edges", "values"} | (keys & {"pieces", "marks"}) <= lists:
        of_lists: dict[str, Any] = {key: tuple(entry[key]) for key in ("edges", "values", "marks") if key in keys}
        others: dict[str, Any] = {
            key: entry[key] for key in ("name", "has_missing", "decimals", "step", "form") if key in keys
        }
        parts = entry.get("pieces", [])
        are_lists = all(isinstance(part, list) and all(isinstance(piece, list) for piece in part) for part in parts)
        if are_lists and isinstance(others.get("form"), str | None):
            pieces = tuple(tuple(tuple(piece) for piece in part) for part in parts)
            return BinnedColumn(**of_lists, **others, pieces=pieces)
    raise InputError(
        "a column must have name, categories (a list) and other, or name, edges and values (lists) and has_missing; "
        f"got {entry!r:.200}"
    )


_BINNED = ("name", "edges", "values", "has_missing")


def _reason_for_text(values: Sequence[Value], row: int) -> tuple[int, Value]:
    """Row and value of what made a file's numbers text; else of the row that was given."""
    others = ((r, v) for r, v in enumerate(values) if isinstance(v, str) and not reads_as_number(v))
    return next(others, (row, values[row]))
