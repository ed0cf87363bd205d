"""What a run's figures say of its health, in words, and what to change.

The same rules judge a run while it trains (`HealthWatch`) and when it is reported (`check_training`). A rule looks at
the medians of a window of logged lines, never at a single one, and not at all at the beginning of the training.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

Severity = Literal["critical", "warning", "note"]
Line = Mapping[str, Any]
Options = Mapping[str, Any]

WINDOW_LINES, WINDOW_STEPS = 6, 100
"""A window is as many logged lines as make both."""

SKIPPED_LINES, SKIPPED_STEPS = 4, 100
"""So much of the adversarial training is not judged, whichever is longer."""

LASTING_SHARE = 0.3
"""A state that is gone at the end is reported if so many of the windows were in it."""

REPEAT_STEPS = 300
"""While a run trains, one and the same finding is said at most once in so many steps."""

MAX_WINDOWS = 400

_KEPT_FIRST, _KEPT_LAST = SKIPPED_LINES + WINDOW_LINES, WINDOW_STEPS + WINDOW_LINES
"""A watch remembers so many first lines, with which it compares, and at least so many last ones, a window's most."""

SATURATED, SATURATED_ALTERNATIVES = 0.9, 0.95
"""D(real) beyond which, with D(fake) below its complement, the discriminator is saturated. Credit by alternatives
compares codes in one place rather than draws, and still learns well where the discriminator is surer and log beta far
from 0."""

DEAD_DISCRIMINATOR_NORM, DEAD_GENERATOR_NORM = 1e-6, 1e-7
BLIND_GAP, BLIND_GAP_IN_SPREADS = 1e-3, 0.05
FEW_DRAWS_ESS, FEW_DRAWS_SPREAD, FEW_DRAWS_WANTED = 2.0, 0.5, 3.0
MOST_USEFUL_DRAWS = 200
COLLAPSED_ESS = 0.15
LOG_BETA_BOUND, LOG_BETA_BOUND_ALTERNATIVES, WIDE_SPREAD = 1.5, 4.0, 2.0
DIVERGED_LOSS_GROWTH, DIVERGED_NORM_GROWTH, DIVERGED_NORM = 10.0, 100.0, 100.0

BASELINE_SHARE = 0.8
FEWEST_EXPECTED = 5.0
MISSING_SHARE = 0.1
"""A class is missing if the samples hold less than this part of its share in the data, where at least
`FEWEST_EXPECTED` of them would be expected."""

MANY_MISSING = 0.5
"""Shares of missing categories, summed over columns, from which on it is critical."""

CONDITIONAL_PENALTY_WEIGHT = 0.2
"""The weight of the penalty that was best for images of a class."""

MANY_REPEATED = 0.1
"""Share of training data that are there more than once, beyond the floor's copies, from which on a page says so."""

LEAST_DEPENDENCE = 0.02
_DEPENDENCE = {
    "total_variation_of_a_pair_dependent_tenth": "the total variation of the pairs that depend on each other most",
    "divergence_that_a_fresh_critic_finds_0_to_1": "the divergence that a fresh critic finds",
}
"""Figures of rows by which columns that depend on each other differ from independent ones, if by so much at least."""

