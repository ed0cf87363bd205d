"""Every divergence: ascending the bound finds log p/q, and the bound's value there is the divergence."""

import math

import pytest
import torch
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.game.divergences import DIVERGENCES, Divergence, get_divergence

REAL = torch.tensor([8, 5, 4, 2, 1])
FAKE = torch.tensor([2, 3, 4, 5, 6])
P, Q = (counts.double() / counts.sum() for counts in (REAL, FAKE))


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum()


def js(p: Tensor, q: Tensor) -> Tensor:
    """Twice the Jensen-Shannon divergence with weights one half."""
    mean = (p + q) / 2
    return kl(p, mean) + kl(q, mean)


# From the definitions of the divergences, not from f.
VALUES = {
    "gan": lambda p, q: js(p, q) - math.log(4),
    "jensen_shannon": js,
    "kl": kl,
    "reverse_kl": lambda p, q: kl(q, p),
    "squared_hellinger": lambda p, q: ((p.sqrt() - q.sqrt()) ** 2).sum(),
    "pearson_chi2": lambda p, q: ((p - q) ** 2 / q).sum(),
    "neyman_chi2": lambda p, q: ((p - q) ** 2 / p).sum(),
}


def bound(divergence: Divergence, log_ratio: Tensor) -> Tensor:
    """The bound on samples in which each category stands as often as its count says."""
    real, fake = (log_ratio[torch.repeat_interleave(torch.arange(5), counts)] for counts in (REAL, FAKE))
    return divergence.bound(real, fake)


def ascend(divergence: Divergence) -> Tensor:
    log_ratio = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log_ratio], max_iter=500, tolerance_grad=1e-13, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -bound(divergence, log_ratio)
        loss.backward()
        return loss

    optimizer.step(closure)
    return log_ratio.detach()


def test_all_seven_are_there() -> None:
    assert set(DIVERGENCES) == set(VALUES)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_ascent_finds_the_ratio_and_the_bound_is_the_divergence(name: str) -> None:
    divergence = get_divergence(name)
    found = ascend(divergence)
    torch.testing.assert_close(found.exp(), P / Q, rtol=1e-5, atol=1e-6)
    assert float(bound(divergence, found)) == pytest.approx(float(VALUES[name](P, Q)), abs=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_terms_come_from_f(name: str) -> None:
    divergence = get_divergence(name)
    log_ratio = torch.linspace(-3, 3, 13, dtype=torch.float64)
    u = log_ratio.exp().requires_grad_()
    (slope,) = torch.autograd.grad(divergence.f(u).sum(), u)
    torch.testing.assert_close(divergence.real_term(log_ratio), slope)
    torch.testing.assert_close(divergence.fake_term(log_ratio), (u * slope - divergence.f(u)).detach())
    assert float(divergence.f(torch.tensor(1.0).double())) == pytest.approx(-math.log(4) if name == "gan" else 0)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_loss_is_the_negative_bound(name: str) -> None:
    real, fake = torch.randn(4), torch.randn(6)
    divergence = get_divergence(name)
    assert torch.equal(divergence.discriminator_loss(real, fake), -divergence.bound(real, fake))


def test_the_gan_loss_is_binary_cross_entropy_and_never_overflows() -> None:
    real, fake = torch.tensor([-3.0, 2.0, 0.5]), torch.tensor([1.0, -4.0, 0.0])
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones(3)) + bce(fake, torch.zeros(3))
    torch.testing.assert_close(get_divergence("gan").discriminator_loss(real, fake), expected)
    far = torch.tensor([-1e4, 1e4])
    for name in ("gan", "jensen_shannon"):
        assert torch.isfinite(get_divergence(name).discriminator_loss(far, far))


def test_total_variation_is_refused_with_the_reason_and_an_unknown_name_with_the_choices() -> None:
    for name in ("total_variation", "tv"):
        with pytest.raises(InputError, match=r"not strictly convex.*does not carry the ratio"):
            get_divergence(name)
    with pytest.raises(InputError, match="'js' is unknown; choose one of gan, jensen_shannon"):
        get_divergence("js")
