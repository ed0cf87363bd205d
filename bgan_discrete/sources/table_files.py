"""Tables in files: CSV and parquet, read into columns of plain values and written again."""

import csv
import datetime
import decimal
import logging
import math
import re
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bgan_discrete.codecs.tables import Table, Value
from bgan_discrete.durable import replacing_file
from bgan_discrete.errors import InputError, one_line

DELIMITERS = {".csv": ",", ".tsv": "\t"}
TABLE_SUFFIXES = (*DELIMITERS, ".parquet")

Wanted = Callable[[str], bool]
"""Whether a column of a name is to be read."""

_log = logging.getLogger(__name__)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?")


def read_csv(
    path: Path, *, delimiter: str | None = None, header: bool = True, missing: Sequence[str] = ()
) -> dict[str, list[Value]]:
    """Read a CSV file, quoted as RFC 4180 says.

    A column whose cells are all integers, as people write them (no leading zeros), becomes integers; one of numbers
    becomes floating-point numbers; everything else stays text. An empty cell is missing.

    Args:
        path: A UTF-8 file.
        delimiter: Between cells; None for that of the file's suffix.
        header: Whether the first line names the columns, which is warned of where it looks like data; else they are
            ``column_0``, ``column_1``, ...
        missing: Texts of cells that mean a missing value too.

    Returns:
        Column name -> values.

    Raises:
        InputError: If the file cannot be read; the message names the line and the column.
    """
    place = f"dataset {str(path)!r}"
    names: list[str] = []
    columns: list[list[str]] = []
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=delimiter or DELIMITERS[path.suffix.lower()], strict=True)
            for row in rows:
                line = rows.line_num
                if "\0" in "".join(row):
                    raise InputError(f"{place} is damaged, or no UTF-8 text: line {line} holds a NUL character")
                if not row:  # a blank line
                    continue
                if not names:
                    if header and delimiter is None:
                        _check_delimiter(row, path, place)
                    names = _checked_names(row, place) if header else [f"column_{i}" for i in range(len(row))]
                    columns = [[] for _ in names]
                    if header:
                        continue
                if len(row) != len(names):
                    raise InputError(
                        f"{place} has {len(row)} cells in line {line}, but {len(names)} columns; quote cells "
                        "that hold the delimiter, or name another one (--delimiter ';')"
                    )
                for column, cell in zip(columns, row, strict=True):
                    column.append(cell)
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{place} is not UTF-8: {_first_bad_byte(path)}; convert the file to UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{place} is no CSV file after line {line}: {error}") from None
    if not columns or not columns[0]:
        raise InputError(f"{place} has no rows")
    _warn_of_data(names, columns, place, header)
    gone = {"", *missing}
    return {
        name: _typed([None if cell in gone else cell for cell in cells])
        for name, cells in zip(names, columns, strict=True)
    }


def _first_bad_byte(path: Path) -> str:
    """Where a file stops being UTF-8; its decoder, which reads in blocks, does not know."""
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                return f"byte 0x{raw[error.start]:02x} at offset {offset + error.start} (line {number})"
            offset += len(raw)
    return "it changed while it was read"


def _check_delimiter(row: list[str], path: Path, place: str) -> None:
    """Refuse a header of one name that holds what delimits cells elsewhere."""
    usual = DELIMITERS[path.suffix.lower()]
    other = next((letter for letter in ";\t|," if letter != usual and letter in row[0]), None)
    if len(row) == 1 and other is not None:
        raise InputError(
            f"{place} has a single column, called {row[0]!r}: if {other!r} stands between its cells, say so "
            f"(--delimiter {other!r}), and else --delimiter {usual!r}"
        )


def _warn_of_data(names: list[str], columns: list[list[str]], place: str, header: bool) -> None:
    """Say so where each name of a header is a number or a value of its column, but for columns numbered from 0."""
    is_numbered = len(names) > 2 and names == [str(number) for number in range(len(names))]
    is_named = header and not is_numbered
    if is_named and all(_is_number_text(name) or name in cells for name, cells in zip(names, columns, strict=True)):
        _log.warning(
            "the first line of %s looks like data but names its columns (%s%s); if it is a row, read it with "
            "--no-header (header=False)",
            place,
            ", ".join(map(repr, names[:5])),
            ", ..." if len(names) > 5 else "",
        )


def _checked_names(row: list[str], place: str) -> list[str]:
    for number, name in enumerate(row, 1):
        if not name:
            raise InputError(
                f"{place} has no name for column {number} in its header; give one, or read it with --no-header"
            )
        if name in row[: number - 1]:
            raise InputError(
                f"{place} has two columns called {name!r} in its header; rename one, or read it with --no-header"
            )
    return row


