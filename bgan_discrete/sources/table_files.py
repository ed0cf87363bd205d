"""Tables in files: CSV and parquet, read into columns of plain values and written again."""

import csv
import datetime
import decimal
import io
import logging
import math
import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bgan_discrete.codecs.tables import Table, Value, check_characters, check_name, number_of, option_of
from bgan_discrete.durable import replacing_file
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources import conservation

DELIMITERS = {".csv": ",", ".tsv": "\t"}
TABLE_SUFFIXES = (*DELIMITERS, ".parquet")

Wanted = Callable[[str], bool]
"""Whether a column of a name is to be read."""

_log = logging.getLogger(__name__)

INDEX_NAME = "Unnamed: 0"
"""What pandas calls its index where that has no name."""


@dataclass
class Findings:
    """What reading data finds: losses that no option asked for, those that one did, and columns that it cannot use."""

    warnings: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refused: dict[str, InputError] = field(default_factory=dict)
    indexes: list[str] | None = None  # columns that number the rows of the data set, once it is read


def read_csv(
    path: Path,
    *,
    delimiter: str | None = None,
    header: bool = True,
    missing: Sequence[str] = (),
    findings: Findings | None = None,
) -> dict[str, list[Value]]:
    """Read a CSV file, quoted as RFC 4180 says.

    A column becomes numbers if each of its cells is what Python writes for a number, such as 2, 2.5 or 1e+16; else all
    of it stays text, such as 007, 2.50 or 1E3, so that different cells stay different and come back as they were
    written. An empty cell is missing.

    Args:
        path: A UTF-8 file.
        delimiter: Between cells; None for that of the file's suffix.
        header: Whether the first line names the columns, which is warned of where it looks like data; else they are
            ``column_0``, ``column_1``, ... A first column without a name is called `INDEX_NAME`.
        missing: Texts of cells that mean a missing value too.
        findings: Gets a line about blank lines.

    Returns:
        Column name -> values.

    Raises:
        InputError: If the file cannot be read; the message names the line and the column.
    """
    import pandas

    place = f"dataset {str(path)!r}"
    text = _decoded(path, place)
    if line := re.match(r'sep=([^"\r\n])(?=[\r\n])', text):
        text, delimiter = text[line.end() :], delimiter or line[1]
        _log.warning("the first line of %s, %r, is Excel's and no row; the delimiter is %r", place, line[0], delimiter)
    separator = delimiter or DELIMITERS[path.suffix.lower()]
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    usual = separator if header and delimiter is None else None
    # The header is read as a row, since pandas renames columns, and by Python's csv, since its own parser keeps text
    # behind a closing quote. Cells that a row lacks are NaN.
    options: Any = {"header": None, "dtype": str, "keep_default_na": False, "skip_blank_lines": False}
    try:
        file = io.StringIO(text.lstrip("\r\n"), newline="")
        frame = pandas.read_csv(file, sep=separator, engine="python", **options)
    except pandas.errors.EmptyDataError:
        raise InputError(f"{place} has no rows") from None
    except (ValueError, csv.Error) as error:  # pandas' own errors are of the first kind
        raise _fault_of_csv(text, separator, usual, place, error) from None
    absent = frame.isna()
    is_blank = absent.all(axis=1)
    if absent[~is_blank].any(axis=None):
        raise _fault_of_csv(text, separator, usual, place, None)
    if findings is not None and is_blank.any():
        count, example = int(is_blank.sum()), f"row {int(is_blank.argmax()) + 1 - header}"
        findings.warnings.append(
            conservation.left_out("rows", place, len(frame) - header, [example], count, "they are blank lines")
        )
    frame = frame[~is_blank]
    first = frame.iloc[0].tolist()
    if usual is not None:
        _check_delimiter(first, usual, place)
    first[0] = first[0] or INDEX_NAME + ".1" * (INDEX_NAME in first)
    names = _checked_names(first, place) if header else [f"column_{number}" for number in frame]
    columns = [frame[place].tolist()[header:] for place in frame]
    if not columns[0]:
        raise InputError(f"{place} has no rows")
    _warn_of_data(names, columns, place, header)
    gone = {"", *missing}
    return {
        name: _typed([None if cell in gone else cell for cell in cells])
        for name, cells in zip(names, columns, strict=True)
    }


def _decoded(path: Path, place: str) -> str:
    """The text of a UTF-8 file without NUL characters."""
    try:
        content = path.read_bytes()
        text = content.decode().removeprefix("\ufeff")
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{place} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start} (line {line}); convert "
            "the file to UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{place} is damaged, or no UTF-8 text: line {line} holds a NUL character")
    return text


