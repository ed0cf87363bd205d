"""What is hidden while a masked network learns: every later position counts once on average, however it is hidden."""

import math

import pytest
import torch

from bgan_discrete.distributions import hiding
from bgan_discrete.distributions.hiding import halving_weights, random_first_sizes, random_hiding
from bgan_discrete.distributions.orders import ranks_of


@pytest.mark.parametrize("num_positions", [2, 3, 8, 13])
def test_in_its_own_order_every_later_position_counts_once_on_average(num_positions: int) -> None:
    ranks = torch.randperm(num_positions)
    num_visible = torch.arange(1, num_positions)[:, None].double()
    weights = halving_weights(ranks, num_visible)
    # floor(P^u) is v with probability log_P((v + 1) / v).
    probabilities = torch.log1p(1 / num_visible) / math.log(num_positions)
    mean = (probabilities * weights).sum(0)
    torch.testing.assert_close(mean, (ranks > 0).double(), rtol=1e-5, atol=1e-5)
    counts = (weights > 0).sum(1)
    assert counts.tolist() == [min(v, num_positions - v) for v in range(1, num_positions)], "as many again as visible"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_counts_is_hidden_and_what_comes_next_in_the_order(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "OWN_ORDER_SHARE", share)
    ranks = ranks_of("interleaved", (8,))
    is_hidden, weights = random_hiding(ranks, 4000, torch.Generator().manual_seed(0))
    num_hidden = is_hidden.sum(1)
    assert num_hidden.min() == 1 and num_hidden.max() == 7
    assert not weights[~is_hidden].any()
    if share:
        visible_ranks = torch.where(is_hidden, -1, ranks).amax(1)
        assert (visible_ranks == 7 - num_hidden).all(), "the first ones of the order are visible"
        wanted = halving_weights(ranks, 8 - num_hidden[:, None])
        # Drawn as floor(8^u): 1 visible position is as likely as 2 or 3, or 4 to 7.
        shares = torch.stack([(num_hidden > 8 - 2 ** (i + 1)).float().mean() for i in range(3)])
        assert torch.allclose(shares, torch.tensor([1, 2, 3]) / 3, atol=0.04)
    else:
        wanted = is_hidden * 7 / num_hidden[:, None]
        assert len(torch.unique(is_hidden, dim=0)) == 2**8 - 2, "any may be visible"
        shares = torch.stack([(num_hidden == k).float().mean() for k in range(1, 8)])
        assert torch.allclose(shares, torch.full((7,), 1 / 7), atol=0.03), "as often one as seven"
    assert torch.allclose(weights, wanted)


def test_half_of_the_samples_are_of_each_way() -> None:
    ranks = torch.arange(16)
    is_hidden, _ = random_hiding(ranks, 4000, torch.Generator().manual_seed(0))
    is_own = (is_hidden.int().diff(dim=1) >= 0).all(1)
    assert 0.5 < is_own.float().mean() < 0.65


def test_the_first_round_is_that_of_any_number_of_rounds() -> None:
    sizes = random_first_sizes(torch.zeros(3000, 12), torch.Generator().manual_seed(0))
    found, counts = torch.unique(sizes, return_counts=True)
    assert found.tolist() == [1, 6, 12]  # of 12, 8 and 4, of 2, and of 1 rounds
    assert sizes.shape == (3000, 1) and counts.min() > 400
    # Of 8 positions in 8 and 4, in 2, and in 1 rounds: a number that is a power of two counts once.
    found, counts = torch.unique(
        random_first_sizes(torch.zeros(3000, 8), torch.Generator().manual_seed(0)), return_counts=True
    )
    assert found.tolist() == [1, 4, 8] and 1350 < counts[0] < 1650
