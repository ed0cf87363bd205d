"""Relaxations against their definitions by enumeration, and WGAN-GP on softmax outputs against a closed form."""

import pytest
import torch
from players import players
from torch import Tensor, nn

from bgan_discrete import Discriminator, SampleSpace
from bgan_discrete.distributions.autoregressive import AutoregressiveCategorical
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.penalties import wgan_gp_penalty
from bgan_discrete.nn import GRUGenerator, MLPDiscriminator, MLPGenerator
from bgan_discrete.rivals.relaxations import (
    RELAXATIONS,
    frozen,
    get_relaxation,
    gumbel_straight_through,
    reinmax,
    relaxed_generator_step,
    softmax,
    straight_through,
)
from bgan_discrete.rivals.wasserstein import wasserstein_step

K = 3
SPACE = SampleSpace((2,), K)

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(autouse=True)
def _seeded(float64: None) -> None:
    torch.manual_seed(0)


def expected_gradient(name: str, logits: Tensor, function: object, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The exact mean of a relaxation's gradient: every draw weighed by its probability."""
    total = torch.zeros(K)
    for code in range(K):
        drawn = torch.nn.functional.one_hot(torch.tensor(code), K).double()
        monkeypatch.setattr("bgan_discrete.rivals.relaxations._draw", lambda *_, drawn=drawn: drawn)
        leaf = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(RELAXATIONS[name](leaf)), leaf)  # type: ignore[operator]
        total += torch.softmax(logits, -1)[code] * gradient
    return total


def true_gradient(logits: Tensor, function: object) -> Tensor:
    leaf = logits.clone().requires_grad_()
    values = torch.stack([function(row) for row in torch.eye(K)]).detach()  # type: ignore[operator]
    (gradient,) = torch.autograd.grad((torch.softmax(leaf, -1) * values).sum(), leaf)
    return gradient


def polynomial(degree: int) -> object:
    weight, mixing, cubic = torch.randn(K), torch.randn(K, K), torch.randn(K, K, K)

    def function(x: Tensor) -> Tensor:
        value = weight @ x
        if degree > 1:
            value = value + x @ mixing @ x
        return value if degree < 3 else value + torch.einsum("ijk,i,j,k->", cubic, x, x, x)

    return function


