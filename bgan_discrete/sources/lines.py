"""Files of UTF-8, read line by line: text, and the rows of CSV. A byte that is no text is refused with its place."""

import contextlib
import csv
import io
import logging
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from bgan_discrete.errors import InputError, one_line

DELIMITERS = {".csv": ",", ".tsv": "\t"}

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def reading(named: str) -> Iterator[None]:
    """Whatever reading raises inside becomes one line that begins with what is read."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Arrow raises errors of many kinds
        reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise InputError(f"{named} cannot be read: {reason}") from error


def decoded_lines(path: Path, named: str) -> Iterator[str]:
    """The lines of a file, which end by LF, with their ends; ``named`` is what messages call it."""
    with reading(named), path.open("rb") as file:
        offset = 0
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                fault, position = "damaged, or no UTF-8 text (a NUL)", raw.find(0)
            except UnicodeDecodeError as error:
                fault, position = "not UTF-8", error.start
            if position >= 0:
                raise InputError(
                    f"{named} is {fault}: byte 0x{raw[position]:02x} at offset {offset + position} (line {number}); "
                    "convert the file to UTF-8"
                )
            offset += len(raw)
            yield line


def csv_rows(path: Path, named: str, delimiter: str | None = None, option: str = "") -> Iterator[list[str]]:
    """The rows of a CSV or TSV file, quoted as RFC 4180 says, one by one, the names of the columns first.

    The delimiter is, if none is given, what Excel's first line ``sep=;`` says, or else that of the file's suffix. A
    blank line is a row without cells, but those before the first row are left out. Raises InputError if a cell would
    change, or a row is too long or too short; ``option`` is what names another delimiter.
    """
    csv.field_size_limit(2**31 - 1)
    lines = decoded_lines(path, named)
    first = next(lines, "")
    if sep := re.fullmatch(r'(sep=([^"\r\n]))\r?\n', first):
        first, delimiter = "\n", delimiter or sep[2]
        _log.warning("the first line of %s, %r, is Excel's and no row; the delimiter is %r", named, sep[1], delimiter)
    delimiter = delimiter or DELIMITERS[path.suffix.lower()]
    # A carriage return ends a row, too.
    split = chain.from_iterable(io.StringIO(line, newline="") for line in chain([first], lines))
    rows = csv.reader(split, delimiter=delimiter, strict=True)
    width, last = 0, 0
    try:
        for row in rows:
            width = width or len(row)
            if row and len(row) != width:
                advice = f", or name another one ({option} {';' if delimiter != ';' else ','!r})" if option else ""
                raise InputError(
                    f"{named} has {len(row)} cells in line {rows.line_num}, but {width} columns; quote cells that hold "
                    f"the delimiter{advice}"
                )
            if width:
                yield row
            last = rows.line_num
    except csv.Error as error:
        raise InputError(f"{named} is no CSV file after line {last}: {one_line(error)}") from None
