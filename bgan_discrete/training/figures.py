"""Figures of a training: the means of its diagnostics between lines of the log, and its speed."""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from bgan_discrete.parallel import Processes


class RunningMeans:
    """Means of diagnostics, summed on their device and read once per line of the log.

    Each has a count of its own: a penalty is absent from steps that leave it out.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, diagnostics: Mapping[str, Tensor]) -> None:
        """Add the scalars of a step."""
        for name, value in diagnostics.items():
            if name not in self.sums:
                self.sums[name], self.counts[name] = torch.zeros_like(value), 0
            self.counts[name] += 1
        torch._foreach_add_([self.sums[name] for name in diagnostics], list(diagnostics.values()))

    def take(self, processes: Processes) -> dict[str, float]:
        """The means over steps and processes, which all must call this; the sums restart."""
        sums = self.stacked()
        totals = [] if sums is None else [*processes.mean(sums).cpu().numpy()]  # one copy to the host for all of them
        means = {name: float(total) / self.counts[name] for name, total in zip(self.sums, totals, strict=True)}
        self.sums, self.counts = {}, {}
        return means

    def stacked(self) -> Tensor | None:
        """All sums, in the order of `counts`; None where there are none."""
        return torch.stack([value.detach() for value in self.sums.values()]) if self.sums else None

    def restore(self, sums: Tensor | None, counts: Mapping[str, int]) -> None:
        """Load what `stacked` returned, on the device where steps are summed, with its counts."""
        self.counts = {name: int(count) for name, count in counts.items()}
        scalars = () if sums is None else sums.reshape(len(self.counts)).unbind()
        self.sums = dict(zip(self.counts, scalars, strict=True)) if sums is not None else {}


class Pace:
    """Steps per second, from one question to the next; the clock starts at ``step``."""

    def __init__(self, step: int) -> None:
        self._time, self._step = time.monotonic(), step

    def since_last(self, step: int) -> float:
        """Of the steps since the last call, now that ``step`` are taken."""
        now = time.monotonic()
        speed = (step - self._step) / max(now - self._time, 1e-9)
        self._time, self._step = now, step
        return speed
