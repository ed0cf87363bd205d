"""Tables of files, frames, dictionaries and structured arrays -> columns of plain values."""

import datetime
import decimal
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bgan_discrete.codecs.arrays import check_characters
from bgan_discrete.codecs.values import Value, check_name, number_of, option_of
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources import conservation
from bgan_discrete.sources.dtypes import dtypes_of
from bgan_discrete.sources.lines import DELIMITERS, csv_rows

Columns = dict[str, list[Any]]
Wanted = Callable[[str], bool]
"""Whether a column of a name is to be read; the others may hold anything, and come without values."""

_log = logging.getLogger(__name__)

ROWS_AT_ONCE = 10_000
"""Of a CSV file, that are taken apart into columns."""

MOST_DIFFERENT = 100_000
"""Cells of a column of a CSV file that are remembered, to hold each different one once."""

INDEX_NAME = "Unnamed: 0"
"""What pandas calls its index where that has no name."""


@runtime_checkable
class Frame(Protocol):
    """What a data frame of pandas or polars has, and is known by."""

    @property
    def columns(self) -> Any:
        """Names of its columns."""

    def __getitem__(self, name: Any, /) -> Any:
        """A column."""


@dataclass
class Findings:
    """What reading data finds: losses that no option asked for, those that one did, and columns that it cannot use."""

    warnings: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refused: dict[str, InputError] = field(default_factory=dict)
    indexes: list[str] | None = None  # columns that number the rows of the data set, once it is read
    dtypes: dict[str, Any] | None = None  # of the data frame that the data set was, once it is read


def read_csv(
    path: Path, place: str, delimiter: str | None, header: bool, missing: Sequence[str], findings: Findings
) -> Columns:
    """Read a CSV file by `csv_rows`; blank lines are noted, and a header that looks like data is warned of.

    A column becomes numbers if each of its cells is what Python writes for a number, such as 2, 2.5 or 1e+16; else all
    of it stays text, such as 007, 2.50 or 1E3, so that different cells stay different and come back as they were
    written. An empty cell is missing. A first column without a name is called `INDEX_NAME`; without a header columns
    are ``column_0``, ``column_1``, ...
    """
    rows = csv_rows(path, place, delimiter, "--delimiter")
    first = next(rows, [])
    if header and delimiter is None:
        _check_delimiter(first, DELIMITERS[path.suffix.lower()], place)
    columns, blank, count = _columns_of(rows if header else chain([first], rows))
    if blank:
        findings.warnings.append(
            conservation.left_out("rows", place, count, [f"row {blank[0]}"], len(blank), "they are blank lines")
        )
    if not columns:
        raise InputError(f"{place} has no rows")
    names = _checked_names(first, place) if header else [f"column_{number}" for number in range(len(first))]
    if header:
        _warn_of_data(names, columns, place)
    gone = {"", *missing}
    for number, cells in enumerate(columns):  # one by one: cells of a large file are to be there once
        columns[number] = _typed([None if cell in gone else cell for cell in cells])
    return dict(zip(names, columns, strict=True))


def _columns_of(rows: Iterable[list[str]]) -> tuple[list[list[Any]], list[int], int]:
    """The columns of rows, the numbers of blank ones, and how many rows there are, blank ones too.

    Equal cells of a column are one object, as far as it has few different ones: memory is that of one pointer a cell.
    """
    columns: list[list[Any]] = []
    known: list[dict[str, str]] = []
    blank: list[int] = []
    count = 0
    remaining = iter(rows)
    while part := list(islice(remaining, ROWS_AT_ONCE)):
        blank += [number for number, row in enumerate(part, count + 1) if not row]
        count += len(part)
        of_part = list(zip(*filter(None, part), strict=True))
        columns = columns or [[] for _ in of_part]
        known = known or [{} for _ in of_part]
        for column, different, cells in zip(columns, known, of_part, strict=False):
            if len(different) <= MOST_DIFFERENT:
                column.extend(map(different.setdefault, cells, cells))
            else:
                column.extend(cells)
    return columns, blank, count


