"""Figures that only tables have, against their definitions, and what they say of synthesizers that are known."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from bgan_discrete.errors import InputError
from bgan_discrete.metrics import arrays, predictions, tables, trees
from bgan_discrete.metrics.dependencies import find_dependencies, share_broken
from bgan_discrete.metrics.figure import Evaluation, Figure, key_of
from bgan_discrete.metrics.marginals import evenly_spaced
from bgan_discrete.metrics.privacy import (
    Distances,
    attack_membership,
    rare_values,
    share_copied,
    share_of_rare_shown,
)
from bgan_discrete.metrics.profiles import OTHERS, column_profiles, pair_profiles
from bgan_discrete.metrics.table_rows import TableColumns, TableRows, rows_of_codes, with_values
from bgan_discrete.metrics.tables import evaluate_table
from bgan_discrete.metrics.trends import column_shapes, pair_trends
from bgan_discrete.space import SampleSpace

NAMES = ("town", "country", "rent", "noise")
TOWNS, BINS = 6, 8
COLUMNS = TableColumns(
    NAMES,
    (
        tuple(f"town {n}" for n in range(TOWNS)),
        ("France", "Germany", "Japan"),
        tuple(f"[{n}, {n + 1})" for n in range(BINS)),
        ("yes", "no"),
    ),
    (False, False, True, False),
    as_written=True,
)
SPACE = SampleSpace((4,), BINS, tuple(COLUMNS.sizes))


def rows(count: int, seed: int) -> TableRows:
    """Towns that decide the country, rents that go with the town, and a column of noise."""
    rng = np.random.default_rng(seed)
    town = rng.integers(0, TOWNS, count)
    rent = town + 2 * rng.random(count)
    codes = np.stack([town, town // 2, rent.astype(np.int64), rng.integers(0, 2, count)], axis=1)
    values = codes.astype(np.float64)
    values[:, 2] = rent
    return TableRows(codes, values)


def shuffled(table: TableRows, seed: int) -> TableRows:
    """Each column by itself in another order."""
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(len(table)) for _ in NAMES], axis=1)
    return TableRows(np.take_along_axis(table.codes, order, 0), np.take_along_axis(table.values, order, 0))


TRAINING, HELDOUT = rows(1500, 1), rows(400, 2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CRITIC_STEPS", 10)
    monkeypatch.setattr(trees, "MOST_TREES", 10)
    monkeypatch.setattr(predictions, "MOST_TREES", 10)


def evaluated(samples: TableRows, **options: Any) -> Evaluation:
    return evaluate_table(samples, TRAINING, HELDOUT, COLUMNS, SPACE, **options)


def figure_of(report: Evaluation, title: str) -> Figure:
    return report.figures[key_of(title)]


# Trends.


def test_column_shapes_are_those_of_sdmetrics() -> None:
    other = rows(300, 7)
    found = column_shapes(other, TRAINING, COLUMNS)
    assert found[2] == pytest.approx(1 - ks_2samp(other.values[:, 2], TRAINING.values[:, 2]).statistic)
    shares = [np.bincount(side.codes[:, 0], minlength=TOWNS) / len(side) for side in (other, TRAINING)]
    assert found[0] == pytest.approx(1 - np.abs(shares[0] - shares[1]).sum() / 2)
    assert column_shapes(TRAINING, TRAINING, COLUMNS).tolist() == [1] * 4
    # Missing numbers do not count.
    gaps = TableRows(TRAINING.codes, np.where(np.arange(4) == 2, np.nan, TRAINING.values))
    both = TableRows(
        *(np.concatenate([getattr(side, part) for side in (gaps, TRAINING)]) for part in ("codes", "values"))
    )
    assert column_shapes(both, TRAINING, COLUMNS)[2] == 1
    assert column_shapes(gaps, TRAINING, COLUMNS)[2] == 0 and column_shapes(gaps, gaps, COLUMNS)[2] == 1


def test_pair_trends_are_those_of_sdmetrics() -> None:
    numbers = TableColumns(("a", "b", "c"), (("0",), ("0",), ("x", "y")), (True, True, False))

    def make(slope: float, seed: int) -> TableRows:
        rng = np.random.default_rng(seed)
        a = rng.normal(size=500)
        c = (a > 0).astype(np.int64)
        values = np.stack([a, slope * a + rng.normal(size=500), c], axis=1)
        return TableRows(np.stack([0 * c, 0 * c, c], axis=1), values)

    up, down, pairs = make(1, 0), make(-1, 1), np.array([[0, 1], [0, 2]])
    found = pair_trends(down, up, numbers, pairs)
    of = [np.corrcoef(side.values[:, 0], side.values[:, 1])[0, 1] for side in (up, down)]
    assert found[0] == pytest.approx(1 - abs(of[0] - of[1]) / 2)
    edges = np.histogram_bin_edges(up.values[:, 0], 10)
    joint = []
    for side in (up, down):
        bins = np.clip(np.digitize(side.values[:, 0], edges) - 1, 0, 9)
        joint.append(np.bincount(bins * 2 + side.codes[:, 2], minlength=20) / 500)
    assert found[1] == pytest.approx(1 - np.abs(joint[0] - joint[1]).sum() / 2)
    assert pair_trends(up, up, numbers, pairs).tolist() == [1, 1]
    constant = TableRows(up.codes, np.where(np.arange(3) == 0, 1.0, up.values))
    assert math.isnan(pair_trends(constant, up, numbers, pairs)[0])


# Dependencies.


def test_dependencies_are_found_and_broken() -> None:
    pairs = arrays.choose_pairs(4)
    (found,) = find_dependencies(TRAINING.codes, COLUMNS.sizes, pairs)
    assert (found.cause, found.effect, found.rule.tolist(), found.exceptions) == (0, 1, [0, 0, 1, 1, 2, 2], 0)
    broken = TRAINING.codes.copy()
    broken[:30, 1] = (broken[:30, 1] + 1) % 3
    assert found.broken_by(broken).tolist() == [True] * 30 + [False] * 1470
    assert share_broken(broken, [found]) == 30 / 1500
    # One row in a hundred may be an exception, three may not.
    for count, is_found in ((10, True), (45, False)):
        broken = TRAINING.codes.copy()
        broken[:count, 1] = (broken[:count, 1] + 1) % 3
        nearly = find_dependencies(broken, COLUMNS.sizes, pairs)
        assert [pytest.approx(count / 1500)] * is_found == [dependency.exceptions for dependency in nearly]


def test_an_identifier_decides_nothing_and_nothing_decides_a_constant() -> None:
    rng = np.random.default_rng(0)
    codes = np.stack([np.arange(600), rng.integers(0, 4, 600), np.zeros(600, np.int64)], axis=1)
    assert find_dependencies(codes, [600, 4, 1], arrays.choose_pairs(3)) == []
    # Of a cause that no training row has, nothing is known.
    (found,) = find_dependencies(np.array([[0, 0], [1, 1]] * 20), [3, 2], np.array([[0, 1]]))[:1]
    assert found.broken_by(np.array([[2, 0], [2, 1], [0, 1]])).tolist() == [False, False, True]


def test_large_columns_are_counted_too() -> None:
    rng = np.random.default_rng(0)
    cause = rng.integers(0, 40, 800) * 1000
    codes = np.stack([cause, cause // 2000], axis=1)
    (found,) = find_dependencies(codes, [40_000, 20_000], np.array([[0, 1]]))
    assert (found.cause, found.rule[39_000], found.rule[1]) == (0, 19, -1)


# Predictions.


def test_targets_have_few_classes() -> None:
    rng = np.random.default_rng(0)
    number = TableColumns(("n", "c"), (tuple(map(str, range(20))), tuple(map(str, range(30)))), (True, False))
    names = np.repeat(np.arange(1, 13), [120, 90, 70, 50, 40, 30, 25, 20, 18, 15, 12, 10])
    codes = np.stack([rng.integers(0, 20, 500), names], axis=1)
    table = rows_of_codes(codes, [[*map(float, range(20))], None])
    of_numbers = predictions.make_target(table, number, 0)
    assert of_numbers is not None and of_numbers.threshold == np.median(codes[:, 0])
    assert of_numbers.of(table).tolist() == (codes[:, 0] > of_numbers.threshold).astype(int).tolist()
    of_names = predictions.make_target(table, number, 1)
    assert of_names is not None and of_names.names == (*map(str, range(1, 11)), "all others")
    assert of_names.of(table).tolist() == [min(code, 11) - 1 for code in codes[:, 1]]
    assert predictions.make_target(table.take(codes[:, 1] == 3), number, 1) is None
    # A class of a few rows goes to the rarest, unless there are but two.
    few = rows_of_codes(np.repeat([[0, 0], [0, 1], [0, 2], [0, 3]], [500, 400, 98, 2], axis=0), [None, None])
    of_few = predictions.make_target(few, number, 1)
    assert of_few is not None and of_few.names == ("0", "1", "2 or a rarer one")
    assert np.bincount(of_few.of(few)).tolist() == [500, 400, 100]
    of_two = predictions.make_target(few.take(few.codes[:, 1] % 3 == 0), number, 1)
    assert of_two is not None and of_two.names == ("0", "3")


def test_areas_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    wanted, chances = rng.integers(0, 2, 200), rng.random((200, 2)).round(1)
    chances[:, 0] = 1 - chances[:, 1]
    assert predictions._auc(wanted, chances) == pytest.approx(roc_auc_score(wanted, chances[:, 1]))
    wanted, chances = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    by_share = roc_auc_score(wanted, chances, multi_class="ovr", average="weighted")
    assert predictions._auc(wanted, chances) == pytest.approx(by_share)
    assert predictions._auc(np.zeros(5, np.int64), np.ones((5, 2))) == 0.5


# Privacy.


def test_distances_are_means_over_columns() -> None:
    distances = Distances(TRAINING, COLUMNS)
    queries = TRAINING.take(np.arange(3))
    assert distances.nearest(queries, TRAINING).tolist() == [0, 0, 0]
    below = (TRAINING.values[:, 2:3] < [1.5, 4.0]).mean(0)
    a = TableRows(np.array([[0, 0, 1, 0]]), np.array([[0, 0, 1.5, 0]]))
    b = TableRows(np.array([[0, 0, 4, 1]]), np.array([[0, 0, 4.0, 1]]))
    assert distances.nearest(a, b)[0] == pytest.approx((below[1] - below[0] + 1) / 4, abs=1e-3)
    missing = TableRows(a.codes, np.array([[0, 0, np.nan, 0]]))
    assert distances.nearest(missing, a)[0] == pytest.approx(0.25) and distances.nearest(missing, missing)[0] == 0
    with pytest.raises(InputError, match="references"):
        distances.nearest(a, TRAINING.take(slice(0, 0)))


def test_an_attack_and_its_noise() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.random(60).round(1), rng.random(50).round(1)
    is_member = np.arange(110) < 60
    found = attack_membership(members, others)
    assert found.auc == pytest.approx(roc_auc_score(is_member, -np.concatenate([members, others])))
    drawn = [attack_membership(rng.random(60), rng.random(50)) for _ in range(400)]
    assert np.std([attack.auc for attack in drawn]) == pytest.approx(np.mean([a.noise for a in drawn]), rel=0.15)


def test_copies_and_rare_values() -> None:
    training = TableRows(np.zeros((40, 2), np.int64), np.zeros((40, 2)))
    training.values[:3] = [[1, 0], [2, 0], [2, 0]]
    rare = rare_values(training)
    assert [values.tolist() for values in rare] == [[1, 2], []]
    samples = training.take(np.array([0, 1, 39]))
    assert share_copied(samples, training) == (1, 1 / 3)
    assert share_of_rare_shown(samples.take(np.array([0, 2])), rare) == 0.5
    assert math.isnan(share_of_rare_shown(samples, [np.zeros(0)]))
    # Where each row has a value of its own, as of long numbers, no value is rare.
    assert not len(rare_values(TableRows(np.zeros((30, 1), np.int64), np.arange(30.0)[:, None]))[0])


# All of it.


def test_a_perfect_synthesizer_is_at_the_floor() -> None:
    report = evaluated(rows(400, 3))
    for title in (tables.SHAPES, tables.TRENDS):
        figure = figure_of(report, title)
        assert figure.direction == "higher" and abs(figure.value - (figure.floor or 0)) < 0.03
    broken = figure_of(report, tables.BROKEN)
    assert (broken.value, broken.floor, broken.baselines["Chow-Liu tree"]) == (0, 0, 0)
    assert broken.baselines["independent"] == pytest.approx(2 / 3, abs=0.08)
    assert "town decides country: 0.00% (held-out rows 0.00%)" in " ".join(report.format_table().split())
    for title in (tables.NEARER, tables.MEMBERSHIP):
        figure = figure_of(report, title)
        assert (figure.direction, figure.floor) == ("half", 0.5) and abs(figure.value - 0.5) < 0.09
    assert figure_of(report, tables.NEAR).floor == pytest.approx(0.05, abs=0.001)
    assert abs(figure_of(report, "AUC of boosted trees, numbers as written").value - 0.5) < 0.12
    town = figure_of(report, "accuracy for town, learnt from samples")
    assert abs(town.value - (town.floor or 0)) < 0.1 and town.baselines["independent"] < town.value - 0.15
    assert [entry["target"] for entry in report.facts["table"]["predictions"]] == ["noise", "town", "rent"]
    assert "differential privacy" in report.format_table()
    assert evaluated(rows(400, 3)).to_dict() == report.to_dict()


def test_a_copying_synthesizer_is_found_out() -> None:
    report = evaluated(TRAINING.take(np.arange(400)))
    assert report.figures["copies"].value == 1 and report.figures["copies"].floor == 0
    assert figure_of(report, tables.ONCE).value == 1
    assert figure_of(report, tables.NEARER).value > 0.6
    assert figure_of(report, tables.NEAR).value > 0.3
    attack = report.facts["table"]["privacy"]
    assert attack["membership_auc"] - 3 * attack["membership_noise"] > 0.5
    assert attack["of_samples"][0] == 0 < attack["of_heldout"][0]


def test_an_independent_and_a_collapsed_synthesizer() -> None:
    independent = evaluated(shuffled(TRAINING, 5).take(np.arange(400)))
    assert figure_of(independent, tables.SHAPES).value > 0.95
    assert figure_of(independent, tables.BROKEN).value > 0.5
    (broken,) = independent.facts["table"]["dependencies"]
    assert (broken["cause"], broken["effect"], broken["heldout"], broken["training"]) == ("town", "country", 0, 0)
    assert figure_of(independent, "accuracy for town, learnt from samples").value < 0.4
    collapsed = evaluated(TRAINING.take(np.zeros(400, np.int64)), targets=["noise"])
    assert figure_of(collapsed, tables.SHAPES).value < 0.5
    # One class alone: nothing is told apart, and the accuracy is that class's share.
    scores = collapsed.facts["table"]["predictions"][0]["models"]
    assert {score["auc"]["samples"] for score in scores} == {0.5}
    share = (HELDOUT.codes[:, 3] == TRAINING.codes[0, 3]).mean()
    assert [score["accuracy"]["samples"] for score in scores] == [pytest.approx(share)] * 3


def test_without_unseen_rows_nothing_is_said_of_membership() -> None:
    report = evaluated(rows(300, 3), is_unseen=False)
    assert not {key_of(tables.NEARER), key_of(tables.MEMBERSHIP)} & report.figures.keys()
    assert key_of(tables.NEAR) in report.figures
    assert "membership_auc" not in report.facts["table"]["privacy"]
    assert "cannot be measured" in " ".join(report.format_table().split())
    with pytest.raises(InputError, match="targets: column 'price' is not among those compared: town, country"):
        evaluated(rows(300, 3), targets=["price"])


def test_values_go_with_their_codes() -> None:
    codes = rows(200, 9).codes
    found = with_values(codes, TRAINING, np.random.default_rng(0))
    assert (np.floor(found.values[:, 2]) == codes[:, 2]).all() and (found.values[:, 0] == codes[:, 0]).all()
    numbers = rows_of_codes(np.array([[0, 1], [1, 0]]), [[2.5, np.nan], None])
    assert numbers.values[0].tolist() == [2.5, 1] and np.isnan(numbers.values[1, 0])


def test_profiles_have_the_worst_first_and_shares_that_sum_to_one() -> None:
    samples = rows(400, 3)
    samples.codes[:, 3] = samples.values[:, 3] = 0
    columns = column_profiles(samples, HELDOUT, TRAINING, COLUMNS)
    assert columns[0]["name"] == "noise" and columns[0]["variation"] == pytest.approx(0.5, abs=0.05)
    for column in columns:
        assert sum(bar[1] for bar in column["bars"]) == pytest.approx(1, abs=1e-3)
        assert sum(bar[2] for bar in column["bars"]) == pytest.approx(1, abs=1e-3)
    pairs = pair_profiles(samples, HELDOUT, TRAINING, COLUMNS, arrays.choose_pairs(4))
    assert "noise" in pairs[0]["names"]
    assert all(abs(sum(map(sum, pair["difference"]))) < 1e-3 for pair in pairs)
    # Many values: the frequent ones and the rest; many bins: neighbours together.
    many = TableColumns(
        ("c", "n"), (tuple(map(str, range(40))), tuple(f"[{k}, {k + 1})" for k in range(40))), (False, True)
    )
    codes = np.random.default_rng(0).integers(0, 40, (400, 2))
    table = rows_of_codes(codes, [None, [*map(float, range(40))]])
    by_name = {column["name"]: column["bars"] for column in column_profiles(table, table, table, many)}
    assert [bar[0] for bar in by_name["c"]][-1] == OTHERS and len(by_name["c"]) == 12
    assert by_name["n"][0][0].startswith("[0, ") and len(by_name["n"]) <= 24


def test_of_many_training_rows_some_are_compared_and_all_searched_for_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_TRAINING", 500)
    # Rows that an even choice of 500 leaves out.
    left = np.setdiff1d(np.arange(1500), evenly_spaced(1500, 500))[:90]
    report = evaluated(TRAINING.take(left), targets=["noise"])
    assert (report.figures["copies"].value, report.facts["num_training"]) == (1, 1500)
    assert "Of 1,500 training rows 500, evenly spaced, are compared" in " ".join(report.notes)
