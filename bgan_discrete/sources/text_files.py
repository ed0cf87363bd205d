"""Documents out of texts and files: lines, or a column of a table, which is read row by row."""

import contextlib
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bgan_discrete.codecs.values import is_utf8
from bgan_discrete.errors import InputError
from bgan_discrete.sources import conservation
from bgan_discrete.sources.lines import DELIMITERS, csv_rows, decoded_lines, reading

COLUMN_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", *DELIMITERS)
"""Of files with a column of texts."""

LOSSES = {
    "missing": ("rows", "they have no text"),
    "empty": ("rows", "they are blank"),
    "blank": ("lines", "they are blank"),
    "ends": ("lines", "within a document they end by LF"),
    "cut": ("documents", "they are longer than the length (--length)"),
    "short": ("documents", "they are shorter than a window, which has the length (--length)"),
    "rest": ("tokens", "they end documents and fill no window"),
    "normalised": ("documents", "the SentencePiece model writes them so; one that is trained here keeps every text"),
    "unknown": (
        "tokens",
        "the vocabulary, learnt from the training texts, lacks them (--vocabulary-size)",
    ),
}
"""What can be lost or change -> what it is some of, and why."""

CHANGES = ("ends", "cut", "normalised")

_ROWS_AT_ONCE = 1000
_STRINGS = ("string", "large_string", "string_view")
_log = logging.getLogger(__name__)


