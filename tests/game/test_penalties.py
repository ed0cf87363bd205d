"""Gradient penalties against formulas and naive loops; spectral normalisation against the singular values."""

import pytest
import torch
from torch import Tensor, nn

from bgan_discrete.errors import InputError
from bgan_discrete.game.penalties import PENALTIES, get_penalty
from bgan_discrete.nn import MLPDiscriminator
from bgan_discrete.space import SampleSpace

K = 3


class Linear(nn.Module):
    """F(x) = <a, x>, whose gradient is a everywhere."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.a).flatten(1).sum(1)


class Curved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(4 * K, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(1)


def value(name: str, *arguments: object) -> float:
    penalty = get_penalty(name)
    assert penalty is not None
    return float(penalty(*arguments).detach())


def codes(seed: int, count: int = 5) -> Tensor:
    return torch.randint(0, K, (count, 4), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


@torch.no_grad()
def naive_squared_norm(discriminator: nn.Module, x: Tensor) -> tuple[float, float]:
    """F and |dF/dx|^2 of one sample, by central differences."""
    gradient, step = torch.zeros_like(x), 1e-3
    for i in range(x.numel()):
        shift = torch.zeros(x.numel(), dtype=x.dtype)
        shift[i] = step
        up, down = (discriminator((x + s * shift.view_as(x))[None]) for s in (1, -1))
        gradient.view(-1)[i] = (up - down) / (2 * step)
    return float(discriminator(x[None]).detach()), float(gradient.detach().square().sum())


def one_hots(batch: Tensor) -> Tensor:
    return nn.functional.one_hot(batch.long(), K).double()


def test_of_a_linear_discriminator() -> None:
    a = torch.randn(4, K)
    real, fake = codes(0), codes(1)
    squared = float(a.square().sum())
    assert value("r1", Linear(a), real, fake, K) == pytest.approx(squared / 2, rel=1e-5)
    assert value("wgan_gp", Linear(a), real, fake, K) == pytest.approx((squared**0.5 - 1) ** 2, rel=1e-4)
    d = [torch.sigmoid(Linear(a)(one_hots(part).float())).detach() for part in (real, fake)]
    expected = float(0.5 * squared * ((1 - d[0]).square().mean() + d[1].square().mean()))
    assert value("roth", Linear(a), real, fake, K) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_of_prefixes_it_is_that_of_their_mean(name: str) -> None:
    a = torch.randn(4, K)
    linear, real, fake = Linear(a), codes(0), codes(1)

    def prefixes(x: Tensor) -> Tensor:
        return linear(x)[:, None] * torch.tensor([1.0, -2.0, 4.0])

    assert value(name, prefixes, real, fake, K) == pytest.approx(value(name, linear, real, fake, K), rel=1e-5)


@pytest.mark.usefixtures("float64")
def test_r1_and_roth_against_differences() -> None:
    discriminator, real, fake = Curved(), codes(2), codes(3)
    reals = [naive_squared_norm(discriminator, x) for x in one_hots(real)]
    fakes = [naive_squared_norm(discriminator, x) for x in one_hots(fake)]
    r1 = 0.5 * sum(norm for _, norm in reals) / len(reals)
    assert value("r1", discriminator, real, fake, K) == pytest.approx(r1, rel=1e-5)
    sides = ([(1 - torch.sigmoid(torch.tensor(f))) ** 2 * n for f, n in reals], [])
    sides[1].extend(torch.sigmoid(torch.tensor(f)) ** 2 * n for f, n in fakes)
    roth = float(0.5 * sum(sum(side) / len(side) for side in sides))
    assert value("roth", discriminator, real, fake, K) == pytest.approx(roth, rel=1e-5)


@pytest.mark.usefixtures("float64")
def test_wgan_gp_looks_between_the_samples() -> None:
    discriminator, real, fake = Curved(), codes(4), codes(5, 7)
    generator = torch.Generator().manual_seed(0)
    got = value("wgan_gp", discriminator, real, fake, K, generator)
    position = torch.rand((5, 1, 1), generator=torch.Generator().manual_seed(0))
    points = (1 - position) * one_hots(real) + position * one_hots(fake[:5])
    norms = [naive_squared_norm(discriminator, x)[1] ** 0.5 for x in points]
    assert got == pytest.approx(sum((norm - 1) ** 2 for norm in norms) / 5, rel=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_it_trains_the_discriminator_and_nothing_else(name: str) -> None:
    discriminator = MLPDiscriminator(SampleSpace((4,), K), width=8)
    real, fake = codes(6), codes(7)
    get_penalty(name)(discriminator, real, fake, K).backward()
    gradients = [p.grad for p in discriminator.hidden.parameters() if p.grad is not None]
    assert any(bool(g.abs().max() > 0) for g in gradients)
    # Soft one-hots of a generator are data here: they are neither marked nor does a gradient, or a graph, reach them.
    logits = torch.randn(5, 4, K, requires_grad=True)
    plain, attached = torch.rand(5, 4, K), logits.softmax(-1)
    for given in ((plain, attached), (attached, plain)):
        get_penalty(name)(discriminator, *given, K).backward()
        assert logits.grad is None
        assert not plain.requires_grad and attached.grad_fn is not None


def test_the_random_points_of_wgan_gp_are_one_for_each_sample_in_the_precision_of_the_samples() -> None:
    """Of F = sum x^2 / 2 the gradient is the point itself."""
    seen: list[Tensor] = []

    def half_square(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return 0.5 * x.square().flatten(1).sum(1)

    real, fake = torch.zeros(6, 4, K, dtype=torch.float64), torch.ones(4, 4, K, dtype=torch.float64)
    found = get_penalty("wgan_gp")(half_square, real, fake, K, torch.Generator().manual_seed(0))
    position = torch.rand(4, 1, 1, generator=torch.Generator().manual_seed(0)).double()
    assert found.dtype == torch.float64 and seen[0].dtype == torch.float64
    assert torch.equal(seen[0], position.expand(4, 4, K))
    torch.testing.assert_close(found, ((4 * K) ** 0.5 * position - 1).square().mean())
    assert len(position.unique()) == 4


def test_a_flat_discriminator_has_finite_gradients() -> None:
    for name in PENALTIES:
        discriminator = Linear(torch.zeros(4, K))
        get_penalty(name)(discriminator, codes(8), codes(9), K).backward()
        assert torch.isfinite(discriminator.a.grad).all()


def test_names() -> None:
    assert get_penalty("none") is None
    with pytest.raises(InputError, match="'r2' is unknown; choose one of none, r1, roth, wgan_gp"):
        get_penalty("r2")


# Small faults that nothing above would notice.


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_computed_where_the_samples_are(name: str) -> None:
    """On the device that holds no values, which refuses tensors of another."""
    discriminator, samples = Linear(torch.zeros(4, K, device="meta")), torch.rand(5, 4, K, device="meta")
    assert get_penalty(name)(discriminator, samples, samples.clone(), K).device.type == "meta"  # type: ignore[misc]
