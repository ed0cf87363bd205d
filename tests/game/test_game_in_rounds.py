"""The game at one round: exact means and variances of its gradients, by enumeration, and how a step plays it."""

import itertools
from typing import Any, Literal

import pytest
import torch
from players import players
from refusals import refusal
from small_training import CODES, SPACE
from tabled_rounds import (
    BITS,
    Codes,
    TabledRatios,
    TabledRounds,
    best_log_ratios,
    fits,
    kl,
    random_law,
    seen_law,
)
from torch import Tensor

from bgan_discrete import Game, MLPDiscriminator, SampleSpace, Trainer, TrainingConfig
from bgan_discrete.game.credit import make_credit, prefix_credit
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import ESTIMATORS, Estimator, make_estimator
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.scoring import Scorer
from bgan_discrete.game.step import adversarial_step, discriminator_step, generator_step

P, K = 3, 2
ONE = SampleSpace((P,), K)
CUTS = [(3,), (1, 2), (2, 1), (1, 1, 1)]
RANKS = (2, 0, 1)
PLAYED = ("bgan", "bgan_centered", "vimco", "loo", "rloo", "jeffreys", "symmetric")
ROUNDS = [pytest.param(sizes, s, id=f"{sizes}-{s}") for sizes in CUTS for s in range(len(sizes))]

pytestmark = pytest.mark.usefixtures("float64")


# The definitions, by plain weights of the draws [M, T], T tuples of draws.


def others(values: Tensor, m: int) -> Tensor:
    return torch.cat([values[:m], values[m + 1 :]]).mean(0)


def advantages(name: str, log_w: Tensor) -> Tensor:
    w, draws = log_w.exp(), range(len(log_w))
    if name == "bgan":
        return w / w.sum(0)
    if name == "bgan_centered":
        return w / w.sum(0) - 1 / len(w)
    if name == "vimco":
        return torch.stack([w.mean(0).log() - others(w, m).log() for m in draws])
    if name == "loo":
        return torch.stack([(w[m] / others(w, m) - 1) / len(w) for m in draws])
    if name == "rloo":
        return torch.stack([(log_w[m] - others(log_w, m)) / len(w) for m in draws])
    if name == "symmetric":
        return w / w.sum(0) - (1 / w) / (1 / w).sum(0)
    return advantages("bgan_centered", log_w) + advantages("rloo", log_w)


