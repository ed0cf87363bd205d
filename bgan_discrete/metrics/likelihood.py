"""The likelihood of held-out data under generators that draw in rounds."""

import numpy as np
import torch

from bgan_discrete.distributions.sampling import all_binary_latents, sample_latents
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.metrics.figure import Figure
from bgan_discrete.metrics.marginals import log_frequencies
from bgan_discrete.nn.rounds import RoundsGenerator, cut_in_other_rounds

MAX_ROWS = 500
"""Held-out samples whose likelihood is taken, evenly spaced."""

MAX_LATENTS = 512
"""Latents of the mixture in round 0; where there are no more, as of 9 binary numbers, the figure is exact."""

AT_ONCE = 100


@torch.no_grad()
def likelihood_figure(
    generator: RoundsGenerator, training: np.ndarray, heldout: np.ndarray, rounds: int | None = None
) -> Figure:
    """Nats of a held-out sample, next to those of independent positions.

    Args:
        generator: Without classes.
        training: Codes ``[S, *event_shape]``, whose frequencies are the baseline.
        heldout: Codes ``[S', *event_shape]``.
        rounds: In which samples are drawn; None for the generator's own.

    Returns:
        The figure. With other latents than few binary ones it is an upper bound.
    """
    device = next(generator.parameters()).device
    rows = np.linspace(0, len(heldout) - 1, min(len(heldout), MAX_ROWS)).astype(np.int64)
    codes = torch.from_numpy(np.ascontiguousarray(heldout[rows])).to(device)
    is_exact = generator.latent_kind == "binary" and 2**generator.latent_size <= MAX_LATENTS
    rng = torch.Generator().manual_seed(0)
    latents = (
        all_binary_latents(generator.latent_size)
        if is_exact
        else sample_latents(MAX_LATENTS, generator.latent_size, generator.latent_kind, rng)
    )
    with at_rest(generator):
        distribution = generator(latents.to(device))
        if rounds is not None and rounds != generator.num_rounds:
            distribution = distribution.in_rounds(rounds, cut_in_other_rounds(generator))
        log_prob = torch.cat([distribution.mixture_log_prob(some) for some in codes.split(AT_ONCE)])
    independent = torch.from_numpy(log_frequencies(training, generator.space.num_categories)).flatten(0, -2)
    of_codes = independent.gather(1, codes.cpu().flatten(1).long().T).sum(0)
    title = "held-out nats a sample" + ("" if is_exact else ", at most")
    baselines = {"independent": -float(of_codes.mean())}
    return Figure(title, -float(log_prob.mean()), "lower", baselines=baselines, count=len(codes))