@pytest.mark.parametrize(
    ("name", "degree", "exact"),
    [
        ("straight_through", 1, True),
        ("straight_through", 2, False),
        ("reinmax", 1, True),
        ("reinmax", 2, True),
        ("reinmax", 3, False),
    ],
)
def test_straight_through_is_exact_to_first_order_and_reinmax_to_second(
    name: str, degree: int, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, function = torch.randn(K), polynomial(degree)
    error = (expected_gradient(name, logits, function, monkeypatch) - true_gradient(logits, function)).abs().max()
    assert error < 1e-12 if exact else error > 1e-3


def test_the_first_order_gradient_is_that_of_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, function = torch.randn(K), polynomial(3)
    wanted = torch.zeros(K)
    p = torch.softmax(logits, -1)
    for code in range(K):
        x = torch.eye(K)[code].requires_grad_()
        (slope,) = torch.autograd.grad(function(x), x)  # type: ignore[operator]
        wanted += p[code] * p * (slope - p @ slope)
    assert torch.allclose(expected_gradient("straight_through", logits, function, monkeypatch), wanted, atol=1e-12)


@pytest.mark.parametrize("name", ["straight_through", "gumbel_straight_through", "reinmax"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_forward_pass_is_an_exact_draw_whatever_the_temperature(name: str, temperature: float) -> None:
    logits = torch.tensor([0.3, -1.0, 1.2]).expand(60_000, 3)
    drawn = get_relaxation(name, temperature)(logits, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn.max(-1).values, torch.ones(60_000), atol=1e-12)
    assert torch.allclose(drawn.sum(-1), torch.ones(60_000), atol=1e-12)
    assert (drawn.mean(0) - torch.softmax(logits[0], -1)).abs().max() < 0.01


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_is_that_of_the_definitions(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.eye(K)[1]
    monkeypatch.setattr("bgan_discrete.rivals.relaxations._draw", lambda *_: drawn)
    logits, weight = torch.randn(K, requires_grad=True), torch.randn(K)

    def slope(function: object) -> Tensor:
        return torch.autograd.grad(weight @ function(logits), logits)[0]  # type: ignore[operator]

    def jacobian(p: Tensor) -> Tensor:
        return torch.diag(p) - torch.outer(p, p)

    p, warm = torch.softmax(logits.detach(), -1), torch.softmax(logits.detach() / temperature, -1)
    found = slope(lambda x: straight_through(x, None, temperature))
    assert torch.allclose(found, jacobian(warm) @ weight / temperature, atol=1e-12)
    middle = (drawn + warm) / 2
    found = slope(lambda x: reinmax(x, None, temperature))
    assert torch.allclose(found, (2 * jacobian(middle) - jacobian(p) / 2) @ weight, atol=1e-12)


def test_the_gumbel_gradient_is_that_of_the_softmax_of_the_same_noise() -> None:
    logits = torch.randn(5, K, requires_grad=True)
    weight = torch.randn(5, K)
    rng = torch.Generator().manual_seed(2)
    (found,) = torch.autograd.grad((weight * gumbel_straight_through(logits, rng, 0.7)).sum(), logits)
    noise = torch.empty(5, K).exponential_(generator=torch.Generator().manual_seed(2))
    soft = torch.softmax((logits - noise.log()) / 0.7, -1)
    (wanted,) = torch.autograd.grad((weight * soft).sum(), logits)
    assert torch.allclose(found, wanted, atol=1e-12)


def test_softmax_is_the_mean_of_the_draws() -> None:
    logits = torch.randn(2, 4, K)
    assert torch.equal(softmax(logits, None, 2.0), torch.softmax(logits / 2, -1))


@pytest.mark.parametrize("relaxation", [straight_through, gumbel_straight_through, reinmax])
def test_sharp_logits_stay_finite(relaxation: object) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0]], dtype=torch.float32, requires_grad=True)
    drawn = relaxation(logits, torch.Generator().manual_seed(0))  # type: ignore[operator]
    (gradient,) = torch.autograd.grad((drawn * torch.tensor([1.0, 2.0, 3.0])).sum(), logits)
    assert torch.isfinite(gradient).all() and torch.isfinite(drawn).all()


class LinearCritic(Discriminator):
    """F(x) = <w, x> + b: its gradient has the norm of w everywhere."""

    def __init__(self) -> None:
        super().__init__(SampleSpace((2,), K))
        self.weight, self.bias = nn.Parameter(torch.randn(2, K)), nn.Parameter(torch.randn(()))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return (samples * self.weight).flatten(1).sum(1) + self.bias


def test_the_penalty_of_soft_outputs_has_a_closed_form_on_a_linear_critic() -> None:
    critic = LinearCritic()
    real, fake = torch.softmax(torch.randn(4, 2, K), -1), torch.softmax(torch.randn(4, 2, K), -1)
    found = wgan_gp_penalty(critic, real, fake, K)
    assert torch.allclose(found, (critic.weight.norm() - 1) ** 2)
    assert not real.requires_grad and not fake.requires_grad


def test_the_wasserstein_step_has_a_closed_form_on_a_linear_critic() -> None:
    generator, critic = MLPGenerator(SPACE, latent_size=3, width=4), LinearCritic()
    real = torch.randint(0, K, (6, 2), dtype=torch.uint8)
    latents = torch.randn(6, 3)
    before = critic.weight.detach().clone()
    soft = torch.softmax(generator(latents).logits.detach(), -1)
    hard = torch.nn.functional.one_hot(real.long(), K).double()
    norm = before.norm()
    wanted = soft.mean(0) - hard.mean(0) + 10 * 2 * (norm - 1) * before / norm
    found = wasserstein_step(players(generator, critic), real, latents, 10, torch.Generator().manual_seed(0))
    assert torch.allclose((before - critic.weight.detach()) / 0.1, wanted, atol=1e-6)
    assert abs(found["penalty"] - (norm - 1) ** 2) < 1e-6
    assert all(p.grad is None for p in generator.parameters())


@pytest.mark.parametrize("name", RELAXATIONS)
def test_the_generators_step_moves_the_generator_alone(name: str) -> None:
    torch.set_default_dtype(torch.float32)
    generator, discriminator = (
        MLPGenerator(SPACE, latent_size=3, width=4),
        MLPDiscriminator(SPACE, width=4),
    )
    before = [p.detach().clone() for p in generator.parameters()]
    found = relaxed_generator_step(players(generator, discriminator), torch.randn(5, 3), get_relaxation(name))
    assert found["generator_gradient_norm"] > 0
    assert any(not torch.equal(a, b) for a, b in zip(before, generator.parameters(), strict=True))
    assert all(p.grad is None and p.requires_grad for p in discriminator.parameters())
    assert discriminator.training


def test_what_was_frozen_or_in_eval_mode_before_stays_so() -> None:
    discriminator = MLPDiscriminator(SPACE, width=4).eval()
    learning = [p.requires_grad_(place > 0).requires_grad for place, p in enumerate(discriminator.parameters())]
    with frozen(discriminator):
        assert not any(p.requires_grad for p in discriminator.parameters())
    assert [p.requires_grad for p in discriminator.parameters()] == learning
    assert not discriminator.training


@pytest.mark.parametrize("name", RELAXATIONS)
def test_the_generator_moves_to_where_f_is_large(name: str) -> None:
    torch.set_default_dtype(torch.float32)
    generator, critic = MLPGenerator(SPACE, latent_size=3, width=4), LinearCritic().float()
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    both = players(generator, critic, torch.optim.SGD(generator.parameters(), lr=0.3))
    rng = torch.Generator().manual_seed(0)
    for _ in range(60):
        relaxed_generator_step(both, torch.randn(32, 3, generator=rng), get_relaxation(name), rng)
    mean = torch.softmax(generator(torch.randn(200, 3, generator=rng)).logits, -1).mean(0)
    assert mean[0, 1] > 0.7 and mean[1, 2] > 0.7


def test_errors() -> None:
    with pytest.raises(InputError, match="relaxation 'rebar' is unknown; choose one of softmax"):
        get_relaxation("rebar")
    with pytest.raises(InputError, match="temperature must be above 0, got 0"):
        get_relaxation("reinmax", 0)
    torch.set_default_dtype(torch.float32)
    generator, discriminator = (
        GRUGenerator(SPACE, latent_size=3, width=4),
        MLPDiscriminator(SPACE, width=4),
    )
    assert isinstance(generator(torch.randn(2, 3)), AutoregressiveCategorical)
    with pytest.raises(InputError, match="draws all positions at once, with logits; got AutoregressiveCategorical"):
        relaxed_generator_step(players(generator, discriminator), torch.randn(5, 3), softmax)
    with torch.no_grad():
        next(discriminator.parameters()).fill_(float("nan"))
    mlp = MLPGenerator(SPACE, latent_size=3, width=4)
    with pytest.raises(NonFiniteError, match="the generator's loss is nan"):
        relaxed_generator_step(players(mlp, discriminator), torch.randn(5, 3), softmax)
    assert all(p.requires_grad for p in discriminator.parameters())
