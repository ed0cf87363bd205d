"""A run against the rules: line by line while it trains, and as a whole when it is reported."""

from collections.abc import Sequence

from bgan_discrete.diagnosis.findings import Finding, Line, Options, by_severity, findings
from bgan_discrete.diagnosis.training_rules import COURSE_RULES, OF_HALF, WINDOW_RULES, Course
from bgan_discrete.diagnosis.windows import (
    SKIPPED_LINES,
    WINDOW_LINES,
    WINDOW_STEPS,
    Window,
    adversarial,
    is_adversarial,
    window_ending,
    windows_of,
)

LASTING_SHARE = 0.3
"""A state that is gone at the end is reported if so many of the windows were in it."""

REPEAT_STEPS = 300
"""While a run trains, each finding is reported at most once in so many steps."""

_KEPT_FIRST, _KEPT_LAST = SKIPPED_LINES + WINDOW_LINES, WINDOW_STEPS + WINDOW_LINES
"""A watch remembers so many first lines, with which it compares, and at least so many last ones, a window's most."""


def check_training(lines: Sequence[Line], options: Options) -> list[Finding]:
    """What is wrong at the end of a run, or was for a large part of it; the worst first."""
    num_logged, lines = len(lines), adversarial(lines)
    windows = windows_of(lines, options)
    found = findings(COURSE_RULES, Course(lines, windows, options, num_logged))
    for rule in WINDOW_RULES:
        ill = [window for window in windows if rule.applies(window)]
        if ill and (ill[-1] is windows[-1] or len(ill) >= LASTING_SHARE * len(windows)):
            steps = f" (steps {ill[0].first_step:,} to {ill[-1].last_step:,})"
            found.append(rule.finding(ill[-1], steps))
    if any(finding.severity == "critical" for finding in found):
        # Of a discriminator that is saturated or diverges, log beta says nothing more.
        found = [finding for finding in found if finding.key != "log_beta_off"]
    return by_severity(_that_hold(found, windows))


def check_window(lines: Sequence[Line], options: Options) -> list[Finding]:
    """The same by the latest figures alone."""
    return _check_last(adversarial(lines), options)


def _check_last(lines: Sequence[Line], options: Options) -> list[Finding]:
    found = findings(COURSE_RULES[:1], Course(lines[-1:], (), options))
    window = window_ending(lines, len(lines) - 1, options)
    return found if window is None else _that_hold(found + findings(WINDOW_RULES, window), [window])


def _that_hold(found: list[Finding], windows: Sequence[Window]) -> list[Finding]:
    """Without what is no illness where samples are to be other than the data."""
    if not any(window.has("valid") for window in windows):
        return found
    return [finding for finding in found if finding.key not in OF_HALF]


class HealthWatch:
    """Reports, line by line of a running training, what has become ill; each thing once until it recovers."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lines: list[Line] = []
        self._ill: set[str] = set()
        self._said_at: dict[str, int] = {}

    def update(self, line: Line) -> list[Finding]:
        """What there is to report of the next line, which has its ``step``."""
        if not is_adversarial(line):
            return []
        self._lines.append(line)
        if len(self._lines) > _KEPT_FIRST + 2 * _KEPT_LAST:
            del self._lines[_KEPT_FIRST:-_KEPT_LAST]
        latest = {finding.key: finding for finding in _check_last(self._lines, self._options)}
        step, news = int(line["step"]), []
        for key, finding in latest.items():
            rested = step - self._said_at.get(key, -REPEAT_STEPS) >= REPEAT_STEPS
            if key not in self._ill and rested:
                self._said_at[key] = step
                news.append(finding)
        # What could not be reported yet counts as new later.
        self._ill = {key for key in latest if key in self._ill or self._said_at.get(key) == step}
        return news
