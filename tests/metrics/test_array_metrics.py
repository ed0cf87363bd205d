"""Figures of arrays and tables against their definitions, and what they say of models that are known."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score, r2_score

from bgan_discrete.errors import InputError
from bgan_discrete.metrics import arrays
from bgan_discrete.metrics.arrays import (
    _column_variation,
    _frequency_agreement,
    _missing_categories,
    _pair_figures,
    _share_of_copies,
    _unique_rate,
    choose_pairs,
    evaluate_array,
    kmer_divergence,
    pair_information,
)
from bgan_discrete.space import SampleSpace

RNG = np.random.default_rng(0)


def rows(count: int, categories: int = 5, seed: int = 0) -> np.ndarray:
    """Four columns, of which the second depends on the first and the last is constant."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, categories, count)
    second = np.where(rng.random(count) < 0.8, first, rng.integers(0, categories, count))
    return np.stack([first, second, rng.integers(0, 2, count), np.zeros(count)], axis=1).astype(np.uint8)


@pytest.mark.parametrize("categories", [5, 300])
def test_columns_and_pairs_equal_a_naive_version(categories: int) -> None:
    a, b = (rows(n, categories, n).astype(np.int16) for n in (200, 150))
    pairs = choose_pairs(4)
    assert pairs.tolist() == [list(pair) for pair in itertools.combinations(range(4), 2)]
    for column, found in enumerate(_column_variation(a, b, categories)):
        wanted = sum(abs((a[:, column] == k).mean() - (b[:, column] == k).mean()) for k in range(categories)) / 2
        assert found == pytest.approx(wanted)
    variation, information = _pair_figures(a, b, pairs, categories)
    for place, (i, j) in enumerate(pairs):
        cells = {*map(tuple, a[:, [i, j]].tolist()), *map(tuple, b[:, [i, j]].tolist())}
        wanted = sum(abs((a[:, [i, j]] == c).all(1).mean() - (b[:, [i, j]] == c).all(1).mean()) for c in cells) / 2
        assert variation[place] == pytest.approx(wanted)
        difference = mutual_info_score(a[:, i], a[:, j]) - mutual_info_score(b[:, i], b[:, j])
        assert information[place] == pytest.approx(abs(difference), abs=1e-9)
        assert pair_information(a, pairs, categories)[place] == pytest.approx(mutual_info_score(a[:, i], a[:, j]))


def test_pairs_are_chosen_evenly_and_are_all_different() -> None:
    everything = [list(pair) for pair in itertools.combinations(range(30), 2)]
    assert choose_pairs(30).tolist() == everything
    some = choose_pairs(30, 50).tolist()
    assert len({tuple(pair) for pair in some}) == 50
    assert all(pair in everything for pair in some)
    assert (some[0], some[-1]) == (everything[0], everything[-1])
    places = np.diff([everything.index(pair) for pair in some])
    assert places.max() - places.min() <= 1
    assert choose_pairs(1).shape == (0, 2)
    assert choose_pairs(5000, 10)[-1].tolist() == [4998, 4999]


def test_frequencies_of_binary_records() -> None:
    a, b = ((RNG.random((n, 3, 4)) < RNG.random((3, 4))).astype(np.uint8) for n in (300, 500))
    agreement, error = _frequency_agreement(a, b)
    p_a, p_b = (part.reshape(len(part), -1).mean(0) for part in (a, b))
    assert agreement == pytest.approx(r2_score(p_b, p_a))
    assert error == pytest.approx(math.sqrt(((p_a - p_b) ** 2).mean()))
    assert _frequency_agreement(b, b) == (1.0, 0.0)
    assert math.isnan(_frequency_agreement(a, np.zeros_like(a))[0])


def test_kmers_equal_a_naive_version() -> None:
    a, b = (RNG.choice(4, (n, 9), p=p) for n, p in ((40, [0.4, 0.2, 0.2, 0.2]), (50, [0.1, 0.2, 0.3, 0.4])))
    counts = []
    for codes in (a, b):
        runs = [tuple(row[i : i + 3]) for row in codes.tolist() for i in range(7)]
        counts.append([runs.count(run) for run in itertools.product(range(4), repeat=3)])
    assert kmer_divergence(a, b, 3, 4) == pytest.approx(jensenshannon(*counts, base=2) ** 2)
    assert kmer_divergence(a, a, 3, 4) == 0
    # K to the power of the order is beyond 64 bits.
    assert kmer_divergence(a * 20_000, b * 20_000, 3, 3 * 10**6) == kmer_divergence(a, b, 3, 4)
    assert kmer_divergence(a * 20_000, b * 20_000, 6, 60_001) == kmer_divergence(a, b, 6, 4)
    assert entropy(counts[0], base=2) > 0


