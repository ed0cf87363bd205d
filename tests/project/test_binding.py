"""The chain and the targets over all sequences of eight bases, by slow sums over them."""

import importlib
import math
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import refusal

binding: Any = importlib.import_module("experiments.binding")

TEXTS = ["".join(bases) for bases in product("ACGT", repeat=8)]
COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A"}


def turned(text: str) -> str:
    return "".join(COMPLEMENT[base] for base in reversed(text))


HEADER = "8-mer\t8-mer\tE-score\tMedian\tZ-score\n"


def line(one: str, other: str, score: object) -> str:
    return f"{one}\t{other}\t0.1\t70000.0\t{score}\n"


def test_scores_of_all_sequences(tmp_path: Path) -> None:
    path = tmp_path / "scores.txt"
    rng = np.random.default_rng(0)
    scores: dict[str, float] = {}
    lines = [HEADER]
    for text in TEXTS:
        if text not in scores:
            scores[text] = scores[turned(text)] = round(float(rng.normal()), 4)
            lines.append(line(text, turned(text), scores[text]))
    path.write_text("".join(lines))
    assert len(lines) == 32_897
    np.testing.assert_array_equal(binding.load_scores(path), [scores[text] for text in TEXTS])
    np.testing.assert_array_equal(binding.numbers_of(binding.all_codes()), np.arange(65_536))
    assert "".join("ACGT"[code] for code in binding.all_codes()[4321]) == TEXTS[4321]

    path.write_text("".join(lines[:2] + lines[3:]))
    assert refusal(lambda: binding.load_scores(path)) == f"{path} must score all 65,536 sequences, got 65,534"


@pytest.mark.parametrize(
    "wrong",
    [
        line("AAAAAAAA", "TTTTTTTT", 1),
        line("AAAAAAAC", "TTTTTTTT", 1),
        line("AAAAAAA", "TTTTTTT", 1),
        line("AAAAAAA0", "0TTTTTTT", 1),
        line("AAAAAAAC", "GTTTTTTT", "high"),
        "AAAAAAAC\n",
    ],
    ids=["again", "no complement", "short", "no base", "no number", "no columns"],
)
def test_wrong_lines_are_refused(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "scores.txt"
    path.write_text(HEADER + line("TTTTTTTT", "AAAAAAAA", 2) + wrong)
    assert refusal(lambda: binding.load_scores(path)).startswith(
        f"{path} must have in line 3 a sequence of eight bases"
    )


def test_the_chain_base_by_base() -> None:
    assert binding.START.sum() == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(binding.TRANSITIONS.sum(1), 1, atol=1e-15)
    log_prob = binding.chain_log_prob()
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-12)
    text = "GATTACAC"
    expected = binding.START["ACGT".index("G")]
    for one, after in pairwise(text):
        expected *= binding.TRANSITIONS["ACGT".index(one), "ACGT".index(after)]
    assert log_prob[TEXTS.index(text)] == pytest.approx(math.log(expected), abs=1e-12)

    codes = binding.sample_chain(40_000, seed=1)
    assert codes.shape == (40_000, 8)
    followers = np.bincount(codes[:, 3] * 4 + codes[:, 4], minlength=16).reshape(4, 4)
    for row, probabilities in zip(followers, binding.TRANSITIONS, strict=True):
        expected_row = row.sum() * probabilities
        assert ((row - expected_row) ** 2 / expected_row).sum() < 16.3  # chi-square of 3 degrees, p = .001


@pytest.mark.parametrize("reward_weight", [0.0, 0.5, 1.0])
def test_targets_and_their_figures(reward_weight: float) -> None:
    p, scores = np.exp(binding.chain_log_prob()), np.random.default_rng(2).normal(size=65_536)
    weights = np.exp(reward_weight * scores)
    target = p * weights / (p * weights).sum()
    log_target = binding.target_log_prob(scores, reward_weight)
    np.testing.assert_allclose(np.exp(log_target), target, rtol=1e-9)
    share = binding.effective_share(np.log(p), reward_weight * scores)
    assert share == pytest.approx((p * weights).sum() ** 2 / (p * weights**2).sum(), rel=1e-9)
    assert binding.divergence(log_target, log_target) == pytest.approx(0, abs=1e-12)
    assert binding.divergence(np.log(p), log_target) == pytest.approx((p * np.log(p / target)).sum(), abs=1e-9)
    one = np.full(65_536, -np.inf)
    one[7] = 0.0
    assert binding.divergence(one, log_target) == pytest.approx(-log_target[7], abs=1e-12)


def test_the_law_of_a_candidate_that_is_chosen() -> None:
    q = np.array([0.5, 0.3, 0.15, 0.05])
    w = np.array([1.0, 2.0, 0.5, 20.0])
    expected = np.zeros(4)
    for drawn in product(range(4), repeat=3):
        for one in drawn:
            expected[one] += q[[*drawn]].prod() * w[one] / w[[*drawn]].sum()
    for seed in range(2):
        law = np.exp(binding.resampled_law(np.log(q), np.log(w), 3, draws=100_000, seed=seed))
        np.testing.assert_allclose(law, expected, atol=2e-3)
