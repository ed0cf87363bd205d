"""Documents out of files and texts: lines, or a column of a table, which is read row by row.

What comes in and is no document is counted, with examples.
"""

import contextlib
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.conservation import SHOWN

DELIMITERS = {".csv": ",", ".tsv": "\t"}
COLUMN_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", *DELIMITERS)
"""Of files with a column of texts."""

_ROWS_AT_ONCE = 1000
_log = logging.getLogger(__name__)


class Tally:
    """How many there are of each kind, with the first examples of what is lost or changes.

    Attributes:
        counts: Of what comes in (``rows``, ``lines``) and of what is lost, by kind.
        examples: Of the latter.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: defaultdict[str, list[str]] = defaultdict(list)

    def lose(self, kind: str, example: str, count: int = 1) -> None:
        """Count what is lost or changes."""
        self.counts[kind] += count
        if len(self.examples[kind]) < SHOWN:
            self.examples[kind].append(example)


Documents = Callable[[Tally], Iterator[str]]
"""Each call goes through the documents anew."""


def file_documents(path: Path, column: str | None, unit: str, option: str) -> Documents:
    """The documents of a file: of its column of texts, or of its lines where its suffix is not one of a table.

    Args:
        path: Of the file.
        column: Of the texts; None for the only one of strings. A ``.csv`` or ``.tsv`` file is then read as lines, with
            a warning, since each of its columns is one of strings.
        unit: What a document is; see `bgan_discrete.sources.text.load_text`.
        option: What the file was given as, for messages.

    Returns:
        The documents.

    Raises:
        InputError: If it is no file, cannot be read, or has no such column or several and none is named.
    """
    named = f"{option} {str(path)!r}"
    if not path.is_file():
        raise InputError(f"{named} is a pipe, socket or device; a file is needed, since it is read twice")
    suffix = path.suffix.lower()
    if suffix in COLUMN_SUFFIXES and (column is not None or suffix not in DELIMITERS):
        with contextlib.closing(_rows(path, named)) as rows:
            first = list(islice(rows, _ROWS_AT_ONCE))
        # What is empty in all of them may be text further down.
        keys = dict.fromkeys(key for row in first if isinstance(row, dict) for key in row)
        strings = [
            key for key in keys if all(isinstance(row.get(key), str | None) for row in first if isinstance(row, dict))
        ]
        are_texts = not first or (column is None and isinstance(first[0], str))
        chosen = None if are_texts else chosen_column(column, strings, named)
        return row_documents(lambda: _values(_rows(path, named, chosen), chosen, named), unit, named, chosen)
    if column is not None:
        raise InputError(
            f"text_column is for data sets of the Hub and {', '.join(COLUMN_SUFFIXES)} files, got {column!r} for "
            f"{named}"
        )
    if suffix in DELIMITERS:
        _log.warning(
            "%s is read as lines of text; text_column (--text-column) reads one of its columns, and train_array.py "
            "learns all of them",
            named,
        )

    def read(tally: Tally) -> Iterator[str]:
        with _reading(named), path.open("rb") as file:
            yield from _units(_without_ends(_decoded_lines(file, named), unit, tally), unit, tally)

    return read


def chosen_column(column: str | None, strings: list[str], place: str) -> str:
    """The column of the texts: the one asked for, or the only one of strings; InputError where there is none."""
    known = ", ".join(map(str, strings)) or "none"
    if column is None and len(strings) != 1:
        raise InputError(f"text_column must be given for {place}; its columns of strings are: {known}")
    if column is not None and column not in strings:
        raise InputError(f"text_column must be one of {known} of {place}, got {column!r}")
    return strings[0] if column is None else column


def row_documents(
    rows: Callable[[], Iterable[str | None]], unit: str, place: str, column: str | None = None
) -> Documents:
    """The documents of texts, of which None is a missing one; each may hold several."""

    def read(tally: Tally) -> Iterator[str]:
        for number, text in enumerate(rows()):
            tally.counts["rows"] += 1
            if text is None:
                tally.lose("missing", f"row {number}")
                continue
            if "\0" in text:
                what = "it" if column is None else repr(column)
                raise InputError(f"row {number} of {place} is damaged: {what} holds a NUL character")
            *lines, last = text.split("\n")
            ended = [f"{line}\n" for line in lines]
            if last or not lines or unit == "text":
                ended.append(last)
            yield from _units(_without_ends(ended, unit, tally), unit, tally, f"row {number}")

    return read


def given_texts(texts: Any, option: str) -> list[str]:
    """Texts in memory, each of which is text."""
    try:
        given = list(texts)
    except TypeError:
        raise InputError(f"{option} must be a name, a path or a list of texts, got {type(texts).__name__}") from None
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):  # a data frame would give the names of its columns
        raise InputError(f"{option} must be a list of texts, got {type(texts).__name__}; give one of its values")
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise InputError(f"{option} must hold texts alone, got {type(text).__name__} as text {number}")
        if "\0" in text:
            raise InputError(f"{option} is damaged, or no text: text {number} holds a NUL character")
    return given


def _rows(path: Path, named: str, column: str | None = None) -> Generator[Any, None, None]:
    """The rows of a table, as dictionaries with at least the column; those of JSON may be anything."""
    suffix = path.suffix.lower()
    with _reading(named):
        if suffix == ".parquet":
            yield from _parquet_rows(path, column)
        elif suffix in DELIMITERS:
            yield from _csv_rows(path, named, DELIMITERS[suffix], is_checked=column is not None)
        else:
            yield from _json_rows(path, named)


def _parquet_rows(path: Path, column: str | None) -> Iterator[Any]:
    import pyarrow.parquet

    kinds = ("string", "large_string", "string_view")
    with pyarrow.parquet.ParquetFile(path) as table:
        strings = [
            field.name for field in table.schema_arrow if str(getattr(field.type, "value_type", field.type)) in kinds
        ]
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=strings if column is None else [column]):
            yield from batch.to_pylist()


def _csv_rows(path: Path, named: str, delimiter: str, is_checked: bool) -> Iterator[Any]:
    import pandas

    with path.open("rb") as file:
        for _ in () if is_checked else _decoded_lines(file, named):
            pass  # it names the place of a byte that is no text
    # The names are read as a row, since pandas would take the first cells of rows that are longer for an index.
    frames = pandas.read_csv(
        path,
        sep=delimiter,
        header=None,
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
        encoding="utf-8-sig",
        chunksize=_ROWS_AT_ONCE,
    )
    rows = (row for frame in frames for row in frame.itertuples(index=False, name=None))
    names = [str(name) for name in next(rows)]
    if len(set(names)) < len(names):
        raise InputError(f"{named} has two columns of one name in its first line: {', '.join(names)}")
    for row in rows:  # a short one is filled up with what is no string
        yield {name: cell if isinstance(cell, str) else None for name, cell in zip(names, row, strict=True)}


def _json_rows(path: Path, named: str) -> Iterator[Any]:
    with path.open("rb") as file:
        lines = ((number, line) for number, line in enumerate(_decoded_lines(file, named), 1) if line.strip())
        number, line = next(lines, (1, "[]"))
        try:
            if line.lstrip().startswith("["):  # an array has no lines to read it by
                yield from json.loads(line + "".join(line for _, line in lines))
                return
            while line:
                yield json.loads(line)
                number, line = next(lines, (number, ""))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{named} is not JSON in line {number}: {one_line(error)}; it must be an object a line, or one array "
                "of objects; lines of plain text are read from a .txt file"
            ) from None


def _values(rows: Iterator[Any], column: str | None, named: str) -> Iterator[str | None]:
    for number, row in enumerate(rows):
        is_row = column is None or isinstance(row, dict)
        value = row.get(column) if is_row and column is not None else row
        if not is_row or not isinstance(value, str | None):
            where = "" if column is None else f" in {column!r}"
            raise InputError(f"row {number} of {named} must hold a text{where}, got {type(value).__name__}")
        yield value


@contextlib.contextmanager
def _reading(named: str) -> Iterator[None]:
    """Whatever libraries raise for a file that cannot be read is one line that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # pandas and Arrow raise errors of many kinds
        reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise InputError(f"{named} cannot be read: {reason}") from error


def _decoded_lines(file: Iterable[bytes], named: str) -> Iterator[str]:
    """Lines with their ends."""
    offset = 0
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{named} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {offset + error.start} (line "
                f"{number}); convert the file to UTF-8"
            ) from None
        if "\0" in line:
            raise InputError(
                f"{named} is damaged, or no UTF-8 text: byte 0x00 at offset {offset + raw.index(0)} (line {number}); "
                "convert the file to UTF-8, or take such bytes out of it"
            )
        offset += len(raw)
        yield line


def _without_ends(lines: Iterable[str], unit: str, tally: Tally) -> Iterator[str]:
    for line in lines:
        tally.counts["lines"] += 1
        if line.endswith("\r\n"):
            if unit != "line":
                tally.lose("ends", "'\\r\\n' becomes '\\n'")
            yield line[:-2]
        else:
            yield line.removesuffix("\n")


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
    count = 0
    for line in chain(lines, [""] if unit == "paragraph" else []):
        if line.strip() or unit == "text":
            gathered.append(line)
        elif gathered:
            count += 1
            yield "\n".join(gathered)
            gathered = []
    if any(line.strip() for line in gathered):
        yield "\n".join(gathered)
    elif not count:
        tally.lose("blank", row or "the file")
