"""Sequences drawn one code after the other, given a latent.

    g(x | z) = prod_t g(x_t | x_1 .. x_t-1, z)

A decoder computes the logits; the distribution draws, masks and weighs.

Letters: N latents, M draws, L positions, K categories, Z width of a latent, B = M * N sequences.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.endings import counted_positions
from bgan_discrete.distributions.protocol import Distribution, check_advantages, check_end_id, check_logits
from bgan_discrete.distributions.sampling import as_index, check_sharpening, code_dtype, sample_categorical, sharpen
from bgan_discrete.distributions.vocabulary import linear_log_prob
from bgan_discrete.errors import InputError

State = Any


class Decoder(Protocol):
    """The network of an autoregressive generator."""

    def logits(self, codes: Tensor, latents: Tensor) -> Tensor:
        """All logits of given sequences at once: ``[B, L, K]`` of codes ``[B, L]`` and latents ``[B, Z]``.

        Those of position t depend on the codes before t only.
        """

    def start(self, latents: Tensor, length: int) -> State:
        """What is remembered before the first code, for latents ``[B, Z]`` and sequences of up to ``length`` codes."""

    def step(self, previous: Tensor | None, state: State) -> tuple[Tensor, State]:
        """One step of drawing, without gradients.

        Args:
            previous: Codes ``[B]`` of the position before; None at the start.
            state: What `start` or the step before gave.

        Returns:
            Logits ``[B, K]`` of the next position, and the state after it.
        """


@dataclass(frozen=True)
class Precision:
    """The precision that autocast gives to the networks at some moment.

    Attributes:
        device_type: Of the tensors.
        dtype: Of the products, or None where autocast is off.
    """

    device_type: str
    dtype: torch.dtype | None

    @classmethod
    def current(cls, device: torch.device) -> "Precision":
        """What holds now, for tensors on a device."""
        enabled = torch.is_autocast_enabled(device.type)
        return cls(device.type, torch.get_autocast_dtype(device.type) if enabled else None)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which it holds again."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device_type, self.dtype)


@runtime_checkable
class LinearDecoder(Decoder, Protocol):
    """A `Decoder` whose logits are a linear layer of features: no ``[M, N, L, K]`` tensor is needed."""

    to_logits: nn.Linear
    """With a bias."""

    def features(self, codes: Tensor, latents: Tensor) -> Tensor:
        """``[B, L, W]`` of codes ``[B, L]`` and latents ``[B, Z]``; ``logits`` is ``to_logits`` of them."""


class AutoregressiveCategorical(Distribution):
    """A distribution over sequences for each of N latents, each position conditioned on those before it.

    Args:
        decoder: The network.
        latents: ``[N, Z]``.
        length: L, the most codes of a sequence.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        temperature: See `bgan_discrete.distributions.sampling.sharpen`; it shapes draws and log-probabilities alike.
        top_k: Likewise.
        top_p: Likewise.
    """

    def __init__(
        self,
        decoder: Decoder,
        latents: Tensor,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> None:
        code_dtype(num_categories)
        check_sharpening(temperature, top_k, top_p)
        self.decoder = decoder
        self.latents = latents
        self.length = length
        self.end_id = check_end_id(end_id, num_categories)
        self._num_categories = num_categories
        self._sharpening = (temperature, top_k, top_p)
        self._checked_as: str | None = None
        """Whose logits are to be checked as they are drawn from; None for no check, which halts an accelerator."""
        # The network runs when the distribution is used: then in the precision in which its generator was called.
        self._precision = Precision.current(latents.device)

    @property
    def batch_size(self) -> int:
        """N, the number of latents."""
        return self.latents.shape[0]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """``(L,)``."""
        return (self.length,)

    @property
    def num_categories(self) -> int:
        """K, the number of categories of each position."""
        return self._num_categories

    def sharpened(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> "AutoregressiveCategorical":
        """The distribution whose every conditional is changed, as in `bgan_discrete.distributions.sampling.sharpen`."""
        changed = AutoregressiveCategorical(
            self.decoder, self.latents, self.length, self.num_categories, self.end_id, temperature, top_k, top_p
        )
        changed._checked_as = self._checked_as
        changed._precision = self._precision
        return changed

    def check_finite(self, who: str = "generator") -> None:
        """Check the logits of all later draws; see `Distribution`."""
        self._checked_as = who

    @torch.no_grad()
    def sample(self, num_draws: int, rng: torch.Generator | None = None, prompt: Tensor | None = None) -> Tensor:
        """Draw sequences, all of them in one batch, without gradients.

        Args:
            num_draws: M >= 1.
            rng: Source of the random numbers; torch's global one if None.
            prompt: Codes ``[T]``, T <= L, that every sequence begins with; without an end among them.

        Returns:
            Codes ``[M, N, L]`` in their canonical form, of the smallest integer dtype that holds K.

        Raises:
            InputError: If ``num_draws`` < 1 or the prompt does not fit.
        """
        check_at_least_one(num_draws=num_draws)
        prompt_codes = self._checked_prompt(prompt)

        # 1. M sequences of each latent in one batch, all padding so far.
        latents_BZ = repeat(self.latents, "n z -> (m n) z", m=num_draws)
        num_sequences, device = len(latents_BZ), latents_BZ.device
        padding = 0 if self.end_id is None else self.end_id
        dtype = code_dtype(self.num_categories)
        codes_BL = torch.full((num_sequences, self.length), padding, dtype=dtype, device=device)
        has_ended = torch.zeros(num_sequences, dtype=torch.bool, device=device)

        with self._precision.autocast():
            state, previous = self.decoder.start(latents_BZ, self.length), None
        for position in range(self.length):
            # 2. The logits of this position, given the codes before it.
            with self._precision.autocast():
                logits_BK, state = self.decoder.step(previous, state)
            if self._checked_as is not None:
                check_logits(logits_BK, self._checked_as)

            # 3. The prompt's code, or a draw; after the end nothing but padding.
            if position < len(prompt_codes):
                drawn = prompt_codes[position].expand(num_sequences)
            else:
                drawn = sample_categorical(self._sharpen(logits_BK.float()), 1, rng)[0]
            if self.end_id is not None:
                drawn = drawn.masked_fill(has_ended, self.end_id)
                has_ended = has_ended | (drawn == self.end_id)
            codes_BL[:, position] = drawn
            previous = drawn
            if self.end_id is not None and stops_early(device) and bool(has_ended.all()):
                break
        return rearrange(codes_BL, "(m n) l -> m n l", m=num_draws)

    def position_log_prob(self, codes: Tensor) -> Tensor:
        """``log g(x_t | x_1 .. x_t-1, z)`` of each position; 0 on the padding.

        Args:
            codes: Integers ``[M, N, L]``.

        Returns:
            ``[M, N, L]``.

        Raises:
            InputError: If the codes have another length or batch size, or are not integers.
        """
        if list(codes.shape[1:]) != [self.batch_size, self.length]:
            expected = f"[M, {self.batch_size}, {self.length}]"
            raise InputError(f"codes must have shape {expected}, got {list(codes.shape)}")
        codes_BL = rearrange(as_index(codes), "m n l -> (m n) l")
        latents_BZ = repeat(self.latents, "n z -> (m n) z", m=codes.shape[0])
        decoder = self.decoder
        if isinstance(decoder, LinearDecoder) and _is_plain(decoder.to_logits) and not self._is_sharpened:
            with self._precision.autocast():
                features = rearrange(decoder.features(codes_BL, latents_BZ), "b l w -> (b l) w")
                layer = decoder.to_logits
                log_prob = linear_log_prob(features, layer.weight, layer.bias, codes_BL.flatten())
                log_prob_BL = log_prob.view(codes_BL.shape)
        else:
            logits_BLK = self._logits(codes_BL, latents_BZ)
            chosen_BL = logits_BLK.gather(-1, codes_BL[..., None]).squeeze(-1)
            log_prob_BL = chosen_BL - torch.logsumexp(logits_BLK, dim=-1)
        log_prob_BL = log_prob_BL.masked_fill(~counted_positions(codes_BL, self.end_id), 0.0)
        return rearrange(log_prob_BL, "(m n) l -> m n l", m=codes.shape[0])

    def log_prob(self, codes: Tensor) -> Tensor:
        """``log g(x_m | z_n)``, ``[M, N]``; arguments and errors as in `position_log_prob`."""
        return self.position_log_prob(codes).sum(-1)

    def weighted_log_prob(self, codes: Tensor, advantages: Tensor, zero_sum: bool = False) -> Tensor:
        """``sum_m a[m, n] log g(x_m | z_n)``, ``[N]``: the policy-gradient surrogate.

        Args:
            codes: Integers ``[M, N, L]``.
            advantages: ``[M, N]``, or ``[M, N, L]`` with one for each position; no gradient flows through them.
            zero_sum: Of no use here, because each draw has logits of its own.

        Returns:
            ``[N]``, differentiable with respect to the decoder's parameters.

        Raises:
            InputError: If the shapes do not fit.
        """
        check_advantages(codes, advantages)
        advantages_MNL = advantages if advantages.ndim == 3 else advantages[..., None]
        log_prob_MNL = self.position_log_prob(codes)
        return (advantages_MNL.detach().to(log_prob_MNL.dtype) * log_prob_MNL).sum((0, 2))

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `bgan_discrete.distributions.Distribution`: what could follow each prefix of a draw."""
        if list(draw.shape) != [self.batch_size, self.length]:
            raise InputError(f"draw must have shape {[self.batch_size, self.length]}, got {list(draw.shape)}")
        counted = None if self.end_id is None else counted_positions(draw, self.end_id)
        logits_NLK = self._logits(as_index(draw), self.latents)
        return torch.log_softmax(logits_NLK, dim=-1), counted

    def fixed_log_prob(self, codes: Tensor) -> Tensor | None:
        """See `bgan_discrete.distributions.Distribution`: nothing."""
        return None

    def _logits(self, codes_BL: Tensor, latents_BZ: Tensor) -> Tensor:
        with self._precision.autocast():
            logits_BLK = self.decoder.logits(codes_BL, latents_BZ)
        return self._sharpen(logits_BLK if logits_BLK.dtype == torch.float64 else logits_BLK.float())

    def _sharpen(self, logits: Tensor) -> Tensor:
        return sharpen(logits, *self._sharpening) if self._is_sharpened else logits

    @property
    def _is_sharpened(self) -> bool:
        return self._sharpening != (1.0, None, None)

    def _checked_prompt(self, prompt: Tensor | None) -> Tensor:
        if prompt is None:
            return torch.empty(0, dtype=code_dtype(self.num_categories), device=self.latents.device)
        if prompt.ndim != 1 or len(prompt) > self.length:
            raise InputError(
                f"prompt must be codes [T] with T <= {self.length}, the model's length; got {list(prompt.shape)}"
            )
        index = as_index(prompt)
        if len(index) and not (int(index.min()) >= 0 and int(index.max()) < self.num_categories):
            raise InputError(f"prompt must hold codes in [0, {self.num_categories}), got {index.tolist()}")
        if self.end_id is not None and bool((index == self.end_id).any()):
            raise InputError(f"prompt must not hold the end of a sequence, {self.end_id}")
        return prompt.to(self.latents.device, code_dtype(self.num_categories))


def stops_early(device: torch.device) -> bool:
    """Whether drawing stops once all sequences have ended: asking is free on a CPU, but stops an accelerator."""
    return device.type == "cpu"


def _is_plain(layer: nn.Module) -> bool:
    """Exactly `torch.nn.Linear`: a subclass, or a parametrised layer, may compute something else."""
    return type(layer) is nn.Linear and layer.bias is not None