def _typed(cells: list[str | None]) -> list[Value]:
    present = {cell for cell in cells if cell is not None}
    if present and all(_INTEGER.fullmatch(cell) and cell != "-0" for cell in present):
        return [None if cell is None else int(cell) for cell in cells]
    if present and all(_is_number_text(cell) for cell in present):
        return [None if cell is None else float(cell) for cell in cells]
    return list(cells)


def _is_number_text(cell: str) -> bool:
    if not _NUMBER.fullmatch(cell):
        return False
    try:
        return math.isfinite(float(cell))
    except ValueError:  # a point or an exponent alone
        return False


def read_parquet(
    path: Path, missing: Sequence[str] = (), is_wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, list[Value]]:
    """Read a parquet file; null and NaN are missing, dates and times become text.

    Args:
        path: The file.
        missing: Texts that mean a missing value too.
        is_wanted: Whether a column of a name will be used; the others may hold anything, and come without values.

    Returns:
        Column name -> values; none for those that are not wanted.

    Raises:
        InputError: If the file cannot be read, or a column that is wanted holds lists, bytes or the like.
    """
    import pyarrow.parquet

    place = f"dataset {str(path)!r}"
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
            names = list(table.column_names)
    except Exception as error:  # Arrow's own errors are of many kinds
        raise InputError(f"{place} cannot be read as parquet: {one_line(error)}") from None
    if table.num_rows == 0:
        raise InputError(f"{place} has no rows")
    found: dict[str, list[Value]] = {}
    for name in _checked_names(names, place):
        if not is_wanted(name):
            found[name] = []
            continue
        try:
            values = table.column(name).to_pylist()
        except Exception as error:  # dates that Python does not know, text that is not UTF-8
            raise InputError(f"column {name!r} of {place} cannot be read: {one_line(error)}") from None
        found[name] = plain_values(values, name, place, missing)
    return found


def plain_values(values: Iterable[Any], name: object, place: str, missing: Sequence[str] = ()) -> list[Value]:
    """The values of a column as strings, numbers, booleans and None, whichever library holds them.

    Args:
        values: Of Python, NumPy or pandas. NaN, NaT and NA are missing; decimal numbers become floating-point ones, and
            dates and times text.
        name: Of the column, for the message.
        place: Of the table, likewise.
        missing: Texts that mean a missing value too.

    Returns:
        One for each.

    Raises:
        InputError: If there is a list, bytes or the like.
    """
    found: list[Value] = []
    gone = set(missing)
    for row, given in enumerate(values, 1):
        value = given
        if isinstance(value, (np.datetime64, np.timedelta64)):
            value = None if np.isnat(value) else str(value)
        elif isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, decimal.Decimal):
            value = float(value)
        if type(value).__name__ in ("NaTType", "NAType"):  # of pandas, which is not asked for
            value = None
        elif isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
            value = str(value)
        if (
            value is None
            or (isinstance(value, float) and math.isnan(value))
            or (isinstance(value, str) and value in gone)
        ):
            found.append(None)
        elif isinstance(value, str) and "\0" in value:
            raise InputError(f"column {name!r} of {place} is damaged: row {row} holds a NUL character")
        elif isinstance(value, (str, int, float)):
            found.append(value)
        else:
            raise InputError(
                f"column {name!r} of {place} holds {type(value).__name__} in row {row}; a table has strings, numbers, "
                f"booleans and dates: drop it (--drop {name})"
            )
    return found


def table_of_array(
    array: "np.ndarray[Any, Any]", names: Sequence[str] | None = None, is_wanted: Wanted = lambda name: True
) -> dict[str, list[Value]]:
    """The columns of an array.

    Args:
        array: Structured ``[S]``, whose fields are the columns, or ``[S, C]`` of numbers, booleans or strings; NaN and
            the empty string are missing.
        names: C of them; None for ``column_0``, ``column_1``, ...
        is_wanted: Whether a column of a name will be used; the others may hold anything, and come without values.

    Returns:
        Column name -> values; none for those that are not wanted.

    Raises:
        InputError: If the array has another shape, or a column that is wanted holds objects.
    """
    if array.dtype.names is not None:
        columns = {name: array[name] for name in array.dtype.names}
    elif array.ndim == 2:
        columns = {
            name: array[:, place] for place, name in enumerate(names or [f"column_{i}" for i in range(array.shape[1])])
        }
    else:
        raise InputError(f"a table must be an array [rows, columns] or one of named fields, got {list(array.shape)}")
    for name, column in columns.items():
        if is_wanted(name) and (column.ndim != 1 or column.dtype.kind not in "biufU"):
            raise InputError(
                f"column {name!r} must hold one number, boolean or string a row, got {column.dtype} of shape "
                f"{list(column.shape)}: drop it (--drop {name})"
            )
        if is_wanted(name) and column.dtype.kind == "U" and column.size and column.dtype.itemsize:
            # NumPy would make strings of any numbers, which Python cannot read again.
            numbers = np.ascontiguousarray(column).view(np.dtype(np.uint32).newbyteorder(column.dtype.byteorder))
            if numbers.max() > sys.maxunicode:
                raise InputError(f"column {name!r} holds {numbers.max():#x} in the place of a character")
    return {
        name: [None if value == "" or value != value else value for value in column.tolist()]  # noqa: PLR0124 - NaN
        if is_wanted(name)
        else []
        for name, column in columns.items()
    }


