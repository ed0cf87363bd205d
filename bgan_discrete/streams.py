"""stdout and stderr: messages never end the work, and data never control a terminal."""

import errno
import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, cast

from bgan_discrete.errors import StorageError, reason_of, visible

_OF_BARS = re.compile(r"\r|(\x1b\[A)+\Z")
"""What a bar of progress begins a write with: back to the start of the line, or some lines up and no more."""


class ReaderGoneError(StorageError):
    """The reader of stdout closed it before the output was complete."""


class PreparedStream:
    """A stream for messages: it accepts any text, shows control characters as escapes, and discards all once lost.

    It is lost when it cannot be written; for stdout, stderr reports the reason, unless its reader has gone.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream: Any = io.StringIO() if stream is None else stream
        self.lost: Exception | None = OSError(errno.EBADF, "it is closed") if stream is None else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text; only a bar of progress may move on its terminal."""
        bar = _OF_BARS.match(text)
        start = bar.end() if bar else 0
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        shown = text[:start] + visible(text[start:], keep="\n\t")
        self.attempt(lambda: self.stream.write(shown.encode(encoding, "backslashreplace").decode(encoding)))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.attempt(self.stream.flush)

    def attempt(self, action: Callable[[], object]) -> None:
        """Do something with the stream, unless it is lost; it is lost where this fails."""
        if self.lost is not None:
            return
        try:
            action()
        except (OSError, ValueError) as error:  # ValueError: somebody in this process closed it
            self.lost = error
            if self in (sys.stdout, sys.stderr):  # what its buffer holds must not fail again at the exit
                with suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:  # noqa: PTH123 - no place on a disk
                    os.dup2(nothing.fileno(), self.stream.fileno())
            if self is sys.stdout and not isinstance(error, BrokenPipeError):
                print(f"stdout cannot be written and is discarded from here on: {reason_of(error)}", file=sys.stderr)


def prepared(stream: TextIO | PreparedStream | None) -> PreparedStream:
    """A stream for messages in front of another, once."""
    return stream if isinstance(stream, PreparedStream) else PreparedStream(stream)


def prepare_streams() -> None:
    """Put streams for messages in front of stdout and stderr, and reserve the descriptors of closed ones."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    os.environ.setdefault("PYTHON_COLORS", "0")  # Python's own tracebacks and help would be shown with their escapes
    sys.stdout, sys.stderr = cast(TextIO, prepared(sys.stdout)), cast(TextIO, prepared(sys.stderr))


def say(line: str) -> None:
    """Print a line for the user, at once."""
    print(line, file=prepared(sys.stdout), flush=True)


def write_product(text: str) -> None:
    """Write a command's product to stdout: unchanged, in UTF-8; with escapes on a terminal.

    An empty text only finds out whether stdout can still be written; if not, ReaderGoneError or StorageError is raised.
    """
    out = prepared(sys.stdout)
    out.flush()
    out.attempt(lambda: _write_as_it_is(out, text))
    out.flush()
    if isinstance(out.lost, BrokenPipeError):
        raise ReaderGoneError("the reader of stdout went away before all was written")
    if out.lost is not None:
        raise StorageError(f"stdout cannot be written: {reason_of(out.lost)}; --output FILE writes a file instead")


def _write_as_it_is(out: PreparedStream, text: str) -> None:
    if out.stream.isatty():
        out.write(text)
    elif not hasattr(out.stream, "buffer"):  # of this process, such as io.StringIO
        out.stream.write(text)
    else:
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        while left:  # a file without a buffer (python -u) may take a part
            left = left[out.stream.buffer.write(left) :]