MOST_EMPTY, MOST_UNKNOWN, MOST_BROKEN = 0.1, 0.01, 0.05
UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        key: A stable name, such as ``"discriminator_saturated"``.
        severity: ``"critical"`` (the result is of no use), ``"warning"`` or ``"note"``.
        seen: One sentence with the numbers.
        advice: One sentence on what to change, with the flag's name.
    """

    key: str
    severity: Severity
    seen: str
    advice: str


@dataclass(frozen=True)
class _Window:
    """Medians of the figures of some lines, and of those between the beginning and them."""

    first_step: int
    last_step: int
    now: Mapping[str, float]
    before: Mapping[str, float]
    options: Options

    def has(self, *names: str) -> bool:
        return all(name in self.now for name in names)


@dataclass(frozen=True)
class _Rule:
    key: str
    severity: Severity
    is_ill: Callable[[_Window], bool]
    seen: Callable[[_Window], str]
    advice: Callable[[_Window], str]


def check_training(lines: Sequence[Line], options: Options) -> list[Finding]:
    """Judge a whole run by its logged figures.

    Args:
        lines: Of ``metrics.jsonl``, in their order.
        options: The run's options by their names, as in ``config.yaml``.

    Returns:
        What is wrong at the end of the run, or was for a large part of it; the worst first.
    """
    lines = _adversarial(lines)
    found = [] if _all_finite(lines) else [_NON_FINITE]
    windows = _windows(lines, options)
    for rule in _RULES:
        ill = [window for window in windows if rule.is_ill(window)]
        if ill and (ill[-1] is windows[-1] or len(ill) >= LASTING_SHARE * len(windows)):
            steps = f" (steps {ill[0].first_step:,} to {ill[-1].last_step:,})"
            found.append(_finding(rule, ill[-1], steps))
    if any(finding.severity == "critical" for finding in found):
        # Of a discriminator that is saturated or diverges, log beta says nothing more.
        found = [finding for finding in found if finding.key != "log_beta_off"]
    found += _check_blindness(windows, options)
    if not windows and not found and lines:
        found.append(
            Finding(
                "too_short",
                "note",
                f"The run has logged {len(lines)} lines of figures, up to step {lines[-1]['step']:,}: too few to judge "
                "the training by.",
                f"Train for at least {SKIPPED_STEPS + WINDOW_STEPS} steps and {SKIPPED_LINES + WINDOW_LINES} lines, or "
                f"log more often with {_setting(options, 'log_interval')}.",
            )
        )
    return by_severity(found)


def check_window(lines: Sequence[Line], options: Options) -> list[Finding]:
    """Judge a run by its latest figures alone; arguments and result as in `check_training`."""
    return _check_last(_adversarial(lines), options)


def _check_last(lines: Sequence[Line], options: Options) -> list[Finding]:
    found = [] if _all_finite(lines[-1:]) else [_NON_FINITE]
    window = _window_ending(lines, len(lines) - 1, options)
    if window is not None:
        found += [_finding(rule, window, "") for rule in _RULES if rule.is_ill(window)]
    return found


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
        if not _is_adversarial(line):
            return []
        self._lines.append(line)
        if len(self._lines) > _KEPT_FIRST + 2 * _KEPT_LAST:
            del self._lines[_KEPT_FIRST:-_KEPT_LAST]
        found = {finding.key: finding for finding in _check_last(self._lines, self._options)}
        step, news = int(line["step"]), []
        for key, finding in found.items():
            rested = step - self._said_at.get(key, -REPEAT_STEPS) >= REPEAT_STEPS
            if key not in self._ill and rested:
                self._said_at[key] = step
                news.append(finding)
        # What could not be said yet counts as new later.
        self._ill = {key for key in found if key in self._ill or self._said_at.get(key) == step}
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


def check_image_metrics(report: Mapping[str, Any], options: Options, training_is_ill: bool = False) -> list[Finding]:
    """Judge the final metrics of an image model.

    Args:
        report: As in ``report.json``: ``figures``, ``num_samples``, and where there are labels ``class_histogram`` and
            ``class_shares``.
        options: The run's options by their names.
        training_is_ill: Whether `check_training` has found something critical, so that more steps would not help.

    Returns:
        What is wrong, the worst first.
    """
    figures: Mapping[str, Mapping[str, Any]] = report.get("figures") or {}
    found = _check_classes(report, options)
    copies = figures.get("copies")
    if copies:
        found += _check_copies(copies["value"], copies["floor"], _compared(report), "images", _repeated(report))
    recall = figures.get("recall")
    if recall and _both(recall, "floor") and recall["floor"] >= 0.3 and recall["value"] < 0.2 * recall["floor"]:
        found.append(
            Finding(
                "mode_collapse",
                "critical",
                f"The samples lack variety: their recall is {recall['value']:.3f}, that of unseen real images "
                f"{recall['floor']:.3f}.",
                _against_collapse(report, options),
            )
        )
    distance = figures.get("frechet_pixels")
    has_collapsed = any(finding.key == "mode_collapse" for finding in found)
    if (
        not has_collapsed
        and distance
        and _both(distance, "baseline")
        and distance["value"] > BASELINE_SHARE * distance["baseline"]
    ):
        found.append(
            Finding(
                "no_better_than_baseline",
                "warning",
                f"The samples are {'hardly' if distance['value'] < distance['baseline'] else 'no'} better than "
                "independent pixels: their Fréchet distance is "
                f"{distance['value']:.3g}, that of the baseline {distance['baseline']:.3g}.",
                _train_better(report, options, training_is_ill),
            )
        )
    return by_severity(found)


def check_array_metrics(report: Mapping[str, Any], options: Options, training_is_ill: bool = False) -> list[Finding]:
    """Judge the final metrics of a model of arrays or tables.

    Args:
        report: As in ``report.json``: ``figures``, ``num_samples`` and ``block_size``.
        options: The run's options by their names.
        training_is_ill: Whether `check_training` has found something critical, so that more steps would not help.

    Returns:
        What is wrong, the worst first.
    """
    figures: Mapping[str, Mapping[str, Any]] = report.get("figures") or {}
    found = []
    copies = figures.get("copies_of_training_rows")
    if copies:
        found += _check_copies(copies["value"], copies["floor"], _compared(report), "rows")
    unique = figures.get("unique_rate")
    if unique and _both(unique, "floor") and unique["value"] < 0.5 * unique["floor"]:
        found.append(
            Finding(
                "mode_collapse",
                "critical" if unique["value"] < 0.1 * unique["floor"] else "warning",
                f"The samples repeat each other: {unique['value']:.1%} of them are different rows, of unseen real ones "
                f"{unique['floor']:.1%}.",
                _against_collapse(report, options),
            )
        )
    missing: Mapping[str, float] = report.get("missing_categories") or {}
    count = max(int(report.get("num_missing_categories") or 0), len(missing))
    if missing:
        shown = ", ".join(f"{name!r} ({share:.1%})" for name, share in list(missing.items())[:5])
        what = "category of a column is" if count == 1 else "categories of columns are"
        found.append(
            Finding(
                "categories_missing",
                "critical" if sum(missing.values()) > MANY_MISSING else "warning",
                f"{count:,} {what} missing from the samples, or nearly so (in brackets, their share of the data): "
                f"{shown}{', ...' if count > 5 else ''}.",
                f"{_more_pressure(options)}, or {_longer(report, options)}.",
            )
        )
    for key, what in _DEPENDENCE.items():
        figure = figures.get(key)
        if not figure or not _both(figure, "floor") or figure.get("baseline") is None:
            continue
        value, floor, baseline = figure["value"], figure["floor"], figure["baseline"]
        # Where columns have nothing to do with each other, independent ones are as good as real rows.
        tells = baseline > 2 * floor and baseline - floor > LEAST_DEPENDENCE
        if tells and value - floor > BASELINE_SHARE * (baseline - floor):
            found.append(
                Finding(
                    "no_better_than_baseline",
                    "warning",
                    f"The samples are {'hardly' if value < baseline else 'no'} better than independent columns: {what} "
                    f"is {value:.3f}, that of the baseline {baseline:.3f} and of unseen real rows {floor:.3f}.",
                    _train_better(report, options, training_is_ill),
                )
            )
            break
    return by_severity(found + _check_critic(figures))


def _check_critic(figures: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """A fresh critic that sees no difference where there is one, and whose 0 is so no praise of the model."""
    critic = figures.get("divergence_that_a_fresh_critic_finds_0_to_1", {})
    pair = figures.get("total_variation_of_a_pair_largest", {})
    if any(figure.get(name) is None for figure in (critic, pair) for name in ("floor", "baseline")):
        return []
    depends = pair["baseline"] > 2 * pair["floor"] and pair["baseline"] - pair["floor"] > LEAST_DEPENDENCE
    if not depends or critic["baseline"] - critic["floor"] > LEAST_DEPENDENCE:
        return []
    return [
        Finding(
            "critic_blind",
            "note",
            "The fresh critic does not tell even independent columns from real rows: it finds a divergence of "
            f"{critic['baseline']:.3f}, though there are columns that depend on each other.",
            "Read the figures of the pairs in its place, or give it more rows (--holdout, --num-samples).",
        )
    ]


def check_text_metrics(
    report: Mapping[str, Any],
    options: Options,
    samples: Sequence[str] = (),
    unknown_share: float = 0.0,
    training_is_ill: bool = False,
) -> list[Finding]:
    """Judge the final metrics and some samples of a text model.

    Args:
        report: As in ``report.json``: ``rows`` and ``num_samples``.
        options: The run's options by their names.
        samples: Texts of the final model.
        unknown_share: Share of the training tokens that are unknown to the vocabulary.
        training_is_ill: Whether `check_training` has found something critical, so that more steps would not help.

    Returns:
        What is wrong, the worst first.
    """
    rows: Mapping[str, Mapping[str, float]] = report.get("rows") or {}
    model, floor, found = rows.get("model", {}), rows.get("floor", {}), []
    unique, real_unique = model.get("unique rate"), _unique_rate_of_real(floor, int(report.get("num_samples") or 0))
    if unique is not None and real_unique and unique < 0.5 * real_unique:
        found.append(
            Finding(
                "mode_collapse",
                "critical" if unique < 0.1 * real_unique else "warning",
                f"The samples repeat each other: {unique:.1%} of them are different texts, of real ones "
                f"{real_unique:.1%}.",
                _against_collapse(report, options),
            )
        )
    # Where every valid text is known, there are few of them, and a right sample has often been seen.
    if model and "valid" not in model:
        real = floor.get("copies of training")
        found += _check_copies(model.get("copies of training"), real, _compared(report), "texts", _repeated(report))
    weak, order = model.get("JSD-4"), rows.get("Markov 1", {}).get("JSD-4")
    if weak is not None and order is not None and weak > order:
        found.append(
            Finding(
                "no_better_than_baseline",
                "warning",
                f"The samples are no better than a Markov model of single characters: their JSD-4 is {weak:.3f} bits, "
                f"that of the Markov model {order:.3f}.",
                _train_better(report, options, training_is_ill),
            )
        )
    return by_severity(found + _check_tokens(samples, unknown_share, options))


def _unique_rate_of_real(floor: Mapping[str, float], count: int) -> float | None:
    """Share of different texts among so many real ones.

    Where the language is known and finite, that of independent draws from it: the floor's texts are fewer and no two of
    them are the same.
    """
    valid, coverage = floor.get("distinct valid"), floor.get("coverage")
    if valid and coverage and count:
        size = valid / coverage
        return size * -math.expm1(-count / size) / count
    return floor.get("unique rate")


def _check_tokens(samples: Sequence[str], unknown_share: float, options: Options) -> list[Finding]:
    """Unknown tokens and empty texts."""
    found = []
    empty = sum(not text for text in samples)
    if samples and empty > max(2, MOST_EMPTY * len(samples)):
        found.append(
            Finding(
                "empty_texts",
                "critical" if empty == len(samples) else "warning",
                f"{empty} of {len(samples)} samples are empty texts.",
                "Leave empty documents out of the data, or train on full windows with --layout window.",
            )
        )
    broken = sum(UNKNOWN_CHARACTER in text for text in samples)
    if unknown_share > MOST_UNKNOWN or broken > max(2, MOST_BROKEN * len(samples)):
        seen = f"{unknown_share:.1%} of the training tokens are unknown to the vocabulary"
        found.append(
            Finding(
                "unknown_tokens",
                "warning",
                f"{seen}, and {broken} of {len(samples)} samples hold an unknown one.",
                f"Raise {_setting(options, 'vocabulary_size')}, lower {_setting(options, 'min_count')}, or take "
                "--tokenizer sentencepiece.",
            )
        )
    return found


def _check_classes(report: Mapping[str, Any], options: Options) -> list[Finding]:
    """Classes that the model hardly makes, and such as the training data lack."""
    found = []
    absent = list(report.get("classes_absent_from_training") or [])
    if absent:
        found.append(
            Finding(
                "classes_absent_from_training",
                "warning",
                f"The training images lack {_classes(absent)}, which held-out images have: the model cannot make it.",
                "Train on images of every class: see --split, --limit and --dataset.",
            )
        )
    made, shares = report.get("class_histogram") or {}, report.get("class_shares") or {}
    count = int(report.get("num_samples") or 0)
    missing = [
        name
        for name, share in shares.items()
        if share * count >= FEWEST_EXPECTED and made.get(name, 0.0) < MISSING_SHARE * share
    ]
    if missing:
        found.append(
            Finding(
                "classes_missing",
                "critical" if len(missing) > len(shares) / 2 else "warning",
                f"{len(missing)} of {len(shares)} classes are missing, or nearly so, among {count:,} samples, by the "
                f"classifier: {_classes(missing)}.",
                f"{_for_classes(options)}, or {_longer(report, options)}.",
            )
        )
    return found


def _for_classes(options: Options) -> str:
    # Digits by their label were far better with a penalty of 0.2 than of 1.
    if options.get("conditional") and (options.get("penalty_weight") or 0) > CONDITIONAL_PENALTY_WEIGHT:
        return f"Lower {_setting(options, 'penalty_weight')} to {CONDITIONAL_PENALTY_WEIGHT}"
    return _more_pressure(options)


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return ("the class " if len(names) == 1 else "the classes ") + shown + (", ..." if len(names) > 10 else "")


def _check_copies(
    value: float | None, floor: float | None, count: int, what: str, repeated: float = 0.0
) -> list[Finding]:
    """Copies of training data beyond what new real data would hold, and beyond chance.

    Images and texts are mostly held out by their content, so that where the data repeat themselves the floor has fewer
    copies than new data have: about as many as training data that are there more than once.
    """
    if value is None or floor is None or count < 1:
        return []
    unseen, floor = floor, max(floor, repeated)
    bound = floor + max(0.01, 4 * math.sqrt(max(floor, 1 / count) * (1 - min(floor, 1.0)) / count))
    if value <= bound:
        return _read_by_repeats(unseen, repeated, what)
    return [
        Finding(
            "copies",
            "critical" if value > floor + 0.5 else "warning",
            f"{value:.1%} of the samples are exact copies of training {what}; of unseen real {what} {unseen:.1%} are"
            + (f", and of the training {what} {repeated:.1%} are there more than once." if repeated > unseen else "."),
            "Train on more data (--limit, --dataset), for fewer steps (--max-steps), or with a smaller generator "
            "(--generator-width, --latent-size).",
        )
    ]


def _read_by_repeats(unseen: float, repeated: float, what: str) -> list[Finding]:
    if repeated < unseen + MANY_REPEATED:
        return []
    return [
        Finding(
            "data_repeat",
            "note",
            f"Of the training {what}, {repeated:.1%} are there more than once, but of the held-out {what} {unseen:.1%} "
            f"are among them: the floor is that of other {what}, and may be that of few different ones.",
            f"Read the share of copies against {repeated:.1%} rather than its floor, and the other figures with care.",
        )
    ]


def _repeated(report: Mapping[str, Any]) -> float:
    return float(report.get("training_repeated") or 0.0)


def _compared(report: Mapping[str, Any]) -> int:
    """Samples on a side of a comparison: of so many is the floor, whatever number the model's figures are a mean of."""
    return int(report.get("block_size") or report.get("floor_samples") or report.get("num_samples") or 0)


