"""The rules of a training: what its logged figures may not do in a window, and what its whole course may not be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bgan_discrete.diagnosis.advice import takes_alternatives, weighs_draws, word
from bgan_discrete.diagnosis.findings import Line, Options, Rule
from bgan_discrete.diagnosis.windows import (
    SKIPPED_LINES,
    SKIPPED_STEPS,
    WINDOW_LINES,
    WINDOW_STEPS,
    Window,
    all_finite,
)

SATURATED, SATURATED_ALTERNATIVES = 0.9, 0.95
"""D(real) beyond which, with D(fake) below its complement, the discriminator is saturated. Credit by alternatives
compares codes in one place rather than draws, and still learns well where the discriminator is surer and log beta far
from 0."""

DEAD_DISCRIMINATOR_NORM, DEAD_GENERATOR_NORM = 1e-6, 1e-7
BLIND_GAP, BLIND_GAP_IN_SPREADS = 1e-3, 0.05
FEW_DRAWS_ESS, FEW_DRAWS_SPREAD, FEW_DRAWS_WANTED = 2.0, 0.5, 3.0
MOST_USEFUL_DRAWS = 200
COLLAPSED_ESS = 0.15
FEW_VALID = 0.5
"""Share of latents without a valid draw, beyond which there is a warning."""

LOG_BETA_BOUND, LOG_BETA_BOUND_ALTERNATIVES, WIDE_SPREAD = 1.5, 4.0, 2.0
DIVERGED_LOSS_GROWTH, DIVERGED_NORM_GROWTH, DIVERGED_NORM = 10.0, 100.0, 100.0


@dataclass(frozen=True)
class Course:
    """A whole training: the lines of its adversarial steps, windows of them, and how many lines there are in all."""

    lines: Sequence[Line]
    windows: Sequence[Window]
    options: Options
    num_logged: int = 0

    def has(self, *names: str) -> bool:
        """Whether all these figures were logged, in the last window."""
        return not names or (bool(self.windows) and self.windows[-1].has(*names))

    def word(self, name: str) -> object:
        """What stands for a name in a rule's sentences."""
        return self.windows[-1].now[name] if self.has(name) else word(self.options, name)


def _draws(window: Window) -> int:
    return int(window.options.get("num_draws") or 0)


def _effective_draws(window: Window) -> float:
    return window.now["ess_fraction"] * _draws(window)


def _is_saturated(window: Window) -> bool:
    bound = SATURATED_ALTERNATIVES if takes_alternatives(window.options) else SATURATED
    return window.has("d_real", "d_fake") and window.now["d_real"] > bound and window.now["d_fake"] < 1 - bound


def _is_dead(window: Window) -> bool:
    norm = window.now.get("discriminator_gradient_norm", math.inf)
    return norm < DEAD_DISCRIMINATOR_NORM and not _is_saturated(window)


def _needed_draws(window: Window) -> float:
    """Draws for an ESS of `FEW_DRAWS_WANTED`, were the weights log-normal: there ESS/M = exp(-s^2)."""
    return FEW_DRAWS_WANTED * math.exp(min(window.now["log_weight_std"], 7.0) ** 2)


def _has_few_draws(window: Window) -> bool:
    return (
        weighs_draws(window.options)
        and _draws(window) > 1
        and _effective_draws(window) < FEW_DRAWS_ESS
        and window.now["log_weight_std"] > FEW_DRAWS_SPREAD
        and (_draws(window) < 10 or _needed_draws(window) <= MOST_USEFUL_DRAWS)
    )


def _more_draws(window: Window) -> str:
    if _needed_draws(window) > MOST_USEFUL_DRAWS:
        return "20 and weaken the discriminator (`penalty_weight`, `discriminator_lr`)"
    return f"{max(_draws(window) + 1, math.ceil(_needed_draws(window)))} or more"


def _has_collapsed_ess(window: Window) -> bool:
    """Whether one draw of a latent takes nearly all the weight: (ESS - 1) / (M - 1) near 0."""
    if not weighs_draws(window.options) or _draws(window) < 2:
        return False
    return (_effective_draws(window) - 1) / (_draws(window) - 1) < COLLAPSED_ESS


def _is_uncalibrated(window: Window) -> bool:
    bound = LOG_BETA_BOUND_ALTERNATIVES if takes_alternatives(window.options) else LOG_BETA_BOUND
    return abs(window.now["log_beta"]) > bound and not _is_saturated(window)


def _calibrate(window: Window) -> str:
    if window.now["log_beta"] < 0 or window.now.get("log_weight_std", 0.0) > WIDE_SPREAD:
        return f"The discriminator is too sure of itself; weaken it: {word(window.options, 'weaken')}."
    return f"The discriminator lags behind the generator: {word(window.options, 'strengthen')}."


def _grown(window: Window) -> list[str]:
    """The figures that have grown beyond all measure, in words."""
    now, before, grown = window.now, window.before, []
    if window.has("discriminator_loss"):
        first = abs(before.get("discriminator_loss", 0.0))
        if abs(now["discriminator_loss"]) > DIVERGED_LOSS_GROWTH * max(1.0, first):
            grown.append(f"the discriminator's loss is {now['discriminator_loss']:.3g}, up from {first:.3g}")
    for player in ("discriminator", "generator"):
        name = f"{player}_gradient_norm"
        first = before.get(name, 0.0)
        if window.has(name) and now[name] > max(DIVERGED_NORM, DIVERGED_NORM_GROWTH * first):
            grown.append(f"the {player}'s gradient norm is {now[name]:.3g}, up from {first:.3g}")
    return grown


