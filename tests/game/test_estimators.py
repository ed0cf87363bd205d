"""Exact means and variances of all estimators, by enumeration; their behaviour at the edges of float32."""

import dataclasses
import functools
import math
from decimal import Decimal

import pytest
import torch
from enumeration import Case, exact_moments, gradient_of, random_case
from hypothesis import given, settings
from hypothesis import strategies as st
from large_numbers import large_log_weights, log_sum, sixty_digits
from torch import Tensor
from two_processes import by_two_processes

from bgan_discrete.config import TrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.game.advantages import bgan, bgan_centered, maligan, reinforce
from bgan_discrete.game.divergences import get_divergence
from bgan_discrete.game.estimators import (
    ESTIMATORS,
    Estimator,
    MatchedEstimator,
    ReinforceEstimator,
    as_estimator,
    make_estimator,
)
from bgan_discrete.game.rules import Game
from bgan_discrete.parallel import ALONE
from bgan_discrete.training.setup import make_game

TIGHT = {"rtol": 1e-11, "atol": 1e-13}
CASES = [(random_case(seed, spread=spread), draws) for seed, spread in ((0, 0.5), (1, 2.0)) for draws in (2, 3)]
BASELINE = 0.37


# The definitions, by loops over the draws and without logarithms.


def mean_of_others(values: Tensor, m: int) -> Tensor:
    return torch.cat([values[:m], values[m + 1 :]]).mean(0)


def naive(name: str, log_w: Tensor) -> Tensor:
    w, draws, latents = log_w.exp(), *log_w.shape
    if name == "bgan":
        return w / w.sum(0)
    if name == "bgan_centered":
        return w / w.sum(0) - 1 / draws
    if name == "vimco":
        return torch.stack([w.mean(0).log() - mean_of_others(w, m).log() for m in range(draws)])
    if name == "loo":
        return torch.stack([(w[m] / mean_of_others(w, m) - 1) / draws for m in range(draws)])
    if name == "rloo":
        return torch.stack([(log_w[m] - mean_of_others(log_w, m)) / draws for m in range(draws)])
    if name == "jeffreys":
        return naive("bgan_centered", log_w) + naive("rloo", log_w)
    if name == "symmetric":
        return w / w.sum(0) - (1 / w) / (1 / w).sum(0)
    if name == "matched":  # to the divergence of gan
        return naive("rloo", (1 + w).log())
    if name == "reinforce":
        return (log_w - BASELINE - 1) / draws
    assert name == "maligan"
    return latents * (w / w.sum() - 1 / (draws * latents))


def ours(name: str, log_w: Tensor) -> Tensor:
    if name == "reinforce":
        return reinforce(log_w, BASELINE)
    return make_estimator(name)(log_w)


# What each estimator's mean must be, by autograd through an enumerated objective that knows nothing of estimators.


def mean_log_ratio(case: Case, logits: Tensor) -> Tensor:
    return (case.log_prob(logits).exp() * case.log_ratio).sum() / len(logits)


def mean_log_partition(case: Case, draws: int, logits: Tensor) -> Tensor:
    """E[log Zhat_M] of a game with one latent."""
    tuples, _ = case.draws(draws)
    probabilities = case.log_prob(logits)[0].exp()[tuples[..., 0]].prod(1)
    return (probabilities * case.log_ratio.exp()[tuples[..., 0]].mean(1).log()).sum()


def self_normalized(case: Case, draws: int, logits: Tensor) -> Tensor:
    """E[sum_m w~_m log g(x_m)] with the probabilities and the weights held fixed."""
    tuples, probabilities = case.draws(draws)
    w = case.log_ratio.exp()[tuples]
    latents = torch.arange(len(logits))
    log_g = case.log_prob(logits)[latents, tuples]
    return (probabilities[:, None, None] * w / w.sum(1, keepdim=True) * log_g).sum() / len(logits)


def batch_normalized(case: Case, draws: int, logits: Tensor) -> Tensor:
    tuples, probabilities = case.draws(draws)
    w = case.log_ratio.exp()[tuples]
    log_g = case.log_prob(logits)[torch.arange(len(logits)), tuples]
    return (probabilities[:, None, None] * w / w.sum((1, 2), keepdim=True) * log_g).sum()


