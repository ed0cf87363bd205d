"""Judges: real samples are at the floor, worse models are worse by many noises, and the noise is the true one."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bgan_discrete.errors import InputError
from bgan_discrete.metrics import judges
from bgan_discrete.metrics.frozen import FrozenFeatures
from bgan_discrete.metrics.judges import image_judge, jackknife, judge_of, text_judge, text_verdict, trees_judge
from bgan_discrete.metrics.ngrams import ngram_divergences
from bgan_discrete.metrics.verdict import Judge, Verdict
from bgan_discrete.space import SampleSpace

Draw = Callable[[int, int], np.ndarray]
"""(count, seed) -> codes."""

ALPHABET = "abcdefgh"


def chains(count: int, seed: int, keep: float = 0.8, length: int = 6, size: int = 4) -> np.ndarray:
    """Markov chains ``[count, length]``: each code is that before it plus 1 with probability ``keep``, else any."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(size, size=(count, length))
    for place in range(1, length):
        follows = rng.random(count) < keep
        codes[follows, place] = (codes[follows, place - 1] + 1) % size
    return codes.astype(np.uint8)


def texts_of(codes: np.ndarray) -> list[str]:
    return ["".join(ALPHABET[code] for code in row) for row in codes]


def pictures(count: int, seed: int, blur: float = 0.0) -> np.ndarray:
    """A bright square of 3 x 3 somewhere on 8 x 8; with ``blur`` some of its pixels are elsewhere."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((count, 8, 8), np.uint8)
    rows, columns = rng.integers(6, size=(2, count))
    for image, row, column in zip(codes, rows, columns, strict=True):
        image[row : row + 3, column : column + 3] = 1
    is_moved = rng.random(codes.shape) < blur
    return np.where(is_moved, codes[rng.permutation(count)], codes)


TABLE = trees_judge(SampleSpace((6,), 4, sizes=(4,) * 5 + (3,)))
TEXT = text_judge(texts_of, chains(800, 99, 0.8, 32, 8), ends=False)
IMAGES = image_judge(lambda codes: codes * np.uint8(255), pictures(1000, 99))


def long_chains(keep: float) -> Draw:
    return lambda count, seed: chains(count, seed, keep, 32, 8)


CASES: dict[str, tuple[Judge, Draw, Draw]] = {
    "trees": (TABLE, chains, lambda count, seed: chains(count, seed, 0.5)),
    "text": (TEXT, long_chains(0.8), long_chains(0.6)),
    "images": (IMAGES, pictures, lambda count, seed: pictures(count, seed, 0.1)),
}
"""A judge, the truth, and a model that is a little worse."""


@pytest.mark.parametrize("name", CASES)
def test_real_samples_are_at_the_floor_and_a_worse_model_is_not(name: str) -> None:
    judge, real, worse = CASES[name]
    data = real(400, 0)
    verdict, floor, lower = (judge.measure(codes, data) for codes in (worse(400, 1), real(400, 2), real(400, 3)))
    assert abs(floor.value - lower.value) < 3 * math.hypot(floor.noise, lower.noise)
    assert verdict.value - floor.value > 4 * math.hypot(verdict.noise, floor.noise)
    assert floor.beats(verdict) and not verdict.beats(floor)


def check_noise(verdicts: Sequence[Verdict]) -> None:
    """The spread of sixteen values is known to a fifth, that of forty to a ninth."""
    spread = np.std([verdict.value for verdict in verdicts], ddof=1)
    assert 1 / 1.5 < np.mean([verdict.noise for verdict in verdicts]) / spread < 1.5


@pytest.mark.parametrize("side", ["real", "worse"])
@pytest.mark.parametrize("name", CASES)
def test_the_noise_is_the_spread_over_new_samples(name: str, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "BOOSTED_TREES", 20)  # the noise is the same, the time is not
    monkeypatch.setattr(judges, "BEST_AUC", 0.0)  # else half of the real samples' values are the same
    judge, real, worse = CASES[name]
    draw, data = real if side == "real" else worse, real(300, 0)
    times = 40 if name == "images" else 16
    check_noise([judge.measure(draw(300, seed), data) for seed in range(1, times + 1)])


@pytest.mark.parametrize("name", CASES)
def test_the_same_codes_have_the_same_verdict(name: str) -> None:
    judge, real, worse = CASES[name]
    samples, data = worse(200, 1), real(150, 2)
    before = torch.get_rng_state()
    assert judge.measure(samples, data) == judge.measure(samples.copy(), data.copy())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", CASES)
def test_too_few_samples_or_data_are_refused(name: str) -> None:
    judge, real, _ = CASES[name]
    judge.measure(real(20, 0), real(20, 1))
    with pytest.raises(InputError, match="samples must be at least 20 for a judge, got 19"):
        judge.measure(real(19, 0), real(20, 1))
    with pytest.raises(InputError, match="data must be at least 20 for a judge, got 3"):
        judge.measure(real(20, 0), real(3, 1))


def test_samples_of_one_kind_alone_are_the_worst() -> None:
    for name, (judge, real, worse) in CASES.items():
        data, same = real(300, 0), np.repeat(real(1, 1), 300, axis=0)
        assert judge.measure(worse(300, 2), data).beats(judge.measure(same, data)), name


# Trees.


def test_the_area_is_that_of_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(10, size=200) / 10, (rng.integers(10, size=100) + 3) / 10
    expected = roc_auc_score(np.arange(300) >= 200, np.concatenate([ours, theirs]))
    assert judges._auc(ours, theirs).value == pytest.approx(expected)
    assert judges._auc(theirs, ours).value == 0.5


def test_counts_and_patterns_that_no_single_position_shows_are_seen() -> None:
    rng = np.random.default_rng(0)
    # Half of the positions are 1, wherever they are; independent positions have the same marginals.
    exact = rng.permuted(np.tile(np.arange(36, dtype=np.uint8) % 2, (600, 1)), axis=1).reshape(600, 6, 6)
    judge = trees_judge(SampleSpace((6, 6), 2))
    loose = rng.integers(2, size=(300, 6, 6), dtype=np.uint8)
    assert judge.measure(loose, exact[:300]).value > 0.8 and judge.measure(exact[300:], exact[:300]).value < 0.6


def test_features_count_runs_along_each_axis() -> None:
    codes = np.array([[[0, 1, 1], [2, 1, 0]]], np.uint8)
    features = judges._features_of_codes(codes, 3, 2)
    singles, first, second = features[0, 6:9], features[0, 9:18], features[0, 18:]
    assert features[0, :6].tolist() == [0, 1, 1, 2, 1, 0] and singles.tolist() == [2, 3, 1]
    # The number of a run (a, b) is a + 3 b.
    assert first.nonzero()[0].tolist() == [1, 4, 6] and first.max() == 1  # (1, 0), (1, 1), (0, 2)
    assert second.nonzero()[0].tolist() == [1, 3, 4, 5] and second.max() == 1  # (1, 0), (0, 1), (1, 1), (2, 1)


def test_many_columns_are_told_apart_by_random_trees() -> None:
    rng = np.random.default_rng(0)
    data, same = rng.integers(50, size=(2, 200, 150))
    other = np.where(rng.random((200, 150)) < 0.2, 60, same)
    judge = trees_judge(SampleSpace((150,), 200))
    assert judge.measure(same, data).value < 0.6 and judge.measure(other, data).value > 0.8


# Text.


def naive_cross_entropy(samples: list[str], data: list[str], order: int) -> float:
    """Bits a character, with Witten and Bell's rule, one character after the other."""
    follows: dict[str, Counter[str]] = {}
    for text in samples:
        for place, letter in enumerate(text):
            for length in range(min(place, order - 1) + 1):
                follows.setdefault(text[place - length : place], Counter())[letter] += 1
    size, bits = len(set("".join(samples + data))), []
    for text in data:
        for place, letter in enumerate(text):
            chance = 1 / size
            for length in range(min(place, order - 1) + 1):
                seen = follows.get(text[place - length : place])
                if seen:
                    chance = (seen[letter] + len(seen) * chance) / (seen.total() + len(seen))
            bits.append(-math.log2(chance))
    return float(np.mean(bits))


