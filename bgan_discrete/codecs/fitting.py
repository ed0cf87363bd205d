"""How the columns of a table are fitted: which become categories, which bins, and which cannot be learnt."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bgan_discrete.checks import check_choice, check_integer
from bgan_discrete.codecs.arrays import MOST_CATEGORIES
from bgan_discrete.codecs.column_kinds import IDENTIFIER, KINDS, ColumnKind, column_kinds
from bgan_discrete.codecs.columns import CategoryColumn, Column
from bgan_discrete.codecs.cutting import cut_column, default_bins
from bgan_discrete.codecs.dates import DateForm, forms_of, mostly_dates
from bgan_discrete.codecs.identifiers import Identifier, fit_identifier
from bgan_discrete.codecs.values import (
    Table,
    Value,
    check_name,
    identity,
    is_number,
    listed,
    number_of,
    option_of,
    reads_as_number,
    shown,
)
from bgan_discrete.errors import InputError

MAX_COLUMN_CATEGORIES = 256
"""The categories of a column, unless somebody asks for another number; of more the rare ones are lumped together."""

FEW_NUMBERS = 20
"""So many different numbers are always categories, and more of them where each has `ROWS_OF_A_NUMBER` on average."""

ROWS_OF_A_NUMBER = 10

IDENTIFIER_ROWS = 100
"""A column with another value in each row is an identifier from so many rows on: of fewer, that may be chance."""

IDENTIFIER_SHARE = 0.95
"""Of rows with a value of their own, in a column of texts that is an identifier."""

MOST_MARKS = 3
"""So many different texts, such as "n/a", may stand among the numbers of a column; each has a code of its own."""

OTHER_NAME = "(other)"

_THOUSANDS = re.compile(r"-?(0|[1-9][0-9]{0,2}(,[0-9]{3})*)")


def check_table(table: Any) -> None:
    """Raise InputError for what is not a dictionary of columns of one length, with at least one row."""
    if not isinstance(table, Mapping) or not table:
        raise InputError(f"a table must be a dictionary of columns, got {type(table).__name__}")
    lengths = {name: len(values) for name, values in table.items()}
    first, count = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != count:
            raise InputError(f"columns must have one length, got {count} values in {first!r} and {length} in {name!r}")
    if count == 0:
        raise InputError(f"the table has no rows, only the columns {', '.join(map(str, table))}")


class UnusableColumnError(InputError):
    """A column of which nothing can be learnt, though all its values can be read."""


@dataclass(frozen=True)
class FitOptions:
    """What is asked for of the columns of a table; arguments as of `TableCodec.fit`."""

    bins: int | None = None
    max_categories: int | None = None
    column: Mapping[str, str] | None = None
    rare: str = "drawn"

    def __post_init__(self) -> None:
        """Raise InputError for what is out of its range."""
        for name, number in (("bins", self.bins), ("max_categories", self.max_categories)):
            if number is not None:
                check_integer(name, number, 2, MOST_CATEGORIES - 1)
        check_choice("rare", self.rare, ("drawn", "private"))
        column_kinds(self.column)


def fit_columns(
    table: Table,
    options: FitOptions,
    training: Sequence[int] | None = None,
    refused: Mapping[str, InputError] | None = None,
    dropped: Sequence[str] = (),
    left_out: dict[str, str] | None = None,
    wanted: Sequence[str] = (),
) -> list[Column]:
    """See `TableCodec.fit`; the error ends with the options that make the table load.

    Args:
        table: The rows.
        options: What is asked for.
        training: Rows whose numbers and rare values are learnt, while the others only say which categories there are;
            None for all.
        refused: Other columns that could not be read, and why.
        dropped: Columns that an option leaves out.
        left_out: Where columns are put of which nothing can be learnt, with the reason; None to refuse them.
        wanted: Columns that are asked for by name: they are learnt as far as they can be, and never left out.

    Returns:
        The columns, without those of kind ``identifier``.

    Raises:
        InputError: As of `TableCodec.fit`.
    """
    refused = dict(refused or {})
    if table or not refused:
        check_table(table)
    kinds = column_kinds(options.column)
    unknown = next((name for name in kinds if name not in table and name not in refused), None)
    if unknown is not None:
        raise InputError(f"column {unknown!r} is not in the table, which has: {', '.join(map(str, table))}")
    columns: list[Column] = []
    for name, values in table.items():
        check_name(name)
        if name in kinds and kinds[name].kind == IDENTIFIER:
            continue
        try:
            columns.append(_fit_column(name, values, options, kinds.get(name), training, name in wanted))
        except UnusableColumnError as error:
            if left_out is None or name in kinds or name in wanted:
                refused[name] = error
            else:
                left_out[name] = str(error)
        except InputError as error:
            refused[name] = error
    if not refused and left_out and not columns:
        refused = {name: InputError(reason) for name, reason in left_out.items()}
    if not refused and not columns:
        raise InputError(f"all columns are of kind identifier, and nothing is left to learn: {', '.join(kinds)}")
    if not refused:
        return columns
    names = [*dropped, *(name for name in refused if name not in kinds)]
    (_, first), *others = refused.items()
    named = ", ".join(repr(name) for name, _ in others[:10]) + (", ..." if len(others) > 10 else "")
    nor = f"; nor can {named} be used as they are" if others else ""
    works = f"; what works: {option_of('--drop', names)}" if columns and len(names) > len(dropped) else ""
    raise InputError(f"{first}{nor}{works}")


def fit_identifiers(
    table: Table, options: FitOptions, columns: Sequence[Column], own: int | None = None
) -> list[Identifier]:
    """The columns of kind ``identifier``, among which and the ``columns`` that are learnt each has its place.

    ``own`` is as of `bgan_discrete.codecs.identifiers.fit_identifier`.
    """
    kinds = column_kinds(options.column)
    wanted = [name for name, kind in kinds.items() if kind.kind == IDENTIFIER]
    known = {*wanted, *(column.name for column in columns)}
    places = {name: place for place, name in enumerate(name for name in table if name in known)}
    wanted.sort(key=lambda name: places[name])
    return [fit_identifier(name, table[name], places[name], own) for name in wanted]


def _fit_column(
    name: str,
    values: Sequence[Value],
    options: FitOptions,
    kind: ColumnKind | None,
    training: Sequence[int] | None,
    is_wanted: bool,
) -> Column:
    counts = _count_values(name, values)
    missing = counts.pop(identity(None), 0) > 0
    found: list[Value] = [value for _, value in sorted(counts, key=_order)]
    rows = sum(counts.values())
    numbers = _numbers_of(found) if kind is None else None
    if kind is not None and kind.kind != "category":
        numbers = _numbers_of_kind(name, found, kind, values)
    if numbers is not None:
        bins = (kind and kind.count) or options.bins or default_bins(rows)
        few = max(FEW_NUMBERS, min(MAX_COLUMN_CATEGORIES, rows // ROWS_OF_A_NUMBER))
        most = options.bins or min(few, options.max_categories or few) if kind is None else bins
        if len(found) - len(numbers.marks) > most and numbers.different > 1:
            is_asked = kind is not None or is_wanted
            is_plain = numbers.form is None and not numbers.marks and rows == len(found)
            if not is_asked and is_plain and is_numbering(numbers.among(found)):
                raise _unusable(name, "numbers the rows, of which nothing can be learnt")
            known = numbers.among(values if training is None else [values[row] for row in training])
            return cut_column(name, known or numbers.among(found), bins, missing, numbers.form, numbers.marks)
    elif kind is None and not is_wanted and _is_identifier(found, rows):
        fault = f"has {len(found):,} different values in {rows:,} rows, as identifiers do: nothing can be learnt of it"
        raise _unusable(name, fault + _advice(found))
    most = (kind and kind.count) or options.max_categories or MAX_COLUMN_CATEGORIES
    if numbers is not None or len(found) <= most:
        ordered = found if numbers is None else sorted(found, key=numbers.order)
        return CategoryColumn(name, (*ordered, *([None] if missing else [])))
    return _lump(name, values, found, counts, most, missing, options.rare, training)


def _lump(
    name: str,
    values: Sequence[Value],
    found: Sequence[Value],
    counts: "Counter[tuple[str, Value]]",
    most: int,
    missing: bool,
    rare: str,
    training: Sequence[int] | None,
) -> CategoryColumn:
    """A column whose rarest values are lumped together as one."""
    kept = {key for key, _ in counts.most_common(most - 1)}
    rows = sum(counts.values())
    lumped = rows - sum(counts[key] for key in kept)
    if 10 * lumped > 9 * rows:
        fault = f"has {len(found):,} different values, of which '{OTHER_NAME}' would be {lumped:,} of {rows:,} rows"
        raise _unusable(name, fault + _advice(found))
    known = [value for value in found if identity(value) in kept]
    other = OTHER_NAME
    while other in known:
        other = f"({other})"
    drawn: list[tuple[Value, int]] = []
    if rare == "drawn":
        part = counts if training is None else Counter(identity(values[row]) for row in training)
        others = [value for value in found if identity(value) not in kept]
        drawn = [(value, part[identity(value)]) for value in others if part[identity(value)]]
        drawn = drawn or [(value, counts[identity(value)]) for value in others]
    return CategoryColumn(name, (*known, *([None] if missing else [])), other, tuple(drawn))


def _unusable(name: str, fault: str) -> UnusableColumnError:
    return UnusableColumnError(f"column {name!r} {fault}; drop it ({option_of('--drop', [name])})")


def is_numbering(values: Sequence[Any]) -> bool:
    """Whether the values of many rows are consecutive integers, another one for each row."""
    if len(values) < IDENTIFIER_ROWS or not all(type(value) is int for value in values):
        return False
    return len(set(values)) == len(values) == max(values) - min(values) + 1


def _is_identifier(found: Sequence[Value], rows: int) -> bool:
    """Whether nearly each of many rows has a text of its own."""
    are_texts = all(isinstance(value, str) for value in found)
    return rows >= IDENTIFIER_ROWS and are_texts and len(found) >= IDENTIFIER_SHARE * rows


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a column.

    Attributes:
        texts: Of values that are texts; all other values are numbers themselves.
        different: How many different ones there are.
        form: Of dates.
        marks: Texts that are no numbers.
        whole: Whether all are to be integers.
    """

    texts: Mapping[str, float]
    different: int
    form: str | None = None
    marks: tuple[str, ...] = ()
    whole: bool = False

    def order(self, value: Value) -> tuple[bool, Any]:
        """By what values are sorted: their numbers, and behind them the marks, which are texts."""
        number = self.texts.get(value) if isinstance(value, str) else value
        return number is None, value if number is None else number

    def among(self, values: Iterable[Value]) -> list[Any]:
        """The numbers among some values of the column."""
        numbers = [self.texts.get(value) if isinstance(value, str) else value for value in values if value is not None]
        known = [number for number in numbers if number is not None] if self.marks else numbers
        return [int(number) for number in known] if self.whole else known  # type: ignore[arg-type]


