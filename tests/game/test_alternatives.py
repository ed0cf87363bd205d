"""Credit by alternatives: the discriminator that scores them, and the gradient by enumeration."""

import itertools
from collections.abc import Callable
from typing import cast

import pytest
import torch
from players import players
from torch import Tensor, nn
from torch.nn.functional import one_hot

from bgan_discrete import Discriminator, SampleSpace
from bgan_discrete.distributions import Distribution, FactorizedCategorical, SequenceCategorical
from bgan_discrete.distributions.endings import counted_positions, pad_after_end
from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.errors import InputError
from bgan_discrete.game.credit import AlternativesCredit
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import ESTIMATORS, Estimator, make_estimator
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import Scorer
from bgan_discrete.game.step import discriminator_step, generator_loss, generator_step
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvSequenceGenerator,
    GRUGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
    set_logit_spread,
)

L, K, END = 3, 3, 1
CONTEXTS = ("prefix", "rest")
NETWORKS = ("mlp", "conv", "gru")
ONE_SHOT = (ConvSequenceGenerator, MLPSequenceGenerator)

pytestmark = pytest.mark.usefixtures("float64")


class TabledDiscriminator(Discriminator):
    """Any F of whole samples, its alternatives by looking each of them up."""

    credits = ("sample", "prefix", "alternatives")

    def __init__(self, end: int | None, prefixes: bool = False) -> None:
        super().__init__(SampleSpace((L,), K, end_id=end))
        self.end, self.prefixes = end, prefixes
        self.table = 2 * torch.randn([K] * L, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def log_ratio(self, codes: Tensor) -> Tensor:
        return self.table[tuple(pad_after_end(codes.long(), self.end).unbind(-1))]

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.log_ratio(samples)[:, None].expand(-1, L)

    def alternatives(self, codes: Tensor) -> Tensor:
        found = torch.zeros(len(codes), L, K, dtype=torch.float64)
        for position, category in itertools.product(range(L), range(K)):
            changed = codes.long().clone()
            changed[:, position] = category
            if self.prefixes:
                changed[:, position + 1 :] = 0
            found[:, position, category] = self.log_ratio(changed)
        return found


@pytest.fixture(autouse=True)
def _no_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log weights of a step are float32; here the tables pass as they are."""
    monkeypatch.setattr(Tensor, "float", lambda self: self)


def weighed(
    distribution: Distribution, discriminator: nn.Module, codes: Tensor, estimator: str | Estimator = "rloo"
) -> tuple[Tensor, Tensor]:
    """The surrogate of draws by credit for alternatives, and their log weights."""
    estimator = make_estimator(estimator) if isinstance(estimator, str) else estimator
    return AlternativesCredit()(estimator, distribution, codes, Scorer(players(None, discriminator)))


def every_sample() -> Tensor:
    return torch.tensor(list(itertools.product(range(K), repeat=L)))


def factorised(end: int | None) -> tuple[nn.Module, Callable[[], FactorizedCategorical]]:
    torch.manual_seed(0)
    logits = nn.ParameterList([nn.Parameter(torch.randn(1, L, K))])
    return logits, lambda: SequenceCategorical(logits[0], end)


def gradient(value: Tensor, module: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(module.parameters()), retain_graph=True)])


def mean_and_variance(module: nn.Module, draws: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Of the gradients of surrogates, each with its probability."""
    gradients = torch.stack([gradient(surrogate.sum(), module) for _, surrogate in draws])
    probability = torch.stack([p for p, _ in draws]).detach()[:, None]
    assert abs(probability.sum() - 1) < 1e-12
    mean = (probability * gradients).sum(0)
    return mean, (probability * (gradients - mean) ** 2).sum()


@pytest.mark.parametrize("end", [None, END])
def test_one_shot_gradient_by_enumeration(end: int | None) -> None:
    module, make = factorised(end)
    discriminator, distribution = TabledDiscriminator(end), make()
    raw = FactorizedCategorical(distribution.logits)
    samples = every_sample()
    probability = raw.log_prob(samples[:, None]).exp()[:, 0]
    wanted = gradient((probability * discriminator.log_ratio(samples)).sum(), module)
    found = {}
    for credit in ("alternatives", "sample"):
        draws = []
        for one, other in itertools.product(range(len(samples)), repeat=2):
            codes = pad_after_end(samples[[one, other]][:, None], end)
            if credit == "alternatives":
                surrogate, log_w = weighed(distribution, discriminator, codes)
                assert log_w.shape == (2, 1)
            else:
                log_w = discriminator.log_ratio(codes)
                surrogate = distribution.weighted_log_prob(codes, make_estimator("rloo")(log_w))
            draws.append((probability[one] * probability[other], surrogate))
        found[credit] = mean_and_variance(module, draws)
        assert torch.allclose(found[credit][0], wanted, atol=1e-12)
    share = found["alternatives"][1] / found["sample"][1]
    assert share < (0.5 if end is None else 0.9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_one_draw_is_enough_where_no_sample_ends(name: str) -> None:
    """Where F is log p/q, ``matched`` then gives minus the gradient of the divergence itself."""
    divergence = get_divergence(name)
    module, make = factorised(None)
    discriminator, distribution, samples = TabledDiscriminator(None), make(), every_sample()
    q = distribution.log_prob(samples[:, None]).exp()[:, 0]
    p = discriminator.table.flatten().softmax(0)
    discriminator.table = (p / q.detach()).log().view_as(discriminator.table)
    estimator = make_estimator("matched", divergence=divergence)
    draws = [
        (probability, weighed(distribution, discriminator, sample[None, None], estimator)[0])
        for probability, sample in zip(q, samples, strict=True)
    ]
    wanted = -gradient((q * divergence.f(p / q)).sum(), module)
    assert wanted.abs().max() > 1e-2
    assert torch.allclose(mean_and_variance(module, draws)[0], wanted, atol=1e-12)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_matched_where_samples_end_is_rloo_of_the_fake_terms(name: str) -> None:
    _, make = factorised(END)
    distribution, divergence = make(), get_divergence(name)
    codes = distribution.sample(40, torch.Generator().manual_seed(0))
    assert (codes[:, :, :-1] == END).any()
    of_f, of_h = TabledDiscriminator(END), TabledDiscriminator(END)
    of_h.table = divergence.fake_term(of_f.table)
    found, _ = weighed(distribution, of_f, codes, make_estimator("matched", divergence=divergence))
    assert torch.allclose(found, weighed(distribution, of_h, codes)[0], atol=1e-12)


def test_any_f_behind_an_end_counts_for_nothing() -> None:
    class Wild(TabledDiscriminator):
        def alternatives(self, codes: Tensor) -> Tensor:
            closed = ~counted_positions(codes, END) | (codes == END)
            return super().alternatives(codes).masked_fill(closed[..., None], 1e4)

    distribution, kl = factorised(END)[1](), get_divergence("kl")
    codes, estimator = (
        distribution.sample(5, torch.Generator().manual_seed(0)),
        make_estimator("matched", divergence=kl),
    )
    found, _ = weighed(distribution, Wild(END), codes, estimator)
    assert torch.equal(found, weighed(distribution, TabledDiscriminator(END), codes, estimator)[0])


@pytest.mark.parametrize("name", ["rloo", "bgan_centered"])
@pytest.mark.parametrize("kind", [GRUGenerator, TransformerGenerator])
def test_autoregressive_gradient_by_enumeration(kind: Callable[..., nn.Module], name: str) -> None:
    torch.manual_seed(0)
    generator = kind(SampleSpace((L,), K, end_id=END), 2, width=8, depth=1)
    discriminator, distribution = TabledDiscriminator(END, prefixes=True), generator(torch.randn(1, 2))
    samples = torch.unique(pad_after_end(every_sample(), END), dim=0)
    probability = distribution.log_prob(samples[:, None]).exp()[:, 0]
    draws = [
        (p, weighed(distribution, discriminator, sample[None, None], name)[0])
        for p, sample in zip(probability, samples, strict=True)
    ]
    # Each conditional ascends its own target, with the probabilities of the prefixes held fixed.
    wanted = torch.zeros(())
    for p, sample in zip(probability.detach(), samples, strict=True):
        for position in range(int(counted_positions(sample, END).sum())):
            options = sample.repeat(K, 1)
            options[:, position] = torch.arange(K)
            options[:, position + 1 :] = 0
            log_q = torch.log_softmax(generator.logits(sample[None], distribution.latents)[0, position], -1)
            log_ratio = discriminator.log_ratio(options)
            if name == "rloo":
                wanted = wanted + p * (log_q.exp() * log_ratio).sum()
            else:
                target = torch.softmax(log_q.detach() + log_ratio, -1)
                wanted = wanted + p * (target * log_q).sum()
    assert torch.allclose(mean_and_variance(generator, draws)[0], gradient(wanted, generator), atol=1e-12)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "maligan"])
