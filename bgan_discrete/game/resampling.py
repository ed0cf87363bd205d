"""Samples nearer to the data: of several draws one is kept, by its importance weight under the discriminator.

A generator q and a discriminator's log-ratio F together say more than q alone: ``q(x) exp F(x) / beta`` is what the
generator is trained towards, and the data's distribution where F is the true log-ratio. To sample from it, draw M from
q and keep one, with probability ``exp F(x_m) / sum exp F``. This is exact as M grows; with M = 1 nothing changes.
Where samples are drawn in rounds, one of M candidates is kept after every round, by F of what is drawn so far. With a
target (`bgan_discrete.game.targets`) whole samples are weighed, by ``F + lambda r + log max(v, eps)``.

Letters: N samples that are kept, M draws for each, B any batch of samples.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, check_players
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.game.targets import Target

SCORED_AT_ONCE = 256


class Resampler:
    """Keeps one of every M draws, by their importance weights.

    Args:
        discriminator: Its `sample_log_ratio` gives ``F [B]`` of codes ``[B, *event_shape]`` and, with classes, labels
            ``[B]``. In rounds of one position its `sample_alternatives`, where it knows alternatives, are used, which
            are by the same judge. None, with a target, for an F of 0.
        num_draws: M >= 1.
        target: What samples are to be besides; None for nothing.

    Raises:
        InputError: If ``num_draws`` is below 1, or the discriminator is none and there is no target.

    Source:
        Sampling importance resampling: Rubin, "The calculation of posterior distributions by data augmentation:
        Comment" (1987); by a discriminator, as its rejection form: Azadi et al., "Discriminator rejection sampling"
        (2019). The weights are those of Hjelm et al. (2018).

    Examples:
        >>> from bgan_discrete import MLPDiscriminator, SampleSpace
        >>> resampler = Resampler(MLPDiscriminator(SampleSpace((4,), num_categories=3)), num_draws=5)
        >>> resampler(torch.zeros(10, 4, dtype=torch.uint8)).shape  # one of five draws is kept, twice
        torch.Size([2, 4])
    """

    def __init__(self, discriminator: Discriminator | None, num_draws: int, target: Target | None = None) -> None:
        check_at_least_one(num_draws=num_draws)
        check_players(discriminator=discriminator, needed=() if target is not None else ("discriminator",))
        self.discriminator, self.num_draws, self.target = discriminator, num_draws, target

    def __call__(self, codes: Tensor, labels: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Keep one of every M draws; arguments and errors as in `choose`.

        Returns:
            Codes ``[N, *event_shape]``.
        """
        chosen_draw = self.choose(codes, labels, rng)
        first_row = torch.arange(len(chosen_draw), device=codes.device) * self.num_draws
        return codes[first_row + chosen_draw]

    def choose(self, codes: Tensor, labels: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Choose.

        Args:
            codes: ``[N M, *event_shape]``: the M draws of a sample are adjacent rows.
            labels: Of the draws, ``[N M]``; None without classes.
            rng: Source of the random numbers, on the device of the codes.

        Returns:
            Which draw of each sample is kept, int64 ``[N]`` in ``[0, M)``.

        Raises:
            InputError: If the codes are not M for each sample, or F is not finite, or not one for each.
        """
        if len(codes) % self.num_draws:
            raise InputError(f"codes must be {self.num_draws} draws for each sample, got {len(codes)}")
        log_w = torch.zeros(len(codes), dtype=torch.float64, device=codes.device)
        if self.discriminator is not None:
            log_w = sample_log_ratios(self.discriminator, codes, labels)
        if self.target is not None:
            log_w = log_w + self.target.terms(codes).log_weight
        return torch.multinomial(log_w.view(-1, self.num_draws).softmax(1), 1, generator=rng)[:, 0]

    def draw_in_rounds(
        self, distribution: RoundsCategorical, rng: torch.Generator | None = None, fixed: Tensor | None = None
    ) -> Tensor:
        """Draw samples, each round of which is kept of M candidates; a round of one position is drawn exactly.

        Args:
            distribution: Of ``N M`` latents: in round 0 each candidate has its own. The rounds should be those that
                the discriminator was trained on.
            rng: Source of draws and choices.
            fixed: Codes that samples are to have, ``[*event_shape]`` or ``[N, *event_shape]``, K where they are drawn;
                None for none.

        Returns:
            Codes ``[N, *event_shape]``.

        Raises:
            InputError: If the discriminator has not learnt to read partly drawn samples, F is not finite, or the fixed
                codes do not fit.
        """
        discriminator = self.discriminator
        if discriminator is None or self.target is not None:
            if fixed is not None and fixed.ndim > len(distribution.event_shape):
                fixed = fixed.repeat_interleave(self.num_draws, 0)
            return self(distribution.sample(1, rng, fixed)[0], distribution.labels, rng)
        if distribution.num_rounds > 1 and not discriminator.partial:
            raise InputError(
                f"resample in {distribution.num_rounds} rounds needs a discriminator of partly drawn samples "
                f"(partial=True), got a {type(discriminator).__name__} of whole ones"
            )

        def choose(codes: Tensor, labels: Tensor | None) -> Tensor:
            return self.choose(codes, labels, rng)

        def tilt(codes: Tensor, labels: Tensor | None, position: int) -> Tensor:
            # Alternatives are to a code that is there, whichever it is; of a hidden position they mean nothing.
            is_there = torch.arange(codes[0].numel(), device=codes.device).view(codes.shape[1:]) == position
            codes = codes.masked_fill(is_there, 0)

            def score(codes: Tensor, labels: Tensor | None) -> Tensor:
                return discriminator.sample_alternatives(codes, labels).flatten(1, -2)[:, position]

            return _scored(discriminator, score, codes, labels)

        knows_alternatives = "alternatives" in discriminator.credits
        return distribution.resampled(choose, self.num_draws, rng, fixed, tilt if knows_alternatives else None)


def sample_log_ratios(discriminator: Discriminator, codes: Tensor, labels: Tensor | None = None) -> Tensor:
    """``F`` of samples, in eval mode, without gradients.

    Args:
        discriminator: As in `Resampler`.
        codes: ``[B, *event_shape]``.
        labels: ``[B]``; None without classes.

    Returns:
        Float64 ``[B]``.

    Raises:
        InputError: If F is inf or NaN, or not one for each sample.
    """
    log_ratio = _scored(discriminator, discriminator.sample_log_ratio, codes, labels)
    if log_ratio.shape != (len(codes),):
        raise InputError(f"discriminator must give one F for each of {len(codes)} samples, got {list(log_ratio.shape)}")
    return log_ratio


@torch.no_grad()
def _scored(
    discriminator: Discriminator, score: Callable[[Tensor, Tensor | None], Tensor], codes: Tensor, labels: Tensor | None
) -> Tensor:
    """What one of its methods gives, part by part, in float64 and finite."""
    scores = []
    with at_rest(discriminator):
        for start in range(0, len(codes), SCORED_AT_ONCE):
            rows = slice(start, start + SCORED_AT_ONCE)
            scores.append(score(codes[rows], None if labels is None else labels[rows]).double())
    found = torch.cat(scores)
    if not torch.isfinite(found).all():
        raise InputError("discriminator gives inf or NaN for a sample, so that no draw can be weighed")
    return found
