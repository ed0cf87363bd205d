"""Targets beyond the data: fixed points and exact gradients by enumeration, wishes, failures, and how a step plays."""

import itertools
import math

import pytest
import torch
from players import players
from refusals import refusal
from small_training import CODES, SPACE
from tabled_rounds import BITS, Codes, TabledRatios, TabledRounds, random_law
from torch import Tensor

from bgan_discrete import Game, MLPDiscriminator, MLPGenerator, SampleSpace
from bgan_discrete.game.credit import AlternativesCredit
from bgan_discrete.game.estimators import ESTIMATORS, make_estimator
from bgan_discrete.game.scoring import Scorer
from bgan_discrete.game.step import adversarial_step, discriminator_loss, generator_loss
from bgan_discrete.game.targets import LEAST_VALIDITY, Said, Target, Wish, at_once

P, K, M = 3, 2, 2
SAMPLES = list(itertools.product(range(K), repeat=P))
WEIGHT = 0.7
CUTS = [pytest.param(sizes, causal, id=f"{sizes}-{causal}") for sizes in [(3,), (1, 2), (1, 1, 1)] for causal in (0, 1)]

pytestmark = pytest.mark.usefixtures("float64")


def said(seed: int = 2) -> tuple[dict[Codes, float], dict[Codes, float]]:
    """What a verifier and a reward say of every sample; two are invalid."""
    dice = torch.Generator().manual_seed(seed)
    rewards = torch.randn(len(SAMPLES), generator=dice, dtype=torch.float64).tolist()
    return {x: float(i not in (1, 6)) for i, x in enumerate(SAMPLES)}, dict(zip(SAMPLES, rewards, strict=True))


def factor(x: Codes) -> float:
    """``max(v, eps) e^(lambda r)`` from the definition."""
    validity, reward = said()
    return max(validity[x], LEAST_VALIDITY) * math.exp(WEIGHT * reward[x])


def target(form: str = "additive", **changes: object) -> Target:
    tables = said()
    programs = [at_once(lambda codes, t=t: torch.tensor([t[tuple(row)] for row in codes.tolist()])) for t in tables]
    return Target(*programs, reward_weight=WEIGHT, form=form, **changes)  # type: ignore[arg-type]


def every_draw(generator: TabledRounds) -> tuple[Tensor, Tensor, Tensor]:
    """Both latents with every M samples: bits ``[T]``, codes ``[M, T, P]``, probabilities ``[T]``."""
    rows = [(bit, xs) for bit in (0, 1) for xs in itertools.product(SAMPLES, repeat=M)]
    of_sample = {(bit, x): generator.probability(x, bit).item() for bit in (0, 1) for x in SAMPLES}
    chances = [math.prod(of_sample[bit, x] for x in xs) / 2 for bit, xs in rows]  # half of them have the bit
    codes = torch.tensor([xs for _, xs in rows], dtype=torch.uint8).transpose(0, 1)
    return torch.tensor([bit for bit, _ in rows]), codes, torch.tensor(chances)


