"""What a generator returns: the interface that the game knows, and what all distributions check alike.

The training step knows only the interface `Distribution`; it never asks how a distribution is made.
"""

import math
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bgan_discrete.errors import InputError, NonFiniteError


@runtime_checkable
class Distribution(Protocol):
    """A batch of N distributions over discrete samples, one for each latent."""

    @property
    def num_categories(self) -> int:
        """K, the number of categories of each position."""

    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw codes ``[M, N, *event_shape]``, M = ``num_draws``, by random numbers of ``rng``; no gradients."""

    def log_prob(self, codes: Tensor) -> Tensor:
        """``log g(x_m | z_n)``, ``[M, N]``, of codes ``[M, N, *event_shape]``."""

    def weighted_log_prob(self, codes: Tensor, advantages: Tensor, zero_sum: bool = False) -> Tensor:
        """``sum_m a[m, n] log g(x_m | z_n)``, the cheapest way this distribution knows.

        Args:
            codes: ``[M, N, *event_shape]``.
            advantages: ``[M, N]``; or ``[M, N, *event_shape]``, which give each position its own:
                ``sum_mp a[m, n, p] log g(x_mp | ..)``.
            zero_sum: The advantages of each latent sum to zero over its draws, which may save work.

        Returns:
            ``[N]``, differentiable.
        """


@runtime_checkable
class DistributionOfAlternatives(Distribution, Protocol):
    """A `Distribution` that knows, for a draw, the probabilities of what could have stood at each position."""

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of each position's alternatives, given the rest of a draw that they depend on.

        Args:
            draw: Codes ``[N, *event_shape]``.

        Returns:
            ``[N, *event_shape, K]``, normalised over K, and which positions are open ``[N, *event_shape]`` (None for
            all of them): at the others the draw leaves no choice.
        """

    def fixed_log_prob(self, codes: Tensor) -> Tensor | None:
        """``[M, N]``: what ``log g(x_m | z_n)`` has beside the choices of `alternatives`; None for nothing."""


def check_logits(logits: Any, who: str = "generator") -> None:
    """Refuse logits that are not finite. The device is asked once, so this is no check for every step.

    Args:
        logits: Of any shape; what is no tensor is not looked at.
        who: Whose they are, for the message.

    Raises:
        NonFiniteError: If there is NaN, inf or -inf among them.
    """
    if not isinstance(logits, Tensor):
        return
    low, high = torch.stack(torch.aminmax(logits.detach())).tolist()
    if not (math.isfinite(low) and math.isfinite(high)):
        kind = "NaN" if math.isnan(low) else "inf" if math.isinf(high) else "-inf"
        advice = "; give -1e4 where nothing must be drawn, since 0 times -inf is NaN" if kind == "-inf" else ""
        raise NonFiniteError(f"the {who}'s logits must be finite, got {kind} among them{advice}")


def check_end_id(end_id: int | None, num_categories: int) -> int | None:
    """Raise InputError for an ``end_id`` that is none of ``num_categories``; the end itself, or None for none."""
    if end_id is not None and not 0 <= end_id < num_categories:
        raise InputError(f"end_id must lie in [0, {num_categories}) or be None, got {end_id}")
    return end_id


def check_advantages(codes: Tensor, advantages: Tensor) -> None:
    """Raise InputError for advantages that belong to other draws than the codes ``[M, N, *event_shape]``."""
    if advantages.shape not in (codes.shape[:2], codes.shape):
        raise InputError(
            f"advantages must have shape [M, N] = {list(codes.shape[:2])} or that of the codes, {list(codes.shape)}, "
            f"got {list(advantages.shape)}"
        )