class Enumerated:
    """Every latent bit, prefix and tuple of draws of one round, each as a latent of its own, with its probability."""

    def __init__(self, generator: TabledRounds, s: int, ratios: dict[Codes, float]) -> None:
        self.generator, self.s, self.ratios = generator, s, ratios
        looks = {generator.visible(x, s + 1): x for x in generator.samples()}
        rows = []
        for bit, prefix in itertools.product((0, 1), {generator.visible(x, s) for x in looks.values()}):
            groups = {look: x for look, x in looks.items() if generator.visible(x, s) == prefix}
            q = {look: generator.probability(x, bit, first=s, end=s + 1).item() for look, x in groups.items()}
            some = next(iter(groups.values()))
            # Before round s, over both latents: the bit that counts in round 0 is long forgotten.
            before = 1.0 if s == 0 else sum(generator.probability(some, other, end=s).item() for other in (0, 1)) / 2
            for group in itertools.product(q, repeat=3 if generator.sizes[s] == 1 else 2):
                chance = before / 2
                for look in group:
                    chance *= q[look]
                rows.append((bit, prefix, group, chance))
        self.bits = torch.tensor([row[0] for row in rows])
        self.prefixes = torch.tensor([row[1] for row in rows])
        self.codes = torch.tensor([row[2] for row in rows]).transpose(0, 1)  # [M, T, P]
        self.probability = torch.tensor([row[3] for row in rows])
        assert abs(self.probability.sum() - 1) < 1e-12
        self.distribution = generator(BITS[self.bits]).at_round(s, prefix=self.prefixes)

    def moments(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and summed variance of what each tuple gives for the table and the bits, ``[T, ...]``."""
        weights = self.probability.view(-1, *[1] * (gradients.ndim - 1))
        mean = (weights * gradients).sum(0)
        return mean, (weights * gradients**2).sum() - (mean**2).sum()

    def found(self, name: str, credit: Literal["sample", "alternatives"]) -> Tensor:
        """Of each tuple, the gradient of the package's surrogate for its logits ``[T, P, K]``, placed by its prefix."""
        both = players(None, TabledRatios(self.generator.space, self.ratios))
        surrogate_T, log_w = make_credit(credit)(
            make_estimator(name), self.distribution, self.codes.to(torch.uint8), Scorer(both)
        )
        if credit == "sample":
            assert torch.allclose(log_w, self.log_ratios(self.codes))
        (of_logits,) = torch.autograd.grad(surrogate_T.sum(), self.distribution.logits, retain_graph=True)
        found = self.placed(of_logits)
        # The same by the parameters themselves, in the mean.
        table, of_bit = self.generator.table, self.generator.of_bit
        slopes = torch.autograd.grad(self.probability @ surrogate_T, [table, of_bit], retain_graph=True)
        assert torch.allclose(torch.cat([slope.flatten() for slope in slopes]), self.moments(found)[0], atol=1e-13)
        return found

    def log_ratios(self, codes: Tensor) -> Tensor:
        return torch.tensor([[self.ratios[tuple(row)] for row in draw] for draw in codes.tolist()])

    def placed(self, of_logits: Tensor) -> Tensor:
        """Gradients for logits ``[T, P, K]`` as those of the parameters, ``[T, table and bits]``."""
        rows = torch.arange(len(of_logits))
        table = torch.zeros(len(of_logits), *self.generator.table.shape[1:])
        table[rows, self.generator.pattern(self.prefixes)] = of_logits
        of_bit = torch.zeros(len(of_logits), *self.generator.of_bit.shape)
        if self.s == 0:
            of_bit[rows, self.bits] = of_logits
        return torch.cat([table.flatten(1), of_bit.flatten(1)], dim=1)

    def conditionals(self) -> Tensor:
        """Probabilities ``[T, P, K]`` of the round's positions, 0 at others."""
        q = torch.zeros(len(self.bits), P, K)
        for row, (bit, prefix) in enumerate(zip(self.bits.tolist(), self.prefixes.tolist(), strict=True)):
            for position, of_round in enumerate(self.generator.round_of):
                if of_round == self.s:
                    q[row, position] = self.generator.conditional(tuple(prefix), position, bit).detach()
        return q

    def wanted(self, name: str, credit: str) -> Tensor:
        """The same from the definitions."""
        q = self.conditionals()
        is_of_round = torch.tensor(self.generator.round_of) == self.s
        if credit == "sample":
            scores = torch.nn.functional.one_hot(self.codes.clamp_max(K - 1), K) - q  # [M, T, P, K]
            weights = advantages(name, self.log_ratios(self.codes))[..., None, None]
            return self.placed((weights * scores * is_of_round[:, None]).sum(0))
        total = torch.zeros_like(q)
        for position in is_of_round.nonzero()[:, 0].tolist():
            for draw in self.codes:
                options = []
                for category in range(K):
                    exchanged = draw.clone()
                    exchanged[:, position] = category
                    options.append(exchanged)
                f = self.log_ratios(torch.stack(options)).T  # [T, K]
                of_position = q[:, position]
                weight = of_position * (f.exp() / (of_position * f.exp()).sum(1, keepdim=True) - 1)
                log_weight = of_position * (f - (of_position * f).sum(1, keepdim=True))
                inverse = of_position * ((-f).exp() / (of_position * (-f).exp()).sum(1, keepdim=True) - 1)
                kinds = {"rloo": log_weight, "jeffreys": weight + log_weight, "symmetric": weight - inverse}
                total[:, position] += kinds.get(name, weight) / len(self.codes)
        return self.placed(total)


def local_gradient(generator: TabledRounds, s: int, data: dict[Codes, Tensor]) -> Tensor:
    """``-grad KL(q_s || p_s)`` by the parameters of round s, with earlier rounds held fixed."""
    looks = {generator.visible(x, s + 1): x for x in generator.samples()}
    p, q_before, total = seen_law(generator, data, s + 1), generator.law(s), torch.zeros(())
    for look, x in looks.items():
        before = q_before[generator.visible(x, s)].detach()
        of_round = torch.stack([generator.probability(x, bit, first=s, end=s + 1) for bit in (0, 1)]).mean()
        total = total - before * of_round * (before * of_round / p[look]).log()
    slopes = torch.autograd.grad(total, [generator.table, generator.of_bit], allow_unused=True, materialize_grads=True)
    return torch.cat([slope.flatten() for slope in slopes])


def game_at(sizes: tuple[int, ...], causal: bool = False, ranks: Codes = RANKS) -> tuple[TabledRounds, dict[Any, Any]]:
    generator = TabledRounds(ONE, sizes, ranks, causal)
    return generator, random_law(generator)


@pytest.mark.parametrize("credit", ["sample", "alternatives"])
@pytest.mark.parametrize(("sizes", "s"), ROUNDS)
def test_mean_and_variance_of_every_estimator(sizes: tuple[int, ...], s: int, credit: Any) -> None:
    generator, data = game_at(sizes, causal=s == 1)
    every = Enumerated(generator, s, best_log_ratios(generator, data))
    for name in PLAYED:
        found, wanted = every.moments(every.found(name, credit)), every.moments(every.wanted(name, credit))
        assert wanted[0].abs().max() > 1e-3
        assert torch.allclose(found[0], wanted[0], atol=1e-12), name
        assert torch.allclose(found[1], wanted[1], atol=1e-12), name
        assert found[1] > 1e-6


@pytest.mark.parametrize("credit", ["sample", "alternatives"])
@pytest.mark.parametrize(("sizes", "s"), ROUNDS)
def test_rloo_descends_the_local_divergence_exactly(sizes: tuple[int, ...], s: int, credit: Any) -> None:
    for causal, ranks in ((False, RANKS), (True, (1, 2, 0))):
        generator, data = game_at(sizes, causal, ranks)
        every = Enumerated(generator, s, best_log_ratios(generator, data))
        mean, variance = every.moments(every.found("rloo", credit))
        assert torch.allclose(mean, local_gradient(generator, s, data), atol=1e-12)
        if credit == "alternatives":
            by_sample = every.moments(every.found("rloo", "sample"))[1]
            assert variance < by_sample


@pytest.mark.parametrize(("sizes", "s"), ROUNDS)
def test_vimco_ascends_the_log_of_the_mean_weight(sizes: tuple[int, ...], s: int) -> None:
    generator, data = game_at(sizes)
    every = Enumerated(generator, s, best_log_ratios(generator, data))
    probability = every.distribution.log_prob(every.codes).sum(0).exp()  # of the draws, differentiable
    before = every.probability / probability.detach()
    objective = (before * probability * every.log_ratios(every.codes).exp().mean(0).log()).sum()
    slopes = torch.autograd.grad(objective, [generator.table, generator.of_bit], retain_graph=True)
    wanted = torch.cat([slope.flatten() for slope in slopes])
    assert torch.allclose(every.moments(every.found("vimco", "sample"))[0], wanted, atol=1e-12)


@pytest.mark.parametrize(("sizes", "s"), ROUNDS)
def test_the_data_are_a_fixed_point(sizes: tuple[int, ...], s: int) -> None:
    generator = TabledRounds(ONE, sizes, RANKS)
    data = {x: q.detach() for x, q in generator.law().items()}
    every = Enumerated(generator, s, best_log_ratios(generator, data))
    for name, credit in itertools.product(PLAYED, ("sample", "alternatives")):
        mean, variance = every.moments(every.found(name, credit))  # type: ignore[arg-type]
        assert mean.abs().max() < 1e-12
        assert variance < 1e-12 or (name, credit) == ("bgan", "sample"), name
    # Moved away from it, the gradients point back.
    with torch.no_grad():
        moved = [0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(s))
                 for parameter in generator.parameters()]  # fmt: skip
        for parameter, by in zip(generator.parameters(), moved, strict=True):
            parameter.add_(by)
    every = Enumerated(generator, s, best_log_ratios(generator, data))
    away = torch.cat([by.flatten() for by in moved])
    for name in PLAYED:
        assert every.moments(every.found(name, "sample"))[0] @ away < 0


