"""Trees of columns against a naive version, sums over everything, and the frequencies that they were learnt from."""

import itertools
import math

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.stats import chisquare
from sklearn.metrics import mutual_info_score

from bgan_discrete import SampleSpace
from bgan_discrete.errors import InputError
from bgan_discrete.metrics import chow_liu
from bgan_discrete.metrics.chow_liu import ChowLiuTree, baseline_tree
from bgan_discrete.metrics.marginals import log_frequencies

SIZES = (3, 2, 4, 1, 3, 2)


def table(count: int = 400, seed: int = 0) -> np.ndarray:
    """Columns of `SIZES`: 0 and 2 and 4 depend on each other in a chain, 1 and 5 too, 3 is constant."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 3, count), rng.integers(0, 2, count)
    c = np.where(rng.random(count) < 0.7, a, rng.integers(0, 4, count))
    e = np.where(rng.random(count) < 0.8, np.minimum(c, 2), rng.integers(0, 3, count))
    f = np.where(rng.random(count) < 0.6, b, rng.integers(0, 2, count))
    return np.stack([a, b, c, np.zeros(count, np.int64), e, f], axis=1).astype(np.uint8)


def naive_log_prob(tree: ChowLiuTree, rows: np.ndarray, row: np.ndarray) -> float:
    total = 0.0
    for column, parent in enumerate(tree.parents):
        size, value = SIZES[column], row[column]
        share = (np.sum(rows[:, column] == value) + 1 / size) / (len(rows) + 1)
        if parent >= 0:
            is_alike = rows[:, parent] == row[parent]
            share = (np.sum(is_alike & (rows[:, column] == value)) + share) / (is_alike.sum() + 1)
        total += math.log(share)
    return total


def information_of(rows: np.ndarray) -> np.ndarray:
    columns = range(rows.shape[1])
    return np.array([[mutual_info_score(rows[:, i], rows[:, j]) for j in columns] for i in columns])


@pytest.mark.parametrize("seed", range(5))
def test_the_tree_is_that_of_the_most_mutual_information(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chow_liu, "_ROWS_AT_ONCE", 150)
    rows = table(seed=seed) if seed else np.random.default_rng(5).integers(0, [*SIZES], (60, 6))
    tree, information = ChowLiuTree(rows, SIZES), information_of(rows)
    edges = [(column, parent) for column, parent in enumerate(tree.parents) if parent >= 0]
    assert len(edges) == 5 and tree.parents[0] == -1
    for column in range(6):
        place, steps = column, 0
        while place != 0:  # every column hangs on column 0
            place, steps = int(tree.parents[place]), steps + 1
            assert steps < 6
    # The algorithm of another library looks for the least; a weight of 0 is no edge for it.
    least = -minimum_spanning_tree(-(information + 1)).sum()
    assert sum(information[i, j] + 1 for i, j in edges) == pytest.approx(least)


def test_probabilities_equal_a_naive_version_and_sum_to_one() -> None:
    rows = table()
    tree = ChowLiuTree(rows, SIZES)
    everything = np.array(list(itertools.product(*map(range, SIZES))))
    found = tree.log_prob(everything)
    assert found == pytest.approx([naive_log_prob(tree, rows, row) for row in everything])
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-12)
    assert len({tuple(row) for row in everything} - {tuple(row) for row in rows.tolist()}) > 0, "unseen ones too"
    # A single row leaves everything but itself to the smoothing.
    single = ChowLiuTree(rows[:1], SIZES)
    assert np.exp(single.log_prob(everything)).sum() == pytest.approx(1, abs=1e-12)
    assert single.sample(50, np.random.default_rng(0)).tolist() == [rows[0].tolist()] * 50


def test_of_one_column_probabilities_are_the_smoothed_frequencies() -> None:
    rows = table()[:, 2:3]
    assert ChowLiuTree(rows, [4]).log_prob(np.arange(4)[:, None]) == pytest.approx(log_frequencies(rows, 4)[0])


def test_samples_have_the_data_s_pairs_along_the_tree() -> None:
    rows = table()
    tree = ChowLiuTree(rows, SIZES)
    drawn = tree.sample(20_000, np.random.default_rng(1))
    assert drawn.dtype == rows.dtype and drawn.shape == (20_000, 6)
    for column, parent in enumerate(tree.parents):
        if parent < 0:
            continue
        ours, theirs = (
            np.bincount(part[:, parent].astype(int) * SIZES[column] + part[:, column]) for part in (drawn, rows)
        )
        ours = np.pad(ours, (0, len(theirs) - len(ours)))
        assert not ours[theirs == 0].any(), "what the data lack is not drawn"
        is_there = theirs > 0
        if is_there.sum() > 1:
            assert chisquare(ours[is_there], theirs[is_there] * 20_000 / len(rows)).pvalue > 1e-3
    # Columns that are apart in the tree are independent given those between them: 0 and 1 are hardly joined.
    information = information_of(drawn)
    assert information[0, 1] < 0.01 and information[0, 2] > 0.1
    assert np.array_equal(drawn, tree.sample(20_000, np.random.default_rng(1)))


def test_the_tree_is_likelier_than_independent_columns() -> None:
    rows, unseen = table(), table(seed=9)
    independent = sum(
        (log_frequencies(rows[:, j : j + 1], k) if k > 1 else np.zeros((1, 1)))[0, unseen[:, j]]
        for j, k in enumerate(SIZES)
    )
    assert ChowLiuTree(rows, SIZES).log_prob(unseen).mean() > np.mean(independent) + 0.3


def test_planes_are_trees_of_positions() -> None:
    rows = np.random.default_rng(0).integers(0, 2, (50, 2, 3)).astype(np.int16)
    flat, plane = ChowLiuTree(rows.reshape(50, 6), [2] * 6), ChowLiuTree(rows, [2] * 6)
    assert plane.log_prob(rows) == pytest.approx(flat.log_prob(rows.reshape(50, 6)))
    assert plane.sample(7, np.random.default_rng(0)).shape == (7, 2, 3)


def test_a_baseline_keeps_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chow_liu.MAX_SUM_OF_SIZES == 2000
    monkeypatch.setattr(chow_liu, "MAX_SUM_OF_SIZES", 20)
    wide = np.zeros((3, 11), np.uint8)
    assert baseline_tree(wide, SampleSpace((11,), 2)) is None
    assert baseline_tree(wide[:, :10], SampleSpace((10,), 2)) is not None
    assert baseline_tree(wide, SampleSpace((11,), 2, sizes=(1,) * 10 + (2,))) is not None


def test_a_baseline_of_many_rows_learns_from_evenly_spaced_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, space = table(), SampleSpace((6,), 4, sizes=SIZES)
    whole = ChowLiuTree(rows, SIZES).log_prob(rows)
    found = baseline_tree(rows, space)
    assert found is not None and np.array_equal(found.log_prob(rows), whole)
    monkeypatch.setattr(chow_liu, "MAX_ROWS", 3)
    found = baseline_tree(rows, space)
    assert found is not None
    assert np.array_equal(found.log_prob(rows), ChowLiuTree(rows[[0, 199, 399]], SIZES).log_prob(rows))


def test_errors() -> None:
    rows = table()
    tree = ChowLiuTree(rows, SIZES)
    with pytest.raises(InputError, match="rows must hold at least one"):
        ChowLiuTree(rows[:0], SIZES)
    with pytest.raises(InputError, match="sizes must be one for each of the 6 columns, got 5"):
        ChowLiuTree(rows, SIZES[:5])
    with pytest.raises(InputError, match=r"codes of column 2 must be in \[0, 3\), got 0 to 3"):
        ChowLiuTree(rows, (3, 2, 3, 1, 3, 2))
    with pytest.raises(InputError, match=r"codes of column 0 must be in \[0, 3\)"):
        tree.log_prob(np.full((1, 6), -1))
    with pytest.raises(InputError, match=r"event shape \(6,\), got \(5,\)"):
        tree.log_prob(rows[:, :5])
    with pytest.raises(InputError, match="count must be at least 1"):
        tree.sample(0, np.random.default_rng(0))