def _numbers_of(found: Sequence[Value]) -> _Numbers | None:
    """The numbers of different values, if all are numbers or all are dates, but for few marks; None else."""
    if any(value is True or value is False for value in found):
        return None
    texts = [value for value in found if isinstance(value, str)]
    of_texts = {text: number for text in texts if (number := number_of(text)) is not None}
    marks = [text for text in texts if text not in of_texts]
    if len(marks) < len(found) and _are_marks(marks, found):
        return _Numbers(
            of_texts, len({*of_texts.values(), *(v for v in found if v not in of_texts)} - {*marks}), None, tuple(marks)
        )
    if not texts or len(texts) < len(found):
        return None
    forms, marks = forms_of(texts), []
    if not forms and (dates := mostly_dates(texts)) is not None and _are_marks(dates[1], texts):
        marks = dates[1]
        forms = forms_of([text for text in texts if text not in marks])
    return _dates(forms[0], texts, marks) if len(forms) == 1 else None


def _dates(form: DateForm, texts: Sequence[str], marks: Sequence[str]) -> _Numbers:
    pairs = zip(texts, form.numbers_of(texts), strict=True)
    numbers = {text: number for text, number in pairs if number is not None}
    return _Numbers(numbers, len({*numbers.values()}), form.pattern, tuple(marks))


