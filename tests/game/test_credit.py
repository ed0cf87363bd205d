"""Whose F weighs a position: each credit by its name, what it needs, and what it says where that is not there."""

from typing import Any

import pytest
import torch
from players import players, sgd
from torch import Tensor, nn

from bgan_discrete import Discriminator, FactorizedCategorical, Game, SampleSpace, Trainer, generator_step, make_credit
from bgan_discrete.distributions import SequenceCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.credit import AlternativesCredit, Credit, credit_name, prefix_credit, sample_credit
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.players import Players
from bgan_discrete.game.scoring import Scorer
from bgan_discrete.game.step import adversarial_step, discriminator_step
from bgan_discrete.nn import GRUDiscriminator, MLPDiscriminator, MLPGenerator

L, K, M, N = 3, 4, 5, 2
SPACE = SampleSpace((L,), K)
CREDITS: tuple[Any, ...] = ("sample", "prefix", "alternatives")


class Sums(Discriminator):
    """F is the sum of the codes: of the sample, or up to each position."""

    def __init__(self, per_prefix: bool) -> None:
        super().__init__(SPACE)
        self.per_prefix, self.scale = per_prefix, nn.Parameter(torch.tensor(0.3))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        sums = self.scale * samples.float().cumsum(1)
        return sums if self.per_prefix else sums[:, -1]


def weighed(credit: Credit, discriminator: Discriminator) -> tuple[Tensor, Tensor, Tensor, FactorizedCategorical]:
    """The surrogate, the log weights, and the draws and the distribution that they are of."""
    logits = torch.randn(N, L, K, generator=torch.Generator().manual_seed(0))
    distribution = FactorizedCategorical(logits)
    codes = distribution.sample(M, torch.Generator().manual_seed(1))
    scorer = Scorer(players(None, discriminator))
    return *credit(make_estimator("bgan_centered"), distribution, codes, scorer), codes, distribution


def test_a_credit_and_its_name() -> None:
    assert make_credit("sample") is sample_credit
    assert make_credit("prefix") is prefix_credit
    assert make_credit("alternatives", 0.5) == AlternativesCredit(escort=0.5)
    assert [credit_name(make_credit(name)) for name in CREDITS] == list(CREDITS)
    assert credit_name(lambda *parts: sample_credit(*parts)) is None  # noqa: PLW0108 - a function of one's own
    for name in ("token", "sequence", ""):
        with pytest.raises(InputError, match=f"credit '{name}' is unknown; choose one of sample, prefix, alternatives"):
            make_credit(name)  # type: ignore[arg-type]


def test_the_sample_weighs_all_of_its_positions_and_a_prefix_the_one_that_it_ends() -> None:
    surrogate, log_w, codes, distribution = weighed(sample_credit, Sums(per_prefix=False))
    log_probs = distribution.log_probs.expand(M, -1, -1, -1).gather(-1, codes.long()[..., None]).squeeze(-1)
    sums = 0.3 * codes.float().cumsum(-1)
    torch.testing.assert_close(log_w, sums[..., -1])
    advantages = torch.softmax(log_w, 0) - 1 / M
    torch.testing.assert_close(surrogate, (advantages * log_probs.sum(-1)).sum(0))

    surrogate, log_w, again, _ = weighed(prefix_credit, Sums(per_prefix=True))
    assert torch.equal(again, codes)
    torch.testing.assert_close(log_w, sums.flatten(1))
    torch.testing.assert_close(surrogate, ((torch.softmax(sums, 0) - 1 / M) * log_probs).sum((0, 2)))


@pytest.mark.parametrize(
    ("credit", "discriminator", "words"),
    [
        (sample_credit, Sums(per_prefix=True), rf"'sample' needs one F for each sample, \[{M * N}\], "
         rf"got \[{M * N}, {L}\]; for F of each prefix take credit 'prefix'"),
        (prefix_credit, Sums(per_prefix=False), rf"'prefix' needs F for each position, \[{M * N}, {L}\], "
         rf"got \[{M * N}\]"),
        (AlternativesCredit(), Sums(per_prefix=False), "'alternatives' needs"),
    ],
)  # fmt: skip
def test_a_credit_refuses_an_f_that_is_not_its_own_before_anything_moves(
    credit: Credit, discriminator: Discriminator, words: str
) -> None:
    generator = MLPGenerator(SPACE, latent_size=2, width=4)
    before = [parameter.detach().clone() for parameter in generator.parameters()]
    with pytest.raises(InputError, match=f"credit {words}"):
        generator_step(Game(num_draws=M, credit=credit), players(generator, discriminator), torch.randn(N, 2))
    assert all(torch.equal(a, b) for a, b in zip(before, generator.parameters(), strict=True))


