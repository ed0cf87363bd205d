"""What a network says of the positions of partly drawn samples, given what is visible of them.

Logits are in float32 at least, ``[B, P, K]``, or those of a round's positions ``[B, R, K]``.

Letters: N latents, M draws, B samples, S rounds, P positions (the event shape, flattened), R those of a round,
K categories.
"""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bgan_discrete.distributions.autoregressive import Precision
from bgan_discrete.distributions.orders import round_numbers
from bgan_discrete.distributions.partly_drawn import PartlyDrawn
from bgan_discrete.distributions.protocol import RoundSession, RoundsNetwork, check_logits
from bgan_discrete.distributions.sampling import sharpen


@dataclass(frozen=True, eq=False)
class Conditionals:
    """The conditionals of samples that are drawn in rounds, for each of N latents.

    Attributes:
        network: Computes the logits.
        latents: ``[N, Z]``.
        labels: int64 ``[N]``; None without classes.
        partly: The forms of the samples.
        ranks: int64 ``[P]``, the order of the positions.
        sizes: Positions of each round.
        sharpening: Temperature, top_k and top_p.
        precision: In which the network runs: that in which its generator was called.
        checked_as: Whose logits are refused where they are not finite; None to take all.
    """

    network: RoundsNetwork
    latents: Tensor
    labels: Tensor | None
    partly: PartlyDrawn
    ranks: Tensor
    sizes: tuple[int, ...]
    sharpening: tuple[float, int | None, float | None]
    precision: Precision
    checked_as: str | None = None

    # Other latents of the same network.

    def repeated(self, num_draws: int) -> "Conditionals":
        """M draws of each latent as M N latents."""
        labels = None if self.labels is None else self.labels.repeat(num_draws)
        return replace(self, latents=self.latents.repeat(num_draws, 1), labels=labels) if num_draws > 1 else self

    def rows(self, rows: Tensor) -> "Conditionals":
        """Some of the latents."""
        return replace(self, latents=self.latents[rows], labels=None if self.labels is None else self.labels[rows])

    def of_samples(self, count: int, labels: Tensor | None) -> "Conditionals":
        """For samples of which something is visible, so that their latents do not count."""
        return replace(self, latents=self.latents[:1].expand(count, -1), labels=labels)

    # Which position is drawn when.

    @functools.cached_property
    def rounds(self) -> Tensor:
        """The round of each position, int64 ``[P]``."""
        return round_numbers(self.ranks, self.sizes)

    @functools.cached_property
    def positions(self) -> tuple[Tensor, ...]:
        """The positions of each round, S times int64 ``[R]``."""
        return torch.argsort(self.rounds, stable=True).split(list(self.sizes))

    @functools.cached_property
    def _fewest(self) -> list[int]:
        """The smallest number of categories among the positions of each round."""
        space = self.partly.space
        sizes = space.sizes or (space.num_categories,) * space.num_positions
        return [min(sizes[p] for p in positions.tolist()) for positions in self.positions]

    @functools.cached_property
    def _end_id(self) -> int | None:
        """The category after which padding is certain: of samples that are drawn from left to right."""
        is_from_left = bool((self.ranks[1:] > self.ranks[:-1]).all())
        return self.partly.space.end_id if is_from_left else None

    # Logits.

    def session(self) -> RoundSession:
        """Logits of each round in turn, by what the network remembers of those before."""
        with self.precision.autocast():
            session = self.network.session(self.latents, self.labels, self.rounds)

        def logits_of_round(codes: Tensor, s: int) -> Tensor:
            with self.precision.autocast():
                logits = session(codes, s)
            return self._checked(logits, s)

        return logits_of_round

    def first_logits(self) -> Tensor:
        """Of the positions of round 0, for each latent."""
        with self.precision.autocast():
            logits = self.network.first_logits(self.latents, self.labels, self.rounds)
        return self._checked(logits, 0)

    def logits(self, codes: Tensor, s: int | None = None) -> Tensor:
        """Of the positions of round s, or of all positions, of codes ``[N, P]``."""
        positions = None if s is None else self.positions[s]
        with self.precision.autocast():
            logits = self.network.logits(codes, self.latents, self.labels, self.rounds, positions)
        return self._checked(logits, s)

    def _checked(self, logits: Tensor, s: int | None) -> Tensor:
        """Finite if that is asked for, nothing where a position has no such code, and sharpened."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.checked_as is not None:
            check_logits(logits, self.checked_as)
        if self.partly.space.sizes is not None and (s is None or logits.shape[-1] > self._fewest[s]):
            largest = self.partly.largest if s is None else self.partly.largest[self.positions[s]]
            categories = torch.arange(logits.shape[-1], device=logits.device)
            logits = logits.masked_fill(categories > largest[:, None], torch.finfo(logits.dtype).min / 2)
        return sharpen(logits, *self.sharpening) if self.sharpening != (1.0, None, None) else logits

    def with_ends(self, logits: Tensor, codes: Tensor, is_whole: bool = False) -> Tensor:
        """Padding with certainty after a visible end, for samples that are drawn from left to right.

        Args:
            logits: Of codes.
            codes: ``[N, P]``, of which all that is visible comes before the positions of the logits.
            is_whole: Whether all rounds of the codes are visible instead, and the logits are those of all positions.

        Returns:
            Logits of the same shape.
        """
        if self._end_id is None:
            return logits
        is_end = (codes == self._end_id).to(logits.dtype)
        if is_whole:
            has_ended = is_end @ (self.rounds[:, None] < self.rounds).to(logits.dtype)
        else:
            has_ended = is_end.sum(1, keepdim=True)
        is_other = torch.arange(self.partly.space.num_categories, device=logits.device) != self._end_id
        padding = torch.zeros_like(logits[0, 0]).masked_fill(is_other, torch.finfo(logits.dtype).min / 2)
        return torch.where((has_ended > 0)[..., None], padding, logits)

    # Log-probabilities.

    def log_probs(self, shown: Tensor, codes: Tensor, is_whole: bool = False) -> Tensor:
        """Of each position's code, ``[N, P]``, given what is shown; where that is the whole, padding follows an end."""
        if not self.network.is_ragged or self._end_id is not None or self.sharpening != (1.0, None, None):
            logits = self.logits(shown)
            return log_prob_of(self.with_ends(logits, codes, is_whole=True) if is_whole else logits, codes)
        with self.precision.autocast():
            log_probs = self.network.log_probs(shown, codes, self.latents, self.labels, self.rounds)
        if self.checked_as is not None:
            check_logits(log_probs, self.checked_as)
        return log_probs

    def log_prob_from(self, codes: Tensor, first: int) -> Tensor:
        """Of all rounds of codes ``[N, P]`` from the first one on, given those before it, ``[N]``."""
        if self.network.is_causal:
            return (self.log_probs(codes, codes, is_whole=True) * (self.rounds >= first)).sum(1)
        total = torch.zeros(len(codes), device=codes.device)
        for s in range(first, len(self.sizes)):
            visible = codes.masked_fill(self.rounds >= s, self.partly.space.num_categories)
            logits = self.with_ends(self.logits(visible, s), visible)
            total = total + log_prob_of(logits, codes[:, self.positions[s]]).sum(1)
        return total


def log_prob_of(logits: Tensor, codes: Tensor) -> Tensor:
    """``log softmax(logits)[code]`` of codes ``[B, R]`` under logits ``[B, R, K]``."""
    return torch.log_softmax(logits, dim=-1).gather(-1, codes[..., None]).squeeze(-1)  # quicker than by logsumexp
