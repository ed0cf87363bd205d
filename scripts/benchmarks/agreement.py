"""The textbook formulation and the package learn the same from the same draws: shown before either is timed."""

from typing import Any

import torch
from torch import Tensor

from bgan_discrete.distributions import Distribution
from bgan_discrete.game.step import loss_of_draws, update_discriminator


def assert_same_gradients(
    players: Any, distribution: Distribution, codes: Tensor, textbook: tuple[Tensor, Tensor]
) -> None:
    """Compare the gradients of both networks.

    Args:
        players: Networks, real samples, game and optimisers, whose rate is so small that nothing moves.
        distribution: Of the generator.
        codes: Its draws ``[M, N, *event_shape]``, from which the discriminator learns, too.
        textbook: What the textbook descends for those draws: the discriminator's loss and the generator's.

    Raises:
        AssertionError: If a gradient differs by more than rounding.
    """
    networks = players.discriminator, players.generator
    parameters = [list(network.parameters()) for network in networks]
    theirs = [torch.autograd.grad(loss, own, retain_graph=True) for loss, own in zip(textbook, parameters, strict=True)]
    surrogate, _ = loss_of_draws(distribution, codes, players.discriminator, players.game)
    fake, categories = codes.flatten(0, 1), distribution.num_categories
    update_discriminator(
        players.discriminator, players.fused[1], players.real, fake, categories, players.game, players.rng, 0.0
    )
    ours = [[p.grad for p in parameters[0]], torch.autograd.grad(surrogate, parameters[1])]
    for found, expected in zip(ours, theirs, strict=True):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3 * float(other.abs().max()))