def test_known_alternatives_are_the_limit_of_many_draws(name: str) -> None:
    copies = 4000
    counts = torch.tensor([1, 4, 3])
    log_w = torch.tensor([0.7, -0.4, 0.1])
    drawn = torch.repeat_interleave(torch.arange(3), counts * copies)
    advantages = make_estimator(name)(log_w[drawn][:, None])[:, 0]
    if name in ("bgan", "reinforce"):
        advantages = advantages - advantages.mean()  # these two leave their baseline to `sum_k grad q_k = 0`
    expected = torch.zeros(3).index_add(0, drawn, advantages)
    found = make_estimator(name).over_alternatives((counts / counts.sum()).log(), log_w)
    assert torch.allclose(found, expected, atol=2e-4)
    assert abs(found.sum()) < 1e-12


@pytest.mark.parametrize("name", ["bgan_centered", "rloo", "jeffreys", "symmetric", "matched"])
@pytest.mark.parametrize("escort", [1.0, 0.4])
def test_no_escort_chooses_what_is_no_choice(name: str, escort: float) -> None:
    log_q = torch.log_softmax(torch.tensor([0.3, -0.2, torch.finfo(torch.float64).min / 2]), -1)
    found = make_estimator(name).over_alternatives(log_q, torch.tensor([1.0, -1.0, 2.0]), escort)
    assert torch.isfinite(found).all()
    assert found[2] == 0
    assert abs(found.sum()) < 1e-12


