"""Distributions over discrete samples: what a generator returns.

The training step knows only the interface `Distribution`; it never asks how a distribution is made.

Letters: N latents, M draws, P positions (the event shape, flattened), K categories.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.sampling import as_index, code_dtype, sample_categorical

COUNTS_MAX_CATEGORIES = 64
"""Up to this K, `FactorizedCategorical.weighted_log_prob` counts; above, it gathers."""


@runtime_checkable
class Distribution(Protocol):
    """A batch of N distributions over discrete samples, one for each latent."""

    @property
    def num_categories(self) -> int:
        """K, the number of categories of each position."""

    def sample(self, num_draws: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes ``[M, N, *event_shape]``, without gradients."""

    def log_prob(self, codes: Tensor) -> Tensor:
        """``log g(x_m | z_n)``, ``[M, N]``, of codes ``[M, N, *event_shape]``."""

    def weighted_log_prob(self, codes: Tensor, advantages: Tensor, zero_sum: bool = False) -> Tensor:
        """``sum_m a[m, n] log g(x_m | z_n)``, ``[N]``, the cheapest way this distribution knows."""


class FactorizedCategorical:
    """Independent categorical distributions over the positions of a sample.

    ``g(x | z) = prod_p softmax(logits[p])[x[p]]``

    Args:
        logits: ``[N, *event_shape, K]``, unnormalised log-probabilities, finite; any float dtype (the mathematics
            runs in float32 at least).
    """

    def __init__(self, logits: Tensor) -> None:
        if logits.ndim < 3:
            raise InputError(f"logits must have shape [N, *event_shape, K], got {list(logits.shape)}")
        if not logits.is_floating_point():
            raise InputError(f"logits must be floating point, got dtype {logits.dtype}")
        code_dtype(logits.shape[-1])
        self.logits = logits if logits.dtype == torch.float64 else logits.float()

    @property
    def batch_size(self) -> int:
        """N, the number of latents."""
        return self.logits.shape[0]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.logits.shape[1:-1])

    @property
    def num_categories(self) -> int:
        """K, the number of categories of each position."""
        return self.logits.shape[-1]

    @property
    def num_positions(self) -> int:
        """P, the number of positions of one sample."""
        return math.prod(self.event_shape)

    @cached_property
    def log_probs(self) -> Tensor:
        """Normalised log-probabilities ``[N, *event_shape, K]``."""
        return torch.log_softmax(self.logits, dim=-1)

    def sample(self, num_draws: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw independent samples from each of the N distributions, without gradients.

        Args:
            num_draws: M >= 1.
            generator: Source of the random numbers; torch's global one if None.

        Returns:
            Codes ``[M, N, *event_shape]`` of the smallest integer dtype that holds K.

        Raises:
            InputError: If ``num_draws`` < 1.
        """
        return sample_categorical(self.logits.detach(), num_draws, generator)

    def log_prob(self, codes: Tensor) -> Tensor:
        """``log g(x_m | z_n) = sum_p log softmax(logits[n, p])[x[m, n, p]]``.

        Args:
            codes: Integers ``[M, N, *event_shape]`` in ``[0, K)``.

        Returns:
            ``[M, N]``.

        Raises:
            InputError: If the codes have another event shape or batch size, or are not integers.
        """
        self._check_codes(codes)
        return self._gather(self.log_probs, codes)

    def weighted_log_prob(
        self, codes: Tensor, advantages: Tensor, zero_sum: bool = False, method: str | None = None
    ) -> Tensor:
        """``sum_m a[m, n] log g(x_m | z_n)``: the policy-gradient surrogate.

        Equal to ``(advantages * self.log_prob(codes)).sum(0)``, at the price of one ``[N, P, K]`` tensor for any M:
        with weighted counts ``C`` it is ``sum_pk C[p, k] logits[p, k] - (sum_m a_m) sum_p logsumexp(logits[p])``.

        Args:
            codes: Integers ``[M, N, *event_shape]`` in ``[0, K)``.
            advantages: ``[M, N]``; no gradient flows through them.
            zero_sum: The advantages of each latent sum to zero, so the normaliser drops out and is not computed.
            method: ``"counts"``, ``"gather"`` or None for the faster one at this K.

        Returns:
            ``[N]``, differentiable with respect to the logits.

        Raises:
            InputError: If the shapes do not fit.
        """
        self._check_codes(codes)
        if advantages.shape != codes.shape[:2]:
            raise InputError(
                f"advantages must have shape [M, N] = {list(codes.shape[:2])}, got {list(advantages.shape)}"
            )
        if method not in (None, "counts", "gather"):
            raise InputError(f"method must be 'counts', 'gather' or None, got {method!r}")
        advantages = advantages.detach().to(self.logits.dtype)
        if (method or ("counts" if self.num_categories <= COUNTS_MAX_CATEGORIES else "gather")) == "counts":
            counts = self.weighted_counts(codes, advantages)
            score = torch.einsum("ni,ni->n", counts.flatten(1), self.logits.flatten(1))
        else:
            score = (advantages * self._gather(self.logits, codes)).sum(0)
        if zero_sum:
            return score
        normaliser = torch.logsumexp(self.logits, dim=-1).flatten(1).sum(1)
        return score - advantages.sum(0) * normaliser

    @torch.no_grad()
    def weighted_counts(self, codes: Tensor, advantages: Tensor) -> Tensor:
        """``C[n, p, k] = sum_m a[m, n] [x[m, n, p] = k]``.

        Args:
            codes: Integers ``[M, N, *event_shape]`` in ``[0, K)``.
            advantages: ``[M, N]``.

        Returns:
            ``[N, P, K]``, of the dtype of the advantages.
        """
        codes_MNP = codes.flatten(2)
        num_categories = self.num_categories
        if num_categories == 2:
            ones_NP = torch.einsum("mn,mnp->np", advantages, codes_MNP.to(advantages.dtype))
            zeros_NP = advantages.sum(0)[:, None] - ones_NP
            return torch.stack([zeros_NP, ones_NP], dim=-1)
        counts_NPK = advantages.new_zeros(*codes_MNP.shape[1:], num_categories)
        for codes_NP, advantages_N in zip(codes_MNP, advantages, strict=True):
            index = as_index(codes_NP)[..., None]
            counts_NPK.scatter_add_(2, index, advantages_N[:, None, None].expand_as(index))
        return counts_NPK

    @torch.no_grad()
    def entropy(self) -> Tensor:
        """Entropy of each of the N distributions in nats, summed over positions, ``[N]``."""
        return -(self.log_probs.exp() * self.log_probs).flatten(1).sum(1)

    def _gather(self, table: Tensor, codes: Tensor) -> Tensor:
        """``sum_p table[n, p, x[m, n, p]]``.

        By flat indices: the gradient of ``gather`` on an expanded table would be as large as ``[M, N, P, K]``.
        """
        codes_MNP = as_index(codes.flatten(2))
        offsets = torch.arange(self.batch_size * self.num_positions, device=codes.device) * self.num_categories
        flat = codes_MNP + rearrange(offsets, "(n p) -> n p", n=self.batch_size)
        return table.reshape(-1).take(flat).sum(-1)

    def _check_codes(self, codes: Tensor) -> None:
        expected: Sequence[int] = (self.batch_size, *self.event_shape)
        if list(codes.shape[1:]) != list(expected):
            raise InputError(f"codes must have shape [M, {', '.join(map(str, expected))}], got {list(codes.shape)}")
