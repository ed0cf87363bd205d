"""Normalised weights, effective sample size and partition functions."""

import math
from collections.abc import Callable
from decimal import Decimal

import pytest
import torch
from hypothesis import given, settings
from large_numbers import large_log_weights, log_sum, sixty_digits
from two_processes import by_two_processes

from bgan_discrete.errors import InputError
from bgan_discrete.game.weights import (
    effective_sample_size,
    log_normalized_weights,
    log_partition,
    normalized_weights,
    weight_diagnostics,
)


@pytest.fixture
def log_w() -> torch.Tensor:
    return 2 * torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_normalised_over_the_latent_or_the_batch(log_w: torch.Tensor) -> None:
    w = log_w.exp()
    for found, expected in (
        (normalized_weights(log_w), w / w.sum(0)),
        (log_normalized_weights(log_w).exp(), w / w.sum(0)),
        (normalized_weights(log_w, "batch"), 4 * w / w.sum()),
    ):
        torch.testing.assert_close(found, expected)
        assert found.mean() == pytest.approx(1 / 6)


def test_effective_sample_size(log_w: torch.Tensor) -> None:
    w = log_w.exp()
    torch.testing.assert_close(effective_sample_size(log_w), w.sum(0) ** 2 / (w**2).sum(0))
    torch.testing.assert_close(effective_sample_size(torch.zeros(7, 2)), torch.full((2,), 7.0))
    one = torch.full((7, 2), -200.0)
    one[3] = 0
    torch.testing.assert_close(effective_sample_size(one), torch.ones(2))


def test_partition_functions(log_w: torch.Tensor) -> None:
    assert log_partition(log_w) == pytest.approx(float(log_w.exp().mean().log()))
    torch.testing.assert_close(log_partition(log_w, "latent"), log_w.exp().mean(0).log())


def test_weights_of_zero_alone_have_a_partition_function_of_zero() -> None:
    nothing = torch.full((3, 2), -torch.inf)
    assert log_partition(nothing) == -torch.inf
    assert (log_partition(nothing, over="latent") == -torch.inf).all()


def test_calibrated_ratios_have_a_partition_function_of_one() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    draws = torch.repeat_interleave(torch.arange(3), (10 * q).round().long())
    assert log_partition((p / q).log()[draws][:, None]) == pytest.approx(0, abs=1e-6)


def test_weights_far_outside_the_range_of_exp() -> None:
    log_w = torch.tensor([[3000.0, -3000.0], [2999.0, -3001.0]])
    expected = torch.tensor([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])[:, None].expand(2, 2)
    torch.testing.assert_close(normalized_weights(log_w), expected)
    assert all(torch.isfinite(value).all() for value in weight_diagnostics(log_w).values())


def test_diagnostics(log_w: torch.Tensor) -> None:
    found = weight_diagnostics(log_w)
    assert found["ess_fraction"] == pytest.approx(float(effective_sample_size(log_w).mean() / 6))
    assert found["max_weight"] == pytest.approx(float(normalized_weights(log_w).amax(0).mean()))
    assert found["log_beta"] == pytest.approx(float(log_partition(log_w)))
    assert found["log_weight_std"] == pytest.approx(float(log_w.std(correction=0)))


def test_two_processes_with_half_the_latents_each_weigh_as_one_does_with_all(log_w: torch.Tensor) -> None:
    halves = log_w.split(2, dim=1)
    for over in ("latent", "batch"):
        found = by_two_processes(lambda part, who, o=over: normalized_weights(part, o, who), halves)  # type: ignore[arg-type]
        torch.testing.assert_close(torch.cat(found, dim=1), normalized_weights(log_w, over))  # type: ignore[arg-type]
    some = torch.tensor([[1.0, -0.5, 0.25, 0.0], [0.5, 1.0, -1.0, 0.75]])
    for weights in (some, 1e5 * some, 3e38 * some, log_w):
        whole = weight_diagnostics(weights)
        for found in by_two_processes(weight_diagnostics, weights.split(2, dim=1)):
            for name in ("log_beta", "log_weight_std"):
                torch.testing.assert_close(found[name], whole[name])
    means = [weight_diagnostics(part)["log_weight_std"] for part in halves]
    assert abs(whole["log_weight_std"] - sum(means) / 2) > 1e-3, "or the means of the halves would do"