@pytest.mark.parametrize("name", ["bgan_centered", "rloo", "jeffreys", "symmetric", "matched"])
def test_the_escort_brings_back_what_has_become_improbable(name: str) -> None:
    estimator = make_estimator(name)
    log_q = torch.log_softmax(torch.tensor([0.0, -40.0, -50.0, torch.finfo(torch.float64).min / 2]), -1)
    log_w = torch.tensor([-1.0, 8.0, -3.0, 9.0])
    assert estimator.over_alternatives(log_q, log_w)[1] < 1e-10
    found = estimator.over_alternatives(log_q, log_w, escort=0.1)
    assert found[1] > 1e-2
    assert found[2] < found[1]
    assert found[3] == 0, "what is no choice stays none"
    assert abs(found.sum()) < 1e-12
    q = torch.softmax(torch.randn(4), -1)
    expected = estimator.over_alternatives((q.sqrt() / q.sqrt().sum()).log(), log_w)
    assert torch.allclose(estimator.over_alternatives(q.log(), log_w, escort=0.5), expected, atol=1e-12)


def test_the_least_escort_still_knows_what_is_no_choice() -> None:
    log_q = torch.log_softmax(torch.tensor([0.0, -40.0, torch.finfo(torch.float64).min / 2]), -1)
    found = make_estimator("rloo").over_alternatives(log_q, torch.tensor([1.0, 2.0, 9.0]), escort=1e-307)
    assert torch.allclose(found, torch.tensor([-0.25, 0.25, 0.0]))


