"""What the figures of a training may not do: one table of rules, each of which looks at one window."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from bgan_discrete.diagnosis.advice import how_to_strengthen, how_to_weaken, setting, takes_alternatives, weighs_draws
from bgan_discrete.diagnosis.findings import Finding, Options, Severity
from bgan_discrete.diagnosis.windows import Window

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


@dataclass(frozen=True)
class Rule:
    """When something is wrong, what is seen of it, and what to change."""

    key: str
    severity: Severity
    is_ill: Callable[[Window], bool]
    seen: Callable[[Window], str]
    advice: Callable[[Window], str]


def finding_of(rule: Rule, window: Window, steps: str) -> Finding:
    """What a rule says of a window; ``steps`` says of which steps, if of several windows."""
    return Finding(rule.key, rule.severity, f"{rule.seen(window)}{steps}.", rule.advice(window))


def _draws(window: Window) -> int:
    return int(window.options.get("num_draws") or 0)


def _is_saturated(window: Window) -> bool:
    bound = SATURATED_ALTERNATIVES if takes_alternatives(window.options) else SATURATED
    return window.has("d_real", "d_fake") and window.now["d_real"] > bound and window.now["d_fake"] < 1 - bound


def _is_dead(window: Window) -> bool:
    return (
        window.has("discriminator_gradient_norm")
        and window.now["discriminator_gradient_norm"] < DEAD_DISCRIMINATOR_NORM
        and not _is_saturated(window)
    )


def _needed_draws(window: Window) -> float:
    """Draws for an ESS of `FEW_DRAWS_WANTED`, were the weights log-normal: there ESS/M = exp(-s^2)."""
    return FEW_DRAWS_WANTED * math.exp(min(window.now["log_weight_std"], 7.0) ** 2)


def _has_few_draws(window: Window) -> bool:
    return (
        weighs_draws(window.options)
        and _draws(window) > 1
        and window.has("ess_fraction", "log_weight_std")
        and window.now["ess_fraction"] * _draws(window) < FEW_DRAWS_ESS
        and window.now["log_weight_std"] > FEW_DRAWS_SPREAD
        and (_draws(window) < 10 or _needed_draws(window) <= MOST_USEFUL_DRAWS)
    )


def _has_collapsed_ess(window: Window) -> bool:
    """Whether one draw of a latent takes nearly all the weight: (ESS - 1) / (M - 1) near 0."""
    if not weighs_draws(window.options) or _draws(window) < 2 or not window.has("ess_fraction"):
        return False
    share = (window.now["ess_fraction"] * _draws(window) - 1) / (_draws(window) - 1)
    return share < COLLAPSED_ESS


def _is_uncalibrated(window: Window) -> bool:
    bound = LOG_BETA_BOUND_ALTERNATIVES if takes_alternatives(window.options) else LOG_BETA_BOUND
    return window.has("log_beta") and abs(window.now["log_beta"]) > bound and not _is_saturated(window)


def _is_generator_dead(window: Window) -> bool:
    return window.has("generator_gradient_norm") and window.now["generator_gradient_norm"] < DEAD_GENERATOR_NORM


def _grown(window: Window) -> list[str]:
    """The figures that have grown beyond all measure, in words."""
    now, before, grown = window.now, window.before, []
    if window.has("discriminator_loss"):
        first = abs(before.get("discriminator_loss", 0.0))
        if abs(now["discriminator_loss"]) > DIVERGED_LOSS_GROWTH * max(1.0, first):
            grown.append(f"the discriminator's loss is {now['discriminator_loss']:.3g} after {first:.3g} at first")
    for player in ("discriminator", "generator"):
        name = f"{player}_gradient_norm"
        bound = max(DIVERGED_NORM, DIVERGED_NORM_GROWTH * before.get(name, 0.0))
        if window.has(name) and now[name] > bound:
            grown.append(f"the {player}'s gradient norm is {now[name]:.3g} after {before.get(name, 0.0):.3g} at first")
    return grown


def _blind_gap(window: Window) -> bool:
    now = window.now
    bound = max(BLIND_GAP, BLIND_GAP_IN_SPREADS * now.get("log_weight_std", 0.0))
    return window.has("gap") and now["gap"] < bound


def check_blindness(windows: list[Window], options: Options) -> list[Finding]:
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
            f"there was no more to learn. Else strengthen it: {how_to_strengthen(options)}, or widen it with "
            "--discriminator-width.",
        )
    ]


NON_FINITE = Finding(
    "diverging",
    "critical",
    "The training is diverging: a logged figure is not finite.",
    "Lower --generator-lr and --discriminator-lr, and take --divergence gan, whose loss cannot overflow.",
)

RULES: tuple[Rule, ...] = (
    Rule(
        "diverging",
        "critical",
        lambda w: bool(_grown(w)),
        lambda w: f"The training is diverging: {' and '.join(_grown(w))}",
        lambda w: (
            f"Lower {setting(w.options, 'discriminator_lr')} and {setting(w.options, 'generator_lr')}"
            + ("" if w.options.get("divergence", "gan") == "gan" else ", or take --divergence gan")
            + ("." if w.options.get("penalty", "none") != "none" else ", or give a gradient penalty with --penalty r1.")
        ),
    ),
    Rule(
        "discriminator_saturated",
        "critical",
        _is_saturated,
        lambda w: (
            f"The discriminator tells real from generated samples almost without error: D(real) is "
            f"{w.now['d_real']:.3f} and D(fake) {w.now['d_fake']:.3f}, where 0.5 is the aim of both"
        ),
        lambda w: f"Weaken the discriminator: {how_to_weaken(w.options)}.",
    ),
    Rule(
        "discriminator_dead",
        "critical",
        _is_dead,
        lambda w: (
            f"The discriminator has stopped learning: its gradient norm is {w.now['discriminator_gradient_norm']:.1g}"
        ),
        lambda w: (
            f"Start again with a lower {setting(w.options, 'discriminator_lr')}; if that does not help, lower "
            "--discriminator-depth or leave out --spectral-norm."
        ),
    ),
    Rule(
        "few_draws",
        "warning",
        _has_few_draws,
        lambda w: (
            f"M = {_draws(w)} draws are too few for the spread of their weights: log weights have a standard deviation "
            f"of {w.now['log_weight_std']:.2f}, and only {w.now['ess_fraction'] * _draws(w):.2f} draws of a latent "
            "count effectively"
        ),
        lambda w: (
            f"Raise {setting(w.options, 'num_draws')} to "
            + (
                f"{max(_draws(w) + 1, math.ceil(_needed_draws(w)))} or more"
                if _needed_draws(w) <= MOST_USEFUL_DRAWS
                else "20 and weaken the discriminator (--penalty-weight, --discriminator-lr)"
            )
            + ", or take --estimator rloo, which does without weights."
        ),
    ),
    Rule(
        "ess_collapsed",
        "warning",
        _has_collapsed_ess,
        lambda w: (
            f"The effective sample size has collapsed: ESS/M is {w.now['ess_fraction']:.3f}, so that of {_draws(w)} "
            f"draws only {w.now['ess_fraction'] * _draws(w):.1f} count"
        ),
        lambda w: (
            f"Weaken the discriminator: {how_to_weaken(w.options)}; or bound its weights with --log-weight-clip, or "
            "take --estimator rloo, which does without weights."
        ),
    ),
    Rule(
        "log_beta_off",
        "warning",
        _is_uncalibrated,
        lambda w: (
            f"The discriminator is not calibrated: log beta is {w.now['log_beta']:+.2f}, where 0 is right "
            f"(a mean weight of {math.exp(min(w.now['log_beta'], 700.0)):.2g} rather than 1)"
        ),
        lambda w: (
            f"The discriminator is too sure of itself; weaken it: {how_to_weaken(w.options)}."
            if w.now["log_beta"] < 0 or w.now.get("log_weight_std", 0.0) > WIDE_SPREAD
            else f"The discriminator lags behind the generator: {how_to_strengthen(w.options)}."
        ),
    ),
    Rule(
        "generator_dead",
        "warning",
        _is_generator_dead,
        lambda w: f"The generator no longer moves: its gradient norm is {w.now['generator_gradient_norm']:.1g}",
        lambda w: (
            f"Raise {setting(w.options, 'num_draws')}, and see that the discriminator learns (its gradient norm); "
            "lower --generator-lr if the generator has become certain of everything."
        ),
    ),
)
