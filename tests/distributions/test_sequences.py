"""Sequences that end early, and the distributions over them, factorised and autoregressive, by enumeration."""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from players import players
from torch import Tensor, nn

from bgan_discrete.distributions import Distribution, FactorizedCategorical, SequenceCategorical
from bgan_discrete.distributions.autoregressive import AutoregressiveCategorical, Precision
from bgan_discrete.distributions.columns import ColumnCategorical
from bgan_discrete.distributions.endings import carry_to_the_end, counted_positions, pad_after_end, sequence_lengths
from bgan_discrete.distributions.sampling import sample_latents, sharpen
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.credit import prefix_credit, sample_credit
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.penalties import PENALTIES
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import discriminator_step, generator_step
from bgan_discrete.nn import (
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUDiscriminator,
    GRUGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
)
from bgan_discrete.space import SampleSpace

L, K, Z, END = 3, 4, 2, 1
AUTOREGRESSIVE = [GRUGenerator, TransformerGenerator]
GENERATORS = [ConvSequenceGenerator, *AUTOREGRESSIVE]


def make(kind: Callable[..., nn.Module], end: int | None = END, length: int = L, categories: int = K) -> nn.Module:
    torch.manual_seed(0)
    module = kind(SampleSpace((length,), categories, end_id=end), Z, width=8, depth=2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.double()


def latents(count: int = 2) -> Tensor:
    return torch.randn(count, Z, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def every_sequence(end: int | None = END, length: int = L, categories: int = K) -> Tensor:
    """All canonical sequences ``[S, L]``."""
    codes = torch.tensor(list(itertools.product(range(categories), repeat=length)))
    return torch.unique(pad_after_end(codes, end), dim=0)


def test_what_counts_and_what_pads() -> None:
    codes = torch.tensor([[2, 1, 3, 2], [0, 2, 3, 0], [1, 1, 1, 1]], dtype=torch.uint8)
    assert counted_positions(codes, 1).tolist() == [[True, True, False, False], [True] * 4, [True, False, False, False]]
    assert pad_after_end(codes, 1).tolist() == [[2, 1, 1, 1], [0, 2, 3, 0], [1, 1, 1, 1]]
    assert sequence_lengths(codes, 1).tolist() == [1, 4, 0]
    assert sequence_lengths(codes, None).tolist() == [4, 4, 4]
    assert counted_positions(codes, None).all()
    values = torch.arange(12.0).reshape(3, 4)
    carried = carry_to_the_end(values, counted_positions(codes, 1))
    assert carried.tolist() == [[0, 1, 1, 1], [4, 5, 6, 7], [8, 8, 8, 8]]


@pytest.mark.parametrize("end", [END, None, 0, K - 1])
@pytest.mark.parametrize("kind", GENERATORS)
def test_probabilities_sum_to_one_over_all_sequences(kind: Callable[..., nn.Module], end: int | None) -> None:
    codes = every_sequence(end)
    distribution: Distribution = make(kind, end)(latents())
    total = distribution.log_prob(codes[:, None].expand(-1, 2, -1)).exp().sum(0)
    assert torch.allclose(total, torch.ones(2, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("kind", AUTOREGRESSIVE)
def test_log_probabilities_equal_those_of_one_step_after_the_other(kind: Callable[..., nn.Module]) -> None:
    generator = make(kind)
    codes = every_sequence()
    for latent in latents():
        with torch.no_grad():
            state, previous = generator.start(latent.expand(len(codes), -1), L), None
        total = torch.zeros(len(codes), dtype=torch.float64)
        ended = torch.zeros(len(codes), dtype=torch.bool)
        for position in range(L):
            with torch.no_grad():
                logits, state = generator.step(previous, state)
            previous = codes[:, position]
            found = torch.log_softmax(logits, -1)[torch.arange(len(codes)), previous]
            total += torch.where(ended, 0.0, found)
            ended |= previous == END
        assert torch.allclose(total, generator(latent[None]).log_prob(codes[:, None])[:, 0], atol=1e-12)


@pytest.mark.parametrize("kind", GENERATORS)
def test_padding_contributes_nothing(kind: Callable[..., nn.Module]) -> None:
    distribution = make(kind)(latents(1))
    codes = torch.tensor([[[2, END, END]], [[2, END, 3]], [[2, END, 0]]])
    found = distribution.log_prob(codes)
    assert (found == found[0]).all()
    advantages = torch.tensor([[1.0], [0.5], [-2.0]], dtype=torch.float64)
    weighted = distribution.weighted_log_prob(codes, advantages)
    assert torch.allclose(weighted, (advantages * found).sum(0))


@pytest.mark.parametrize("kind", GENERATORS)
def test_draws_follow_the_probabilities(kind: Callable[..., nn.Module]) -> None:
    distribution = make(kind)(latents(1))
    codes = distribution.sample(40_000, torch.Generator().manual_seed(0))
    assert codes.dtype == torch.uint8
    every = every_sequence()
    expected = distribution.log_prob(every[:, None]).exp()[:, 0] * 40_000
    place = (codes[:, 0].long()[:, None] == every[None]).all(-1)
    assert (place.sum(1) == 1).all()  # each draw is canonical
    observed = place.sum(0)
    often = expected > 5
    statistic = ((observed - expected)[often] ** 2 / expected[often]).sum()
    freedom = int(often.sum())
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("dense", [False, True])
def test_the_surrogate_is_the_weighted_sum(kind: Callable[..., nn.Module], dense: bool) -> None:
    generator = make(kind)
    distribution = generator(latents(3))
    codes = distribution.sample(5, torch.Generator().manual_seed(0))
    shape = codes.shape if dense else codes.shape[:2]
    advantages = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    if isinstance(distribution, SequenceCategorical):
        table = torch.log_softmax(distribution.logits, -1)[None].expand(5, -1, -1, -1)
        per_position = table.gather(-1, codes.long()[..., None]).squeeze(-1) * counted_positions(codes, END)
    else:
        per_position = distribution.position_log_prob(codes)
    expected = ((advantages if dense else advantages[..., None]) * per_position).sum((0, 2))
    assert torch.allclose(distribution.weighted_log_prob(codes, advantages), expected)
    wanted = torch.autograd.grad(expected.sum(), list(generator.parameters()), retain_graph=True, allow_unused=True)
    surrogate = distribution.weighted_log_prob(codes, advantages).sum()
    got = torch.autograd.grad(surrogate, list(generator.parameters()), allow_unused=True)
    for one, other in zip(wanted, got, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("method", ["counts", "gather"])
def test_zero_sum_advantages_are_exact_where_sequences_end(method: str, dense: bool) -> None:
    """Every pair of draws of two positions: draws that ended earlier leave the sum of the others at what it is not."""
    logits = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    distribution, outcomes = SequenceCategorical(logits, END), every_sequence(END, 2, 3)
    assert len(outcomes) == 7
    log_ratio = torch.randn(7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    log_g = distribution.log_prob(outcomes[:, None])[:, 0]
    probability = log_g.exp()
    (wanted,) = torch.autograd.grad((probability * log_ratio).sum(), logits, retain_graph=True)
    mean = torch.zeros_like(logits)
    for pair in itertools.product(range(7), repeat=2):
        codes = outcomes[list(pair)][:, None]
        advantages = make_estimator("rloo")(log_ratio[list(pair)][:, None])
        shaped = advantages[..., None].expand(codes.shape) if dense else advantages
        surrogate = distribution.weighted_log_prob(codes, shaped, zero_sum=True, method=method)
        torch.testing.assert_close(surrogate, (advantages * log_g[list(pair), None]).sum(0))
        (found,) = torch.autograd.grad(surrogate.sum(), logits, retain_graph=True)
        mean += probability[list(pair)].prod().detach() * found
    torch.testing.assert_close(mean, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("kind", [*GENERATORS, FactorizedCategorical])
def test_advantages_are_constants_and_may_be_of_another_precision(kind: Callable[..., nn.Module], dense: bool) -> None:
    is_plain = kind is FactorizedCategorical
    logits = torch.randn(2, L, K, dtype=torch.float64, requires_grad=True)
    distribution = FactorizedCategorical(logits) if is_plain else make(kind)(latents())
    codes = distribution.sample(4, torch.Generator().manual_seed(0))
    advantages = torch.randn(codes.shape if dense else codes.shape[:2], requires_grad=True)
    options = [{"method": "counts"}, {"method": "gather"}] if hasattr(distribution, "logits") else [{}]
    for option in options:
        found = distribution.weighted_log_prob(codes, advantages, **option)
        torch.testing.assert_close(found, distribution.weighted_log_prob(codes, advantages.double(), **option))
        found.sum().backward(retain_graph=True)
        assert advantages.grad is None
    if hasattr(distribution, "logits"):
        assert not distribution.entropy().requires_grad
        assert not distribution.weighted_counts(codes, advantages).requires_grad


@pytest.mark.parametrize("method", ["counts", "gather"])
@pytest.mark.parametrize("categories", [2, 5])
@pytest.mark.parametrize("zero_sum", [False, True])
def test_dense_advantages_of_independent_positions(method: str, categories: int, zero_sum: bool) -> None:
    logits = torch.randn(2, 3, categories, dtype=torch.float64, requires_grad=True)
    distribution = FactorizedCategorical(logits)
    codes = distribution.sample(4)
    advantages = torch.randn(codes.shape, dtype=torch.float64)
    if zero_sum:
        advantages = advantages - advantages.mean(0)
    table = torch.log_softmax(logits, -1)[None].expand(4, -1, -1, -1)
    expected = (advantages * table.gather(-1, codes.long()[..., None]).squeeze(-1)).sum((0, 2))
    found = distribution.weighted_log_prob(codes, advantages, zero_sum, method)
    (wanted,) = torch.autograd.grad(expected.sum(), logits, retain_graph=True)
    (got,) = torch.autograd.grad(found.sum(), logits)
    assert torch.allclose(wanted, got)
    assert zero_sum or torch.allclose(found, expected)


@pytest.mark.parametrize("name", ["rloo", "bgan", "bgan_centered"])
def test_estimators_by_enumeration_on_an_autoregressive_generator(name: str) -> None:
    """Two steps, three tokens, two draws: the exact mean of the gradient, with every pair of draws weighed."""
    generator = make(GRUGenerator, end=0, length=2, categories=3)
    outcomes = every_sequence(0, 2, 3)
    log_ratio = torch.randn(len(outcomes), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    distribution = generator(latents(1))
    log_g = distribution.log_prob(outcomes[:, None])[:, 0]
    probability = log_g.exp()
    parameters = list(generator.parameters())
    estimator = make_estimator(name)
    pairs = torch.tensor(list(itertools.product(range(len(outcomes)), repeat=2)))
    surrogate = torch.zeros((), dtype=torch.float64)
    for pair in pairs:
        advantages = estimator(log_ratio[pair][:, None])
        surrogate = (
            surrogate
            + probability[pair].prod().detach()
            * distribution.weighted_log_prob(outcomes[pair][:, None], advantages).sum()
        )
    got = torch.autograd.grad(surrogate, parameters, retain_graph=True)
    if name == "rloo":  # unbiased for the gradient of E[F]
        game = (probability * log_ratio).sum()
    else:  # E of the self-normalised weights, with their score function, from the definition
        weights = torch.softmax(log_ratio[pairs], dim=1)
        game = (probability[pairs].prod(1).detach()[:, None] * weights * log_g[pairs]).sum()
    wanted = torch.autograd.grad(game, parameters)
    for one, other in zip(wanted, got, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("kind", AUTOREGRESSIVE)
def test_a_prompt_begins_every_sequence_and_the_rest_follows_it(kind: Callable[..., nn.Module]) -> None:
    distribution = make(kind)(latents(2))
    codes = distribution.sample(500, torch.Generator().manual_seed(0), prompt=torch.tensor([3, 2]))
    assert (codes[..., :2] == torch.tensor([3, 2])).all()
    last = codes[:, 0, 2].long()
    every = torch.tensor([[3, 2, k] for k in range(K)])
    expected = distribution.log_prob(every[:, None].expand(-1, 2, -1)).exp()[:, 0]
    expected = expected / expected.sum()
    assert torch.allclose(torch.bincount(last, minlength=K).double() / 500, expected.detach(), atol=0.09)
    wrongs = ([END], "end of a sequence"), ([0] * 4, "T <= 3"), ([[0]], "T <= 3"), ([K], "codes in"), ([-1], "codes in")
    for wrong, words in wrongs:
        with pytest.raises(InputError, match=words):
            distribution.sample(1, prompt=torch.tensor(wrong))
    for whole in ([3, 2, 0], [K - 1, 0, 0]):
        assert distribution.sample(2, prompt=torch.tensor(whole)).tolist() == [[whole] * 2] * 2
    with pytest.raises(InputError, match="end of a sequence, 0"):
        make(kind, 0)(latents(2)).sample(1, prompt=torch.tensor([2, 0]))


@pytest.mark.parametrize("end", [0, END, K - 1])
@pytest.mark.parametrize("kind", GENERATORS)
def test_all_sequences_that_end_early_are_padded_with_their_end(kind: Callable[..., nn.Module], end: int) -> None:
    generator = make(kind, end)
    with torch.no_grad():
        generator.to_logits.bias.zero_()[end] = 1e4
    codes = generator(latents()).sample(3)
    assert (codes == end).all()
    torch.testing.assert_close(generator(latents()).log_prob(codes), torch.zeros(3, 2, dtype=torch.float64))


@pytest.mark.parametrize("kind", AUTOREGRESSIVE)
def test_the_network_runs_in_the_precision_in_which_its_distribution_was_made(kind: Callable[..., nn.Module]) -> None:
    generator, codes = make(kind).float(), every_sequence()[:, None]
    z = 3 * latents(1).float()

    def figures(distribution: AutoregressiveCategorical) -> list[Tensor]:
        sharp = distribution.sharpened(top_k=3)
        drawn = distribution.sample(4000, torch.Generator().manual_seed(0))
        return [distribution.log_prob(codes), sharp.log_prob(codes), distribution.alternatives(codes[3])[0], drawn]

    with torch.no_grad():
        full = figures(generator(z))
        with torch.autocast("cpu", torch.bfloat16):
            made = generator(z)
            within = figures(made)
        outside = figures(made)
    for one, other, exact in zip(within, outside, full, strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, exact)
        assert one.dtype == exact.dtype


def test_sharpening() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    assert torch.allclose(sharpen(logits, 0.5).softmax(-1), logits.mul(2).softmax(-1))
    assert torch.allclose(sharpen(logits, top_k=2).softmax(-1), torch.tensor([[0.625, 0.375, 0, 0]]))
    assert torch.allclose(sharpen(logits, top_p=0.79).softmax(-1), torch.tensor([[0.625, 0.375, 0, 0]]))
    assert torch.allclose(sharpen(logits, top_p=1e-9).softmax(-1), torch.tensor([[1.0, 0, 0, 0]]))
    assert torch.equal(sharpen(logits, top_k=4), logits) and torch.equal(sharpen(logits, top_p=1.0), logits)
    # What reaches the wanted share exactly is enough, in whatever order the categories stand.
    halves = torch.log(torch.tensor([[0.25, 0.125, 0.5, 0.125]]))
    assert (sharpen(halves, top_p=0.75).softmax(-1) > 0).tolist() == [[True, False, True, False]]
    assert (sharpen(halves, top_p=0.5).softmax(-1) > 0).tolist() == [[False, False, True, False]]
    assert (sharpen(halves, top_k=3).softmax(-1) > 0).all(), "two that are equally probable stay together"
    # Each row is sharpened alone, however far apart they are.
    apart = sharpen(torch.tensor([[0.0, 1.0], [3e38, -3e38]]), 0.5).softmax(-1)
    torch.testing.assert_close(apart, torch.stack([torch.tensor([0.0, 2.0]).softmax(0), torch.tensor([1.0, 0.0])]))
    for tiny in (1e-30, 1e-300):
        sharp = sharpen(1e3 * logits, tiny)
        assert sharp.isfinite().all() and sharp.softmax(-1).tolist() == [[1, 0, 0, 0]]
    with pytest.raises(InputError, match="temperature"):
        sharpen(logits, math.inf)
    for wrong in ({"temperature": 0.0}, {"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            sharpen(logits, **wrong)  # type: ignore[arg-type]


SHARPENINGS = [
    {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.7}, {"temperature": 1.5, "top_k": 3, "top_p": 0.8},
]  # fmt: skip
COLUMNS = torch.tensor([2, 4, 1])


def naive_sharpened(logits: Tensor, temperature: float = 1.0, top_k: int = K, top_p: float = 1.0) -> list[float]:
    """Probabilities of one categorical ``[K]``, by a list of what is left of it."""
    share = (logits / temperature).softmax(-1).tolist()
    kept = sorted(range(K), key=lambda k: -share[k])[:top_k]
    total = sum(share[k] for k in kept)
    enough = next(n for n in range(1, len(kept) + 1) if sum(share[k] for k in kept[:n]) >= top_p * total - 1e-12)
    kept = kept[:enough]
    return [share[k] / sum(share[j] for j in kept) if k in kept else 0.0 for k in range(K)]


@pytest.mark.parametrize("options", SHARPENINGS)
@pytest.mark.parametrize("kind", [*GENERATORS, FactorizedCategorical, ColumnCategorical])
def test_a_sharpened_distribution_weighs_what_it_draws_as_brute_force_does(
    kind: Callable[..., nn.Module], options: dict[str, float]
) -> None:
    has_end = kind in GENERATORS
    every, logits = every_sequence(END if has_end else None), torch.randn(2, L, K, dtype=torch.float64)
    plain: Distribution
    if kind is ColumnCategorical:
        plain = ColumnCategorical(logits, COLUMNS)
    else:
        plain = make(kind)(latents()) if has_end else FactorizedCategorical(logits)
    sharpened = plain.sharpened(**options)  # type: ignore[attr-defined]
    assert type(sharpened) is type(plain)
    found = sharpened.log_prob(every[:, None].expand(-1, 2, -1)).detach().exp()
    counted = counted_positions(every, END if has_end else None)
    for latent in range(2):
        if kind in AUTOREGRESSIVE:
            generator = make(kind)
            by_position = generator.logits(every, latents()[latent].expand(len(every), -1)).detach()
        else:
            by_position = plain.logits[latent].detach().expand(len(every), -1, -1)  # type: ignore[attr-defined]
        for row, codes in enumerate(every.tolist()):
            wanted = math.prod(
                naive_sharpened(by_position[row, place], **options)[code]
                for place, code in enumerate(codes)
                if counted[row, place]
            )
            assert float(found[row, latent]) == pytest.approx(wanted, rel=1e-9, abs=1e-300)
    torch.testing.assert_close(found.sum(0), torch.ones(2, dtype=torch.float64))
    drawn = sharpened.sample(300, torch.Generator().manual_seed(0))
    assert (pad_after_end(drawn, END) == drawn).all() or not has_end
    assert (sharpened.log_prob(drawn) > -50).all(), "nothing that is left out is drawn"
    if isinstance(sharpened, ColumnCategorical):
        assert (drawn < COLUMNS).all() and torch.equal(sharpened.sizes, COLUMNS)


DISCRIMINATORS = [ConvSequenceDiscriminator, GRUDiscriminator]


def discriminator(
    kind: Callable[..., nn.Module], per_prefix: bool, end: int | None = END, length: int = 6
) -> nn.Module:
    torch.manual_seed(0)
    return kind(SampleSpace((length,), K, end_id=end), width=8, depth=2, per_prefix=per_prefix).double()


@pytest.mark.parametrize("per_prefix", [False, True])
@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_discriminators_do_not_see_the_padding(kind: Callable[..., nn.Module], per_prefix: bool) -> None:
    codes = torch.tensor([[2, 3, END, END, END, END], [2, 3, END, 0, 2, 3]])
    found = discriminator(kind, per_prefix)(codes)
    assert found.shape == ((2, 6) if per_prefix else (2,))
    assert torch.equal(found[0], found[1])
    if per_prefix:
        assert (found[0, 2:] == found[0, 2]).all()


@pytest.mark.parametrize("per_prefix", [False, True])
@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_soft_one_hots_and_penalties(kind: Callable[..., nn.Module], per_prefix: bool) -> None:
    module = discriminator(kind, per_prefix)
    codes = every_sequence(END, 6)[::50]
    soft = nn.functional.one_hot(codes, K).double()
    assert torch.allclose(module(codes), module(soft))
    torch.set_default_dtype(torch.float64)
    try:
        for penalty in PENALTIES.values():
            value = penalty(module, codes, codes.flip(0), K, torch.Generator().manual_seed(0))
            value.backward()
            assert torch.isfinite(value)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_a_prefix_is_judged_without_what_follows(kind: Callable[..., nn.Module]) -> None:
    module = discriminator(kind, True, end=None)
    one, other = torch.tensor([[2, 3, 0, 1, 1, 0], [2, 3, 0, 3, 2, 2]])
    found, others = module(one[None]), module(other[None])
    assert torch.allclose(found[:, :3], others[:, :3])
    assert not torch.allclose(found[:, 3:], others[:, 3:])


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("per_prefix", [False, True])
def test_steps_move_both_networks(kind: Callable[..., nn.Module], per_prefix: bool) -> None:
    generator = make(kind, length=6).float()
    judge = discriminator(ConvSequenceDiscriminator, per_prefix).float()
    game = Game(num_draws=4, penalty=PENALTIES["r1"], credit=prefix_credit if per_prefix else sample_credit)
    both = players(generator, judge)
    real = every_sequence(END, 6)[:8].to(torch.uint8)
    z = latents(8).float()
    for module in (judge, generator):
        before = [parameter.clone() for parameter in module.parameters()]
        rng = torch.Generator().manual_seed(0)
        if module is judge:
            discriminator_step(game, both, real, z, rng=rng)
        else:
            generator_step(game, both, z, rng=rng)
        assert any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


def test_likelihood_steps_reach_the_data() -> None:
    torch.manual_seed(0)
    generator = GRUGenerator(SampleSpace((3,), 4, end_id=1), 2, width=32)
    data = torch.tensor([[2, 3, 1], [3, 1, 1]], dtype=torch.uint8)
    both = players(generator, None, torch.optim.Adam(generator.parameters(), 1e-2))
    for _ in range(150):
        found = likelihood_step(both, data.repeat(8, 1), torch.randn(16, 2))
    assert found["likelihood_loss"] == pytest.approx(0.693, abs=0.05)
    drawn = generator(torch.randn(200, 2)).sample(1)[0]
    share = (drawn == data[0]).all(1).float().mean()
    assert 0.35 < share < 0.65


def test_wrong_arguments_are_named() -> None:
    for wrong in ({"width": 0}, {"depth": 0}, {"latent_size": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            GRUGenerator(SampleSpace((4,), 3), **wrong)
    for kind in (ConvSequenceGenerator, GRUGenerator, MLPSequenceGenerator, TransformerGenerator):
        with pytest.raises(InputError, match=r"event_shape of sequences must be \(L,\), got \(2, 2\)"):
            kind(SampleSpace((2, 2), 3))
        with pytest.raises(InputError, match="at every position, and the space has sizes: use MLPGenerator"):
            kind(SampleSpace((2,), 3, sizes=(3, 2)))
    with pytest.raises(InputError, match="multiple of heads"):
        TransformerGenerator(SampleSpace((4,), 3), width=10, heads=4)
    with pytest.raises(InputError, match="end_id"):
        SequenceCategorical(torch.zeros(1, 2, 3), end_id=3)
    with pytest.raises(InputError, match="advantages"):
        SequenceCategorical(torch.zeros(1, 2, 3)).weighted_log_prob(torch.zeros(2, 1, 2).long(), torch.zeros(2, 2))
    with pytest.raises(InputError, match="prompt"):
        SequenceCategorical(torch.zeros(1, 2, 3)).sample(1, prompt=torch.tensor([0]))
    distribution = GRUGenerator(SampleSpace((4,), 3), width=8)(torch.zeros(1, 64))
    assert isinstance(distribution, AutoregressiveCategorical)
    with pytest.raises(InputError, match="codes must have shape"):
        distribution.log_prob(torch.zeros(2, 1, 5).long())
    with pytest.raises(InputError, match="num_draws"):
        distribution.sample(0)
    for end in (-1, 3):
        with pytest.raises(InputError, match="end_id"):
            AutoregressiveCategorical(GRUGenerator(SampleSpace((4,), 3), width=8), torch.zeros(1, 64), 4, 3, end)
    for wrong in ({"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            distribution.sharpened(**wrong)
    with pytest.raises(InputError, match="advantages"):
        distribution.weighted_log_prob(torch.zeros(2, 1, 4).long(), torch.zeros(2, 2))
    with pytest.raises(InputError, match="draw must have shape"):
        distribution.alternatives(torch.zeros(2, 4).long())
    with pytest.raises(InputError, match=r"\[N, L, K\]"):
        SequenceCategorical(torch.zeros(1, 2, 2, 3))
    with pytest.raises(InputError, match="end_id"):
        SequenceCategorical(torch.zeros(1, 2, 3), end_id=-1)
    with pytest.raises(InputError, match=r"codes must have shape \[B, 2\]"):
        SequenceCategorical(torch.zeros(1, 2, 3)).mixture_log_prob(torch.zeros(4, 3).long())


def test_the_likelihood_of_independent_positions_is_that_of_the_mixture() -> None:
    logits = torch.randn(5, 3, 4, dtype=torch.float64)
    sequences = every_sequence()
    distribution = SequenceCategorical(logits, END)
    found = distribution.mixture_log_prob(sequences)
    naive = distribution.log_prob(sequences[:, None].expand(-1, 5, -1)).exp().mean(1).log()
    torch.testing.assert_close(found, naive)
    assert found.exp().sum() == pytest.approx(1)


def test_likelihood_steps_give_each_latent_its_share_of_the_data() -> None:
    torch.manual_seed(0)
    generator = MLPSequenceGenerator(SampleSpace((3,), 4), 2, width=32, latent_kind="binary")
    data = torch.tensor([[2, 3, 1], [3, 0, 0], [1, 1, 2], [0, 2, 3]], dtype=torch.uint8)
    both = players(generator, None, torch.optim.Adam(generator.parameters(), 1e-2))
    for _ in range(300):
        latents = sample_latents(64, 2, "binary")
        found = likelihood_step(both, data.repeat(4, 1), latents)
    assert found["likelihood_loss"] == pytest.approx(math.log(4), abs=0.1)


# Small faults that nothing above would notice.


class Counting:
    """A decoder that always draws the same code, as far as its logits tell, and knows what it was asked."""

    def __init__(self, code: int, value: float = 100.0) -> None:
        self.code, self.value, self.steps = code, value, 0
        self.to_logits = nn.Linear(1, K)

    def start(self, latents: Tensor, length: int) -> Tensor:
        return latents

    def step(self, previous: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        self.steps += 1
        logits = torch.zeros(len(state), K, device=state.device)
        logits[:, self.code] = self.value
        return logits, state

    def features(self, codes: Tensor, latents: Tensor) -> Tensor:
        return torch.ones(*codes.shape, 1)

    def logits(self, codes: Tensor, latents: Tensor) -> Tensor:
        raise AssertionError("a tensor [M, N, L, K] is not needed")


def test_drawing_stops_once_all_have_ended_and_not_before() -> None:
    for code, steps in ((END, 1), (2, 5)):
        decoder = Counting(code)
        drawn = AutoregressiveCategorical(decoder, torch.zeros(3, Z), 5, K, END).sample(4)
        assert decoder.steps == steps and (drawn == code).all()


def test_the_log_probability_of_a_linear_decoder_needs_no_logits_of_all_codes_at_once() -> None:
    decoder = Counting(0)
    distribution = AutoregressiveCategorical(decoder, torch.zeros(3, Z), L, K, END)
    assert distribution.event_shape == (L,)
    log_probs = decoder.to_logits(torch.ones(1)).log_softmax(0)
    codes = torch.tensor([2, 0, END]).expand(4, 3, L)
    torch.testing.assert_close(distribution.log_prob(codes), log_probs[codes].sum(-1))
    with pytest.raises(AssertionError, match="not needed"):
        distribution.sharpened(0.5).log_prob(codes)


def test_logits_that_are_not_finite_are_named_where_they_are_to_be_checked_and_only_there() -> None:
    distribution = AutoregressiveCategorical(Counting(2, math.inf), torch.zeros(3, Z), L, K, END)
    with contextlib.suppress(RuntimeError):  # what the sampler makes of NaN is its own
        distribution.sample(2)
    distribution.check_finite("other")
    for checked in (distribution, distribution.sharpened(0.5)):
        with pytest.raises(NonFiniteError, match=r"^the other's logits must be finite, got inf"):
            checked.sample(2)


@pytest.mark.parametrize("kind", GENERATORS)
def test_alternatives_are_open_as_far_as_a_draw_goes(kind: Callable[..., nn.Module]) -> None:
    """Whatever is behind its end; of independent positions those before it, which alone can change without the end."""
    ends = kind in AUTOREGRESSIVE
    for padding in (END, 0):
        draw = torch.tensor([[2, END, padding], [0, 3, 2]])
        assert make(kind, None)(latents()).alternatives(draw)[1] is None
        is_open = make(kind)(latents()).alternatives(draw)[1]
        assert is_open is not None and is_open.tolist() == [[True, ends, False], [True, True, True]]


def test_the_surrogate_has_the_precision_of_the_log_probabilities() -> None:
    distribution = make(GRUGenerator).float()(latents().float())
    codes = every_sequence()[:3, None].expand(-1, 2, -1)
    assert distribution.weighted_log_prob(codes, torch.ones(3, 2, dtype=torch.float64)).dtype == torch.float32


def test_sequences_are_drawn_where_the_latents_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device that holds no values, which refuses tensors of another; it knows no autocast."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    drawn = AutoregressiveCategorical(Counting(2), torch.zeros(3, Z, device="meta"), L, K, END).sample(4)
    assert drawn.device.type == "meta"


def test_a_decoder_without_a_last_layer_is_asked_for_its_logits() -> None:
    class Bare:
        def logits(self, codes: Tensor, latents: Tensor) -> Tensor:
            return torch.arange(K).float().expand(*codes.shape, K)

    distribution = AutoregressiveCategorical(Bare(), torch.zeros(2, Z), L, K, END)  # type: ignore[arg-type]
    codes = torch.tensor([[[2, 0, END], [3, END, END]]])
    expected = torch.arange(K).float().log_softmax(0)[codes]
    expected[0, 1, 2] = 0
    torch.testing.assert_close(distribution.position_log_prob(codes), expected)
    with pytest.raises(InputError, match=r"^codes must have shape \[M, 2, 3\], got \[1, 2, 2\]$"):
        distribution.log_prob(codes[..., :2])


def test_the_precision_of_a_moment_does_not_change() -> None:
    precision = Precision.current(torch.device("cpu"))
    assert precision == Precision("cpu", None) and len({precision, Precision("cpu", torch.bfloat16)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        precision.dtype = torch.bfloat16  # type: ignore[misc]
