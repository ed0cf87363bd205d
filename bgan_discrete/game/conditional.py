"""Samples of which something is asked that does not come first: candidates in proportion to its probability.

    p(x | A) ~ q(x) w(x),   w(x) = the probability, along x, of what the condition A asks for

Where few beginnings are left open before the last thing that is asked, all of them are weighed, and the law is exact
(of few rows also where round 0 is open, whose law is estimated by `LATENTS` latents). Else each row is offered C
candidates x of q, one after the other, and accepts one with probability w(x), which is exact too. A row that accepted
none takes one of the candidates by its weight, from all those of the rows with the same condition: importance
resampling. With p the mean of w, a row of a condition of its own comes to that with probability ``(1 - p)^C``, which
bounds the total variation between the law of its sample and the exact one.

Letters: N samples, C candidates, P positions (the event shape, flattened), K categories.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bgan_discrete.distributions.asked import IMPOSSIBLE, beginning_log_prob, weighted
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Generator
from bgan_discrete.game.scoring import at_rest

CANDIDATES = 64
"""C, of a row."""

MAX_BEGINNINGS = 4096
"""That are weighed for the rows of one condition, and not more than `CANDIDATES` for each of them."""

FEW_ROWS, LATENTS = 64, 1024
"""Up to so many rows of one condition that leaves round 0 open, its law is that over so many latents."""

LOGITS_AT_ONCE = 2**24

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
        self.rows += other.rows
        self.candidates += other.candidates
        self.total_weight += other.total_weight
        self.weighted += other.weighted
        self.sample_size += other.sample_size
        self.drawn += other.drawn
        self.refused += other.refused
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
    change: Callable[[RoundsCategorical], RoundsCategorical] | None = None,
    labels: Tensor | None = None,
    num_candidates: int = CANDIDATES,
    effort: Effort | None = None,
) -> Tensor:
    """Draw samples with fixed codes, and codes of sets, at any positions.

    Args:
        generator: That draws in rounds.
        fixed: Integers ``[N, *event_shape]``, K where samples are drawn; all N are drawn at once.
        allowed: As in `bgan_discrete.distributions.asked.weighted`.
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
    device, groups = rng.device, _groups(fixed, labels)
    fixed, labels = fixed.to(device), None if labels is None else labels.to(device)

    def distribution_of(rows: Tensor) -> RoundsCategorical:
        latents = draw_latents(generator, len(rows), rng)
        made: RoundsCategorical = generator(latents) if labels is None else generator(latents, labels[rows])
        made.check_finite(type(generator).__name__)
        return made if change is None else change(made)

    with at_rest(generator):
        # 1. Rows whose beginnings can all be weighed.
        whole = distribution_of(torch.arange(len(fixed), device=device))
        few = distribution_of(torch.arange(LATENTS, device=device) % len(fixed))
        begun, is_begun = _among_all(few, fixed, allowed, labels, groups, num_candidates, rng)
        effort.rows += len(fixed)

        # 2. Candidates of all others.
        wanted = (~is_begun).nonzero()[:, 0]
        if len(wanted):
            choices = _Choices(groups, wanted, effort)
            _offer_candidates(choices, distribution_of, fixed, allowed, num_candidates, rng)
            begun[wanted] = choices.taken(rng)[wanted].to(begun)

        # 3. What comes later in the order.
        return whole.sample(1, rng, begun.to(device))[0].cpu()


