"""One option: a field with its default, help and range, and whether it may change when a run is resumed."""

from collections.abc import Iterable
from dataclasses import field, fields
from typing import Any

from bgan_discrete.config.checks import check_type, check_within

ALL_KINDS = ("images", "text", "arrays")


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    exclusive: bool = False,
    free: bool = False,
    kinds: Iterable[str] = ALL_KINDS,
) -> Any:
    """A field of a configuration, with its help and its range, whose bounds ``exclusive`` refuses.

    A ``free`` option may change when a run is resumed, because the steps that follow do not depend on it. For other
    kinds of data than ``kinds`` it must keep its default.
    """
    bounds = {"low": low, "high": high, "exclusive": exclusive}
    return field(default=default, metadata={"help": help, "bounds": bounds, "free": free, "kinds": tuple(kinds)})


def other_default(section: type, name: str, default: Any) -> Any:
    """The option ``name`` of a section with another default."""
    (entry,) = (entry for entry in fields(section) if entry.name == name)
    return field(default=default, metadata=entry.metadata)


class Section:
    """Options that belong together: a dataclass whose fields are made by `option`."""

    def check(self) -> None:
        """Raise InputError for the first value that is of the wrong kind or out of range."""
        for name, value in vars(self).items():
            check_type(type(self), name, value)
        for entry in fields(self):  # type: ignore[arg-type]
            check_within(entry.name, vars(self)[entry.name], **entry.metadata["bounds"])
