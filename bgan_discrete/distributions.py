"""Distributions over discrete samples: what a generator returns.

The training step knows only the interface `Distribution`; it never asks how a distribution is made.

Letters: N latents, M draws, P positions (the event shape, flattened), K categories.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from einops import rearrange
from torch import Tensor

from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.sampling import as_index, code_dtype, one_hot_codes, sample_categorical, sharpen
from bgan_discrete.sequences import counted_positions, pad_after_end

COUNTS_MAX_CATEGORIES = 64
"""Up to this K, `FactorizedCategorical.weighted_log_prob` counts; above, it gathers."""


@runtime_checkable
class Distribution(Protocol):
    """A batch of N distributions over discrete samples, one for each latent."""

    @property
    def num_categories(self) -> int:
        """K, the number of categories of each position."""

    def sample(self, num_draws: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes ``[M, N, *event_shape]``, M = ``num_draws``, by random numbers of ``generator``; no gradients."""

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


class FactorizedCategorical:
    """Independent categorical distributions over the positions of a sample.

    ``g(x | z) = prod_p softmax(logits[p])[x[p]]``

    Args:
        logits: ``[N, *event_shape, K]``, unnormalised log-probabilities, finite; any float dtype (the mathematics
            runs in float32 at least).

    Raises:
        InputError: If the logits have another shape or are not floating point.
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

    def sharpened(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> "FactorizedCategorical":
        """The distribution with its logits changed; arguments and errors as in `bgan_discrete.sampling.sharpen`."""
        return FactorizedCategorical(sharpen(self.logits, temperature, top_k, top_p))

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
        found_MNP = self._gather(self.log_probs, codes)
        counted = self._counted(codes)
        return found_MNP.sum(-1) if counted is None else (found_MNP * counted).sum(-1)

    def weighted_log_prob(
        self, codes: Tensor, advantages: Tensor, zero_sum: bool = False, method: str | None = None
    ) -> Tensor:
        """``sum_m a[m, n] log g(x_m | z_n)``: the policy-gradient surrogate.

        Equal to ``(advantages * self.log_prob(codes)).sum(0)``, at the price of one ``[N, P, K]`` tensor for any M:
        with weighted counts ``C`` it is ``sum_pk C[p, k] logits[p, k] - (sum_m a_m) sum_p logsumexp(logits[p])``.

        Args:
            codes: Integers ``[M, N, *event_shape]`` in ``[0, K)``.
            advantages: ``[M, N]``, or ``[M, N, *event_shape]`` with one for each position; no gradient flows through
                them.
            zero_sum: The advantages of each latent (and position) sum to zero, so the normaliser drops out and is not
                computed.
            method: ``"counts"``, ``"gather"`` or None for the faster one at this K.

        Returns:
            ``[N]``, differentiable with respect to the logits.

        Raises:
            InputError: If the shapes do not fit.
        """
        self._check_codes(codes)
        check_advantages(codes, advantages)
        if method not in (None, "counts", "gather"):
            raise InputError(f"method must be 'counts', 'gather' or None, got {method!r}")
        counted = self._counted(codes)
        advantages = advantages.detach().to(self.logits.dtype)
        if counted is not None:
            zero_sum = False  # draws that ended earlier leave the sum
            advantages = counted * (advantages if advantages.ndim > 2 else advantages[:, :, None])
        if (method or ("counts" if self.num_categories <= COUNTS_MAX_CATEGORIES else "gather")) == "counts":
            counts = self.weighted_counts(codes, advantages)
            score = (counts.flatten(1) * self.logits.flatten(1)).sum(1)
        elif advantages.ndim == 2:
            score = (advantages * self._gather(self.logits, codes).sum(-1)).sum(0)
        else:
            score = (advantages.flatten(2) * self._gather(self.logits, codes)).sum((0, 2))
        if zero_sum:
            return score
        normaliser_NP = torch.logsumexp(self.logits, dim=-1).flatten(1)
        if advantages.ndim == 2:
            return score - advantages.sum(0) * normaliser_NP.sum(1)
        return score - (advantages.sum(0).flatten(1) * normaliser_NP).sum(1)

    @torch.no_grad()
    def weighted_counts(self, codes: Tensor, advantages: Tensor) -> Tensor:
        """``C[n, p, k] = sum_m a[m, n] [x[m, n, p] = k]``.

        Args:
            codes: Integers ``[M, N, *event_shape]`` in ``[0, K)``.
            advantages: ``[M, N]`` or ``[M, N, *event_shape]``.

        Returns:
            ``[N, P, K]``, of the dtype of the advantages.
        """
        codes_MNP = codes.flatten(2)
        advantages_MNP = advantages.flatten(2) if advantages.ndim > 2 else advantages[:, :, None]
        num_categories = self.num_categories
        if num_categories == 2:
            ones_NP = advantages.new_zeros(codes_MNP.shape[1:])
            for codes_NP, advantages_NP in zip(codes_MNP, advantages_MNP, strict=True):
                ones_NP.addcmul_(codes_NP.to(advantages.dtype), advantages_NP)
            return torch.stack([advantages_MNP.sum(0) - ones_NP, ones_NP], dim=-1)
        counts_NPK = advantages.new_zeros(*codes_MNP.shape[1:], num_categories)
        for codes_NP, advantages_NP in zip(codes_MNP, advantages_MNP, strict=True):
            index = as_index(codes_NP)[..., None]
            counts_NPK.scatter_add_(2, index, advantages_NP[..., None].expand_as(index))
        return counts_NPK

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `DistributionOfAlternatives`: independent positions all stay open, whatever was drawn."""
        self._check_codes(draw[None])
        return self.log_probs, None

    def fixed_log_prob(self, codes: Tensor) -> Tensor | None:
        """See `DistributionOfAlternatives`: nothing."""
        return None

    def mixture_log_prob(self, codes: Tensor) -> Tensor:
        """``log 1/N sum_n g(x_b | z_n)``: the log-likelihood of samples under the mixture over all N latents.

        Args:
            codes: Integers ``[B, *event_shape]`` in ``[0, K)``.

        Returns:
            ``[B]``. Its mean over the latents is at most the log-likelihood ``log E_z g(x | z)``, and rises to it with
            N (Burda et al. 2016, with the prior as the proposal).

        Raises:
            InputError: If the codes have another event shape.
        """
        if tuple(codes.shape[1:]) != self.event_shape:
            raise InputError(f"codes must have shape [B, {str(list(self.event_shape))[1:-1]}], got {list(codes.shape)}")
        one_hots_BPK = one_hot_codes(codes.flatten(1), self.num_categories).to(self.logits.dtype)
        counted = self._counted(codes[None])
        if counted is not None:
            one_hots_BPK = one_hots_BPK * counted[0, ..., None]
        log_probs_BN = one_hots_BPK.flatten(1) @ self.log_probs.flatten(1).T
        return torch.logsumexp(log_probs_BN, dim=1) - math.log(self.batch_size)

    @torch.no_grad()
    def entropy(self) -> Tensor:
        """Entropy of each of the N distributions in nats, summed over positions, ``[N]``."""
        log_probs = self.log_probs.clamp_min(torch.finfo(self.log_probs.dtype).min)  # 0 times -inf is NaN
        return -(log_probs.exp() * log_probs).flatten(1).sum(1)

    def _gather(self, table: Tensor, codes: Tensor) -> Tensor:
        """``table[n, p, x[m, n, p]]``, ``[M, N, P]``.

        By flat indices: the gradient of ``gather`` on an expanded table would be as large as ``[M, N, P, K]``.
        """
        codes_MNP = as_index(codes.flatten(2))
        offsets = torch.arange(self.batch_size * self.num_positions, device=codes.device) * self.num_categories
        flat = codes_MNP + rearrange(offsets, "(n p) -> n p", n=self.batch_size)
        return table.reshape(-1).take(flat)

    def _counted(self, codes: Tensor) -> Tensor | None:
        """Which positions ``[M, N, P]`` count; None for all of them."""
        return None

    def _check_codes(self, codes: Tensor) -> None:
        expected: Sequence[int] = (self.batch_size, *self.event_shape)
        if list(codes.shape[1:]) != list(expected):
            raise InputError(f"codes must have shape [M, {', '.join(map(str, expected))}], got {list(codes.shape)}")


