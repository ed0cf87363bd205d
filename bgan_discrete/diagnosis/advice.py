"""What to change, in words: options as Python names them, between backticks, with their present values."""

from collections.abc import Callable

from bgan_discrete.diagnosis.findings import Options


def word(options: Options, name: str) -> str:
    """What stands for a name in a rule's advice: a way out (a key of `WAYS`), or an option with its value."""
    if name in WAYS:
        return WAYS[name](options)
    return f"`{name}`" if options.get(name) is None else f"`{name}` (now {options[name]})"


def takes_alternatives(options: Options) -> bool:
    """Whether credit is by alternatives."""
    return options.get("credit") == "alternatives"


def weighs_draws(options: Options) -> bool:
    """Whether the generator follows weights of its draws, so that one of them can outweigh all others."""
    is_discrete = options.get("continuous", "none") == "none" and not takes_alternatives(options)
    estimator = options.get("estimator", "bgan_centered")
    if estimator == "matched":  # the fake terms of these are powers of the weights
        return is_discrete and options.get("divergence", "gan") in ("kl", "pearson_chi2")
    return is_discrete and estimator not in ("rloo", "reinforce")


def _has_penalty(options: Options) -> bool:
    return options.get("penalty", "none") != "none"


def _weaken(options: Options) -> str:
    steps = f", lower {word(options, 'discriminator_steps')}" if (options.get("discriminator_steps") or 1) > 1 else ""
    penalty = f"raise {word(options, 'penalty_weight')}" if _has_penalty(options) else "add a gradient `penalty r1`"
    return f"lower {word(options, 'discriminator_lr')}{steps} or {penalty}"


def _strengthen(options: Options) -> str:
    rate, steps = word(options, "discriminator_lr"), word(options, "discriminator_steps")
    if not _has_penalty(options):
        return f"raise {rate} or raise {steps}"
    return f"raise {rate}, raise {steps} or lower {word(options, 'penalty_weight')}"


def _press(options: Options) -> str:
    """A stronger penalty and, where draws are weighed, more of them."""
    penalty = f"raise {word(options, 'penalty_weight')}" if _has_penalty(options) else "add a gradient `penalty r1`"
    draws = f", raise {word(options, 'num_draws')}" if options.get("continuous", "none") == "none" else ""
    return penalty + draws


def _calm(options: Options) -> str:
    divergence = "" if options.get("divergence", "gan") == "gan" else ", or take `divergence gan`"
    penalty = "" if _has_penalty(options) else ", or add a gradient `penalty r1`"
    return f"lower {word(options, 'discriminator_lr')} and {word(options, 'generator_lr')}{divergence}{penalty}"


WAYS: dict[str, Callable[[Options], str]] = {
    "weaken": _weaken,
    "strengthen": _strengthen,
    "press": _press,
    "calm": _calm,
}
"""Ways to weaken and to strengthen the discriminator, to press for variety, and to calm a training that diverges."""
