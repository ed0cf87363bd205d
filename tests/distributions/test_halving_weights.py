"""What likelihood counts of a sample's own order: every position but the first once, on average."""

import math

import pytest
import torch

from bgan_discrete.distributions.rounds import _halving_weights


@pytest.mark.parametrize("num_positions", [2, 3, 8, 13])
def test_every_later_position_counts_once_on_average(num_positions: int) -> None:
    ranks = torch.randperm(num_positions)
    num_visible = torch.arange(1, num_positions)[:, None].double()
    weights = _halving_weights(ranks, num_visible)
    # floor(P^u) is v with probability log_P((v + 1) / v).
    probabilities = torch.log1p(1 / num_visible) / math.log(num_positions)
    mean = (probabilities * weights).sum(0)
    torch.testing.assert_close(mean, (ranks > 0).double(), rtol=1e-5, atol=1e-5)
    counts = (weights > 0).sum(1)
    assert counts.tolist() == [min(v, num_positions - v) for v in range(1, num_positions)], "as many again as visible"