def _are_marks(marks: Sequence[Value], found: Sequence[Value]) -> bool:
    """Whether few of many values are texts such as "n/a", and none of them a number in another spelling."""
    if not marks:
        return True
    are_texts = all(isinstance(mark, str) and not reads_as_number(mark) for mark in marks)
    return are_texts and len(marks) <= MOST_MARKS and len(found) > FEW_NUMBERS


def _numbers_of_kind(name: str, found: Sequence[Value], wanted: ColumnKind, values: Sequence[Value]) -> _Numbers:
    """The numbers of different values of a kind that was asked for; InputError for the first value of another."""
    numbers, kind = _numbers_of(found), wanted.kind
    of_dates = kind == "date"
    if numbers is not None and wanted.form not in (None, numbers.form) and numbers.form is not None:
        raise InputError(f"column {name!r} cannot be of kind date:{wanted.form}: it is written as {numbers.form}")
    if numbers is not None and (numbers.form is not None) == of_dates:
        if kind != "integer":
            return numbers
        if all(number % 1 == 0 for number in numbers.among(found)):
            return replace(numbers, whole=True)
    texts = [value for value in found if isinstance(value, str)]
    if of_dates and len(forms := forms_of(texts) if len(texts) == len(found) and texts else []) > 1:
        asked = next((form for form in forms if form.pattern == wanted.form), None)
        if asked is not None:
            return _dates(asked, texts, [])
        both = " and ".join(form.pattern for form in forms)
        option = option_of("--column", [f"{name}=date:{forms[0].pattern}"])
        raise InputError(
            f"column {name!r} cannot be of kind date: its values read as {both} alike; say which: {option}"
        )

    def is_right(value: Value) -> bool:
        if of_dates:
            return isinstance(value, str) and bool(forms_of([value]))
        number = number_of(value)
        return number is not None and (kind == "number" or number % 1 == 0)

    wrong = next((value for value in found if not is_right(value)), None)
    if wrong is None:
        raise InputError(f"column {name!r} cannot be of kind {kind}: it is written in several forms, or empty")
    row = next(row for row, value in enumerate(values, 1) if identity(value) == identity(wrong))
    advice = f"; if that means a missing value, {option_of('--missing', [wrong])}" if isinstance(wrong, str) else ""
    advice += "; dates are such as 2024-12-31, 31.12.2024, 12/31/2024 23:59 or 23:59:59" if of_dates else ""
    raise InputError(
        f"column {name!r} cannot be of kind {kind} (kinds: {', '.join(KINDS)}): it holds {shown(wrong)} in row {row}"
        f"{advice}"
    )


