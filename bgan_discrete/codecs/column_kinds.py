"""What a user says of a single column: its kind, and how many categories or bins it has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bgan_discrete.codecs.arrays import MOST_CATEGORIES
from bgan_discrete.codecs.dates import DateForm
from bgan_discrete.errors import InputError

IDENTIFIER = "identifier"
"""A column that is not learnt: it has a new value in each sample."""

KINDS = ("category", "integer", "number", "date", IDENTIFIER)


@dataclass(frozen=True)
class ColumnKind:
    """The kind of a column.

    Attributes:
        kind: ``category``, ``integer``, ``number`` or ``date``; ``identifier`` of one that names the rows.
        count: Most categories, or bins; None for as many as without it.
        form: Of dates whose day and month may be taken for each other; None for the one that they have.
    """

    kind: str
    count: int | None = None
    form: str | None = None


def column_kinds(kinds: Mapping[str, str] | None) -> dict[str, ColumnKind]:
    """The kinds of columns by their names.

    Args:
        kinds: Name -> kind, with a count behind a colon if one is wanted, such as ``integer:32``, or a form behind that
            of dates, such as ``date:DD/MM/YYYY``.

    Returns:
        Name -> kind.

    Raises:
        InputError: If a kind is none; the message names the column and the kinds.
    """
    found = {}
    for name, text in (kinds or {}).items():
        if isinstance(text, str) and text.startswith("date:") and not text[5:].isdecimal():
            try:
                found[str(name)] = ColumnKind("date", form=DateForm(text[5:]).pattern)
            except InputError as error:
                raise InputError(f"column {name!r}: {error}") from None
            continue
        match = re.fullmatch(rf"({'|'.join(KINDS)})(:[0-9]{{1,7}})?", text) if isinstance(text, str) else None
        count = None if match is None or match[2] is None else int(match[2][1:])
        if match is not None and match[1] == IDENTIFIER and count is not None:
            raise InputError(f"column {name!r} of kind identifier has no categories or bins to count, got {text!r}")
        if match is None or (count is not None and not 2 <= count < MOST_CATEGORIES):
            raise InputError(
                f"column {name!r} must be of a kind {', '.join(KINDS)}, with a count of 2 to "
                f"{MOST_CATEGORIES - 1} such as integer:32 if one is wanted, got {text!r:.60}"
            )
        found[str(name)] = ColumnKind(match[1], count)
    return found