def _check_delimiter(row: Sequence[str], usual: str, place: str) -> None:
    """Refuse a header of one name that holds what delimits cells elsewhere."""
    other = next((letter for letter in ";\t|," if letter != usual and len(row) == 1 and letter in row[0]), None)
    if other is not None:
        raise InputError(
            f"{place} has a single column, called {row[0]!r}: if {other!r} stands between its cells, say so "
            f"(--delimiter {other!r}), and else --delimiter {usual!r}"
        )


def _checked_names(row: list[str], place: str) -> list[str]:
    names = [row[0] or INDEX_NAME + ".1" * (INDEX_NAME in row), *row[1:]]
    for number, name in enumerate(names):
        if not name or name in names[:number]:
            fault = f"two columns called {name!r}" if name else f"no name for column {number + 1}"
            mend = "rename one" if name else "give one"
            raise InputError(f"{place} has {fault} in its header; {mend}, or read it with --no-header")
    return names


def _warn_of_data(names: list[str], columns: list[list[str]], place: str) -> None:
    """Say so where each name of a header is a number or a value of its column, but for columns numbered from 0."""
    is_numbered = len(names) > 2 and names == [str(number) for number in range(len(names))]
    pairs = zip(names, columns, strict=True)
    if not is_numbered and all(number_of(name) is not None or name in cells for name, cells in pairs):
        _log.warning(
            "the first line of %s looks like data but names its columns (%s%s); if it is a row, read it with "
            "--no-header (header=False)",
            place,
            ", ".join(map(repr, names[:5])),
            ", ..." if len(names) > 5 else "",
        )


def _typed(cells: list[str | None]) -> list[Value]:
    numbers = {cell: number_of(cell) for cell in set(cells) if cell is not None}
    are_spelt = all(number is not None and str(number) == cell for cell, number in numbers.items())
    return [None if cell is None else numbers[cell] for cell in cells] if are_spelt else list(cells)


def read_parquet(path: Path, place: str, missing: Sequence[str], is_wanted: Wanted, findings: Findings) -> Columns:
    """Read a parquet file: arguments, values and errors as in `plain_columns`."""
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
        frame = frame_of_arrow(table)
    except Exception as error:  # Arrow's own errors are of many kinds
        raise InputError(f"{place} cannot be read as parquet: {one_line(error)}") from None
    if table.num_rows == 0:
        raise InputError(f"{place} has no rows")
    if findings.dtypes is None:
        findings.dtypes = dtypes_of(table.slice(0, 1).to_pandas())
    return plain_columns(columns_of(frame, place), place, missing, is_wanted, findings)


def frame_of_arrow(table: Any) -> Any:
    """A frame with Arrow's types: NumPy's would make floating-point numbers of integers where one is missing."""
    import pandas

    return table.to_pandas(types_mapper=pandas.ArrowDtype)


def has_numbers_for_rows(frame: Any) -> bool:
    """Whether the index of a pandas frame has no name and numbers the rows, but is no plain count of them."""
    import pandas

    if not isinstance(frame, pandas.DataFrame) or isinstance(frame.index, pandas.RangeIndex):
        return False
    return frame.index.inferred_type == "integer" and frame.index.name is None


def columns_of(frame: Any, place: str) -> dict[str, Any]:
    """The columns of a data frame of any library, or of a dictionary, by their names as text.

    An index of pandas is a column, except for a plain count of the rows; without a name it is called `INDEX_NAME`.
    Raises InputError if two columns have one name.
    """
    import pandas

    is_plain = not isinstance(frame, pandas.DataFrame) or (
        isinstance(frame.index, pandas.RangeIndex) and frame.index.name is None
    )
    if not is_plain:
        names = [f"Unnamed: {level}" if name is None else name for level, name in enumerate(frame.index.names)]
        frame = frame.reset_index(names=names, allow_duplicates=True)
    keys = list(frame if isinstance(frame, Mapping) else frame.columns)
    names = [str(key) if isinstance(key, (int, np.integer)) else key for key in keys]
    for number, name in enumerate(names):
        check_name(name)
        if name in names[:number]:
            raise InputError(f"{place} has two columns called {name!r}; rename one")
    return {name: frame[key] for name, key in zip(names, keys, strict=True)}


