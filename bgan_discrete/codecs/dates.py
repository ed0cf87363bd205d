"""Dates and times written in one form <-> integers, which count the smallest part that the form has."""

import datetime
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
_NAMES = {
    "YYYY": "year", "MM": "month", "DD": "day", "hh": "hour", "mm": "minute", "ss": "second"
}  # fmt: skip
_TOKEN = re.compile(r"YYYY|MM|DD|hh|mm|ss|\[\.ffffff\]|\.f+|M|D|[^YMDhmsf]")
_DAYS = ("YYYY-MM-DD", "YYYY/MM/DD", "DD.MM.YYYY", "MM/DD/YYYY", "DD/MM/YYYY", "MM-DD-YYYY", "DD-MM-YYYY",
         "D.M.YYYY", "M/D/YYYY", "D/M/YYYY")  # fmt: skip
_TIMES = ("hh:mm", "hh:mm:ss", "hh:mm:ss[.ffffff]", "hh:mm:ss.fff", "hh:mm:ss.ffffff", "hh:mm:ss.fffffffff")
_ANY_ZONE = "±hh:mm"
_ZONE = re.compile(rf"(Z|[+-][0-9]{{2}}:?[0-9]{{2}}|{_ANY_ZONE})$")
FIRST = 50
"""So many texts are looked at before all of them."""

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
        if bare not in _known_patterns():
            raise InputError(f"the form of a date must be such as YYYY-MM-DD or DD.MM.YYYY hh:mm, got {bare!r:.60}")

    def number_of(self, text: str) -> int | None:
        """The number of a text; None where it is written otherwise, or names no day or time."""
        match = self._regex.fullmatch(text) if len(text) <= MOST_CHARACTERS else None
        if match is None:
            return None
        found = match.groupdict()
        days, parts_of_day = 0, self._parts_of_day
        if "year" in found:
            try:
                days = datetime.date(int(found["year"]), int(found["month"]), int(found["day"])).toordinal() - _EPOCH
            except ValueError:
                return None
        if parts_of_day == 1:
            return days
        hour, minute, second = int(found["hour"]), int(found["minute"]), int(found.get("second", 0))
        if hour > 23 or minute > 59 or second > 59:
            return None
        minutes = (days * 24 + hour) * 60 + minute
        if "zone" in found:
            hours, rest = found["zone"][1:].split(":")
            minutes -= (int(hours) * 60 + int(rest)) * (-1 if found["zone"][0] == "-" else 1)
        if parts_of_day == 24 * 60:
            return minutes
        return (minutes * 60 + second) * self._parts_of_second + int(found.get("part") or 0)

    def text_of(self, number: int) -> str:
        """The text of a number."""
        days, rest = divmod(number, self._parts_of_day)
        rest *= 60 if self._parts_of_day == 24 * 60 else 1
        seconds, part = divmod(rest, self._parts_of_second)
        values = {"hh": seconds // 3600, "mm": seconds // 60 % 60, "ss": seconds % 60}
        if "YYYY" in self.pattern:
            day = datetime.date.fromordinal(days + _EPOCH)
            values |= {"YYYY": day.year, "MM": day.month, "DD": day.day, "M": day.month, "D": day.day}
        return "".join(
            [f"{values[token]:0{width}d}" if width else self._other(token, part) for token, width in self._tokens]
        )

    def numbers_of(self, texts: Sequence[str]) -> list[int | None]:
        """`number_of` of many texts, at once where all texts of the form have one length."""
        pattern = self.pattern
        zone = _ZONE.search(pattern)
        if "[" in pattern or pattern.count("f") > 6 or pattern.endswith(_ANY_ZONE) or min(self._widths) == 1:
            return [self.number_of(text) for text in texts]
        width = len(pattern)
        letters = np.array(texts, f"U{width + 1}").view(np.uint32).reshape(len(texts), width + 1).astype(np.int64)
        is_right = letters[:, width] == 0
        digits = letters - ord("0")
        fields: dict[str, Any] = dict.fromkeys((*_NAMES.values(), "part"), np.int64(0))
        begin = 0
        for token in _tokens_of(pattern):
            name = _NAMES.get(token, "part" if "f" in token and token != (zone and zone[0]) else "")
            start, begin = begin, begin + len(token)
            if name == "part":
                is_right &= letters[:, start] == ord(".")
                start += 1
            if not name:
                for place, letter in enumerate(token):
                    is_right &= letters[:, start + place] == ord(letter)
                continue
            part = digits[:, start:begin]
            is_right &= ((part >= 0) & (part <= 9)).all(1)
            fields[name] = part @ (10 ** np.arange(begin - start - 1, -1, -1))
        days: Any = np.zeros(len(texts), np.int64)
        if "YYYY" in pattern:
            year, month, day = fields["year"], fields["month"], fields["day"]
            is_right &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
            months = (np.where(is_right, (year - 1970) * 12 + month - 1, 0)).astype("M8[M]")
            days = months.astype("M8[D]").astype(np.int64) + np.where(is_right, day, 1) - 1
            is_right &= days < (months + 1).astype("M8[D]").astype(np.int64)
        is_right &= (fields["hour"] <= 23) & (fields["minute"] <= 59) & (fields["second"] <= 59)
        numbers = days
        if "hh" in pattern:
            numbers = (days * 24 + fields["hour"]) * 60 + fields["minute"]
        if "ss" in pattern:
            numbers = (numbers * 60 + fields["second"]) * self._parts_of_second + fields["part"]
        return [number if right else None for number, right in zip(numbers.tolist(), is_right.tolist(), strict=True)]

    def texts_of(self, numbers: Sequence[int]) -> list[str]:
        """`text_of` of many numbers, at once where that is possible."""
        if "[" in self.pattern or not numbers or max(map(abs, numbers)) >= 2**62:
            return [self.text_of(number) for number in numbers]
        days, rest = np.divmod(np.array(numbers, np.int64), self._parts_of_day)
        rest *= 60 if self._parts_of_day == 24 * 60 else 1
        seconds, part = np.divmod(rest, self._parts_of_second)
        fields = {"hh": seconds // 3600, "mm": seconds // 60 % 60, "ss": seconds % 60}
        if "YYYY" in self.pattern:
            months = days.astype("M8[D]").astype("M8[M]")
            year, month = np.divmod(months.astype(np.int64) + 1970 * 12, 12)
            if year.min() < 1 or year.max() > 9999:
                raise ValueError("a date is out of range")
            day = days - months.astype("M8[D]").astype(np.int64)
            fields |= {"YYYY": year, "MM": month + 1, "M": month + 1, "DD": day + 1, "D": day + 1}
        form, columns = "", list[list[int]]()
        for token, width in self._tokens:
            if width:
                form, columns = form + f"%0{width}d", [*columns, fields[token].tolist()]
            elif "f" in token:
                form, columns = form + f".%0{token.count('f')}d", [*columns, part.tolist()]
            else:
                form += self._other(token, 0).replace("%", "%%")
        return [form % values for values in zip(*columns, strict=True)]

    def _other(self, token: str, part: int) -> str:
        """What is written for what is no number: parts of a second, a zone, what stands for itself."""
        if "f" in token:
            return f".{part:0{token.count('f')}d}" if part or token[0] == "." else ""
        return "+00:00" if token == _ANY_ZONE else token

    @functools.cached_property
    def _tokens(self) -> list[tuple[str, int]]:
        """With the digits of those that are numbers."""
        return [(token, len(token) if token in _PARTS else 0) for token in _tokens_of(self.pattern)]

    @functools.cached_property
    def _widths(self) -> list[int]:
        return [width for _, width in self._tokens if width]

    @functools.cached_property
    def _regex(self) -> "re.Pattern[str]":
        return _regex_of(self.pattern)

    @functools.cached_property
    def _parts_of_second(self) -> int:
        return int(10 ** self.pattern.count("f"))

    @functools.cached_property
    def _parts_of_day(self) -> int:
        if "ss" in self.pattern:
            return 24 * 60 * 60 * self._parts_of_second
        return 24 * 60 if "hh" in self.pattern else 1


@functools.cache
def _all_patterns() -> tuple[str, ...]:
    """Of dates and of dates with times."""
    return (*_DAYS, *(f"{day}{gap}{time}" for day in _DAYS for gap in " T" for time in _TIMES))


@functools.cache
def _known_patterns() -> frozenset[str]:
    """Of dates, times and both, without zones."""
    return frozenset((*_all_patterns(), *_TIMES))


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
    forms = [form for form in forms if form.number_of(first) is not None]  # of most texts nothing is left
    forms = [form for form in forms if _are_all(form, texts[:FIRST])]
    found: list[DateForm] = []
    for form in sorted(forms, key=lambda form: "[" in form.pattern or min(form._widths) == 1):
        # One that says the same with less freedom is preferred.
        if not _is_wider(form.pattern, {known.pattern for known in found}) and _are_all(form, texts):
            found.append(form)
    return found


def _are_all(form: DateForm, texts: Sequence[str]) -> bool:
    """Whether all texts are of a form, and written so again: other forms than this read one text for each number."""
    if "[" in form.pattern and any(text.endswith(".000000") for text in texts):
        return False
    return None not in form.numbers_of(texts)


def _is_wider(pattern: str, others: set[str]) -> bool:
    """Whether another form says the same with less freedom."""
    optional = pattern.replace("[.ffffff]", "") in others or pattern.replace("[.ffffff]", ".ffffff") in others
    padded = re.sub("(?<!D)D(?!D)", "DD", re.sub("(?<!M)M(?!M)", "MM", pattern)) in others
    return ("[" in pattern and optional) or (re.search("(?<!D)D(?!D)", pattern) is not None and padded)


def mostly_dates(texts: Sequence[str]) -> tuple[DateForm, list[str]] | None:
    """A form of at least nine tenths of some texts, and the others; None where there is none."""
    for start in texts[:3]:
        for form in forms_of([start]):
            others = [text for text, number in zip(texts, form.numbers_of(texts), strict=True) if number is None]
            if 10 * len(others) <= len(texts):
                return form, others
    return None