def test_copies_and_repeats() -> None:
    training = np.array([[0, 1], [2, 3], [0, 1]], np.uint8)
    samples = np.array([[0, 1], [0, 1], [3, 2], [1, 0]], np.int16)
    assert (_share_of_copies(samples, training), _unique_rate(samples)) == (0.5, 0.75)
    assert _share_of_copies(samples.reshape(4, 1, 2), training.reshape(3, 1, 2)) == 0.5
    assert _share_of_copies(training, samples) == 2 / 3


def test_categories_that_samples_lack() -> None:
    training = np.repeat(np.array([[0, 1], [1, 1], [2, 0], [3, 0]]), [500, 480, 20, 19], axis=0)
    samples = np.repeat(np.array([[0, 1], [1, 0]]), [1980, 20], axis=0)
    # Of column 0: 1 is a fiftieth as frequent, 2 is absent, 3 too rare in the data; of column 1 nothing is absent.
    assert _missing_categories(samples, training, 4) == [(0, 1, 480 / 1019), (0, 2, 20 / 1019)]
    # A tenth of what was to be expected is enough.
    tenth, less = (np.repeat(np.array([[0, 1], [1, 1]]), [1000 - n, n], axis=0) for n in (48, 47))
    assert (0, 1, 480 / 1019) not in _missing_categories(tenth, training, 4)
    assert (0, 1, 480 / 1019) in _missing_categories(less, training, 4)
    # Of 500 samples 10 were to be expected with category 2, and 19 with category 0 of the other column.
    assert _missing_categories(samples[:500], training, 4) == [(0, 1, 480 / 1019)]
    assert _missing_categories(training, training, 4) == []


def test_the_report_of_a_perfect_a_collapsed_and_an_independent_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CRITIC_STEPS", 120)
    training, heldout = rows(2000, seed=1), rows(400, seed=2)
    options: dict[str, Any] = {"space": SampleSpace((4,), 5, sizes=(5, 5, 2, 1)), "column_names": ["a", "b", "c", "d"]}
    perfect = evaluate_array(rows(1200, seed=3), training, heldout, **options)
    collapsed = evaluate_array(np.repeat(training[:1], 1200, 0), training, heldout, **options)
    counts = [perfect.facts[name] for name in ("block_size", "num_samples", "num_pairs", "pairs_in_all")]
    assert counts == [400, 1200, 6, 6]
    for name in ("total_variation_of_a_pair_mean", "mutual_information_of_a_pair_error_nats_mean"):
        figure = perfect.figures[name]
        assert max(figure.value, figure.floor) < 0.6 * figure.baseline
        assert collapsed.figures[name].value > figure.baseline
    dependent = perfect.figures["total_variation_of_a_pair_dependent_tenth"]
    assert dependent.value < 0.2 < 0.5 * dependent.baseline  # the first two columns
    critic = "divergence_that_a_fresh_critic_finds_0_to_1"
    assert perfect.figures[critic].value < 0.05 < perfect.figures[critic].baseline < collapsed.figures[critic].value
    assert collapsed.figures["unique_rate"].value == 1 / 400
    assert collapsed.figures["copies"].value == 1
    assert collapsed.facts["num_missing_categories"] == 0  # of categories without names nobody asks
    table = perfect.format_table()
    for words in ("model", "floor", "baseline", "6 pairs of columns", "1,200 samples in blocks of 400"):
        assert words in table
    assert max(map(len, table.splitlines())) <= 125
    document = perfect.to_dict()
    assert document["figures"]["unique_rate"]["direction"] == "floor"
    # The second column depends on the first alone: a tree is as good as real rows.
    auc = perfect.figures["auc_of_boosted_trees"]
    assert (auc.direction, auc.count) == ("half", 400)
    assert abs(auc.value - 0.5) < 0.1 and abs(auc.floor - 0.5) < 0.1 and abs(auc.baselines["Chow-Liu tree"] - 0.5) < 0.1
    assert auc.baseline > 0.7 and collapsed.figures["auc_of_boosted_trees"].value > 0.9
    assert dependent.baselines["Chow-Liu tree"] < 0.2
    again = evaluate_array(rows(1200, seed=3), training, heldout, **options)
    assert again.to_dict() == document
    monkeypatch.setattr(arrays, "critic_divergence", lambda *given, **named: 0.0)
    monkeypatch.setattr(arrays, "boosted_tree_auc", lambda *given: 0.5)
    named = evaluate_array(
        np.repeat(training[:1], 1200, 0), training, heldout, **options, category_names=["vwxyz", "vwxyz", "no", "-"]
    )
    first = {"vwxyz"[k] for k in range(5)} - {"vwxyz"[training[0, 0]]}
    missing = named.facts["missing_categories"]
    assert {name for name in missing if name.startswith("a = ")} == {f"a = {name}" for name in first}
    assert "Categories missing from the samples: " in named.format_table()


