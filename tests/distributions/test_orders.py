"""Orders of the positions and their cuts into rounds."""

import itertools
import math

import numpy as np
import pytest
import torch
from refusals import refusal

from bgan_discrete.distributions.orders import cut_sizes, ranks_by_information, ranks_of, round_numbers

ORDERS = ("left_to_right", "interleaved", "random", "information")
PLANES = [(4, 4), (8, 8), (5, 7), (1, 1), (2, 8), (3, 4, 4), (2, 1, 5), (28, 28)]


def drawn(ranks: torch.Tensor) -> list[int]:
    """The positions as they are drawn."""
    return ranks.argsort().tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_is_a_permutation(order: str) -> None:
    for shape in [(1,), (2,), (3,), (20,), (64,), *PLANES]:
        ranks = ranks_of(order, shape)
        assert ranks.dtype == torch.int64
        assert sorted(ranks.tolist()) == list(range(math.prod(shape)))
        assert torch.equal(ranks, ranks_of(order, shape)), "the same each time"


@pytest.mark.parametrize("shape", PLANES)
def test_coarse_to_fine_is_a_permutation_with_the_channels_of_a_pixel_in_a_row(shape: tuple[int, ...]) -> None:
    ranks = ranks_of("coarse_to_fine", shape)
    assert ranks.dtype == torch.int64
    assert sorted(ranks.tolist()) == list(range(math.prod(shape)))
    channels = math.prod(shape[:-2])
    of_plane = ranks_of("coarse_to_fine", shape[-2:])
    wanted = torch.stack([of_plane * channels + channel for channel in range(channels)])
    assert torch.equal(ranks.view(channels, -1), wanted)


def test_orders_by_hand() -> None:
    assert ranks_of("left_to_right", (2, 3)).tolist() == list(range(6))
    assert ranks_of("interleaved", (8,)).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    assert ranks_of("interleaved", (16,)).tolist() == [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]
    assert drawn(ranks_of("interleaved", (6,))) == [0, 4, 2, 1, 5, 3]
    # A corner, the middle, what is between the two, then the same at half the distance.
    grid = ranks_of("coarse_to_fine", (4, 4)).view(4, 4).tolist()
    by_rank = sorted(itertools.product(range(4), repeat=2), key=lambda pixel: grid[pixel[0]][pixel[1]])
    assert by_rank[:2] == [(0, 0), (2, 2)]
    assert set(by_rank[2:4]) == {(0, 2), (2, 0)}
    assert set(by_rank[4:8]) == {(1, 1), (1, 3), (3, 1), (3, 3)}
    assert set(by_rank[8:]) == {pixel for pixel in itertools.product(range(4), repeat=2) if sum(pixel) % 2}
    assert ranks_of("random", (20,)).tolist() != list(range(20))


@pytest.mark.parametrize("length", range(1, 41))
def test_interleaved_positions_are_at_equal_distances_before_others_are_between_them(length: int) -> None:
    order = drawn(ranks_of("interleaved", (length,)))
    for step in (1, 2, 4, 8, 16, 32):
        coarse = set(range(0, length, step))
        assert set(order[: len(coarse)]) == coarse


@pytest.mark.parametrize("side", [2, 3, 4, 6, 8, 15])
def test_planes_are_filled_grid_by_grid(side: int) -> None:
    order = [divmod(position, side) for position in drawn(ranks_of("coarse_to_fine", (side, side)))]
    for step in (1, 2, 4, 8):
        coarse = set(itertools.product(range(0, side, step), repeat=2))
        assert set(order[: len(coarse)]) == coarse
        middles = {(r, c) for r, c in itertools.product(range(step, side, 2 * step), repeat=2)}
        twice = len(set(itertools.product(range(0, side, 2 * step), repeat=2)))
        assert set(order[twice : twice + len(middles)]) == middles


def test_orders_that_are_refused() -> None:
    names = "left_to_right, interleaved, coarse_to_fine, information, random"
    assert refusal(lambda: ranks_of("up", (4, 4))) == f"order must be one of {names}, got 'up'"
    assert "order 'coarse_to_fine' needs a plane, got samples (9,): use interleaved" in refusal(
        lambda: ranks_of("coarse_to_fine", (9,))
    )


