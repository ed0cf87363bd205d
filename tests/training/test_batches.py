"""The order of the batches."""

import numpy as np
import pytest

from bgan_discrete.errors import InputError
from bgan_discrete.training.batches import BatchOrder


@pytest.mark.parametrize(("num_samples", "batch_size"), [(10, 3), (12, 4), (7, 7), (3, 8), (1, 1), (5, 1)])
def test_every_row_is_drawn_once_an_epoch(num_samples: int, batch_size: int) -> None:
    order = BatchOrder(num_samples, batch_size, seed=0)
    drawn = np.concatenate([order.indices(count) for count in range(4 * num_samples)])
    assert all(len(order.indices(count)) == batch_size for count in range(5))
    for epoch in range(len(drawn) // num_samples):
        rows = drawn[epoch * num_samples : (epoch + 1) * num_samples]
        assert sorted(rows.tolist()) == list(range(num_samples))


def test_a_batch_is_a_function_of_its_number_alone() -> None:
    forward, other = BatchOrder(50, 8, seed=3), BatchOrder(50, 8, seed=3)
    expected = [forward.indices(count).copy() for count in range(40)]
    for count in (39, 0, 17, 17, 5):
        for order in (other, BatchOrder(50, 8, seed=3)):
            assert np.array_equal(order.indices(count), expected[count])


def test_epochs_and_seeds_differ() -> None:
    order = BatchOrder(1000, 1000, seed=0)
    assert not np.array_equal(order.indices(0), order.indices(1))
    assert not np.array_equal(order.indices(0), BatchOrder(1000, 1000, seed=1).indices(0))
    # Neighbouring (seed, epoch) pairs must not be shifted copies of each other.
    assert not np.array_equal(order.indices(1), BatchOrder(1000, 1000, seed=1).indices(0))


def test_rows_are_shuffled_evenly() -> None:
    first = [BatchOrder(5, 1, seed).indices(0)[0] for seed in range(1000)]
    counts = np.bincount(first, minlength=5)
    assert ((counts - 200) ** 2 / 200).sum() < 18.5, "chi-square with 4 degrees of freedom at 0.001"


def test_the_current_permutation_is_kept() -> None:
    order = BatchOrder(1000, 300, seed=0)
    order.indices(4)
    kept = order._permutation
    order.indices(5)
    assert order._permutation is kept


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0, 1, 0), "num_samples"),
        ((1.5, 1, 0), "num_samples"),
        ((1, 0, 0), "batch_size"),
        ((1, True, 0), "batch_size"),
        ((1, 1, -1), "seed"),
        ((1, 1, 2**63), "seed"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: tuple[int, int, int], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} must be an integer") as caught:
        BatchOrder(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [-1, 0.0])
def test_a_batch_has_a_number_from_zero_on(count: int) -> None:
    with pytest.raises(InputError, match=r"^count must be an integer of at least 0"):
        BatchOrder(1, 1, 0).indices(count)