def expected_mean(name: str, case: Case, draws: int) -> Tensor:
    if name in ("bgan", "bgan_centered"):
        return gradient_of(case, lambda logits: self_normalized(case, draws, logits))
    if name == "vimco":
        return gradient_of(case, lambda logits: mean_log_partition(case, draws, logits))
    if name == "loo":
        # The draw and the others are independent: E[w grad log g] E[1 / mean of the others].
        partition = gradient_of(case, lambda logits: (case.log_prob(logits).exp() * case.log_ratio.exp()).sum())
        tuples, probabilities = case.draws(draws - 1)
        return partition * (probabilities / case.log_ratio.exp()[tuples[..., 0]].mean(1)).sum()
    if name in ("rloo", "reinforce"):
        return gradient_of(case, lambda logits: mean_log_ratio(case, logits))
    if name == "jeffreys":
        return expected_mean("bgan", case, draws) + expected_mean("rloo", case, draws)
    if name == "symmetric":
        return expected_mean("bgan", case, draws) - expected_mean("bgan", Case(case.logits, -case.log_ratio), draws)
    if name == "matched":
        return expected_mean("rloo", Case(case.logits, (1 + case.log_ratio.exp()).log()), draws)
    assert name == "maligan"
    return gradient_of(case, lambda logits: batch_normalized(case, draws, logits))


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(("case", "draws"), CASES)
def test_exact_mean_and_variance(name: str, case: Case, draws: int) -> None:
    mean, variance = exact_moments(case, draws, lambda log_w: ours(name, log_w))
    naive_mean, naive_variance = exact_moments(case, draws, lambda log_w: naive(name, log_w))
    torch.testing.assert_close(mean, expected_mean(name, case, draws), **TIGHT)
    torch.testing.assert_close(mean, naive_mean, **TIGHT)
    torch.testing.assert_close(variance, naive_variance, **TIGHT)
    assert variance > 0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_exact_mean_and_variance_over_two_latents(name: str) -> None:
    case, draws = random_case(3, latents=2, positions=2, categories=2), 2
    mean, variance = exact_moments(case, draws, lambda log_w: ours(name, log_w))
    _, naive_variance = exact_moments(case, draws, lambda log_w: naive(name, log_w))
    if name not in ("vimco", "loo"):
        torch.testing.assert_close(mean, expected_mean(name, case, draws), **TIGHT)
    torch.testing.assert_close(variance, naive_variance, **TIGHT)


def test_batch_normalisation_of_the_papers_weights() -> None:
    case = random_case(4, latents=2, positions=1, categories=3)
    for name in ("bgan", "bgan_centered"):
        estimator = make_estimator(name, normalization="batch")
        mean, _ = exact_moments(case, 2, estimator)
        expected = gradient_of(case, lambda logits: batch_normalized(case, 2, logits))
        torch.testing.assert_close(mean, expected, **TIGHT)
        # One draw per latent carries a signal here, since the other latents' draws share the normaliser.
        assert exact_moments(case, 1, estimator)[0].abs().max() > 1e-3
    centred, plain = (
        exact_moments(case, 2, make_estimator(name, normalization="batch"))[1] for name in ("bgan_centered", "bgan")
    )
    assert centred < plain


def test_centring_lowers_the_variance_and_nothing_else() -> None:
    for case, draws in CASES:
        plain_mean, plain = exact_moments(case, draws, make_estimator("bgan"))
        centred_mean, centred = exact_moments(case, draws, make_estimator("bgan_centered"))
        torch.testing.assert_close(centred_mean, plain_mean, **TIGHT)
        assert centred < plain / 1.04


def test_the_papers_bias_is_mostly_shrinkage_and_falls_with_the_draws() -> None:
    case = random_case(5, positions=1, categories=3, spread=0.5)
    target = gradient_of(case, lambda logits: (case.log_prob(logits).exp() * case.log_ratio.exp()).sum().log())
    errors, shrunk = [], []
    for draws in (2, 4, 8):
        mean, _ = exact_moments(case, draws, make_estimator("bgan"))
        errors.append(float((mean - target).norm() / target.norm()))
        shrunk.append(float((mean - (1 - 1 / draws) * target).norm() / target.norm()))
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]
    assert all(b < a / 3 for a, b in zip(errors, shrunk, strict=True))


