"""The options of targets beyond the data: verifiers and rewards, the same for every kind of data."""

import math
from dataclasses import dataclass
from typing import Literal

from bgan_discrete.config.option import Section, option
from bgan_discrete.errors import InputError

PHASES_WITH_TARGET = "likelihood=0.6,discriminator=0.05,game"
"""Where samples are to be something besides like the data, the game has more to do."""

WITH_TARGET = {"credit": "sample", "estimator": "rloo", "num_draws": 4}
"""Options of the training that are other where a target weighs draws, which are whole samples then."""

AFTER_LIKELIHOOD = {"generator_lr": 6e-3}
"""Likewise in a game after likelihood, which takes a small share of this rate."""


def names_function(text: str) -> bool:
    """Whether a text is ``module:function`` or ``file.py:function``; other verifiers of tables are expressions."""
    place, _, name = text.strip().rpartition(":")
    return place != "" and name.isidentifier()


@dataclass(frozen=True)
class TargetConfig(Section):
    """What samples are to be besides like the data."""

    verifier: str | None = option(
        None,
        "says which samples are valid: module:function or file.py:function, called with a batch of decoded samples, "
        "which gives a number in [0, 1] or a boolean for each; of tables also an expression, such as 'end >= start'",
    )
    reward: str | None = option(None, "says how good samples are: a function likewise, which gives any numbers")
    reward_weight: str = option(
        "1",
        "lambda, weight of the reward r: a number; share=0.3, so that data weighted by exp(lambda r) have an effective "
        "share of 0.3; or mean=2.5, so that the mean reward of the target is 2.5",
    )
    target_form: Literal["auto", "additive", "shifted", "anchored", "weighted"] = option(
        "auto",
        "additive: verifier and reward weigh draws, next to the discriminator; shifted: and the discriminator knows of "
        "the reward; anchored: and it knows how far the generator is from its start by likelihood; weighted: they "
        "weigh the data (auto: anchored where probabilities of samples are exact, after likelihood; else additive)",
    )
    on_error: Literal["skip", "stop"] = option(
        "skip", "a sample on which verifier or reward fail: skip counts it as invalid, stop ends the run", free=True
    )
    program_processes: int = option(
        0, "processes in which verifier and reward run, each; 0: in that of the training", low=0, high=256, free=True
    )
    program_seconds: float = option(
        10.0, "how long verifier or reward may take for a sample", low=0, exclusive=True, free=True
    )

    @property
    def is_set(self) -> bool:
        """Whether there is a verifier or a reward."""
        return self.verifier is not None or self.reward is not None

    @property
    def weight(self) -> tuple[str, float]:
        """``("weight", lambda)``, or ``share`` or ``mean`` with what is wished for.

        Raises:
            InputError: If it is something else.
        """
        name, _, number = ("weight", "", self.reward_weight) if "=" not in self.reward_weight else (
            self.reward_weight.partition("=")
        )  # fmt: skip
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if (
            name not in ("weight", "share", "mean")
            or not math.isfinite(value)
            or (name == "share" and not 0 < value < 1)
        ):
            raise InputError(
                f"reward_weight must be a number, share=S with S in (0, 1), or mean=R, got {self.reward_weight!r}"
            )
        return name, value

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, or of no use."""
        super().check()
        _ = self.weight
        changed = [name for name in ("reward_weight", "target_form") if vars(self)[name] not in ("1", "auto")]
        if changed and not self.is_set:
            raise InputError(f"{changed[0]} needs a verifier or a reward; leave it out, got {vars(self)[changed[0]]!r}")
