"""What comes in is counted, what is kept is counted, and a difference is reported in one line.

Each loader collects such lines as the ``notes`` of its data, and `report` logs them, also where the data come from a
cache.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bgan_discrete.codecs.values import identity, shown
from bgan_discrete.errors import visible

SHOWN = 3
"""Examples in a line."""

_log = logging.getLogger(__name__)


def left_out(what: str, place: str, came_in: int, examples: Sequence[str], count: int, reason: str) -> str:
    """The line about ``count`` of ``came_in`` things, in the plural, that are not kept, with names of some."""
    return f"{count:,} of {came_in:,} {what} of {place} are left out ({listed(examples, count)}): {reason}"


def merged(what: str, place: str, before: int, after: int, example: str, advice: str) -> str:
    """The line about different values that become one code; the ``example`` is such as ``0 and 7 become 4``."""
    return f"{before:,} different {what} of {place} become {after:,} (such as {example}): {advice}"


def changed(what: str, place: str, came_in: int, count: int, example: str, advice: str) -> str:
    """The line about things that come back otherwise from their codes, such as ``'abc' becomes 'ab'``."""
    return f"{count:,} of {came_in:,} {what} of {place} change (such as {example}): {advice}"


def merges(what: str, place: str, columns: Mapping[str, tuple[Iterable[Any], Iterable[Any]]], advice: str) -> list[str]:
    """One line, or none, about values that become one: of each column its values and what they become."""
    names: list[str] = []
    before, after, example = 0, 0, ""
    for name, (values, becomes) in columns.items():
        # A first count by what is quick to tell apart, with 0.0 and -0.0 as two.
        pairs = {(type(old), old or repr(old)): (old, new) for old, new in zip(values, becomes, strict=True)}
        became = {identity(old): identity(new) for old, new in pairs.values()}
        alike: dict[Any, list[Any]] = {}
        for (_, value), new in became.items():
            alike.setdefault(new, []).append(value)
        if len(alike) < len(became):
            names, before, after = [*names, name], before + len(became), after + len(alike)
            new, (one, other, *_) = next(entry for entry in alike.items() if len(entry[1]) > 1)
            example = example or f"{shown(one)} and {shown(other)} of {name!r} become {shown(new[1])}"
    where = f"{listed(names, len(names))} of {place}"
    return [merged(what, where, before, after, example, advice)] if names else []


def listed(examples: Sequence[str], count: int) -> str:
    """Some names of several, each quoted, and that there are more."""
    shown = ", ".join(repr(example) for example in examples[:SHOWN])
    return f"{shown}, ..." if count > min(len(examples), SHOWN) else shown


def report(notes: Iterable[str]) -> None:
    """Log each line as a warning."""
    for note in notes:
        _log.warning("%s", visible(note))
