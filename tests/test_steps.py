"""The two steps: what they change, against the textbook formulas on the same draws."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.parallel import DistributedDataParallel
from two_processes import by_two_processes
from watching import HostReads

from bgan_discrete import autoregressive
from bgan_discrete.distributions import FactorizedCategorical, SequenceCategorical
from bgan_discrete.divergences import DIVERGENCES, get_divergence
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.estimators import ESTIMATORS, make_estimator
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvDiscriminator,
    ConvGenerator,
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUDiscriminator,
    GRUGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from bgan_discrete.parallel import ALONE, Processes
from bgan_discrete.penalties import get_penalty
from bgan_discrete.steps import (
    FiniteGuard,
    Objective,
    adversarial_step,
    checked_log_ratios,
    discriminator_step,
    generator_loss,
    generator_step,
    likelihood_step,
    loss_of_draws,
    score_draws,
    update_parameters,
)

SHAPE, K, N, M = (3, 2), 4, 5, 6


def networks() -> tuple[MLPGenerator, MLPDiscriminator]:
    torch.manual_seed(0)
    return MLPGenerator(SHAPE, K, latent_size=3, width=8), MLPDiscriminator(SHAPE, K, width=8, encoding="onehot")


def latents(count: int = N) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1))


def real_codes(count: int = N) -> Tensor:
    return torch.randint(0, K, (count, *SHAPE), generator=torch.Generator().manual_seed(2)).to(torch.uint8)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.1)


def weights(module: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def changed(before: list[Tensor], module: nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_generators_gradient_is_the_textbook_one(name: str) -> None:
    generator, discriminator = networks()
    objective = Objective(make_estimator(name), M)
    before = weights(generator)
    generator_step(generator, discriminator, sgd(generator), latents(), objective, rng())
    got = [(a - b.detach()) / 0.1 for a, b in zip(before, generator.parameters(), strict=True)]

    generator, discriminator = networks()
    distribution = generator(latents())
    codes = distribution.sample(M, rng())
    log_w = torch.stack([discriminator(draw) for draw in codes]).detach()
    advantages = make_estimator(name)(log_w)
    log_probs = torch.log_softmax(distribution.logits, -1)
    log_g = (one_hot(codes.long(), K) * log_probs).flatten(2).sum(-1)
    expected = torch.autograd.grad(-(advantages * log_g).sum() / N, list(generator.parameters()))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("draws", [1, 3])
def test_the_discriminators_gradient_is_that_of_its_bound(name: str, draws: int) -> None:
    generator, discriminator = networks()
    objective = Objective(divergence=get_divergence(name), discriminator_draws=draws)
    before = weights(discriminator)
    found = discriminator_step(generator, discriminator, sgd(discriminator), real_codes(), latents(), objective, rng())
    got = [(a - b.detach()) / 0.1 for a, b in zip(before, discriminator.parameters(), strict=True)]

    generator, discriminator = networks()
    fake = generator(latents()).sample(draws, rng()).flatten(0, 1)
    loss = get_divergence(name).discriminator_loss(discriminator(real_codes()), discriminator(fake))
    expected = torch.autograd.grad(loss, list(discriminator.parameters()))
    assert float(found["discriminator_loss"]) == pytest.approx(float(loss.detach()), rel=1e-5)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_each_step_changes_one_network() -> None:
    generator, discriminator = networks()
    g, d = weights(generator), weights(discriminator)
    generator_step(generator, discriminator, sgd(generator), latents(), Objective(), rng())
    assert changed(g, generator)
    assert not changed(d, discriminator)
    assert all(p.grad is None for p in discriminator.parameters())
    g = weights(generator)
    discriminator_step(generator, discriminator, sgd(discriminator), real_codes(), latents(), Objective(), rng())
    assert changed(d, discriminator)
    assert not changed(g, generator)


@pytest.mark.parametrize("penalty_scale", [0, 4])
def test_the_step_of_both_is_one_after_the_other_with_one_pass_of_the_generator(penalty_scale: float) -> None:
    objective = Objective(make_estimator("rloo"), M, penalty=get_penalty("r1"), discriminator_draws=2)
    generator, discriminator = networks()
    draws = rng()
    optimizers = sgd(generator), sgd(discriminator)
    found = discriminator_step(
        generator, discriminator, optimizers[1], real_codes(), latents(), objective, draws, penalty_scale
    )
    found |= generator_step(generator, discriminator, optimizers[0], latents(), objective, draws)
    expected = weights(generator) + weights(discriminator)

    generator, discriminator = networks()
    optimizers, passes = (sgd(generator), sgd(discriminator)), []
    generator.register_forward_hook(lambda *_: passes.append(1))
    got = adversarial_step(
        generator, discriminator, *optimizers, real_codes(), latents(), objective, rng(), penalty_scale
    )
    assert len(passes) == 1
    assert all(torch.equal(a, b) for a, b in zip(expected, weights(generator) + weights(discriminator), strict=True))
    assert got.keys() == found.keys() and all(torch.equal(got[name], found[name]) for name in got)


def _drawn_by_the_logits(self: FactorizedCategorical, num_draws: int, generator: Any = None) -> Tensor:
    """Draws that do not depend on what else is drawn: of each position the M codes from the likeliest one on."""
    shift = torch.arange(num_draws).view(-1, *[1] * (self.logits.ndim - 1))
    return ((self.logits.detach().argmax(-1) + shift) % self.num_categories).to(torch.uint8)


@pytest.mark.parametrize("name", ["bgan_centered", "jeffreys", "maligan", "reinforce"])
@pytest.mark.parametrize("step", ["discriminator", "generator", "both", "likelihood", "latents of their own"])
def test_a_batch_in_unequal_parts_is_the_whole_batch(step: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five latents in two parts the one has two fifths: gradients and figures are those of the five."""
    monkeypatch.setattr(FactorizedCategorical, "sample", _drawn_by_the_logits)
    if step == "latents of their own":  # so that each sample has one of them, as with autoregressive generators
        monkeypatch.delattr(FactorizedCategorical, "mixture_log_prob")
    found: dict[int, tuple[dict[str, Tensor], list[Tensor]]] = {}
    for parts in (1, 2, 3, 9):
        generator, discriminator = (network.double() for network in networks())
        z, real = latents().double(), real_codes()
        objective = Objective(
            make_estimator(name), 3, discriminator_draws=2, penalty=get_penalty("r1"), penalty_weight=0.7,
            accumulation_steps=parts,
        )  # fmt: skip
        if step == "discriminator":
            figures = discriminator_step(generator, discriminator, sgd(discriminator), real, z, objective, None, 3.0)
        elif step == "generator":
            figures = generator_step(generator, discriminator, sgd(generator), z, objective)
        elif step == "both" and parts > 1:
            optimizers = sgd(generator), sgd(discriminator)
            figures = adversarial_step(generator, discriminator, *optimizers, real, z, objective, None, 3.0)
        elif step == "both":  # one after the other, with draws of their own
            figures = discriminator_step(generator, discriminator, sgd(discriminator), real, z, objective, None, 3.0)
            figures |= generator_step(generator, discriminator, sgd(generator), z, objective)
        else:
            figures = likelihood_step(generator, sgd(generator), real, z, objective)
        found[parts] = figures, [p.detach() for network in (generator, discriminator) for p in network.parameters()]
    for parts in (2, 3, 9):  # of nine, four are empty
        assert found[parts][0].keys() == found[1][0].keys()
        for figure, value in found[1][0].items():
            torch.testing.assert_close(found[parts][0][figure], value, rtol=1e-6, atol=1e-9, msg=figure)
        for ours, theirs in zip(found[parts][1], found[1][1], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_parts_of_a_batch_keep_their_conditions_and_the_generators_own_pass_is_whole_where_it_is_coupled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FactorizedCategorical, "sample", _drawn_by_the_logits)
    condition = torch.tensor([2, 0, 1, 1, 0])
    passes: dict[tuple[str, int], list[int]] = {}
    for name in ("rloo", "maligan"):
        weighed = []
        for parts in (1, 2):
            generator, discriminator = LabelledGenerator(3).double(), LabelledDiscriminator(3).double()
            sizes = passes.setdefault((name, parts), [])
            generator.register_forward_pre_hook(lambda module, inputs, found=sizes: found.append(len(inputs[0])))
            objective = Objective(make_estimator(name), 3, penalty=get_penalty("r1"), accumulation_steps=parts)
            real, z = real_codes()[:, :1, 0], torch.zeros(N, 1).double()
            optimizers = sgd(generator), sgd(discriminator)
            if parts > 1:
                adversarial_step(generator, discriminator, *optimizers, real, z, objective, condition=condition)
            else:
                discriminator_step(generator, discriminator, optimizers[1], real, z, objective, condition=condition)
                generator_step(generator, discriminator, optimizers[0], z, objective, condition=condition)
            weighed.append(weights(generator) + weights(discriminator))
        for one, other in zip(*weighed, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
    assert passes == {
        ("rloo", 1): [5, 5], ("rloo", 2): [2, 3, 2, 3], ("maligan", 1): [5, 5], ("maligan", 2): [2, 3, 5],
    }  # fmt: skip


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("step", ["discriminator", "generator", "both", "likelihood"])
def test_a_step_forgets_the_gradients_that_are_there_before(step: str, parts: int) -> None:
    found = []
    for before in (None, 100.0):
        generator, discriminator = networks()
        for network in (generator, discriminator):
            for parameter in network.parameters():
                parameter.grad = None if before is None else torch.full_like(parameter, before)
        objective = Objective(num_draws=M, accumulation_steps=parts)
        if step == "discriminator":
            discriminator_step(generator, discriminator, sgd(discriminator), real_codes(), latents(), objective, rng())
        elif step == "generator":
            generator_step(generator, discriminator, sgd(generator), latents(), objective, rng())
        elif step == "both":
            optimizers = sgd(generator), sgd(discriminator)
            adversarial_step(generator, discriminator, *optimizers, real_codes(), latents(), objective, rng())
        else:
            likelihood_step(generator, sgd(generator), real_codes(), latents(), objective)
        found.append(weights(generator) + weights(discriminator))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_penalty_enters_with_its_weight_and_scale() -> None:
    def update(weight: float, scale: float) -> list[Tensor]:
        generator, discriminator = networks()
        objective = Objective(penalty=get_penalty("r1"), penalty_weight=weight)
        before = weights(discriminator)
        discriminator_step(
            generator, discriminator, sgd(discriminator), real_codes(), latents(), objective, rng(), scale
        )
        return [a - b.detach() for a, b in zip(before, discriminator.parameters(), strict=True)]

    plain, once, thrice = update(1.0, 0.0), update(2.0, 1.0), update(2.0, 3.0)
    twice_three = update(6.0, 1.0)
    for p, o, t, other in zip(plain, once, thrice, twice_three, strict=True):
        torch.testing.assert_close(t - p, 3 * (o - p), rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(t, other)


def test_the_penalty_gets_real_and_drawn_codes_each_in_its_place() -> None:
    generator, discriminator = networks()
    seen: list[Tensor] = []

    def watching(score: Any, real: Tensor, fake: Tensor, num_categories: int, rng: Any = None) -> Tensor:
        assert num_categories == K
        seen.extend((real, fake))
        return 0 * score(real).sum()

    objective = Objective(penalty=watching, discriminator_draws=2)
    adversarial_step(
        generator, discriminator, sgd(generator), sgd(discriminator), real_codes(), latents(), objective, rng()
    )
    generator, _ = networks()
    drawn = generator(latents()).sample(2, rng()).flatten(0, 1)
    assert torch.equal(seen[0], real_codes()) and torch.equal(seen[1], drawn)
    found = discriminator_step(
        generator, discriminator, sgd(discriminator), real_codes(), latents(), objective, rng(), penalty_scale=0
    )
    assert len(seen) == 2 and "penalty" not in found, "a step that leaves it out does not compute it"


def test_draws_are_scored_in_eval_mode_without_a_graph_whatever_the_chunk() -> None:
    seen: list[tuple[bool, bool, int]] = []

    class Watched(MLPDiscriminator):
        def forward(self, codes: Tensor) -> Tensor:
            seen.append((self.training, torch.is_grad_enabled(), len(codes)))
            return super().forward(codes)

    torch.manual_seed(0)
    discriminator = Watched(SHAPE, K, width=8)
    codes = torch.stack([real_codes()] * M)
    codes[1:] = (codes[1:] + 1) % K
    whole = score_draws(discriminator, codes, Objective())
    parts = score_draws(discriminator, codes, Objective(score_chunk=7))
    assert whole.shape == (M, N)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(whole[2, 3], discriminator(codes[2, 3][None])[0].detach())
    assert [s[:2] for s in seen[:-1]] == [(False, False)] * (len(seen) - 1)
    assert [s[2] for s in seen[1:-1]] == [7, 7, 7, 7, 2]
    assert discriminator.training
    score_draws(discriminator.eval(), codes, Objective())
    assert not discriminator.training


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_not_taken(value: float) -> None:
    class Broken(MLPDiscriminator):
        def forward(self, codes: Tensor) -> Tensor:
            return super().forward(codes) + value

    torch.manual_seed(0)
    generator, discriminator = networks()[0], Broken(SHAPE, K, width=8)
    g, d = weights(generator), weights(discriminator)
    with pytest.raises(NonFiniteError, match=r"the generator's (loss|gradient norm) is .*log_beta"):
        generator_step(generator, discriminator, sgd(generator), latents(), Objective(), rng())
    with pytest.raises(NonFiniteError, match=r"the discriminator's loss is .*log_ratio_real"):
        discriminator_step(generator, discriminator, sgd(discriminator), real_codes(), latents(), Objective(), rng())
    assert not changed(g, generator)
    assert not changed(d, discriminator)


def test_a_gradient_that_is_not_finite_is_not_applied() -> None:
    class SquareRoot(nn.Module):
        """Finite at 0, with an infinite slope."""

        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.zeros(()))

        def forward(self, codes: Tensor) -> Tensor:
            return self.a.sqrt().expand(len(codes)) * codes.flatten(1).float().mean(1)

    discriminator = SquareRoot()
    with pytest.raises(NonFiniteError, match="the discriminator's gradient norm is"):
        discriminator_step(
            networks()[0], discriminator, sgd(discriminator), real_codes(), latents(), Objective(), rng()
        )
    assert float(discriminator.a.detach()) == 0


def test_a_loss_that_is_not_finite_in_another_process_stops_this_one_too() -> None:
    class OneDiverged(Processes):
        def mean(self, values: Tensor) -> Tensor:
            return (values + torch.inf) / 2

    module = nn.Linear(2, 1)
    before = weights(module)
    with pytest.raises(NonFiniteError, match="the critic's loss is inf: "):
        update_parameters(sgd(module), module(torch.ones(1, 2)).sum(), {}, "critic", processes=OneDiverged())
    assert not changed(before, module)


def fused_adam(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=0.1, fused=True)


def test_a_guarded_step_is_the_same_step() -> None:
    found = []
    for guard in (None, FiniteGuard()):
        generator, discriminator = networks()
        objective = Objective(num_draws=M, penalty=get_penalty("r1"), guard=guard)
        optimizers = fused_adam(generator), fused_adam(discriminator)
        random = rng()
        for _ in range(3):
            adversarial_step(generator, discriminator, *optimizers, real_codes(), latents(), objective, random)
        found.append(weights(generator) + weights(discriminator))
        assert guard is None or guard.check() is None
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("kind", ["loss", "gradient norm"])
def test_a_guard_stops_every_update_from_the_first_bad_one_on_and_names_it(kind: str) -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = fused_adam(nn.ParameterList([parameter]))
    guard = FiniteGuard()
    for step, who, bad in ((4, "critic", False), (5, "critic", False), (5, "generator", True), (6, "critic", False)):
        guard.step = step
        before = parameter.detach().clone()
        # Of sqrt(0) the value is finite and the slope is not.
        loss = (parameter.square().sum() - parameter.detach().square().sum()).abs()
        loss = (parameter * 0).sum().sqrt() if bad and kind != "loss" else loss * (float("nan") if bad else 1)
        update_parameters(optimizer, loss + (parameter.sum() if not bad else 0), {}, who, guard)
        assert torch.equal(before, parameter) == (bad or step == 6)
    assert guard.check() == f"step 5 was not taken: the generator's {kind} is inf or NaN"
    assert guard.check() is None
    for guard.step in (7, 8):
        guard.note(torch.tensor(torch.nan if guard.step == 8 else 0.0), torch.tensor(torch.inf), "critic")
    assert guard.check() == "step 7 was not taken: the critic's gradient norm is inf or NaN", "the first, not the last"
    with pytest.raises(InputError, match="a guard needs an optimiser with fused=True, got SGD"):
        update_parameters(sgd(nn.ParameterList([parameter])), parameter.sum(), {}, "critic", FiniteGuard())


def _text_game(credit: str) -> tuple[Any, Any, Tensor, Tensor]:
    torch.manual_seed(0)
    generator = (ConvSequenceGenerator if credit == "alternatives" else GRUGenerator)(6, K, 0, latent_size=3, width=8)
    discriminator = {
        "prefix": lambda: ConvSequenceDiscriminator(6, K, 0, width=8),
        "token": lambda: GRUDiscriminator(6, K, 0, width=8, per_prefix=True),
        "alternatives": lambda: AlternativesDiscriminator(6, K, 0, width=8, depth=1),
    }[credit]()
    real = torch.randint(1, K, (N, 6), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    return generator, discriminator, real, latents()


@pytest.mark.parametrize("game", ["images", "prefix", "token", "alternatives"])
def test_a_guarded_step_never_waits_for_the_device(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if game == "images":
        torch.manual_seed(0)
        generator, discriminator = ConvGenerator((8, 8), K, 3, 4), ConvDiscriminator((8, 8), K, 4, ordered=True)
        real, z = torch.randint(0, K, (N, 8, 8)).to(torch.uint8), latents()
    else:
        generator, discriminator, real, z = _text_game(game)
        # On a CPU, drawing stops where all sequences have ended; on an accelerator it does not ask.
        monkeypatch.setattr(autoregressive, "stops_early", lambda device: False)
    objective = Objective(
        make_estimator("rloo"),
        M,
        penalty=get_penalty("r1"),
        credit="prefix" if game == "images" else cast(Any, game),
        guard=FiniteGuard(),
    )
    optimizers = fused_adam(generator), fused_adam(discriminator)
    with HostReads() as watch:
        adversarial_step(generator, discriminator, *optimizers, real, z, objective, rng(), penalty_scale=4)
    assert watch.found == []
    assert objective.guard is not None
    with HostReads() as watch:
        assert objective.guard.check() is None
    assert watch.found == ["_local_scalar_dense"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_guarded_step_never_synchronises_cuda() -> None:
    generator, discriminator = (network.cuda() for network in networks())
    objective = Objective(num_draws=M, penalty=get_penalty("r1"), guard=FiniteGuard())
    optimizers = fused_adam(generator), fused_adam(discriminator)
    real, z = real_codes().cuda(), latents().cuda()
    for mode in ("default", "error"):  # the first step sets up libraries
        torch.cuda.set_sync_debug_mode(mode)
        try:
            adversarial_step(generator, discriminator, *optimizers, real, z, objective, penalty_scale=4)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_normalised_weights_scored_in_bfloat16_are_near_those_in_float32() -> None:
    """Within 0.02, where the largest of M = 20 is about 0.2: eight bits of an F of a few units."""
    torch.manual_seed(0)
    discriminator = ConvDiscriminator((12, 12), 16, 16, 2)
    codes = torch.randint(0, 16, (20, 32, 12, 12)).to(torch.uint8)
    with torch.no_grad():
        discriminator.to_log_ratio.weight.mul_(120)  # an F that spreads over some units, as in training
    half = Objective(score_autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    log_w, rounded = (score_draws(discriminator, codes, objective) for objective in (Objective(), half))
    assert rounded.dtype == torch.float32 and not torch.equal(log_w, rounded)
    assert log_w.std() > 0.5
    difference = (torch.softmax(log_w, 0) - torch.softmax(rounded, 0)).abs().max()
    assert difference < 0.02, float(difference)


CREDITS = ["prefix", "token", "alternatives"]


@pytest.mark.parametrize("scoring", [None, "float32"])
@pytest.mark.parametrize("credit", CREDITS)
def test_the_networks_of_each_step_run_in_the_wanted_precision(credit: Any, scoring: str | None) -> None:
    """bfloat16, but for the scoring of the draws where that has a precision of its own; losses are float32."""
    generator, discriminator, real, z = _text_game(credit)
    seen: list[tuple[str, bool]] = []

    def watch(network: nn.Module, name: str, what: str) -> None:
        own = getattr(network, name)

        def watched(*arguments: Any) -> Any:
            kind = f"{what} for scores" if what == "discriminator" and not torch.is_grad_enabled() else what
            seen.append((kind, torch.is_autocast_enabled("cpu")))
            return own(*arguments)

        setattr(network, name, watched)

    watch(generator, "forward", "generator")
    watch(discriminator, "forward", "discriminator")
    if credit == "alternatives":
        watch(discriminator, "alternatives", "discriminator")
    objective = Objective(
        make_estimator("rloo"), 2, credit=credit, autocast=lambda: torch.autocast("cpu", torch.bfloat16),
        score_autocast=None if scoring is None else nullcontext,
    )  # fmt: skip
    optimizers = sgd(generator), sgd(discriminator)
    steps = {
        "discriminator": lambda: discriminator_step(generator, discriminator, optimizers[1], real, z, objective, rng()),
        "generator": lambda: generator_step(generator, discriminator, optimizers[0], z, objective, rng()),
        "both": lambda: adversarial_step(generator, discriminator, *optimizers, real, z, objective, rng()),
        "likelihood": lambda: likelihood_step(generator, optimizers[0], real, z, objective),
    }
    wanted = {
        "discriminator": {"generator", "discriminator"}, "generator": {"generator", "discriminator for scores"},
        "both": {"generator", "discriminator", "discriminator for scores"}, "likelihood": {"generator"},
    }  # fmt: skip
    for step, take in steps.items():
        seen.clear()
        figures = take()
        assert {who for who, _ in seen} == wanted[step]
        for who, in_bfloat16 in seen:
            assert in_bfloat16 == (scoring is None or who != "discriminator for scores"), (step, who)
        assert all(value.dtype == torch.float32 and value.isfinite() for value in figures.values())
    codes = generator(z).sample(2, rng())
    scores = score_draws(discriminator, codes, objective)
    assert scores.dtype == torch.float32 and not scores.requires_grad


@pytest.mark.parametrize("was_training", [True, False])
@pytest.mark.parametrize("credit", CREDITS)
def test_scoring_leaves_the_discriminators_mode_as_it_was_and_makes_no_graph(credit: Any, was_training: bool) -> None:
    generator, discriminator, _, z = _text_game(credit)
    discriminator.train(was_training)
    objective = Objective(make_estimator("rloo"), 2, credit=credit, score_chunk=3)
    whole = Objective(make_estimator("rloo"), 2, credit=credit)
    sizes: list[int] = []
    if credit == "alternatives":
        own = discriminator.alternatives
        discriminator.alternatives = lambda codes: sizes.append(len(codes)) or own(codes)
    else:
        discriminator.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    distribution = generator(z)
    codes = distribution.sample(2, rng())
    loss, log_w = loss_of_draws(distribution, codes, discriminator, objective)
    assert discriminator.training == was_training
    assert not log_w.requires_grad
    loss.backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert sizes[:4] == ([3, 2, 3, 2] if credit == "alternatives" else [3, 3, 3, 1])
    other, other_log_w = loss_of_draws(distribution, codes, discriminator, whole)
    torch.testing.assert_close(log_w, other_log_w)
    torch.testing.assert_close(loss, other)


def test_the_defaults_are_those_of_the_paper_and_of_one_draw() -> None:
    objective = Objective()
    assert (objective.estimator.name, objective.divergence.name) == ("bgan_centered", "gan")
    assert (objective.num_draws, objective.discriminator_draws, objective.penalty_weight) == (20, 1, 1.0)
    assert (objective.credit, objective.entropy_weight, objective.escort) == ("prefix", 0.0, 1.0)
    assert (objective.penalty, objective.score_chunk, objective.accumulation_steps) == (None, None, 1)


def test_the_discriminators_figures_are_the_means_of_their_sides() -> None:
    generator, discriminator = networks()
    real, objective = real_codes(7), Objective(discriminator_draws=3, penalty=get_penalty("r1"), penalty_weight=5.0)
    fake = generator(latents()).sample(3, rng()).flatten(0, 1)
    with torch.no_grad():
        sides = {"real": discriminator(real), "fake": discriminator(fake)}
    penalty = get_penalty("r1")(discriminator, real, fake, K).detach()
    found = discriminator_step(
        generator, discriminator, sgd(discriminator), real, latents(), objective, rng(), penalty_scale=4
    )
    for side, log_ratio in sides.items():
        torch.testing.assert_close(found[f"log_ratio_{side}"], log_ratio.mean())
        torch.testing.assert_close(found[f"d_{side}"], log_ratio.sigmoid().mean())
    torch.testing.assert_close(found["penalty"], penalty, msg="without weight and scale")


def test_real_samples_may_be_of_another_integer_type_than_draws() -> None:
    moved = []
    for dtype in (torch.uint8, torch.int64):
        generator, discriminator = networks()
        real = real_codes().to(dtype)
        discriminator_step(generator, discriminator, sgd(discriminator), real, latents(), Objective(), rng())
        moved.append(weights(discriminator))
    assert all(torch.equal(one, other) for one, other in zip(*moved, strict=True))


def test_the_random_points_of_a_penalty_come_from_the_steps_generator() -> None:
    seen: list[Any] = []

    def watching(score: Any, real: Tensor, fake: Tensor, num_categories: int, generator: Any = None) -> Tensor:
        seen.append(generator)
        return 0 * score(real).sum()

    generator, discriminator = networks()
    source = rng()
    discriminator_step(
        generator, discriminator, sgd(discriminator), real_codes(), latents(), Objective(penalty=watching), source
    )
    assert seen == [source]


def test_the_diagnostics() -> None:
    generator, discriminator = networks()
    found = generator_step(generator, discriminator, sgd(generator), latents(), Objective(num_draws=M), rng())
    assert set(found) == {
        *("generator_loss", "ess_fraction", "max_weight", "log_beta", "log_weight_std", "generator_gradient_norm")
    }
    found = discriminator_step(
        generator, discriminator, sgd(discriminator), real_codes(), latents(), Objective(penalty=get_penalty("r1"))
    )
    assert set(found) == {
        *("discriminator_loss", "log_ratio_real", "log_ratio_fake", "d_real", "d_fake", "penalty"),
        "discriminator_gradient_norm",
    }
    assert all(value.ndim == 0 and not value.requires_grad for value in found.values())


def test_steps_repeat_with_their_generator() -> None:
    def run() -> list[Tensor]:
        generator, discriminator = networks()
        source, objective = rng(), Objective(num_draws=M)
        for _ in range(3):
            discriminator_step(generator, discriminator, sgd(discriminator), real_codes(), latents(), objective, source)
            generator_step(generator, discriminator, sgd(generator), latents(), objective, source)
        return weights(generator)

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_a_tiny_game_is_won() -> None:
    """A table of logits against a table of log-ratios finds the data's distribution."""

    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.zeros(1, 1, K))

        def forward(self, z: Tensor) -> FactorizedCategorical:
            return FactorizedCategorical(self.logits.expand(len(z), 1, K))

    class LogRatios(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(K))

        def forward(self, codes: Tensor) -> Tensor:
            return self.table[codes.long()].squeeze(1)

    data = torch.tensor([0.5, 0.25, 0.15, 0.1])
    source = torch.Generator().manual_seed(0)
    generator, discriminator = Table(), LogRatios()
    g, d = torch.optim.Adam(generator.parameters(), 0.02), torch.optim.Adam(discriminator.parameters(), 0.1)
    objective = Objective(make_estimator("bgan_centered"), 16)
    average = torch.zeros(K)
    for step in range(400):
        batch = torch.multinomial(data, 256, replacement=True, generator=source)[:, None]
        for _ in range(2):
            discriminator_step(generator, discriminator, d, batch, torch.zeros(256, 1), objective, source)
        generator_step(generator, discriminator, g, torch.zeros(64, 1), objective, source)
        if step >= 200:
            average += torch.softmax(generator.logits.detach()[0, 0], -1) / 200
    torch.testing.assert_close(average, data, atol=0.03, rtol=0)


class Labelled(nn.Module):
    """A generator of single codes, and a discriminator of them, whose logits depend on a label alone."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(labels, K, generator=torch.Generator().manual_seed(5)))
        self.num_categories = K


class LabelledGenerator(Labelled):
    def forward(self, latents: Tensor, condition: Tensor) -> FactorizedCategorical:
        return FactorizedCategorical(self.table[condition][:, None] + 0 * latents[:, :1, None])


class LabelledDiscriminator(Labelled):
    def forward(self, codes: Tensor, condition: Tensor) -> Tensor:
        condition = condition.repeat(len(codes) // len(condition))
        if codes.is_floating_point():
            return (codes[:, 0] * self.table[condition]).sum(-1)
        return self.table[condition, codes[:, 0].long()]

    def alternatives(self, codes: Tensor, condition: Tensor) -> Tensor:
        return self.table[condition][:, None].expand(len(codes), 1, K)


def test_draws_are_scored_with_the_condition_of_their_latent_whatever_the_chunk() -> None:
    discriminator, condition = LabelledDiscriminator(3), torch.tensor([2, 0, 1, 1, 0])
    codes = torch.randint(0, K, (M, N, 1), generator=rng()).to(torch.uint8)
    expected = torch.stack([discriminator.table[condition, draw[:, 0].long()] for draw in codes]).detach()
    sizes: list[int] = []
    discriminator.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    for chunk, largest in ((None, N * M), (1, N), (7, N), (12, 2 * N), (1000, N * M)):
        assert torch.equal(score_draws(discriminator, codes, Objective(score_chunk=chunk), condition), expected)
        assert max(sizes) == largest
        sizes.clear()


@pytest.mark.parametrize("credit", ["prefix", "alternatives"])
@pytest.mark.parametrize("penalty", ["none", "r1", "roth", "wgan_gp"])
def test_a_conditional_game_learns_each_conditions_own_distribution(credit: str, penalty: str) -> None:
    generator, discriminator = LabelledGenerator(2), LabelledDiscriminator(2)
    target = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.1, 0.8]])
    draws = rng()
    optimizers = [torch.optim.Adam(module.parameters(), 0.04, (0.0, 0.99)) for module in (generator, discriminator)]
    objective = Objective(
        make_estimator("rloo"), 8, penalty=get_penalty(penalty), penalty_weight=0.01, score_chunk=40, credit=credit
    )
    for step in range(250):
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = 0.04 * (1 - step / 250)
        condition = torch.randint(0, 2, (128,), generator=draws)
        real = torch.multinomial(target[condition], 1, generator=draws).to(torch.uint8)
        adversarial_step(
            generator, discriminator, *optimizers, real, torch.zeros(128, 1), objective, draws, condition=condition
        )
    assert (torch.softmax(generator.table, -1) - target).abs().max() < 0.1


def test_conditions_that_do_not_fit_are_refused() -> None:
    generator, discriminator = LabelledGenerator(2), LabelledDiscriminator(2)
    real = torch.zeros(4, 1, dtype=torch.uint8)
    with pytest.raises(InputError, match="one for each real sample and each latent, got 3 for 4 real samples and 3"):
        discriminator_step(
            generator,
            discriminator,
            sgd(discriminator),
            real,
            torch.zeros(3, 1),
            Objective(),
            condition=torch.zeros(3, dtype=torch.long),
        )


@pytest.mark.parametrize(("num_real", "num_latents"), [(4, 10), (10, 4)])
def test_a_discriminators_step_takes_all_latents_whatever_the_number_of_real_samples(
    num_real: int, num_latents: int
) -> None:
    seen: dict[int, list[int]] = {}
    for parts in (1, 2):
        generator, discriminator = networks()
        sizes = seen.setdefault(parts, [])
        generator.register_forward_pre_hook(lambda module, inputs, found=sizes: found.append(len(inputs[0])))
        discriminator_step(
            generator,
            discriminator,
            sgd(discriminator),
            real_codes(num_real),
            latents(num_latents),
            Objective(accumulation_steps=parts),
            rng(),
        )
    assert seen == {1: [num_latents], 2: [num_latents // 2] * 2}
    with pytest.raises(InputError, match=r"accumulation_steps must divide .* got 3 for"):
        discriminator_step(
            *networks(), sgd(networks()[1]), real_codes(num_real), latents(num_latents), Objective(accumulation_steps=3)
        )


def test_masked_logits_are_named_in_a_loop_of_ones_own() -> None:
    generator, discriminator = networks()
    masked = lambda z: FactorizedCategorical(generator(z).logits.masked_fill(torch.arange(K) == 1, -torch.inf))  # noqa: E731
    with pytest.raises(NonFiniteError, match="the generator's logits must be finite, got -inf among them; give -1e4"):
        generator_step(masked, discriminator, sgd(generator), latents(), Objective(num_draws=M), rng())


# Small faults that nothing above would notice.


class Replica(DistributedDataParallel):
    """As one of several processes has it, but alone: tells of its passes, and of the time when nothing is exchanged."""

    def __init__(self, module: nn.Module) -> None:
        nn.Module.__init__(self)
        self.module, self.told = module, []

    def forward(self, *inputs: Tensor) -> Any:
        if torch.is_grad_enabled():
            self.told.append("pass")
        return self.module(*inputs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.told.append("by itself")
        yield
        self.told.append("no more")


@pytest.mark.parametrize("step", ["discriminator", "generator", "both", "likelihood"])
def test_gradients_are_exchanged_with_the_last_part_of_a_batch_alone(step: str) -> None:
    generator, discriminator = map(Replica, networks())
    objective = Objective(num_draws=M, accumulation_steps=3)
    optimizers, real, z = (sgd(generator), sgd(discriminator)), real_codes(), latents()
    if step == "discriminator":
        discriminator_step(generator, discriminator, optimizers[1], real, z, objective, rng())
    elif step == "generator":
        generator_step(generator, discriminator, optimizers[0], z, objective, rng())
    elif step == "both":
        adversarial_step(generator, discriminator, *optimizers, real, z, objective, rng())
    else:
        likelihood_step(generator, optimizers[0], real, z, objective)
    parts = [*(["by itself", "pass", "no more"] * 2), "pass"]
    assert discriminator.told == (parts if step in ("discriminator", "both") else [])
    assert generator.told == (parts if step != "discriminator" else [])


@pytest.mark.parametrize(
    ("step", "losses"),
    [
        ("discriminator", ["discriminator"]),
        ("generator", ["generator"]),
        ("both", ["discriminator", "generator"]),
        ("likelihood", ["generator"]),
    ],
)
def test_every_step_asks_the_other_processes_for_its_loss(step: str, losses: list[str]) -> None:
    class DivergedElsewhere(Processes):
        """Another process's loss is inf: the one of this number."""

        left = 0

        def mean(self, values: Tensor) -> Tensor:
            type(self).left -= 1
            return values + (torch.inf if self.left < 0 else 0)

    for number, who in enumerate(losses):
        generator, discriminator = networks()
        DivergedElsewhere.left = number
        objective = Objective(num_draws=M, processes=DivergedElsewhere())
        optimizers, real, z = (sgd(generator), sgd(discriminator)), real_codes(), latents()
        with pytest.raises(NonFiniteError, match=f"the {who}'s loss is inf"):
            if step == "discriminator":
                discriminator_step(generator, discriminator, optimizers[1], real, z, objective, rng())
            elif step == "generator":
                generator_step(generator, discriminator, optimizers[0], z, objective, rng())
            elif step == "both":
                adversarial_step(generator, discriminator, *optimizers, real, z, objective, rng())
            else:
                likelihood_step(generator, optimizers[0], real, z, objective)


def test_a_guard_counts_from_step_zero() -> None:
    guard = FiniteGuard()
    guard.note(torch.tensor(torch.nan), torch.tensor(1.0), "critic")
    assert guard.check() == "step 0 was not taken: the critic's loss is inf or NaN"


STEPS = ["discriminator", "generator", "both", "likelihood", "update"]


@pytest.mark.parametrize("step", STEPS)
def test_what_a_loss_does_not_depend_on_is_left_alone_by_the_optimiser(step: str) -> None:
    """Without a gradient, not with one of zero, with which the decay of weights would move it."""
    generator, discriminator = networks()
    idle = nn.Parameter(torch.ones(2))
    idle.grad = torch.ones(2)

    def decaying(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD([*network.parameters(), idle], lr=0.1, weight_decay=0.5)

    real, z, objective = real_codes(), latents(), Objective(num_draws=M)
    if step == "discriminator":
        discriminator_step(generator, discriminator, decaying(discriminator), real, z, objective, rng())
    elif step == "generator":
        generator_step(generator, discriminator, decaying(generator), z, objective, rng())
    elif step == "both":
        adversarial_step(generator, discriminator, decaying(generator), sgd(discriminator), real, z, objective, rng())
    elif step == "likelihood":
        likelihood_step(generator, decaying(generator), real, z, objective)
    else:
        update_parameters(decaying(generator), generator(z).log_probs.exp().square().sum(), {}, "critic")
    assert torch.equal(idle.detach(), torch.ones(2)) and idle.grad is None


def test_a_loss_without_a_gradient_is_named() -> None:
    with pytest.raises(InputError, match="critic must give what depends on its parameters"):
        update_parameters(sgd(nn.Linear(1, 1)), torch.zeros(()), {}, "critic")


class ByTable(nn.Module):
    """F of a sequence's codes ``[B, L]``, and of each alternative, from a table of its own for each condition."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.randn(3, 4, K, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    def alternatives(self, codes: Tensor, condition: Tensor) -> Tensor:
        return self.table[condition]

    def forward(self, codes: Tensor, condition: Tensor) -> Tensor:
        condition = condition.repeat(len(codes) // len(condition))
        return self.table[condition].gather(2, codes.long()[..., None])[..., 0]


@pytest.mark.parametrize("end", [None, 1])
@pytest.mark.parametrize("chunk", [None, 2])
def test_the_loss_of_alternatives_is_the_mean_of_those_of_each_latent_with_its_condition(
    end: int | None, chunk: int | None
) -> None:
    logits = torch.randn(3, 4, K, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    condition = torch.tensor([2, 0, 1])
    objective = Objective(make_estimator("rloo"), credit="alternatives", score_chunk=chunk)
    codes = SequenceCategorical(logits, end).sample(M, rng())
    every, log_w = loss_of_draws(SequenceCategorical(logits, end), codes, ByTable(), objective, condition)
    each = [
        loss_of_draws(SequenceCategorical(logits[[n]], end), codes[:, [n]], ByTable(), objective, condition[[n]])
        for n in range(3)
    ]
    torch.testing.assert_close(every, torch.stack([loss for loss, _ in each]).mean())
    torch.testing.assert_close(log_w, torch.cat([part for _, part in each], dim=1))
    if chunk is not None:
        with pytest.raises(ValueError, match="longer"):
            loss_of_draws(SequenceCategorical(logits, end), codes, ByTable(), objective, torch.tensor([2, 0, 1, 0, 0]))


@pytest.mark.parametrize("step", ["discriminator", "both"])
def test_the_penalty_moves_the_discriminator_along_its_own_gradient(step: str) -> None:
    moved = []
    for scale in (0.0, 3.0):
        generator, discriminator = (network.double() for network in networks())
        gradients = torch.autograd.grad(
            get_penalty("r1")(discriminator, real_codes(), real_codes(), K),  # type: ignore[misc]
            list(discriminator.parameters()), allow_unused=True,
        )  # fmt: skip
        optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)
        objective = Objective(num_draws=M, penalty=get_penalty("r1"), penalty_weight=2.0)
        z = latents().double()
        if step == "both":
            given = generator, discriminator, sgd(generator), optimizer, real_codes(), z, objective, rng(), scale
            adversarial_step(*given)
        else:
            discriminator_step(generator, discriminator, optimizer, real_codes(), z, objective, rng(), scale)
        moved.append([parameter.detach() for parameter in discriminator.parameters()])
    assert any(gradient is not None and gradient.abs().max() > 1e-3 for gradient in gradients)
    for without, with_it, gradient in zip(*moved, gradients, strict=True):
        torch.testing.assert_close(without - with_it, 0.1 * 6 * (0 * without if gradient is None else gradient))


def taken(step: str, objective: Objective, networks_of: tuple[Any, Any], optimizer: Any = sgd) -> dict[str, Tensor]:
    """The figures of one step, of whatever kind."""
    generator, discriminator = networks_of
    real, z = real_codes(), latents()
    if step == "discriminator":
        return discriminator_step(generator, discriminator, optimizer(discriminator), real, z, objective, rng())
    if step == "generator":
        return generator_step(generator, discriminator, optimizer(generator), z, objective, rng())
    if step == "likelihood":
        return likelihood_step(generator, optimizer(generator), real, z, objective)
    optimizers = optimizer(generator), optimizer(discriminator)
    return adversarial_step(generator, discriminator, *optimizers, real, z, objective, rng())


@pytest.mark.parametrize(
    ("step", "first"),
    [
        ("discriminator", "discriminator"),
        ("generator", "generator"),
        ("both", "discriminator"),
        ("likelihood", "generator"),
    ],
)
def test_every_step_leaves_what_is_not_finite_to_the_guard(step: str, first: str) -> None:
    generator, discriminator = networks()
    broken = generator if step == "likelihood" else discriminator
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    guard = FiniteGuard()
    taken(step, Objective(num_draws=M, guard=guard), (generator, discriminator), fused_adam)
    assert guard.check() == f"step 0 was not taken: the {first}'s loss is inf or NaN"


def test_of_two_bad_updates_the_guard_names_the_first_even_if_it_was_the_very_first() -> None:
    guard = FiniteGuard()
    guard.note(torch.tensor(torch.inf), torch.tensor(1.0), "critic")
    guard.note(torch.tensor(1.0), torch.tensor(torch.inf), "generator")
    assert guard.check() == "step 0 was not taken: the critic's loss is inf or NaN"


@pytest.mark.parametrize("step", ["discriminator", "both"])
def test_whatever_is_random_in_a_step_comes_from_its_generator(step: str) -> None:
    found = []
    for seed in (0, 1):
        both = networks()
        torch.manual_seed(seed)
        taken(step, Objective(num_draws=M, penalty=get_penalty("wgan_gp"), penalty_weight=5.0), both)
        found.append(weights(both[0]) + weights(both[1]))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_penalty_without_a_name_that_fails_is_named_by_its_type() -> None:
    def failing(*_: Any) -> Tensor:
        raise RuntimeError("broken")

    objective = Objective(penalty=cast(Any, partial(failing)))
    with pytest.raises(InputError, match=r"^penalty partial failed: broken; it is called with"):
        taken("discriminator", objective, networks())


def test_the_figures_of_the_weights_are_those_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FactorizedCategorical, "sample", _drawn_by_the_logits)

    def figures(z: Tensor, processes: Processes = ALONE) -> dict[str, Tensor]:
        generator, discriminator = networks()
        objective = Objective(num_draws=M, processes=processes)
        return generator_step(generator, discriminator, sgd(generator), z, objective)

    whole, (one, other) = figures(latents(4)), by_two_processes(figures, latents(4).split(2))
    for name in ("log_beta", "log_weight_std"):
        torch.testing.assert_close(one[name], whole[name])
        torch.testing.assert_close(other[name], whole[name])


def test_the_loss_of_a_generator_is_that_of_its_draws() -> None:
    generator, discriminator = networks()
    distribution, objective = generator(latents()), Objective(num_draws=M)
    loss, log_w = generator_loss(distribution, discriminator, objective, rng())
    expected, weights_of_draws = loss_of_draws(distribution, distribution.sample(M, rng()), discriminator, objective)
    assert torch.equal(loss, expected) and torch.equal(log_w, weights_of_draws) and log_w.shape == (M, N)


def test_a_guard_takes_note_where_the_losses_are() -> None:
    """On the device that holds no values, which refuses tensors of another."""
    assert FiniteGuard().note(torch.zeros((), device="meta"), torch.ones((), device="meta"), "x").device.type == "meta"


@pytest.mark.parametrize("step", ["discriminator", "both"])
def test_samples_unlike_the_data_are_refused(step: str) -> None:
    generator = MLPGenerator((2, 3), K, latent_size=3, width=8)
    with pytest.raises(InputError, match=r"like the data, one for each latent: .*, 5, 3, 2\], got .*, 5, 2, 3\]"):
        taken(step, Objective(num_draws=M), (generator, networks()[1]))


@pytest.mark.parametrize(
    ("found", "strict", "end"),
    [
        (torch.zeros(5, 3), True, r"\[5\], or for each position, \[5, 4\], got \[5, 3\]"),
        (torch.zeros(5, 1), False, r"\[5\], got \[5, 1\]; squeeze its last axis"),
        (torch.zeros(5, dtype=torch.int64), False, r"\[5\], got \[5\] of torch.int64"),
        (torch.zeros(4), False, r"\[5\], got \[4\]"),
        (None, False, r"\[5\], got NoneType"),
    ],
)
def test_what_is_said_of_what_a_discriminator_gives(found: Any, strict: bool, end: str) -> None:
    with pytest.raises(InputError, match=f"^discriminator must give one F for each sample, {end}$"):
        checked_log_ratios(found, torch.zeros(5, 4), strict)


@pytest.mark.parametrize("mixture", [True, False])
def test_the_figures_of_a_likelihood_step(mixture: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not mixture:
        monkeypatch.delattr(FactorizedCategorical, "mixture_log_prob")
    both = networks()
    distribution = both[0](latents())
    log_prob = distribution.mixture_log_prob(real_codes()) if mixture else distribution.log_prob(real_codes()[None])
    found = taken("likelihood", Objective(), both)
    assert set(found) == {"likelihood_loss", "generator_gradient_norm"}
    torch.testing.assert_close(found["likelihood_loss"], -log_prob.detach().mean())
    assert found["generator_gradient_norm"] > 0


@pytest.mark.parametrize("error", [RuntimeError("CUDA ran out of memory"), torch.OutOfMemoryError("no more of it")])
def test_a_penalty_for_which_memory_is_too_small_is_not_to_blame(error: Exception) -> None:
    def failing(*_: Any) -> Tensor:
        raise error

    with pytest.raises(type(error)) as caught:
        taken("discriminator", Objective(penalty=cast(Any, failing)), networks())
    assert caught.value is error


def test_a_penalty_that_fails_is_named() -> None:
    def failing(*_: Any) -> Tensor:
        raise IndexError("broken")

    with pytest.raises(InputError, match=r"^penalty failing failed: broken; it is called with"):
        taken("discriminator", Objective(penalty=cast(Any, failing)), networks())


def test_the_loss_of_a_generator_is_given_its_condition() -> None:
    logits = torch.randn(3, 4, K, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    distribution, condition = SequenceCategorical(logits), torch.tensor([2, 0, 1])
    _, log_w = generator_loss(distribution, ByTable(), Objective(num_draws=M), rng(), condition)
    codes = distribution.sample(M, rng())
    expected = torch.stack([ByTable()(draw, condition) for draw in codes])
    assert torch.equal(log_w, expected.flatten(1))


def test_alternatives_of_another_shape_are_refused() -> None:
    class Odd(ByTable):
        def alternatives(self, codes: Tensor, condition: Tensor) -> Tensor:
            return self.table[condition][..., :2]

    distribution, condition = SequenceCategorical(torch.zeros(3, 4, K)), torch.tensor([2, 0, 1])
    objective = Objective(make_estimator("rloo"), credit="alternatives")
    with pytest.raises(InputError, match=r"must give F of shape \[3, 4, 4\], got \[3, 4, 2\]$"):
        loss_of_draws(distribution, distribution.sample(M, rng()), Odd(), objective, condition)


def test_with_alternatives_the_length_of_a_draw_keeps_the_credit_of_the_whole_draw() -> None:
    """The logit of the end has a gradient from there alone: none of the other codes is an alternative to it."""
    end, condition = 1, torch.tensor([2, 0, 1])
    logits = torch.randn(3, 4, K, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    codes = SequenceCategorical(logits, end).sample(M, rng())
    objective = Objective(make_estimator("rloo"), credit="alternatives")
    loss, _ = loss_of_draws(SequenceCategorical(logits, end), codes, ByTable(), objective, condition)
    (found,) = torch.autograd.grad(loss, logits)
    f = torch.stack([ByTable()(draw, condition) for draw in codes]).mean(-1)
    advantages = (f - (f.sum(0) - f) / (M - 1)) / M
    p_end = logits.softmax(-1)[..., end]
    log_length = torch.zeros(M, 3, dtype=torch.float64)
    for m, n in itertools.product(range(M), range(3)):
        for place, code in enumerate(codes[m, n].tolist()):
            log_length[m, n] += (p_end[n, place] if code == end else 1 - p_end[n, place]).log()
            if code == end:
                break
    (expected,) = torch.autograd.grad(-(advantages * log_length).sum(0).mean(), logits)
    torch.testing.assert_close(found[..., end], expected[..., end])
    assert expected[..., end].abs().max() > 1e-3
