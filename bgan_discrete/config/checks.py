"""Whether a value is of its option's kind and in its range; every refusal is one line that names the option."""

import functools
import math
import reprlib
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bgan_discrete.errors import InputError

_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


def shown(value: Any) -> str:
    """A value in an error message: what it is, cut where it is long or deep."""
    short = reprlib.Repr()
    short.maxstring, short.maxother = 200, 200
    try:
        return short.repr(value)
    except ValueError:  # Python does not write out such numbers
        return "one of thousands of digits"


def check_text(name: str, value: str) -> None:
    """Raise InputError for a string that no file or terminal takes: with a NUL, or bytes that are not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} must be UTF-8, got {shown(value)}") from None
    if "\0" in value:
        raise InputError(f"{name} must not hold a NUL character, got {shown(value)}")


_hints_of = functools.cache(get_type_hints)


def check_type(section: type, name: str, value: Any) -> None:
    """Raise InputError for a value that is not of the type of its option, a field of ``section``."""
    hint = _hints_of(section)[name]
    kinds = get_args(hint) if get_origin(hint) not in (None, Literal) else (hint,)
    if value is None and NoneType in kinds:
        return
    for kind in kinds:
        if get_origin(kind) is Literal and isinstance(value, str) and value in get_args(kind):
            return
        if isinstance(value, str) and kind is str:
            check_text(name, value)
            return
        if isinstance(value, bool) and kind is bool:
            return
        # An integer is a number too, and YAML reads a size without quotes as one.
        if isinstance(value, int) and not isinstance(value, bool) and (kind in (int, float) or _is_size(name, value)):
            return
        if isinstance(value, float) and kind is float:
            return
    wanted = [_KINDS.get(kind) or " or ".join(get_args(kind)) for kind in kinds if kind is not NoneType]
    if get_origin(kinds[0]) is Literal:
        raise InputError(f"{name} {shown(value)} is unknown; known are {', '.join(get_args(kinds[0]))}")
    raise InputError(f"{name} must be {' or '.join(wanted)}, got {shown(value)}")


def _is_size(name: str, value: int) -> bool:
    return name == "resize" and 1 <= value <= 99_999


def check_within(name: str, value: Any, low: float | None, high: float | None, exclusive: bool) -> None:
    """Raise InputError for a number out of its range; None is no bound, ``exclusive`` refuses the bounds too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if isinstance(value, int) and value >= 2**63:
        raise InputError(f"{name} must be below 2**63, got {shown(value)}")
    least, most = (-math.inf if low is None else low), (math.inf if high is None else high)
    if not least <= value <= most or (exclusive and value in (least, most)) or not math.isfinite(value):
        raise InputError(f"{name} must be {_range_in_words(low, high, exclusive)}, got {shown(value)}")


def _range_in_words(low: float | None, high: float | None, exclusive: bool) -> str:
    if high is None:
        return f"above {low}" if exclusive else f"at least {low}"
    return f"between {low} and {high}" + (", exclusive" if exclusive else "")
