"""Boosted trees as a judge: what they see, and what they cannot."""

import numpy as np
import pytest

from bgan_discrete.errors import InputError
from bgan_discrete.metrics.trees import boosted_tree_auc


def dependent(count: int, seed: int, noise: float = 0.2) -> np.ndarray:
    """Three columns, the last a function of the other two with some noise."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, (2, count))
    return np.stack([a, b, np.where(rng.random(count) < noise, rng.integers(0, 4, count), (a + b) % 4)], axis=1)


def test_rows_of_one_distribution_are_not_told_apart() -> None:
    assert boosted_tree_auc(dependent(300, 0), dependent(300, 1)) == pytest.approx(0.5, abs=4 / np.sqrt(6 * 300))


def test_a_rule_of_three_columns_is_seen_though_all_pairs_are_right() -> None:
    samples = np.random.default_rng(0).integers(0, 4, (600, 3))
    # The best judge sees that the rule holds, as it does for 0.85 of the data and 0.25 of the samples.
    best = 0.85 * 0.75 + (0.85 * 0.25 + 0.15 * 0.75) / 2
    assert boosted_tree_auc(samples, dependent(600, 1)) == pytest.approx(best, abs=0.05)
    shifted = dependent(200, 2) + 4
    assert boosted_tree_auc(shifted, dependent(200, 1)) == 1


def test_it_is_the_same_for_the_same_seed_and_takes_any_shape() -> None:
    samples, data = dependent(60, 0).astype(np.uint8), dependent(50, 1).astype(np.int16)
    found = boosted_tree_auc(samples, data, seed=3)
    assert found == boosted_tree_auc(samples[:, None], data[:, None], seed=3)
    assert found != boosted_tree_auc(samples, data, seed=4)


def test_errors() -> None:
    rows = dependent(50, 0)
    with pytest.raises(InputError, match=r"at least 5 rows of one shape, got \[50, 2\] and \[50, 3\]"):
        boosted_tree_auc(rows[:, :2], rows)
    with pytest.raises(InputError, match="at least 5 rows"):
        boosted_tree_auc(rows[:4], rows)
