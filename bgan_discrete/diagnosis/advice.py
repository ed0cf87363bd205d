"""What to change, in words, with the flag of each option and its value."""

from collections.abc import Mapping
from typing import Any

from bgan_discrete.diagnosis.findings import Options


def setting(options: Options, name: str) -> str:
    """A flag with its value, as advice names it."""
    flag = f"--{name.replace('_', '-')}"
    return f"{flag} (now {options[name]})" if options.get(name) is not None else flag


def takes_alternatives(options: Options) -> bool:
    """Whether credit is by alternatives."""
    return options.get("credit") == "alternatives"


def weighs_draws(options: Options) -> bool:
    """Whether the generator follows normalised weights of its draws."""
    return (
        options.get("continuous", "none") == "none"
        and not takes_alternatives(options)
        and options.get("estimator", "bgan_centered") not in ("rloo", "reinforce")
    )


def how_to_weaken(options: Options) -> str:
    """Ways to weaken the discriminator."""
    ways = [f"lower {setting(options, 'discriminator_lr')}"]
    if (options.get("discriminator_steps") or 1) > 1:
        ways.append(f"lower {setting(options, 'discriminator_steps')}")
    if options.get("penalty", "none") == "none":
        ways.append("give a gradient penalty with --penalty r1")
    else:
        ways.append(f"raise {setting(options, 'penalty_weight')}")
    return ", ".join(ways[:-1]) + f" or {ways[-1]}"


def how_to_strengthen(options: Options) -> str:
    """Ways to strengthen the discriminator."""
    ways = [f"raise {setting(options, 'discriminator_lr')}", f"raise {setting(options, 'discriminator_steps')}"]
    if options.get("penalty", "none") != "none":
        ways.append(f"lower {setting(options, 'penalty_weight')}")
    return ", ".join(ways[:-1]) + f" or {ways[-1]}"


def train_better(report: Mapping[str, Any], options: Options, training_is_ill: bool) -> str:
    """Advice for samples that are no better than a baseline."""
    if training_is_ill:
        return "First mend what the training's own figures show."
    advice = longer(report, options)
    return f"{advice[0].upper()}{advice[1:]}; if the curves stand still, raise {setting(options, 'generator_lr')}."


def longer(report: Mapping[str, Any], options: Options) -> str:
    """More steps, or more seconds where those ended the run."""
    by_time = (report.get("training") or {}).get("stopped_by") == "max_seconds"
    return f"train for longer (raise {setting(options, 'max_seconds' if by_time else 'max_steps')})"


def more_pressure(options: Options) -> str:
    """A stronger penalty and, where draws are weighed, more of them."""
    if options.get("penalty", "none") == "none":
        penalty = "Give a gradient penalty with --penalty r1"
    else:
        penalty = f"Raise {setting(options, 'penalty_weight')}"
    draws = f", raise {setting(options, 'num_draws')}" if options.get("continuous", "none") == "none" else ""
    return penalty + draws


def against_collapse(report: Mapping[str, Any], options: Options) -> str:
    """Advice for samples that lack variety."""
    if takes_alternatives(options):
        ways = [f"Raise {setting(options, 'entropy_weight')}", f"lower {setting(options, 'generator_lr')}"]
        return f"{', '.join(ways)}, or {longer(report, options)}."
    return f"{more_pressure(options)}, or lower {setting(options, 'generator_lr')}."