@pytest.mark.parametrize("order", [1, 3, 5])
def test_the_figure_of_texts_is_the_mean_of_its_parts(order: int) -> None:
    samples, data = ["abcabcabd", "bcabca", "x", "", "abcdefg"], ["abcabc", "bcabcabc", "zabcdefg"]
    expected = (ngram_divergences(samples, data, order)[-1] + naive_cross_entropy(samples, data, order)) / 2
    assert text_verdict(samples, data, order).value == pytest.approx(expected)


def test_lost_variety_and_wrong_letters_both_make_texts_worse() -> None:
    real, rng = long_chains(0.9), np.random.default_rng(0)
    data, floor = real(400, 0), TEXT.measure(real(400, 1), real(400, 0))
    few = np.repeat(real(100, 1), 4, axis=0)
    wrong = np.where(rng.random((400, 32)) < 0.03, rng.integers(8, size=(400, 32)), real(400, 1))
    assert floor.beats(TEXT.measure(few, data)) and floor.beats(TEXT.measure(wrong, data))


def test_where_texts_end_counts_only_if_they_end() -> None:
    codes = chains(300, 1, 0.8, 8)
    short = ["".join(ALPHABET[code] for code in row[: 4 + row[0]]) for row in codes]
    lookup = {row.tobytes(): text for row, text in zip(codes, short, strict=True)}

    def decode(rows: np.ndarray) -> list[str]:
        return [lookup[row.tobytes()] for row in rows]

    apart, ending = (text_judge(decode, codes, ends).measure(codes[:150], codes[150:]) for ends in (False, True))
    assert apart != ending


