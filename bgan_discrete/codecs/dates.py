"""Dates and times written in one form <-> integers, which count the smallest part that the form has."""

import datetime
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bgan_discrete.errors import InputError

_PARTS = {
    "YYYY": r"(?P<year>[0-9]{4})",
    "MM": r"(?P<month>[0-9]{2})",
    "DD": r"(?P<day>[0-9]{2})",
    "hh": r"(?P<hour>[0-9]{2})",
    "mm": r"(?P<minute>[0-9]{2})",
    "ss": r"(?P<second>[0-9]{2})",
    "M": r"(?P<month>[1-9][0-9]?)",
    "D": r"(?P<day>[1-9][0-9]?)",
}
_TOKEN = re.compile(r"YYYY|MM|DD|hh|mm|ss|\[\.ffffff\]|\.f+|M|D|[^YMDhmsf]")
_DAYS = ("YYYY-MM-DD", "YYYY/MM/DD", "DD.MM.YYYY", "MM/DD/YYYY", "DD/MM/YYYY", "MM-DD-YYYY", "DD-MM-YYYY",
         "D.M.YYYY", "M/D/YYYY", "D/M/YYYY")  # fmt: skip
_TIMES = ("hh:mm", "hh:mm:ss", "hh:mm:ss[.ffffff]", "hh:mm:ss.fff", "hh:mm:ss.ffffff", "hh:mm:ss.fffffffff")
_ANY_ZONE = "±hh:mm"
_ZONE = re.compile(rf"(Z|[+-][0-9]{{2}}:?[0-9]{{2}}|{_ANY_ZONE})$")
_EPOCH = datetime.date(1970, 1, 1).toordinal()
MOST_CHARACTERS = 40


