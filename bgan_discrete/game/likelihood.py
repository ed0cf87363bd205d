"""Maximum likelihood of the same generators: a start before the game, and its baseline."""

import torch
from torch import Tensor

from bgan_discrete.distributions import Distribution
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Condition, Dice, Players
from bgan_discrete.game.scoring import generate
from bgan_discrete.game.updates import Figures, Outcome, move


def likelihood_step(
    players: Players, real: Tensor, latents: Tensor, condition: Condition = None, rng: Dice = None
) -> Figures:
    """Move the generator towards the data by maximum likelihood.

    For a mixture over latents (independent positions, rounds) it ascends ``E_P log 1/S sum_s g(x | z_s)`` over all S
    latents, for any other distribution ``E_P E_z log g(x | z)`` with a latent for each sample. Both are at most
    the log-likelihood ``E_P log E_z g(x | z)``. The first is close to it if S latents suffice for the data, the second
    if the generator hardly uses its latent.

    Args:
        players: The generator moves.
        real: Codes ``[N, *event_shape]``.
        latents: ``[S, Z]``; S = N where the distribution is no mixture. For a mixture all parts and processes must have
            the same latents.
        condition: Labels ``[N]``, of the samples and, where there are any, of the latents; None for none.
        rng: Source of what is hidden from a generator that draws in rounds.

    Returns:
        Scalar tensors: loss (nats a sample), gradient norm.

    Raises:
        InputError: If the distribution is no mixture and the latents are not one for each sample.
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """
    num_samples = len(real)

    def loss_of(real: Tensor, rows: Tensor) -> Outcome:
        of_part = None if condition is None else condition[rows]
        distribution = generate(players, latents, condition)
        if not distribution.is_mixture and len(latents) != num_samples:
            raise InputError(f"latents must be one for each of {num_samples} samples, got {len(latents)}")
        if not distribution.is_mixture and len(real) != num_samples:
            distribution = generate(players, latents[rows])
        loss = -log_likelihood(distribution, real, of_part, rng).mean()
        return Outcome(loss, {"likelihood_loss": loss.detach()})

    return move(players, "generator", loss_of, real, torch.arange(len(real), device=real.device))


def log_likelihood(distribution: Distribution, codes: Tensor, labels: Tensor | None = None, rng: Dice = None) -> Tensor:
    """What maximum likelihood ascends, of each sample: at most its log-likelihood, in expectation.

    Args:
        distribution: A mixture over any latents; or any other, with a latent for each sample.
        codes: ``[B, *event_shape]``.
        labels: ``[B]``; None for none.
        rng: Source of what is hidden from a generator that draws in rounds.

    Returns:
        Nats ``[B]``, differentiable.
    """
    if distribution.is_mixture:
        return distribution.estimated_log_prob(codes, labels, rng)
    return distribution.log_prob(codes[None])[0]
