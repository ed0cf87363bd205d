"""The phases of a training, each a share of its budget, and the learning rates and weight decay in each."""

import math
from dataclasses import dataclass
from typing import Any

from bgan_discrete.config import TrainingConfig
from bgan_discrete.config.training import ROUNDING, shares_of_phases

FINAL_LR_SHARE = 0.02
"""Where the linear decay of a learning rate ends, as a share of its start."""

ADAM_BETA2 = 0.99
"""Adam's decay of the mean square of the gradients, of both players."""

LIKELIHOOD_LR = 2e-3
"""Adam's learning rate of the generator while it is trained by maximum likelihood."""

LIKELIHOOD_BETA1 = 0.9
"""Adam's decay of the mean there, at least."""

FORGETTING = 4, 1600
"""Epochs, and steps at least, in which decoupled weight decay brings weights there to 1/e if no gradient holds them.

It grows to that in as many steps: what is seen often is not learnt by heart, and what is seen once or twice not slowed.
"""

FINISH_LR = {"generator": 0.05, "discriminator": 0.5}
"""Shares of the learning rates in a game after likelihood, whose work large steps would undo."""

FINISH_BETA1 = 0.5
"""Adam's decay of the mean in such a game, at least: without it the noise of a blind discriminator is a full step."""


def used_share(config: TrainingConfig, step: int, seconds: float) -> float:
    """What is used up of the budget that ends first."""
    return max(step / config.max_steps, seconds / (config.max_seconds or math.inf))


@dataclass
class Phases:
    """Where a training is.

    Attributes:
        shares: Of the budget, of each phase, in their order.
        name: The present phase.
        began: Share of the budget that was used up when it began.
        ended_by: What ended the training before its budget, ``"patience"`` or ``"blindness"``; empty for nothing.
    """

    shares: dict[str, float]
    name: str
    began: float = 0.0
    ended_by: str = ""

    @classmethod
    def of(cls, config: TrainingConfig) -> "Phases":
        """Those of a configuration, at their beginning."""
        shares = shares_of_phases(config.phases)
        return cls(shares, next(iter(shares)))

    @property
    def follows_likelihood(self) -> bool:
        """Whether the generator was trained by maximum likelihood before the present phase."""
        return self.name != "likelihood" and "likelihood" in self.shares

    @property
    def is_last(self) -> bool:
        """Whether no other phase follows the present one."""
        return self.name == [*self.shares][-1]

    @property
    def end(self) -> float:
        """The share of the budget at which the present phase ends at the latest; the last one takes what is left."""
        return 1.0 if self.is_last else min(self.began + self.shares[self.name], 1.0)

    def progress(self, used: float) -> float:
        """Share of the present phase that is over, in ``[0, 1]``, when ``used`` of the budget is."""
        return min(max((used - self.began) / max(self.end - self.began, ROUNDING), 0.0), 1.0)

    def is_over(self, used: float) -> bool:
        """Whether the share of the present phase is used up."""
        return self.progress(used) >= 1 - ROUNDING

    def advance(self, used: float) -> None:
        """Begin the next phase; the last one stays."""
        names = [*self.shares]
        if not self.is_last:
            self.name, self.began = names[names.index(self.name) + 1], used

    def rates(self, config: TrainingConfig, used: float, step: int, num_learnt: int) -> dict[str, dict[str, Any]]:
        """Learning rate, Adam's betas and weight decay of the next step, of each player.

        A linear decay is constant for half of a phase, and ends with it. The discriminator alone learns at its rate.
        """
        scale, finishing = 1.0, self.follows_likelihood
        if config.lr_decay == "linear" and self.name != "discriminator":
            scale = max(min(1.0, 2 * (1 - self.progress(used))), FINAL_LR_SHARE)
        rates = {"generator": config.generator_lr, "discriminator": config.discriminator_lr}
        least = FINISH_BETA1 if finishing else 0.0
        if finishing:
            rates = {who: rate * FINISH_LR[who] for who, rate in rates.items()}
        elif self.name == "likelihood":
            rates["generator"], least = LIKELIHOOD_LR, LIKELIHOOD_BETA1
        betas = (max(config.adam_beta1, least), ADAM_BETA2)
        found = {who: {"lr": rate * scale, "betas": betas, "weight_decay": 0.0} for who, rate in rates.items()}
        if self.name == "likelihood":
            epochs, steps = FORGETTING
            lifetime = max(epochs * num_learnt / config.batch_size, steps)
            found["generator"]["weight_decay"] = min(step / lifetime, 1.0) / (LIKELIHOOD_LR * lifetime)
        return found
