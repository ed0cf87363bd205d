"""One copy of each check of an argument; what does not pass is an `InputError` that names the argument."""

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

from bgan_discrete.errors import InputError


def check_at_least_one(**values: int) -> None:
    """Raise InputError for the first value that is no integer, or below 1; it is named by its keyword."""
    for name, value in values.items():
        try:
            operator.index(value)
        except TypeError:
            raise InputError(f"{name} must be an integer, got {value!r}") from None
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")


def check_not_negative(**values: Any) -> None:
    """Raise InputError for the first value that is no finite number, or below 0; it is named by its keyword."""
    for name, value in values.items():
        is_number = isinstance(value, Real)
        if not (is_number and 0 <= value < math.inf):
            raise InputError(f"{name} must be a number that is at least 0, got {value!r:.100}")


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """The value as a plain integer; raises InputError for what is none, or outside ``low .. high`` (None: no bound)."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        rule = f" of at least {low}" if high is None else f", {low} .. {'2**63 - 1' if high == 2**63 - 1 else high}"
        raise InputError(f"{name} must be an integer{rule}, got {value!r}")
    return number


def check_seed(seed: Any) -> int:
    """The seed as a plain integer; raises InputError if it is not one of 0 .. 2**63 - 1."""
    return check_integer("seed", seed, 0, 2**63 - 1)


def check_limit(limit: Any) -> None:
    """Raise InputError for what is neither None nor an integer of at least 1."""
    if limit is not None:
        check_integer("limit", limit, 1)


def check_split(limit: Any, holdout: Any, seed: Any) -> None:
    """Raise InputError unless the limit, the share of held-out rows and its seed can be used."""
    check_limit(limit)
    check_share("holdout", holdout)
    check_seed(seed)


def check_share(name: str, value: Any) -> None:
    """Raise InputError for what is no number between 0 and 1, exclusive."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{name} must be a share between 0 and 1, exclusive, got {value!r}")


def check_flag(name: str, value: Any) -> bool:
    """The value; raises InputError unless it is True or False, since the string "false" would be taken for yes."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {value!r}")
    return value


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise InputError for what is none of the choices."""
    known = list(choices)
    if value not in known:
        raise InputError(f"{name} must be one of {', '.join(known)}, got {value!r}")
