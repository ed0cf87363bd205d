"""Integer arrays and tables of a user's own -> codes, in a part to train on and a part to evaluate with."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_split
from bgan_discrete.codecs.arrays import ArrayCodec, IntegersCodec
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn
from bgan_discrete.codecs.fitting import FitOptions, fit_columns, fit_identifiers
from bgan_discrete.codecs.identifiers import fit_identifier
from bgan_discrete.codecs.tables import TableCodec
from bgan_discrete.codecs.values import Table, identity, one_for_each_number, option_of
from bgan_discrete.errors import InputError
from bgan_discrete.sources import conservation
from bgan_discrete.sources.array_reading import Dataset, Request, Rows, place_of
from bgan_discrete.sources.column_settings import ColumnSettings, column_settings, personal_data
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
    column: Mapping[str, str] | str | None = None,
    rare: str = "drawn",
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

    The codec knows the categories of all rows, held out or not; where bins are cut, and which numbers and lumped values
    are drawn, it learns from the training rows alone. A column of which nothing can be learnt is left out with a
    warning, unless ``columns`` or ``column`` names it; of kind ``identifier``, samples have new values of its form.

    Args:
        dataset: ``records``, ``motifs`` or ``table`` (made by a program), a .npy, .npz, .csv, .tsv or .parquet file, an
            array, a tensor, lists in a list, a dictionary of columns or a data frame.
        layout: ``array``: integers or single characters ``[samples, ...]``, a category for each value that occurs;
            ``table``: columns with categories of their own; ``auto``: what the data are.
        columns: Names of a table's columns to take, in this order; None for all but an index of row numbers.
        drop: Names of columns to leave out.
        bins: See `TableCodec.fit`, as of ``max_categories``, ``column`` and ``rare``.
        max_categories: The most categories of a column.
        column: Kinds of single columns, such as ``{"age": "integer:32"}``, or all else that `column_settings` reads.
        rare: Whether values that are lumped together are ``drawn`` or ``private``.
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
    check_split(limit, holdout, seed)
    settings = column_settings(column) if codec is None else ColumnSettings()
    request = Request(layout, columns, drop, missing, delimiter, header, key, label_column, settings)
    options = FitOptions(bins, max_categories, settings.kinds, rare)
    return _load(request, options, dataset, heldout, limit, holdout, seed, codec)


def _load(
    request: Request,
    options: FitOptions,
    dataset: Dataset,
    heldout: Dataset | None,
    limit: int | None,
    holdout: float,
    seed: int,
    codec: ArrayCodec | None,
) -> ArrayData:
    if isinstance(codec, TableCodec):
        request = replace(request, layout="table", columns=codec.column_names, drop=())
    elif codec is not None:
        request = replace(request, layout="array", drop=())
    findings, place = request.findings, f"dataset {place_of(dataset)}"
    rows, labels = request.read(dataset, "dataset", limit)
    count = len(rows) if isinstance(rows, np.ndarray) else len(next(iter(rows.values())))
    source = f"{100 * holdout:.3g}% of the rows, at random: --holdout"
    if heldout is not None:
        others, other_labels = request.read(heldout, "heldout", None)
        rows = _joined(rows, others, f"heldout {place_of(heldout)}", findings)
        labels = None if labels is None else _joined_column(labels, other_labels or [])
        source = repr(str(heldout)) if isinstance(heldout, (str, os.PathLike)) else "other data in memory"
    name = str(dataset) if isinstance(dataset, (str, os.PathLike)) else "data in memory"
    total = len(rows) if isinstance(rows, np.ndarray) else len(next(iter(rows.values())))
    draw = partial(draw_rows, total, count, holdout if heldout is None else None, seed, name)
    is_asked = codec is not None or options.max_categories is not None or bool(options.column)
    if codec is None:
        _apply_settings(rows, request, place)
        training = None
        with suppress(InputError):  # of too few rows, which is said after what is wrong with the columns
            training = draw()[0].tolist()
        codec = _fit(rows, count, options, training, request, place)
    elif findings.refused:
        raise next(iter(findings.refused.values()))
    codes = codec.encode(rows)
    if isinstance(codec, TableCodec) and not isinstance(rows, np.ndarray):
        _count_values(rows, codec, codes, place, findings, is_asked)
    places = draw()
    training, evaluated = (np.ascontiguousarray(codes[part]) for part in places)
    classes, numbers = (None, None) if labels is None else _classes(labels, str(request.label_column), place, findings)
    repeated, leaked = count_repeats(training, evaluated)
    conservation.report(findings.warnings)
    return Data(
        name=name,
        digest=hashlib.blake2b(_fingerprint(codec).encode() + codes.tobytes(), digest_size=32).hexdigest(),
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


def _fingerprint(codec: ArrayCodec) -> str:
    """Of what the codes depend on."""
    return TableCodec(codec.columns).fingerprint() if isinstance(codec, TableCodec) else codec.fingerprint()


def _apply_settings(rows: Rows, request: Request, place: str) -> None:
    """Leave out what a file of settings says is personal, and forget what it says of columns that are not there."""
    if isinstance(rows, np.ndarray):
        return
    findings, settings, asked = request.findings, request.settings, request.columns or ()
    names = {name: what for name, what in settings.left_out.items() if name in rows and name not in asked}
    if names:
        findings.warnings.append(personal_data(names, place, len(rows)))
        if len(names) == len(rows):
            raise InputError(f"{place} has no other columns: {findings.warnings[-1]}")
        for name in names:
            del rows[name]
            findings.refused.pop(name, None)
    findings.asked += settings.notes
    if lacking := [name for name in settings.lacking(rows) if request.wants(name) and name != request.label_column]:
        findings.warnings.append(f"column names what is not in {place}: {conservation.listed(lacking, len(lacking))}")


def _count_values(
    table: Table, codec: TableCodec, codes: Codes, place: str, findings: Findings, is_asked: bool
) -> None:
    """Note different values of one code, and columns of a single value; ``is_asked`` is that rare ones become one."""
    pairs = {
        column.name: (table[column.name], column.decode(found))
        for column, found in zip(codec.columns, codes.T, strict=True)
    }
    binned = {column.name: pairs.pop(column.name) for column in codec.columns if isinstance(column, BinnedColumn)}
    reason = "numbers are cut into bins, and drawn inside them"
    findings.asked += conservation.merges("values", place, binned, reason)
    lumping = [column for column in codec.columns if isinstance(column, CategoryColumn) and column.other is not None]
    lumped = {column.name: pairs.pop(column.name) for column in lumping}
    are_drawn = any(column.lumped for column in lumping)
    reason = "the rare ones are learnt as one, and drawn as often as in the data" if are_drawn else "rare ones are one"
    (findings.asked if is_asked else findings.warnings).extend(conservation.merges("values", place, lumped, reason))
    findings.warnings += conservation.merges("values", place, pairs, "write them alike, or as text")
    if single := [column.name for column in codec.columns if column.size == 1]:
        count = f"{len(single):,} of {len(codec.columns):,} columns of {place}"
        findings.asked.append(f"{count} hold a single value ({conservation.listed(single, len(single))})")


def _fit(
    rows: Rows, count: int, options: FitOptions, training: list[int] | None, request: Request, place: str
) -> ArrayCodec:
    """The codec of rows, of which the first ``count`` are not of another, held-out data set."""
    if not isinstance(rows, np.ndarray):
        findings = request.findings
        usable = {name: one_for_each_number(values) for name, values in rows.items() if name not in findings.refused}
        left_out: dict[str, str] = {}
        wanted = request.columns or ()
        columns = fit_columns(usable, options, training, findings.refused, request.drop, left_out, wanted)
        for name, reason in left_out.items():
            kept = f"unless --columns or --column names it{_proposal(name, usable[name])}"
            findings.warnings.append(f"{reason.partition('; drop it')[0]}; it is left out of {place}, {kept}")
        identifiers = fit_identifiers(usable, options, columns, count)
        if identifiers:
            named = conservation.listed([one.name for one in identifiers], len(identifiers))
            findings.asked.append(f"identifiers of {place} are not learnt, and new in samples ({named})")
        known = findings.dtypes or {}
        dtypes = {column.name: known[column.name] for column in columns if column.name in known}
        # The categories of an identifier are those of the data, which are not kept.
        dtypes |= {one.name: known[one.name] for one in identifiers if isinstance(known.get(one.name), str)}
        return TableCodec(columns, dtypes, identifiers)
    given = {"bins": options.bins, "max_categories": options.max_categories, "column": options.column or None}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} is for tables, got {value} for an array; see --layout table")
    return IntegersCodec.fit(rows)


def _proposal(name: str, values: Sequence[Any]) -> str:
    """What gives samples new identifiers, if a column that nothing can be learnt of has such a form."""
    try:
        fit_identifier(name, values, 0)
    except InputError:
        return ""
    return f"; {option_of('--column', [f'{name}=identifier'])} gives samples new ones"


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
