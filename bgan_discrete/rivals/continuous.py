"""The boundary-seeking objective for generators of continuous data, which back-propagate through their samples.

    z -> generator -> samples -> discriminator -> F -> loss -> step

``log D - log(1 - D)`` is F itself, so the losses are taken from F: the form with probabilities is inf or NaN once D
rounds to 0 or 1. Grey levels enter the discriminators of this package as mixtures of black and white, on two categories
(`mixtures`), so that every network that reads codes reads them too.

Source: Hjelm et al., "Boundary-Seeking GANs" (2018), section 3.

Letters: B samples, N latents, M draws, K levels.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions import Distribution, check_logits
from bgan_discrete.distributions.sampling import code_dtype
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import checked_log_ratios, generate
from bgan_discrete.game.step import discriminator_loss
from bgan_discrete.game.updates import Figures, Outcome, move
from bgan_discrete.game.weights import log_partition
from bgan_discrete.parallel import ALONE, Processes, plain
from bgan_discrete.rivals.relaxations import frozen

ContinuousLoss = Callable[[Tensor], Tensor]


def boundary_seeking_loss(log_ratio: Tensor) -> Tensor:
    """``1/2 E[(log D - log(1 - D))^2] = 1/2 E[F^2]``: samples move to where D = 1/2.

    Args:
        log_ratio: F of generated samples, any shape, differentiable with respect to them.

    Returns:
        Scalar.

    Examples:
        >>> boundary_seeking_loss(torch.tensor([-2.0, 0.0, 2.0]))
        tensor(1.3333)
    """
    return 0.5 * log_ratio.square().mean()


def corrected_boundary_seeking_loss(log_ratio: Tensor, processes: Processes = ALONE) -> Tensor:
    """``1/2 E[(F - log beta)^2]``, with the batch's partition function ``beta = E[exp F]``.

    At a discriminator that is off by a constant, the samples still move to where their normalised weight is 1.

    Args:
        log_ratio: As in `boundary_seeking_loss`.
        processes: Those that hold the parts of the batch, over which beta is taken.

    Returns:
        Scalar; no gradient flows through log beta.
    """
    log_beta = log_partition(log_ratio.detach().reshape(-1, 1), processes=processes)
    return 0.5 * (log_ratio - log_beta).square().mean()


def non_saturating_loss(log_ratio: Tensor) -> Tensor:
    """``-E log D = E softplus(-F)``, the usual one.

    Args:
        log_ratio: As in `boundary_seeking_loss`.

    Returns:
        Scalar.

    Source:
        Goodfellow et al., "Generative adversarial nets" (2014), section 3.
    """
    return softplus(-log_ratio).mean()


CONTINUOUS_LOSSES: dict[str, ContinuousLoss] = {
    "boundary_seeking": boundary_seeking_loss,
    "corrected_boundary_seeking": corrected_boundary_seeking_loss,
    "non_saturating": non_saturating_loss,
}
"""Every loss of a continuous generator by its name."""


def get_continuous_loss(name: str) -> ContinuousLoss:
    """Look up a loss.

    Args:
        name: A key of `CONTINUOUS_LOSSES`.

    Returns:
        The function.

    Raises:
        InputError: If the name is unknown.
    """
    if name not in CONTINUOUS_LOSSES:
        raise InputError(f"continuous loss {name!r} is unknown; choose one of {', '.join(CONTINUOUS_LOSSES)}")
    return CONTINUOUS_LOSSES[name]


def mixtures(values: Tensor) -> Tensor:
    """Grey levels as mixtures of black and white: ``(1 - v, v)``.

    Args:
        values: ``[...]`` in [0, 1].

    Returns:
        Soft one-hots ``[..., 2]``.
    """
    return torch.stack([1 - values, values], dim=-1)


class GreyLevels(Distribution):
    """What a continuous generator gives: one grey level at each position, and no chance.

    Args:
        values: ``[N, *event_shape]`` in [0, 1], differentiable.
        num_categories: K, the levels that samples are rounded to.
    """

    has_log_prob = False

    def __init__(self, values: Tensor, num_categories: int) -> None:
        code_dtype(num_categories)
        self.values = values if values.dtype == torch.float64 else values.float()
        self._num_categories = num_categories

    @property
    def num_categories(self) -> int:
        """K."""
        return self._num_categories

    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        """The nearest levels, ``[M, N, *event_shape]``, the same in each of ``num_draws``; ``rng`` is not used.

        Raises:
            InputError: If ``num_draws`` < 1.
        """
        check_at_least_one(num_draws=num_draws)
        levels = (self.values.detach() * (self.num_categories - 1)).round()
        codes = levels.to(code_dtype(self.num_categories))
        return codes.expand(num_draws, *codes.shape)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Not defined, for any codes.

        Raises:
            InputError: Always: grey levels have no probabilities.
        """
        raise InputError("a continuous generator has no log-probabilities; estimators need a distribution")

    def weighted_log_prob(self, codes: Tensor, advantages: Tensor, zero_sum: bool = False) -> Tensor:
        """Not defined; as in `log_prob`."""
        return self.log_prob(codes)

    def check_finite(self, who: str = "generator") -> None:
        """Refuse grey levels that are not finite; see `Distribution`."""
        check_logits(self.values, who)


