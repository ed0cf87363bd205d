"""The two steps: what they change, against the textbook formulas on the same draws."""

from typing import Any, cast

import pytest
import torch
from comparing import equal
from players import fused_adam, players, sgd
from small_game import (
    MOVES,
    SHAPE,
    K,
    M,
    N,
    drawn_by_the_logits,
    latents,
    networks,
    real_codes,
    rng,
    taken,
    weights,
)
from torch import Tensor, nn
from torch.nn.functional import one_hot
from watching import HostReads

from bgan_discrete import Discriminator, Generator, SampleSpace
from bgan_discrete.distributions import FactorizedCategorical, autoregressive
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.credit import AlternativesCredit, make_credit, sample_credit
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import ESTIMATORS, make_estimator
from bgan_discrete.game.guard import FiniteGuard
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.players import Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import Scorer
from bgan_discrete.game.step import adversarial_step, discriminator_step, generator_loss, generator_step
from bgan_discrete.game.updates import apply_gradients
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvDiscriminator,
    ConvGenerator,
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUDiscriminator,
    GRUGenerator,
)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_generators_gradient_is_the_textbook_one(name: str) -> None:
    generator, discriminator = networks()
    game = Game(make_estimator(name), M)
    before = weights(generator)
    found = generator_step(game, players(generator, discriminator), latents(), rng=rng())
    got = [(a - b.detach()) / 0.1 for a, b in zip(before, generator.parameters(), strict=True)]

    generator, discriminator = networks()
    distribution = generator(latents())
    codes = distribution.sample(M, rng())
    log_w = torch.stack([discriminator(draw) for draw in codes]).detach()
    advantages = make_estimator(name)(log_w)
    log_probs = torch.log_softmax(distribution.logits, -1)
    log_g = (one_hot(codes.long(), K) * log_probs).flatten(2).sum(-1)
    loss = -(advantages * log_g).sum() / N
    torch.testing.assert_close(found["generator_loss"], loss.detach(), rtol=1e-4, atol=1e-6)
    expected = torch.autograd.grad(loss, list(generator.parameters()))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("draws", [1, 3])
def test_the_discriminators_gradient_is_that_of_its_bound(name: str, draws: int) -> None:
    generator, discriminator = networks()
    game = Game(divergence=get_divergence(name), discriminator_draws=draws)
    before = weights(discriminator)
    found = discriminator_step(game, players(generator, discriminator), real_codes(), latents(), rng=rng())
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
    generator_step(Game(), players(generator, discriminator), latents(), rng=rng())
    assert not equal(g, weights(generator)) and equal(d, weights(discriminator))
    assert all(p.grad is None for p in discriminator.parameters())
    g = weights(generator)
    discriminator_step(Game(), players(generator, discriminator), real_codes(), latents(), rng=rng())
    assert equal(g, weights(generator)) and not equal(d, weights(discriminator))


@pytest.mark.parametrize("penalty_scale", [0, 4])
def test_the_step_of_both_is_one_after_the_other_with_one_pass_of_the_generator(penalty_scale: float) -> None:
    game = Game(make_estimator("rloo"), M, penalty=get_penalty("r1"), discriminator_draws=2)
    generator, discriminator = networks()
    draws = rng()
    found = discriminator_step(
        game, players(generator, discriminator), real_codes(), latents(), penalty_scale=penalty_scale, rng=draws
    )
    found |= generator_step(game, players(generator, discriminator), latents(), rng=draws)
    expected = weights(generator, discriminator)

    generator, discriminator = networks()
    passes: list[int] = []
    generator.register_forward_hook(lambda *_: passes.append(1))
    got = taken("both", game, players(generator, discriminator), penalty_scale=penalty_scale)
    assert len(passes) == 1
    assert equal(expected, weights(generator, discriminator))
    assert got.keys() == found.keys() and all(torch.equal(got[name], found[name]) for name in got)


