"""The measured noise of a gradient, against what is known of it."""

import pytest
import torch
from players import TableDiscriminator, TableGenerator, players

from bgan_discrete.errors import InputError
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.gradients import gradient_statistics
from bgan_discrete.game.rules import Game
from bgan_discrete.game.updates import Outcome

K, N, M = 3, 2, 4


SCORES = (1.0, -2.0, 0.5)


def table() -> TableGenerator:
    """One and the same categorical for each latent."""
    return TableGenerator(torch.tensor([[0.2, -0.4, 0.9]]))


def scores(values: tuple[float, ...] = SCORES) -> TableDiscriminator:
    return TableDiscriminator(torch.tensor(values), learns=False)


def test_the_statistics_of_a_known_gradient() -> None:
    # rloo's mean is the gradient of E F, whatever M; its variance is measured over many more repetitions.
    generator, game = table(), Game(make_estimator("rloo"), M)
    rng = torch.Generator().manual_seed(0)
    found = gradient_statistics(game, players(generator, scores()), lambda: torch.zeros(N, 1), 2500, rng)
    p, f = torch.softmax(generator.logits.detach()[0], 0), torch.tensor(SCORES)
    exact = p * (f - p @ f)
    assert found["signal"] == pytest.approx(float(exact.square().sum()), rel=0.05)
    fewer = gradient_statistics(game, players(generator, scores()), lambda: torch.zeros(4 * N, 1), 2500, rng)
    assert fewer["variance"] == pytest.approx(found["variance"] / 4, rel=0.1)
    assert fewer["signal_to_noise"] == pytest.approx(2 * found["signal_to_noise"], rel=0.1)
    assert generator.logits.grad is None


def test_the_figures_are_those_of_the_repeated_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    # Losses whose gradients are known: with three of them every correction counts.
    generator = table()
    slopes = torch.tensor([[1.0, 0.0, 2.0], [3.0, -1.0, 0.0], [2.0, 2.5, 1.0]])
    made = iter(slopes)
    monkeypatch.setattr(
        "bgan_discrete.game.gradients.generator_loss", lambda *_: Outcome((generator.logits * next(made)).sum(), {})
    )
    found = gradient_statistics(
        Game(make_estimator("rloo"), M), players(generator, scores()), lambda: torch.zeros(N, 1), 3
    )
    variance = float(slopes.var(0, unbiased=True).sum())
    signal = float(slopes.mean(0).square().sum()) - variance / 3
    assert found["variance"] == pytest.approx(variance)
    assert found["signal"] == pytest.approx(signal)
    assert found["signal_to_noise"] == pytest.approx((signal / variance) ** 0.5)


def test_no_signal_and_no_noise() -> None:
    latents, flat = torch.zeros(N, 1), scores((0.0, 0.0, 0.0))
    found = gradient_statistics(Game(make_estimator("rloo"), M), players(table(), flat), lambda: latents, 3)
    assert found["variance"] == 0 and found["signal"] == 0
    noisy = gradient_statistics(Game(make_estimator("bgan"), M), players(table(), flat), lambda: latents, 400)
    assert noisy["variance"] > 0 and noisy["signal_to_noise"] < 0.2


def test_the_state_of_an_estimator_stays() -> None:
    estimator = make_estimator("reinforce")
    before = {name: value.clone() for name, value in estimator.state_dict().items()}
    gradient_statistics(Game(estimator, M), players(table(), scores()), lambda: torch.zeros(N, 1), 5)
    assert all(torch.equal(before[name], value) for name, value in estimator.state_dict().items())


def test_one_repetition_is_refused() -> None:
    with pytest.raises(InputError, match="repeats must be at least 2, got 1"):
        gradient_statistics(Game(), players(table(), scores()), lambda: torch.zeros(N, 1), 1)
