"""The process of a program: what it leaves with, the signals that end it, and errors in one line."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bgan_discrete.errors import BGANError, InputError, one_line
from bgan_discrete.streams import ReaderGoneError, prepare_streams

EXIT_BAD_INPUT = 2
EXIT_FAILED = 1
EXIT_READER_GONE = 141


def run_script(main: Callable[[], int | None]) -> None:
    """Run a script's main function; end the process with a one-line message where it fails on purpose.

    Exit codes: 0 with the product in place, 2 for bad input, 1 for another error of this package or a lack of disk or
    memory, 129, 130 and 143 after SIGHUP, Ctrl-C and SIGTERM, 141 if the reader of a product on stdout has gone.

    Args:
        main: The function; it may return an exit code.
    """
    prepare_streams()
    with _ended_by_signals():
        try:
            code = main() or 0
        except InputError as error:
            code = _complain(error, EXIT_BAD_INPUT)
        except (BGANError, OSError) as error:
            code = _complain(error, EXIT_READER_GONE if isinstance(error, ReaderGoneError) else EXIT_FAILED)
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            code = _complain(
                f"there is not enough memory: {one_line(error)}; take a smaller batch_size or num_draws, or more "
                "gradient_accumulation_steps, or smaller networks",
                EXIT_FAILED,
            )
        except KeyboardInterrupt:
            code = _complain("interrupted", 130)
    sys.exit(code)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End the process with a line at SIGTERM, or SIGHUP unless that is ignored (nohup); a training has its own way.

    Of several processes, one that waits for another would not hear of it: it ends at once, and the launcher says so.
    """

    def end(number: int, frame: object) -> None:
        # As a kill does: what waits for others on its way out, such as a pool of workers, must not hold the process.
        os._exit(_complain(f"ended by {signal.Signals(number).name}", 128 + number))

    alone = os.environ.get("WORLD_SIZE", "1") == "1" and threading.current_thread() is threading.main_thread()
    found = [signal.Signals.__members__.get(name) for name in ("SIGTERM", "SIGHUP") if alone]
    numbers = [number for number in found if number and signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _lacks_memory(error: Exception) -> bool:
    """Whether an error of NumPy or torch says that something does not fit into memory."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in said for words in ("can't allocate memory", "not enough memory", "Storage size calculation"))
    )


def _complain(error: object, code: int) -> int:
    rank = os.environ.get("RANK", "0")
    name = Path(sys.argv[0]).name
    who = ("bgan" if name == "__main__.py" else name) + ("" if rank == "0" else f"[{rank}]")
    print(f"{who}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code
