"""Which rows a judge is given."""

import numpy as np
import pytest

from bgan_discrete.metrics.verdict import Verdict
from bgan_discrete.training.judging import validation_rows


@pytest.mark.parametrize(
    ("num_rows", "half"), [(2000, 100), (2019, 100), (2500, 125), (2519, 125), (40_000, 2000), (10**6, 2000)]
)
def test_the_halves_are_a_tenth_within_limits(num_rows: int, half: int) -> None:
    rows = validation_rows(num_rows, seed=3)
    assert rows is not None
    first, second = rows
    assert len(first) == len(second) == half
    assert len({*first.tolist(), *second.tolist()}) == 2 * half
    assert first.min() >= 0 and max(first.max(), second.max()) < num_rows
    assert (np.diff(first) > 0).all() and (np.diff(second) > 0).all()


@pytest.mark.parametrize("num_rows", [0, 3, 200, 1999])
def test_of_few_rows_none_are_kept(num_rows: int) -> None:
    assert validation_rows(num_rows, seed=0) is None


def test_the_choice_goes_by_the_seed_alone() -> None:
    one, same, other = (validation_rows(5000, seed) for seed in (0, 0, 1))
    assert one is not None and same is not None and other is not None
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_one_verdict_beats_another_by_more_than_twice_both_noises() -> None:
    assert Verdict(1.0, 0.3).beats(Verdict(2.01, 0.4)) and not Verdict(1.0, 0.3).beats(Verdict(1.99, 0.4))
