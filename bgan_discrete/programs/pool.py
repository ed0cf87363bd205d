"""Processes that run a user's function: each has a thread that hands it samples, and replaces it when it is lost."""

import math
import os
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from bgan_discrete.errors import InputError
from bgan_discrete.programs.functions import Answer, Function, reason, rows
from bgan_discrete.programs.jobs import Job, Pace
from bgan_discrete.programs.worker import Worker, WorkerLostError


@dataclass(frozen=True)
class _Task:
    job: Job
    start: int
    stop: int
    singly: bool


class Pool:
    """Processes, from their start to `close`.

    Args:
        function: What they run, as text or as an object that another process can import.
        argument: The name of the argument, for messages.
        processes: Their number.
        pace: How many samples they get at once, and in which time.

    Attributes:
        error: Why the processes could not run the function and have ended; empty if they could.
    """

    def __init__(self, function: str | Function, argument: str, processes: int, pace: Pace) -> None:
        self._function, self._argument, self._pace = function, argument, pace
        self._owner = os.getpid()
        self._jobs: deque[Job] = deque()
        self._retries: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._workers: dict[int, Worker] = {}
        self._ready: set[int] = set()
        self.error = ""
        self._closed = False
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(processes)]
        for thread in self._threads:
            thread.start()

    def wait_for_start(self) -> None:
        """Wait until all processes have imported the function, or one could not: `error` says why."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) == len(self._threads) or self._closed)

    def submit(self, job: Job) -> None:
        """Let a job be run; this returns at once."""
        with self._changed:
            if self._closed:
                job.over.set()
            self._jobs.append(job)
            self._changed.notify_all()

    def close(self) -> None:
        """Kill the processes; what they were asked for ends without an answer."""
        if self._owner != os.getpid():  # a fork of the process that they belong to
            return
        self._end()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _end(self) -> None:
        with self._changed:
            self._closed = True
            for job in [*self._jobs, *(task.job for task in self._retries)]:
                job.over.set()
            for worker in self._workers.values():
                worker.kill()
            self._changed.notify_all()

    # Of each thread.

    def _run(self, number: int) -> None:
        task = None
        try:
            self._started(number)
            while (task := self._next_task()) is not None:
                self._run_task(number, task)
        except Exception as error:  # else those who wait would wait for ever
            self.error = self.error or (str(error) if isinstance(error, InputError) else reason(error))
            self._end()
            if task is not None:
                task.job.over.set()
        finally:
            self._drop(number)

    def _started(self, number: int) -> Worker | None:
        """The process of a thread, a new one where there is none; None if the pool is closed."""
        with self._changed:
            if number in self._workers or self._closed:
                return self._workers.get(number)
            worker = self._workers[number] = Worker()
        try:
            worker.prepare(self._function, self._argument)
        except WorkerLostError as error:
            raise InputError(
                f"{self._argument} must be a function that can be imported, got {self._function!r:.200}: {error}"
            ) from None
        with self._changed:
            self._ready.add(number)
            self._changed.notify_all()
        return worker

    def _drop(self, number: int) -> None:
        """End the process of a thread."""
        with self._changed:
            worker = self._workers.pop(number, None)
        if worker is not None:
            worker.close()

    def _next_task(self) -> _Task | None:
        """Wait for samples to run, fewer at once towards the end of a job; None when the pool is closed."""
        with self._changed:
            while not self._closed:
                while self._retries:
                    task = self._retries.popleft()
                    if not task.job.over.is_set():
                        return task
                while self._jobs:
                    job = self._jobs[0]
                    left = job.count - job.begun
                    if left == 0 or job.over.is_set():
                        self._jobs.popleft()
                        continue
                    count = min(self._pace.size, math.ceil(left / (2 * len(self._threads))))
                    job.begun += count
                    return _Task(job, job.begun - count, job.begun, singly=False)
                self._changed.wait()
        return None

    def _run_task(self, number: int, task: _Task) -> None:
        """Let a process run samples; one that it is lost with fails, and of several each is tried alone."""
        worker, job, start = self._started(number), task.job, task.start
        singly = task.singly or task.stop - start == 1
        try:
            if worker is not None:
                worker.send((rows(job.samples, start, task.stop), task.singly))
            while worker is not None and start < task.stop and not job.over.is_set():
                answer = worker.receive(self._pace.seconds)
                count = len(answer.values)
                if not task.singly and count == task.stop - task.start:
                    self._pace.saw(count, answer.seconds)
                singly = singly or count == 0  # the batch failed
                job.take(start, answer)
                start += count
        except WorkerLostError as error:
            if singly and not self._closed:
                job.take(start, Answer(np.array([math.nan]), {0: str(error)}))
                start += 1
            self._drop(number)
        if start < task.stop:
            self._drop(number)  # nobody wants the rest of what it says
            self._try_alone(job, start, task.stop)

    def _try_alone(self, job: Job, start: int, stop: int) -> None:
        size = math.ceil((stop - start) / len(self._threads))
        with self._changed:
            for place in range(start, stop, size):
                self._retries.append(_Task(job, place, min(place + size, stop), singly=True))
            if self._closed:
                job.over.set()
            self._changed.notify_all()
