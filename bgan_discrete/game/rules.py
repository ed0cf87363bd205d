"""The rules of the game: what both players agree on."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one, check_not_negative
from bgan_discrete.distributions import Distribution
from bgan_discrete.errors import InputError
from bgan_discrete.game.credit import Credit, sample_credit
from bgan_discrete.game.divergences import DIVERGENCES, Divergence
from bgan_discrete.game.estimators import Estimator, as_estimator, make_estimator
from bgan_discrete.game.penalties import Penalty
from bgan_discrete.game.players import Condition, Players, refuse_names
from bgan_discrete.game.scoring import discriminate
from bgan_discrete.game.targets import Said, Target


@dataclass
class Game:
    """What both players agree on. A game with a state, the moving average of `reinforce`, belongs to one training.

    Attributes:
        estimator: Log weights ``[M, N]`` -> advantages ``[M, N]``; a function is taken as one.
        num_draws: M, draws per latent that the generator learns from.
        divergence: The discriminator's loss. The weights are ``exp F`` under every one.
        discriminator_draws: Draws per latent that the discriminator learns from.
        penalty: Regulariser of the discriminator, such as a gradient penalty; None for none.
        penalty_weight: gamma, which multiplies the penalty.
        penalty_interval: The Trainer takes the penalty every so many discriminator steps, scaled by as much.
        credit: Whose F weighs a position of a draw: the sample's, its prefix's, or each alternative's.
        target: What samples are to be besides like the data; None for nothing. One that weighs draws needs credit
            ``"sample"``, and samples that are drawn in rounds are then played as a whole.

    Raises:
        InputError: If a part is given by its name, or is no such object, or a number out of its range; if the estimator
            is matched to another divergence.

    Examples:
        >>> from bgan_discrete import get_penalty, make_estimator
        >>> Game(make_estimator("rloo"), num_draws=8, penalty=get_penalty("r1")).num_draws
        8
    """

    estimator: Estimator = field(default_factory=lambda: make_estimator("bgan_centered"))
    num_draws: int = 20
    divergence: Divergence = DIVERGENCES["gan"]
    discriminator_draws: int = 1
    penalty: Penalty | None = None
    penalty_weight: float = 1.0
    penalty_interval: int = 4
    credit: Credit = sample_credit
    target: Target | None = None

    @property
    def weighing(self) -> Target | None:
        """The target, if it weighs draws; None where the data, if anything, are weighed."""
        return self.target if self.target is not None and self.target.weighs_draws else None

    def in_play(self, distribution: Distribution, rng: torch.Generator | None) -> Distribution:
        """What a step is played with: whole samples where a target weighs them, else `Distribution.in_play`.

        Args:
            distribution: What the generator gave.
            rng: Source of a round.

        Returns:
            The distribution to draw from.
        """
        return distribution.in_play(rng) if self.weighing is None else distribution

    def ask(self, codes: Tensor) -> Said | None:
        """Ask the programs of a target that weighs draws.

        Args:
            codes: The draws, ``[M, N, *event_shape]``.

        Returns:
            What will have their answers; None without such a target.
        """
        return None if self.weighing is None else Said(self.weighing, codes)

    def log_ratios(self, players: Players, real: Tensor, fake: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """F of real and of generated samples, differentiable; with a target of the shifted form the network gives G.

        Arguments and results as of `bgan_discrete.game.scoring.discriminate`.
        """
        log_ratio_real, log_ratio_fake = discriminate(players, real, fake, condition)
        if self.weighing is None or not self.weighing.shifts:
            return log_ratio_real, log_ratio_fake
        return log_ratio_real - self.weighing.shift(real), log_ratio_fake - self.weighing.shift(fake)

    def __post_init__(self) -> None:
        """Take a function as an estimator; refuse names, and what is no such part."""
        self.estimator = as_estimator(self.estimator)
        refuse_names(divergence=self.divergence, penalty=self.penalty, credit=self.credit)
        if not isinstance(self.divergence, Divergence):
            raise InputError(f"divergence must be a Divergence, such as get_divergence('kl'), got {self.divergence!r}")
        self.estimator.check_divergence(self.divergence)
        for what, part in {"credit": self.credit, "penalty": self.penalty}.items():
            is_none = what == "penalty" and part is None
            if not is_none and (not callable(part) or isinstance(part, type)):
                raise InputError(f"{what} must be a function or an object that is called as one, got {part!r}")
        if self.weighing is not None and self.credit is not sample_credit:
            raise InputError("a target that weighs draws needs credit 'sample'; form 'weighted' goes with every credit")
        check_at_least_one(
            num_draws=self.num_draws,
            discriminator_draws=self.discriminator_draws,
            penalty_interval=self.penalty_interval,
        )
        check_not_negative(penalty_weight=self.penalty_weight)
