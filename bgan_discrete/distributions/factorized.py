"""Independent categorical distributions over the positions of a sample.

Letters: N latents, M draws, P positions (the event shape, flattened), K categories, B samples.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from einops import rearrange
from torch import Tensor

from bgan_discrete.distributions.protocol import Distribution, check_advantages, check_logits
from bgan_discrete.distributions.sampling import as_index, code_dtype, one_hot_codes, sample_categorical, sharpen
from bgan_discrete.errors import InputError

COUNTS_MAX_CATEGORIES = 64
"""Up to this K, `FactorizedCategorical.weighted_log_prob` counts; above, it gathers."""


class FactorizedCategorical(Distribution):
    """Independent categorical distributions over the positions of a sample.

    ``g(x | z) = prod_p softmax(logits[p])[x[p]]``

    Args:
        logits: ``[N, *event_shape, K]``, unnormalised log-probabilities, finite; any float dtype (the mathematics
            runs in float32 at least).

    Raises:
        InputError: If the logits have another shape or are not floating point.

    Examples:
        >>> coin_pairs = FactorizedCategorical(torch.zeros(1, 2, 2))  # one latent, two positions, two categories
        >>> coin_pairs.log_prob(torch.tensor([[[0, 1]]])).exp()
        tensor([[0.2500]])
    """

    is_mixture = True

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

    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw independent samples from each of the N distributions, without gradients.

        Args:
            num_draws: M >= 1.
            rng: Source of the random numbers; torch's global one if None.

        Returns:
            Codes ``[M, N, *event_shape]`` of the smallest integer dtype that holds K.

        Raises:
            InputError: If ``num_draws`` < 1.
        """
        return sample_categorical(self.logits.detach(), num_draws, rng)

    def check_finite(self, who: str = "generator") -> None:
        """Refuse logits that are not finite; see `Distribution`."""
        check_logits(self.logits, who)

    def sharpened(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> "FactorizedCategorical":
        """The distribution with its logits changed; as in `bgan_discrete.distributions.sampling.sharpen`."""
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
        log_prob_MNP = self._gather(self.log_probs, codes)
        counted_MNP = self._counted(codes)
        return log_prob_MNP.sum(-1) if counted_MNP is None else (log_prob_MNP * counted_MNP).sum(-1)

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
        if method is None:
            method = "counts" if self.num_categories <= COUNTS_MAX_CATEGORIES else "gather"

        # 1. Positions that do not count get no advantage; the advantages that are left need not sum to zero.
        advantages = advantages.detach().to(self.logits.dtype)
        counted_MNP = self._counted(codes)
        if counted_MNP is not None:
            zero_sum = False
            advantages = counted_MNP * (advantages if advantages.ndim > 2 else advantages[:, :, None])

        # 2. The logits of the drawn codes, weighted: sum_mp a logits[p, x_mp].
        if method == "counts":
            counts_NPK = self.weighted_counts(codes, advantages)
            weighted_logits_N = (counts_NPK.flatten(1) * self.logits.flatten(1)).sum(1)
        elif advantages.ndim == 2:
            weighted_logits_N = (advantages * self._gather(self.logits, codes).sum(-1)).sum(0)
        else:
            weighted_logits_N = (advantages.flatten(2) * self._gather(self.logits, codes)).sum((0, 2))
        if zero_sum:
            return weighted_logits_N

        # 3. Less the normalisers, weighted by the sums of the advantages.
        normaliser_NP = torch.logsumexp(self.logits, dim=-1).flatten(1)
        if advantages.ndim == 2:
            return weighted_logits_N - advantages.sum(0) * normaliser_NP.sum(1)
        return weighted_logits_N - (advantages.sum(0).flatten(1) * normaliser_NP).sum(1)

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
            index = as_index(codes_NP)[..., None]  # [N, P, 1]
            counts_NPK.scatter_add_(2, index, advantages_NP[..., None].expand_as(index))
        return counts_NPK

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Distribution`: positions are independent, so all of them are open, whatever was drawn."""
        self._check_codes(draw[None])
        return self.log_probs, None

    def fixed_log_prob(self, codes: Tensor) -> Tensor | None:
        """See `Distribution`: nothing."""
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
        counted_MBP = self._counted(codes[None])
        if counted_MBP is not None:
            one_hots_BPK = one_hots_BPK * counted_MBP[0, ..., None]
        log_probs_BN = one_hots_BPK.flatten(1) @ self.log_probs.flatten(1).T
        return torch.logsumexp(log_probs_BN, dim=1) - math.log(self.batch_size)

    @torch.no_grad()
    def entropy(self) -> Tensor:
        """Entropy of each of the N distributions in nats, summed over positions, ``[N]``."""
        log_probs = self.log_probs.clamp_min(torch.finfo(self.log_probs.dtype).min)  # 0 times -inf is NaN
        return -(log_probs.exp() * log_probs).flatten(1).sum(1)

    def _gather(self, table: Tensor, codes: Tensor) -> Tensor:
        """``table[n, p, x[m, n, p]]``, ``[M, N, P]``."""
        # By flat indices: the gradient of `gather` on an expanded table would be as large as [M, N, P, K].
        offsets = torch.arange(self.batch_size * self.num_positions, device=codes.device) * self.num_categories
        offsets_NP = rearrange(offsets, "(n p) -> n p", n=self.batch_size)
        index_MNP = as_index(codes.flatten(2)) + offsets_NP
        return table.reshape(-1).take(index_MNP)

    def _counted(self, codes: Tensor) -> Tensor | None:
        """Which positions ``[M, N, P]`` count; None for all of them."""
        return None

    def _check_codes(self, codes: Tensor) -> None:
        expected: Sequence[int] = (self.batch_size, *self.event_shape)
        if list(codes.shape[1:]) != list(expected):
            raise InputError(f"codes must have shape [M, {', '.join(map(str, expected))}], got {list(codes.shape)}")
