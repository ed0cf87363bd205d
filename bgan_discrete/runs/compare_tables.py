"""The comparison of a synthetic table with the real one, whatever made it: no model is needed."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bgan_discrete import __version__
from bgan_discrete.checks import check_seed
from bgan_discrete.durable import replace_text
from bgan_discrete.errors import InputError
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.table_rows import TableColumns, TableRows
from bgan_discrete.metrics.tables import evaluate_table
from bgan_discrete.reporting.page import write_evaluation_page
from bgan_discrete.sources.matched_tables import MAX_CATEGORIES, MatchedTables, match_tables
from bgan_discrete.space import SampleSpace
from bgan_discrete.streams import say, write_product

BINS = 20
"""That numbers are cut into, for figures that need categories."""


def compare_tables(
    real: Any,
    synthetic: Any,
    holdout: Any = None,
    *,
    targets: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    bins: int = BINS,
    max_categories: int = MAX_CATEGORIES,
    missing: Sequence[str] = (),
    delimiter: str | None = None,
    header: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Compare a synthetic table with the real one that it was made from, whatever made it.

    Columns are matched by name. Without a hold-out the real rows are cut into halves, one for the training rows and one
    for the floor; then no figure can say whether samples tell training rows from others.

    Args:
        real: The real rows: a file (.csv, .tsv, .parquet, .npy), a data frame or a dictionary of columns.
        synthetic: The rows to judge, likewise.
        holdout: Real rows that were kept from what made the synthetic ones, likewise; None for none.
        targets: Columns that models learn to predict; None for the last one, and two that others tell most of.
        columns: Columns to compare; None for all in common.
        drop: Columns to leave out, such as an identifier.
        bins: Bins of a column of more different numbers, for figures that need categories.
        max_categories: The most values of a column that such figures tell apart.
        missing: Texts that mean a missing value, beside the empty cell.
        delimiter: Between the cells of CSV files, ``tab`` for a tab; None for that of their suffix.
        header: Whether the first line of a CSV file names the columns.
        seed: Of the halves, and of all other draws.

    Returns:
        The figures, with floor and baselines; ``print`` shows them as a table.

    Raises:
        InputError: If a table cannot be read, the tables have no column in common, or there are fewer than 20 rows.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> real, synthetic = ({"a": rng.integers(0, 9, 90), "b": rng.normal(size=90)} for _ in range(2))
        >>> compare_tables(real, synthetic).facts["num_samples"]
        90
    """
    check_seed(seed)
    tables = match_tables(
        real,
        synthetic,
        holdout,
        columns=columns,
        drop=drop,
        bins=bins,
        max_categories=max_categories,
        missing=missing,
        delimiter=delimiter,
        header=header,
    )
    return _evaluation(tables, targets, seed)


def _evaluation(tables: MatchedTables, targets: Sequence[str] | None, seed: int) -> Evaluation:
    """The figures of the synthetic rows, with halves of the real ones where none are held out."""
    rng = np.random.default_rng(seed)
    known = TableColumns(tables.names, tables.categories, tables.is_number, as_written=True, is_date=tables.is_date)
    rows = [TableRows(codes, values) for codes, values in zip(tables.codes, tables.values, strict=True)]
    # The rows of a file may be sorted, and blocks of them are compared.
    rows = [side.take(rng.permutation(len(side))) for side in rows]
    training, samples, *others = rows
    is_unseen = bool(others)
    if not others:
        middle = (len(training) + 1) // 2
        others, training = [training.take(slice(middle, None))], training.take(slice(0, middle))
    sizes = tuple(known.sizes)
    space = SampleSpace((len(sizes),), max(2, *sizes), sizes)
    report = evaluate_table(samples, training, others[0], known, space, targets=targets, is_unseen=is_unseen, seed=seed)
    report.notes += tables.notes
    return report


def evaluate_files(
    real: str, synthetic: str, holdout: str | None = None, output: Path | None = None, **options: Any
) -> Evaluation:
    """Compare files by `compare_tables`, print the figures and keep them, as ``bgan evaluate --real`` does.

    The report is written to ``output``, as JSON, and as a page with the suffix ``.html`` beside it.
    """
    page = None if output is None else output.with_suffix(".html")
    for path in (output, page):
        if path is not None and path.is_dir():
            raise InputError(f"output must be a file such as report.json, got the folder {str(output)!r}")
    if output is not None and output == page:
        raise InputError(f"output must be a file such as report.json, got the page {str(output)!r}")
    inputs = [os.path.realpath(table) for table in (real, synthetic, holdout) if table is not None]
    for path in (output, page):
        if path is not None and os.path.realpath(path) in inputs:
            raise InputError(f"output {str(output)!r} would replace a table that is read: give another name")
    if output is not None and page is not None and page.exists() and not output.exists():
        raise InputError(f"output {str(output)!r} would replace {page.name}, which is no page of it: give another name")
    started = time.monotonic()
    report = compare_tables(real, synthetic, holdout, **options)
    say("\n" + report.format_table() + "\n")
    if output is None or page is None:
        write_product("")  # what was printed must have arrived
        return report
    document = {
        "real": real,
        "synthetic": synthetic,
        "held_out": holdout,
        **report.to_dict(),
        "evaluation_seconds": round(time.monotonic() - started, 1),
        "version": __version__,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_text(output, json.dumps(document, indent=2, allow_nan=False) + "\n")
    write_evaluation_page(document, page)
    say(f"report: {output}\npage:   {page}")
    return report