def test_the_leave_one_out_direction_is_that_of_the_partition_function() -> None:
    for case, draws in CASES:
        mean, _ = exact_moments(case, draws, make_estimator("loo"))
        target = gradient_of(case, lambda logits, g=case: (g.log_prob(logits).exp() * g.log_ratio.exp()).sum().log())
        cosine = torch.cosine_similarity(mean.flatten(), target.flatten(), dim=0)
        assert cosine == pytest.approx(1, abs=1e-12)


def test_three_estimators_are_functions_of_one_ratio() -> None:
    log_w = 3 * torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    draws = len(log_w)
    r = torch.stack([log_w[m].exp() / mean_of_others(log_w.exp(), m) for m in range(draws)])
    torch.testing.assert_close(make_estimator("bgan")(log_w), r / (r + draws - 1))
    expected = torch.log1p(r / (draws - 1)) - math.log1p(1 / (draws - 1))
    torch.testing.assert_close(make_estimator("vimco")(log_w), expected)
    torch.testing.assert_close(make_estimator("loo")(log_w), (r - 1) / draws)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_zero_sum_is_declared_truly(name: str) -> None:
    log_w = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for normalization in ("latent", "batch") if name.startswith("bgan") else ("latent",):
        estimator = make_estimator(name, normalization=normalization)
        sums = estimator(log_w).sum(0).abs().max()
        assert (sums < 1e-12) == estimator.zero_sum


KINDS = [*((name, "latent") for name in ESTIMATORS), ("bgan", "batch"), ("bgan_centered", "batch")]


@pytest.mark.parametrize(("name", "normalization"), KINDS)
def test_it_is_declared_truly_whether_the_latents_of_a_batch_are_coupled(name: str, normalization: str) -> None:
    log_w = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = log_w.clone()
    other[:, 1:] += 0.5 + torch.rand(6, 3, dtype=torch.float64)
    # Twice, because what a step finds may enter the next one only.
    found = [[estimator(part)[:, 0] for _ in range(2)] for estimator, part in (
        (make_estimator(name, normalization=normalization), part) for part in (log_w, other)  # type: ignore[arg-type]
    )]  # fmt: skip
    estimator = make_estimator(name, normalization=normalization)  # type: ignore[arg-type]
    assert estimator.couples_latents == (not torch.equal(found[0][1], found[1][1]))
    assert (estimator.limit is None) == (not torch.equal(found[0][0], found[1][0]))


@pytest.mark.parametrize(("name", "normalization"), KINDS)
def test_two_processes_with_half_the_latents_each_estimate_as_one_does_with_all(name: str, normalization: str) -> None:
    log_w = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    log_w[:, 2:] += 2

    def twice(part: Tensor, **processes: object) -> Tensor:
        estimator = make_estimator(name, normalization=normalization, **processes)  # type: ignore[arg-type]
        assert estimator.processes is processes.get("processes", ALONE)
        return torch.cat([estimator(part), estimator(part)])

    found = by_two_processes(lambda part, who: twice(part, processes=who), log_w.split(2, dim=1))
    torch.testing.assert_close(torch.cat(found, dim=1), twice(log_w))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_half_precision_is_raised_to_float32(name: str) -> None:
    log_w = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = make_estimator(name)(log_w)
    assert found.dtype == torch.float32
    assert torch.equal(found, make_estimator(name)(log_w.float()))
    if name != "maligan":
        found = make_estimator(name).over_alternatives(log_w.log_softmax(-1), log_w)
        assert torch.equal(found, make_estimator(name).over_alternatives(log_w.log_softmax(-1).float(), log_w.float()))


def test_no_gradient_flows_through_an_estimator() -> None:
    for name in ESTIMATORS:
        estimator, log_w = make_estimator(name), torch.randn(3, 2, requires_grad=True)
        assert not estimator(log_w).requires_grad
        assert not any(value.requires_grad for value in estimator.state_dict().values())
        if estimator.limit is not None:
            assert not estimator.over_alternatives(log_w.log_softmax(-1), log_w).requires_grad
    assert as_estimator(naive).name == "naive"  # type: ignore[arg-type]
    assert as_estimator(functools.partial(torch.mul, other=2)).name == "own"
    assert not as_estimator(lambda log_w: 2 * log_w)(log_w).requires_grad