def shifted_rows(count: int, shift: int, seed: int = 0) -> np.ndarray:
    """Seven columns, of which the one with number j holds 1 in a share of (j + shift) / 14."""
    return (np.random.default_rng(seed).random((count, 7)) < (np.arange(7) + shift) / 14).astype(np.uint8)


def test_the_worst_columns_and_pairs_come_worst_first_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "critic_divergence", lambda *given, **named: 0.0)
    training, heldout, samples = shifted_rows(200, 0), shifted_rows(60, 0, 1), shifted_rows(150, 0, 2)
    samples[:, 3] = 1
    samples[:, 5] = np.random.default_rng(3).integers(0, 2, 150)
    report = evaluate_array(samples, training, heldout, SampleSpace((7,), 2), column_names=[*"abcdefg"])
    variation = _column_variation(samples, training, 2)
    order = np.argsort(-variation, kind="stable")
    assert list(report.facts["worst_columns"]) == ["abcdefg"[place] for place in order[:5]]
    assert list(report.facts["worst_columns"].values()) == [round(float(variation[place]), 4) for place in order[:5]]
    pairs = choose_pairs(7)
    variation = _pair_figures(samples, training, pairs, 2)[0]
    order = np.argsort(-variation, kind="stable")[:5]
    worst = report.facts["worst_pairs"]
    assert list(worst) == ["{} x {}".format(*("abcdefg"[j] for j in pairs[place])) for place in order]
    assert list(worst.values()) == [round(float(variation[place]), 4) for place in order]


