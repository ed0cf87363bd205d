"""Relaxations: gradients of discrete draws through the derivative of the discriminator.

The rivals of the policy gradient need ``dF/dx`` on one-hots. All are biased in general: `straight_through` is exact
where F is linear in the one-hot, `reinmax` where it is quadratic; `softmax` ascends F of the mean, not the mean of F.

Letters: N latents, K categories, ``...`` the positions.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from bgan_discrete.distributions import Distribution, FactorizedCategorical
from bgan_discrete.distributions.sampling import as_index, sample_categorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Players
from bgan_discrete.game.scoring import checked_log_ratios, generate
from bgan_discrete.game.updates import Figures, Outcome, move


class Relaxation(Protocol):
    """Logits -> what the discriminator reads, with a gradient."""

    def __call__(self, logits: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """One-hots, or soft ones, ``[..., K]`` of logits ``[..., K]``, drawn by ``rng``, differentiable."""


def softmax(logits: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
    """``softmax(logits / temperature)``: no draw; the discriminator reads soft samples.

    Args:
        logits: ``[..., K]``.
        rng: Not used.
        temperature: Divides the logits, > 0.

    Returns:
        Soft one-hots ``[..., K]``.
    """
    return torch.softmax(logits / temperature, dim=-1)


def straight_through(logits: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
    """A draw forward, ``softmax(logits / temperature)`` backward: ``D + p - stop(p)``.

    Args:
        logits: ``[..., K]``.
        rng: Source of the draws.
        temperature: Of the backward pass only, > 0.

    Returns:
        One-hots ``[..., K]`` drawn from ``softmax(logits)``.

    Source:
        Bengio, Leonard, Courville, "Estimating or propagating gradients through stochastic neurons" (2013).
    """
    soft = torch.softmax(logits / temperature, dim=-1)
    return _draw(logits, rng) + (soft - soft.detach())


def gumbel_straight_through(logits: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
    """The largest of ``logits + Gumbel noise`` forward, the softmax of the same sums backward.

    Args:
        logits: ``[..., K]``.
        rng: Source of the noise.
        temperature: Of the backward pass only, > 0: the draw does not depend on it.

    Returns:
        One-hots ``[..., K]`` drawn from ``softmax(logits)``.

    Source:
        Jang, Gu, Poole, "Categorical reparameterization with Gumbel-softmax" (2017), section 2.2.
    """
    # -log of an exponential is Gumbel; its left tail keeps the digits that -log(-log u) loses.
    noise = torch.empty_like(logits).exponential_(generator=rng).clamp_min(torch.finfo(logits.dtype).tiny)
    sums = logits - noise.log()
    soft = torch.softmax(sums / temperature, dim=-1)
    hard = one_hot(sums.detach().argmax(-1), logits.shape[-1]).to(logits.dtype)
    return hard + (soft - soft.detach())


def reinmax(logits: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
    """A draw forward, Heun's second-order rule backward: exact in expectation where F is quadratic in the one-hot.

    With ``p = softmax(logits)`` and ``p1 = (D + softmax(logits / temperature)) / 2`` the gradient is that of
    ``2 softmax(stop(log p1 - logits) + logits) - p / 2``.

    Args:
        logits: ``[..., K]``.
        rng: Source of the draws.
        temperature: Of the midpoint, > 0; 1 for the second order.

    Returns:
        One-hots ``[..., K]`` drawn from ``softmax(logits)``.

    Source:
        Liu et al., "Bridging discrete and backpropagation: straight-through and beyond" (2023), algorithm 2.
    """
    drawn = _draw(logits, rng)
    soft = torch.softmax(logits, dim=-1)
    middle = (drawn + torch.softmax(logits / temperature, dim=-1)) / 2
    shifted = (middle.clamp_min(torch.finfo(logits.dtype).tiny).log() - logits).detach()
    slope = 2 * torch.softmax(shifted + logits, dim=-1) - soft / 2
    return drawn + (slope - slope.detach())


RELAXATIONS: dict[str, Callable[..., Tensor]] = {
    "softmax": softmax,
    "straight_through": straight_through,
    "gumbel_straight_through": gumbel_straight_through,
    "reinmax": reinmax,
}
"""Every relaxation by its name."""


def get_relaxation(name: str, temperature: float = 1.0) -> Relaxation:
    """Look up a relaxation.

    Args:
        name: A key of `RELAXATIONS`.
        temperature: As in the function, > 0.

    Returns:
        The function with its temperature set.

    Raises:
        InputError: If the name is unknown or the temperature not positive.

    Examples:
        >>> get_relaxation("straight_through")(torch.tensor([[-100.0, 0.0]]))
        tensor([[0., 1.]])
    """
    if name not in RELAXATIONS:
        raise InputError(f"relaxation {name!r} is unknown; choose one of {', '.join(RELAXATIONS)}")
    if not temperature > 0:
        raise InputError(f"temperature must be above 0, got {temperature}")
    return partial(RELAXATIONS[name], temperature=temperature)


def relaxed_generator_step(
    players: Players, latents: Tensor, relaxation: Relaxation, rng: torch.Generator | None = None
) -> Figures:
    """Ascend ``E F`` of what the relaxation gives, through the discriminator: with draws reverse KL, as `rloo` does.

    Args:
        players: The generator's distribution has ``logits [N, *event_shape, K]``; the discriminator maps soft one-hots
            ``[N, *event_shape, K]`` to ``F [N]`` and scores in eval mode. The generator moves.
        latents: ``[N, Z]``.
        relaxation: Logits -> one-hots with a gradient.
        rng: Source of the draws.

    Returns:
        Scalar tensors: loss, gradient norm.

    Raises:
        InputError: If the distribution has no logits (an autoregressive one).
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """

    def loss_of(latents: Tensor) -> Outcome:
        distribution = generate(players, latents)
        with frozen(players.discriminator), players.precision():
            fake = relaxation(logits_of(distribution), rng)
            log_ratio = checked_log_ratios(players.discriminator(fake), fake)
        loss = -log_ratio.mean()
        return Outcome(loss, {"generator_loss": loss.detach(), "log_ratio_draws": log_ratio.detach().mean()})

    return move(players, "generator", loss_of, latents, whole=True)


@contextmanager
def frozen(discriminator: nn.Module) -> Iterator[None]:
    """A discriminator in eval mode whose parameters get no gradient: that would be half of the backward pass."""
    was_training, learning = discriminator.training, [p for p in discriminator.parameters() if p.requires_grad]
    discriminator.eval()
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        discriminator.train(was_training)
        for parameter in learning:
            parameter.requires_grad_(True)


def _draw(logits: Tensor, rng: torch.Generator | None) -> Tensor:
    drawn = sample_categorical(logits.detach(), 1, rng)[0]
    return one_hot(as_index(drawn), logits.shape[-1]).to(logits.dtype)


def logits_of(distribution: Distribution) -> Tensor:
    """Logits ``[N, *event_shape, K]`` of a distribution.

    Raises:
        InputError: If it has none.
    """
    if not isinstance(distribution, FactorizedCategorical):
        raise InputError(
            "relaxations need a generator that draws all positions at once, with logits; got "
            f"{type(distribution).__name__}"
        )
    return distribution.logits