def _count_values(name: str, values: Sequence[Value]) -> "Counter[tuple[str, Value]]":
    """How often each value of a column occurs, by what tells it apart."""
    counts: Counter[tuple[type, Value]] = Counter()
    with suppress(TypeError):  # of lists and the like
        counts.update(zip(map(type, values), values, strict=True))
    if sum(counts.values()) == len(values) and all(_is_category(value) for _, value in counts):
        if {kind for kind, _ in counts} <= {str, int, float, bool, type(None)} and (float, 0.0) not in counts:
            return Counter({identity(value): count for (_, value), count in counts.items()})
        return Counter(map(identity, values))
    row, value = next((row, value) for row, value in enumerate(values, 1) if not _is_category(value))
    held, right = type(value).__name__, "categories are strings, numbers below 2**1000, booleans or None"
    if isinstance(value, float):
        held, right = repr(value), "missing values are None"
    drop = option_of("--drop", [name])
    raise InputError(f"column {name!r} holds {held} in row {row}; {right}: drop it ({drop})")


def _advice(found: Sequence[Value]) -> str:
    """Why a column of many values is one of texts, if that can be mended; else nothing."""
    texts = [value for value in found if isinstance(value, str)]
    others = [text for text in texts if number_of(text) is None]
    if texts and all(reads_as_number(text) for text in texts):
        padded = next((text for text in others if text.lstrip("-").startswith("0") and len(text) > 1), others[0])
        return f": its numbers are text because of how some are written, such as {listed([padded])}"
    if texts and all(_THOUSANDS.fullmatch(text) for text in texts):
        return ": take the commas out of its numbers"
    if texts and all(reads_as_number(text.replace(",", ".", 1)) for text in texts):
        return ": write its decimal commas as points"
    dates = None if len(others) <= len(texts) // 10 else mostly_dates(texts)
    if texts and dates is not None and not dates[1]:
        return f": day and month of its dates cannot be told apart, or they are written in several forms ({texts[0]})"
    if texts and (len(others) <= len(texts) // 10 or dates is not None):
        what, others = ("dates", dates[1]) if dates is not None else ("numbers", others)
        option = option_of("--missing", others[:10])
        return f": its {what} are text because of {listed(others)}: if that means a missing value, {option}"
    return ""


def _order(identity: tuple[str, Value]) -> tuple[str, Any]:
    kind, value = identity
    return ("number" if kind in ("int", "float", "-0.0") else kind, value)


def _is_category(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or is_number(value)