def _never_saw_anything(course: Course) -> bool:
    """Whether D never told real from generated; with a perfect generator it ends so too, but does not begin so."""

    def is_blind(window: Window) -> bool:
        bound = max(BLIND_GAP, BLIND_GAP_IN_SPREADS * window.now.get("log_weight_std", 0.0))
        return window.has("gap") and window.now["gap"] < bound

    return all(map(is_blind, course.windows)) and not _is_dead(course.windows[-1])


def _was_too_short(course: Course) -> bool:
    """Whether the game was too short to say anything of it, in a run of nothing else."""
    is_all = len(course.lines) == course.num_logged
    return is_all and bool(course.lines) and not course.windows and all_finite(course.lines)


OF_HALF = ("discriminator_saturated", "few_draws", "ess_collapsed", "log_beta_off", "discriminator_weak")
"""Rules that take D = 1/2 and equal weights for the aim. Where draws are weighed by a target too they do not hold: at
the fixed point the discriminator still sees by how much samples are to differ from the data."""

WINDOW_RULES: tuple[Rule[Window], ...] = (
    Rule(
        "few_valid", "warning", ("without_valid",), lambda w: w.now["without_valid"] > FEW_VALID,
        "{valid:.1%} of the draws are valid, and {without_valid:.0%} of the latents have no valid draw, from which "
        "nothing is learnt",
        "Raise {num_draws}, give likelihood a larger share of `phases`, or let the verifier give numbers between 0 and "
        "1, which say how nearly a sample is valid.",
    ),
    Rule(
        "diverging", "critical", (), lambda w: bool(_grown(w)),
        "The training is diverging: {grown}",
        "To calm it, {calm}.",
        {"grown": lambda w: " and ".join(_grown(w))},
    ),
    Rule(
        "discriminator_saturated", "critical", ("d_real", "d_fake"), _is_saturated,
        "The discriminator tells real from generated samples almost without error: D(real) is {d_real:.3f} and D(fake) "
        "{d_fake:.3f}, where 0.5 is the aim of both",
        "Weaken the discriminator: {weaken}.",
    ),
    Rule(
        "discriminator_dead", "critical", ("discriminator_gradient_norm",), _is_dead,
        "The discriminator has stopped learning: its gradient norm is {discriminator_gradient_norm:.1g}",
        "Start again with a lower {discriminator_lr}; if that does not help, lower {discriminator_depth}.",
    ),
    Rule(
        "few_draws", "warning", ("ess_fraction", "log_weight_std"), _has_few_draws,
        "M = {M} draws are too few for the spread of their weights: log weights have a standard deviation of "
        "{log_weight_std:.2f}, and only {ess:.2f} draws of a latent count effectively",
        "Raise {num_draws} to {more_draws}, or take `estimator rloo`, which needs no weights.",
        {"M": _draws, "ess": _effective_draws, "more_draws": _more_draws},
    ),
    Rule(
        "ess_collapsed", "warning", ("ess_fraction",), _has_collapsed_ess,
        "The effective sample size has collapsed: ESS/M is {ess_fraction:.3f}, so that of {M} draws only {ess:.1f} "
        "count",
        "Weaken the discriminator: {weaken}; or take `estimator rloo`, which needs no weights.",
        {"M": _draws, "ess": _effective_draws},
    ),
    Rule(
        "log_beta_off", "warning", ("log_beta",), _is_uncalibrated,
        "The discriminator is not calibrated: log beta is {log_beta:+.2f}, where 0 is right (a mean weight of "
        "{mean_weight:.2g} rather than 1)",
        "{calibrate}",
        {"mean_weight": lambda w: math.exp(min(w.now["log_beta"], 700.0)), "calibrate": _calibrate},
    ),
    Rule(
        "generator_dead", "warning", ("generator_gradient_norm",),
        lambda w: w.now["generator_gradient_norm"] < DEAD_GENERATOR_NORM,
        "The generator no longer moves: its gradient norm is {generator_gradient_norm:.1g}",
        "Raise {num_draws}, and check that the discriminator learns (its gradient norm); lower `generator_lr` if the "
        "generator has become certain of everything.",
    ),
)  # fmt: skip

COURSE_RULES: tuple[Rule[Course], ...] = (
    Rule(
        "diverging", "critical", (), lambda c: not all_finite(c.lines),
        "The training is diverging: a logged figure is not finite",
        "Lower `generator_lr` and `discriminator_lr`, and take `divergence gan`, whose loss cannot overflow.",
    ),
    Rule(
        "discriminator_weak", "warning", ("gap", "d_real", "d_fake"), _never_saw_anything,
        "The discriminator has never told real from generated samples: D(real) is {d_real:.4f} and D(fake) "
        "{d_fake:.4f}, and their F differ by {gap:.1g} on average",
        "If the metrics are at their floors, leave it: the generator starts with the frequencies of the data, and "
        "there was no more to learn. Otherwise strengthen it: {strengthen}, or widen it (`discriminator_width`).",
    ),
    Rule(
        "too_short", "note", (), _was_too_short,
        "The run has logged {lines}: too few to assess the training",
        f"Train for at least {SKIPPED_STEPS + WINDOW_STEPS} steps and {SKIPPED_LINES + WINDOW_LINES} lines, or log "
        "more often with {log_interval}.",
        {"lines": lambda c: f"{len(c.lines)} lines of figures, up to step {c.lines[-1]['step']:,}"},
    ),
)  # fmt: skip
