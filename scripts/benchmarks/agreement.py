"""The textbook formulation and the package learn the same from the same draws: shown before either is timed."""

from typing import Any

import torch
from torch import Tensor

from bgan_discrete.distributions import Distribution
from bgan_discrete.game.step import discriminator_loss, generator_loss
from bgan_discrete.game.updates import Outcome, move


def move_discriminator(bench: Any, fake: Tensor) -> None:
    """The discriminator's own step, without a penalty, of draws that are there already.

    Args:
        bench: Game, players, real samples and randomness.
        fake: Codes ``[B, *event_shape]``.
    """

    def loss() -> Outcome:
        return discriminator_loss(bench.game, bench.players, bench.real, fake, None, 0.0, bench.rng)

    move(bench.players, "discriminator", loss)


def assert_same_gradients(
    bench: Any, distribution: Distribution, codes: Tensor, textbook: tuple[Tensor, Tensor]
) -> None:
    """Compare the gradients of both networks.

    Args:
        bench: Game, players, real samples and randomness; the optimisers' rate is so small that nothing moves.
        distribution: Of the generator.
        codes: Its draws ``[M, N, *event_shape]``, from which the discriminator learns, too.
        textbook: What the textbook descends for those draws: the discriminator's loss and the generator's.

    Raises:
        AssertionError: If a gradient differs by more than rounding.
    """
    networks = bench.discriminator, bench.generator
    parameters = [list(network.parameters()) for network in networks]
    theirs = [torch.autograd.grad(loss, own, retain_graph=True) for loss, own in zip(textbook, parameters, strict=True)]
    surrogate = generator_loss(bench.game, bench.players, distribution, codes).loss
    move_discriminator(bench, codes.flatten(0, 1))
    ours = [[p.grad for p in parameters[0]], torch.autograd.grad(surrogate, parameters[1])]
    for found, expected in zip(ours, theirs, strict=True):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3 * float(other.abs().max()))
