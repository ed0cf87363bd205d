"""The values that stand in tables: what tells them apart, which are numbers, and how messages show them."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from bgan_discrete.errors import InputError

Value = str | int | float | bool | None
Table = Mapping[str, Sequence[Value]]
"""Column name -> the column's values, one a row; None is a missing one."""

_NUMBER = re.compile(r"\s*[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?\s*")


def identity(value: Any) -> tuple[str, Any]:
    """What tells values apart: 1, 1.0 and True are three, and so are 0, 0.0 and -0.0."""
    is_negative_zero = isinstance(value, float) and value == 0 and math.copysign(1, value) < 0
    return "-0.0" if is_negative_zero else type(value).__name__, value


def one_for_each_number(values: Sequence[Value]) -> Sequence[Value]:
    """A column of integers and floating-point numbers, with 2.0 as 2 where both occur; else, also -0.0, as it is."""
    if {type(value) for value in values if value is not None} != {int, float}:
        return values
    integers = {identity(float(value)) for value in values if isinstance(value, int) and abs(value) < 2**1000}
    return [int(value) if isinstance(value, float) and identity(value) in integers else value for value in values]


def read_otherwise(value: Value) -> list[Value]:
    """What else a value is read as where other cells stand in its column: of a CSV file 2, 2.0 or the text 2."""
    found: list[Value] = []
    for kind in (str,) if isinstance(value, bool) else (int, float, str):
        with suppress(TypeError, ValueError, OverflowError):
            other = kind(value)  # type: ignore[arg-type]
            # Only the same number, and the number of no other text than that which it would be written as.
            same = str(other) == value if isinstance(value, str) else kind is str or other == value
            if value is not None and not isinstance(value, kind) and same:
                found.append(other)
    return found


def is_number(value: Any) -> bool:
    """Whether it is a number with an order, which a floating-point number can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**1000


def number_of(value: Any) -> float | None:
    """The finite number that a value is, or that its text spells without leading zeros; None for all else."""
    number = value
    if isinstance(value, str):
        if len(value) > 400 or not _NUMBER.fullmatch(value) or not any(letter in "0123456789" for letter in value):
            return None
        with suppress(ValueError):  # an exponent alone
            number = float(value) if set(value) & set(".eE") else int(value)
    return number if is_number(number) else None


def reads_as_number(text: str) -> bool:
    """Whether Python reads a text as a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def option_of(option: str, names: Sequence[str]) -> str:
    """An option with names in the data, as a shell takes it: behind ``=`` unless they are plain."""
    cells = [f'"{name.replace(chr(34), chr(34) * 2)}"' if {*name} & {*',"\r\n'} else name for name in names]
    text = shlex.quote(joined := ",".join(cells))
    return f"{option}{'=' if text != joined or text.startswith('-') else ' '}{text}"


def check_name(name: Any) -> None:
    """Raise InputError for what is no name of a column."""
    if not isinstance(name, str) or not name or not is_utf8(name):
        raise InputError(f"a column's name must be a string that is not empty, in UTF-8, got {name!r}")


def is_utf8(text: str) -> bool:
    """Whether a file can hold it: half of a surrogate pair is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Value) -> str:
    """A value in a message, shortened."""
    text = "no value" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def listed(values: Sequence[Value]) -> str:
    """Some values of several in a message."""
    return ", ".join(map(shown, values[:5])) + (", ..." if len(values) > 5 else "")