def test_the_escort_rests_where_the_exact_gradient_does() -> None:
    log_q = torch.log_softmax(torch.randn(6), -1)
    for name in ("bgan_centered", "rloo", "jeffreys", "symmetric", "matched"):
        assert make_estimator(name).over_alternatives(log_q, torch.full((6,), 1.7), escort=0.5).abs().max() < 1e-12


def test_what_has_no_alternatives_is_refused() -> None:
    for estimator in (make_estimator("maligan"), make_estimator("bgan_centered", normalization="batch")):
        with pytest.raises(InputError, match="needs an estimator with a limit for infinitely many draws"):
            estimator.over_alternatives(torch.zeros(2), torch.zeros(2))
    codes = torch.zeros(1, 1, L, dtype=torch.uint8)

    class TooFew(TabledDiscriminator):
        def alternatives(self, codes: Tensor) -> Tensor:
            return super().alternatives(codes)[:, 1:]

    with pytest.raises(InputError, match=r"alternatives must give F of shape \[1, 3, 3\], got \[1, 2, 3\]"):
        weighed(SequenceCategorical(torch.zeros(1, L, K)), TooFew(None), codes)
    with pytest.raises(InputError, match="draw must have shape"):
        GRUGenerator(SampleSpace((L,), K), 2, 8)(torch.zeros(1, 2)).alternatives(codes[0, :, :2])
    for values, words in (
        ({"context": "both"}, "context must be"),
        ({"network": "lstm"}, "network must be"),
        ({"width": 0}, "width must be"),
        ({"log_ratio_bound": 0.0}, "log_ratio_bound must be"),
    ):
        with pytest.raises(InputError, match=words):
            AlternativesDiscriminator(SampleSpace((L,), K), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [None, 2])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_what_each_position_is_judged_by(context: str, network: str, end: int | None) -> None:
    torch.manual_seed(0)
    discriminator = AlternativesDiscriminator(SampleSpace((7,), 5, end_id=end), 16, 2, context, network)  # type: ignore[arg-type]
    codes = pad_after_end(torch.randint(0, 5, (9, 7)), end)
    changed = codes.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 5
    same = (discriminator.alternatives(codes) - discriminator.alternatives(changed)).abs().amax((0, 2)) < 1e-12
    assert same.tolist() == [context == "prefix"] * 3 + [True] + [False] * 3
    found = discriminator(codes)
    assert torch.allclose(discriminator(one_hot(codes, 5).double()), found)
    found = found.view(9, -1, 7).mean(1)
    every = discriminator.alternatives(codes).gather(-1, codes[..., None]).squeeze(-1)
    counted = counted_positions(codes, end)
    assert torch.allclose(found[counted], every[counted])
    last = found.gather(1, counted.sum(1, keepdim=True) - 1)
    assert torch.allclose(torch.where(counted, last, found), last.expand_as(found))


@pytest.mark.parametrize("end", [None, 2])
@pytest.mark.parametrize("kind", [*ONE_SHOT, GRUGenerator, TransformerGenerator])
def test_both_steps_run(kind: Callable[..., nn.Module], end: int | None) -> None:
    torch.manual_seed(0)
    space = SampleSpace((6,), 5, end_id=end)
    generator = kind(space, 4, width=8, depth=1)
    discriminator = AlternativesDiscriminator(space, 8, 1, "rest" if kind in ONE_SHOT else "prefix", "mlp")
    game = Game(make_estimator("rloo"), num_draws=3, credit=AlternativesCredit())
    real, latents = pad_after_end(torch.randint(0, 5, (4, 6)), end), torch.randn(4, 4)
    before = [p.clone() for p in generator.parameters()]
    both = players(generator, discriminator, score_chunk=2)
    discriminator_step(game, both, real, latents)
    found = generator_step(game, both, latents)
    assert all(torch.isfinite(value) for value in found.values())
    assert all(not torch.equal(one, other) for one, other in zip(before, generator.parameters(), strict=True))
    codes = generator(latents).sample(3, torch.Generator().manual_seed(0))
    log_w = cast(Tensor, generator_loss(game, both, generator(latents), codes).seen)
    if end is None:
        assert torch.allclose(log_w, Scorer(both).draws(codes).mean(-1))


