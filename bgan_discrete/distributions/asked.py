"""Samples in rounds of which something is asked: draws with the probability of what is asked, and of beginnings.

Letters: N latents, B samples, P positions (the event shape, flattened), R those of a round, K categories.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bgan_discrete.distributions.conditionals import Conditionals, log_prob_of
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.distributions.sampling import sample_categorical

IMPOSSIBLE = -1e30
"""A log-probability below this is that of a code which a position cannot have."""


@torch.no_grad()
def weighted(
    distribution: RoundsCategorical,
    fixed: Tensor,
    allowed: Mapping[int, Tensor] | None = None,
    rng: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw the rounds up to the last one of which something is asked, and weigh the draws by its probability.

        log w = sum over rounds of log q(codes asked for | all that was drawn before)

    Codes that are asked for are set as they come up, and those of a set are drawn inside it. A draw that is taken in
    proportion to ``w``, and drawn to its end by ``distribution.sample``, follows the conditional law. A masked network
    sees the fixed codes first, and draws positions with sets next, one a round.

    Args:
        distribution: That is drawn from, one sample for each of N latents.
        fixed: Integers ``[N, *event_shape]`` in ``[0, K]``: codes that samples are to have, K elsewhere.
        allowed: Number of a position in ``[0, P)`` -> bool ``[K]``, the codes that it may have where none is fixed.
        rng: Source of the draws.

    Returns:
        Codes ``[N, *event_shape]``, K in later rounds, and log weights, float64 ``[N]``, at most 0; -inf where
        something is asked for that cannot be. Factors that are the same for all draws with the same fixed codes are
        left out.

    Raises:
        InputError: If the codes do not fit.

    Source:
        Likelihood weighting: Fung and Chang (1990); Shachter and Peot (1990).
    """
    conditionals, allowed = distribution.conditionals, {} if allowed is None else allowed
    fixed_NP = conditionals.partly.read_fixed(fixed)
    if not conditionals.network.is_causal:
        first = _with_first(conditionals, list(allowed))
        return _weighted_rounds(first, fixed_NP, fixed_NP, allowed, len(allowed), rng)
    is_asked_P = (fixed_NP < distribution.num_categories).any(0)
    is_asked_P[list(allowed)] = True
    num_rounds = int(distribution.rounds[is_asked_P].max()) + 1
    blank_NP = conditionals.partly.blank(distribution.batch_size)
    return _weighted_rounds(conditionals, blank_NP, fixed_NP, allowed, num_rounds, rng)


def _with_first(conditionals: Conditionals, positions: Sequence[int]) -> Conditionals:
    """Those of drawing some positions first, one a round, and then the others in their rounds."""
    ranks = conditionals.ranks
    is_first = torch.zeros_like(ranks, dtype=torch.bool)
    is_first[list(positions)] = True
    order = torch.argsort(ranks - len(ranks) * is_first)
    left = torch.bincount(conditionals.rounds[~is_first]).tolist()
    sizes = (*[1] * len(positions), *[size for size in left if size])
    return replace(conditionals, ranks=order.argsort(), sizes=sizes)


def _weighted_rounds(
    conditionals: Conditionals,
    codes: Tensor,
    fixed: Tensor,
    allowed: Mapping[int, Tensor],
    num_rounds: int,
    rng: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """What `weighted` gives, of the first rounds; ``codes`` are those that are visible before round 0."""
    hidden = conditionals.partly.space.num_categories
    log_w_N = torch.zeros(len(codes), dtype=torch.float64, device=codes.device)
    was_hidden = codes == hidden
    is_random = torch.zeros_like(was_hidden[:, 0])  # whether something before this round was drawn
    logits_of_round = conditionals.session()
    for s, positions in enumerate(conditionals.positions[:num_rounds]):
        logits = conditionals.with_ends(logits_of_round(codes, s), codes)
        fixed_there = fixed[:, positions]
        is_fixed = fixed_there < hidden
        may_be = torch.ones(logits.shape[1:], dtype=torch.bool, device=codes.device)
        for place, position in enumerate(positions.tolist()):
            if position in allowed:
                may_be[place] = allowed[position][: logits.shape[-1]].to(codes.device)

        # 1. The probability of what is asked for; nothing of codes that were visible, which the network knew.
        log_q = torch.log_softmax(logits.double(), dim=-1)
        of_set = torch.logsumexp(log_q.masked_fill(~may_be, -math.inf), dim=-1)
        of_set = of_set.masked_fill(may_be.all(1), 0.0)
        of_code = log_q.gather(-1, (fixed_there * is_fixed)[..., None]).squeeze(-1) * was_hidden[:, positions]
        if s == 0:  # the latent, which is drawn, counts where anything of this round is, and nothing is visible
            is_random = ~is_fixed.all(1) if conditionals.network.is_causal else was_hidden.all(1)
        log_w_N += torch.where(is_fixed, of_code, of_set).sum(1) * is_random
        is_random = is_random | (~is_fixed).any(1)

        # 2. The codes: those that are fixed, and draws inside the sets.
        logits = logits.masked_fill(~may_be, torch.finfo(logits.dtype).min)
        drawn = sample_categorical(logits, 1, rng)[0].long()
        drawn = torch.minimum(drawn, conditionals.partly.largest[positions])
        codes = codes.index_copy(1, positions, torch.where(is_fixed, fixed_there, drawn))
    log_w_N = log_w_N.masked_fill(log_w_N < IMPOSSIBLE, -math.inf)
    return conditionals.partly.shown(codes), log_w_N


@torch.no_grad()
def beginning_log_prob(
    distribution: RoundsCategorical,
    codes: Tensor,
    num_rounds: Tensor,
    labels: Tensor | None = None,
    with_first: bool = True,
) -> Tensor:
    """Log-probabilities of the first rounds of samples; of a causal network.

    Args:
        distribution: Whose latents count in round 0.
        codes: Integers ``[B, *event_shape]``, in later rounds anything.
        num_rounds: int64 ``[B]``, how many rounds count.
        labels: int64 ``[B]``; None without classes.
        with_first: Whether round 0 counts, as in ``distribution.mixture_log_prob``; else what comes after is meant,
            given round 0.

    Returns:
        ``[B]``, float64.

    Raises:
        InputError: If the codes have another event shape.
    """
    conditionals, rounds = distribution.conditionals, distribution.rounds
    codes_BP = conditionals.partly.read(codes)
    is_counted = rounds < num_rounds[:, None]
    codes_BP = codes_BP.masked_fill(~is_counted, 0)
    whole = conditionals.of_samples(len(codes_BP), labels)
    logits = whole.with_ends(whole.logits(codes_BP), codes_BP, is_whole=True)
    later_B = (log_prob_of(logits.double(), codes_BP) * (is_counted & (rounds > 0))).sum(1)
    if not with_first:
        return later_B
    logits_NRK = conditionals.session()(conditionals.partly.blank(distribution.batch_size), 0)
    log_q_NRK = torch.log_softmax(logits_NRK.double(), dim=-1)
    categories = torch.arange(log_q_NRK.shape[-1], device=codes_BP.device)
    is_code = codes_BP[:, conditionals.positions[0], None] == categories
    log_q_BN = is_code.double().flatten(1) @ log_q_NRK.flatten(1).T
    if labels is not None and distribution.labels is not None:
        log_q_BN = log_q_BN.masked_fill(labels[:, None] != distribution.labels, -math.inf)
    count_B = (log_q_BN > -math.inf).sum(1)  # of the label's latents; -inf for a label that no latent has
    return later_B + torch.logsumexp(log_q_BN, dim=1) - count_B.clamp_min(1).log()
