"""A verifier or a reward: a user's function of a batch of samples, in processes of its own or in this one."""

import functools
import hashlib
import math
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from bgan_discrete.checks import check_choice, check_integer
from bgan_discrete.errors import InputError
from bgan_discrete.programs.functions import (
    Function,
    answers,
    check_name,
    checked_function,
    load_function,
    rows,
    timer,
)
from bgan_discrete.programs.jobs import Failures, Job, Pace, Usage
from bgan_discrete.programs.pool import Pool

Decode = Callable[[NDArray[Any]], Any]
"""Codes ``[B, *event]`` -> B samples: a list, an array or a data frame."""

MAX_PROCESSES = 1024


class Pending:
    """Numbers of samples that may still be on their way.

    Args:
        parts: Of each distinct sample, the job that it is part of and its place there.
        numbers: Of each sample, ``[B]``, which of the distinct ones it is.
        finish: Waits for a job and raises what ended it.
    """

    def __init__(self, parts: list[tuple[Job, int]], numbers: NDArray[np.int64], finish: Callable[[Job], None]) -> None:
        self._parts, self._numbers, self._finish = parts, numbers, finish

    def result(self) -> NDArray[np.float64]:
        """Wait for the numbers.

        Returns:
            Numbers ``[B]``, NaN for samples that the function failed on.

        Raises:
            InputError: If a sample failed and the program stops there, if a process could not import the function, or
                if the program was closed before.
        """
        for job in dict.fromkeys(job for job, _ in self._parts):
            self._finish(job)
        return np.array([job.values[place] for job, place in self._parts], np.float64)[self._numbers]


