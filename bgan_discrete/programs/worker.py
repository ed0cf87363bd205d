"""A process that runs a user's function, and nothing else: it imports neither torch nor the script that started it.

`multiprocessing` would run that script again in each process, and executors cannot end one call that hangs; so
each process here is started, asked and killed by itself.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection, Pipe
from typing import Any

from bgan_discrete.errors import InputError
from bgan_discrete.programs.functions import Function, answers, load_function, reason, too_long

START_SECONDS = 120.0
"""In which a process must have imported its function."""

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from bgan_discrete.programs.worker import serve; serve(int(sys.argv[1]))"
)


class WorkerLostError(Exception):
    """A process ended, or did not answer in time."""


class Worker:
    """The process, from outside; it ends with the one that started it, however that ends."""

    def __init__(self) -> None:
        self._connection, other = Pipe()
        with other:
            command = [sys.executable, "-c", PROGRAM, str(other.fileno()), json.dumps(sys.path)]
            # A session of its own: Ctrl-C does not reach it, and what the function starts is killed with it.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, pass_fds=[other.fileno()], start_new_session=True
            )

    def prepare(self, function: str | Function, argument: str) -> None:
        """Hand the function over.

        Args:
            function: Its name, or an object that another process can import.
            argument: The name of the argument, for messages.

        Raises:
            InputError: If the process cannot import it.
            WorkerLostError: If it ended for another reason.
        """
        self.send((function, argument))
        fault = self.receive(START_SECONDS)
        if fault is not None:
            raise InputError(fault)

    def send(self, message: Any) -> None:
        """Hand something over; raises WorkerLostError."""
        try:
            self._connection.send(message)
        except OSError:
            raise WorkerLostError(self._end()) from None

    def receive(self, seconds: float) -> Any:
        """Wait for what comes next; raises WorkerLostError after so many seconds."""
        try:
            if self._connection.poll(seconds):
                return self._connection.recv()
        except (OSError, EOFError):
            raise WorkerLostError(self._end()) from None
        raise WorkerLostError(too_long(seconds))

    def _end(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "it closed the connection of its process"
        return f"it ended its process by {signal.Signals(-code).name}" if code < 0 else f"it ended its process ({code})"

    def kill(self) -> None:
        """End the process at once, and what the function has started in it; from any thread."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the process, and wait until it is no more."""
        self.kill()
        self._process.wait()
        self._connection.close()
        assert self._process.stdin is not None
        self._process.stdin.close()


def serve(descriptor: int) -> None:
    """Import a function and answer batches of samples, in a process of its own, until the other side closes."""
    lifeline = os.dup(0)
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    connection = Connection(descriptor)
    try:
        function, argument = connection.recv()
        if isinstance(function, str):
            function = load_function(function, argument)
    except InputError as error:
        connection.send(str(error))
        return
    except Exception as error:
        connection.send(f"the function must be one that another process can import: {reason(error)}")
        return
    connection.send(None)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            samples, singly = connection.recv()
            for answer in answers(function, samples, singly):
                connection.send(answer)


def _end_with_parent(lifeline: int) -> None:
    """Wait until nobody holds the other end: the process that started this one is no more, even if it was killed."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)