def test_the_moving_baseline() -> None:
    estimator = make_estimator("reinforce")
    assert isinstance(estimator, ReinforceEstimator)
    first, second = torch.full((4, 2), 1.0), torch.full((4, 2), 2.0)
    torch.testing.assert_close(estimator(first), torch.full((4, 2), 0.0))
    torch.testing.assert_close(estimator.log_beta_ema, torch.tensor(0.05))
    torch.testing.assert_close(estimator(second), torch.full((4, 2), (2 - 0.05 - 1) / 4))
    torch.testing.assert_close(estimator.log_beta_ema, torch.tensor(0.95 * 0.05 + 0.05 * 2))
    other = make_estimator("reinforce")
    other.load_state_dict(estimator.state_dict())
    assert torch.equal(other(first), estimator(first))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "bgam"}, "'bgam' is unknown; choose one of bgan"),
        ({"name": "bgan", "normalization": "row"}, "normalization must be 'latent' or 'batch', got 'row'"),
        ({"name": "rloo", "normalization": "batch"}, "rloo has its own"),
    ],
)
def test_bad_options_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_estimator(**arguments)


def test_a_game_has_one_divergence() -> None:
    kl, gan = get_divergence("kl"), get_divergence("gan")
    assert Game(make_estimator("matched")).divergence is gan
    with pytest.raises(InputError, match=r"^the estimator 'matched' is of .* 'gan', but the game's is 'kl': make"):
        Game(make_estimator("matched"), divergence=kl)
    game = make_game(TrainingConfig(estimator="matched", divergence="kl"))
    assert isinstance(game.estimator, MatchedEstimator)
    assert game.estimator.divergence is game.divergence is kl
    with pytest.raises(InputError, match="is of the divergence 'kl', but the game's is 'gan'"):
        dataclasses.replace(game, divergence=gan)
    for name in ESTIMATORS.keys() - {"matched"}:
        Game(make_estimator(name, divergence=kl), divergence=gan)


def test_a_single_draw_is_refused_where_it_carries_no_signal() -> None:
    for name in sorted(ESTIMATORS.keys() - {"reinforce", "maligan"}):
        with pytest.raises(InputError, match="num_draws must be at least 2"):
            make_estimator(name)(torch.zeros(1, 3))
        with pytest.raises(InputError, match="num_draws must be at least 2"):
            make_estimator(name).check_num_draws(1)
    for name in ("reinforce", "maligan"):
        make_estimator(name).check_num_draws(1)
        assert make_estimator(name)(torch.randn(1, 3)).shape == (1, 3)


def exact_advantages(name: str, log_w: Tensor) -> list[list[Decimal]]:
    """Of each latent, for weights of any size."""
    found = []
    every = [Decimal(value) for value in log_w.double().flatten().tolist()]
    for values in log_w.double().T.tolist():
        column = [Decimal(value) for value in values]
        draws = Decimal(len(column))
        others = [log_sum(column[:m] + column[m + 1 :]) - (draws - 1).ln() for m in range(len(column))]
        weights = [(value - log_sum(column)).exp() - 1 / draws for value in column]
        inverse = [(-value - log_sum([-other for other in column])).exp() - 1 / draws for value in column]
        softplus = [log_sum([value, Decimal(0)]) for value in column]
        reverse = [(value - sum(column) / draws) / (draws - 1) for value in column]
        found.append({
            "bgan": lambda c=column: [(value - log_sum(c)).exp() for value in c],
            "bgan_centered": lambda c=column, w=weights: w,
            "vimco": lambda c=column, o=others: [log_sum(c) - Decimal(len(c)).ln() - other for other in o],
            "loo": lambda c=column, o=others: [
                (min(f - b, Decimal(9999)).exp() - 1) / len(c) for f, b in zip(c, o, strict=True)
            ],
            "rloo": lambda r=reverse: r,
            "jeffreys": lambda w=weights, r=reverse: [a + b for a, b in zip(w, r, strict=True)],
            "symmetric": lambda w=weights, i=inverse: [a - b for a, b in zip(w, i, strict=True)],
            "matched": lambda h=softplus, d=draws: [(value - sum(h) / d) / (d - 1) for value in h],
            "reinforce": lambda c=column: [(f - Decimal(BASELINE) - 1) / len(c) for f in c],
            "maligan": lambda c=column, d=draws: [
                (f - log_sum(every)).exp() * log_w.shape[1] - 1 / d for f in c
            ],
        }[name]())  # fmt: skip
    return found