@dataclass(frozen=True)
class DateForm:
    """How dates, times, or both are written.

    Numbers count from 1970-01-01, or from midnight where there is no date: days, or else minutes, seconds or parts of a
    second, whichever is the smallest part that is written. A zone that is the same in all texts is no part of them.

    Args:
        pattern: Such as ``DD.MM.YYYY`` or ``YYYY-MM-DD hh:mm:ss``; ``M`` and ``D`` are written without a leading 0,
            ``[.ffffff]`` only where it is not 0, and ``±hh:mm`` reads any zone and is written ``+00:00``. All else
            stands for itself.

    Raises:
        InputError: If the pattern is none of those.
    """

    pattern: str

    def __post_init__(self) -> None:
        """Refuse what no date is written by."""
        zone = _ZONE.search(self.pattern)
        bare = self.pattern[: zone.start()] if zone else self.pattern
        if bare not in {*_all_patterns(), *_TIMES}:
            raise InputError(f"the form of a date must be such as YYYY-MM-DD or DD.MM.YYYY hh:mm, got {bare!r:.60}")

    def number_of(self, text: str) -> int | None:
        """The number of a text; None where it is written otherwise, or names no day or time."""
        match = _regex_of(self.pattern).fullmatch(text) if len(text) <= MOST_CHARACTERS else None
        if match is None:
            return None
        found = match.groupdict()
        days = 0
        if "year" in found:
            try:
                days = datetime.date(int(found["year"]), int(found["month"]), int(found["day"])).toordinal() - _EPOCH
            except ValueError:
                return None
        if self._parts_of_day == 1:
            return days
        hour, minute, second = (int(found.get(part) or 0) for part in ("hour", "minute", "second"))
        if hour > 23 or minute > 59 or second > 59:
            return None
        minutes = (days * 24 + hour) * 60 + minute
        if "zone" in found:
            hours, rest = found["zone"][1:].split(":")
            minutes -= (int(hours) * 60 + int(rest)) * (-1 if found["zone"][0] == "-" else 1)
        if self._parts_of_day == 24 * 60:
            return minutes
        return (minutes * 60 + second) * self._parts_of_second + int((found.get("part") or "").ljust(1, "0"))

    def text_of(self, number: int) -> str:
        """The text of a number."""
        days, rest = divmod(number, self._parts_of_day)
        rest *= 60 if self._parts_of_day == 24 * 60 else 1
        seconds, part = divmod(rest, self._parts_of_second)
        values = {"hh": seconds // 3600, "mm": seconds // 60 % 60, "ss": seconds % 60}
        if "YYYY" in self.pattern:
            day = datetime.date.fromordinal(days + _EPOCH)
            values |= {"YYYY": day.year, "MM": day.month, "DD": day.day, "M": day.month, "D": day.day}
        pieces = []
        for token in _tokens_of(self.pattern):
            if token in values:
                pieces.append(f"{values[token]:0{len(token)}d}")
            elif "f" in token:
                digits = token.count("f")
                pieces.append(f".{part:0{digits}d}" if part or token[0] == "." else "")
            else:
                pieces.append("+00:00" if token == _ANY_ZONE else token)
        return "".join(pieces)

    @property
    def _parts_of_second(self) -> int:
        return int(10 ** self.pattern.count("f"))

    @property
    def _parts_of_day(self) -> int:
        if "ss" in self.pattern:
            return 24 * 60 * 60 * self._parts_of_second
        return 24 * 60 if "hh" in self.pattern else 1


@functools.cache
def _all_patterns() -> tuple[str, ...]:
    """Of dates and of dates with times."""
    return (*_DAYS, *(f"{day}{gap}{time}" for day in _DAYS for gap in " T" for time in _TIMES))


@functools.cache
def _tokens_of(pattern: str) -> tuple[str, ...]:
    zone = _ZONE.search(pattern)
    bare = pattern[: zone.start()] if zone else pattern
    return (*_TOKEN.findall(bare), *([zone[0]] if zone else []))


@functools.cache
def _regex_of(pattern: str) -> "re.Pattern[str]":
    parts = []
    for token in _tokens_of(pattern):
        digits = token.count("f")
        if token == _ANY_ZONE:
            parts.append(r"(?P<zone>[+-][0-9]{2}:[0-9]{2})")
        elif token.startswith("["):
            parts.append(r"(\.(?P<part>[0-9]{6}))?")
        elif digits:
            parts.append(rf"\.(?P<part>[0-9]{{{digits}}})")
        else:
            parts.append(_PARTS.get(token) or re.escape(token))
    return re.compile("".join(parts))


def forms_of(texts: Sequence[str]) -> list[DateForm]:
    """The forms in which each of some texts is a date or a time, and is written again as it was, but for its zone.

    There is more than one only where day and month cannot be told apart.

    Args:
        texts: At least one.

    Returns:
        The forms; none where some text is no date, or two are written differently.
    """
    remaining = iter(texts)
    first = next(remaining)
    patterns = (*_all_patterns(), *_TIMES)
    zone = _ZONE.search(first) if ":" in first else None
    if zone is not None and not all(text.endswith(zone[0]) for text in texts):
        patterns = tuple(f"{pattern}{_ANY_ZONE}" for pattern in _all_patterns() if "hh" in pattern)
    elif zone is not None:
        patterns = tuple(f"{pattern}{zone[0]}" for pattern in patterns)
    forms = [DateForm(pattern) for pattern in patterns] if len(first) <= MOST_CHARACTERS else []
    forms = [form for form in forms if _comes_back(form, first)]
    for text in remaining:
        forms = [form for form in forms if _comes_back(form, text)]
        if not forms:
            return []
    # A part of a second that is always or never there.
    names = {form.pattern for form in forms}
    return [form for form in forms if not _is_wider(form.pattern, names)]


def _comes_back(form: DateForm, text: str) -> bool:
    number = form.number_of(text)
    return number is not None and (form.text_of(number) == text or form.pattern.endswith(_ANY_ZONE))


def _is_wider(pattern: str, others: Sequence[str] | set[str]) -> bool:
    """Whether another form says the same with less freedom."""
    optional = pattern.replace("[.ffffff]", "") in others or pattern.replace("[.ffffff]", ".ffffff") in others
    padded = re.sub("(?<!D)D(?!D)", "DD", re.sub("(?<!M)M(?!M)", "MM", pattern)) in others
    return ("[" in pattern and optional) or (re.search("(?<!D)D(?!D)", pattern) is not None and padded)


def mostly_dates(texts: Sequence[str]) -> tuple[DateForm, list[str]] | None:
    """A form of at least nine tenths of some texts, and the others; None where there is none."""
    for start in texts[:3]:
        for form in forms_of([start]):
            others = [text for text in texts if form.number_of(text) is None]
            if 10 * len(others) <= len(texts):
                return form, others
    return None
