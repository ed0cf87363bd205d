"""One option: a field with its help and whether it may change when a run is resumed."""

from dataclasses import field
from typing import Any


def option(default: Any, help: str, *, free: bool = False) -> Any:
    """A field of a configuration.

    Args:
        default: Its default.
        help: What it is, with its unit or range.
        free: It may change when a run is resumed, because the steps that follow do not depend on it.

    Returns:
        The field.
    """
    return field(default=default, metadata={"help": help, "free": free})