@pytest.mark.parametrize("who", ["generator", "discriminator"])
def test_a_player_that_must_move_and_has_no_optimiser_is_named(who: str) -> None:
    generator, discriminator = MLPGenerator(SPACE, latent_size=2, width=4), MLPDiscriminator(SPACE, width=4)
    moved = discriminator if who == "generator" else generator
    optimizers = {f"{'discriminator' if who == 'generator' else 'generator'}_optimizer": sgd(moved)}
    game, one = Game(num_draws=2), Players(generator, discriminator, **optimizers)  # type: ignore[arg-type]
    real, latents = torch.zeros(N, L, dtype=torch.uint8), torch.randn(N, 2)
    steps = {
        "generator": [lambda: generator_step(game, one, latents), lambda: likelihood_step(one, real, latents)],
        "discriminator": [lambda: discriminator_step(game, one, real, latents)],
    }
    before = [parameter.detach().clone() for parameter in discriminator.parameters()]
    for take in [*steps[who], lambda: adversarial_step(game, one, real, latents)]:
        with pytest.raises(InputError, match=f"players need a {who}_optimizer where the {who} moves, got none"):
            take()
    assert all(torch.equal(a, b) for a, b in zip(before, discriminator.parameters(), strict=True)), "none has moved"
    for take in steps["discriminator" if who == "generator" else "generator"]:
        take()


def test_players_are_networks_not_names() -> None:
    with pytest.raises(InputError, match=r"generator must extend bgan_discrete\.Generator, got str"):
        Players("gru", MLPDiscriminator(SPACE, width=4))


def test_players_that_could_not_learn_or_run_are_refused() -> None:
    generator, discriminator = MLPGenerator(SPACE, latent_size=2, width=4), MLPDiscriminator(SPACE, width=4)
    with pytest.raises(InputError, match=r"^generator_optimizer must hold parameters of the generator, .*swapped"):
        Players(generator, discriminator, sgd(discriminator), sgd(generator))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"discriminator_optimizer": sgd(generator)}, "discriminator_optimizer must hold parameters of the discrim"),
        ({"parts": 0}, "parts must be at least 1, got 0"),
        ({"parts": 2.0}, "parts must be an integer"),
        ({"score_chunk": 0}, "score_chunk must be at least 1"),
        ({"precision": "bfloat16"}, "^precision must be a function that makes a context"),
        ({"precision": torch.autocast("cpu")}, "^precision must be a function"),
    ]
    for options, words in wrong:
        with pytest.raises(InputError, match=words):
            Players(generator, discriminator, **options)


def test_a_player_that_is_missing_is_named_where_it_is_needed() -> None:
    generator, discriminator = MLPGenerator(SPACE, latent_size=2, width=4), MLPDiscriminator(SPACE, width=4)
    real, latents = torch.zeros(N, L, dtype=torch.uint8), torch.randn(N, 2)
    likelihood_step(players(generator, None), real, latents)
    with pytest.raises(InputError, match="players need a discriminator for this step, got None"):
        generator_step(Game(), players(generator, None), latents)
    with pytest.raises(InputError, match="players need a generator for this step, got None"):
        likelihood_step(players(None, discriminator), real, latents)
    with pytest.raises(InputError, match="players need a generator for this step, got None"):
        discriminator_step(Game(), players(None, discriminator), real, latents)


def test_an_escort_out_of_range_is_refused() -> None:
    for escort in (0, 1.5, -1, "a", float("nan")):
        with pytest.raises(InputError, match=r"^escort must "):
            AlternativesCredit(escort)  # type: ignore[arg-type]