def test_texts_without_a_letter_are_refused() -> None:
    with pytest.raises(InputError, match="some that are not empty"):
        text_verdict(["", ""], ["a", "b"], 3)


def test_of_long_texts_fewer_are_asked_for() -> None:
    for length, count in ((32, 1000), (128, 250), (2000, 100)):
        assert text_judge(texts_of, chains(4, 0, 0.8, length, 8), ends=False).num_samples == count


@pytest.mark.parametrize(("keep", "order"), [(1.0, 6), (0.0, 4)])
def test_ngrams_that_do_not_repeat_are_not_compared(keep: float, order: int) -> None:
    assert text_judge(texts_of, chains(400, 0, keep, 32, 8), ends=False).title.startswith(f"mean of JSD-{order} ")


# Images.


def test_features_have_unit_variance_and_take_colours_and_odd_sizes() -> None:
    rng = np.random.default_rng(0)
    for shape in ((30, 7, 5), (30, 1, 1), (30, 6, 9, 3), (5, 150, 130, 3), (5, 200, 3)):
        images = rng.integers(256, size=shape, dtype=np.uint8)
        features = FrozenFeatures(images)
        assert features(images).shape == (len(images), 64)
        assert features(images).var(0).sum() == pytest.approx(1, rel=1e-3)
    blank = np.zeros((30, 8, 8), np.uint8)
    assert np.isfinite(FrozenFeatures(blank)(blank)).all()


# What they share, and a user's own.


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    draws = np.random.default_rng(0).normal(size=20)
    verdict = jackknife(lambda is_kept: float(draws[is_kept].mean()), 20)
    assert verdict == Verdict(pytest.approx(draws.mean()), pytest.approx(draws.std(ddof=1) / math.sqrt(20)))


def test_a_function_of_values_is_a_judge() -> None:
    asked = []

    def error_of_mean(samples: np.ndarray, data: np.ndarray) -> float:
        asked.append((samples.dtype.kind, len(samples), len(data)))
        return abs(float(samples.mean() - data.mean()))

    judge = judge_of(error_of_mean, decode=lambda codes: codes * 0.5)
    rng = np.random.default_rng(0)
    data = np.zeros((50, 1), int)
    verdicts = [judge.measure(rng.integers(10, size=(400, 1)), data) for _ in range(50)]
    assert judge.title == "error_of_mean" and asked[:2] == [("f", 400, 50), ("f", 100, 50)]
    check_noise(verdicts)


def test_a_function_may_say_its_own_noise() -> None:
    judge = judge_of(lambda samples, data: (np.float32(2), 0.25), title="of my own")
    assert judge.measure(np.zeros((1, 1)), np.zeros((1, 1))) == Verdict(2.0, 0.25) and judge.title == "of my own"


@pytest.mark.parametrize("value", [math.nan, math.inf, "much", None, (1.0, math.nan), (1, 2, 3)])
def test_what_is_no_number_is_refused_by_name(value: Any) -> None:
    judge = judge_of(lambda samples, data: value, title="my figure")
    with pytest.raises(InputError, match="judge 'my figure' must give a finite number"):
        judge.measure(np.zeros((8, 1)), np.zeros((8, 1)))


def test_an_error_of_the_function_passes_through() -> None:
    def broken(samples: Any, data: Any) -> float:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        judge_of(broken).measure(np.zeros((8, 1)), np.zeros((8, 1)))
