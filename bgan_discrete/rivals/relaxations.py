"""Relaxations: gradients of discrete draws through the discriminator's derivative, and WGAN-GP on softmax outputs.

The rivals of the policy gradient. They need ``dF/dx`` on one-hots, which the estimators never ask for, and have no
advantages; so they are a family of their own. All are biased in general: `straight_through` is exact where F is linear
in the one-hot, `reinmax` where it is quadratic; `softmax` ascends F of the mean, not the mean of F.

Letters: N latents, K categories, ``...`` the positions.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from bgan_discrete.distributions import Distribution
from bgan_discrete.distributions.sampling import as_index, sample_categorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.penalties import wgan_gp_penalty
from bgan_discrete.game.step import Diagnostics, Game, checked_log_ratios, update_parameters


class Relaxation(Protocol):
    """Logits -> what the discriminator reads, with a gradient."""

    def __call__(self, logits: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """One-hots, or soft ones, ``[..., K]`` of logits ``[..., K]``, drawn by ``rng``, differentiable."""


def softmax(logits: Tensor, rng: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
    """``softmax(logits / temperature)``: no draw at all; the discriminator sees what no sample can be.

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
    # -log of an exponential is Gumbel; drawn directly, its left tail keeps the digits that -log(-log u) loses.
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
    """
    if name not in RELAXATIONS:
        raise InputError(f"relaxation {name!r} is unknown; choose one of {', '.join(RELAXATIONS)}")
    if not temperature > 0:
        raise InputError(f"temperature must be above 0, got {temperature}")
    return partial(RELAXATIONS[name], temperature=temperature)


def relaxed_generator_step(
    generator: Callable[[Tensor], Distribution],
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    latents: Tensor,
    relaxation: Relaxation,
    game: Game,
    rng: torch.Generator | None = None,
) -> Diagnostics:
    """Ascend ``E F`` of what the relaxation gives, through the discriminator: with draws reverse KL, as `rloo` does.

    Args:
        generator: Maps latents ``[N, Z]`` to a distribution with ``logits [N, *event_shape, K]``.
        discriminator: Maps soft one-hots ``[N, *event_shape, K]`` to ``F [N]``; scores in eval mode.
        optimizer: Of the generator.
        latents: ``[N, Z]``.
        relaxation: Logits -> one-hots with a gradient.
        game: Its `autocast` sets the precision.
        rng: Source of the draws.

    Returns:
        Scalar tensors: loss, gradient norm.

    Raises:
        InputError: If the distribution has no logits (an autoregressive one).
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """
    with game.autocast():
        distribution = generator(latents)
    with frozen(discriminator), game.autocast():
        fake = relaxation(_logits(distribution), rng)
        log_ratio = checked_log_ratios(discriminator(fake), fake)
    loss = -log_ratio.mean()
    diagnostics = {"generator_loss": loss.detach(), "log_ratio_draws": log_ratio.detach().mean()}
    diagnostics["generator_gradient_norm"] = update_parameters(optimizer, loss, diagnostics, "generator", game.guard)
    return diagnostics


def wasserstein_step(
    generator: Callable[[Tensor], Distribution],
    critic: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    latents: Tensor,
    game: Game,
    rng: torch.Generator | None = None,
) -> Diagnostics:
    """Move the critic of WGAN-GP: real one-hots against the generator's softmax outputs.

    Minimises ``E F(softmax) - E F(real) + lambda E (|dF/dx| - 1)^2``.

    Args:
        generator: As in `relaxed_generator_step`.
        critic: Maps soft one-hots ``[B, *event_shape, K]`` to ``F [B]``.
        optimizer: Of the critic.
        real: Codes ``[B, *event_shape]``.
        latents: ``[N, Z]``.
        game: Its `penalty_weight` is lambda (10 in the source), its `autocast` sets the precision.
        rng: Source of the points between real and generated.

    Returns:
        Scalar tensors: loss, mean F on both sides, penalty, gradient norm.

    Raises:
        InputError: If the distribution has no logits.
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.

    Source:
        Gulrajani et al., "Improved training of Wasserstein GANs" (2017), section 5.3 for discrete data.
    """
    with torch.no_grad(), game.autocast():
        fake = softmax(_logits(generator(latents)))
    real = one_hot(as_index(real), fake.shape[-1]).to(fake.dtype)
    samples = torch.cat([real, fake])
    with game.autocast():
        value_real, value_fake = checked_log_ratios(critic(samples), samples).split([len(real), len(fake)])
    penalty = wgan_gp_penalty(critic, real, fake, fake.shape[-1], rng)
    loss = value_fake.mean() - value_real.mean() + game.penalty_weight * penalty
    diagnostics = {
        "discriminator_loss": loss.detach(),
        "log_ratio_real": value_real.detach().mean(),
        "log_ratio_fake": value_fake.detach().mean(),
        "penalty": penalty.detach(),
    }
    diagnostics["discriminator_gradient_norm"] = update_parameters(optimizer, loss, diagnostics, "critic", game.guard)
    return diagnostics


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


def _logits(distribution: Distribution) -> Tensor:
    logits = getattr(distribution, "logits", None)
    if not isinstance(logits, Tensor):
        raise InputError(
            "relaxations need a generator that draws all positions at once, with logits; got "
            f"{type(cast(Any, distribution)).__name__}"
        )
    return logits
