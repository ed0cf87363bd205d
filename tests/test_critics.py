"""A fresh critic is calibrated: on two distributions whose divergence is known, and on one and the same."""

import math

import numpy as np
import pytest
import torch

from bgan_discrete.errors import InputError
from bgan_discrete.metrics.critics import critic_divergence
from bgan_discrete.nn import MLPDiscriminator

K = 4
P, Q = np.array([0.45, 0.25, 0.18, 0.12]), np.array([0.12, 0.2, 0.3, 0.38])


def samples(p: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Two independent positions."""
    return np.random.default_rng(seed).choice(K, size=(count, 2), p=p).astype(np.uint8)


def critic() -> MLPDiscriminator:
    return MLPDiscriminator((2,), K, width=32)


def exact(kind: str) -> float:
    p, q = np.outer(P, P).ravel(), np.outer(Q, Q).ravel()
    if kind == "reverse_kl":
        return float((q * np.log(q / p)).sum())
    m = (p + q) / 2
    return float((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum())


@pytest.mark.parametrize("kind", ["jensen_shannon", "reverse_kl"])
def test_the_estimate_is_the_known_divergence(kind: str) -> None:
    found = critic_divergence(samples(P, 8000, 0), samples(Q, 8000, 1), K, critic, kind, steps=1200)
    assert found == pytest.approx(exact(kind), rel=0.12)


@pytest.mark.parametrize("kind", ["jensen_shannon", "reverse_kl", "wasserstein"])
def test_two_sets_from_one_distribution_are_not_told_apart(kind: str) -> None:
    found = critic_divergence(samples(P, 4000, 0), samples(P, 4000, 1), K, critic, kind, steps=300)
    assert abs(found) < 0.03


def test_the_wasserstein_estimate_is_the_distance_of_two_points() -> None:
    # One position, all of one side here and all of the other there: the one-hots lie sqrt(2) apart.
    a, b = np.zeros((200, 1), dtype=np.uint8), np.full((200, 1), 3, dtype=np.uint8)
    found = critic_divergence(a, b, K, lambda: MLPDiscriminator((1,), K, width=32), "wasserstein", steps=400)
    assert found == pytest.approx(math.sqrt(2), rel=0.1)


def test_soft_outputs_are_judged_as_what_they_are() -> None:
    # The mean of a fair coin is not a coin: a critic tells the grey from the black and white at once.
    real = np.random.default_rng(0).integers(0, 2, size=(1000, 3)).astype(np.uint8)
    soft = np.full((1000, 3, 2), 0.5, dtype=np.float32)
    found = critic_divergence(real, soft, 2, lambda: MLPDiscriminator((3,), 2, width=16, encoding="onehot"), steps=500)
    assert found > 0.9 * 2 * math.log(2)


def test_a_critic_that_learns_its_samples_by_heart_is_judged_by_others_and_at_its_best_moment() -> None:
    # 48 samples a side of one distribution to learn from: by heart they are 2 log 2 apart, and on others the last state
    # of such a critic is far below 0; its best moment is near it.
    a, b = (np.random.default_rng(seed).integers(0, K, size=(80, 12)).astype(np.uint8) for seed in (0, 1))
    found = critic_divergence(a, b, K, lambda: MLPDiscriminator((12,), K, width=128), steps=400)
    assert -0.3 < found < 0.3


def test_it_repeats_and_leaves_the_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    values = [critic_divergence(samples(P, 100, 0), samples(Q, 100, 1), K, critic, steps=5, seed=3) for _ in range(2)]
    assert values[0] == values[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_errors() -> None:
    few, enough = samples(P, 9, 0), samples(P, 20, 0)
    with pytest.raises(InputError, match="real must hold at least 10 samples to be split, got 9"):
        critic_divergence(few, enough, K, critic)
    with pytest.raises(InputError, match="divergence 'emd' is unknown"):
        critic_divergence(enough, enough, K, critic, "emd")
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        critic_divergence(enough, enough, K, critic, steps=0)