class Program:
    """A verifier or a reward, as a plain function of B samples that gives B numbers, or booleans.

    The function is called with decoded samples that it has not seen before, with as many at once as the time limit
    allows; a sample's number may not depend on the others. Where a call raises, takes too long, ends its process or
    does not give B numbers, its samples are tried one at a time, and those at fault are NaN and counted. Thus the
    results do not depend on the number of processes.

    Args:
        function: The function, or its name, ``module:function`` or ``file.py:function``, which `start` imports.
        processes: Processes that run it while the caller computes. With 0 the caller runs it: there a crash ends all,
            and a call that takes too long is ended only in the main thread of a POSIX system.
        seconds: How long one sample may take. A call with several takes a part of that, or they are tried alone.
        on_error: ``skip`` makes samples that fail NaN; ``stop`` raises the first one's error.
        cache: Samples whose numbers are kept, the ones used last.
        name: What messages call it, such as ``verifier``.

    Raises:
        InputError: If an argument has a value that cannot be used, or if other processes cannot import the function.

    Examples:
        >>> even = Program(lambda texts: [int(text) % 2 == 0 for text in texts])
        >>> even(np.array([[3], [4], [9]]), lambda codes: [str(code) for [code] in codes])
        array([0., 1., 0.])
        >>> even(np.array([[10], [4]]), lambda codes: ["ten" if code == 10 else str(code) for [code] in codes])
        array([nan,  1.])
        >>> even.failures.example
        "'ten': ValueError: invalid literal for int() with base 10: 'ten'"
    """

    def __init__(
        self,
        function: str | Function,
        processes: int = 0,
        seconds: float = 10.0,
        on_error: str = "skip",
        cache: int = 100_000,
        name: str = "program",
    ) -> None:
        self.name, self.on_error = name, on_error
        self.processes = check_integer(f"{name} processes", processes, 0, MAX_PROCESSES)
        self.cache = check_integer(f"{name} cache", cache, 0)
        check_choice(f"{name} on_error", on_error, ("skip", "stop"))
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not is_number or not 0 < seconds < math.inf:
            raise InputError(f"{name} seconds must be a number above 0, got {seconds!r}")
        self.seconds = float(seconds)
        if isinstance(function, str):
            check_name(function, name)
        else:
            checked_function(function, name)
        if self.processes:
            _check_elsewhere(function, name)
        self.function = function
        self.usage = Usage()
        self._pace = Pace(self.seconds)
        self._known: OrderedDict[bytes, tuple[Job, int]] = OrderedDict()
        self._function: Function | None = None
        self._pool: Pool | None = None
        self._close_pool: Callable[[], Any] = lambda: None

    @property
    def text(self) -> str:
        """What names the function, to be stored: ``module:function``."""
        if isinstance(self.function, str):
            return self.function
        kind = type(self.function)
        module = getattr(self.function, "__module__", None) or kind.__module__
        return f"{module}:{getattr(self.function, '__qualname__', kind.__qualname__)}"

    @property
    def failures(self) -> Failures:
        """Samples that the function failed on: their number and an example."""
        return self.usage.failures

    def start(self) -> Self:
        """Import the function, in all processes, so that what is wrong is found before any long work.

        Returns:
            The program.

        Raises:
            InputError: If there is no such module or function, or if its import fails.
        """
        self._begin()
        if self._pool is not None:
            self._pool.wait_for_start()
            self._check_pool()
        return self

    def submit(self, codes: NDArray[Any], decode: Decode) -> Pending:
        """Ask for the numbers of samples; with processes this returns at once.

        Args:
            codes: Integers ``[B, *event]``.
            decode: Codes of new samples -> the samples that the function is called with.

        Returns:
            What will have the numbers.

        Raises:
            InputError: If the function cannot be imported, or ``decode`` does not give one sample for each.
        """
        self._begin()
        codes = np.ascontiguousarray(codes)
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in codes]
        first: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            first.setdefault(key, place)

        new = [key for key in first if key not in self._known]
        with self.usage.lock:
            self.usage.calls += 1
            self.usage.samples += len(keys)
            self.usage.new += len(new)
        job = self._run(codes[[first[key] for key in new]], decode)
        self._known |= {key: (job, place) for place, key in enumerate(new)}

        number = {key: place for place, key in enumerate(first)}
        numbers = np.array([number[key] for key in keys], np.int64)
        pending = Pending([self._known[key] for key in first], numbers, self._finish)
        for key in first:
            self._known.move_to_end(key)
        while len(self._known) > self.cache:
            self._known.popitem(last=False)
        return pending

    def __call__(self, codes: NDArray[Any], decode: Decode) -> NDArray[np.float64]:
        """The numbers of samples, waited for; see `submit` and `Pending.result`."""
        return self.submit(codes, decode).result()

    def close(self) -> None:
        """End the processes and what they were asked for; what is known stays. They start again when needed."""
        self._close_pool()
        self._pool = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        """Import the function, or start the processes that do; they end with the program."""
        if self.processes:
            if self._pool is None:
                self._pool = Pool(self.function, self.name, self.processes, self._pace)
                self._close_pool = weakref.finalize(self, self._pool.close)
            self._check_pool()
        elif self._function is None:
            self._function = (
                load_function(self.function, self.name) if isinstance(self.function, str) else self.function
            )

    def _check_pool(self) -> None:
        """Raise what ended the processes, which may start again."""
        error = self._pool.error if self._pool is not None else ""
        if error:
            self.close()
            raise InputError(error)

    def _run(self, codes: NDArray[Any], decode: Decode) -> Job:
        """Run new samples, or begin to."""
        samples = decode(codes) if len(codes) else []
        if len(samples) != len(codes):
            raise InputError(f"decode must give a sample for each of {len(codes)}, got {len(samples)}")
        job = Job(samples, len(codes), self.usage, self.on_error == "stop")
        if self._pool is not None:
            self._pool.submit(job)
            return job
        assert self._function is not None
        place = 0
        while not job.over.is_set():
            size = min(self._pace.size, job.count - place)
            batch = rows(samples, place, place + size)
            for answer in answers(self._function, batch, False, functools.partial(timer, self.seconds)):
                if len(answer.values) == size:
                    self._pace.saw(size, answer.seconds)
                job.take(place, answer)
                place += len(answer.values)
                if job.over.is_set():
                    break
        return job

    def _finish(self, job: Job) -> None:
        """Wait for a job; raise what ended it."""
        job.over.wait()
        if job.complete and not (job.fault and self.on_error == "stop"):
            return
        self._known = OrderedDict((key, part) for key, part in self._known.items() if part[0] is not job)
        if job.fault and self.on_error == "stop":
            raise InputError(f"{self.name} failed on {job.fault}")
        self._check_pool()
        raise InputError(f"{self.name} was closed before it gave all numbers")


def _check_elsewhere(function: str | Function, name: str) -> None:
    """Raise InputError for a function that cannot run in other processes."""
    if os.name != "posix":
        raise InputError(f"{name} processes must be 0 on this system, which lacks what others need")
    if isinstance(function, str):
        return
    try:
        ForkingPickler.dumps(function)
        is_importable = getattr(function, "__module__", None) != "__main__"
    except Exception:
        is_importable = False
    if not is_importable:
        raise InputError(
            f"{name} must be a function of a module, or 'file.py:function', for processes to import it: no lambda, no "
            f"function inside of another, none of a running script or notebook; got {function!r:.200}"
        )
