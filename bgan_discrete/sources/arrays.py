"""Integer arrays and tables of a user's own -> codes, in a part to train on and a part to judge by."""

import csv
import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_choice, check_limit, check_seed, check_share
from bgan_discrete.codecs.arrays import ArrayCodec, IntegersCodec, symbols_of
from bgan_discrete.codecs.columns import BinnedColumn
from bgan_discrete.codecs.fitting import fit_columns
from bgan_discrete.codecs.tables import TableCodec
from bgan_discrete.codecs.values import Table, identity, one_for_each_number
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources import conservation
from bgan_discrete.sources.data import ArrayData, Data
from bgan_discrete.sources.examples import NUM_ROWS, example
from bgan_discrete.sources.lines import DELIMITERS
from bgan_discrete.sources.numpy_files import members_of, opened_arrays, unpacked
from bgan_discrete.sources.storage import count_repeats
from bgan_discrete.sources.table_files import TABLE_SUFFIXES
from bgan_discrete.sources.tables import (
    INDEX_NAME,
    Columns,
    Findings,
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
class Frame(Protocol):
    """What a data frame of pandas or polars has, and is known by."""

    @property
    def columns(self) -> Any:
        """Names of its columns."""

    def __getitem__(self, name: Any, /) -> Any:
        """A column."""


@runtime_checkable
class TensorLike(Protocol):
    """What a tensor of torch has, for which this module does not wait."""

    def detach(self) -> Any:
        """Without its graph."""


@runtime_checkable
class _ArrowTable(Protocol):
    def to_pydict(self) -> Any: ...


@runtime_checkable
class _Series(Protocol):
    def to_list(self) -> Any: ...


Dataset = str | os.PathLike[str] | Codes | Table | Frame | TensorLike | Sequence[Any]


def load_array(
    dataset: Dataset,
    *,
    layout: str = "auto",
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    bins: int | None = None,
    max_categories: int | None = None,
    missing: Sequence[str] = (),
    delimiter: str | None = None,
    header: bool = True,
    key: str | None = None,
    label_column: str | None = None,
    limit: int | None = None,
    holdout: float = 0.1,
    heldout: Dataset | None = None,
    codec: ArrayCodec | None = None,
    seed: int = 0,
) -> ArrayData:
    """Load integers or a table, hold some rows out, and turn both parts into codes.

    The codec knows the values of all rows, held out or not: what can stand in a column is no secret of the data.

    Args:
        dataset: ``records``, ``motifs`` or ``table`` (made by a program, `bgan_discrete.sources.examples`), a .npy,
            .npz, .csv, .tsv or .parquet file, an array (of NumPy, a tensor, or lists in a list), or columns: a
            dictionary or a data frame. An index that numbers the rows, as pandas writes it, is left out unless
            ``columns`` names it.
        layout: ``array``: integers or single characters ``[samples, ...]``, with a category for each value that
            occurs; ``table``: columns of categories, of which each has its own; ``auto``: what the data are: files with
            columns, dictionaries and structured arrays are tables.
        columns: Names of a table's columns to take, in this order; None for all.
        drop: Names of columns to leave out.
        bins: See `bgan_discrete.codecs.TableCodec.fit`.
        max_categories: Likewise.
        missing: Texts that mean a missing value, beside the empty cell.
        delimiter: Between the cells of a CSV file, ``tab`` or ``\\t`` for a tab; None for that of its suffix.
        header: Whether the first line of a CSV file names the columns.
        key: Of the array in a .npz file; None for the only one, or the first of `NPZ_KEYS` that is there.
        label_column: A column of a table that is no part of the codes but a label of each row.
        limit: Take only the first so many rows, >= 1.
        holdout: Share of the rows held out, drawn at random, in (0, 1).
        heldout: Other data, as ``dataset``, to judge by, rather than a share of its rows.
        codec: A codec to encode with, such as that of a trained model; None to make one of the data.
        seed: Of the rows that are held out.

    Returns:
        The codes.

    Raises:
        InputError: If an argument or the data cannot be used; the message names file, row and column.
    """
    delimiter = "\t" if delimiter in ("tab", "\\t") else delimiter
    _check(layout, limit, holdout, seed, delimiter, columns, drop)
    findings = Findings()
    request = _Request(layout, columns, drop, missing, delimiter, header, key, label_column, findings)
    if codec is not None:
        names = codec.column_names if isinstance(codec, TableCodec) else columns
        request = replace(request, layout="array" if names is columns else "table", columns=names, drop=())
    rows, labels = request.read(dataset, "dataset", limit)
    count, place = _length(rows), f"dataset {_place(dataset)}"
    if heldout is not None:
        others, other_labels = request.read(heldout, "heldout", None)
        rows = _joined(rows, others, f"heldout {_place(heldout)}", findings)
        labels = None if labels is None else _joined_column(labels, other_labels or [])
    if codec is None:
        codec = _fit(rows, bins, max_categories, findings, request.drop)
    elif findings.refused:
        raise next(iter(findings.refused.values()))
    codes = codec.encode(rows)
    if isinstance(codec, TableCodec) and not isinstance(rows, np.ndarray):
        _count_values(rows, codec, codes, place, findings)
    is_named = isinstance(dataset, (str, os.PathLike))
    name = str(dataset) if is_named else "data in memory"
    places = _split(len(codes), count, holdout if heldout is None else None, seed, name)
    training, judging = (np.ascontiguousarray(codes[part]) for part in places)
    classes, numbers = (None, None) if labels is None else _classes(labels, str(label_column), place, findings)
    repeated, leaked = count_repeats(*(part.reshape(len(part), -1) for part in (training, judging)))
    source = "other data in memory"
    if heldout is None:
        source = f"{100 * holdout:.3g}% of the rows, at random: --holdout"
    elif isinstance(heldout, (str, os.PathLike)):
        source = repr(str(heldout))
    conservation.report(findings.warnings)
    return Data(
        name=name,
        digest=hashlib.blake2b(codec.fingerprint().encode() + codes.tobytes(), digest_size=32).hexdigest(),
        codes=training,
        heldout_codes=judging,
        codec=codec,
        heldout_source=source,
        labels=None if numbers is None else numbers[places[0]],
        heldout_labels=None if numbers is None else numbers[places[1]],
        class_names=classes,
        counts={"repeated": repeated, "leaked": leaked},
        notes=(*findings.warnings, *findings.asked),
    )


def split_names(text: str | None, what: str = "names of columns") -> list[str] | None:
    """Names in one option, separated by commas, quoted as in CSV where they hold one.

    Args:
        text: Such as ``age,"height, cm"``; None for None.
        what: They are, for the error.

    Returns:
        The names.

    Raises:
        InputError: If the quotes do not close.
    """
    if text is None:
        return None
    try:
        (names,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise InputError(f"{what} must be separated by commas, got {text!r}: {error}") from None
    return names


def _check(
    layout: str,
    limit: int | None,
    holdout: float,
    seed: int,
    delimiter: str | None,
    columns: Sequence[str] | None,
    drop: Sequence[str],
) -> None:
    check_choice("layout", layout, LAYOUTS)
    check_limit(limit)
    check_share("holdout", holdout)
    check_seed(seed)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
        raise InputError(f"delimiter must be one character, such as ';', or tab, got {delimiter!r}")
    for name, given in (("columns", columns), ("drop", drop)):
        if isinstance(given, str):
            raise InputError(f"{name} must be a list of names, got the string {given!r}")


@dataclass(frozen=True)
class _Request:
    """What is asked for of the data and of those to evaluate with alike; the arguments of `load_array`."""

    layout: str
    columns: Sequence[str] | None
    drop: Sequence[str]
    missing: Sequence[str]
    delimiter: str | None
    header: bool
    key: str | None
    label_column: str | None
    findings: Findings

    def __post_init__(self) -> None:
        """Names are text, also where they are numbers of columns."""
        object.__setattr__(self, "columns", None if self.columns is None else [*map(str, self.columns)])
        object.__setattr__(self, "drop", [*map(str, self.drop)])
        object.__setattr__(self, "label_column", None if self.label_column is None else str(self.label_column))

    def wants(self, name: str) -> bool:
        """Whether a column of a name is read."""
        return name not in self.drop and (self.columns is None or name in self.columns or name == self.label_column)

    def read(self, dataset: Any, option: str, limit: int | None) -> tuple[Rows, list[Any] | None]:
        """The rows in the layout that was asked for, and their labels."""
        is_numbered = not isinstance(dataset, (str, os.PathLike, np.ndarray)) and has_numbers_for_rows(dataset)
        dataset = _in_memory(dataset, option)
        place = f"{option} {_place(dataset)}"
        rows = self._open(dataset, option)
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
            advice = ": name it, as in {'a': series}" if isinstance(dataset, _Series) else ""
            raise InputError(
                f"{option} must be a name, a path, an array, or a dictionary or data frame of columns, got "
                f"{type(dataset).__name__}{advice}"
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
    if isinstance(dataset, _ArrowTable):
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


def _count_values(table: Table, codec: TableCodec, codes: Codes, place: str, findings: Findings) -> None:
    """Note different values of one code, and columns of a single value."""
    pairs = {
        column.name: (table[column.name], column.decode(found))
        for column, found in zip(codec.columns, codes.T, strict=True)
    }
    asked = [column.name for column in codec.columns if isinstance(column, BinnedColumn) or column.other is not None]
    reason = "max_categories, and bins, to which texts such as '2.50' are numbers"
    findings.asked += conservation.merges("values", place, {name: pairs.pop(name) for name in asked}, reason)
    findings.warnings += conservation.merges("values", place, pairs, "write them alike, or as text")
    if single := [column.name for column in codec.columns if column.size == 1]:
        count = f"{len(single):,} of {len(codec.columns):,} columns of {place}"
        findings.asked.append(f"{count} hold a single value ({conservation.listed(single, len(single))})")


def _fit(
    rows: Rows, bins: int | None, max_categories: int | None, findings: Findings, drop: Sequence[str]
) -> ArrayCodec:
    if not isinstance(rows, np.ndarray):
        usable = {name: one_for_each_number(values) for name, values in rows.items() if name not in findings.refused}
        return TableCodec(fit_columns(usable, bins, max_categories, findings.refused, drop))
    for name, value in (("bins", bins), ("max_categories", max_categories)):
        if value is not None:
            raise InputError(f"{name} is for tables, got {value} for an array; see --layout table")
    return IntegersCodec.fit(rows)


def _joined(rows: Rows, others: Rows, place: str, findings: Findings) -> Rows:
    if isinstance(rows, np.ndarray) and isinstance(others, np.ndarray):
        if rows.shape[1:] != others.shape[1:]:
            raise InputError(f"heldout must have samples of the shape {rows.shape[1:]}, got {others.shape[1:]}")
        if (rows.dtype.kind == "U") != (others.dtype.kind == "U"):
            raise InputError(
                f"dataset and heldout must both be integers or both be characters, got {rows.dtype} and {others.dtype}"
            )
        return np.concatenate([rows, others])
    if isinstance(rows, np.ndarray) or isinstance(others, np.ndarray):
        raise InputError("dataset and heldout must both be arrays or both be tables")
    lacking = [name for name in rows if name not in others]
    if lacking:
        raise InputError(f"heldout lacks the column {lacking[0]!r} of the data set; it has: {', '.join(others)}")
    if extra := [name for name in others if name not in rows]:
        reason = "the data set has no such columns"
        findings.warnings.append(conservation.left_out("columns", place, len(others), extra, len(extra), reason))
    return {name: _joined_column(values, others[name]) for name, values in rows.items()}


def _joined_column(values: list[Any], others: list[Any]) -> list[Any]:
    """Both parts of a column; as text, where one part is: what a cell of a CSV file is depends on the others there."""
    kinds = [{type(value) for value in part if value is not None} for part in (values, others)]
    joined = [*values, *others]
    if {str} in kinds and any(kind and str not in kind for kind in kinds):
        return [None if value is None else str(value) for value in joined]
    return joined


def _split(rows: int, count: int, holdout: float | None, seed: int, name: str) -> tuple[Codes, Codes]:
    """The rows to train on, of the first ``count``, and the held-out ones: a share of those, or what follows them."""
    order = np.arange(rows)
    if holdout is not None:
        drawn = np.random.default_rng(seed).permutation(count)
        num_heldout = min(max(round(count * holdout), 1), count - 1)
        order = np.concatenate([np.sort(drawn[num_heldout:]), np.sort(drawn[:num_heldout])])
        count -= num_heldout
    if min(count, rows - count) < 2:
        raise InputError(
            f"dataset {name!r} has {count} rows to train on and {rows - count} to judge by; at least 2 of each are "
            "needed: give more rows, or another holdout"
        )
    return order[:count], order[count:]


def _classes(
    labels: Sequence[Any], name: str, place: str, findings: Findings
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of all labels, numbers by their size, all else by the alphabet, and the number of each label."""
    are_numbers = all(isinstance(label, (int, float)) for label in labels)
    different = {identity(label): label for label in labels}.values()
    names = tuple(dict.fromkeys(map(str, sorted(different, key=None if are_numbers else str))))
    merged = {name: (labels, map(str, labels))}
    findings.warnings += conservation.merges("labels", place, merged, "make them of one kind to keep them apart")
    number_of = {label: number for number, label in enumerate(names)}
    return names, np.array([number_of[str(label)] for label in labels], np.int64)


def _length(rows: Rows) -> int:
    return len(rows) if isinstance(rows, np.ndarray) else len(next(iter(rows.values())))


def _place(dataset: Any) -> str:
    return repr(str(dataset)) if isinstance(dataset, (str, os.PathLike)) else "in memory"