@pytest.mark.parametrize("sizes", CUTS)
def test_local_steps_lead_to_the_data(sizes: tuple[int, ...]) -> None:
    generator = TabledRounds(ONE, sizes, RANKS)
    with torch.no_grad():  # one latent's law, which the table reaches
        generator.of_bit[0] = generator.of_bit[1]
    # The data are of another table, so that a generator of these rounds has their law.
    other = TabledRounds(ONE, sizes, RANKS, seed=7)
    with torch.no_grad():
        other.of_bit.zero_()
    data = {x: q.detach() for x, q in other.law().items()}
    gaps = []
    for _ in range(25):
        gaps.append(kl(generator.law(), data).item())
        slope = torch.stack([local_gradient(generator, s, data) for s in range(len(sizes))]).sum(0)
        with torch.no_grad():
            for parameter, by in zip(
                (generator.table, generator.of_bit),
                slope.split([generator.table.numel(), generator.of_bit.numel()]),
                strict=True,
            ):
                parameter.add_(0.7 * by.view_as(parameter))
    assert gaps[-1] < gaps[0] / 10


# How a step plays it.


def step_of(kind: str, count: int = 60) -> tuple[TabledRounds, TabledRatios, Tensor]:
    generator = TabledRounds(ONE, (1, 1, 1), RANKS)
    judge = TabledRatios(ONE, {x: 0.1 * i for i, x in enumerate(itertools.product(range(K + 1), repeat=P))})
    both, game = players(generator, judge), Game(make_estimator("rloo"), num_draws=3, discriminator_draws=2)
    dice = torch.Generator().manual_seed(0)
    real = torch.randint(K, (count, P), generator=dice).to(torch.uint8)
    latents = BITS[torch.randint(2, (count,), generator=dice)]
    if kind == "discriminator":
        discriminator_step(game, both, real, latents, rng=dice)
    elif kind == "generator":
        generator_step(game, both, latents, rng=dice)
    else:
        adversarial_step(game, both, real, latents, rng=dice)
    return generator, judge, real


