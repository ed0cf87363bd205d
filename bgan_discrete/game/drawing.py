"""Samples of a trained generator: one draw for each latent, in batches.

Letters: N latents, Z width of a latent, M draws for each sample that is kept, B samples of a batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions import Distribution
from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Generator
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.game.scoring import at_rest


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


@torch.no_grad()
def sample_codes(
    generator: Generator,
    num_samples: int,
    seed: int | torch.Generator,
    device: torch.device,
    batch_size: int = 1000,
    draw: Callable[[Distribution, torch.Generator], Tensor] | None = None,
    labels: Tensor | None = None,
    resampler: Resampler | None = None,
) -> Tensor:
    """Draw one sample for each of ``num_samples`` latents, from a generator in eval mode.

    Args:
        generator: Maps latents to a distribution.
        num_samples: How many, >= 1.
        seed: Of the latents and the draws; or a generator of random numbers, used from its present state.
        device: Where the generator is.
        batch_size: How many at once; the samples depend on it.
        draw: Draws codes ``[B, *event_shape]`` from the generator's distribution; `Distribution.sample` if None.
        labels: Integers ``[num_samples]``, with which a conditional generator is called too; None for none.
        resampler: Keeps one of every M draws, each of a latent of its own; None keeps all.

    Returns:
        Codes ``[num_samples, *event_shape]``, on the CPU.

    Raises:
        InputError: If ``num_samples`` < 1, or draws without probabilities are to be weighed.
        NonFiniteError: If the generator's output is not finite.
    """
    check_at_least_one(num_samples=num_samples)
    rng = seed if isinstance(seed, torch.Generator) else torch.Generator(device).manual_seed(seed)
    num_draws = 1 if resampler is None else resampler.num_draws
    kept_at_once = max(batch_size // num_draws, 1)
    batches = []
    with at_rest(generator):
        for start in range(0, num_samples, kept_at_once):
            # 1. Latents and labels, always of a whole batch: the first n samples then do not depend on num_samples.
            latents = draw_latents(generator, kept_at_once * num_draws, rng)
            labels_of_draws = None
            if labels is not None:
                wanted = labels[start : start + kept_at_once]
                filled_up = wanted[torch.arange(kept_at_once, device=wanted.device) % len(wanted)]
                labels_of_draws = filled_up.repeat_interleave(num_draws).to(device)

            # 2. The distribution of the draws.
            distribution = generator(latents) if labels_of_draws is None else generator(latents, labels_of_draws)
            distribution.check_finite(type(generator).__name__)
            if resampler is not None and not distribution.has_log_prob:
                raise InputError(f"resample must be 1 for a generator of continuous grey levels, got {num_draws}")

            # 3. One draw of each latent; of num_draws of them one is kept, and of the last batch what is missing.
            codes = distribution.sample(1, rng)[0] if draw is None else draw(distribution, rng)
            if resampler is not None:
                codes = resampler(codes, labels_of_draws, rng)
            batches.append(codes[: num_samples - start].cpu())
    return torch.cat(batches)