def format_csv(table: Table, delimiter: str = ",") -> str:
    """A table as the text of a CSV file, with a line of its column names; a missing value is an empty cell."""
    rows = [table, *zip(*table.values(), strict=True)]
    return "".join(delimiter.join(_cell(value, delimiter, len(table) == 1) for value in row) + "\n" for row in rows)


def _cell(value: Value, delimiter: str, is_alone: bool) -> str:
    # Not by the csv module, some versions of which leave a carriage return without quotes.
    text = "" if value is None else str(value)
    # An empty line would be no row.
    if any(letter in text for letter in (delimiter, '"', "\r", "\n")) or (is_alone and not text):
        return '"' + text.replace('"', '""') + '"'
    return text


def write_table(table: Table, path: Path) -> None:
    """Write a table into a ``.csv``, ``.tsv``, ``.parquet`` or ``.npy`` file, as `write_table_parts` does."""
    with replacing_file(path) as file:
        write_table_parts(file, path.suffix.lower(), [table], len(next(iter(table.values()))), table)


def write_table_parts(file: BinaryIO, suffix: str, parts: Iterable[Table], count: int, possible: Table) -> None:
    """Write a table, part by part, as a ``.csv``, ``.tsv``, ``.parquet`` or ``.npy`` file.

    A missing value is an empty cell of CSV and null in parquet. The array of a ``.npy`` file is structured, with a
    field for each column: integers, floating-point numbers (missing ones are NaN), booleans, or else strings (missing
    ones are empty). The type of a column is that of all values that it can have.

    Args:
        file: To write.
        suffix: Of its name.
        parts: Column name -> values.
        count: Rows of all parts.
        possible: Column name -> all values that can occur, of any number.
    """
    if suffix in DELIMITERS:
        header = format_csv({name: [] for name in possible}, DELIMITERS[suffix])
        file.write(header.encode())
        for part in parts:
            file.write(format_csv(part, DELIMITERS[suffix]).removeprefix(header).encode())
        return
    values_of = {name: of_one_kind(values) for name, values in possible.items()}
    kind_of = {
        name: next((type(value) for value in found if value is not None), str) for name, found in values_of.items()
    }
    typed = (
        {name: [None if value is None else kind_of[name](value) for value in values] for name, values in part.items()}
        for part in parts
    )
    if suffix == ".npy":
        fields = [(name, _field(values, kind_of[name])) for name, values in values_of.items()]
        write_npy(file, (_structured(part, fields) for part in typed), count)
        return
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.array(values).type) for name, values in values_of.items()])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for part in typed:
            writer.write_table(pyarrow.table(part, schema))


def write_npy(file: Any, parts: Iterable["np.ndarray[Any, Any]"], count: int) -> None:
    """Write arrays ``[n, ...]``, which differ in n alone, as one ``.npy`` file of ``count`` rows."""
    remaining = iter(parts)
    first = next(remaining)
    facts = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False}
    header = repr({**facts, "shape": (count, *first.shape[1:])}).encode()
    # Version 3 is the one that can name its fields in any script.
    magic = np.lib.format.magic(1 if first.dtype.names is None else 3, 0)
    sized = struct.Struct("<H" if first.dtype.names is None else "<I")
    padding = b" " * (-(len(magic) + sized.size + len(header) + 1) % np.lib.format.ARRAY_ALIGN)
    file.write(magic + sized.pack(len(header) + len(padding) + 1) + header + padding + b"\n")
    for array in chain([first], remaining):
        file.write(np.ascontiguousarray(array).data)


def of_one_kind(values: Sequence[Value]) -> list[Value]:
    """Values of one type: text where they are of several, or integers beyond 64 bits."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    fits = not any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in values)
    return list(values) if len(kinds) <= 1 and fits else [None if value is None else str(value) for value in values]


def _field(values: Sequence[Value], kind: type) -> str:
    if kind in (int, bool) and None not in values:
        return np.dtype(kind).str
    # A string of length 0 has no place in a structured array.
    width = max(1, *(0 if value is None else len(str(value)) for value in values))
    return "<f8" if kind in (int, float) else f"<U{width}"


def _structured(table: Table, fields: list[tuple[str, str]]) -> "np.ndarray[Any, Any]":
    found = np.empty(len(next(iter(table.values()))), fields)
    for name, dtype in fields:
        missing = math.nan if dtype == "<f8" else ""
        found[name] = [missing if value is None else value for value in table[name]]
    return found
