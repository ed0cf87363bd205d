"""Windows of a run's figures: the medians of some logged lines, none of the training's beginning."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bgan_discrete.diagnosis.advice import word
from bgan_discrete.diagnosis.findings import Line, Options

WINDOW_LINES, WINDOW_STEPS = 6, 100
"""A window is as many logged lines as make both."""

SKIPPED_LINES, SKIPPED_STEPS = 4, 100
"""So much of the adversarial training is not judged, whichever is longer."""

MAX_WINDOWS = 400


@dataclass(frozen=True)
class Window:
    """Medians of the figures of some lines, and of those between the beginning and them."""

    first_step: int
    last_step: int
    now: Mapping[str, float]
    before: Mapping[str, float]
    options: Options

    def has(self, *names: str) -> bool:
        """Whether all these figures were logged."""
        return all(name in self.now for name in names)

    def word(self, name: str) -> object:
        """What stands for a name in a rule's sentences: a figure, or an option or a way out."""
        return self.now[name] if name in self.now else word(self.options, name)


def adversarial(lines: Sequence[Line]) -> list[Line]:
    """The lines of steps in which both networks played; not those of likelihood or of the discriminator alone."""
    return [line for line in lines if is_adversarial(line)]


def is_adversarial(line: Line) -> bool:
    """Whether both networks played in the step of a line."""
    return "d_real" in line and "log_beta" in line


def all_finite(lines: Sequence[Line]) -> bool:
    """Whether every number of the lines is finite."""
    return all(math.isfinite(v) for line in lines for v in line.values() if isinstance(v, (int, float)))


def windows_of(lines: Sequence[Line], options: Options) -> list[Window]:
    """At most about `MAX_WINDOWS` windows, in their order, that end at lines of equal distance."""
    stride = max(1, len(lines) // MAX_WINDOWS)
    ends = range(len(lines) - 1, -1, -stride)
    windows = (window_ending(lines, end, options) for end in reversed(ends))
    return [window for window in windows if window is not None]


def window_ending(lines: Sequence[Line], end: int, options: Options) -> Window | None:
    """The window whose last line is the ``end``-th, unless the training is too young for one."""
    if end < 0:
        return None
    start, begun = end, int(lines[0]["step"]) - _interval(lines)
    last_step = int(lines[end]["step"])
    while start > 0 and (end - start + 1 < WINDOW_LINES or last_step - lines[start - 1]["step"] < WINDOW_STEPS):
        start -= 1
    covered = last_step - (int(lines[start - 1]["step"]) if start else begun)
    before_first = int(lines[start - 1]["step"]) - begun if start else 0
    if end - start + 1 < WINDOW_LINES or covered < WINDOW_STEPS:
        return None
    if start < SKIPPED_LINES or before_first < SKIPPED_STEPS:
        return None
    # A run is compared with what it was soon after its beginning, so that a slow divergence is seen too.
    reference = lines[SKIPPED_LINES // 2 : SKIPPED_LINES // 2 + WINDOW_LINES]
    return Window(int(lines[start]["step"]), last_step, _medians(lines[start : end + 1]), _medians(reference), options)


def _interval(lines: Sequence[Line]) -> int:
    """Steps between two lines."""
    return int(lines[1]["step"]) - int(lines[0]["step"]) if len(lines) > 1 else 0


def _medians(lines: Sequence[Line]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                values.setdefault(name, []).append(float(value))
    medians = {name: median(numbers) for name, numbers in values.items()}
    if "log_ratio_real" in medians and "log_ratio_fake" in medians:
        gaps = [line["log_ratio_real"] - line["log_ratio_fake"] for line in lines if "log_ratio_fake" in line]
        medians["gap"] = median(gaps)
    return medians