def _among_all(
    distribution: RoundsCategorical,
    fixed: Tensor,
    allowed: Mapping[int, Tensor],
    labels: Tensor | None,
    groups: Tensor,
    num_candidates: int,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Beginnings of rows, ``[N, *event_shape]`` on the CPU, and for which rows they are drawn, bool ``[N]``."""
    begun, is_begun = fixed.cpu().clone(), torch.zeros(len(fixed), dtype=torch.bool)
    if not distribution.network.is_causal:
        return begun, is_begun
    device, rows_of_groups, tables, ends, with_first = fixed.device, [], [], [], False
    for group in groups.unique():
        rows = (groups == group).nonzero()[:, 0]
        limit = min(num_candidates * len(rows), MAX_BEGINNINGS)
        table, num_rounds = _beginnings(distribution, fixed[rows[0]].flatten(), allowed, limit)
        is_open = bool((fixed[rows[0]].flatten()[distribution.rounds == 0] == distribution.num_categories).any())
        if table is not None and (not is_open or len(rows) <= FEW_ROWS):
            with_first = with_first or is_open
            rows_of_groups.append(rows)
            tables.append(table)
            ends.append(torch.full((len(table),), num_rounds, device=device))
    if not tables:
        return begun, is_begun
    all_codes, all_ends = torch.cat(tables).view(-1, *distribution.event_shape), torch.cat(ends)
    all_labels = None
    if labels is not None:
        of_tables = [labels[rows[0]].expand(len(table)) for rows, table in zip(rows_of_groups, tables, strict=True)]
        all_labels = torch.cat(of_tables)
    at_once = max(LOGITS_AT_ONCE // max(fixed[0].numel() * distribution.num_categories, LATENTS), 1)
    log_q = torch.cat(
        [
            beginning_log_prob(
                distribution,
                all_codes[part],
                all_ends[part],
                None if all_labels is None else all_labels[part],
                with_first,
            )
            for part in torch.arange(len(all_codes), device=device).split(at_once)
        ]
    )
    for rows, table, log_q_M in zip(rows_of_groups, tables, log_q.split([len(table) for table in tables]), strict=True):
        if float(log_q_M.max()) < IMPOSSIBLE:
            raise InputError(_impossible(len(table), rows))
        taken = torch.multinomial(log_q_M.softmax(0), len(rows), replacement=True, generator=rng)
        begun[rows] = table[taken].view(-1, *distribution.event_shape).to(begun)
        is_begun[rows] = True
    return begun, is_begun


def _beginnings(
    distribution: RoundsCategorical, fixed: Tensor, allowed: Mapping[int, Tensor], limit: int
) -> tuple[Tensor | None, int]:
    """All codes ``[M, P]`` that a condition allows up to the last round of which something is asked, and its end.

    None where they are more than ``limit``.
    """
    is_fixed, rounds = fixed < distribution.num_categories, distribution.rounds
    is_asked = is_fixed.clone()
    is_asked[list(allowed)] = True
    num_rounds = int(rounds[is_asked].max()) + 1 if bool(is_asked.any()) else 0
    is_open = ~is_fixed & (rounds < num_rounds)
    sizes = distribution.space.sizes or (distribution.num_categories,) * len(fixed)
    places = is_open.nonzero()[:, 0].tolist()
    choices = [
        allowed[place].nonzero()[:, 0].to(fixed) if place in allowed else torch.arange(sizes[place]).to(fixed)
        for place in places
    ]
    count = math.prod(map(len, choices))
    if count > limit:
        return None, num_rounds
    codes = fixed.repeat(count, 1)
    if choices:
        codes[:, places] = torch.cartesian_prod(*choices).view(count, -1)
    return codes, num_rounds


def _impossible(count: int, rows: Tensor) -> str:
    return (
        f"given must be possible together, but the model gives it probability 0 in all of {count} candidates of sample "
        f"{int(rows[0]) + 1}"
    )


class _Choices:
    """Which candidates rows take; those of a group have one condition, and may take each other's."""

    def __init__(self, groups: Tensor, pending: Tensor, effort: Effort) -> None:
        self.groups, self.pending, self.effort = groups, pending, effort
        self.place_of = torch.full((len(groups),), -1)  # in the pool of all candidates
        self.codes: list[Tensor] = []
        self.log_w: list[Tensor] = []
        self.rows: list[Tensor] = []

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
                raise InputError(_impossible(len(pool), rows))
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


def _offer_candidates(
    choices: _Choices,
    distribution_of: Callable[[Tensor], RoundsCategorical],
    fixed: Tensor,
    allowed: Mapping[int, Tensor],
    num_candidates: int,
    rng: torch.Generator,
) -> None:
    """Draw candidates of the rows that have none yet; the last rows are offered several at once."""
    count, offered, device = len(choices.pending), 0, rng.device
    while offered < num_candidates and len(choices.pending):
        copies = max(1, min(count // len(choices.pending), num_candidates - offered))
        rows = choices.pending.repeat_interleave(copies).to(device)
        codes, log_w = weighted(distribution_of(rows), fixed[rows], allowed, rng)
        uniforms = torch.rand(len(rows), generator=rng, device=device, dtype=torch.float64)
        choices.offer(rows.cpu(), codes.cpu(), log_w.cpu(), (uniforms.log() < log_w).cpu())
        offered += copies


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