def _both(figure: Mapping[str, Any], other: str) -> bool:
    return figure.get("value") is not None and figure.get(other) is not None


def _train_better(report: Mapping[str, Any], options: Options, training_is_ill: bool) -> str:
    if training_is_ill:
        return "First mend what the training's own figures show."
    longer = _longer(report, options)
    return f"{longer[0].upper()}{longer[1:]}; if the curves stand still, raise {_setting(options, 'generator_lr')}."


def _longer(report: Mapping[str, Any], options: Options) -> str:
    by_time = (report.get("training") or {}).get("stopped_by") == "max_seconds"
    return f"train for longer (raise {_setting(options, 'max_seconds' if by_time else 'max_steps')})"


def _more_pressure(options: Options) -> str:
    """A stronger penalty and, where draws are weighed, more of them."""
    if options.get("penalty", "none") == "none":
        penalty = "Give a gradient penalty with --penalty r1"
    else:
        penalty = f"Raise {_setting(options, 'penalty_weight')}"
    draws = f", raise {_setting(options, 'num_draws')}" if options.get("continuous", "none") == "none" else ""
    return penalty + draws


def _against_collapse(report: Mapping[str, Any], options: Options) -> str:
    if _takes_alternatives(options):
        ways = [f"Raise {_setting(options, 'entropy_weight')}", f"lower {_setting(options, 'generator_lr')}"]
        return f"{', '.join(ways)}, or {_longer(report, options)}."
    return f"{_more_pressure(options)}, or lower {_setting(options, 'generator_lr')}."