@settings(max_examples=150, deadline=None)
@given(large_log_weights(), st.sampled_from(sorted(ESTIMATORS)))
def test_advantages_are_right_for_every_finite_f(log_w: Tensor, name: str) -> None:
    """To five digits of the largest of a latent; infinite only where it is beyond the dtype."""
    with sixty_digits():
        expected = exact_advantages(name, log_w)
    found = ours(name, log_w).double().T.tolist()
    largest_f = max(float(log_w.double().abs().max()), 1.0)
    bound = torch.finfo(log_w.dtype if log_w.dtype == torch.float64 else torch.float32).max
    for got, wanted in zip(found, expected, strict=True):
        # Sums of F are right to a share of F; functions of weights, to one of themselves.
        scale = largest_f if name in ("rloo", "jeffreys", "matched", "reinforce") else 1.0
        for a, b in zip(got, wanted, strict=True):
            assert not math.isnan(a)
            if abs(b) > Decimal(bound) / 2:
                assert math.copysign(1, a) == (1 if b > 0 else -1) and abs(a) > bound / 3
            else:
                assert abs(a - float(b)) <= 2e-5 * max(scale, abs(float(b)))
        if len(set(wanted)) == 1 and name != "reinforce":
            assert len(set(got)) == 1, "equal numbers stay equal"


@settings(max_examples=100, deadline=None)
@given(large_log_weights(), st.sampled_from(["bgan_centered", "rloo", "jeffreys", "symmetric", "matched"]))
def test_advantages_of_alternatives_are_right_for_every_finite_f(log_w: Tensor, name: str) -> None:
    log_w = log_w.T.contiguous()  # [N, K]
    log_q = torch.log_softmax(torch.linspace(-1, 2, log_w.shape[1]).expand_as(log_w).to(log_w.dtype).float(), -1)
    got = make_estimator(name).over_alternatives(log_q, log_w).double()
    assert got.isfinite().all() or float(log_w.double().abs().max()) > 1e38
    with sixty_digits():
        for row, q_row, found in zip(log_w.double().tolist(), log_q.double().tolist(), got.tolist(), strict=True):
            f, log_p = [Decimal(value) for value in row], [Decimal(value) for value in q_row]
            total = log_sum([a + b for a, b in zip(f, log_p, strict=True)])
            inverse_total = log_sum([b - a for a, b in zip(f, log_p, strict=True)])
            mean = sum(a * b.exp() for a, b in zip(f, log_p, strict=True))
            h = [log_sum([a, Decimal(0)]) for a in f]
            mean_h = sum(a * b.exp() for a, b in zip(h, log_p, strict=True))
            for a, b, of_h, value in zip(f, log_p, h, found, strict=True):
                weight, reverse = (a + b - total).exp() - b.exp(), b.exp() * (a - mean)
                wanted = {
                    "bgan_centered": weight, "rloo": reverse, "jeffreys": weight + reverse,
                    "symmetric": (a + b - total).exp() - (b - a - inverse_total).exp(),
                    "matched": b.exp() * (of_h - mean_h),
                }[name]  # fmt: skip
                scale = 1.0 if name in ("bgan_centered", "symmetric") else max(1.0, float(max(map(abs, f))))
                assert abs(value - float(wanted)) <= 2e-5 * scale
            if len(set(row)) == 1:
                assert max(map(abs, found)) < 1e-5, "equal F move nothing, however large they are"


# Small faults that nothing above would notice.


def test_the_whole_range_of_float32_does_not_overflow_in_rloo() -> None:
    largest = torch.finfo(torch.float32).max
    log_w = torch.tensor([[-largest, largest], [largest, -largest]])
    assert torch.equal(make_estimator("rloo")(log_w), log_w), "(F_m - F_other) / 2"