def test_diagnostics_of_weights_with_a_graph_have_none(log_w: torch.Tensor) -> None:
    assert not any(value.requires_grad for value in weight_diagnostics(log_w.requires_grad_()).values())


def test_errors() -> None:
    with pytest.raises(InputError, match="num_draws must be at least 2 with weights normalised per latent, got 1"):
        normalized_weights(torch.zeros(1, 5))
    with pytest.raises(InputError, match="'latent' or 'batch', got 'sample'"):
        normalized_weights(torch.zeros(2, 5), "sample")  # type: ignore[arg-type]
    assert normalized_weights(torch.zeros(1, 5), "batch").shape == (1, 5)


def exact(log_w: torch.Tensor) -> dict[str, list[Decimal]]:
    """What the functions of weights give."""
    columns = [[Decimal(value) for value in column] for column in log_w.double().T.tolist()]
    every = [value for column in columns for value in column]
    mean = sum(every) / len(every)
    return {
        "ess": [2 * log_sum(column) - log_sum([2 * value for value in column]) for column in columns],
        "max_weight": [sum((max(column) - log_sum(column)).exp() for column in columns) / len(columns)],
        "log_beta": [log_sum(every) - Decimal(len(every)).ln()],
        "log_alpha": [log_sum(column) - Decimal(len(column)).ln() for column in columns],
        "std": [(sum((value - mean) ** 2 for value in every) / len(every)).sqrt()],
        "latent": [(value - log_sum(column)).exp() for column in columns for value in column],
        "batch": [(value - log_sum(every)).exp() * len(columns) for column in columns for value in column],
    }


def differing(log_w: torch.Tensor, ess: Callable[[torch.Tensor], torch.Tensor]) -> list[str]:
    """The names of what is not right to five digits, or of the largest F, where it is of the size of F."""
    with sixty_digits():
        found = exact(log_w)
    figures = weight_diagnostics(log_w)
    got = {
        "ess": ess(log_w).double().log(),
        "max_weight": figures["max_weight"],
        "log_beta": figures["log_beta"],
        "log_alpha": log_partition(log_w, "latent"),
        "std": figures["log_weight_std"],
        "latent": normalized_weights(log_w).T,
        "batch": normalized_weights(log_w, "batch").T,
    }
    wrong = []
    for name, values in found.items():
        largest = float(log_w.double().abs().max()) if name in ("log_beta", "log_alpha", "std") else 1.0
        given = got[name].double().flatten().tolist()
        if not all(abs(a - float(b)) <= 2e-5 * max(largest, 1.0) for a, b in zip(given, values, strict=True)):
            wrong.append(name)
    return wrong


@settings(max_examples=100, deadline=None)
@given(large_log_weights())
def test_diagnostics_are_right_for_every_finite_f(log_w: torch.Tensor) -> None:
    assert differing(log_w, effective_sample_size) == []


def test_the_comparison_notices_logarithms_of_sums_that_lose_their_digits() -> None:
    def from_sums(log_w: torch.Tensor) -> torch.Tensor:
        return torch.exp(2 * torch.logsumexp(log_w, dim=0) - torch.logsumexp(2 * log_w, dim=0))

    for size in (1e5, 1e7, 3e38):
        log_w = torch.full((4, 2), size)
        assert effective_sample_size(log_w).tolist() == pytest.approx([4.0, 4.0])
        assert differing(log_w, from_sums) == ["ess"]


# Small faults that nothing above would notice.


def test_the_partition_of_a_latent_keeps_its_digits_beside_one_of_much_larger_weights() -> None:
    small = torch.tensor([[0.25], [-0.5], [0.125]])
    both = torch.cat([small, small + 2.0**24], dim=1)
    torch.testing.assert_close(log_partition(both, "latent")[:1], log_partition(small, "latent"))


@pytest.mark.parametrize("over", ["batch", "latent"])
def test_the_gradient_of_the_partition_function_is_the_share_of_each_draw(log_w: torch.Tensor, over: str) -> None:
    log_w.requires_grad_()
    (gradient,) = torch.autograd.grad(log_partition(log_w, over).sum(), log_w)  # type: ignore[arg-type]
    w = log_w.detach().exp()
    torch.testing.assert_close(gradient, w / (w.sum() if over == "batch" else w.sum(0)))
