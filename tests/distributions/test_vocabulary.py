"""Log-probabilities over a vocabulary in chunks: equal to those of all logits at once, in value, gradient and rest."""

import functools

import pytest
import torch
from torch import Tensor, nn
from watching import LargestTensor

from bgan_discrete.distributions import autoregressive
from bgan_discrete.distributions.vocabulary import linear_log_prob
from bgan_discrete.nn import GRUGenerator, TransformerGenerator
from bgan_discrete.space import SampleSpace

R, W, K = 13, 5, 7


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    features, weight, bias = (
        torch.randn(shape, generator=rng, dtype=dtype, requires_grad=True) for shape in ((R, W), (K, W), (K,))
    )
    return features, weight, bias, torch.randint(0, K, (R,), generator=rng, dtype=torch.uint8)


def naive(features: Tensor, weight: Tensor, bias: Tensor, codes: Tensor) -> Tensor:
    return torch.log_softmax(features @ weight.T + bias, 1).gather(1, codes.long()[:, None]).squeeze(1)


@pytest.mark.parametrize("chunk_elements", [1, K, 3 * K, 5 * K, 10**6])
def test_value_and_gradients_are_those_of_all_logits_at_once(chunk_elements: int) -> None:
    features, weight, bias, codes = problem()
    upstream = torch.randn(R, dtype=torch.float64)
    ours = linear_log_prob(features, weight, bias, codes, chunk_elements)
    expected = naive(features, weight, bias, codes)
    torch.testing.assert_close(ours, expected)
    got = torch.autograd.grad((ours * upstream).sum(), (features, weight, bias))
    for one, other in zip(got, torch.autograd.grad((expected * upstream).sum(), (features, weight, bias)), strict=True):
        torch.testing.assert_close(one, other)


def test_what_needs_no_gradient_gets_none() -> None:
    features, weight, bias, codes = problem()
    linear_log_prob(features, weight.detach(), bias.detach(), codes, K).sum().backward()
    assert features.grad is not None and weight.grad is None and bias.grad is None
    with torch.no_grad():
        assert not linear_log_prob(features, weight, bias, codes).requires_grad


def test_very_sharp_logits_stay_finite() -> None:
    features, weight, bias, codes = problem(torch.float32)
    found = linear_log_prob(features * 1e4, weight, bias, codes)
    found.sum().backward()
    assert torch.isfinite(found).all() and features.grad is not None and torch.isfinite(features.grad).all()


def test_under_autocast_gradients_keep_each_tensors_precision_and_are_near() -> None:
    features, weight, bias, codes = problem(torch.float32)
    expected = torch.autograd.grad(naive(features, weight, bias, codes).sum(), (features, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_log_prob(features, weight, bias, codes, 3 * K)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, naive(features, weight, bias, codes), rtol=0.02, atol=0.05)
    for one, other in zip(torch.autograd.grad(found.sum(), (features, weight, bias)), expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("kind", [GRUGenerator, TransformerGenerator])
@pytest.mark.parametrize("end_id", [None, 0])
def test_generators_use_it_with_the_gradient_of_their_logits(kind: type[nn.Module], end_id: int | None) -> None:
    torch.manual_seed(0)
    generator = kind(SampleSpace((5,), K, end_id=end_id), latent_size=3, width=8)
    latents = torch.randn(4, 3)
    distribution = generator(latents)
    codes = distribution.sample(3, torch.Generator().manual_seed(1))
    advantages = torch.randn(3, 4)
    # At another temperature than 1 the logits of all positions are made; a temperature near 1 gives nearly the same.
    gradients = []
    for shown in (distribution, distribution.sharpened(1 + 1e-7)):
        loss = shown.weighted_log_prob(codes, advantages).sum()
        gradients.append(torch.autograd.grad(loss, list(generator.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_last_layer_of_another_kind_gives_its_own_logits() -> None:
    class Squashed(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(super().forward(x))

    torch.manual_seed(0)
    for layer in (nn.Linear(8, K, bias=False), Squashed(8, K)):
        generator = GRUGenerator(SampleSpace((5,), K), latent_size=3, width=8)
        generator.to_logits = layer
        latents = torch.randn(4, 3)
        codes = torch.randint(0, K, (2, 4, 5))
        expected = torch.log_softmax(generator.logits(codes.flatten(0, 1), latents.repeat(2, 1)), -1)
        expected = expected.gather(-1, codes.flatten(0, 1)[..., None]).squeeze(-1).view(codes.shape)
        torch.testing.assert_close(generator(latents).position_log_prob(codes), expected)


@pytest.mark.parametrize("kind", [GRUGenerator, TransformerGenerator])
def test_no_tensor_of_all_logits_is_made(kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of M N = 12 sequences of L = 8 codes over K = 4,000 categories, only the logits of a chunk exist at a time."""
    chunk = 16 * 4000
    chunked = functools.partial(linear_log_prob, chunk_elements=chunk)
    monkeypatch.setattr(autoregressive, "linear_log_prob", chunked)
    torch.manual_seed(0)
    distribution = kind(SampleSpace((8,), 4000), latent_size=3, width=8)(torch.randn(4, 3))
    with LargestTensor() as seen:
        codes = distribution.sample(3)
        distribution.weighted_log_prob(codes, torch.randn(3, 4)).sum().backward()
    assert 12 * 4000 <= seen.elements <= chunk
