"""Samples of which something is asked that does not come first: candidates in proportion to its probability.

    p(x | A) ~ q(x) w(x),   w(x) = the probability, along x, of what the condition A asks for

Each row is offered C candidates x of q, one after the other; one is accepted with probability w(x), which is exact. A
row that accepted none of them takes one of the candidates by its weight, from all those of the rows with the same
condition: importance resampling. With p the mean of w, a row of a condition of its own comes to that with probability
``(1 - p)^C``, which bounds the total variation between the law of its sample and the exact one.

Letters: N samples, C candidates, P positions (the event shape, flattened), K categories.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Generator
from bgan_discrete.game.scoring import at_rest

CANDIDATES = 64
"""C, of a row."""

LOW_SAMPLE_SIZE = 10
"""An effective sample size of the candidates, for each row that takes one by its weight, below which it is reported."""


@dataclass
class Effort:
    """What drawing under conditions took.

    Attributes:
        rows: Samples that were asked for.
        candidates: That were weighed for them.
        total_weight: Of all candidates, each at most 1: what is the same for all of a condition is left out.
        weighted: Rows that took one of their candidates by weight; all others are exact.
        sample_size: The effective sample size of the candidates that those rows chose from.
        drawn: Rows that were checked.
        refused: Of them, those that broke a rule.
        broken: The same by each rule; one row may break several.
    """

    rows: int = 0
    candidates: int = 0
    total_weight: float = 0.0
    weighted: int = 0
    sample_size: float = 0.0
    drawn: int = 0
    refused: int = 0
    broken: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Effort") -> None:
        """Count what another one counted too."""
        for name, value in vars(other).items():
            if name != "broken":
                setattr(self, name, getattr(self, name) + value)
        for rule, count in other.broken.items():
            self.broken[rule] = self.broken.get(rule, 0) + count

    def lines(self) -> list[str]:
        """What a user should know of it, a line each."""
        found = []
        if self.weighted and self.sample_size < LOW_SAMPLE_SIZE * self.weighted:
            found.append(
                f"given: {self.weighted:,} of {self.rows:,} rows are chosen among candidates by their weight and may "
                f"repeat; the effective sample size is {self.sample_size / self.weighted:.1f} candidates a row, since "
                f"what is given is rare for the model (mean weight {self.total_weight / self.candidates:.2g})"
            )
        if self.drawn:
            shares = ", ".join(f"{rule}: {count:,}" for rule, count in self.broken.items() if count)
            found.append(
                f"constraints: {self.refused:,} of {self.drawn:,} rows ({100 * self.refused / self.drawn:.1f} %) were "
                f"refused and drawn anew{f' ({shares})' if shares else ''}"
            )
        return found


@torch.no_grad()
def conditional_codes(
    generator: Generator,
    fixed: Tensor,
    allowed: Mapping[int, Tensor],
    rng: torch.Generator,
    *,
    change: Callable[[Any], Any] | None = None,
    labels: Tensor | None = None,
    num_candidates: int = CANDIDATES,
    effort: Effort | None = None,
) -> Tensor:
    """Draw samples with fixed codes, and codes of sets, at any positions.

    Args:
        generator: That draws in rounds.
        fixed: Integers ``[N, *event_shape]``, K where samples are drawn; all N are drawn at once.
        allowed: As in `bgan_discrete.distributions.rounds.RoundsCategorical.weighted`.
        rng: Source of the draws, on the device of the generator.
        change: See `bgan_discrete.game.drawing.sample_codes`.
        labels: Integers ``[N]``; None without classes.
        num_candidates: C, for each row that accepts none before.
        effort: Counts what it takes.

    Returns:
        Codes ``[N, *event_shape]``, on the CPU.

    Raises:
        InputError: If the codes do not fit, or the model gives all candidates of a row probability 0.
        NonFiniteError: If the generator's output is not finite.

    Source:
        Rejection and sampling importance resampling: Rubin (1987); Liu, "Monte Carlo strategies in scientific
        computing" (2001), chapter 2.
    """
    effort = Effort() if effort is None else effort
    device = rng.device
    fixed, labels = fixed.to(device), None if labels is None else labels.to(device)
    groups = _groups(fixed, labels)

    def distribution_of(rows: Tensor) -> RoundsCategorical:
        latents = draw_latents(generator, len(rows), rng)
        made = generator(latents) if labels is None else generator(latents, labels[rows])
        made.check_finite(type(generator).__name__)
        changed: RoundsCategorical = made if change is None else change(made)
        return changed

    with at_rest(generator):
        # 1. Candidates of all rows that have none yet; the last rows are offered several at once.
        choices = _Choices(groups, effort)
        offered = 0
        while offered < num_candidates and len(choices.pending):
            copies = max(1, min(len(fixed) // len(choices.pending), num_candidates - offered))
            rows = choices.pending.repeat_interleave(copies).to(device)
            codes, log_w = distribution_of(rows).weighted(fixed[rows], allowed, rng)
            uniforms = torch.rand(len(rows), generator=rng, device=device, dtype=torch.float64)
            choices.offer(rows.cpu(), codes.cpu(), log_w.cpu(), (uniforms.log() < log_w).cpu())
            offered += copies
        begun = choices.taken(rng).to(device)

        # 2. What comes later in the order.
        return distribution_of(torch.arange(len(fixed), device=device)).sample(1, rng, begun)[0].cpu()


class _Choices:
    """Which candidates rows take; those of a group have one condition, and may take each other's."""

    def __init__(self, groups: Tensor, effort: Effort) -> None:
        self.groups, self.effort = groups, effort
        self.pending = torch.arange(len(groups))
        self.place_of = torch.full((len(groups),), -1)  # in the pool of all candidates
        self.codes: list[Tensor] = []
        self.log_w: list[Tensor] = []
        self.rows: list[Tensor] = []
        effort.rows += len(groups)

    def offer(self, rows: Tensor, codes: Tensor, log_w: Tensor, is_accepted: Tensor) -> None:
        """Let pending rows take the accepted ones of their group, in their order."""
        start = sum(map(len, self.rows))
        self.codes.append(codes)
        self.log_w.append(log_w)
        self.rows.append(rows)
        self.effort.candidates += len(rows)
        self.effort.total_weight += float(log_w.exp().sum())
        accepted = is_accepted.nonzero()[:, 0]
        theirs, ours = _numbered(self.groups[rows[accepted]]), _numbered(self.groups[self.pending])
        is_given, is_served = torch.isin(theirs, ours), torch.isin(ours, theirs)
        given, served = accepted[is_given], self.pending[is_served]
        self.place_of[served[ours[is_served].argsort()]] = start + given[theirs[is_given].argsort()]
        self.pending = self.pending[~is_served]

    def taken(self, rng: torch.Generator) -> Tensor:
        """The codes of all rows; those that are pending take some by weight."""
        codes, log_w, group_of = torch.cat(self.codes), torch.cat(self.log_w), self.groups[torch.cat(self.rows)]
        of_pending = self.groups[self.pending]
        for group in of_pending.unique():
            rows, pool = self.pending[of_pending == group], (group_of == group).nonzero()[:, 0]
            log_w_C = log_w[pool]
            if not bool((log_w_C > -torch.inf).any()):
                raise InputError(
                    f"given must be possible together, but the model gives it probability 0 in all of {len(pool)} "
                    f"candidates of sample {int(rows[0]) + 1}"
                )
            weights = log_w_C.softmax(0)
            self.effort.weighted += len(rows)
            self.effort.sample_size += float(1 / weights.square().sum())
            # Evenly spaced over the summed weights, so that few are taken twice; which row takes which is random.
            shift = torch.rand(1, generator=rng, device=rng.device, dtype=torch.float64).cpu()
            order = torch.randperm(len(rows), generator=rng, device=rng.device).cpu()
            at = (torch.arange(len(rows)) + shift) / len(rows)
            found = torch.searchsorted(weights.cumsum(0) / weights.sum(), at, right=True)
            self.place_of[rows[order]] = pool[found.clamp_max(len(pool) - 1)]
        return codes[self.place_of]


def _groups(fixed: Tensor, labels: Tensor | None) -> Tensor:
    """A number for each row, the same where fixed codes and label are."""
    keys = fixed.flatten(1).long()
    keys = keys if labels is None else torch.cat([keys, labels[:, None].long()], 1)
    return torch.unique(keys, dim=0, return_inverse=True)[1].cpu()


def _numbered(groups: Tensor) -> Tensor:
    """Different numbers: those of the first, second, ... one of a group are the same in each call."""
    ordered, order = groups.sort(stable=True)
    first = torch.searchsorted(ordered, ordered)
    numbers = torch.empty_like(groups)
    numbers[order] = torch.arange(len(groups)) - first
    return groups * 2**32 + numbers
