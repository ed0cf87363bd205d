"""Integer arrays and tables of a user's own -> codes, in a part to train on and a part to evaluate with."""

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_limit, check_seed, check_share
from bgan_discrete.codecs.arrays import ArrayCodec, IntegersCodec
from bgan_discrete.codecs.columns import BinnedColumn
from bgan_discrete.codecs.fitting import fit_columns
from bgan_discrete.codecs.tables import TableCodec
from bgan_discrete.codecs.values import Table, identity, one_for_each_number
from bgan_discrete.errors import InputError
from bgan_discrete.sources import conservation
from bgan_discrete.sources.array_reading import Dataset, Request, Rows, place_of
from bgan_discrete.sources.data import ArrayData, Data
from bgan_discrete.sources.holdout import draw_rows
from bgan_discrete.sources.storage import count_repeats
from bgan_discrete.sources.tables import Findings

Codes = NDArray[Any]


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
        dataset: ``records``, ``motifs`` or ``table`` (made by a program), a .npy, .npz, .csv, .tsv or .parquet file, an
            array, a tensor, lists in a list, a dictionary of columns or a data frame. An index that numbers the rows,
            as pandas writes it, is left out unless ``columns`` names it.
        layout: ``array``: integers or single characters ``[samples, ...]``, a category for each value that occurs;
            ``table``: columns with categories of their own; ``auto``: what the data are.
        columns: Names of a table's columns to take, in this order; None for all.
        drop: Names of columns to leave out.
        bins: See `TableCodec.fit`, as of ``max_categories``.
        max_categories: The most categories of a column.
        missing: Texts that mean a missing value, beside the empty cell.
        delimiter: Between the cells of a CSV file, ``tab`` for a tab; None for that of its suffix.
        header: Whether the first line of a CSV file names the columns.
        key: Of the array in a .npz file; None for the only one, or the first of `NPZ_KEYS`.
        label_column: A column of a table that is no part of the codes but a label of each row.
        limit: Take only the first so many rows, >= 1.
        holdout: Share of the rows held out, drawn at random, in (0, 1).
        heldout: Other data, as ``dataset``, to evaluate with, rather than a share of its rows.
        codec: A codec to encode with, such as that of a trained model; None to make one of the data.
        seed: Of the rows that are held out.

    Returns:
        The codes.

    Raises:
        InputError: If an argument or the data cannot be used; the message names file, row and column.
    """
    check_limit(limit)
    check_share("holdout", holdout)
    check_seed(seed)
    request = Request(layout, columns, drop, missing, delimiter, header, key, label_column)
    if codec is not None:
        is_table = isinstance(codec, TableCodec)
        columns = codec.column_names if is_table else columns
        request = replace(request, layout="table" if is_table else "array", columns=columns, drop=())
    return _load(request, dataset, heldout, limit, holdout, seed, codec, bins, max_categories)


def _load(
    request: Request,
    dataset: Dataset,
    heldout: Dataset | None,
    limit: int | None,
    holdout: float,
    seed: int,
    codec: ArrayCodec | None,
    bins: int | None,
    max_categories: int | None,
) -> ArrayData:
    findings, place = request.findings, f"dataset {place_of(dataset)}"
    rows, labels = request.read(dataset, "dataset", limit)
    count = len(rows) if isinstance(rows, np.ndarray) else len(next(iter(rows.values())))
    source = f"{100 * holdout:.3g}% of the rows, at random: --holdout"
    if heldout is not None:
        others, other_labels = request.read(heldout, "heldout", None)
        rows = _joined(rows, others, f"heldout {place_of(heldout)}", findings)
        labels = None if labels is None else _joined_column(labels, other_labels or [])
        source = repr(str(heldout)) if isinstance(heldout, (str, os.PathLike)) else "other data in memory"
    if codec is None:
        codec = _fit(rows, bins, max_categories, findings, request.drop)
    elif findings.refused:
        raise next(iter(findings.refused.values()))
    codes = codec.encode(rows)
    if isinstance(codec, TableCodec) and not isinstance(rows, np.ndarray):
        _count_values(rows, codec, codes, place, findings)
    name = str(dataset) if isinstance(dataset, (str, os.PathLike)) else "data in memory"
    places = draw_rows(len(codes), count, holdout if heldout is None else None, seed, name)
    training, evaluated = (np.ascontiguousarray(codes[part]) for part in places)
    classes, numbers = (None, None) if labels is None else _classes(labels, str(request.label_column), place, findings)
    repeated, leaked = count_repeats(training, evaluated)
    conservation.report(findings.warnings)
    return Data(
        name=name,
        digest=hashlib.blake2b(codec.fingerprint().encode() + codes.tobytes(), digest_size=32).hexdigest(),
        codes=training,
        heldout_codes=evaluated,
        codec=codec,
        heldout_source=source,
        labels=None if numbers is None else numbers[places[0]],
        heldout_labels=None if numbers is None else numbers[places[1]],
        class_names=classes,
        counts={"repeated": repeated, "leaked": leaked},
        notes=(*findings.warnings, *findings.asked),
    )


def split_names(text: str | None, what: str = "names of columns") -> list[str] | None:
    """Names in one option, with commas between them, quoted as in CSV; ``what`` they are is for errors."""
    if text is None:
        return None
    try:
        (names,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise InputError(f"{what} must be separated by commas, got {text!r}: {error}") from None
    return names


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