class Tally:
    """How many came in and how many of `LOSSES` there were, with examples."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: defaultdict[str, list[str]] = defaultdict(list)

    def lose(self, kind: str, example: str, count: int = 1) -> None:
        """Count a loss."""
        self.counts[kind] += count
        if len(self.examples[kind]) < conservation.SHOWN:
            self.examples[kind].append(example)

    def notes(self, place: str) -> Iterator[str]:
        """A line about each kind of loss."""
        for kind in filter(self.counts.__getitem__, LOSSES):
            (what, why), count, examples = LOSSES[kind], self.counts[kind], self.examples[kind]
            if kind in CHANGES:
                yield conservation.changed(what, place, self.counts[what], count, examples[0], why)
            elif examples:
                yield conservation.left_out(what, place, self.counts[what], examples, count, why)


Documents = Callable[[Tally], Iterator[str]]
"""Each call goes through the documents anew."""


def file_documents(path: Path, column: str | None, unit: str, option: str) -> Documents:
    """The documents of a file: of a column of texts, or of its lines where its suffix is not one of a table.

    Without a column, ``.csv`` and ``.tsv`` files are read as lines too, since each of their columns is one of strings.
    """
    suffix, named = path.suffix.lower(), f"{option} {str(path)!r}"
    if not path.is_file():
        raise InputError(f"{named} is a pipe, socket or device; a file is needed, since it is read twice")
    if suffix in COLUMN_SUFFIXES and (column is not None or suffix not in DELIMITERS):
        with contextlib.closing(file_rows(path, named, None)) as rows:
            first = list(islice(rows, _ROWS_AT_ONCE))
        objects = [row for row in first if isinstance(row, dict)]
        keys = dict.fromkeys(key for row in objects for key in row)
        # What is empty in all of them may be text further down.
        strings = [key for key in keys if all(isinstance(row.get(key), str | None) for row in objects)]
        if not first or (not objects and column is None):
            return row_documents(lambda: _texts(file_rows(path, named, None), None, named), unit, named)
        chosen = chosen_column(column, strings, named)
        if column is None:
            _log.warning("%s is read as the texts of its only column of strings, %r", named, chosen)
        return row_documents(lambda: _texts(file_rows(path, named, chosen), chosen, named), unit, named, chosen)
    if column is not None:
        known = ", ".join(COLUMN_SUFFIXES)
        raise InputError(f"column is for data sets of the Hub and {known} files, got {column!r} for {named}")
    if suffix in DELIMITERS:
        advice = "column (--column) reads one column of it, train_array.py learns all of them"
        _log.warning("%s is read as lines of text; %s", named, advice)

    def read(tally: Tally) -> Iterator[str]:
        yield from _units(_without_ends(decoded_lines(path, named), unit, tally), unit, tally)

    return read


def chosen_column(column: str | None, strings: list[str], place: str) -> str:
    """The column of the texts: the one asked for, or the only one of strings."""
    known = ", ".join(map(str, strings)) or "none"
    if column is None and len(strings) != 1:
        raise InputError(f"column must be given for {place}; its columns of strings are: {known}")
    if column is not None and column not in strings:
        raise InputError(f"column must be one of {known} of {place}, got {column!r}")
    return strings[0] if column is None else column


def row_documents(
    rows: Callable[[], Iterable[str | None]], unit: str, place: str, column: str | None = None
) -> Documents:
    """The documents of texts, each of which may hold several, or be missing (None)."""

    def read(tally: Tally) -> Iterator[str]:
        for number, text in enumerate(rows()):
            tally.counts["rows"] += 1
            if text is None:
                tally.lose("missing", f"row {number}")
                continue
            if "\0" in text or not is_utf8(text):
                what = "it" if column is None else repr(column)
                fault = "a NUL character" if "\0" in text else "half of a surrogate pair, which is no character"
                raise InputError(f"row {number} of {place} is damaged: {what} holds {fault}")
            *lines, last = text.split("\n")
            ended = [f"{line}\n" for line in lines]
            if last or not lines or unit == "text":
                ended.append(last)
            yield from _units(_without_ends(ended, unit, tally), unit, tally, f"row {number}")

    return read


def file_rows(path: Path, named: str, column: str | None) -> Generator[Any, None, None]:
    """The rows of a table: dictionaries with at least the column; of JSON, whatever it holds."""
    suffix = path.suffix.lower()
    with reading(named):
        if suffix == ".parquet":
            yield from _parquet_rows(path, column)
        elif suffix in DELIMITERS:
            yield from _named_rows(path, named)
        else:
            for number, row in enumerate(_json_rows(path, named)):
                if isinstance(row, ValueError):
                    raise InputError(f"row {number} of {named} has {row}")
                yield row


def _parquet_rows(path: Path, column: str | None) -> Iterator[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as table:
        strings = [
            field.name
            for field in table.schema_arrow
            if str(field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type) in _STRINGS
        ]
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=strings if column is None else [column]):
            yield from batch.to_pylist()


def _named_rows(path: Path, named: str) -> Iterator[dict[str, str | None]]:
    """The rows of a CSV or TSV file by the names of their columns; a blank line has None in each."""
    rows = csv_rows(path, named)
    names = next(rows, [])
    if len(set(names)) < max(len(names), 1):
        fault = f"has two columns of one name in its first line: {', '.join(names)}"
        raise InputError(f"{named} {fault}" if names else f"{named} cannot be read: it has no rows")
    for row in rows:
        cells: list[str | None] = [*row] or [None] * len(names)
        yield dict(zip(names, cells, strict=True))


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | ValueError:
    """An object of JSON; in place of one that would lose a value, what is wrong with it, for who knows its row."""
    if len(cells := dict(pairs)) == len(pairs):
        return cells
    ((key, count),) = Counter(key for key, _ in pairs).most_common(1)
    return ValueError(f"{count} values of the key {key!r}")


def _json_rows(path: Path, named: str) -> Iterator[Any]:
    lines = ((number, line) for number, line in enumerate(decoded_lines(path, named), 1) if line.strip())
    number, line = next(lines, (1, "[]"))
    try:
        if line.lstrip().startswith("["):  # an array has no lines to read it by
            yield from json.loads(line + "".join(line for _, line in lines), object_pairs_hook=_json_object)
            return
        while line:
            yield json.loads(line, object_pairs_hook=_json_object)
            number, line = next(lines, (number, ""))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        where, what = number, "it is nested too deeply"
        if isinstance(error, json.JSONDecodeError):
            where, what = number + error.lineno - 1, error.msg
        raise InputError(
            f"{named} is not JSON in line {where}: {what}; it must be an object a line, or one array of objects; "
            "lines of plain text are read from a .txt file"
        ) from None


def _texts(rows: Iterator[Any], column: str | None, named: str) -> Iterator[str | None]:
    for number, row in enumerate(rows):
        value = row.get(column) if isinstance(row, dict) else row
        if not isinstance(value, str | None) or isinstance(row, dict) == (column is None):
            where = "" if column is None else f" in {column!r}"
            raise InputError(f"row {number} of {named} must hold a text{where}, got {type(value).__name__}")
        yield value


def _without_ends(lines: Iterable[str], unit: str, tally: Tally) -> Iterator[str]:
    for line in lines:
        tally.counts["lines"] += 1
        if line.endswith("\r\n") and unit != "line":
            tally.lose("ends", f"{line[-30:]!r} becomes {line[-30:-2] + chr(10)!r}")
        yield line[:-2] if line.endswith("\r\n") else line.removesuffix("\n")


def _units(lines: Iterable[str], unit: str, tally: Tally, row: str = "") -> Iterator[str]:
    """Documents that are not blank, out of the lines of one text."""
    if unit == "line":
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield line
            else:
                tally.lose("blank", row or f"line {number}")
        return
    gathered: list[str] = []
    is_empty = True
    for line in chain(lines, [""] if unit == "paragraph" else []):
        if line.strip() or unit == "text":
            gathered.append(line)
        elif gathered:
            yield "\n".join(gathered)
            gathered, is_empty = [], False
    if any(line.strip() for line in gathered):
        yield "\n".join(gathered)
    elif is_empty:
        tally.lose("empty", row)