@pytest.mark.parametrize("kind", ["discriminator", "both"])
def test_the_discriminator_sees_data_hidden_as_draws_are(kind: str) -> None:
    generator, judge, real = step_of(kind)
    shown, fake = judge.seen[0].split([len(real), 2 * len(real)])
    numbers = []
    for n, (sample, hidden) in enumerate(zip(real.tolist(), shown.tolist(), strict=True)):
        s = next(s for s in range(3) if tuple(hidden) == generator.visible(tuple(sample), s + 1))
        numbers.append(s)
        draws = fake.view(2, -1, P)[:, n]
        assert ((draws == K) == (shown[n] == K)).all()
        is_before = torch.tensor([of_round < s for of_round in generator.round_of])
        assert (draws[0, is_before] == draws[1, is_before]).all(), "one prefix for all draws"
    assert set(numbers) == {0, 1, 2}


@pytest.mark.parametrize("kind", ["generator", "both"])
def test_draws_that_are_compared_differ_in_their_round_alone(kind: str) -> None:
    generator, judge, real = step_of(kind)
    draws = judge.seen[-1].view(3, -1, P)
    rounds = []
    for n in range(len(real)):
        hidden = draws[:, n] == K
        assert (hidden == hidden[0]).all()
        s = 2 - int(hidden[0].sum())
        rounds.append(s)
        is_before = torch.tensor([of_round < s for of_round in generator.round_of])
        assert (draws[:, n, is_before] == draws[0, n, is_before]).all()
    assert set(rounds) == {0, 1, 2}
    slope = generator.table.grad
    assert slope is not None
    blank = int(generator.pattern(torch.tensor([K] * P)))
    assert (slope[0].flatten(1).abs().amax(1) > 0).sum() > 3
    assert slope[0, blank].abs().max() > 0
    of_bit = generator.of_bit.grad
    assert of_bit is not None
    first = generator.ranks.argmin()
    assert (of_bit[:, first] != 0).all()
    assert of_bit[:, [p for p in range(P) if p != first]].abs().max() == 0, "the latent is for round 0 alone"


def test_the_mean_of_many_steps_is_a_third_of_the_sum_over_rounds() -> None:
    generator = TabledRounds(ONE, (1, 1, 1), RANKS)
    data = random_law(generator)
    ratios = best_log_ratios(generator, data)
    wanted = torch.stack([local_gradient(generator, s, data) for s in range(3)]).mean(0)
    latents = BITS[torch.arange(20000) % 2]
    both = players(generator, TabledRatios(ONE, ratios))
    generator_step(Game(make_estimator("rloo"), num_draws=2), both, latents, rng=torch.Generator().manual_seed(0))
    assert generator.table.grad is not None
    assert generator.of_bit.grad is not None
    found = -torch.cat([generator.table.grad.flatten(), generator.of_bit.grad.flatten()])
    assert (found - wanted).norm() < 0.06 * wanted.norm()


