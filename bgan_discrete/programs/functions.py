"""A function of a user: found by what names it, called with samples, its answers checked."""

import importlib
import importlib.util
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError, one_line

Function = Callable[[Any], Any]
"""B samples -> B numbers or booleans."""

Limit = Callable[[], AbstractContextManager[None]]
"""Gives a context in which one call of a function may take some time."""


@dataclass(frozen=True)
class Answer:
    """What a function gave for some samples that follow each other.

    Attributes:
        values: Numbers ``[B]``, NaN where it failed; B may be 0.
        faults: Why it failed, by place.
        seconds: That it took.
    """

    values: NDArray[np.float64]
    faults: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


class TimeIsUpError(BaseException):
    """A call took too long; no Exception, so that the function does not catch it."""


class _NonsenseError(Exception):
    """A function gave something else than a number for each sample."""


def check_name(text: str, argument: str) -> None:
    """Raise InputError for a text that is neither ``module:function`` nor ``file.py:function``."""
    place, _, function = text.rpartition(":")
    if not function.isidentifier() or not (
        place.endswith(".py") or all(part.isidentifier() for part in place.split("."))
    ):
        raise InputError(f"{argument} must be a function's name, 'module:function' or 'file.py:function', got {text!r}")


def load_function(text: str, argument: str) -> Function:
    """Import the function that a text names; modules are also looked for in the working folder.

    Args:
        text: ``module:function`` or ``file.py:function``.
        argument: The name of the argument, for messages.

    Returns:
        The function.

    Raises:
        InputError: If there is no such module, file or function, if the import fails, or if it is no function.
    """
    check_name(text, argument)
    place, _, name = text.rpartition(":")
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else _module_of_name(place)
    except FileNotFoundError as error:
        if error.filename != place:
            raise _import_failed(text, argument, error) from None
        raise InputError(f"{argument} must name a Python file that exists, got {text!r}") from None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise _import_failed(text, argument, error) from None
        raise InputError(
            f"{argument} must name a module that can be imported, got {text!r}: there is no {error.name!r} in "
            f"{Path.cwd()}, and none is installed"
        ) from None
    except (Exception, SystemExit) as error:
        raise _import_failed(text, argument, error) from None
    try:
        function = getattr(module, name)
    except AttributeError:
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(
            f"{argument} must name a function of {place}, got {text!r}; it has {', '.join(functions[:10]) or 'none'}"
        ) from None
    return checked_function(function, argument, text)


def checked_function(function: Any, argument: str, text: str | None = None) -> Function:
    """The function; raises InputError for what cannot be called."""
    if not callable(function):
        shown = f"{text!r}, which is" if text else "an object of type"
        raise InputError(f"{argument} must be a function of a batch of samples, got {shown} {type(function).__name__}")
    return function


def _import_failed(text: str, argument: str, error: BaseException) -> InputError:
    return InputError(f"{argument} must be a function that can be imported, got {text!r}: {reason(error)}")


def _module_of_name(name: str) -> ModuleType:
    _search_last(Path.cwd())
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _module_of_file(path: Path) -> ModuleType:
    """Run a file as a module; what lies next to it can be imported by it."""
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    _search_last(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def _search_last(folder: Path) -> None:
    """Look for modules in a folder after all others, so that none of it takes the place of another."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _is_frame(samples: Any) -> bool:
    """Whether a batch is a data frame of pandas, or a column of one; pandas is not imported for that."""
    return hasattr(samples, "iloc")


def rows(samples: Any, start: int, stop: int) -> Any:
    """Some of a batch: of a list, of an array, or of a data frame, whose rows are numbered from 0 again."""
    if _is_frame(samples):
        return samples.iloc[start:stop].reset_index(drop=True)
    return samples[start:stop]


def answers(function: Function, samples: Any, singly: bool, limit: Limit = nullcontext) -> Iterator[Answer]:
    """Call a function with a batch; if that fails, with each sample alone, so that only those at fault fail.

    Args:
        function: The function.
        samples: B of them.
        singly: Call it with each sample alone at once.
        limit: Of one call.

    Yields:
        Answers for samples that follow each other, B in all. One for no sample says that the batch failed.
    """
    count = len(samples)
    if not singly:
        answer, fault = _call(function, samples, limit)
        if fault is None:
            yield answer
            return
        if count == 1:
            yield Answer(np.array([math.nan]), {0: fault}, answer.seconds)
            return
        yield answer
    for place in range(count):
        answer, fault = _call(function, rows(samples, place, place + 1), limit)
        yield answer if fault is None else Answer(np.array([math.nan]), {0: fault}, answer.seconds)


def _call(function: Function, samples: Any, limit: Limit) -> tuple[Answer, str | None]:
    """What a function gives for samples; or an answer for none of them, and why."""
    started = time.perf_counter()
    try:
        with limit():
            values, faults = _checked(function(samples), len(samples))
    except (Exception, SystemExit, TimeIsUpError) as error:
        return Answer(np.empty(0), seconds=time.perf_counter() - started), reason(error)
    return Answer(values, faults, time.perf_counter() - started), None


def _checked(result: Any, count: int) -> tuple[NDArray[np.float64], dict[int, str]]:
    values = np.asarray(result)
    if values.dtype == object or values.dtype.kind not in "biuf":
        raise _NonsenseError(f"it gave {_shortened(result)} instead of numbers")
    if values.shape != (count,):
        given = "one number" if values.ndim == 0 else f"an array of shape {list(values.shape)}"
        raise _NonsenseError(f"it gave {given} for {count} samples instead of a number for each")
    values = values.astype(np.float64)
    at_fault = np.flatnonzero(~np.isfinite(values)).tolist()
    faults = {place: f"it gave {values[place]}, which is no finite number" for place in at_fault}
    values[at_fault] = math.nan
    return values, faults


def reason(error: BaseException) -> str:
    """Why a call or an import failed, on one line."""
    if isinstance(error, (_NonsenseError, TimeIsUpError)):
        return str(error)
    name = type(error).__name__
    return f"{name}: {one_line(error)}" if str(error).split() else name


def _shortened(value: Any, length: int = 200) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= length else f"{text[:length]} ..."


def shown_sample(samples: Any, place: int) -> str:
    """One of a batch on one line of about 200 characters."""
    one = rows(samples, place, place + 1)
    return _shortened(one.to_dict("records")[0] if _is_frame(one) and one.ndim == 2 else next(iter(one)))


def too_long(seconds: float) -> str:
    """The reason of a call that took more than so many seconds."""
    return f"it took more than {seconds:g} s"


@contextmanager
def timer(seconds: float) -> Iterator[None]:
    """End a call in this process after some time, by `TimeIsUpError`.

    This needs the main thread of a POSIX system whose alarm nobody else uses; elsewhere, and while a function is inside
    of a library written in another language, a call can take as long as it likes.
    """
    can_ring = os.name == "posix" and threading.current_thread() is threading.main_thread()
    if (
        not can_ring
        or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL
        or signal.getitimer(signal.ITIMER_REAL)[0]
    ):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeIsUpError(too_long(seconds))

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # again, where the function caught the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
