"""A fresh critic is calibrated: on two distributions whose divergence is known, and on one and the same."""

import math

import numpy as np
import pytest
import torch

from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.metrics import critics
from bgan_discrete.metrics.critics import critic_divergence
from bgan_discrete.metrics.verdict import Verdict
from bgan_discrete.nn import MLPDiscriminator
from bgan_discrete.space import SampleSpace

K = 4
P, Q = np.array([0.45, 0.25, 0.18, 0.12]), np.array([0.12, 0.2, 0.3, 0.38])


def samples(p: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Two independent positions."""
    return np.random.default_rng(seed).choice(K, size=(count, 2), p=p).astype(np.uint8)


def critic() -> MLPDiscriminator:
    return MLPDiscriminator(SampleSpace((2,), K), width=32)


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
    found = critic_divergence(
        a, b, K, lambda: MLPDiscriminator(SampleSpace((1,), K), width=32), "wasserstein", steps=400
    )
    assert found == pytest.approx(math.sqrt(2), rel=0.1)


def test_soft_outputs_are_judged_as_what_they_are() -> None:
    # The mean of a fair coin is not a coin: a critic tells the grey from the black and white at once.
    real = np.random.default_rng(0).integers(0, 2, size=(1000, 3)).astype(np.uint8)
    soft = np.full((1000, 3, 2), 0.5, dtype=np.float32)
    found = critic_divergence(
        real, soft, 2, lambda: MLPDiscriminator(SampleSpace((3,), 2), width=16, encoding="onehot"), steps=500
    )
    assert found > 0.9 * 2 * math.log(2)


def test_a_critic_that_learns_its_samples_by_heart_is_judged_by_others_and_at_its_best_moment() -> None:
    # 48 samples a side of one distribution to learn from: by heart they are 2 log 2 apart, and on others the last state
    # of such a critic is far below 0; its best moment is near it.
    a, b = (np.random.default_rng(seed).integers(0, K, size=(80, 12)).astype(np.uint8) for seed in (0, 1))
    found = critic_divergence(a, b, K, lambda: MLPDiscriminator(SampleSpace((12,), K), width=128), steps=400)
    assert -0.3 < found < 0.3


class FirstCode(torch.nn.Module):
    """An F that cannot learn: the first code; on the way the parts of the samples that it saw are written down."""

    def __init__(self, seen: list[tuple[bool, list[int]]]) -> None:
        super().__init__()
        self.seen, self.idle = seen, torch.nn.Parameter(torch.zeros(()))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        self.seen.append((self.training, codes[:, 0].unique().tolist()))
        return codes[:, 0].float() + 0 * self.idle


def test_a_part_trains_the_critic_another_chooses_its_moment_and_the_last_gives_the_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = {"real": [1, 2, 3], "fake": [0, 0, 1]}
    asked: list[int] = []

    def split(samples: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        asked.append(len(samples))
        codes = parts["real" if len(asked) == 1 else "fake"]
        return [np.full((30, 1), code, np.uint8) for code in codes]

    monkeypatch.setattr(critics, "_split", split)
    seen: list[tuple[bool, list[int]]] = []
    a, b = np.zeros((20, 1), np.uint8), np.zeros((40, 1), np.uint8)
    found = critic_divergence(a, b, K, lambda: FirstCode(seen), "kl", steps=40)
    assert asked == [20, 40]
    assert found == pytest.approx((1 + 3) - math.exp(1)), "of the last part alone"
    check, training = [(False, [2]), (False, [0])], [(True, [1]), (True, [0])]
    # Before the training, and twenty times on the way.
    assert seen == check + (training * 2 + check) * 20 + [(False, [3]), (False, [1])]


@pytest.mark.parametrize("count", [10, 17, 1000])
def test_the_parts_of_the_samples_are_shares_without_a_common_row(count: int) -> None:
    samples = np.arange(count)
    first, other = (critics._split(samples, np.random.default_rng(seed)) for seed in (0, 1))
    most, some = round(0.6 * count), round(0.2 * count)
    assert [len(part) for part in first] == [most, some, count - most - some]
    assert sorted(np.concatenate(first).tolist()) == samples.tolist()
    assert not np.array_equal(first[2], other[2])
    assert not np.array_equal(first[0], samples[: len(first[0])])


def test_the_best_moment_is_kept_and_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The validation figures are scripted; the critic's state is the number of steps that it has taken."""

    class Counter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps, self.idle = torch.nn.Parameter(torch.zeros(())), torch.nn.Parameter(torch.zeros(()))

        def forward(self, codes: torch.Tensor) -> torch.Tensor:
            return self.idle.expand(len(codes))

    critic = Counter()
    figures = iter([0.1, math.nan, 0.3, 0.2, math.inf, 0.25])
    moments: list[tuple[int, float]] = []

    def judge(network: Counter, parts: object, part: int, kind: str) -> Verdict:
        moments.append((part, float(network.steps.detach())))
        with torch.no_grad():
            network.steps += 1
        return Verdict(next(figures) if part == 1 else -7.0, 0.0)

    monkeypatch.setattr(critics, "_judge", judge)
    monkeypatch.setattr(critics, "CHECKS", 5)
    enough = samples(P, 20, 0)
    assert critic_divergence(enough, enough, K, lambda: critic, steps=5) == -7
    # The third of six was the best; the untrained critic was the first.
    assert [part for part, _ in moments] == [1] * 6 + [2]
    assert moments[-1][1] == 2 + 1
    figures = iter([0.5, 0.1, 0.2, 0.3, 0.4, 0.45])
    moments.clear()
    critic_divergence(enough, enough, K, lambda: critic, steps=5)
    assert moments[-1][1] == moments[0][1] + 1, "where every moment is worse than none, none is the best"
    figures = iter([0.5] + [math.nan] * 5)
    with pytest.raises(NonFiniteError, match="inf or NaN on its validation samples at every check"):
        critic_divergence(enough, enough, K, lambda: critic, steps=5)


def test_the_wasserstein_penalty_has_its_weight_and_other_kinds_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def penalty(critic: torch.nn.Module, real: torch.Tensor, fake: torch.Tensor, *others: object) -> torch.Tensor:
        return 2 * critic.idle  # type: ignore[operator, return-value]

    def watched(parameters: object, norm: float) -> None:
        (parameter,) = parameters  # type: ignore[misc]
        seen.append(float(parameter.grad))
        clip([parameter], norm)

    monkeypatch.setattr(critics, "wgan_gp_penalty", penalty)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watched)
    for kind in ("wasserstein", "kl"):
        critic_divergence(samples(P, 20, 0), samples(Q, 20, 1), K, lambda: FirstCode([]), kind, steps=1)
    assert seen == [20.0, 0.0]


