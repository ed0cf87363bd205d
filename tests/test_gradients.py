"""The measured noise of a gradient, against what is known of it."""

import pytest
import torch
from torch import Tensor, nn

from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.gradients import gradient_statistics
from bgan_discrete.game.step import Game

K, N, M = 3, 2, 4


class Table(nn.Module):
    """One and the same categorical for each latent."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.2, -0.4, 0.9]))

    def forward(self, latents: Tensor) -> FactorizedCategorical:
        return FactorizedCategorical(self.logits.expand(len(latents), 1, K))


class Scores(nn.Module):
    def forward(self, codes: Tensor) -> Tensor:
        return torch.tensor([1.0, -2.0, 0.5])[codes[:, 0].long()]


def test_the_statistics_of_a_known_gradient() -> None:
    # rloo's mean is the gradient of E F, whatever M; its variance is measured over many more repetitions.
    generator, game = Table(), Game(make_estimator("rloo"), M)
    rng = torch.Generator().manual_seed(0)
    found = gradient_statistics(generator, Scores(), lambda: torch.zeros(N, 1), game, 2500, rng)
    p, scores = torch.softmax(generator.logits.detach(), 0), torch.tensor([1.0, -2.0, 0.5])
    exact = p * (scores - p @ scores)
    assert found["signal"] == pytest.approx(float(exact.square().sum()), rel=0.05)
    fewer = gradient_statistics(generator, Scores(), lambda: torch.zeros(4 * N, 1), game, 2500, rng)
    assert fewer["variance"] == pytest.approx(found["variance"] / 4, rel=0.1)
    assert fewer["signal_to_noise"] == pytest.approx(2 * found["signal_to_noise"], rel=0.1)
    assert generator.logits.grad is None


def test_the_figures_are_those_of_the_repeated_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    # Losses whose gradients are known: with three of them every correction counts.
    generator = Table()
    slopes = torch.tensor([[1.0, 0.0, 2.0], [3.0, -1.0, 0.0], [2.0, 2.5, 1.0]])
    made = iter(slopes)
    monkeypatch.setattr(
        "bgan_discrete.game.gradients.generator_loss", lambda *_: ((generator.logits * next(made)).sum(), None)
    )
    found = gradient_statistics(generator, Scores(), lambda: torch.zeros(N, 1), Game(make_estimator("rloo"), M), 3)
    variance = float(slopes.var(0, unbiased=True).sum())
    signal = float(slopes.mean(0).square().sum()) - variance / 3
    assert found["variance"] == pytest.approx(variance)
    assert found["signal"] == pytest.approx(signal)
    assert found["signal_to_noise"] == pytest.approx((signal / variance) ** 0.5)


def test_no_signal_and_no_noise() -> None:
    class Flat(nn.Module):
        def forward(self, codes: Tensor) -> Tensor:
            return torch.zeros(len(codes))

    latents = torch.zeros(N, 1)
    found = gradient_statistics(Table(), Flat(), lambda: latents, Game(make_estimator("rloo"), M), 3)
    assert found["variance"] == 0 and found["signal"] == 0
    noisy = gradient_statistics(Table(), Flat(), lambda: latents, Game(make_estimator("bgan"), M), 400)
    assert noisy["variance"] > 0 and noisy["signal_to_noise"] < 0.2


def test_the_state_of_an_estimator_stays() -> None:
    estimator = make_estimator("reinforce")
    before = {name: value.clone() for name, value in estimator.state_dict().items()}
    gradient_statistics(Table(), Scores(), lambda: torch.zeros(N, 1), Game(estimator, M), 5)
    assert all(torch.equal(before[name], value) for name, value in estimator.state_dict().items())


def test_one_repetition_is_refused() -> None:
    with pytest.raises(InputError, match="repeats must be at least 2, got 1"):
        gradient_statistics(Table(), Scores(), lambda: torch.zeros(N, 1), Game(), 1)