class SequenceCategorical(FactorizedCategorical):
    """Independent categorical distributions over the positions of a sequence that may end early.

    ``g(x | z) = prod_p softmax(logits[p])[x[p]]`` over the positions up to and including the first end; what is drawn
    behind it is padding and counts for nothing (see `bgan_discrete.sequences`).

    Args:
        logits: ``[N, L, K]``, as in `FactorizedCategorical`.
        end_id: The category that ends a sequence; None where all have L codes.
    """

    def __init__(self, logits: Tensor, end_id: int | None = None) -> None:
        super().__init__(logits)
        if len(self.event_shape) != 1:
            raise InputError(f"logits of sequences must have shape [N, L, K], got {list(logits.shape)}")
        self.end_id = check_end_id(end_id, self.num_categories)

    def sample(self, num_draws: int, generator: torch.Generator | None = None, prompt: Tensor | None = None) -> Tensor:
        """Draw sequences ``[M, N, L]`` in their canonical form; arguments as in `FactorizedCategorical.sample`.

        Raises:
            InputError: If a prompt is given: independent positions cannot go on from one.
        """
        if prompt is not None:
            raise InputError("prompt needs an autoregressive generator: this one draws all positions independently")
        return pad_after_end(super().sample(num_draws, generator), self.end_id)

    def sharpened(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> "SequenceCategorical":
        """The distribution with its logits changed; arguments and errors as in `bgan_discrete.sampling.sharpen`."""
        return SequenceCategorical(sharpen(self.logits, temperature, top_k, top_p), self.end_id)

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `DistributionOfAlternatives`: the codes of a sequence are open, its length is not.

        The end would hide what stands behind it, and its own alternatives what was never drawn; so where a sequence
        ends is fixed (`fixed_log_prob`), and the alternatives of a code are the other codes but the end.
        """
        if self.end_id is None:
            return super().alternatives(draw)
        self._check_codes(draw[None])
        is_end = torch.arange(self.num_categories, device=draw.device) == self.end_id
        others = self.logits.masked_fill(is_end, torch.finfo(self.logits.dtype).min / 2)
        return torch.log_softmax(others, dim=-1), counted_positions(draw, self.end_id) & (draw != self.end_id)

    def fixed_log_prob(self, codes: Tensor) -> Tensor | None:
        """See `DistributionOfAlternatives`: the log-probability ``[M, N]`` of ending where the draws end."""
        if self.end_id is None:
            return None
        self._check_codes(codes)
        log_end = self.log_probs[..., self.end_id]
        is_end = torch.arange(self.num_categories, device=codes.device) == self.end_id
        log_goes_on = torch.logsumexp(self.log_probs.masked_fill(is_end, -math.inf), dim=-1)
        return (torch.where(codes == self.end_id, log_end, log_goes_on) * counted_positions(codes, self.end_id)).sum(-1)

    def _counted(self, codes: Tensor) -> Tensor | None:
        return None if self.end_id is None else counted_positions(codes, self.end_id)


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