def test_the_rate_falls_on_a_line_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step

    def watched(self: torch.optim.Adam, *given: object) -> object:
        rates.append(self.param_groups[0]["lr"] / critics.LEARNING_RATE)
        return step(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    critic_divergence(samples(P, 20, 0), samples(Q, 20, 1), K, lambda: FirstCode([]), steps=4)
    assert rates == pytest.approx([1, 0.75, 0.5, 0.25])


def test_it_repeats_and_leaves_the_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    values = [critic_divergence(samples(P, 100, 0), samples(Q, 100, 1), K, critic, steps=5, seed=3) for _ in range(2)]
    assert values[0] == values[1]
    assert values[0] != critic_divergence(samples(P, 100, 0), samples(Q, 100, 1), K, critic, steps=5, seed=4)
    assert torch.equal(torch.get_rng_state(), before)


def test_errors() -> None:
    few, enough = samples(P, 9, 0), samples(P, 20, 0)
    assert math.isfinite(critic_divergence(samples(P, 10, 0), enough, K, critic, steps=1))
    with pytest.raises(InputError, match="real must hold at least 10 samples to be split, got 9"):
        critic_divergence(few, enough, K, critic)
    with pytest.raises(InputError, match="divergence 'emd' is unknown"):
        critic_divergence(enough, enough, K, critic, "emd")
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        critic_divergence(enough, enough, K, critic, steps=0)
