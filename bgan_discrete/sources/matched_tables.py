"""Real and synthetic tables of any origin -> the same columns of each, as codes and as values.

Columns are matched by name. What a column is, is decided by the real rows: numbers or dates, if all that is there are,
and else categories. The codes are those of a codec that is fitted to the real rows; what they do not have, a missing
value or any other, has codes of its own.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.fitting import is_numbering
from bgan_discrete.codecs.tables import MISSING_NAME, TableCodec
from bgan_discrete.codecs.values import Value, identity, number_of, shown
from bgan_discrete.errors import InputError
from bgan_discrete.sources import conservation
from bgan_discrete.sources.array_reading import Dataset, Request, place_of
from bgan_discrete.sources.tables import Columns

UNKNOWN_NAME = "(not in the real rows)"
MAX_CATEGORIES = 256
FEW = 50
"""A column of more different values, and of more than half as many as rows, names the rows, and is left out."""

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MatchedTables:
    """Tables with the same columns: the real one, the synthetic one and, if there is one, that of held-out rows.

    Attributes:
        names: P names of columns.
        categories: P times the names of their codes.
        is_number: Whether a column holds numbers or dates, P times.
        is_date: Whether its numbers are dates, P times.
        codes: Of each table, int64 ``[n, P]``.
        values: Of each table, float64 ``[n, P]``: numbers, NaN where one is missing, dates as seconds since 1970; of
            other columns a number for each different value.
        notes: What is left out or unknown, a line each.
    """

    names: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    is_number: tuple[bool, ...]
    is_date: tuple[bool, ...]
    codes: tuple[Codes, ...]
    values: tuple[Floats, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Coded:
    """A column: the names of its codes, and codes and values of each table."""

    categories: tuple[str, ...]
    is_number: bool
    is_date: bool
    codes: list[Codes]
    values: list[Floats]


def match_tables(
    real: Dataset,
    synthetic: Dataset,
    holdout: Dataset | None = None,
    *,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    bins: int = 20,
    max_categories: int = MAX_CATEGORIES,
    missing: Sequence[str] = (),
    delimiter: str | None = None,
    header: bool = True,
) -> MatchedTables:
    """Read tables and match their columns by name.

    Args:
        real: A file or what is in memory, as of `load_array`.
        synthetic: Likewise, which somebody made to be like it.
        holdout: Likewise, real rows that were kept from what made the synthetic ones.
        columns: Names of the columns to compare; None for all that the tables have in common.
        drop: Names of columns to leave out.
        bins: That columns of more different numbers are cut into, for figures that need categories.
        max_categories: The most values of a column that are told apart by such figures.
        missing: Texts that mean a missing value.
        delimiter: Between the cells of CSV files.
        header: Whether the first line of a CSV file names the columns.

    Returns:
        The tables.

    Raises:
        InputError: If a file cannot be read, or the tables have no usable column in common.
    """
    request = Request("table", columns, drop, missing, delimiter, header, None, None)
    given = {"real": real, "synthetic": synthetic} | ({} if holdout is None else {"holdout": holdout})
    tables: dict[str, Columns] = {}
    for name, dataset in given.items():
        tables[name] = _read(request, dataset, name)
        # What is not asked for of the real rows is not missed in the others.
        request = replace(request, columns=None, drop=())
    notes = [*request.findings.warnings]
    common = _common(tables, {name: place_of(dataset) for name, dataset in given.items()}, [*drop], notes)
    coded: dict[str, _Coded] = {}
    for name in common:
        if name in request.findings.refused:
            notes.append(f"column {name!r} is left out: {request.findings.refused[name]}")
            continue
        try:
            sides = [table[name] for table in tables.values()]
            coded[name] = _code_column(name, sides, [*tables], bins, max_categories, notes)
        except InputError as error:
            notes.append(f"{str(error).partition(': ')[0]}: it is left out")
    if not coded:
        raise InputError(f"real and synthetic have no usable column in common: {'; '.join(notes)}")
    return _stacked(coded, len(tables), notes)


def _stacked(coded: dict[str, _Coded], num_tables: int, notes: list[str]) -> MatchedTables:
    """The columns of each table side by side."""
    tables = range(num_tables)
    return MatchedTables(
        tuple(coded),
        tuple(column.categories for column in coded.values()),
        tuple(column.is_number for column in coded.values()),
        tuple(column.is_date for column in coded.values()),
        tuple(np.stack([column.codes[table] for column in coded.values()], axis=1) for table in tables),
        tuple(np.stack([column.values[table] for column in coded.values()], axis=1) for table in tables),
        tuple(notes),
    )


def _read(request: Request, dataset: Any, option: str) -> Columns:
    rows, _ = request.read(dataset, option, None)
    if isinstance(rows, np.ndarray):
        raise InputError(f"{option} must be a table with names of columns, got an array of shape {list(rows.shape)}")
    return rows


def _common(tables: dict[str, Columns], places: dict[str, str], drop: Sequence[str], notes: list[str]) -> list[str]:
    """The columns that all tables have, in the order of the real one; what is missing or extra is noted."""
    real = tables["real"]
    common = [name for name in real if all(name in table for table in tables.values())]
    for option, table in tables.items():
        lacking = [name for name in real if name not in table]
        if lacking:
            notes.append(f"{option} {places[option]} lacks {_listed(lacking)}, which is not compared")
        extra = [name for name in table if name not in real and name not in drop]
        if extra and option != "real":
            notes.append(f"{option} {places[option]} has {_listed(extra)}, which the real rows lack or leave out")
    if not common:
        raise InputError(
            f"real and {' and '.join(list(tables)[1:])} must have columns in common, by name; real has "
            f"{', '.join(real)}, synthetic {', '.join(tables['synthetic'])}"
        )
    return common


def _listed(names: Sequence[str]) -> str:
    return f"the column{'s' if len(names) > 1 else ''} {conservation.listed(names, len(names))}"


def _code_column(
    name: str, sides: list[list[Value]], options: Sequence[str], bins: int, max_categories: int, notes: list[str]
) -> _Coded:
    """One column of all tables."""
    own = [*sides[0], *(value for side in sides[2:] for value in side)]
    numbers = _numbers(own)
    if numbers is None:
        different = len(set(sides[0]) - {None})
        if different > FEW and 2 * different > len(sides[0]):
            raise InputError(f"column {name!r} has {different:,} different values in {len(sides[0]):,} real rows")
        plain: list[list[Value]] = [[None if value is None else str(value) for value in side] for side in sides]
        return _coded(name, plain, options, None, max_categories, notes)
    if is_numbering(sides[0]):
        raise InputError(f"column {name!r} numbers the real rows")
    read = _date if any(isinstance(value, str) and number_of(value) is None for value in own) else number_of
    found: list[list[Value]] = []
    for option, side in zip(options, sides, strict=True):
        spelt = {value: None if value is None else read(value) for value in set(side)}
        wrong = [value for value in side if value is not None and spelt[value] is None]
        if wrong:
            kind = "dates" if read is _date else "numbers"
            notes.append(
                f"{len(wrong):,} of {len(side):,} values of column {name!r} of {option} are no {kind}, as those of the "
                f"real rows are, and count as missing (such as {shown(wrong[0])})"
            )
        found.append([_plain(spelt[value]) for value in side])
    return _coded(name, found, options, bins, None, notes, read is _date)


def _coded(
    name: str,
    sides: list[list[Value]],
    options: Sequence[str],
    bins: int | None,
    max_categories: int | None,
    notes: list[str],
    is_date: bool = False,
) -> _Coded:
    """Codes by a codec of the real rows, with codes of their own for what it does not know."""
    own = [*sides[0], *(value for side in sides[2:] for value in side)]
    if all(value is None for value in own):
        raise InputError(f"column {name!r} has no values in the real rows")
    codec = TableCodec.fit({name: own}, bins=bins, max_categories=max_categories)
    (column,) = codec.columns
    names = list(codec.category_names()[0])
    known = {identity(value) for value in own}
    # Numbers that are cut into bins are known wherever they are.
    is_number = bins is not None
    is_cut = bins is not None and len(known - {identity(None)}) > bins
    codes = []
    for option, side in zip(options, sides, strict=True):
        is_known = np.array([identity(value) in known or (is_cut and value is not None) for value in side])
        is_missing = np.array([value is None for value in side])
        of_side = np.empty(len(side), np.int64)
        of_side[is_known] = column.encode([v for v, ok in zip(side, is_known, strict=True) if ok], np.dtype(np.int64))
        for mask, label in ((~is_known & is_missing, MISSING_NAME), (~is_known & ~is_missing, UNKNOWN_NAME)):
            if mask.any():
                names += [label] * (label not in names)
                of_side[mask] = names.index(label)
                example = f" (such as {shown(side[int(mask.argmax())])})" if label == UNKNOWN_NAME else ""
                what = "are missing, as none of" if label == MISSING_NAME else "are in none of"
                notes.append(
                    f"{int(mask.sum()):,} of {len(side):,} values of column {name!r} of {option} {what} the real rows"
                    f"{example}"
                )
        codes.append(of_side)
    if is_number:
        values = [np.array([np.nan if value is None else float(value) for value in side]) for side in sides]
    else:
        numbered: dict[Value, int] = {}
        values = [np.array([numbered.setdefault(v, len(numbered)) for v in side], np.float64) for side in sides]
    if is_date:
        names = _names_of_dates(names, codes, values)
    return _Coded(tuple(names), is_number, is_date, codes, values)


def _numbers(values: Sequence[Value]) -> list[float] | None:
    """Values as numbers, or dates as seconds; None where one is neither, or there are none."""
    different = {value for value in values if value is not None and not isinstance(value, bool)}
    if not different or any(isinstance(value, bool) for value in values):
        return None
    for read in (number_of, _date):
        found = [read(value) for value in different]
        if None not in found:
            return [number for number in found if number is not None]
    return None


def _date(value: Any) -> float | None:
    """Seconds from 1970 to a date or a time of a day, as ISO 8601 writes it; None for all else."""
    if not isinstance(value, str) or len(value) < 10 or value[4:5] != "-":
        return None
    try:
        read = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    return (read.replace(tzinfo=read.tzinfo or datetime.timezone.utc)).timestamp()


def _plain(number: float | None) -> Value:
    """Integers as such, so that they are shown without a point."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _names_of_dates(names: list[str], codes: list[Codes], values: list[Floats]) -> list[str]:
    """The days that each code reaches from and to."""
    every, of = np.concatenate(values), np.concatenate(codes)
    found = []
    for code, name in enumerate(names):
        own = every[(of == code) & ~np.isnan(every)]
        if name in (MISSING_NAME, UNKNOWN_NAME) or not len(own):
            found.append(name)
            continue
        days = [str(np.datetime64(int(second), "s"))[:10] for second in (own.min(), own.max())]
        found.append(days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}")
    return found
