"""Arrays, tables and files of a user's own -> rows: an array of symbols, or columns of plain values, and labels."""

import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_choice
from bgan_discrete.codecs.arrays import symbols_of
from bgan_discrete.codecs.values import Table
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources import conservation
from bgan_discrete.sources.column_settings import ColumnSettings
from bgan_discrete.sources.dtypes import dtypes_of
from bgan_discrete.sources.examples import NUM_ROWS, example
from bgan_discrete.sources.lines import DELIMITERS
from bgan_discrete.sources.numpy_files import members_of, opened_arrays, unpacked
from bgan_discrete.sources.table_files import TABLE_SUFFIXES
from bgan_discrete.sources.tables import (
    INDEX_NAME,
    Columns,
    Findings,
    Frame,
    columns_of,
    frame_of_arrow,
    has_numbers_for_rows,
    plain_columns,
    read_csv,
    read_parquet,
    table_of_array,
)

ARRAY_SUFFIXES = (".npy", ".npz")
LAYOUTS = ("auto", "array", "table")
NPZ_KEYS = ("codes", "data", "x", "x_train")
"""Names of an array that are looked for in a .npz file of several."""

Codes = NDArray[Any]
Rows = Codes | Columns


@runtime_checkable
class TensorLike(Protocol):
    """What a tensor of torch has, for which this module does not wait."""

    def detach(self) -> Any:
        """Without its graph."""


Dataset = str | os.PathLike[str] | Codes | Table | Frame | TensorLike | Sequence[Any]


