"""What a user says of a single column: its kind, and how many categories or bins it has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bgan_discrete.codecs.arrays import MOST_CATEGORIES
from bgan_discrete.errors import InputError

KINDS = ("category", "integer", "number", "date")


@dataclass(frozen=True)
class ColumnKind:
    """The kind of a column.

    Attributes:
        kind: ``category``, ``integer``, ``number`` or ``date``.
        count: Most categories, or bins; None for as many as without it.
    """

    kind: str
    count: int | None = None


def column_kinds(kinds: Mapping[str, str] | None) -> dict[str, ColumnKind]:
    """The kinds of columns by their names.

    Args:
        kinds: Name -> kind, with a count behind a colon if one is wanted, such as ``integer:32``.

    Returns:
        Name -> kind.

    Raises:
        InputError: If a kind is none; the message names the column and the kinds.
    """
    found = {}
    for name, text in (kinds or {}).items():
        match = re.fullmatch(rf"({'|'.join(KINDS)})(:[0-9]{{1,7}})?", text) if isinstance(text, str) else None
        count = None if match is None or match[2] is None else int(match[2][1:])
        if match is None or (count is not None and not 2 <= count < MOST_CATEGORIES):
            raise InputError(
                f"column {name!r} must be of a kind {', '.join(KINDS)}, with a count of 2 to "
                f"{MOST_CATEGORIES - 1} such as integer:32 if one is wanted, got {text!r:.60}"
            )
        found[str(name)] = ColumnKind(match[1], count)
    return found
