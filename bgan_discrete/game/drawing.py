"""Samples of a trained generator: one draw for each latent, in batches.

Letters: N latents, Z width of a latent, M draws for each sample that is kept, B samples of a batch.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions import Distribution
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Generator
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.game.scoring import at_rest

SMALLER_IN_ROUNDS = 10
"""By how much batches are smaller where samples are drawn in rounds on a CPU, and each round is a pass of its own."""

MOST_LOGITS = 1 << 25
"""Of a round of one position and a batch, of samples in rounds: positions of many categories have smaller batches."""


def draw_latents(generator: Generator, num_latents: int, rng: torch.Generator) -> Tensor:
    """Draw latents of a generator's kind, size and precision: float64, else torch's default.

    Args:
        generator: That will take them.
        num_latents: N.
        rng: Source of the random numbers, on the device of the latents.

    Returns:
        ``[N, Z]``.
    """
    default = torch.get_default_dtype()
    dtypes = (torch.promote_types(p.dtype, default) for p in generator.parameters() if p.is_floating_point())
    dtype = next(dtypes, default)
    return sample_latents(num_latents, generator.latent_size, generator.latent_kind, rng, rng.device).to(dtype)


def kept_of_batch(generator: Generator, num_draws: int, device: torch.device, batch_size: int) -> int:
    """How many samples are kept of a batch, which is always drawn as a whole.

    Args:
        generator: That draws; in rounds, on a CPU, a batch is smaller unless the generator draws many at little cost:
            few samples are not to cost a thousand passes.
        num_draws: For each sample that is kept.
        device: Where the generator is.
        batch_size: Samples of a batch.

    Returns:
        At least 1.
    """
    if generator.num_rounds > 1:
        if device.type == "cpu" and not generator.draws_many:
            batch_size //= SMALLER_IN_ROUNDS
        batch_size = min(batch_size, MOST_LOGITS // generator.space.num_categories)
    return max(batch_size // num_draws, 1)


@torch.no_grad()
def sample_codes(
    generator: Generator,
    num_samples: int,
    seed: int | torch.Generator,
    device: torch.device,
    batch_size: int = 1000,
    change: Callable[[Any], Any] | None = None,
    labels: Tensor | None = None,
    resampler: Resampler | None = None,
    prompt: Tensor | None = None,
    fixed: Tensor | None = None,
) -> Tensor:
    """Draw one sample for each of ``num_samples`` latents, from a generator in eval mode.

    Args:
        generator: Maps latents to a distribution.
        num_samples: How many, >= 1.
        seed: Of the latents and the draws; or a generator of random numbers, used from its present state.
        device: Where the generator is.
        batch_size: How many at once; the samples depend on it.
        change: Gives what is drawn from instead of the generator's distribution; None for that itself.
        labels: Integers ``[num_samples]``, with which a conditional generator is called too; None for none.
        resampler: Keeps one of every M draws, each of a latent of its own, or of M candidates of every round.
        prompt: Codes ``[T]`` that every sequence begins with, of an autoregressive distribution.
        fixed: Codes that samples in rounds are to have, ``[num_samples, *event_shape]``, K where they are drawn.

    Returns:
        Codes ``[num_samples, *event_shape]``, on the CPU.

    Raises:
        InputError: If ``num_samples`` < 1, draws without probabilities are to be weighed, or fixed codes do not fit.
        NonFiniteError: If the generator's output is not finite.
    """
    check_at_least_one(num_samples=num_samples)
    rng = seed if isinstance(seed, torch.Generator) else torch.Generator(device).manual_seed(seed)
    num_draws = 1 if resampler is None else resampler.num_draws
    kept_at_once = kept_of_batch(generator, num_draws, device, batch_size)
    batches = []
    with at_rest(generator):
        for start in range(0, num_samples, kept_at_once):
            # 1. Latents and labels, always of a whole batch: the first n samples then do not depend on num_samples.
            latents = draw_latents(generator, kept_at_once * num_draws, rng)
            labels_of_batch = _rows(labels, start, kept_at_once, device)
            labels_of_draws = None if labels_of_batch is None else labels_of_batch.repeat_interleave(num_draws)

            # 2. The distribution of the draws.
            distribution = generator(latents) if labels_of_draws is None else generator(latents, labels_of_draws)
            distribution.check_finite(type(generator).__name__)
            if resampler is not None and not distribution.has_log_prob:
                raise InputError(f"resample must be 1 for a generator of continuous grey levels, got {num_draws}")
            if change is not None:
                distribution = change(distribution)

            # 3. One draw of each latent; of num_draws of them one is kept, and of the last batch what is missing.
            if isinstance(distribution, RoundsCategorical):
                codes = _drawn_in_rounds(distribution, rng, resampler, _rows(fixed, start, kept_at_once, device))
            else:
                codes = _drawn(distribution, rng, resampler, labels_of_draws, prompt)
            batches.append(codes[: num_samples - start].cpu())
    return torch.cat(batches)


def _rows(values: Tensor | None, start: int, count: int, device: torch.device) -> Tensor | None:
    """Those of a whole batch, of which the last one repeats its own."""
    if values is None:
        return None
    wanted = values[start : start + count]
    return wanted[torch.arange(count, device=wanted.device) % len(wanted)].to(device)


def _drawn(
    distribution: Distribution,
    rng: torch.Generator,
    resampler: Resampler | None,
    labels: Tensor | None,
    prompt: Tensor | None,
) -> Tensor:
    sampled: Callable[..., Tensor] = distribution.sample
    codes = (sampled(1, rng) if prompt is None else sampled(1, rng, prompt=prompt))[0]
    return codes if resampler is None else resampler(codes, labels, rng)


def _drawn_in_rounds(
    distribution: RoundsCategorical, rng: torch.Generator, resampler: Resampler | None, fixed: Tensor | None
) -> Tensor:
    if resampler is not None:
        return resampler.draw_in_rounds(distribution, rng, fixed)
    return distribution.sample(1, rng, fixed)[0]