@dataclass(frozen=True)
class Request:
    """What is asked for of the data and of those to evaluate with alike; arguments as of `load_array`."""

    layout: str
    columns: Sequence[str] | None
    drop: Sequence[str]
    missing: Sequence[str]
    delimiter: str | None
    header: bool
    key: str | None
    label_column: str | None
    settings: ColumnSettings = field(default_factory=ColumnSettings)
    findings: Findings = field(default_factory=Findings)

    def __post_init__(self) -> None:
        """Check the values; names are text, also where they are numbers of columns."""
        check_choice("layout", self.layout, LAYOUTS)
        delimiter = "\t" if self.delimiter in ("tab", "\\t") else self.delimiter
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
            raise InputError(f"delimiter must be one character, such as ';', or tab, got {delimiter!r}")
        for name, given in (("columns", self.columns), ("drop", self.drop)):
            if isinstance(given, str):
                raise InputError(f"{name} must be a list of names, got the string {given!r}")
        plain = {
            "delimiter": delimiter,
            "columns": None if self.columns is None else [*map(str, self.columns)],
            "drop": [*map(str, self.drop)],
            "label_column": None if self.label_column is None else str(self.label_column),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def wants(self, name: str) -> bool:
        """Whether a column of a name is read."""
        return name not in self.drop and (self.columns is None or name in self.columns or name == self.label_column)

    def read(self, dataset: Any, option: str, limit: int | None) -> tuple[Rows, list[Any] | None]:
        """The rows in the layout that was asked for, and their labels."""
        is_numbered = not isinstance(dataset, (str, os.PathLike, np.ndarray)) and has_numbers_for_rows(dataset)
        dataset = _in_memory(dataset, option)
        if self.findings.dtypes is None and isinstance(dataset, Mapping):
            self.findings.dtypes = dtypes_of(dataset)
        place = f"{option} {place_of(dataset)}"
        rows = self._open(dataset, option)
        if self.findings.dtypes is None:
            self.findings.dtypes = {}
        if isinstance(rows, np.ndarray) and (self.layout == "table" or rows.dtype.names is not None):
            rows = self._plain_table(table_of_array(rows, is_wanted=self.wants), option, place)
        elif isinstance(dataset, Mapping):
            rows = self._plain_table(dataset, option, place)
        count = len(rows) if isinstance(rows, np.ndarray) else max(map(len, rows.values()))
        if limit is not None and limit < count:
            lost = conservation.left_out("rows", place, count, [f"row {limit + 1}"], count - limit, f"limit = {limit}")
            self.findings.asked.append(lost)
        if isinstance(rows, np.ndarray):
            asked = {"columns": self.columns, "drop": self.drop or None, "label_column": self.label_column}
            for name, value in asked.items():
                if value is not None:
                    raise InputError(f"{name} is for tables, got {value!r} for an array; see --layout table")
            return symbols_of(rows[:limit]), None
        if self.layout == "array":
            raise InputError(f"{place} has columns of their own categories; use layout 'table', not 'array'")
        return self._chosen({name: values[:limit] for name, values in rows.items()}, place, is_numbered)

    def _open(self, dataset: Any, option: str) -> Any:
        """An array, or a dictionary of columns."""
        if isinstance(dataset, (np.ndarray, Mapping)):
            return dataset
        if not isinstance(dataset, (str, os.PathLike)) or not str(dataset).strip():
            raise InputError(
                f"{option} must be a name, a path, an array, or a dictionary or data frame of columns, such as "
                f"{{'a': series}}, got {type(dataset).__name__}"
            )
        text = str(dataset)
        if text in NUM_ROWS:
            return example(text)
        path, known = Path(text).expanduser(), ", ".join((*ARRAY_SUFFIXES, *TABLE_SUFFIXES))
        suffix, place = path.suffix.lower(), f"{option} {str(path)!r}"
        if not path.is_file():
            names = ", ".join(map(repr, NUM_ROWS))
            raise InputError(f"{option} {text!r} is neither {names} nor an existing file ({known})")
        if suffix not in (*ARRAY_SUFFIXES, *TABLE_SUFFIXES):
            raise InputError(f"{option} must be a {known} file, got {text!r}")
        if self.key is not None and suffix != ".npz":
            raise InputError(f"array_key is for .npz files, got {self.key!r} for {text!r}")
        if suffix in DELIMITERS:
            return read_csv(path, place, self.delimiter, self.header, self.missing, self.findings)
        if self.delimiter is not None or not self.header:
            raise InputError(f"delimiter and header are for .csv and .tsv files, got {text!r}")
        if suffix == ".parquet":
            return read_parquet(path, place, self.missing, self.wants, self.findings)
        return _read_numpy(path, place, self.key)

    def _plain_table(self, table: Mapping[str, Any], option: str, place: str) -> Columns:
        """A table whose columns may be lists, arrays, tensors or series."""
        table = {
            name: _plain_array(values, f"column {name!r} of {option}") if self.wants(name) else values
            for name, values in table.items()
        }
        for name, values in table.items():
            if not isinstance(values, Iterable) or isinstance(values, (str, bytes, Mapping)):
                raise InputError(
                    f"{option} must be a dictionary of columns, each a list of values, got "
                    f"{type(values).__name__} for {name!r}"
                )
        return plain_columns(table, place, self.missing, self.wants, self.findings)

    def _chosen(self, table: Columns, place: str, is_numbered: bool) -> tuple[Rows, list[Any] | None]:
        """The columns of a table that are wanted, and its labels."""
        findings, label_column = self.findings, self.label_column
        if label_column in findings.refused:
            raise findings.refused[label_column]
        labels = _column(table, label_column, "label_column") if label_column is not None else None
        if labels is not None and None in labels:
            raise InputError(f"label_column {label_column!r} has no value in row {labels.index(None) + 1}")
        for name in self.drop:
            _column(table, name, "drop")
        if self.columns is None:
            _leave_index_out(table, (*self.drop, label_column), place, findings, is_numbered)
        kept = list(table) if self.columns is None else self.columns
        left = (*self.drop, label_column)
        found = {name: _column(table, name, "columns") for name in kept}
        chosen = {name: values for name, values in found.items() if name not in left}
        if not chosen:
            raise InputError(f"columns and drop leave no column of {place}, which has: {', '.join(map(str, table))}")
        if lost := [name for name in table if name not in chosen and name != label_column]:
            reason = "columns and drop do not keep them"
            findings.asked.append(conservation.left_out("columns", place, len(table), lost, len(lost), reason))
        return chosen, labels


def _in_memory(dataset: Any, option: str) -> Any:
    """Data frames as dictionaries, tensors and lists as arrays; all else as it is."""
    if isinstance(dataset, (np.ma.MaskedArray, TensorLike)):
        return _plain_array(dataset, option)
    if isinstance(dataset, (list, tuple)):
        if any(isinstance(row, Mapping) for row in dataset):
            raise InputError(f"{option} must be no list of dictionaries: make a table of it, pandas.DataFrame(rows)")
        try:
            array = np.asarray(dataset)
        except ValueError:
            raise InputError(f"{option} must hold rows of one length if it is a list, got others") from None
        if array.dtype.kind not in "US":
            return array
        objects = np.array(dataset, object)  # NumPy would write the numbers beside texts as texts
        return array if all(isinstance(value, (str, bytes)) for value in objects.flat) else objects
    if type(dataset).__module__.startswith("pyarrow"):
        dataset = frame_of_arrow(dataset)
    is_frame = isinstance(dataset, Frame) and not isinstance(dataset, np.ndarray)
    return columns_of(dataset, option) if is_frame or isinstance(dataset, Mapping) else dataset


def _plain_array(values: Any, what: str) -> Any:
    """A tensor as an array, and all else as it is; refuses masks, which NumPy's own functions forget."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(
            f"{what} must not be a masked array, whose masked values would be read as data: fill them by .filled(k), "
            "or give a column as a list, where they are missing, by .tolist()"
        )
    if not isinstance(values, TensorLike):
        return values
    tensor = values.detach()
    try:
        return tensor.cpu().numpy()
    except TypeError as error:
        message = f"{what} must be a tensor that NumPy can hold, got {tensor.dtype}: {one_line(error)}"
        raise InputError(message) from None


def _column(table: Columns, name: str, option: str) -> list[Any]:
    if name not in table:
        raise InputError(f"{option} {name!r} is not in the table, which has: {', '.join(map(str, table))}")
    return table[name]


def _read_numpy(path: Path, what: str, key: str | None) -> Codes:
    with opened_arrays(path, what) as found:
        if not isinstance(found, zipfile.ZipFile):
            return found
        members = members_of(found)
        chosen = key or next((name for name in NPZ_KEYS if name in members), None)
        if key is None and len(members) == 1:
            (chosen,) = members
        if chosen is None or chosen not in members:
            raise InputError(
                f"array_key must name an array of {str(path)!r}, which has: {', '.join(members)}; got {key!r}"
            )
        return unpacked(found, members[chosen], f"the array {chosen!r} of {what}")


def _leave_index_out(
    table: Columns, named: Sequence[str | None], place: str, findings: Findings, is_numbered: bool
) -> None:
    """Take out columns that pandas numbers rows by, and of held-out rows those that the data set was read without.

    They are called as it calls them, and are the index of a frame in memory, or hold another integer in each row.
    """
    if findings.indexes is None:
        findings.indexes = [
            name
            for name, values in table.items()
            if (is_numbered and name == INDEX_NAME)
            or (name.startswith(INDEX_NAME) and len({v for v in values if type(v) is int}) == len(values))
        ]
    for name in findings.indexes:
        if name in table and name not in named and len(table) > 1:
            reason = "pandas' index, which numbers the rows; columns (--columns) takes what it names"
            findings.warnings.append(conservation.left_out("columns", place, len(table), [name], 1, reason))
            del table[name]


def place_of(dataset: Any) -> str:
    """What messages call a data set."""
    return repr(str(dataset)) if isinstance(dataset, (str, os.PathLike)) else "in memory"