def by_severity(findings: list[Finding]) -> list[Finding]:
    """The worst first, otherwise in their order."""
    order = ("critical", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _finding(rule: _Rule, window: _Window, steps: str) -> Finding:
    return Finding(rule.key, rule.severity, f"{rule.seen(window)}{steps}.", rule.advice(window))


def _adversarial(lines: Sequence[Line]) -> list[Line]:
    """The lines of steps in which both networks played; not those of pre-training or warm-up."""
    return [line for line in lines if _is_adversarial(line)]


def _is_adversarial(line: Line) -> bool:
    return "d_real" in line and "log_beta" in line


def _all_finite(lines: Sequence[Line]) -> bool:
    return all(math.isfinite(v) for line in lines for v in line.values() if isinstance(v, (int, float)))


def _windows(lines: Sequence[Line], options: Options) -> list[_Window]:
    stride = max(1, len(lines) // MAX_WINDOWS)
    ends = range(len(lines) - 1, -1, -stride)
    found = (_window_ending(lines, end, options) for end in reversed(ends))
    return [window for window in found if window is not None]


def _window_ending(lines: Sequence[Line], end: int, options: Options) -> _Window | None:
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
    return _Window(int(lines[start]["step"]), last_step, _medians(lines[start : end + 1]), _medians(reference), options)


def _interval(lines: Sequence[Line]) -> int:
    """Steps between two lines."""
    return int(lines[1]["step"]) - int(lines[0]["step"]) if len(lines) > 1 else 0


def _medians(lines: Sequence[Line]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                values.setdefault(name, []).append(float(value))
    found = {name: median(numbers) for name, numbers in values.items()}
    if "log_ratio_real" in found and "log_ratio_fake" in found:
        gaps = [line["log_ratio_real"] - line["log_ratio_fake"] for line in lines if "log_ratio_fake" in line]
        found["gap"] = median(gaps)
    return found


def _setting(options: Options, name: str) -> str:
    """A flag with its value, as advice names it."""
    flag = f"--{name.replace('_', '-')}"
    return f"{flag} (now {options[name]})" if options.get(name) is not None else flag


def _takes_alternatives(options: Options) -> bool:
    return options.get("credit") == "alternatives"


def _weighs_draws(options: Options) -> bool:
    """Whether the generator follows normalised weights of its draws."""
    return (
        options.get("continuous", "none") == "none"
        and not _takes_alternatives(options)
        and options.get("estimator", "bgan_centered") not in ("rloo", "reinforce")
    )


def _draws(window: _Window) -> int:
    return int(window.options.get("num_draws") or 0)


def _is_saturated(window: _Window) -> bool:
    bound = SATURATED_ALTERNATIVES if _takes_alternatives(window.options) else SATURATED
    return window.has("d_real", "d_fake") and window.now["d_real"] > bound and window.now["d_fake"] < 1 - bound


def _how_to_weaken(options: Options) -> str:
    ways = [f"lower {_setting(options, 'discriminator_lr')}"]
    if (options.get("discriminator_steps") or 1) > 1:
        ways.append(f"lower {_setting(options, 'discriminator_steps')}")
    if options.get("penalty", "none") == "none":
        ways.append("give a gradient penalty with --penalty r1")
    else:
        ways.append(f"raise {_setting(options, 'penalty_weight')}")
    return ", ".join(ways[:-1]) + f" or {ways[-1]}"


def _how_to_strengthen(options: Options) -> str:
    ways = [f"raise {_setting(options, 'discriminator_lr')}", f"raise {_setting(options, 'discriminator_steps')}"]
    if options.get("penalty", "none") != "none":
        ways.append(f"lower {_setting(options, 'penalty_weight')}")
    return ", ".join(ways[:-1]) + f" or {ways[-1]}"


def _is_dead(window: _Window) -> bool:
    return (
        window.has("discriminator_gradient_norm")
        and window.now["discriminator_gradient_norm"] < DEAD_DISCRIMINATOR_NORM
        and not _is_saturated(window)
    )


def _needed_draws(window: _Window) -> float:
    """Draws for an ESS of `FEW_DRAWS_WANTED`, were the weights log-normal: there ESS/M = exp(-s^2)."""
    return FEW_DRAWS_WANTED * math.exp(min(window.now["log_weight_std"], 7.0) ** 2)


def _has_few_draws(window: _Window) -> bool:
    return (
        _weighs_draws(window.options)
        and _draws(window) > 1
        and window.has("ess_fraction", "log_weight_std")
        and window.now["ess_fraction"] * _draws(window) < FEW_DRAWS_ESS
        and window.now["log_weight_std"] > FEW_DRAWS_SPREAD
        and (_draws(window) < 10 or _needed_draws(window) <= MOST_USEFUL_DRAWS)
    )


def _has_collapsed_ess(window: _Window) -> bool:
    """Whether one draw of a latent takes nearly all the weight: (ESS - 1) / (M - 1) near 0."""
    if not _weighs_draws(window.options) or _draws(window) < 2 or not window.has("ess_fraction"):
        return False
    share = (window.now["ess_fraction"] * _draws(window) - 1) / (_draws(window) - 1)
    return share < COLLAPSED_ESS


def _is_uncalibrated(window: _Window) -> bool:
    bound = LOG_BETA_BOUND_ALTERNATIVES if _takes_alternatives(window.options) else LOG_BETA_BOUND
    return window.has("log_beta") and abs(window.now["log_beta"]) > bound and not _is_saturated(window)


def _is_generator_dead(window: _Window) -> bool:
    return window.has("generator_gradient_norm") and window.now["generator_gradient_norm"] < DEAD_GENERATOR_NORM


def _grown(window: _Window) -> list[str]:
    """The figures that have grown beyond all measure, in words."""
    now, before, found = window.now, window.before, []
    if window.has("discriminator_loss"):
        first = abs(before.get("discriminator_loss", 0.0))
        if abs(now["discriminator_loss"]) > DIVERGED_LOSS_GROWTH * max(1.0, first):
            found.append(f"the discriminator's loss is {now['discriminator_loss']:.3g} after {first:.3g} at first")
    for player in ("discriminator", "generator"):
        name = f"{player}_gradient_norm"
        bound = max(DIVERGED_NORM, DIVERGED_NORM_GROWTH * before.get(name, 0.0))
        if window.has(name) and now[name] > bound:
            found.append(f"the {player}'s gradient norm is {now[name]:.3g} after {before.get(name, 0.0):.3g} at first")
    return found


def _blind_gap(window: _Window) -> bool:
    now = window.now
    bound = max(BLIND_GAP, BLIND_GAP_IN_SPREADS * now.get("log_weight_std", 0.0))
    return window.has("gap") and now["gap"] < bound


def _check_blindness(windows: list[_Window], options: Options) -> list[Finding]:
    """A discriminator that never told real from generated; a perfect generator ends so too, but does not begin so."""
    if not windows or not all(map(_blind_gap, windows)) or _is_dead(windows[-1]):
        return []
    now = windows[-1].now
    return [
        Finding(
            "discriminator_weak",
            "warning",
            f"The discriminator has never told real from generated samples: D(real) is {now['d_real']:.4f} and D(fake) "
            f"{now['d_fake']:.4f}, and their F differ by {now['gap']:.1g} on average.",
            f"If the metrics are at their floors, leave it: the generator starts with the frequencies of the data, and "
            f"there was no more to learn. Else strengthen it: {_how_to_strengthen(options)}, or widen it with "
            "--discriminator-width.",
        )
    ]


_NON_FINITE = Finding(
    "diverging",
    "critical",
    "The training is diverging: a logged figure is not finite.",
    "Lower --generator-lr and --discriminator-lr, and take --divergence gan, whose loss cannot overflow.",
)

_RULES: tuple[_Rule, ...] = (
    _Rule(
        "diverging",
        "critical",
        lambda w: bool(_grown(w)),
        lambda w: f"The training is diverging: {' and '.join(_grown(w))}",
        lambda w: (
            f"Lower {_setting(w.options, 'discriminator_lr')} and {_setting(w.options, 'generator_lr')}"
            + ("" if w.options.get("divergence", "gan") == "gan" else ", or take --divergence gan")
            + ("." if w.options.get("penalty", "none") != "none" else ", or give a gradient penalty with --penalty r1.")
        ),
    ),
    _Rule(
        "discriminator_saturated",
        "critical",
        _is_saturated,
        lambda w: (
            f"The discriminator tells real from generated samples almost without error: D(real) is "
            f"{w.now['d_real']:.3f} and D(fake) {w.now['d_fake']:.3f}, where 0.5 is the aim of both"
        ),
        lambda w: f"Weaken the discriminator: {_how_to_weaken(w.options)}.",
    ),
    _Rule(
        "discriminator_dead",
        "critical",
        _is_dead,
        lambda w: (
            f"The discriminator has stopped learning: its gradient norm is {w.now['discriminator_gradient_norm']:.1g}"
        ),
        lambda w: (
            f"Start again with a lower {_setting(w.options, 'discriminator_lr')}; if that does not help, lower "
            "--discriminator-depth or leave out --spectral-norm."
        ),
    ),
    _Rule(
        "few_draws",
        "warning",
        _has_few_draws,
        lambda w: (
            f"M = {_draws(w)} draws are too few for the spread of their weights: log weights have a standard deviation "
            f"of {w.now['log_weight_std']:.2f}, and only {w.now['ess_fraction'] * _draws(w):.2f} draws of a latent "
            "count effectively"
        ),
        lambda w: (
            f"Raise {_setting(w.options, 'num_draws')} to "
            + (
                f"{max(_draws(w) + 1, math.ceil(_needed_draws(w)))} or more"
                if _needed_draws(w) <= MOST_USEFUL_DRAWS
                else "20 and weaken the discriminator (--penalty-weight, --discriminator-lr)"
            )
            + ", or take --estimator rloo, which does without weights."
        ),
    ),
    _Rule(
        "ess_collapsed",
        "warning",
        _has_collapsed_ess,
        lambda w: (
            f"The effective sample size has collapsed: ESS/M is {w.now['ess_fraction']:.3f}, so that of {_draws(w)} "
            f"draws only {w.now['ess_fraction'] * _draws(w):.1f} count"
        ),
        lambda w: (
            f"Weaken the discriminator: {_how_to_weaken(w.options)}; or bound its weights with --log-weight-clip, or "
            "take --estimator rloo, which does without weights."
        ),
    ),
    _Rule(
        "log_beta_off",
        "warning",
        _is_uncalibrated,
        lambda w: (
            f"The discriminator is not calibrated: log beta is {w.now['log_beta']:+.2f}, where 0 is right "
            f"(a mean weight of {math.exp(min(w.now['log_beta'], 700.0)):.2g} rather than 1)"
        ),
        lambda w: (
            f"The discriminator is too sure of itself; weaken it: {_how_to_weaken(w.options)}."
            if w.now["log_beta"] < 0 or w.now.get("log_weight_std", 0.0) > WIDE_SPREAD
            else f"The discriminator lags behind the generator: {_how_to_strengthen(w.options)}."
        ),
    ),
    _Rule(
        "generator_dead",
        "warning",
        _is_generator_dead,
        lambda w: f"The generator no longer moves: its gradient norm is {w.now['generator_gradient_norm']:.1g}",
        lambda w: (
            f"Raise {_setting(w.options, 'num_draws')}, and see that the discriminator learns (its gradient norm); "
            "lower --generator-lr if the generator has become certain of everything."
        ),
    ),
)
