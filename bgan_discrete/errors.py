"""The errors that this package raises on purpose."""

import re

_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class BGANError(Exception):
    """Base class of every error that the package raises on purpose."""


class InputError(BGANError, ValueError):
    """An argument, a file or a data set that cannot be used.

    The message is one line: it names the argument, the value that was received and what would be right. A line break in
    the name of a file, a column or a key becomes a space, another control character is shown as by `visible`.

    Args:
        message: The line.
        example: Lines of code that would be right, to be shown below it.
    """

    def __init__(self, message: str, example: str = "") -> None:
        line = visible(message.replace("\n", " ").replace("\r", " "))
        super().__init__(f"{line}\n\n{example}" if example else line)


class NonFiniteError(BGANError, ArithmeticError):
    """A loss or a tensor became inf or NaN; raised before the optimiser takes the step."""


class StorageError(BGANError, OSError):
    """A file or folder that cannot be written: a full disk, or a folder without write access.

    The message is one line: it names the path and the reason. What was there before is still there.
    """


def visible(text: str, keep: str = "") -> str:
    """A text in which what controls a terminal, breaks a line or turns the direction is an escape such as ``\\x1b``.

    Args:
        text: Such as the name of a column, with anything in it.
        keep: Characters that stay as they are.

    Returns:
        The text.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode(), text)


def reason_of(error: BaseException) -> str:
    """Why an operation on a file failed: the system's words, else the error's own."""
    return (isinstance(error, OSError) and error.strerror) or one_line(error)


def one_line(error: BaseException) -> str:
    """What an error of some library says, on one line of up to 300 characters."""
    text = visible(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} ..."