def continuous_step(
    game: Game,
    players: Players,
    real: Tensor,
    latents: Tensor,
    loss: ContinuousLoss = boundary_seeking_loss,
    *,
    rng: torch.Generator | None = None,
    penalty_scale: float = 1.0,
    moves_both: bool = True,
) -> Figures:
    """A step of the discriminator, then one of a continuous generator through it.

    Args:
        game: Its `divergence`, `penalty` and `penalty_weight` are used; the batch goes through as a whole.
        players: A generator of `GreyLevels`, and a discriminator that maps soft one-hots ``[B, *event_shape, 2]`` to
            ``F [B]``; in eval mode for the generator.
        real: Codes ``[B, *event_shape]`` of a scale of K levels.
        latents: ``[N, Z]``.
        loss: F of the samples -> the generator's loss.
        rng: Source of the penalty's random points.
        penalty_scale: As in `bgan_discrete.game.step.discriminator_step`.
        moves_both: Whether the generator moves, too.

    Returns:
        Scalar tensors: both losses, mean F and mean D on both sides, log beta, penalty, gradient norms.

    Raises:
        InputError: If the generator gives no grey levels.
        NonFiniteError: Before an optimiser steps, if a loss or a gradient is inf or NaN.
    """
    if moves_both:
        players.side("generator")  # refuses players without its optimiser before the discriminator has moved
    distribution = generate(players, latents)
    if not isinstance(distribution, GreyLevels):
        raise InputError(f"a continuous step needs a generator of GreyLevels, got {type(distribution).__name__}")
    fake = mixtures(distribution.values)
    real_mixtures = mixtures(real.to(fake.dtype) / (distribution.num_categories - 1))
    processes = players.processes

    def loss_through_discriminator() -> Outcome:
        discriminator = plain(players.discriminator)
        with frozen(discriminator), players.precision():
            log_ratio = checked_log_ratios(discriminator(fake), fake)
        is_corrected = loss is corrected_boundary_seeking_loss
        value = corrected_boundary_seeking_loss(log_ratio, processes) if is_corrected else loss(log_ratio)
        log_beta = log_partition(log_ratio.detach().reshape(-1, 1), processes=processes)
        return Outcome(value, {"generator_loss": value.detach(), "log_beta": log_beta})

    def loss_of_samples() -> Outcome:
        return discriminator_loss(game, players, real_mixtures, fake.detach(), None, penalty_scale, rng)

    figures = move(players, "discriminator", loss_of_samples, whole=True)
    if not moves_both:
        return figures
    return figures | move(players, "generator", loss_through_discriminator, whole=True)
