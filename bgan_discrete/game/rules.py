"""The rules of the game: what both players agree on."""

from dataclasses import dataclass, field

from bgan_discrete.game.credit import Credit, sample_credit
from bgan_discrete.game.divergences import DIVERGENCES, Divergence
from bgan_discrete.game.estimators import Estimator, as_estimator, make_estimator
from bgan_discrete.game.penalties import Penalty
from bgan_discrete.game.players import refuse_names


@dataclass
class Game:
    """What both players agree on.

    Attributes:
        estimator: Log weights ``[M, N]`` -> advantages ``[M, N]``; a function is taken as one.
        num_draws: M, draws per latent that the generator learns from.
        divergence: The discriminator's loss. The weights are ``exp F`` under every one.
        discriminator_draws: Draws per latent that the discriminator learns from.
        penalty: Regulariser of the discriminator, such as a gradient penalty; None for none.
        penalty_weight: gamma, which multiplies the penalty.
        credit: Whose F weighs a position of a draw: the sample's, its prefix's, or each alternative's.

    Raises:
        InputError: If a part is given by its name.
    """

    estimator: Estimator = field(default_factory=lambda: make_estimator("bgan_centered"))
    num_draws: int = 20
    divergence: Divergence = DIVERGENCES["gan"]
    discriminator_draws: int = 1
    penalty: Penalty | None = None
    penalty_weight: float = 1.0
    credit: Credit = sample_credit

    def __post_init__(self) -> None:
        """Take a function as an estimator; refuse names."""
        self.estimator = as_estimator(self.estimator)
        refuse_names(divergence=self.divergence, penalty=self.penalty, credit=self.credit)