@pytest.mark.parametrize(("end", "expected"), [(None, [2.0, 2.0, 2.0]), (END, [1.5, 1.0, 0.0])])
def test_the_log_weight_of_a_draw_is_the_mean_over_its_open_positions_in_eval_mode(
    end: int | None, expected: list[float]
) -> None:
    was_training = []

    class ByPosition(TabledDiscriminator):
        def alternatives(self, codes: Tensor) -> Tensor:
            was_training.append(self.training)
            return torch.arange(1.0, L + 1)[:, None].expand(len(codes), -1, K)

    discriminator = ByPosition(end)
    codes = torch.tensor([[0, 2, END], [0, END, END], [END, END, END]])[:, None]
    _, log_w = weighed(SequenceCategorical(torch.zeros(1, L, K), end), discriminator, codes)
    assert log_w[:, 0].tolist() == expected
    assert was_training == [False] * 3
    assert discriminator.training


def test_latents_and_the_spread_of_logits() -> None:
    with pytest.raises(InputError, match="latent_kind must be one of normal, binary, got 'cosy'"):
        MLPSequenceGenerator(SampleSpace((L,), K), latent_kind="cosy")
    for kind in ONE_SHOT:
        generator, drawn = kind(SampleSpace((L,), K)), sample_latents(500, 64)
        set_logit_spread(generator, drawn, 2.5)
        assert abs(generator(drawn).logits.std(0).mean() - 2.5) < 1e-6
        with pytest.raises(InputError, match="logit_spread must be above 0"):
            set_logit_spread(generator, drawn, 0.0)


@pytest.mark.parametrize(("length", "width", "depth"), [(5, 64, 2), (20, 64, 1), (1, 8, 1)])
def test_the_weights_of_a_judge_begin_at_the_scale_of_what_they_sum(length: int, width: int, depth: int) -> None:
    """Uniform within 1 / sqrt(n): of the first layer n are the other positions, of the next ones the features."""
    torch.manual_seed(0)
    judge = AlternativesDiscriminator(SampleSpace((length,), 9), width, depth, "rest", "mlp").judges[0]
    sums = [max(length - 1, 1), *[width] * depth]
    assert len(judge.weights) == len(sums)
    for weight, terms in zip(judge.weights, sums, strict=True):
        scaled = weight.detach() * terms**0.5
        assert scaled.abs().max() <= 1
        assert float(scaled.std()) == pytest.approx(3**-0.5, rel=0.15 if weight.numel() < 200 else 0.03)
        assert abs(scaled.mean()) < 4 * 3**-0.5 / weight.numel() ** 0.5
    assert all((bias == 0).all() for bias in judge.biases)


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_judges_of_convolutions_see_farther_and_farther(context: str) -> None:
    torch.manual_seed(0)
    length, place = 40, 20
    judge = AlternativesDiscriminator(SampleSpace((length,), K), 8, 3, context, "conv")  # type: ignore[arg-type]
    codes = torch.randint(K, (1, length))
    before = judge._judgements(codes)[0, :, place]
    seen: list[set[int]] = [set(), set(), set()]
    for changed in range(length):
        other = codes.clone()
        other[:, changed] = (other[:, changed] + 1) % K
        differs = (judge._judgements(other)[0, :, place] != before).any(-1)
        for layer in range(3):
            if differs[layer]:
                seen[layer].add(changed - place)
    for layer, reach in enumerate((3, 7, 15)):
        expected = set(range(-reach, 0)) | (set(range(1, reach + 1)) if context == "rest" else set())
        assert seen[layer] == expected