@pytest.mark.parametrize("name", ["bgan_centered", "jeffreys", "maligan", "reinforce"])
@pytest.mark.parametrize("step", [*MOVES, "latents of their own"])
def test_a_batch_in_unequal_parts_is_the_whole_batch(step: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five latents in two parts the one has two fifths: gradients and figures are those of the five."""
    monkeypatch.setattr(FactorizedCategorical, "sample", drawn_by_the_logits)
    if step == "latents of their own":  # so that each sample has one of them, as with autoregressive generators
        monkeypatch.setattr(FactorizedCategorical, "is_mixture", False)
    found: dict[int, tuple[dict[str, Tensor], list[Tensor]]] = {}
    for parts in (1, 2, 3, 9):
        generator, discriminator = (network.double() for network in networks())
        game = Game(make_estimator(name), 3, discriminator_draws=2, penalty=get_penalty("r1"), penalty_weight=0.7)
        both = players(generator, discriminator, parts=parts)
        kinds = [step if step in MOVES else "likelihood"]
        if step == "both" and parts == 1:  # one after the other, with draws of their own
            kinds = ["discriminator", "generator"]
        figures: dict[str, Tensor] = {}
        for kind in kinds:
            figures |= taken(kind, game, both, z=latents().double(), penalty_scale=3.0)
        found[parts] = figures, weights(generator, discriminator)
    for parts in (2, 3, 9):  # of nine, four are empty
        assert found[parts][0].keys() == found[1][0].keys()
        for figure, value in found[1][0].items():
            torch.testing.assert_close(found[parts][0][figure], value, rtol=1e-6, atol=1e-9, msg=figure)
        for ours, theirs in zip(found[parts][1], found[1][1], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_parts_of_a_batch_keep_their_conditions_and_the_generators_own_pass_is_whole_where_it_is_coupled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FactorizedCategorical, "sample", drawn_by_the_logits)
    condition = torch.tensor([2, 0, 1, 1, 0])
    passes: dict[tuple[str, int], list[int]] = {}
    for name in ("rloo", "maligan"):
        weighed = []
        for parts in (1, 2):
            generator, discriminator = LabelledGenerator(3).double(), LabelledDiscriminator(3).double()
            sizes = passes.setdefault((name, parts), [])
            generator.register_forward_pre_hook(lambda module, inputs, found=sizes: found.append(len(inputs[0])))
            game = Game(make_estimator(name), 3, penalty=get_penalty("r1"))
            both = players(generator, discriminator, parts=parts)
            real, z = real_codes()[:, :1, 0], torch.zeros(N, 1).double()
            for step in ("discriminator", "generator") if parts == 1 else ("both",):
                taken(step, game, both, real, z, condition)
            weighed.append(weights(generator, discriminator))
        for one, other in zip(*weighed, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
    assert passes == {
        ("rloo", 1): [5, 5], ("rloo", 2): [2, 3, 2, 3], ("maligan", 1): [5, 5], ("maligan", 2): [2, 3, 5],
    }  # fmt: skip


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("step", MOVES)
def test_a_step_forgets_the_gradients_that_are_there_before(step: str, parts: int) -> None:
    found = []
    for before in (None, 100.0):
        generator, discriminator = networks()
        for network in (generator, discriminator):
            for parameter in network.parameters():
                parameter.grad = None if before is None else torch.full_like(parameter, before)
        taken(step, Game(num_draws=M), players(generator, discriminator, parts=parts))
        found.append(weights(generator, discriminator))
    assert equal(*found)


@pytest.mark.parametrize("take", [discriminator_step, adversarial_step])
def test_the_penalty_gets_real_and_drawn_codes_each_in_its_place_and_the_steps_own_randomness(take: Any) -> None:
    seen: list[Any] = []

    def watching(score: Any, real: Tensor, fake: Tensor, num_categories: int, rng: Any = None) -> Tensor:
        assert num_categories == K
        seen.extend((real, fake, rng))
        return 0 * score(real).sum()

    game, source = Game(penalty=watching, discriminator_draws=2), rng()
    take(game, players(*networks()), real_codes(), latents(), rng=source)
    drawn = networks()[0](latents()).sample(2, rng()).flatten(0, 1)
    assert torch.equal(seen[0], real_codes()) and torch.equal(seen[1], drawn) and seen[2] is source
    found = take(game, players(*networks()), real_codes(), latents(), penalty_scale=0, rng=rng())
    assert len(seen) == 3 and "penalty" not in found, "a step that leaves it out does not compute it"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_not_taken(value: float) -> None:
    generator, discriminator = networks()
    discriminator.register_forward_hook(lambda module, inputs, found: found + value)
    before = weights(generator, discriminator)
    with pytest.raises(NonFiniteError, match=r"the generator's (loss|gradient norm) is .*log_beta"):
        generator_step(Game(), players(generator, discriminator), latents(), rng=rng())
    with pytest.raises(NonFiniteError, match=r"the discriminator's loss is .*log_ratio_real"):
        discriminator_step(Game(), players(generator, discriminator), real_codes(), latents(), rng=rng())
    assert equal(before, weights(generator, discriminator))


def test_a_gradient_that_is_not_finite_is_not_applied() -> None:
    class SquareRoot(Discriminator):
        """Finite at 0, with an infinite slope."""

        def __init__(self) -> None:
            super().__init__(SampleSpace(SHAPE, K))
            self.a = nn.Parameter(torch.zeros(()))

        def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
            return self.a.sqrt().expand(len(samples)) * samples.flatten(1).float().mean(1)

    discriminator = SquareRoot()
    with pytest.raises(NonFiniteError, match="the discriminator's gradient norm is"):
        discriminator_step(Game(), players(networks()[0], discriminator), real_codes(), latents(), rng=rng())
    assert float(discriminator.a.detach()) == 0


def test_a_guarded_step_is_the_same_step() -> None:
    found = []
    for guard in (None, FiniteGuard()):
        generator, discriminator = networks()
        game = Game(num_draws=M, penalty=get_penalty("r1"))
        both = players(generator, discriminator, fused_adam(generator), fused_adam(discriminator), guard=guard)
        random = rng()
        for _ in range(3):
            adversarial_step(game, both, real_codes(), latents(), rng=random)
        found.append(weights(generator, discriminator))
        assert guard is None or guard.check() is None
    assert equal(*found)


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
        loss = loss + (parameter.sum() if not bad else 0)
        optimizer.zero_grad()
        loss.backward()
        apply_gradients(optimizer, loss.detach(), {}, who, guard)
        assert torch.equal(before, parameter) == (bad or step == 6)
    assert guard.check() == f"step 5 was not taken: the generator's {kind} is inf or NaN"
    assert guard.check() is None
    for guard.step in (7, 8):
        guard.note(torch.tensor(torch.nan if guard.step == 8 else 0.0), torch.tensor(torch.inf), "critic")
    assert guard.check() == "step 7 was not taken: the critic's gradient norm is inf or NaN", "the first, not the last"
    with pytest.raises(InputError, match="a guard needs an optimiser with fused=True, got SGD"):
        apply_gradients(sgd(nn.ParameterList([parameter])), parameter.sum().detach(), {}, "critic", FiniteGuard())


def _text_game(credit: str) -> tuple[Any, Any, Tensor, Tensor]:
    torch.manual_seed(0)
    space = SampleSpace((6,), K, end_id=0)
    generator = (ConvSequenceGenerator if credit == "alternatives" else GRUGenerator)(space, latent_size=3, width=8)
    discriminator = {
        "sample": lambda: ConvSequenceDiscriminator(space, width=8),
        "prefix": lambda: GRUDiscriminator(space, width=8, per_prefix=True),
        "alternatives": lambda: AlternativesDiscriminator(space, width=8, depth=1),
    }[credit]()
    real = torch.randint(1, K, (N, 6), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    return generator, discriminator, real, latents()


@pytest.mark.parametrize("case", ["images", "sample", "prefix", "alternatives"])
def test_a_guarded_step_never_waits_for_the_device(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if case == "images":
        torch.manual_seed(0)
        space = SampleSpace((8, 8), K, ordered=True)
        generator, discriminator = ConvGenerator(space, 3, 4), ConvDiscriminator(space, 4)
        real, z = torch.randint(0, K, (N, 8, 8)).to(torch.uint8), latents()
    else:
        generator, discriminator, real, z = _text_game(case)
        # On a CPU, drawing stops where all sequences have ended; on an accelerator it does not ask.
        monkeypatch.setattr(autoregressive, "stops_early", lambda device: False)
    credit = make_credit("sample" if case == "images" else cast(Any, case))
    game, guard = Game(make_estimator("rloo"), M, penalty=get_penalty("r1"), credit=credit), FiniteGuard()
    both = players(generator, discriminator, fused_adam(generator), fused_adam(discriminator), guard=guard)
    with HostReads() as watch:
        adversarial_step(game, both, real, z, penalty_scale=4, rng=rng())
    assert watch.found == []
    with HostReads() as watch:
        assert guard.check() is None
    assert watch.found == ["_local_scalar_dense"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_guarded_step_never_synchronises_cuda() -> None:
    generator, discriminator = (network.cuda() for network in networks())
    game, optimizers = Game(num_draws=M, penalty=get_penalty("r1")), (fused_adam(generator), fused_adam(discriminator))
    both = players(generator, discriminator, *optimizers, guard=FiniteGuard())
    real, z = real_codes().cuda(), latents().cuda()
    for mode in ("default", "error"):  # the first step sets up libraries
        torch.cuda.set_sync_debug_mode(mode)
        try:
            adversarial_step(game, both, real, z, penalty_scale=4)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_normalised_weights_scored_in_bfloat16_are_near_those_in_float32() -> None:
    """Within 0.02, where the largest of M = 20 is about 0.2: eight bits of an F of a few units."""
    torch.manual_seed(0)
    discriminator = ConvDiscriminator(SampleSpace((12, 12), 16), 16, 2)
    codes = torch.randint(0, 16, (20, 32, 12, 12)).to(torch.uint8)
    with torch.no_grad():
        discriminator.to_log_ratio.weight.mul_(120)  # an F that spreads over some units, as in training
    half = players(None, discriminator, precision=lambda: torch.autocast("cpu", torch.bfloat16))
    log_w, rounded = (Scorer(both).draws(codes) for both in (players(None, discriminator), half))
    assert rounded.dtype == torch.float32 and not torch.equal(log_w, rounded)
    assert log_w.std() > 0.5
    difference = (torch.softmax(log_w, 0) - torch.softmax(rounded, 0)).abs().max()
    assert difference < 0.02, float(difference)


CREDITS = ["sample", "prefix", "alternatives"]


@pytest.mark.parametrize("credit", CREDITS)
def test_the_networks_of_each_step_run_in_the_wanted_precision(credit: Any) -> None:
    """bfloat16; losses are float32."""
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
    game = Game(make_estimator("rloo"), 2, credit=make_credit(credit))
    both = players(generator, discriminator, precision=lambda: torch.autocast("cpu", torch.bfloat16))
    wanted = {
        "discriminator": {"generator", "discriminator"}, "generator": {"generator", "discriminator for scores"},
        "both": {"generator", "discriminator", "discriminator for scores"}, "likelihood": {"generator"},
    }  # fmt: skip
    for step, used in wanted.items():
        seen.clear()
        figures = taken(step, game, both, real, z)
        assert {who for who, _ in seen} == used
        assert all(in_bfloat16 for _, in_bfloat16 in seen), step
        assert all(value.dtype == torch.float32 and value.isfinite() for value in figures.values())
    codes = generator(z).sample(2, rng())
    scores = Scorer(both).draws(codes)
    assert scores.dtype == torch.float32 and not scores.requires_grad


@pytest.mark.parametrize("was_training", [True, False])
@pytest.mark.parametrize("credit", CREDITS)
def test_scoring_leaves_the_discriminators_mode_as_it_was_and_makes_no_graph(credit: Any, was_training: bool) -> None:
    generator, discriminator, _, z = _text_game(credit)
    discriminator.train(was_training)
    game = Game(make_estimator("rloo"), 2, credit=make_credit(credit))
    sizes: list[int] = []
    modes: set[tuple[bool, bool]] = set()
    name = "alternatives" if credit == "alternatives" else "forward"
    own = getattr(discriminator, name)

    def watched(codes: Tensor, *labels: Tensor) -> Tensor:
        sizes.append(len(codes))
        modes.add((discriminator.training, torch.is_grad_enabled()))
        return own(codes, *labels)

    setattr(discriminator, name, watched)
    distribution = generator(z)
    codes = distribution.sample(2, rng())
    found = generator_loss(game, players(generator, discriminator, score_chunk=3), distribution, codes)
    loss, log_w = found.loss, cast(Tensor, found.seen)
    assert discriminator.training == was_training and modes == {(False, False)}
    assert not log_w.requires_grad
    loss.backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert sizes[:4] == ([3, 2, 3, 2] if credit == "alternatives" else [3, 3, 3, 1])
    whole = generator_loss(game, players(generator, discriminator), distribution, codes)
    torch.testing.assert_close(log_w, whole.seen)
    torch.testing.assert_close(loss, whole.loss)


def test_the_defaults_are_those_of_the_paper_and_of_one_draw() -> None:
    game = Game()
    assert (game.estimator.name, game.divergence.name) == ("bgan_centered", "gan")
    assert (game.num_draws, game.discriminator_draws, game.penalty_weight) == (20, 1, 1.0)
    assert (game.credit, game.penalty) == (sample_credit, None)
    assert AlternativesCredit() == AlternativesCredit(escort=1.0)
    both = Players(*networks())
    assert (both.score_chunk, both.parts, both.guard) == (None, 1, None)


def test_the_discriminators_figures_are_the_means_of_their_sides() -> None:
    generator, discriminator = networks()
    real, game = real_codes(7), Game(discriminator_draws=3, penalty=get_penalty("r1"), penalty_weight=5.0)
    fake = generator(latents()).sample(3, rng()).flatten(0, 1)
    with torch.no_grad():
        sides = {"real": discriminator(real), "fake": discriminator(fake)}
    penalty = get_penalty("r1")(discriminator, real, fake, K).detach()
    found = discriminator_step(game, players(generator, discriminator), real, latents(), penalty_scale=4, rng=rng())
    for side, log_ratio in sides.items():
        torch.testing.assert_close(found[f"log_ratio_{side}"], log_ratio.mean())
        torch.testing.assert_close(found[f"d_{side}"], log_ratio.sigmoid().mean())
    torch.testing.assert_close(found["penalty"], penalty, msg="without weight and scale")


def test_real_samples_may_be_of_another_integer_type_than_draws() -> None:
    moved = []
    for dtype in (torch.uint8, torch.int64):
        generator, discriminator = networks()
        taken("discriminator", Game(), players(generator, discriminator), real_codes().to(dtype))
        moved.append(weights(discriminator))
    assert equal(*moved)


def table(labels: int) -> nn.Parameter:
    """Of logits, or of F, of single codes, a row for each label."""
    return nn.Parameter(torch.randn(labels, K, generator=torch.Generator().manual_seed(5)))


class LabelledGenerator(Generator):
    """Of single codes, whose logits depend on a label alone."""

    def __init__(self, labels: int) -> None:
        super().__init__(SampleSpace((1,), K), 1, num_classes=labels)
        self.table = table(labels)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
        return FactorizedCategorical(self.table[labels][:, None] + 0 * latents[:, :1, None])


class LabelledDiscriminator(Discriminator):
    """Of single codes, whose F depends on a label, too."""

    credits = ("sample", "alternatives")

    def __init__(self, labels: int) -> None:
        super().__init__(SampleSpace((1,), K), labels)
        self.table = table(labels)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        labels = labels.repeat(len(samples) // len(labels))
        if samples.is_floating_point():
            return (samples[:, 0] * self.table[labels]).sum(-1)
        return self.table[labels, samples[:, 0].long()]

    def alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.table[labels][:, None].expand(len(codes), 1, K)


def test_draws_are_scored_with_the_condition_of_their_latent_whatever_the_chunk() -> None:
    discriminator, condition = LabelledDiscriminator(3), torch.tensor([2, 0, 1, 1, 0])
    codes = torch.randint(0, K, (M, N, 1), generator=rng()).to(torch.uint8)
    expected = torch.stack([discriminator.table[condition, draw[:, 0].long()] for draw in codes]).detach()
    sizes: list[int] = []
    discriminator.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    for chunk, largest in ((None, N * M), (1, N), (7, N), (12, 2 * N), (1000, N * M)):
        score = Scorer(players(None, discriminator, score_chunk=chunk), condition)
        assert torch.equal(score.draws(codes), expected)
        assert max(sizes) == largest
        sizes.clear()


@pytest.mark.parametrize("credit", ["sample", "alternatives"])
@pytest.mark.parametrize("penalty", ["none", "r1", "roth", "wgan_gp"])
def test_a_conditional_game_learns_each_conditions_own_distribution(credit: Any, penalty: str) -> None:
    generator, discriminator = LabelledGenerator(2), LabelledDiscriminator(2)
    target = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.1, 0.8]])
    draws = rng()
    optimizers = [torch.optim.Adam(module.parameters(), 0.04, (0.0, 0.99)) for module in (generator, discriminator)]
    game = Game(
        make_estimator("rloo"), 8, penalty=get_penalty(penalty), penalty_weight=0.01, credit=make_credit(credit)
    )
    both = players(generator, discriminator, *optimizers, score_chunk=40)
    for step in range(250):
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = 0.04 * (1 - step / 250)
        condition = torch.randint(0, 2, (128,), generator=draws)
        real = torch.multinomial(target[condition], 1, generator=draws).to(torch.uint8)
        adversarial_step(game, both, real, torch.zeros(128, 1), condition, rng=draws)
    assert (torch.softmax(generator.table, -1) - target).abs().max() < 0.1


def test_conditions_that_do_not_fit_are_refused() -> None:
    generator, discriminator = LabelledGenerator(2), LabelledDiscriminator(2)
    real = torch.zeros(4, 1, dtype=torch.uint8)
    with pytest.raises(InputError, match="one for each real sample and each latent, got 3 for 4 real samples and 3"):
        discriminator_step(
            Game(), players(generator, discriminator), real, torch.zeros(3, 1), torch.zeros(3, dtype=torch.long)
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
        both = players(generator, discriminator, parts=parts)
        discriminator_step(Game(), both, real_codes(num_real), latents(num_latents), rng=rng())
    assert seen == {1: [num_latents], 2: [num_latents // 2] * 2}
    with pytest.raises(InputError, match=r"parts must divide .* got 3 for"):
        discriminator_step(Game(), players(*networks(), parts=3), real_codes(num_real), latents(num_latents))


def test_latents_of_a_likelihood_that_is_no_mixtures_are_one_for_each_sample() -> None:
    space = SampleSpace((3,), K)
    generator, real = GRUGenerator(space, latent_size=3, width=8), torch.zeros(6, 3, dtype=torch.uint8)
    for parts, count in ((1, 5), (2, 7)):
        with pytest.raises(InputError, match=f"^latents must be one for each of 6 samples, got {count}"):
            likelihood_step(players(generator, None, parts=parts), real, latents(count))
    likelihood_step(players(generator, None, parts=2), real, latents(6))


def test_masked_logits_are_named_in_a_loop_of_ones_own() -> None:
    torch.manual_seed(0)
    generator, discriminator = networks()
    generator.register_forward_hook(
        lambda module, inputs, found: FactorizedCategorical(found.logits.masked_fill(torch.arange(K) == 1, -torch.inf))
    )
    with pytest.raises(NonFiniteError, match="the generator's logits must be finite, got -inf among them; give -1e4"):
        generator_step(Game(num_draws=M), players(generator, discriminator), latents(), rng=rng())


FIGURES = {
    "discriminator": {
        "discriminator_loss", "log_ratio_real", "log_ratio_fake", "d_real", "d_fake", "penalty",
        "discriminator_gradient_norm",
    },
    "generator": {
        "generator_loss", "ess_fraction", "max_weight", "log_beta", "log_weight_std", "generator_gradient_norm",
    },
    "likelihood": {"likelihood_loss", "generator_gradient_norm"},
}  # fmt: skip
FIGURES["both"] = FIGURES["discriminator"] | FIGURES["generator"]


@pytest.mark.parametrize("step", MOVES)
def test_the_figures_of_a_step_are_numbers_without_a_graph(step: str) -> None:
    found = taken(step, Game(num_draws=M, penalty=get_penalty("r1")), players(*networks()))
    assert found.keys() == FIGURES[step]
    assert all(value.ndim == 0 and not value.requires_grad for value in found.values())