def plain_columns(
    columns: Mapping[str, Iterable[Any]], place: str, missing: Sequence[str], is_wanted: Wanted, findings: Findings
) -> Columns:
    """The values of columns as strings, numbers, booleans and None, whichever library holds them.

    NaN, NaT, NA and the texts in ``missing`` are missing; decimal numbers become integers or floating-point ones, or
    text where those would be others; dates, times and ranges text. The findings get values that become one, and the
    errors of columns that cannot be used, which come without values.
    """
    found: Columns = {}
    rewritten: dict[str, tuple[list[Any], list[Value]]] = {}
    gone = set(missing)
    for name, values in columns.items():
        found[name] = []
        try:
            given = list(values) if is_wanted(name) else []
            found[name] = [_plain(value, row, gone) for row, value in enumerate(given, 1)]
        except Exception as error:  # Arrow's own, too: dates that Python does not know, text that is not UTF-8
            reason = error if isinstance(error, InputError) else f"cannot be read: {one_line(error)}"
            fault = InputError(f"column {name!r} of {place} {reason}: drop it ({option_of('--drop', [name])})")
            findings.refused.setdefault(name, fault)
            continue
        pairs = [(old, new) for old, new in zip(given, found[name], strict=True) if new is not None]
        if any(
            isinstance(old, decimal.Decimal) or (isinstance(new, str) and not isinstance(old, str))
            for old, new in pairs
        ):
            rewritten[name] = [old for old, _ in pairs], [new for _, new in pairs]
    findings.warnings += conservation.merges("values", place, rewritten, "make them of one kind to keep them apart")
    return found


def _plain(given: Any, row: int, gone: Collection[str]) -> Value:
    """A value of Python, NumPy, Arrow or pandas as one of a table."""
    if isinstance(given, str):
        if "\0" in given:
            raise InputError(f"is damaged: row {row} holds a NUL character")
        return None if given in gone else str(given)
    is_time = isinstance(given, (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64))
    value = given.item() if isinstance(given, np.generic) and not is_time else given
    kind = type(value).__name__
    if value is None or kind in ("NaTType", "NAType"):  # of pandas, which may not be there
        return None
    if is_time or kind in ("Period", "Interval", "UUID"):
        return None if str(value) == "NaT" else str(value)
    if isinstance(value, decimal.Decimal):
        number = int(value) if value.is_finite() and value.as_tuple()[2] in range(300) else float(value)
        value = number if number != number or decimal.Decimal(str(number)) == value else str(value)  # noqa: PLR0124
    if not isinstance(value, (str, int, float)):
        raise InputError(f"holds {kind} in row {row}; a table has strings, numbers, booleans and dates")
    return None if value != value else value  # noqa: PLR0124 - NaN


def table_of_array(array: "np.ndarray[Any, Any]", is_wanted: Wanted) -> Columns:
    """The columns of an array: structured ``[S]``, or ``[S, C]`` for ``column_0``, ``column_1``, ...

    They hold numbers, booleans, strings, times or objects; NaN and the empty string are missing. Raises InputError if
    the array has another shape, or a column that is wanted holds arrays.
    """
    if array.dtype.names is not None:
        columns = {name: array[name] for name in array.dtype.names}
    elif array.ndim == 2:
        columns = {f"column_{place}": column for place, column in enumerate(array.T)}
    else:
        raise InputError(f"a table must be an array [rows, columns] or one of named fields, got {list(array.shape)}")
    for name, column in columns.items():
        if is_wanted(name) and (column.ndim != 1 or column.dtype.kind not in "biufUSMmO"):
            raise InputError(
                f"column {name!r} must hold one number, boolean or string a row, got {column.dtype} of shape "
                f"{list(column.shape)}: drop it ({option_of('--drop', [name])})"
            )
        if is_wanted(name) and column.dtype.kind == "U":
            check_characters(column, f"column {name!r}")
    return {name: _values_of_array(column) if is_wanted(name) else [] for name, column in columns.items()}


def _values_of_array(column: "np.ndarray[Any, Any]") -> list[Any]:
    if column.dtype.kind in "MmO":  # as lists, times would be numbers
        return list(column)
    values = (np.char.decode(column, "latin-1") if column.dtype.kind == "S" else column).tolist()
    return [None if value == "" or value != value else value for value in values]  # noqa: PLR0124 - NaN
