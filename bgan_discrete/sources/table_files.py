"""Tables and arrays written into files: CSV, parquet and NumPy's own."""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bgan_discrete.codecs.values import Table, Value
from bgan_discrete.durable import replacing_file
from bgan_discrete.sources import conservation
from bgan_discrete.sources.dtypes import Dtype, frame_of, is_time
from bgan_discrete.sources.lines import DELIMITERS

TABLE_SUFFIXES = (*DELIMITERS, ".parquet")


def format_csv(table: Table, delimiter: str = ",") -> str:
    """A table as the text of a CSV file, with a line of its column names; a missing value is an empty cell."""
    header = [csv_cell(name, delimiter, len(table) == 1) for name in table]
    cells = [_csv_cells(values, delimiter, len(table) == 1) for values in table.values()]
    return "".join([delimiter.join(row) + "\n" for row in (header, *zip(*cells, strict=True))])


def csv_cell(value: Value, delimiter: str = ",", is_alone: bool = False) -> str:
    """A value as a cell of a CSV file, in quotes where it needs them."""
    # Not by the csv module, some versions of which leave a carriage return without quotes.
    text = "" if value is None else str(value)
    # An empty line would be no row.
    if any(letter in text for letter in (delimiter, '"', "\r", "\n")) or (is_alone and not text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _csv_cells(values: Sequence[Value], delimiter: str, is_alone: bool) -> list[str]:
    """`csv_cell` of all values of a column; of texts once for each different one, and numbers need no quotes."""
    kinds = set(map(type, values))
    if kinds <= {str, type(None)}:
        cell_of = {value: csv_cell(value, delimiter, is_alone) for value in set(values)}
        return [cell_of[value] for value in values]
    if kinds <= {int, float} and delimiter in DELIMITERS.values():
        return list(map(str, values))
    return [csv_cell(value, delimiter, is_alone) for value in values]


def write_table(table: Table, path: Path) -> None:
    """Write a table into a ``.csv``, ``.tsv``, ``.parquet`` or ``.npy`` file, as `write_table_parts` does."""
    with replacing_file(path) as file:
        write_table_parts(file, path.suffix.lower(), [table], len(next(iter(table.values()))), table)


def write_table_parts(
    file: BinaryIO,
    suffix: str,
    parts: Iterable[Table],
    count: int,
    possible: Table,
    dtypes: Mapping[str, Dtype] | None = None,
) -> None:
    """Write a table of ``count`` rows, part by part, as a ``.csv``, ``.tsv``, ``.parquet`` or ``.npy`` file.

    A missing value is an empty cell of CSV and null in parquet. The array of a ``.npy`` file is structured, with a
    field for each column: integers, floating-point numbers (missing ones are NaN), booleans, or else strings (missing
    ones are empty). The type of a column is that of all its ``possible`` values. Values that become one by this, such
    as None and "" of CSV, are warned of. Columns whose ``dtypes`` are times are so in parquet too.
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

    times = {name: dtype for name, dtype in (dtypes or {}).items() if name in possible and is_time(dtype)}
    columns = {**values_of, **{name: frame_of({name: values_of[name]}, times)[name] for name in times}}
    schema = pyarrow.schema([(name, pyarrow.array(values).type) for name, values in columns.items()])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for part in typed:
            of_times = frame_of({name: part[name] for name in times}, times)
            writer.write_table(pyarrow.table({**part, **{name: of_times[name] for name in times}}, schema))


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
