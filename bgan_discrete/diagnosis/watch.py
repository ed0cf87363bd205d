"""A run against the rules: line by line while it trains, as a whole when it is reported, and how it ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from bgan_discrete.diagnosis.advice import setting
from bgan_discrete.diagnosis.findings import Finding, Line, Options, by_severity
from bgan_discrete.diagnosis.training_rules import NON_FINITE, RULES, check_blindness, finding_of
from bgan_discrete.diagnosis.windows import (
    SKIPPED_LINES,
    SKIPPED_STEPS,
    WINDOW_LINES,
    WINDOW_STEPS,
    adversarial,
    all_finite,
    is_adversarial,
    window_ending,
    windows_of,
)

LASTING_SHARE = 0.3
"""A state that is gone at the end is reported if so many of the windows were in it."""

REPEAT_STEPS = 300
"""While a run trains, one and the same finding is said at most once in so many steps."""

_KEPT_FIRST, _KEPT_LAST = SKIPPED_LINES + WINDOW_LINES, WINDOW_STEPS + WINDOW_LINES
"""A watch remembers so many first lines, with which it compares, and at least so many last ones, a window's most."""


def check_training(lines: Sequence[Line], options: Options) -> list[Finding]:
    """Judge a whole run by its logged figures.

    Args:
        lines: Of ``metrics.jsonl``, in their order.
        options: The run's options by their names, as in ``config.yaml``.

    Returns:
        What is wrong at the end of the run, or was for a large part of it; the worst first.
    """
    lines = adversarial(lines)
    findings = [] if all_finite(lines) else [NON_FINITE]
    windows = windows_of(lines, options)
    for rule in RULES:
        ill = [window for window in windows if rule.is_ill(window)]
        if ill and (ill[-1] is windows[-1] or len(ill) >= LASTING_SHARE * len(windows)):
            steps = f" (steps {ill[0].first_step:,} to {ill[-1].last_step:,})"
            findings.append(finding_of(rule, ill[-1], steps))
    if any(finding.severity == "critical" for finding in findings):
        # Of a discriminator that is saturated or diverges, log beta says nothing more.
        findings = [finding for finding in findings if finding.key != "log_beta_off"]
    findings += check_blindness(windows, options)
    if not windows and not findings and lines:
        findings.append(
            Finding(
                "too_short",
                "note",
                f"The run has logged {len(lines)} lines of figures, up to step {lines[-1]['step']:,}: too few to judge "
                "the training by.",
                f"Train for at least {SKIPPED_STEPS + WINDOW_STEPS} steps and {SKIPPED_LINES + WINDOW_LINES} lines, or "
                f"log more often with {setting(options, 'log_interval')}.",
            )
        )
    return by_severity(findings)


def check_window(lines: Sequence[Line], options: Options) -> list[Finding]:
    """Judge a run by its latest figures alone; arguments and result as in `check_training`."""
    return _check_last(adversarial(lines), options)


def _check_last(lines: Sequence[Line], options: Options) -> list[Finding]:
    findings = [] if all_finite(lines[-1:]) else [NON_FINITE]
    window = window_ending(lines, len(lines) - 1, options)
    if window is not None:
        findings += [finding_of(rule, window, "") for rule in RULES if rule.is_ill(window)]
    return findings


class HealthWatch:
    """Says, line by line of a running training, what has become ill; each thing once until it recovers.

    Args:
        options: The run's options by their names.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lines: list[Line] = []
        self._ill: set[str] = set()
        self._said_at: dict[str, int] = {}

    def update(self, line: Line) -> list[Finding]:
        """Take the next line of figures.

        Args:
            line: With its ``step``.

        Returns:
            What is to be said now.
        """
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
        # What could not be said yet counts as new later.
        self._ill = {key for key in latest if key in self._ill or self._said_at.get(key) == step}
        return news


def check_ending(ending: Mapping[str, Any], options: Options) -> list[Finding]:
    """Say where a run ended otherwise than by its last step.

    Args:
        ending: ``failure`` (an error's line) and ``training``, a summary with ``steps`` and ``stopped_by``, as far as
            they are there.
        options: The run's options by their names.

    Returns:
        At most one finding.
    """
    if ending.get("failure"):
        return [
            Finding(
                "failed",
                "critical",
                f"The run ended with an error: {ending['failure']}",
                "Mend what the error names; where a loss or gradient is not finite, lower --generator-lr and "
                "--discriminator-lr or give a gradient penalty with --penalty r1, and go on from the last checkpoint "
                "with --resume latest.",
            )
        ]
    training = ending.get("training")
    if not training:
        return [
            Finding(
                "unfinished",
                "note",
                "The run has not ended, or was killed: what stands here is what it had written so far.",
                "Wait for its end, or go on from its last checkpoint with --resume latest.",
            )
        ]
    steps, wanted = int(training["steps"]), options.get("max_steps")
    of = f"{steps:,} of {wanted:,} steps" if isinstance(wanted, int) else f"{steps:,} steps"
    if training["stopped_by"] in ("SIGINT", "SIGTERM", "SIGHUP"):
        return [
            Finding(
                "interrupted",
                "warning",
                f"The run was interrupted ({training['stopped_by']}) after {of}; no metrics were taken.",
                "Go on with the same command and --resume latest.",
            )
        ]
    if training["stopped_by"] == "max_seconds":
        return [
            Finding(
                "stopped_early",
                "note",
                f"--max-seconds ended the training after {of}.",
                "If its curves still move, give a new run more seconds; --start-from gives it these weights.",
            )
        ]
    return []