@pytest.mark.parametrize("cut", ["halving", "equal"])
def test_every_cut_gives_each_round_a_position(cut: str) -> None:
    for positions in [*range(1, 40), 100, 784]:
        for rounds in {*range(1, min(positions, 12) + 1), positions, max(positions - 1, 1), (positions + 1) // 2}:
            sizes = cut_sizes(positions, rounds, cut)
            assert len(sizes) == rounds
            assert sum(sizes) == positions
            assert min(sizes) >= 1
            assert all(type(size) is int for size in sizes)
            if cut == "equal":
                assert max(sizes) - min(sizes) <= 1
            else:
                assert list(sizes) == sorted(sizes)


def test_cuts_by_hand() -> None:
    assert cut_sizes(32, 4) == (4, 4, 8, 16)
    assert cut_sizes(32, 1) == cut_sizes(32, 1, "equal") == (32,)
    assert cut_sizes(32, 6) == (1, 1, 2, 4, 8, 16)
    assert cut_sizes(8, 4) == (1, 1, 2, 4)
    assert cut_sizes(3, 2) == (1, 2)
    assert cut_sizes(7, 3) == (2, 2, 3)
    assert cut_sizes(32, 4, "equal") == (8, 8, 8, 8)
    assert cut_sizes(32, 32) == cut_sizes(32, 32, "equal") == (1,) * 32
    for given in ([1, 2, 29], (1, 2, 29), np.array([1, 2, 29])):
        assert cut_sizes(32, 3, given) == (1, 2, 29)


@pytest.mark.parametrize("rounds", [7, 8, 12, 20, 31])
def test_more_rounds_than_halvings_grow_more_slowly(rounds: int) -> None:
    sizes = cut_sizes(32, rounds)
    assert sizes[0] == 1
    assert sizes[-1] < 16
    assert sizes[-1] > sizes[0]
    assert all(later <= 2 * earlier + 1 for earlier, later in itertools.pairwise(sizes))


def test_cuts_that_are_refused() -> None:
    for rounds in (0, 33, -1):
        found = refusal(lambda rounds=rounds: cut_sizes(32, rounds))  # type: ignore[misc]
        assert found == f"rounds must be between 1 and the 32 positions of a sample, got {rounds}"
    wanted = "cut must be 3 sizes of at least 1 that sum to the 32 positions of a sample, got "
    for sizes in ([1, 2, 30], [1, 31], [0, 1, 31], [-1, 1, 32], [8, 8, 8, 8]):
        found = refusal(lambda sizes=sizes: cut_sizes(32, 3, sizes))  # type: ignore[misc]
        assert found == wanted + ", ".join(map(str, sizes))
    found = refusal(lambda: cut_sizes(32, 3, "thirds"))
    assert found == "cut must be 'halving', 'equal' or sizes such as 4,4,8,16, got 'thirds'"


def test_the_round_of_each_position() -> None:
    ranks = torch.tensor([5, 0, 3, 1, 4, 2])
    assert round_numbers(ranks, (1, 2, 3)).tolist() == [2, 0, 2, 1, 2, 1]
    assert round_numbers(ranks, (6,)).tolist() == [0] * 6
    assert torch.equal(round_numbers(ranks, (1,) * 6), ranks)
    for positions in (5, 8, 13):
        for rounds in range(1, positions + 1):
            sizes = cut_sizes(positions, rounds)
            numbers = round_numbers(ranks_of("random", (positions,)), sizes)
            assert torch.bincount(numbers).tolist() == list(sizes)


# By mutual information.


def changed(codes: np.ndarray, share: float, categories: int, rng: np.random.Generator) -> np.ndarray:
    """The same column with a share of its codes drawn anew."""
    return np.where(rng.random(len(codes)) < share, rng.integers(0, categories, len(codes)), codes)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_columns_follow_those_that_tell_most_of_them(as_tensor: bool) -> None:
    # A tree: 3 knows most of all others; 0 and 4 hang on it, 1 on 0; 2 is alone.
    rng = np.random.default_rng(0)
    middle = rng.integers(0, 4, 4000)
    near, other = changed(middle, 0.1, 4, rng), changed(middle, 0.4, 4, rng)
    far = changed(near, 0.25, 4, rng)
    codes = np.stack([near, far, rng.integers(0, 4, 4000), middle, other], axis=1).astype(np.uint8)
    ranks = ranks_by_information(torch.from_numpy(codes) if as_tensor else codes, 4)
    assert ranks.dtype == torch.int64
    assert drawn(ranks) == [0, 3, 1, 4, 2], "the near one shares much with two"


def test_many_categories_do_not_look_like_information() -> None:
    rng = np.random.default_rng(1)
    coin = rng.integers(0, 2, 300)
    wide = [rng.integers(0, 8, 300) for _ in range(2)]
    codes = np.stack([*wide, coin, changed(coin, 0.65, 2, rng)], axis=1)
    assert set(drawn(ranks_by_information(codes, 8))[:2]) == {2, 3}
    only = codes[:, 2:]
    assert sorted(ranks_by_information(only, 2).tolist()) == [0, 1]
    assert ranks_by_information(codes[:, :1], 8).tolist() == [0]


def test_rows_are_taken_evenly() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 2, (1000, 4))
    taken = np.linspace(0, 999, 50).astype(int)
    codes[:, 3] = codes[:, 2]
    codes[taken, 3] = rng.integers(0, 2, 50)
    codes[taken, 1] = codes[taken, 0]
    assert set(drawn(ranks_by_information(codes, 2, rows=50))[:2]) == {0, 1}
    assert set(drawn(ranks_by_information(codes, 2))[:2]) == {2, 3}


def test_samples_with_several_axes_are_flattened() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, (500, 2, 2))
    codes[:, 1, 1] = codes[:, 0, 1]
    assert set(drawn(ranks_by_information(codes, 3))[:2]) == {1, 3}


def test_the_next_column_shares_most_with_a_single_one_that_is_there() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 2, (2, 4000))
    noisy = np.where(rng.random(4000) < 0.05, 1 - one, one)
    # The third tells of the first alone as much as can be; the fourth of the first and the second, of each less.
    codes = np.stack([2 * one + two, one, two, noisy], axis=1)
    assert ranks_by_information(codes, 4).tolist() == [0, 1, 2, 3]
    assert ranks_by_information(codes[:, [3, 2, 1, 0]], 4).tolist()[3] == 0, "the one that tells most comes first"


def test_many_categories_in_few_rows_do_not_look_like_information() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 2, 2000)
    noisy = np.where(rng.random(2000) < 0.3, 1 - one, one)
    codes = np.stack([rng.integers(0, 30, 2000), one, noisy, rng.integers(0, 30, 2000)], axis=1)
    assert sorted(ranks_by_information(codes, 30)[[1, 2]].tolist()) == [0, 1]