def test_a_credit_that_the_discriminator_gives_no_log_ratio_for_is_refused_before_training() -> None:
    space = SampleSpace((4,), 3)
    codes = torch.randint(0, 3, (20, 4), dtype=torch.uint8)
    networks = MLPGenerator(space, 4, 8), MLPDiscriminator(space, 8)
    with pytest.raises(InputError, match=r"prefixes, which MLPDiscriminator .* F for: sample, alternatives\)$"):
        Trainer(*networks, codes, game=Game(credit=make_credit("prefix")))
    per_sample = GRUDiscriminator(space, 8)
    with pytest.raises(InputError, match=r"'prefix' needs F of prefixes, .*: sample\); make it with per_prefix=True$"):
        Trainer(networks[0], per_sample, codes, game=Game(credit=make_credit("prefix")))
    with pytest.raises(InputError, match=r"make it with per_prefix=False$"):
        Trainer(networks[0], GRUDiscriminator(space, 8, per_prefix=True), codes)
    own = Game(credit=lambda *parts: sample_credit(*parts))  # noqa: PLW0108 - a function of one's own
    assert Trainer(*networks, codes, game=own).game is own, "a credit of one's own is not looked into"


class Both(Discriminator):
    """F of samples, and of alternatives, from one table."""

    credits = ("sample", "alternatives")

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.table = torch.randn(L, K, generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.one_hots(samples) * self.table).sum((1, 2))

    def alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.table.expand(len(codes), L, K)


def drawn(end: int | None = None) -> tuple[SequenceCategorical, Tensor]:
    logits = torch.randn(N, L, K, generator=torch.Generator().manual_seed(7), dtype=torch.float64).requires_grad_()
    distribution = SequenceCategorical(logits, end)
    return distribution, distribution.sample(M, torch.Generator().manual_seed(8))


@pytest.mark.parametrize("escort", [1.0, 0.5])
def test_alternatives_have_their_escort(escort: float) -> None:
    (distribution, codes), estimator, judge = drawn(), make_estimator("rloo"), Both()
    credit = AlternativesCredit(escort)
    surrogate, _ = credit(estimator, distribution, codes, Scorer(Players(None, judge)))
    log_q = distribution.log_probs
    advantages = estimator.over_alternatives(log_q, judge.table.expand(N, L, K), escort)
    torch.testing.assert_close(surrogate, (advantages * log_q).sum((1, 2)), msg="no draw changes what is open")
    assert make_credit("alternatives", escort) == credit
    assert make_credit("alternatives") == AlternativesCredit(1.0)
    assert hash(credit) == hash(AlternativesCredit(escort)), "what is equal does not change"


def test_where_a_sequence_ends_keeps_the_f_of_the_whole_sample() -> None:
    (distribution, codes), estimator, judge = drawn(0), make_estimator("rloo"), Both()
    surrogate, _ = AlternativesCredit()(estimator, distribution, codes, Scorer(Players(None, judge)))
    log_w = torch.stack([judge(draw) for draw in codes])
    fixed = distribution.fixed_log_prob(codes)
    assert fixed is not None
    expected = (estimator(log_w) * fixed).sum(0)
    for draw in codes:
        log_q, is_open = distribution.alternatives(draw)
        assert is_open is not None
        advantages = estimator.over_alternatives(log_q, judge.table.expand(N, L, K)) * is_open[..., None]
        expected = expected + (advantages * log_q).sum((1, 2)) / M
    torch.testing.assert_close(surrogate, expected)


@pytest.mark.parametrize("name", ["rloo", "bgan"])
def test_a_distribution_is_told_whether_advantages_sum_to_zero(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saves the normaliser then, on which nothing depends."""
    told: list[bool] = []
    distribution, codes = drawn()

    def weighted(codes: Tensor, advantages: Tensor, zero_sum: bool = False) -> Tensor:
        told.append(zero_sum)
        return advantages.flatten(2).sum((0, 2)) if advantages.ndim > 2 else advantages.sum(0)

    monkeypatch.setattr(distribution, "weighted_log_prob", weighted)
    for credit, judge in ((sample_credit, Sums(per_prefix=False)), (prefix_credit, Sums(per_prefix=True))):
        credit(make_estimator(name), distribution, codes, Scorer(Players(None, judge)))
    assert told == [name == "rloo"] * 2
