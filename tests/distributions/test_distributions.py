"""The factorised categorical: log-probabilities, and the fast surrogate against the naive one-hot gradient."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from watching import LargestTensor

from bgan_discrete.distributions import Distribution, FactorizedCategorical, SequenceCategorical, check_logits
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.estimators import ESTIMATORS, make_estimator

METHODS = ["counts", "gather", None]


def make(event_shape: tuple[int, ...], categories: int, latents: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(categories)
    return torch.randn(latents, *event_shape, categories, generator=generator, dtype=dtype)


def naive_log_prob(logits: Tensor, codes: Tensor) -> Tensor:
    """By one-hots: the textbook formula, ``[M, N, *event, K]`` in memory."""
    picked = one_hot(codes.long(), logits.shape[-1]).to(logits.dtype) * torch.log_softmax(logits, -1)
    return picked.flatten(2).sum(-1)


@pytest.mark.parametrize("categories", [2, 3, 17, 64, 65, 1000])
@pytest.mark.parametrize("event_shape", [(1,), (5,), (4, 3), (3, 2, 4)])
def test_log_prob(categories: int, event_shape: tuple[int, ...]) -> None:
    logits = make(event_shape, categories)
    distribution = FactorizedCategorical(logits)
    codes = distribution.sample(4)
    assert codes.shape == (4, 3, *event_shape)
    torch.testing.assert_close(distribution.log_prob(codes), naive_log_prob(logits, codes))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("categories", [2, 3, 17, 80])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_surrogate_equals_the_naive_gradient(name: str, categories: int, dtype: torch.dtype) -> None:
    estimator = make_estimator(name)
    plain = make((4, 3), categories, dtype=dtype)
    codes = FactorizedCategorical(plain).sample(6, torch.Generator().manual_seed(0))
    advantages = estimator(torch.randn(6, 3, dtype=dtype, generator=torch.Generator().manual_seed(1)))
    logits = plain.clone().requires_grad_()
    expected = (advantages * naive_log_prob(logits, codes)).sum(0)
    (expected_gradient,) = torch.autograd.grad(expected.mean(), logits)
    for method, zero_sum in itertools.product(METHODS, {False, estimator.zero_sum}):
        logits = plain.clone().requires_grad_()
        surrogate = FactorizedCategorical(logits).weighted_log_prob(codes, advantages, zero_sum, method)
        (gradient,) = torch.autograd.grad(surrogate.mean(), logits)
        assert surrogate.shape == (3,)
        torch.testing.assert_close(gradient, expected_gradient)
        torch.testing.assert_close(surrogate, expected, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-5)


def test_counts_by_hand() -> None:
    codes = torch.tensor([[[0, 2]], [[2, 2]], [[1, 0]]], dtype=torch.uint8)
    distribution = FactorizedCategorical(torch.zeros(1, 2, 3))
    counts = distribution.weighted_counts(codes, torch.tensor([[0.5], [-0.2], [1.0]]))
    torch.testing.assert_close(counts, torch.tensor([[[0.5, 1.0, -0.2], [1.0, 0.0, 0.3]]]))
    binary = FactorizedCategorical(torch.zeros(1, 2, 2))
    counts = binary.weighted_counts(torch.tensor([[[0, 1]], [[1, 1]]]), torch.tensor([[0.5], [0.25]]))
    torch.testing.assert_close(counts, torch.tensor([[[0.5, 0.25], [0.0, 0.75]]]))


@pytest.mark.parametrize("categories", [2, 16, 64, 65, 500])
@pytest.mark.parametrize("method", METHODS)
def test_no_tensor_grows_with_draws_times_categories(categories: int, method: str | None) -> None:
    draws, latents, positions = 50, 4, 10
    logits = make((positions,), categories, latents, torch.float32).requires_grad_()
    with LargestTensor() as watch:
        distribution = FactorizedCategorical(logits)
        codes = distribution.sample(draws)
        advantages = make_estimator("bgan")(torch.randn(draws, latents))
        distribution.weighted_log_prob(codes, advantages, method=method).mean().backward()
    assert watch.elements <= max(draws * latents * positions, latents * positions * categories)


def test_half_precision_logits_are_raised_to_float32() -> None:
    distribution = FactorizedCategorical(torch.randn(2, 3, 4, dtype=torch.bfloat16))
    assert distribution.log_prob(distribution.sample(2)).dtype == torch.float32


def test_the_entropy_of_equal_and_of_certain_choices() -> None:
    equal = FactorizedCategorical(torch.zeros(2, 3, 4)).entropy()
    torch.testing.assert_close(equal, torch.full((2,), 3 * math.log(4)))
    logits = torch.tensor([[[3e38, -3e38, 0.0], [1e5, 0.0, 0.0]], [[0.0, 1e30, 1e30], [3e38, 3e38, -3e38]]])
    torch.testing.assert_close(FactorizedCategorical(logits).entropy(), torch.tensor([0.0, 2 * math.log(2)]))


def test_it_is_a_distribution() -> None:
    distribution = FactorizedCategorical(torch.zeros(2, 3, 5, 4))
    assert isinstance(distribution, Distribution)
    assert (distribution.batch_size, distribution.event_shape) == (2, (3, 5))
    assert (distribution.num_positions, distribution.num_categories) == (15, 4)


class Bernoulli(Distribution):
    """One coin for each latent, with the three methods that a distribution must have."""

    num_categories = 2

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits  # [N]

    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        probabilities = self.logits.detach().sigmoid().expand(num_draws, -1)
        return torch.bernoulli(probabilities, generator=rng).to(torch.uint8)[..., None]

    def log_prob(self, codes: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(self.logits * (2.0 * codes[..., 0] - 1))


def test_three_methods_are_a_distribution() -> None:
    logits = torch.randn(3, requires_grad=True)
    coins, factorized = Bernoulli(logits), FactorizedCategorical(torch.stack([torch.zeros(3), logits], -1)[:, None])
    codes, advantages = coins.sample(5), torch.randn(5, 3)
    torch.testing.assert_close(
        coins.weighted_log_prob(codes, advantages), factorized.weighted_log_prob(codes, advantages)
    )
    coins.check_finite()
    assert coins.has_log_prob and not coins.is_mixture
    with pytest.raises(InputError, match=r"one for each draw, \[M, N\], for Bernoulli, .* got \[5, 3, 1\]"):
        coins.weighted_log_prob(codes, advantages[..., None])
    for call in (lambda: coins.alternatives(codes[0]), lambda: coins.fixed_log_prob(codes)):
        with pytest.raises(InputError, match="Bernoulli has no alternatives, which credit 'alternatives' needs"):
            call()
    with pytest.raises(InputError, match="Bernoulli has no likelihood of a mixture"):
        coins.mixture_log_prob(codes[0])
    with pytest.raises(TypeError, match="abstract"):
        Distribution()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: FactorizedCategorical(torch.zeros(2, 3)), r"logits must have shape \[N, \*event_shape, K\]"),
        (lambda d: FactorizedCategorical(torch.zeros(2, 3, 4, dtype=torch.int64)), "floating point, got dtype"),
        (lambda d: FactorizedCategorical(torch.zeros(2, 3, 1)), "num_categories must be between 2"),
        (lambda d: d.log_prob(torch.zeros(5, 2, 4, dtype=torch.uint8)), r"codes must have shape \[M, 2, 3\]"),
        (lambda d: d.log_prob(torch.zeros(5, 3, 3, dtype=torch.uint8)), r"codes must have shape \[M, 2, 3\]"),
        (lambda d: d.mixture_log_prob(torch.zeros(5, 4, dtype=torch.uint8)), r"codes must have shape \[B, 3\]"),
        (lambda d: d.log_prob(torch.zeros(5, 2, 3)), "codes must be integers"),
        (
            lambda d: d.weighted_log_prob(torch.zeros(5, 2, 3, dtype=torch.uint8), torch.zeros(5, 2, 1)),
            r"advantages must have shape \[M, N\] = \[5, 2\]",
        ),
        (
            lambda d: d.weighted_log_prob(torch.zeros(5, 2, 3, dtype=torch.uint8), torch.zeros(2, 5)),
            r"advantages must have shape \[M, N\] = \[5, 2\]",
        ),
        (
            lambda d: d.weighted_log_prob(torch.zeros(5, 2, 3, dtype=torch.uint8), torch.zeros(5, 2), method="sum"),
            "method must be 'counts', 'gather' or None",
        ),
    ],
)
def test_errors(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(FactorizedCategorical(torch.zeros(2, 3, 4)))


# Small faults that nothing above would notice.


@pytest.mark.parametrize("categories", [2, 3, 100])
@pytest.mark.parametrize("kind", [FactorizedCategorical, lambda logits: SequenceCategorical(logits, 1)])
def test_everything_is_computed_where_the_logits_are(
    kind: Callable[[Tensor], FactorizedCategorical], categories: int
) -> None:
    """On the device that holds no values, which refuses tensors of another."""
    distribution = kind(torch.zeros(2, 4, categories, device="meta"))
    codes, advantages = distribution.sample(5), torch.zeros(5, 2, device="meta")
    found = [codes, distribution.log_prob(codes), distribution.mixture_log_prob(codes[0]), distribution.entropy()]
    found += [distribution.weighted_log_prob(codes, advantages, method=method) for method in ("counts", "gather")]
    found += [distribution.sharpened(0.5, 2, 0.9).log_probs, *distribution.alternatives(codes[0])]
    found += [distribution.fixed_log_prob(codes)]
    assert {part.device.type for part in found if part is not None} == {"meta"}


@pytest.mark.parametrize(("categories", "counted_by_itself"), [(64, True), (65, False)])
def test_counting_and_gathering_are_taken_as_asked_and_by_the_number_of_categories(
    categories: int, counted_by_itself: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = FactorizedCategorical(make((3,), categories))
    codes, advantages = distribution.sample(2), torch.ones(2, 3)
    counted: list[Tensor] = []
    count = distribution.weighted_counts
    monkeypatch.setattr(distribution, "weighted_counts", lambda *given: counted.append(count(*given)) or counted[-1])
    for method, wanted in (("counts", True), ("gather", False), (None, counted_by_itself)):
        counted.clear()
        distribution.weighted_log_prob(codes, advantages, method=method)
        assert bool(counted) == wanted


@pytest.mark.parametrize("categories", [2, 3])
def test_counts_need_advantages_of_every_draw(categories: int) -> None:
    distribution = FactorizedCategorical(make((3,), categories))
    with pytest.raises(ValueError, match="shorter"):
        distribution.weighted_counts(distribution.sample(3), torch.ones(2, 3))


def test_alternatives_are_those_of_codes_of_the_right_shape() -> None:
    logits, wrong = make((4,), 3), torch.zeros(5, 3, 2, dtype=torch.uint8)
    for distribution in (FactorizedCategorical(logits), SequenceCategorical(logits, 1)):
        with pytest.raises(InputError, match=r"codes must have shape \[M, 3, 4\]"):
            distribution.alternatives(wrong[0])
    with pytest.raises(InputError, match=r"codes must have shape \[M, 3, 4\]"):
        SequenceCategorical(logits, 1).fixed_log_prob(wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_logits_that_are_not_finite_are_named(dtype: torch.dtype) -> None:
    for harmless in (torch.tensor([3e38, -3e38, 0.0]), None, [math.nan]):
        check_logits(harmless)
    with pytest.raises(NonFiniteError, match=r"^the generator's logits must be finite, got NaN among them$"):
        check_logits(torch.tensor([0.0, math.nan], dtype=dtype))
    for value, told in ((math.inf, "got inf among them$"), (-math.inf, "got -inf among them; give -1e4 where nothing")):
        with pytest.raises(NonFiniteError, match=f"^the other's logits must be finite, {told}"):
            check_logits(torch.tensor([[0.0, value]], dtype=dtype), "other")


def test_advantages_are_not_taken_to_sum_to_zero_unless_it_is_said() -> None:
    distribution = FactorizedCategorical(make((3,), 4))
    codes, advantages = distribution.sample(2), torch.tensor([[1.0, 2.0, 0.5], [0.25, -3.0, 1.0]]).double()
    expected = (advantages * distribution.log_prob(codes)).sum(0)
    torch.testing.assert_close(distribution.weighted_log_prob(codes, advantages), expected)
