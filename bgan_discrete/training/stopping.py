"""When a training ends: by a budget or by a signal, in all processes after the same step."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from bgan_discrete.config import TrainingConfig
from bgan_discrete.parallel import Processes

SIGNALS = ("SIGHUP", "SIGTERM", "SIGINT")
"""That interrupt a training."""


@dataclass(frozen=True)
class TrainingSummary:
    """How a training ended.

    Attributes:
        steps: Generator steps taken in all.
        seconds: Wall-clock time of this call.
        stopped_by: ``"max_steps"`` or ``"max_seconds"``, which end the training; ``"patience"``, where nothing better
            was found for half of its last phase; ``"blindness"``, where the discriminator found nothing to tell samples
            from data by, and there was no game; or ``"SIGHUP"``, ``"SIGINT"`` or ``"SIGTERM"``, from which it can be
            resumed.
    """

    steps: int
    seconds: float
    stopped_by: str


def used_up(config: TrainingConfig, step: int, seconds: float) -> str | None:
    """The name of the budget, ``max_steps`` or ``max_seconds``, that has ended a training; None while some is left."""
    is_late = config.max_seconds is not None and seconds >= config.max_seconds
    return "max_steps" if step >= config.max_steps else "max_seconds" if is_late else None


class Ending:
    """Decides after every step whether the training ends; its clock begins with it.

    ``reason`` is as ``stopped_by`` of `TrainingSummary`; None while the training continues.
    """

    def __init__(self, config: TrainingConfig, processes: Processes, step: int, seconds: float) -> None:
        self._config, self._vote = config, _StopVote(processes, seconds)
        self._started, self._used_before = time.monotonic(), seconds
        self._caught: list[signal.Signals] = []
        self.reason = used_up(config, step, seconds)

    @contextmanager
    def catching_signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP end the training alone; a second SIGINT interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: object) -> None:
            # A launcher passes Ctrl-C on as SIGTERM, in addition to the SIGINT of the terminal to all processes.
            if number == signal.SIGINT and signal.SIGINT in self._caught:
                raise KeyboardInterrupt
            self._caught.append(signal.Signals(number))

        watched = [signal.SIGINT, signal.SIGTERM]
        hangup = signal.Signals.__members__.get("SIGHUP")
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:  # as under nohup
            watched.append(hangup)
        before = {number: signal.signal(number, handle) for number in watched}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def after_step(self, step: int) -> float:
        """Decide, after ``step`` steps in all; returns the time used, on which the processes agree."""
        signalled = self._caught[0].name if self._caught else None
        agreed, seconds = self._vote.cast(signalled, self._used_before + time.monotonic() - self._started)
        self.reason = agreed or used_up(self._config, step, seconds)
        return seconds

    def close(self) -> float:
        """Read the last vote; called once, after the last step. Returns the time used."""
        agreed, seconds = self._vote.close()
        self.reason = agreed or self.reason
        return seconds

    def summary(self, step: int) -> TrainingSummary:
        """How the training ended; a signal that came while the last checkpoint was written counts, too."""
        reason = self.reason or ""
        if self._caught and reason not in _StopVote.REASONS:
            reason = self._caught[0].name
        return TrainingSummary(step, time.monotonic() - self._started, reason)


class _StopVote:
    """Lets processes end after the same step and agree on the time used: the largest count of all."""

    # A single process gets the answer at once, several get it one step later, so that none waits.
    REASONS = (None, *SIGNALS)

    def __init__(self, processes: Processes, seconds: float) -> None:
        self._processes = processes
        self._votes = torch.tensor([0.0, seconds], dtype=torch.float64)
        self._under_way: Any = None

    def cast(self, reason: str | None, seconds: float) -> tuple[str | None, float]:
        """Vote with the reason to stop, or None, and the time used; gives those of all."""
        vote = torch.tensor([self.REASONS.index(reason), seconds], dtype=torch.float64)
        if self._processes.size == 1:
            self._votes = vote
            return reason, seconds
        agreed = self.close()
        if agreed[0] is None:
            self._votes = vote
            self._under_way = dist.all_reduce(vote, dist.ReduceOp.MAX, group=self._processes.control, async_op=True)
        return agreed

    def close(self) -> tuple[str | None, float]:
        """The answer to the last vote."""
        if self._under_way is not None:
            self._under_way.wait()
            self._under_way = None
        reason, seconds = self._votes.tolist()
        return self.REASONS[int(reason)], seconds