@pytest.mark.parametrize("found", [torch.zeros(2, 4), torch.zeros(3), [0.0, 0.0]], ids=["other", "short", "list"])
def test_a_function_that_gives_no_advantages_of_the_right_shape_is_refused(found: object) -> None:
    with pytest.raises(InputError, match=r"'<lambda>' must give a tensor of advantages.*\[2, 3\], got (\[|list)"):
        as_estimator(lambda _: found)(torch.zeros(2, 3))  # type: ignore[arg-type, return-value]


def test_the_moving_baseline_is_copied_on_its_way_to_a_checkpoint_and_back() -> None:
    estimator = make_estimator("reinforce")
    estimator(torch.full((4, 2), 1.0))
    state = estimator.state_dict()
    state["log_beta_ema"].fill_(9)
    assert float(estimator.state_dict()["log_beta_ema"]) == pytest.approx(0.05)
    estimator.load_state_dict(state)
    state["log_beta_ema"].fill_(-9)
    assert float(estimator.state_dict()["log_beta_ema"]) == 9
    estimator.advantages(torch.ones(4, 2, requires_grad=True))
    assert not estimator.state_dict()["log_beta_ema"].requires_grad


def test_a_baseline_of_a_checkpoint_is_used_in_the_precision_of_the_weights() -> None:
    estimator = make_estimator("reinforce")
    estimator.load_state_dict({"log_beta_ema": torch.tensor(0.3)})
    estimator(torch.ones(4, 2, dtype=torch.float64))
    baseline = float(torch.tensor(0.3))  # what float32 makes of it
    assert float(estimator.state_dict()["log_beta_ema"]) == pytest.approx(0.05 + 0.95 * baseline, rel=1e-14)


@pytest.mark.parametrize(("name", "normalization"), KINDS)
def test_an_estimator_declares_its_name_its_function_and_its_fewest_draws(name: str, normalization: str) -> None:
    estimator = make_estimator(name, normalization=normalization)  # type: ignore[arg-type]
    assert estimator.name == name
    assert estimator.limit in ("weight", "log_weight", "both", "symmetric", None)
    log_w = torch.randn(estimator.minimum_draws, 3, generator=torch.Generator().manual_seed(1))
    arguments = (estimator.divergence,) if isinstance(estimator, MatchedEstimator) else ()
    assert torch.equal(estimator.function(log_w, *arguments), estimator(log_w))
    assert estimator(log_w).abs().min() > 1e-3, "a signal"
    if estimator.minimum_draws > 1:
        with pytest.raises(InputError, match="num_draws must be at least 2"):
            estimator.check_num_draws(estimator.minimum_draws - 1)


def test_what_a_function_of_ones_own_is_taken_for() -> None:
    own = as_estimator(lambda log_w: 2 * log_w)
    assert own.zero_sum is False and own.couples_latents is False, "what saves work must be said"
    assert own.minimum_draws == 2 and own.limit is None and own.processes is ALONE
    log_w = torch.tensor([[3.0, -7.0], [1.0, 0.5]])
    assert torch.equal(own(log_w), 2 * log_w), "neither tempered nor clipped"
    with pytest.raises(InputError, match="estimator must be an object or a function, got 'bgan'"):
        as_estimator("bgan")  # type: ignore[arg-type]


def test_the_functions_themselves_have_the_papers_defaults() -> None:
    log_w = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(bgan(log_w), naive("bgan", log_w))
    torch.testing.assert_close(bgan_centered(log_w), naive("bgan_centered", log_w))
    torch.testing.assert_close(maligan(log_w), naive("maligan", log_w))
    torch.testing.assert_close(reinforce(log_w), (log_w - 1) / 4)


def test_advantages_that_are_said_to_sum_to_zero_must() -> None:
    with pytest.raises(InputError, match=r"estimator 'plain' has zero_sum=True, but its advantages sum to 1 over"):
        Estimator("plain", lambda log_w: log_w.softmax(0), zero_sum=True)
    Estimator("centred", lambda log_w: log_w.softmax(0) - 1 / len(log_w), zero_sum=True)
    Estimator("plain", lambda log_w: log_w.softmax(0))
