"""The course of a training, for its page and its last lines: phases, the judge's figures, and what was kept."""

import math
from collections.abc import Mapping
from typing import Any

from bgan_discrete.metrics.figure import readable

WHAT = {
    "likelihood": "the generator by maximum likelihood",
    "discriminator": "the discriminator alone",
    "game": "both in the game",
}
"""What each phase trains."""

FOUND = {
    "likelihood": "{count} looks at what is kept back, of {value} nats a sample at best (step {step})",
    "discriminator": "its held-out loss was {value} under that of a blind one at the last of {count} looks",
    "game": "{count} looks of the judge, of {value} at best (step {step})",
}
"""What its looks found."""


def course_of(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows of a table, a phase each, and sentences on the judge and on what was kept; None of a run without phases."""
    course, steps = facts.get("course"), (facts.get("training") or {}).get("steps")
    if not isinstance(course, Mapping) or steps is None:
        return None
    began = course["phase_steps"]
    ends = [*list(began.values())[1:], steps]
    rows = [
        {"name": name, "what": WHAT[name], "first": first + 1, "last": last, "found": _found(course["looks"], name)}
        for (name, first), last in zip(began.items(), ends, strict=True)
    ]
    return {"rows": rows, "sentences": sentences_of(facts)}


def sentences_of(facts: Mapping[str, Any]) -> list[str]:
    """What the judge is, how the training ended where a look ended it, and which weights are the model."""
    course, judge = facts.get("course") or {}, facts.get("judge")
    verdicts, choice = course.get("verdicts") or {}, course.get("choice")
    sentences = []
    if course.get("ended_by") == "blindness":
        sentences.append("The discriminator found nothing to tell samples from data by, so there was no game.")
    if course.get("judge_failed"):
        sentences.append("The judge failed, and was not asked again.")
    if judge is None or not choice:
        return [*sentences, "No judge chose: the last weights, averaged, are the model."]
    shown = {name: f"{readable(value)} ± {readable(noise)}" for name, (value, noise, *_) in verdicts.items()}
    if "start" in shown and "best" in shown:
        sentences.append(_sentence_of_game(str(judge), choice, verdicts, shown))
    elif choice in shown:
        kept = "weights that a look liked best" if choice == "best" else "weights by likelihood"
        sentences.append(f"The {kept} are the model; the judge ({judge}) gives them {shown[choice]}, lower is better.")
    if "floor" in shown:
        sentences.append(f"Training data in the place of samples have {shown['floor']}.")
    return sentences


def _sentence_of_game(judge: str, choice: str, verdicts: Mapping[str, Any], shown: Mapping[str, str]) -> str:
    """Whether the game is kept, and why: by its target, where there is one, else by the judge."""
    (start, noise, *of_start), (best, other, *of_best) = verdicts["start"], verdicts["best"]
    kept = "best weights of the game" if choice == "best" else "weights by likelihood, the start of the game,"
    if of_start:
        gained, spread = of_best[0] - of_start[0], math.hypot(of_best[1], of_start[1])
        return (
            f"The {kept} are the model: by the target the game gained {readable(gained)} ± {readable(spread)} nats; "
            f"the judge ({judge}) gave it {shown['best']}, and its start {shown['start']}, lower is better."
        )
    spread, gain = math.hypot(noise, other), start - best
    beside = "more" if choice == "best" else "not more"
    return (
        f"The {kept} are the model: on data that chose nothing the judge ({judge}) gave the game {shown['best']} "
        f"and its start {shown['start']}, lower is better; the gain of {readable(gain)} is {beside} than twice the "
        f"noise of {readable(spread)}."
    )


def _found(looks: list[dict[str, Any]], phase: str) -> str:
    own = [look for look in looks if look["phase"] == phase]
    if not own:
        return ""
    best = own[-1] if phase == "discriminator" else min(own, key=lambda look: float(look["value"]))
    value = -best["value"] if phase == "discriminator" else best["value"]
    return FOUND[phase].format(count=len(own), value=readable(value), step=f"{best['step']:,}")
