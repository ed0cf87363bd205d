"""What a generator returns: the interface `Distribution` and checks that all distributions share.

The training step knows only the interface `Distribution`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from bgan_discrete.errors import InputError, NonFiniteError


class Distribution(ABC):
    """A batch of N distributions over discrete samples, one for each latent.

    A subclass needs `num_categories`, `sample` and `log_prob`. It may have cheaper ways than the ones here, and
    alternatives or a mixture, if it knows them.
    """

    has_log_prob: ClassVar[bool] = True
    """Whether samples have probabilities, so that draws can be weighed."""

    is_mixture: ClassVar[bool] = False
    """Whether there is a `mixture_log_prob`, which maximum likelihood then uses."""

    @property
    @abstractmethod
    def num_categories(self) -> int:
        """K, the number of categories of each position."""

    @abstractmethod
    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw codes ``[M, N, *event_shape]``, M = ``num_draws``, by random numbers of ``rng``; no gradients."""

    @abstractmethod
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

        Raises:
            InputError: If the advantages belong to other codes, or to positions that this distribution does not weigh,
                or `log_prob` does not give one number for each draw.
        """
        check_advantages(codes, advantages)
        if advantages.ndim > 2:
            raise InputError(
                f"advantages must be one for each draw, [M, N], for {type(self).__name__}, which does not "
                f"weigh positions; got {list(advantages.shape)}"
            )
        log_prob_MN = self.log_prob(codes)
        if log_prob_MN.shape != advantages.shape:
            wanted, got = list(advantages.shape), list(log_prob_MN.shape)
            raise InputError(f"{type(self).__name__}.log_prob must give [M, N] = {wanted}, got {got}")
        return (advantages.detach() * log_prob_MN).sum(0)

    def in_play(self, rng: torch.Generator | None = None) -> "Distribution":
        """What one step of the game is played with: itself, or a random round of samples that are drawn in rounds.

        Args:
            rng: Source of the round, and of all that is drawn before it.

        Returns:
            A distribution over samples, or over samples of which something is hidden.
        """
        return self

    def hide(self, codes: Tensor) -> Tensor:
        """Samples as the discriminator sees them next to draws of this distribution.

        Args:
            codes: Integers ``[B, *event_shape]``; sample i is compared with draws of latent ``i % N``.

        Returns:
            The same shape, with hidden what the draws do not have.
        """
        return codes

    def check_finite(self, who: str = "generator") -> None:  # noqa: B027 - there may be nothing to look at
        """Refuse logits, or whatever else defines the distribution, that are not finite.

        A subclass checks at once, or, where logits are only computed as samples are drawn, then. The base class has
        nothing to check. The host waits for the device, so this is no check for every step.

        Args:
            who: Whose output it is, for the message.

        Raises:
            NonFiniteError: If there is inf or NaN in it.
        """

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of each position's alternatives, given the rest of a draw that they depend on.

        Args:
            draw: Codes ``[N, *event_shape]``.

        Returns:
            ``[N, *event_shape, K]``, normalised over K, and which positions are open ``[N, *event_shape]`` (None for
            all of them): at the others the draw leaves no choice.

        Raises:
            InputError: If the distribution knows no alternatives, or the draw has another shape.
        """
        raise InputError(f"{type(self).__name__} has no alternatives, which credit 'alternatives' needs")

    def fixed_log_prob(self, codes: Tensor) -> Tensor | None:
        """``[M, N]``: the terms of ``log g(x_m | z_n)`` other than the choices of `alternatives`; None for none.

        Raises:
            InputError: If the distribution knows no alternatives.
        """
        raise InputError(f"{type(self).__name__} has no alternatives, which credit 'alternatives' needs")

    def mixture_log_prob(self, codes: Tensor) -> Tensor:
        """``log 1/N sum_n g(x_b | z_n)``, ``[B]``: of codes ``[B, *event_shape]`` under the mixture over all latents.

        Raises:
            InputError: If the distribution has none, as `is_mixture` says, or the codes have another shape.
        """
        raise InputError(f"{type(self).__name__} has no likelihood of a mixture over its latents")

    def estimated_log_prob(
        self, codes: Tensor, labels: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Tensor:
        """What maximum likelihood ascends, ``[B]``: an estimate of `mixture_log_prob`; here that itself.

        Args:
            codes: Integers ``[B, *event_shape]``.
            labels: int64 ``[B]`` of the samples; None without classes.
            rng: Source of the estimate's chance.

        Raises:
            InputError: As in `mixture_log_prob`, or if there are labels and no likelihood given them.
        """
        if labels is not None:
            raise InputError(f"{type(self).__name__} has no likelihood given labels")
        return self.mixture_log_prob(codes)


RoundSession = Callable[[Tensor, int], Tensor]
"""Codes ``[B, P]`` whose rounds before s are drawn, and s = 0, 1, .. in turn -> logits ``[B, R, K]`` of the R positions
of round s, in their order."""


class RoundsNetwork(Protocol):
    """The network of a generator that draws in rounds."""

    is_causal: bool
    """Whether one pass gives the logits of every position given the rounds before its own, whatever is visible; else
    those of hidden positions given all visible ones."""

    is_ragged: bool
    """Whether its positions differ so much in their numbers of categories that log-probabilities are computed without
    padding."""

    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """Logits of the positions of partly drawn samples.

        Args:
            codes: int64 ``[B, P]`` in ``[0, K]``, K where hidden.
            latents: ``[B, Z]``, which may only count where nothing is visible to a position.
            labels: int64 ``[B]``; None without classes.
            rounds: int64 ``[P]``, the round of each position, which only a causal network looks at.
            positions: int64 ``[R]``, those that are asked for; None for all P.

        Returns:
            ``[B, R, K]``.
        """

    def first_logits(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """Logits ``[B, R, K]`` of the R positions of round 0, to which nothing is visible; arguments as in `logits`.

        As in a session, K is at least the largest number of categories of these positions.
        """

    def log_probs(self, shown: Tensor, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """Log-probabilities ``[B, P]`` of ``codes [B, P]`` given what is ``shown``, by the logits as they are.

        Asked only where the network `is_ragged`; other arguments as in `logits`.
        """

    def session(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> RoundSession:
        """A way to draw all rounds in turn, which may remember what it has computed; arguments as in `logits`."""


def check_logits(logits: Any, who: str = "generator") -> None:
    """Refuse logits that are not finite. The device is asked once, so this is no check for every step.

    Args:
        logits: Of any shape; anything but a tensor is ignored.
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
        raise InputError(f"end_id must be in [0, {num_categories}) or be None, got {end_id}")
    return end_id


def check_advantages(codes: Tensor, advantages: Tensor) -> None:
    """Raise InputError for advantages that belong to other draws than the codes ``[M, N, *event_shape]``."""
    if advantages.shape not in (codes.shape[:2], codes.shape):
        raise InputError(
            f"advantages must have shape [M, N] = {list(codes.shape[:2])} or that of the codes, {list(codes.shape)}, "
            f"got {list(advantages.shape)}"
        )