def _fault_of_csv(text: str, delimiter: str, usual: str | None, place: str, error: Exception | None) -> InputError:
    """The first fault of a file that pandas could not read, or whose rows differ in length."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = line = 0
    try:
        for row in rows:
            if row and not width and usual is not None:
                _check_delimiter(row, usual, place)
            width = width or len(row)
            if row and len(row) != width:
                return InputError(
                    f"{place} has {len(row)} cells in line {rows.line_num}, but {width} columns; quote cells that hold "
                    f"the delimiter, or name another one (--delimiter {';' if delimiter != ';' else ','!r})"
                )
            line = rows.line_num
    except csv.Error as fault:
        error = fault
    return InputError(f"{place} is no CSV file after line {line}: {one_line(error or ValueError())}")


def _check_delimiter(row: Sequence[str], usual: str, place: str) -> None:
    """Refuse a header of one name that holds what delimits cells elsewhere."""
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
    if is_named and all(
        number_of(name) is not None or name in cells for name, cells in zip(names, columns, strict=True)
    ):
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
    numbers = {cell: number_of(cell) for cell in set(cells) if cell is not None}
    are_spelt = all(number is not None and str(number) == cell for cell, number in numbers.items())
    return [None if cell is None else numbers[cell] for cell in cells] if are_spelt else list(cells)


def read_parquet(
    path: Path,
    missing: Sequence[str] = (),
    is_wanted: Wanted = lambda name: True,
    findings: Findings | None = None,
) -> dict[str, list[Value]]:
    """Read a parquet file: arguments, values and errors as in `plain_columns`."""
    import pandas
    import pyarrow.parquet

    place = f"dataset {str(path)!r}"
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
        # Types of Arrow, since those of NumPy would make floating-point numbers of integers where one is missing.
        frame = table.to_pandas(types_mapper=pandas.ArrowDtype)
    except Exception as error:  # Arrow's own errors are of many kinds
        raise InputError(f"{place} cannot be read as parquet: {one_line(error)}") from None
    if table.num_rows == 0:
        raise InputError(f"{place} has no rows")
    return plain_columns(columns_of(frame, place), place, missing, is_wanted, findings)


def columns_of(frame: Any, place: str) -> dict[str, Any]:
    """The columns of a data frame of any library, or of a dictionary, by their names as text.

    An index of pandas is a column, except for a plain count of the rows; without a name it is called `INDEX_NAME`.
    Raises InputError if two columns have one name.
    """
    if hasattr(frame, "reset_index") and (list(frame.index.names) != [None] or not hasattr(frame.index, "step")):
        names = [f"Unnamed: {level}" if name is None else name for level, name in enumerate(frame.index.names)]
        frame = frame.reset_index(names=names, allow_duplicates=True)
    keys = list(getattr(frame, "columns", frame))
    names = [str(key) if isinstance(key, (int, np.integer)) else key for key in keys]
    for number, name in enumerate(names):
        check_name(name)
        if name in names[:number]:
            raise InputError(f"{place} has two columns called {name!r}; rename one")
    return {name: frame[key] for name, key in zip(names, keys, strict=True)}


def plain_columns(
    columns: Mapping[str, Iterable[Any]],
    place: str,
    missing: Sequence[str] = (),
    is_wanted: Wanted = lambda name: True,
    findings: Findings | None = None,
) -> dict[str, list[Value]]:
    """The values of columns as strings, numbers, booleans and None, whichever library holds them.

    Args:
        columns: Column name -> values of Python, NumPy, Arrow or pandas. NaN, NaT and NA are missing; decimal numbers
            become integers or floating-point ones, or text where those would be others; dates, times and ranges text.
        place: Of the table, for messages.
        missing: Texts that mean a missing value too.
        is_wanted: Whether a column of a name will be used; the others may hold anything, and come without values.
        findings: Gets values that become one, and the errors of columns that cannot be used, which come without values.

    Returns:
        Column name -> one value for each.

    Raises:
        InputError: If there are no findings, and a column that is wanted holds lists, bytes or the like.
    """
    found: dict[str, list[Value]] = {}
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
            if findings is None:
                raise fault from None
            findings.refused.setdefault(name, fault)
            continue
        pairs = [(old, new) for old, new in zip(given, found[name], strict=True) if new is not None]
        if any(
            isinstance(old, decimal.Decimal) or (isinstance(new, str) and not isinstance(old, str))
            for old, new in pairs
        ):
            rewritten[name] = [old for old, _ in pairs], [new for _, new in pairs]
    if findings is not None:
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


def table_of_array(array: "np.ndarray[Any, Any]", is_wanted: Wanted = lambda name: True) -> dict[str, list[Value]]:
    """The columns of an array.

    Args:
        array: Structured ``[S]``, whose fields are the columns, or ``[S, C]``, for ``column_0``, ``column_1``, ...: of
            numbers, booleans, strings, times or objects; NaN and the empty string are missing.
        is_wanted: Whether a column of a name will be used; the others may hold anything, and come without values.

    Returns:
        Column name -> values; none for those that are not wanted.

    Raises:
        InputError: If the array has another shape, or a column that is wanted holds arrays.
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


def format_csv(table: Table, delimiter: str = ",") -> str:
    """A table as the text of a CSV file, with a line of its column names; a missing value is an empty cell."""
    rows = [table, *zip(*table.values(), strict=True)]
    return "".join(delimiter.join(csv_cell(value, delimiter, len(table) == 1) for value in row) + "\n" for row in rows)


def csv_cell(value: Value, delimiter: str = ",", is_alone: bool = False) -> str:
    """A value as a cell of a CSV file, in quotes where it needs them."""
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
    ones are empty). The type of a column is that of all values that it can have. Values that become one by this, such
    as None and "" of CSV, are warned of.

    Args:
        file: To write.
        suffix: Of its name.
        parts: Column name -> values.
        count: Rows of all parts.
        possible: Column name -> all values that can occur, of any number.
    """
    written = {name: (values, _as_written(values, suffix)) for name, values in possible.items()}
    advice = "such a file cannot tell them apart"
    conservation.report(conservation.merges("values", f"the {suffix} file", written, advice))
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


def _as_written(values: Sequence[Value], suffix: str) -> Sequence[Value]:
    kinds = values if suffix in DELIMITERS else of_one_kind(values)
    return kinds if suffix == ".parquet" else ["" if value is None else str(value) for value in kinds]


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
