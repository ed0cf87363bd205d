"""Regularisers of the discriminator: gradient penalties on soft one-hots.

A gradient penalty needs a derivative with respect to the sample, so codes enter as one-hots ``[B, *event_shape, K]``,
which every discriminator of this package accepts; soft one-hots may be given instead of codes. Norms run over all
positions and categories of a sample.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor

from bgan_discrete.distributions.sampling import one_hot_codes
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.game.players import Players
from bgan_discrete.game.scoring import with_condition

Score = Callable[[Tensor], Tensor]


class Penalty(Protocol):
    """A regulariser of the discriminator, to be added to its loss."""

    def __call__(
        self,
        discriminator: Score,
        real: Tensor,
        fake: Tensor,
        num_categories: int,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """The penalty without its weight.

        Args:
            discriminator: Maps soft one-hots ``[B, *event_shape, K]`` to ``F [B]``.
            real: Codes ``[B, *event_shape]``.
            fake: Codes ``[B', *event_shape]`` of the generator.
            num_categories: K.
            rng: Source of random points.

        Returns:
            Scalar, differentiable with respect to the discriminator's parameters.
        """


def _squared_gradient_norm(discriminator: Score, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """``F(x)`` and ``|dF/dx|^2`` for each sample of soft one-hots, both ``[B]``, differentiable twice."""
    inputs = inputs.requires_grad_()
    log_ratio = discriminator(inputs)
    # A discriminator of prefixes gives [B, L]: the penalised function is the mean over the prefixes.
    log_ratio = log_ratio.flatten(1).mean(1) if log_ratio.ndim > 1 else log_ratio
    (gradient,) = torch.autograd.grad(log_ratio.sum(), inputs, create_graph=True)
    return log_ratio, gradient.flatten(1).square().sum(1)


def _one_hot(codes: Tensor, num_categories: int) -> Tensor:
    """One-hots of codes; soft one-hots stay what they are."""
    return codes.detach() if codes.is_floating_point() else one_hot_codes(codes, num_categories)


def r1_penalty(
    discriminator: Score,
    real: Tensor,
    fake: Tensor,
    num_categories: int,
    rng: torch.Generator | None = None,
) -> Tensor:
    """``1/2 E_P |dF/dx|^2``: the gradient on real data only.

    Args:
        discriminator: Maps soft one-hots ``[B, *event_shape, K]`` to ``F [B]``.
        real: Codes ``[B, *event_shape]``.
        fake: Not used.
        num_categories: K.
        rng: Not used.

    Returns:
        Scalar.

    Source:
        Mescheder, Geiger, Nowozin, "Which training methods for GANs do actually converge?" (2018), equation 9.

    Examples:
        >>> r1_penalty(lambda x: x.sum((1, 2)), torch.tensor([[0, 1]]), torch.tensor([[1, 1]]), num_categories=2)
        tensor(2.)
    """
    _, squared_norm = _squared_gradient_norm(discriminator, _one_hot(real, num_categories))
    return 0.5 * squared_norm.mean()


def roth_penalty(
    discriminator: Score,
    real: Tensor,
    fake: Tensor,
    num_categories: int,
    rng: torch.Generator | None = None,
) -> Tensor:
    """``1/2 (E_P[(1 - D)^2 |dF/dx|^2] + E_Q[D^2 |dF/dx|^2])`` with ``D = sigmoid(F)``.

    Arguments and result as in `r1_penalty`; the fake codes are used.

    Source:
        Roth et al., "Stabilizing training of GANs through regularization" (2017), equation 28.
    """
    log_ratio_real, norm_real = _squared_gradient_norm(discriminator, _one_hot(real, num_categories))
    log_ratio_fake, norm_fake = _squared_gradient_norm(discriminator, _one_hot(fake, num_categories))
    real_term = torch.sigmoid(-log_ratio_real).square() * norm_real
    fake_term = torch.sigmoid(log_ratio_fake).square() * norm_fake
    return 0.5 * (real_term.mean() + fake_term.mean())


def wgan_gp_penalty(
    discriminator: Score,
    real: Tensor,
    fake: Tensor,
    num_categories: int,
    rng: torch.Generator | None = None,
) -> Tensor:
    """``E (|dF/dx| - 1)^2`` at points drawn uniformly on the lines between real and generated one-hots.

    Args:
        discriminator: As in `r1_penalty`.
        real: Codes ``[B, *event_shape]``.
        fake: Codes ``[B', *event_shape]``; the first ``min(B, B')`` pairs are used.
        num_categories: K.
        rng: Source of the random positions on the lines.

    Returns:
        Scalar.

    Source:
        Gulrajani et al., "Improved training of Wasserstein GANs" (2017), equation 3.
    """
    pairs = min(len(real), len(fake))
    start, end = _one_hot(real[:pairs], num_categories), _one_hot(fake[:pairs], num_categories)
    shape = (pairs,) + (1,) * (start.ndim - 1)
    position = torch.rand(shape, generator=rng, device=start.device).to(start.dtype)
    _, squared_norm = _squared_gradient_norm(discriminator, torch.lerp(start, end, position))
    # The square root has no derivative at 0; the smallest normal number keeps it finite and changes nothing else.
    norm = squared_norm.clamp_min(torch.finfo(squared_norm.dtype).tiny).sqrt()
    return (norm - 1).square().mean()


PENALTIES: dict[str, Penalty] = {"r1": r1_penalty, "roth": roth_penalty, "wgan_gp": wgan_gp_penalty}
"""Every gradient penalty by its name."""


def get_penalty(name: str) -> Penalty | None:
    """Look up a gradient penalty.

    Args:
        name: A key of `PENALTIES`, or ``"none"``.

    Returns:
        The penalty, or None for ``"none"``.

    Raises:
        InputError: If the name is unknown.

    Examples:
        >>> get_penalty("roth").__name__
        'roth_penalty'
    """
    if name == "none":
        return None
    if name not in PENALTIES:
        raise InputError(f"penalty {name!r} is unknown; choose one of none, {', '.join(PENALTIES)}")
    return PENALTIES[name]


def checked_penalty(
    penalty: Penalty,
    players: Players,
    real: Tensor,
    fake: Tensor,
    condition: Tensor | None = None,
    rng: torch.Generator | None = None,
) -> Tensor:
    """A penalty of the players' discriminator; where it fails, the error says what a penalty must be.

    Args:
        penalty: Of this package or one's own.
        players: Their discriminator is penalised.
        real: Codes ``[B, *event_shape]``, or soft one-hots.
        fake: Likewise.
        condition: As in `bgan_discrete.game.step.discriminator_step`.
        rng: Source of random points.

    Returns:
        Scalar, differentiable.

    Raises:
        InputError: If it fails, or is no scalar, or does not depend on the discriminator's parameters.
    """
    num_categories = players.discriminator_space.num_categories
    try:
        value = penalty(with_condition(players.discriminator, condition), real, fake, num_categories, rng)
    except (TypeError, RuntimeError, IndexError) as error:
        if "memory" in str(error) or isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(
            f"penalty {_name(penalty)} failed: {one_line(error)}; it is called with (discriminator, real, fake, "
            "num_categories, rng), and for those of this package the discriminator must take soft one-hots "
            f"[B, *event_shape, {num_categories}] instead of codes and have a derivative with respect to them"
        ) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = list(value.shape) if isinstance(value, Tensor) else repr(value)
        raise InputError(f"penalty must be a scalar tensor, such as a mean over samples, got {got}")
    if not value.requires_grad:
        raise InputError("penalty must have a gradient with respect to the discriminator's parameters, got one without")
    return value


def _name(penalty: Any) -> str:
    return penalty.__name__ if isinstance(penalty, FunctionType) else type(penalty).__name__