def test_likelihood_of_a_batch_moves_the_generator() -> None:
    generator = TabledRounds(ONE, (1, 1, 1), RANKS)
    data = random_law(generator)
    codes = torch.tensor(list(data))
    rows = torch.multinomial(torch.stack(list(data.values())), 2000, replacement=True)
    before = kl(data, generator.law()).item()
    adam = torch.optim.Adam(generator.parameters(), lr=0.1)
    dice = torch.Generator().manual_seed(0)
    for _ in range(60):
        likelihood_step(players(generator, None, adam), codes[rows], BITS, rng=dice)
    after = kl(data, generator.law()).item()
    assert after < before / 10
    # The same network draws in other rounds, for which it was trained too.
    in_one = {x: generator(BITS).in_rounds(2, (1, 2)).mixture_log_prob(torch.tensor([x]))[0].exp() for x in data}
    assert kl(data, in_one).item() < before / 3
    drawn = generator(BITS).sample(2000, dice).flatten(0, 1)
    assert fits(drawn, generator.law())


def test_likelihood_of_labels_is_the_same_in_parts() -> None:
    slopes = []
    for parts in (1, 3):
        generator = TabledRounds(ONE, (1, 2), causal=True, num_classes=2)
        codes = torch.randint(K, (6, P), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        labels = torch.tensor([0, 0, 1, 1, 1, 0])
        likelihood_step(players(generator, None, parts=parts), codes, BITS[[0, 1, 0, 1, 1, 1]], labels)
        slopes.append(generator.table.grad)
    assert torch.allclose(slopes[0], slopes[1], atol=1e-12)
    assert (slopes[0].flatten(1).abs().amax(1) > 0).all()


# What is refused.


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_that_a_constant_changes_are_refused(name: str) -> None:
    estimator = make_estimator(name)
    before = {key: value.clone() for key, value in estimator.state_dict().items()}
    if name in PLAYED:
        estimator.check_rounds()
    else:
        assert "changes with a constant in F, which the rounds before a round add: use" in refusal(
            estimator.check_rounds
        )
    assert all(torch.equal(before[key], value) for key, value in estimator.state_dict().items())
    log_w = torch.randn(4, 3)
    shift = torch.randn(3)
    if name in PLAYED:
        assert torch.allclose(estimator(log_w), estimator(log_w + shift), atol=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_only_the_reverse_kl_is_matched_in_rounds(name: str) -> None:
    estimator = make_estimator("matched", divergence=get_divergence(name))
    if name == "reverse_kl":
        estimator.check_rounds()
    else:
        assert "the estimator 'matched' changes with a constant in F" in refusal(estimator.check_rounds)


def test_own_estimators_are_tried_out() -> None:
    Estimator("range", lambda log_w: log_w - log_w.amin(0)).check_rounds()
    for estimator in (
        make_estimator("bgan", normalization="batch"),
        make_estimator("bgan_centered", normalization="batch"),
        Estimator("raw", lambda log_w: log_w),
        Estimator("weights", lambda log_w: log_w.exp() - log_w.exp().mean(0)),
    ):
        assert "changes with a constant in F" in refusal(estimator.check_rounds)


def test_a_training_refuses_what_cannot_be_played_in_rounds() -> None:
    torch.set_default_dtype(torch.float32)
    config = TrainingConfig(num_draws=4, batch_size=8, max_steps=2, threads=1, device="cpu")

    def trainer(game: Game, sizes: tuple[int, ...] = (2, 4), partial: bool = True) -> Trainer:
        generator = TabledRounds(SPACE, sizes)
        return Trainer(generator, MLPDiscriminator(SPACE, 8, 1, partial=partial), CODES, config, game=game)

    for estimator, normalization in (("reinforce", "latent"), ("maligan", "latent"), ("bgan", "batch")):
        game = Game(make_estimator(estimator, normalization=normalization), num_draws=4)  # type: ignore[arg-type]
        assert "changes with a constant in F" in refusal(lambda: trainer(game))  # noqa: B023
        trainer(game, (6,), partial=False)
    game = Game(make_estimator("rloo"), num_draws=4)
    assert "discriminator must read samples that are drawn in part" in refusal(lambda: trainer(game, partial=False))
    by_prefix = Game(make_estimator("rloo"), num_draws=4, credit=prefix_credit)
    assert "credit 'prefix'" in refusal(lambda: trainer(by_prefix))
    trained = trainer(game)
    trained.train(progress=False)
    assert trained.step == 2
