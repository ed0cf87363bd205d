"""The samples of one batch that a function is called with, what has come back, and what it took."""

import math
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bgan_discrete.programs.functions import Answer, shown_sample

GROWTH = 4
"""A call with a whole batch that took less than an eighth of the time limit makes the next one so many times larger."""


@dataclass(frozen=True)
class Failures:
    """Samples that a program failed on.

    Attributes:
        count: How many, each of those that are cached once.
        example: The first one and why, on one line; empty if there is none.
    """

    count: int = 0
    example: str = ""


@dataclass
class Usage:
    """What a program was asked for, and what it took.

    Attributes:
        calls: Batches of samples.
        samples: Of all batches.
        new: Samples that the function ran on; the others were known, or came twice in a batch.
        seconds: That the function took, summed over the processes.
        failures: New samples that it failed on.
        lock: Held by whoever changes it.
    """

    calls: int = 0
    samples: int = 0
    new: int = 0
    seconds: float = 0.0
    failures: Failures = field(default_factory=Failures)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def cached(self) -> int:
        """Samples that the function did not have to run on."""
        return self.samples - self.new


class Pace:
    """How many samples the function is called with at once: a call is to take a small part of the time limit.

    Args:
        seconds: The limit of a call.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.size = seconds, 1

    def saw(self, count: int, seconds: float) -> None:
        """Learn from one call with a batch."""
        if seconds > self.seconds / 2:
            self.size = max(1, count // 2)
        elif seconds < self.seconds / 8 and count >= self.size:
            self.size *= GROWTH


class Job:
    """B samples, and what is known of them; from several threads.

    Args:
        samples: A list, an array or a data frame.
        count: B.
        usage: Where seconds and failures are added.
        stops: Whether the first failure ends it.
    """

    def __init__(self, samples: Any, count: int, usage: Usage, stops: bool) -> None:
        self.samples, self.count = samples, count
        self.values = np.full(count, math.nan)
        self.fault = ""  # the first failure
        self.begun = self.answered = 0
        self.over = threading.Event()
        self._usage, self._stops = usage, stops
        if count == 0:
            self.over.set()

    @property
    def complete(self) -> bool:
        """Whether the function has run on all samples."""
        return self.answered == self.count

    def take(self, start: int, answer: Answer) -> None:
        """Keep what the function gave for the samples from ``start`` on."""
        with self._usage.lock:
            self.values[start : start + len(answer.values)] = answer.values
            self.answered += len(answer.values)
            self._usage.seconds += answer.seconds
            for place, fault in answer.faults.items():
                self.fault = self.fault or f"{shown_sample(self.samples, start + place)}: {fault}"
                known = self._usage.failures
                self._usage.failures = Failures(known.count + 1, known.example or self.fault)
            if self.complete:
                self.samples = self.samples[:0]
            if self.complete or (self._stops and self.fault):
                self.over.set()
