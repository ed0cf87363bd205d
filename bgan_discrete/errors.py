"""The errors that this package raises on purpose."""

import operator


class BGANError(Exception):
    """Base class of every error that the package raises on purpose."""


class InputError(BGANError, ValueError):
    """An argument, a file or a data set that cannot be used.

    The message is one line: it names the argument, the value that was received and what would be right. A line break in
    the name of a file, a column or a key becomes a space.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.replace("\n", " ").replace("\r", " "))


class NonFiniteError(BGANError, ArithmeticError):
    """A loss or a tensor became inf or NaN; raised before the optimiser takes the step."""


class StorageError(BGANError, OSError):
    """A file or folder that cannot be written: a full disk, or a place where nothing can be made.

    The message is one line: it names the path and the reason. What was there before is still there.
    """


def one_line(error: BaseException) -> str:
    """What an error of some library says, on one line of up to 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} ..."


def check_at_least_one(**values: int) -> None:
    """Raise InputError for the first value that is no integer, or below 1; it is named by its keyword."""
    for name, value in values.items():
        try:
            operator.index(value)
        except TypeError:
            raise InputError(f"{name} must be an integer, got {value!r}") from None
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
