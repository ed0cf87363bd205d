"""What is hidden from a masked network while it learns by likelihood, so that it draws in any number of rounds.

Letters: B samples, P positions.
"""

import math

import torch
from torch import Tensor

from bgan_discrete.distributions.orders import cut_sizes

OWN_ORDER_SHARE = 0.5
"""Share of the samples of which the first positions of the order are visible; of the others any may be, so that the
same network fills whatever is missing."""


def random_hiding(ranks: Tensor, num_samples: int, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Which positions are hidden, and how much the log-probability of each of them counts.

    In any order k of P positions are hidden, k uniform in 1 .. P - 1, and all count ``(P - 1)/k``: the sum is unbiased
    for the log-likelihood of P - 1 positions, one after the other in a random order, given the first. In its own order
    the first v = floor(P^u) are visible, u uniform, and the next v count, as in a cut by halves: of each number of
    visible positions the network sees as much as sampling by halves asks of it. The sum is unbiased for the
    log-probabilities of position n given the first v, over v with n/2 <= v < n.

    Args:
        ranks: int64 ``[P]``, the order of the positions, P >= 2.
        num_samples: B.
        rng: Source of all chance.

    Returns:
        Booleans ``[B, P]`` and weights ``[B, P]``, 0 where nothing is hidden; of each later position 1 on average.
    """
    num_positions, device = len(ranks), ranks.device
    column = (num_samples, 1)

    # 1. Of some samples any positions are visible, and all others count ...
    random_ranks = torch.rand(num_samples, num_positions, generator=rng, device=device).argsort(1)
    num_visible = torch.randint(1, num_positions, column, generator=rng, device=device)
    is_hidden = random_ranks >= num_visible
    weights = is_hidden * ((num_positions - 1) / (num_positions - num_visible))

    # 2. ... of the others the first ones of their own order, and those count that the next round of halves would draw.
    is_own = torch.rand(column, generator=rng, device=device) < OWN_ORDER_SHARE
    uniform = torch.rand(column, generator=rng, device=device)
    num_first = torch.exp(uniform * math.log(num_positions)).long().clamp(1, num_positions - 1)
    is_hidden = torch.where(is_own, ranks >= num_first, is_hidden)
    return is_hidden, torch.where(is_own, halving_weights(ranks, num_first), weights)


def random_first_sizes(codes: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """The size of round 0 of a random one of 1, 2, 4, ... P rounds, by halves, for each of codes ``[B, P]``.

    Args:
        codes: Of samples.
        rng: Source of all chance.

    Returns:
        int64 ``[B, 1]``.
    """
    num_samples, num_positions = codes.shape
    counts = [*(2**i for i in range(num_positions.bit_length()) if 2**i < num_positions), num_positions]
    sizes = torch.tensor([cut_sizes(num_positions, count)[0] for count in counts], device=codes.device)
    return sizes[torch.randint(len(counts), (num_samples, 1), generator=rng, device=codes.device)]


def halving_weights(ranks: Tensor, num_visible: Tensor) -> Tensor:
    """Weights of the positions that come next where the first v of an order are visible.

    Those up to the number 2 v count. With v = floor(P^u), u uniform, each position but the first weighs 1 on average.

    Args:
        ranks: int64 ``[P]``.
        num_visible: v, ``[B, 1]``.

    Returns:
        ``[B, P]``.
    """
    numbers = ranks + 1
    is_next = (numbers > num_visible) & (numbers <= 2 * num_visible)
    # A position n counts where n/2 <= v < n, with probability log_P of n over n/2, rounded up.
    ratio = numbers / ((numbers + 1) // 2)
    return torch.where(is_next, math.log(len(ranks)) / ratio.log().clamp_min(1e-6), 0.0)
