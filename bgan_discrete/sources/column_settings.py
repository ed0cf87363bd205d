"""What a user says of single columns: on a command line, in a file of kinds, or in SDV's metadata."""

import csv
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bgan_discrete.codecs.column_kinds import IDENTIFIER
from bgan_discrete.codecs.dates import DateForm
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.manifests import read_json

_KIND_OF_SDTYPE = {
    "categorical": "category",
    "ordinal": "category",
    "boolean": "category",
    "numerical": "number",
    "datetime": "date",
    "id": IDENTIFIER,
}
_PARTS_OF_DATES = {"%Y": "YYYY", "%m": "MM", "%d": "DD", "%H": "hh", "%M": "mm", "%S": "ss", "%f": "ffffff"}
_DAY_AND_MONTH = re.compile("%[dm].%[dm].%Y")
"""Dates in which day and month may be taken for each other."""

_OLD = "is SDV's metadata of before version 1: convert it by sdv.metadata.Metadata.upgrade_metadata"


@dataclass
class ColumnSettings:
    """Kinds of single columns.

    Attributes:
        kinds: Name -> kind, as `bgan_discrete.codecs.column_kinds.column_kinds` takes it.
        of_file: Names that a file gives, which the table may lack.
        left_out: Names of columns that a file says hold personal data, with their sdtypes.
        notes: What else is to be said of the files.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    of_file: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def lacking(self, known: Collection[str]) -> list[str]:
        """Names of a file that a table does not have; their kinds are forgotten."""
        names = [name for name in self.kinds if name in self.of_file and name not in known]
        for name in names:
            del self.kinds[name]
        return names


def split_names(text: str | None, what: str = "names of columns") -> list[str] | None:
    """Names in one option, with commas between them, quoted as in CSV; ``what`` they are is for errors."""
    if text is None:
        return None
    try:
        (names,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise InputError(f"{what} must be separated by commas, got {text!r}: {error}") from None
    return names


def column_settings(column: Mapping[str, str] | str | None) -> ColumnSettings:
    """The kinds of columns in one option.

    Args:
        column: Name -> kind; or as text, such as ``age=integer:32,zip=category``, with a ``.json`` file of kinds or of
            SDV's metadata in the place of an entry, which others override.

    Returns:
        The kinds.

    Raises:
        InputError: If a name has no kind or two, or a file cannot be read.
    """
    if not isinstance(column, str):
        return ColumnSettings(dict(column or {}))
    found, given = ColumnSettings(), dict[str, str]()
    for entry in split_names(column, "column") or []:
        name, equals, kind = entry.rpartition("=")
        if not equals and kind.lower().endswith(".json"):
            _read_file(kind, found)
            continue
        if not equals or not name or name in given:
            raise InputError(
                f"column must be such as age=integer:32,zip=category, each name once, or a .json file, got {column!r}"
            )
        given[name] = kind
    found.kinds |= given
    found.of_file -= given.keys()
    found.left_out = {name: what for name, what in found.left_out.items() if name not in given}
    return found


def _read_file(name: str, found: ColumnSettings) -> None:
    place = f"column file {name!r}"
    try:
        content = read_json(Path(name).expanduser())
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{place} is not JSON: {one_line(error)}") from None
    if isinstance(content, dict) and content and all(isinstance(kind, str) for kind in content.values()):
        found.kinds |= content
        found.of_file |= content.keys()
        return
    columns, keys = _columns_of_metadata(content, place)
    for column, facts in columns.items():
        found.kinds.pop(column, None)
        sdtype = facts.get("sdtype") if isinstance(facts, dict) else None
        if not isinstance(sdtype, str):
            raise InputError(f"{place} must have an sdtype for column {column!r}, got {facts!r:.60}")
        found.of_file.add(column)
        if sdtype in _KIND_OF_SDTYPE:
            found.kinds[column] = _kind_of(facts)
        elif facts.get("pii", True):
            found.left_out[column] = sdtype
        else:
            found.notes.append(f"column {column!r} (sdtype {sdtype!r} of {name}) is learnt as its values are")
    if keys:
        found.notes.append(
            f"{name} says that rows are sequences ({', '.join(keys)}): each row is learnt and drawn by itself"
        )


def _columns_of_metadata(content: Any, place: str) -> tuple[dict[str, Any], list[str]]:
    """The columns of the one table of SDV's metadata, and the keys by which its rows are sequences."""
    tables = content.get("tables") if isinstance(content, dict) else None
    if isinstance(tables, dict) and len(tables) != 1:
        names = ", ".join(map(str, tables))
        raise InputError(f"{place} must be about one table, got {len(tables)} ({names}): keep the one of this data")
    table = next(iter(tables.values())) if isinstance(tables, dict) else content
    columns = table.get("columns") if isinstance(table, dict) else None
    if not isinstance(columns, dict) or not columns:
        is_old = isinstance(table, dict) and isinstance(table.get("fields"), dict)
        wanted = 'must be {"age": "integer:32", ...}, or metadata that SDV has saved'
        raise InputError(f"{place} {_OLD}" if is_old else f"{place} {wanted}")
    return columns, [key for key in ("sequence_key", "sequence_index") if table.get(key) is not None]


def _kind_of(facts: Mapping[str, Any]) -> str:
    """The kind of a column of an sdtype that is known."""
    sdtype = facts["sdtype"]
    if sdtype == "numerical" and str(facts.get("computer_representation", "")).startswith(("Int", "UInt")):
        return "integer"
    form = facts.get("datetime_format")
    if sdtype == "datetime" and isinstance(form, str) and _DAY_AND_MONTH.match(form):
        pattern = re.sub("%.", lambda part: _PARTS_OF_DATES.get(part[0], part[0]), form)
        try:
            return f"date:{DateForm(pattern).pattern}"
        except InputError:
            return "date"
    return _KIND_OF_SDTYPE[sdtype]


def personal_data(names: Mapping[str, str], place: str, total: int) -> str:
    """The line about columns that are left out because a file says that they hold personal data."""
    listed = ", ".join(f"{name!r} ({sdtype})" for name, sdtype in names.items())
    what = f"{len(names):,} of {total:,} columns of {place} are left out, as personal data: {listed}"
    return f"{what}; --columns or --column takes what it names"
