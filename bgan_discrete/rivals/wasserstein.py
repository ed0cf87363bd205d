"""WGAN-GP on softmax outputs: the critic of a rival that takes the generator's probabilities for samples.

Letters: B samples, N latents, Z width of a latent, K categories.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from bgan_discrete.distributions.sampling import as_index
from bgan_discrete.game.penalties import wgan_gp_penalty
from bgan_discrete.game.players import Players
from bgan_discrete.game.scoring import checked_log_ratios, generate
from bgan_discrete.game.updates import Figures, Outcome, move
from bgan_discrete.rivals.relaxations import logits_of, softmax


def wasserstein_step(
    players: Players, real: Tensor, latents: Tensor, penalty_weight: float = 10.0, rng: torch.Generator | None = None
) -> Figures:
    """Move the critic of WGAN-GP: real one-hots against the generator's softmax outputs.

    Minimises ``E F(softmax) - E F(real) + lambda E (|dF/dx| - 1)^2``.

    Args:
        players: As in `bgan_discrete.rivals.relaxations.relaxed_generator_step`; the discriminator (critic) moves.
        real: Codes ``[B, *event_shape]``.
        latents: ``[N, Z]``.
        penalty_weight: lambda.
        rng: Source of the points between real and generated.

    Returns:
        Scalar tensors: loss, mean F on both sides, penalty, gradient norm.

    Raises:
        InputError: If the distribution has no logits.
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.

    Source:
        Gulrajani et al., "Improved training of Wasserstein GANs" (2017), section 5.3 for discrete data.
    """

    def loss_of(codes: Tensor, latents: Tensor) -> Outcome:
        critic = players.discriminator
        with torch.no_grad(), players.precision():
            fake = softmax(logits_of(generate(players, latents)))
        real = one_hot(as_index(codes), fake.shape[-1]).to(fake.dtype)
        samples = torch.cat([real, fake])
        with players.precision():
            value_real, value_fake = checked_log_ratios(critic(samples), samples).split([len(real), len(fake)])
        penalty = wgan_gp_penalty(critic, real, fake, fake.shape[-1], rng)
        loss = value_fake.mean() - value_real.mean() + penalty_weight * penalty
        seen = {
            "discriminator_loss": loss.detach(),
            "log_ratio_real": value_real.detach().mean(),
            "log_ratio_fake": value_fake.detach().mean(),
            "penalty": penalty.detach(),
        }
        return Outcome(loss, seen)

    return move(players, "discriminator", loss_of, real, latents, whole=True)