def gradients(generator: TabledRounds, game: Game, ratios: dict[Codes, float]) -> Tensor:
    """The exact mean of what a step of the generator descends, with every tuple of draws by its probability."""
    bits, codes, chances = every_draw(generator)
    both, aim = players(generator, TabledRatios(generator.space, ratios)), game.weighing
    assert aim is not None
    distribution = game.in_play(generator(BITS[bits]), None)
    score = Scorer(both, None, lambda: aim.added(aim.terms(codes.flatten(0, 1))).view(M, -1))
    surrogate_T, log_w_MT = game.credit(game.estimator, distribution, codes, score)
    loss = generator_loss(game, both, distribution, codes)
    assert loss.loss == -surrogate_T.mean() or game.estimator.name == "reinforce"  # whose baseline has moved
    assert torch.equal(log_w_MT, loss.seen)  # type: ignore[arg-type]
    parameters = [generator.table, generator.of_bit]
    slopes = torch.autograd.grad(-chances @ surrogate_T, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([slope.flatten() for slope in slopes])


def ratios_of(generator: TabledRounds, data: dict[Codes, Tensor], form: str) -> dict[Codes, float]:
    """The best F, or G where the target shifts."""
    q, (_, reward) = generator.law(), said()
    shift = {x: WEIGHT * reward[x] - (0.25 if form == "shifted" else 0) for x in SAMPLES}
    return {x: (data[x] / q[x]).log().item() + (shift[x] if form == "shifted" else 0) for x in SAMPLES}


@pytest.mark.parametrize("form", ["additive", "shifted"])
@pytest.mark.parametrize(("sizes", "causal"), CUTS)
def test_every_estimator_rests_where_the_generator_is_at_the_target(
    sizes: tuple[int, ...], causal: int, form: str
) -> None:
    generator = TabledRounds(SampleSpace((P,), K), sizes, (2, 0, 1), bool(causal))
    q = generator.law()
    total = sum(q[x].item() / factor(x) for x in SAMPLES)
    data = {x: q[x] / factor(x) / total for x in SAMPLES}  # so that the generator is at the target of these data
    for name in ESTIMATORS:
        if name != "matched":
            game = Game(make_estimator(name), num_draws=M, target=target(form, constant=0.25))
            slopes = gradients(generator, game, ratios_of(generator, data, form))
            assert slopes.abs().max() < 1e-10, name


@pytest.mark.parametrize("form", ["additive", "shifted"])
@pytest.mark.parametrize(("sizes", "causal"), CUTS)
def test_rloo_descends_the_divergence_from_the_target_exactly(sizes: tuple[int, ...], causal: int, form: str) -> None:
    generator = TabledRounds(SampleSpace((P,), K), sizes, (2, 0, 1), bool(causal))
    data = random_law(generator)
    game = Game(make_estimator("rloo"), num_draws=M, target=target(form, constant=0.25))
    found = gradients(generator, game, ratios_of(generator, data, form))
    q, wanted = generator.law(), torch.zeros(())
    for x in SAMPLES:
        wanted = wanted + q[x] * (q[x] / (data[x] * factor(x))).log()
    slopes = torch.autograd.grad(wanted, [generator.table, generator.of_bit], allow_unused=True)
    assert torch.allclose(found, torch.cat([slope.flatten() for slope in slopes]), atol=1e-12)
    assert found.abs().max() > 1e-3


def test_a_shifted_discriminator_has_the_loss_of_its_ratio() -> None:
    generator = TabledRounds(SampleSpace((P,), K), (3,))
    data = random_law(generator)
    real, fake = torch.tensor(SAMPLES), torch.tensor(SAMPLES[::-1])
    plain_ratios, shifted = (TabledRatios(generator.space, ratios_of(generator, data, f)) for f in ("", "shifted"))
    of_plain = discriminator_loss(Game(), players(None, plain_ratios), real, fake, None, 0, None)
    of_shifted = discriminator_loss(
        Game(target=target("shifted", constant=0.25)), players(None, shifted), real, fake, None, 0, None
    )
    assert torch.allclose(of_plain.loss, of_shifted.loss, atol=1e-12)


def test_a_failure_costs_a_sample_its_weight_alone() -> None:
    answers = torch.tensor([1.0, math.nan, 1.0, 0.0])
    rewards = torch.tensor([2.0, 5.0, 4.0, 6.0])
    terms = Target(at_once(lambda _: answers), at_once(lambda _: rewards), reward_weight=0.5).terms(torch.zeros(4, P))
    assert terms.log_weight.tolist() == pytest.approx([1, math.log(1e-4) + 2, 2, math.log(1e-4) + 3])  # 2 = .5 mean
    said = Said(Target(at_once(lambda _: answers)), torch.zeros(2, 2, P))
    assert torch.allclose(said(), torch.tensor([[0, math.log(1e-4)]] * 2))
    assert {name: figure.item() for name, figure in said.figures.items()} == {
        "valid": 0.5, "without_valid": 0.5, "weighted_reward": 0.0
    }  # fmt: skip


def test_wishes_choose_the_weight() -> None:
    rewards = torch.linspace(0, 1, 1001) ** 2
    share, mean = Wish("share", 0.3).weight(rewards), Wish("mean", 0.6).weight(rewards)
    weights = (share * rewards).softmax(0)
    assert (1 / weights.square().sum() / 1001).item() == pytest.approx(0.3, abs=1e-6)
    assert ((mean * rewards).softmax(0) @ rewards).item() == pytest.approx(0.6, abs=1e-6)
    settled = Target(reward=at_once(lambda _: rewards), reward_weight=Wish("share", 0.3)).settled(rewards)
    assert settled.reward_weight == share
    assert settled.constant == pytest.approx((share * rewards).exp().mean().log().item())
    assert "from 0.3335" in refusal(lambda: Wish("mean", 2.0).weight(rewards))
    assert "mean or a share" not in refusal(lambda: Wish("share", 1.5))
    assert "that differ" in refusal(lambda: Wish("share", 0.5).weight(torch.ones(9)))


def test_what_does_not_go_together_is_refused() -> None:
    assert "neither" in refusal(Target)
    assert "target_form" in refusal(lambda: target("other"))
    assert "credit 'sample'" in refusal(lambda: Game(credit=AlternativesCredit(), target=target()))
    assert Game(credit=AlternativesCredit(), target=target("weighted")).weighing is None
    unsettled = Target(reward=at_once(lambda codes: codes.sum(1)), reward_weight=Wish("mean", 1.0))
    assert "settled" in refusal(lambda: unsettled.terms(torch.zeros(2, 3)))


def test_programs_are_asked_before_the_discriminator_moves_and_awaited_after() -> None:
    order = list[str]()
    generator, discriminator = MLPGenerator(SPACE, 2), MLPDiscriminator(SPACE)
    discriminator.register_forward_hook(lambda *_: order.append("F"))

    def program(codes: Tensor) -> object:
        order.append(f"asked of {len(codes)}")

        def answers() -> Tensor:
            order.append("awaited")
            return codes.flatten(1).sum(1) > 2

        return answers

    game = Game(num_draws=5, target=Target(program))  # type: ignore[arg-type]
    figures = adversarial_step(game, players(generator, discriminator), torch.from_numpy(CODES[:8]), torch.randn(8, 2))
    assert order == ["asked of 40", "F", "F", "awaited"]
    assert {"valid", "without_valid", "weighted_reward", "ess_fraction"} <= set(figures)