def test_each_figure_compares_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The critic is replaced by the difference of what it was given, so that each comparison can be told apart."""
    asked: list[tuple[np.ndarray, np.ndarray, dict[str, Any]]] = []

    def critic(real: np.ndarray, codes: np.ndarray, num_categories: int, make: Any, **named: Any) -> float:
        asked.append((real, codes, named))
        return 2 * math.log(2) * float(abs(real.mean() - codes.mean()))

    monkeypatch.setattr(arrays, "critic_divergence", critic)
    monkeypatch.setattr(arrays, "MAX_BLOCK", 50)
    training, heldout = shifted_rows(400, 0, 1), shifted_rows(90, 7, 2)
    samples = np.concatenate([shifted_rows(50, 2, 3), shifted_rows(50, 4, 4), shifted_rows(49, 6, 5)])
    report = evaluate_array(samples, training, heldout, SampleSpace((7,), 2), seed=3)
    counts = [report.facts[name] for name in ("block_size", "num_samples", "num_training", "num_heldout")]
    assert counts == [50, 149, 400, 90]
    name = "divergence_that_a_fresh_critic_finds_0_to_1"
    (real, first, options), (_, others, _), (_, baseline, _), (_, of_tree, _) = asked
    assert options == {"steps": 3 * 50, "seed": 3}
    known = {row.tobytes() for row in heldout}
    assert len(real) == 50 and all(row.tobytes() in known for row in real)
    assert all(np.array_equal(real, part) for part, _, _ in asked)
    assert np.array_equal(first, samples[:50]), "of the first block"
    # Of the training rows as many as there are real ones, without repeats; columns of the baseline by themselves.
    counts: dict[bytes, int] = {}
    for row in training:
        counts[row.tobytes()] = counts.get(row.tobytes(), 0) + 1
    assert len(others) == 50 and not np.array_equal(others, training[:50])
    assert all(sum(row.tobytes() == own.tobytes() for row in others) <= counts[own.tobytes()] for own in others)
    assert np.abs(baseline.mean(0) - training.mean(0)).max() < 0.25
    assert np.abs(of_tree.mean(0) - training.mean(0)).max() < 0.25
    figure = report.figures[name]
    assert figure.value == pytest.approx(abs(real.mean() - first.mean()))
    assert figure.baseline == pytest.approx(abs(real.mean() - baseline.mean()))
    assert figure.baselines["Chow-Liu tree"] == pytest.approx(abs(real.mean() - of_tree.mean()))
    assert figure.floor == pytest.approx(abs(real.mean() - others.mean()))
    assert figure.floor > 0.3, "real and training rows differ here"
    blocks = samples[:50], samples[50:100]
    variations = [_column_variation(block, training, 2) for block in blocks]
    of_floor = _column_variation(real, training, 2)
    pairs = choose_pairs(7)
    joint = [_pair_figures(block, training, pairs, 2) for block in blocks]
    dependent = np.argsort(-pair_information(training, pairs, 2), kind="stable")[:3]
    wanted = {
        "total_variation_of_a_column_mean": [v.mean() for v in variations],
        "total_variation_of_a_column_largest": [v.max() for v in variations],
        "total_variation_of_a_pair_mean": [v.mean() for v, _ in joint],
        "total_variation_of_a_pair_largest": [v.max() for v, _ in joint],
        "total_variation_of_a_pair_dependent_tenth": [v[dependent].mean() for v, _ in joint],
        "mutual_information_of_a_pair_error_nats_mean": [i.mean() for _, i in joint],
        "mutual_information_of_a_pair_error_nats_dependent_tenth": [i[dependent].mean() for _, i in joint],
        "mutual_information_of_a_pair_error_nats_largest": [i.max() for _, i in joint],
        "frequencies_of_1_r2_against_the_data_s": [_frequency_agreement(block, training)[0] for block in blocks],
        "frequencies_of_1_root_mean_square_error": [_frequency_agreement(block, training)[1] for block in blocks],
        "unique_rate": [_unique_rate(block) for block in blocks],
        "copies": [_share_of_copies(block, training) for block in blocks],
    }
    assert set(wanted) == set(report.figures) - {name}
    for title, values in wanted.items():
        assert report.figures[title].value == pytest.approx(sum(values) / 2, rel=1e-12), title
    assert report.figures["total_variation_of_a_column_largest"].floor == pytest.approx(of_floor.max())
    assert report.figures["copies"].floor == _share_of_copies(real, training)
    assert report.figures["total_variation_of_a_pair_mean"].floor == pytest.approx(
        _pair_figures(real, training, pairs, 2)[0].mean()
    )
    other = evaluate_array(samples, training, heldout, SampleSpace((7,), 2), seed=4)
    assert not np.array_equal(asked[4][0], real), "which held-out rows is a matter of the seed"
    assert other.figures["unique_rate"].value == report.figures["unique_rate"].value


def test_a_critic_of_a_sequence_is_one_of_convolutions_and_of_columns_knows_their_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[Any, int]] = []

    def critic(real: Any, codes: Any, num_categories: int, make: Any, *, steps: int, seed: int) -> float:
        made.append((make() if len(made) < 5 else None, steps))
        return -0.5

    monkeypatch.setattr(arrays, "critic_divergence", critic)
    monkeypatch.setattr(arrays, "boosted_tree_auc", lambda *given: 0.5)
    codes = rows(60)
    report = evaluate_array(codes, codes, codes, SampleSpace((4,), 5, sizes=(5, 5, 2, 1)))
    evaluate_array(codes, codes, codes, SampleSpace((4,), 5), neighbours=True)
    assert report.figures["divergence_that_a_fresh_critic_finds_0_to_1"].value == 0, "never below"
    (columns, many), *_, (sequence, few) = made[::4]
    assert type(columns).__name__ == "MLPDiscriminator" and columns.space.sizes == (5, 5, 2, 1)
    assert type(sequence).__name__ == "ConvSequenceDiscriminator"
    assert (many, few) == (180, 180)
    codes = np.repeat(codes, 4, axis=0)
    evaluate_array(codes, codes, codes, SampleSpace((4,), 5))
    evaluate_array(codes, codes, codes, SampleSpace((4,), 5), neighbours=True)
    assert (made[8][1], made[12][1]) == (arrays.CRITIC_STEPS, arrays.CONVOLUTION_STEPS)


def test_missing_categories_are_counted_in_all_and_the_most_frequent_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "critic_divergence", lambda *given, **named: 0.0)
    training = np.repeat(np.arange(25), np.arange(21, 46))[:, None].astype(np.uint8)
    samples = np.full((900, 1), 24, np.uint8)
    names = [[f"<{k}>" for k in range(25)]]
    report = evaluate_array(
        samples, training, training[:30], SampleSpace((1,), 25), column_names=["x"], category_names=names
    )
    shown = {f"x = <{k}>": round((21 + k) / len(training), 4) for k in range(23, 3, -1)}
    assert report.facts["num_missing_categories"] == 24
    assert list(report.facts["missing_categories"].items()) == list(shown.items())
    assert report.facts["num_pairs"] == 0 and not any("frequenc" in name for name in report.figures)


def test_binary_records_sequences_and_figures_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CRITIC_STEPS", 20)
    codes = (RNG.random((300, 2, 3)) < 0.3).astype(np.uint8)
    report = evaluate_array(codes[:100], codes[100:200], codes[200:], SampleSpace((2, 3), 2))
    assert "frequencies_of_1_r2_against_the_data_s" in report.figures
    assert report.facts["pairs_in_all"] == 15
    ones = evaluate_array(
        codes[:100, 0], codes[100:200, 0], codes[200:, 0], SampleSpace((3,), 2), neighbours=True,
        extra=lambda part: {"share of ones": (float(part.mean()), "floor")},
    )  # fmt: skip
    figure = ones.figures["share_of_ones"]
    assert figure.value == pytest.approx(codes[:100, 0].mean())
    assert figure.floor == pytest.approx(codes[200:, 0].mean())
    single = evaluate_array(codes[:100, 0, :1], codes[100:200, 0, :1], codes[200:, 0, :1], SampleSpace((1,), 2))
    assert single.facts["num_pairs"] == 0
    assert "pairs of columns" not in single.format_table()


def test_trees_judge_enough_rows_and_are_not_given_too_many_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "critic_divergence", lambda *given, **named: 0.0)
    judged: list[tuple[np.ndarray, np.ndarray, int]] = []
    monkeypatch.setattr(arrays, "boosted_tree_auc", lambda *given: judged.append(given) or 0.25)
    codes, space = shifted_rows(400, 0), SampleSpace((7,), 2)
    few = evaluate_array(codes[:99], codes, codes, space)
    assert "auc_of_boosted_trees" not in few.figures and not judged
    assert "need at least 100 rows on a side, and have 99" in few.format_table()
    enough = evaluate_array(codes[:100], codes, codes, space, seed=5)
    assert len(judged) == 4 and all(len(part) == 100 for ours, theirs, _ in judged for part in (ours, theirs))
    assert np.array_equal(judged[0][0], codes[:100]) and judged[0][2] == 5
    assert enough.figures["auc_of_boosted_trees"].to_dict()["baselines"] == {"independent": 0.25, "Chow-Liu tree": 0.25}
    assert "left out" not in enough.format_table()
    monkeypatch.setattr(arrays, "MOST_AUC_CELLS", 7 * 150)
    assert evaluate_array(codes, codes, codes, space).figures["auc_of_boosted_trees"].count == 150
    wanted = codes[np.linspace(0, 399, 150).astype(int)]
    assert np.array_equal(judged[4][0], wanted), "evenly spaced: data may be in an order"
    assert all(np.array_equal(theirs, wanted) for _, theirs, _ in judged[4:])


def test_without_a_tree_where_it_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "critic_divergence", lambda *given, **named: 0.0)
    monkeypatch.setattr(arrays, "baseline_tree", lambda *given: None)
    codes = shifted_rows(60, 0)
    report = evaluate_array(codes, codes, codes, SampleSpace((7,), 2))
    assert all(list(figure.baselines) == ["independent"] for figure in report.figures.values())
    assert "Chow-Liu" not in report.format_table()


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CRITIC_STEPS", 1)
    codes = rows(60)
    with pytest.raises(InputError, match="at least 20 samples, got 3"):
        evaluate_array(codes[:3], codes, codes, SampleSpace((4,), 5))
    evaluate_array(codes[:20], codes, codes, SampleSpace((4,), 5))
    with pytest.raises(InputError, match="at least 20 held-out rows, got 4"):
        evaluate_array(codes, codes, codes[:4], SampleSpace((4,), 5))
    with pytest.raises(InputError, match=r"samples must have the event shape \(4,\), got \(3,\)"):
        evaluate_array(codes[:, :3], codes, codes, SampleSpace((4,), 5))
