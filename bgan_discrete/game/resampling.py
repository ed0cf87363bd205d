"""Samples nearer to the data: of several draws one is kept, by its importance weight under the discriminator.

A generator q and a discriminator's log-ratio F together say more than q alone: ``q(x) exp F(x) / beta`` is what the
generator is trained towards, and the data's distribution where F is the true log-ratio. Its samples are had by drawing
M from q and keeping one with probability ``exp F(x_m) / sum exp F``, which is exact as M grows; with M = 1 nothing
changes.
"""

import torch
from torch import Tensor

from bgan_discrete.errors import InputError, check_at_least_one
from bgan_discrete.game.players import Discriminator, check_players

SCORED_AT_ONCE = 256


class Resampler:
    """Keeps one of every M draws, by their importance weights.

    Args:
        discriminator: Its `sample_log_ratio` gives ``F [B]`` of codes ``[B, *event_shape]`` and, with classes, labels
            ``[B]``.
        num_draws: M >= 1.

    Raises:
        InputError: If ``num_draws`` is below 1, or the discriminator is none.

    Source:
        Sampling importance resampling: Rubin, "The calculation of posterior distributions by data augmentation:
        Comment" (1987); by a discriminator, as its rejection form: Azadi et al., "Discriminator rejection sampling"
        (2019). The weights are those of Hjelm et al. (2018).
    """

    def __init__(self, discriminator: Discriminator, num_draws: int) -> None:
        check_at_least_one(num_draws=num_draws)
        check_players(discriminator=discriminator)
        self.discriminator, self.num_draws = discriminator, num_draws

    def __call__(self, codes: Tensor, labels: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Choose.

        Args:
            codes: ``[N M, *event_shape]``: the M draws of a sample stand one after the other.
            labels: Of the draws, ``[N M]``; None without classes.
            rng: Source of the random numbers, on the device of the codes.

        Returns:
            Codes ``[N, *event_shape]``.

        Raises:
            InputError: If the codes are not M for each sample, or F is not finite, or not one for each.
        """
        if len(codes) % self.num_draws:
            raise InputError(f"codes must be {self.num_draws} draws for each sample, got {len(codes)}")
        log_w = sample_log_ratios(self.discriminator, codes, labels).view(-1, self.num_draws)
        chosen = torch.multinomial(log_w.softmax(1), 1, generator=rng)[:, 0]
        return codes[torch.arange(len(log_w), device=codes.device) * self.num_draws + chosen]


@torch.no_grad()
def sample_log_ratios(discriminator: Discriminator, codes: Tensor, labels: Tensor | None = None) -> Tensor:
    """``F`` of whole samples, in eval mode, without gradients.

    Args:
        discriminator: As in `Resampler`.
        codes: ``[B, *event_shape]``.
        labels: ``[B]``; None without classes.

    Returns:
        Float64 ``[B]``.

    Raises:
        InputError: If F is inf or NaN, or not one for each sample.
    """
    was_training = discriminator.training
    discriminator.eval()
    try:
        places = range(0, len(codes), SCORED_AT_ONCE)
        batches = [
            (codes[p : p + SCORED_AT_ONCE], None if labels is None else labels[p : p + SCORED_AT_ONCE]) for p in places
        ]
        parts = [discriminator.sample_log_ratio(batch, given) for batch, given in batches]
    finally:
        discriminator.train(was_training)
    found = torch.cat([part.double() for part in parts])
    if found.shape != (len(codes),):
        raise InputError(f"discriminator must give one F for each of {len(codes)} samples, got {list(found.shape)}")
    if not torch.isfinite(found).all():
        raise InputError("discriminator gives inf or NaN for a sample, so that no draw can be weighed")
    return found
