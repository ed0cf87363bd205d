"""The rules of a run's judge: what it said of the game and of the model that is kept, and what to change."""

import math
from typing import Any

from bgan_discrete.diagnosis.findings import Finding, Rule, findings
from bgan_discrete.diagnosis.outcome_rules import Outcome

AT_BOUNDARY = 0.02
"""By how much mean D may differ from 1/2 where the discriminator sees no difference."""

CLEARLY = 4.0
"""A judge clearly tells samples from data where they differ from its floor by so many standard errors."""


def check_judged(outcome: Outcome) -> list[Finding]:
    """What there is to report of the phases of a training, and of what its judge said."""
    return findings(JUDGE_RULES, outcome)


def _verdicts(o: Outcome) -> dict[str, Any]:
    return dict(o.facts["course"].get("verdicts") or {})


def _shown(o: Outcome, name: str) -> str:
    value, noise, *_ = _verdicts(o)[name]
    return f"{value:.3f} ± {noise:.3f}"


def _was_not_better(o: Outcome) -> bool:
    return o.facts["course"].get("choice") == "start" and "best" in _verdicts(o)


def _is_seen_by_the_judge(o: Outcome) -> bool:
    """Whether the judge clearly tells the model's samples from data."""
    verdicts, choice = _verdicts(o), o.facts["course"].get("choice")
    if choice not in verdicts or "floor" not in verdicts:
        return False
    (value, noise, *_), (floor, other, *_) = verdicts[choice], verdicts["floor"]
    return bool(value - floor > CLEARLY * math.hypot(noise, other))


def _is_blind(o: Outcome) -> bool:
    """Whether the discriminator saw no difference at the end."""
    d_real = o.facts.get("last_d_real")
    ended = o.facts["course"].get("ended_by") == "blindness"
    return ended or (d_real is not None and abs(d_real - 0.5) < AT_BOUNDARY)


JUDGE_RULES: tuple[Rule[Outcome], ...] = (
    Rule(
        "judge_failed", "warning", ("course",), lambda o: bool(o.facts["course"].get("judge_failed")),
        "The judge failed and was not asked again, so that nothing was chosen by it",
        "Correct what the warning of the run names; a judge gives a finite number for any samples.",
    ),
    Rule(
        "judge_disagrees", "warning", ("course",), lambda o: _is_blind(o) and _is_seen_by_the_judge(o),
        "The discriminator sees no difference between samples and data, and the judge does: it gives the samples "
        "{model}, and training data {floor}, lower is better",
        "Strengthen the discriminator: {strengthen}, or widen it (`discriminator_width`); or give its time to "
        "likelihood (`phases likelihood`).",
        {"model": lambda o: _shown(o, o.facts["course"]["choice"]), "floor": lambda o: _shown(o, "floor")},
    ),
    Rule(
        "game_no_better", "note", ("course",), _was_not_better,
        "The game did not improve on its start by more than twice the noise, so that the start is the model: the judge "
        "gave it {start}, and the best of the game {best}, lower is better",
        "Give the game's time to likelihood (`phases likelihood`), or give the game more of it.",
        {"start": lambda o: _shown(o, "start"), "best": lambda o: _shown(o, "best")},
    ),
    Rule(
        "nothing_to_find", "note", ("course",),
        lambda o: o.facts["course"].get("ended_by") == "blindness" and not _is_seen_by_the_judge(o),
        "The discriminator found nothing to tell samples from data by, nor does the judge clearly: there was no game",
        "Leave it, or give the rest of the budget to likelihood (`phases likelihood`).",
    ),
)  # fmt: skip
