"""Samples drawn in rounds: the distribution against a table of all its conditionals, by enumeration."""

import itertools
import math
from typing import Any

import pytest
import torch
from refusals import refusal
from tabled_rounds import BITS, TabledRounds, fits, kl, random_law, seen_law
from torch import Tensor

from bgan_discrete import FactorizedCategorical, SampleSpace
from bgan_discrete.distributions import RoundCategorical, RoundsCategorical, rounds
from bgan_discrete.distributions.endings import pad_after_end
from bgan_discrete.distributions.sampling import sharpen
from bgan_discrete.nn import MaskedMLPGenerator

P, K = 3, 2
SPACE = SampleSpace((P,), K)
CUTS = [(3,), (1, 2), (2, 1), (1, 1, 1)]
ORDERS = [(0, 1, 2), (2, 0, 1), (1, 2, 0)]
KINDS = [pytest.param(False, id="masked"), pytest.param(True, id="causal")]

pytestmark = pytest.mark.usefixtures("float64")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_code(generator: TabledRounds) -> Tensor:
    return torch.tensor(generator.samples())


def exact(generator: TabledRounds, label: int = 0) -> Tensor:
    """Probabilities of all samples for both latents, ``[B, 2]``."""
    return torch.stack(
        [torch.stack([generator.probability(x, bit, label) for bit in (0, 1)]) for x in generator.samples()]
    )


def generators(causal: bool, **options: Any) -> list[TabledRounds]:
    return [TabledRounds(SPACE, sizes, ranks, causal, **options) for sizes in CUTS for ranks in ORDERS]


@pytest.mark.parametrize("causal", KINDS)
def test_probabilities_are_those_of_the_table_and_sum_to_one(causal: bool) -> None:
    for generator in generators(causal):
        codes, wanted, distribution = every_code(generator), exact(generator), generator(BITS)
        found = distribution.log_prob(codes[:, None].expand(-1, 2, -1).to(torch.uint8))
        assert torch.allclose(found.exp(), wanted, atol=1e-13)
        assert torch.allclose(found.exp().sum(0), torch.ones(2), atol=1e-13)
        mixture = distribution.mixture_log_prob(codes)
        assert torch.allclose(mixture.exp(), wanted.mean(1), atol=1e-13)
        assert torch.allclose(mixture.exp().sum(), torch.ones(()), atol=1e-13)
        assert distribution.num_rounds == len(generator.sizes)
        assert distribution.rounds.tolist() == generator.round_of


@pytest.mark.parametrize("causal", KINDS)
def test_a_mixture_is_over_the_latents_that_there_are(causal: bool) -> None:
    generator = TabledRounds(SPACE, (1, 2), (2, 0, 1), causal)
    wanted = exact(generator) @ torch.tensor([0.25, 0.75])
    latents = torch.tensor([[1.0], [1.0], [-1.0], [1.0]])
    assert torch.allclose(generator(latents).mixture_log_prob(every_code(generator)).exp(), wanted, atol=1e-13)


@pytest.mark.parametrize("causal", KINDS)
def test_gradients_are_those_of_the_table(causal: bool) -> None:
    generator = TabledRounds(SPACE, (1, 2), (2, 0, 1), causal)
    weights = torch.randn(8, generator=rng())
    parameters = list(generator.parameters())
    found = torch.autograd.grad(weights @ generator(BITS).mixture_log_prob(every_code(generator)), parameters)
    wanted = torch.autograd.grad(weights @ exact(generator).mean(1).log(), parameters)
    assert all(torch.allclose(one, other, atol=1e-13) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("causal", KINDS)
@pytest.mark.parametrize("ranks", ORDERS)
def test_one_round_is_a_distribution_of_independent_positions(ranks: tuple[int, ...], causal: bool) -> None:
    generator = TabledRounds(SPACE, (P,), ranks, causal)
    nothing = torch.full((2, P), K)
    plain = FactorizedCategorical(generator.logits(nothing, BITS, None, torch.zeros(P)))
    codes = every_code(generator)
    each = codes[:, None].expand(-1, 2, -1)
    assert torch.allclose(generator(BITS).log_prob(each), plain.log_prob(each), atol=1e-13)
    assert torch.allclose(generator(BITS).mixture_log_prob(codes), plain.mixture_log_prob(codes), atol=1e-13)
    assert torch.allclose(generator(BITS).estimated_log_prob(codes), plain.mixture_log_prob(codes), atol=1e-13)
    assert torch.equal(generator(BITS).sample(50, rng()), plain.sample(50, rng()))
    of_round = generator(BITS).in_play(rng())
    advantages = torch.randn(8, 2, generator=rng())
    assert torch.allclose(
        of_round.weighted_log_prob(each, advantages), plain.weighted_log_prob(each, advantages), atol=1e-13
    )


@pytest.mark.parametrize("causal", KINDS)
@pytest.mark.parametrize("ranks", ORDERS)
def test_a_position_a_round_is_the_chain_rule(ranks: tuple[int, ...], causal: bool) -> None:
    generator = TabledRounds(SPACE, (1,) * P, ranks, causal)
    order = sorted(range(P), key=lambda position: ranks[position])
    each = every_code(generator)[:, None].expand(-1, 2, -1)
    for x, found in zip(generator.samples(), generator(BITS).log_prob(each), strict=True):
        for bit in (0, 1):
            seen, total = [K] * P, 1.0
            for position in order:
                total *= generator.conditional(tuple(seen), position, bit)[x[position]].item()
                seen[position] = x[position]
            assert found[bit].exp().item() == pytest.approx(total, abs=1e-13)


@pytest.mark.parametrize("causal", KINDS)
def test_samples_follow_the_law(causal: bool) -> None:
    for number, generator in enumerate(generators(causal)):
        drawn = generator(BITS).sample(4000, rng(number))
        assert drawn.shape == (4000, 2, P)
        assert drawn.dtype == torch.uint8
        for bit in (0, 1):
            law = {x: generator.probability(x, bit) for x in generator.samples()}
            assert fits(drawn[:, bit], law), (generator.sizes, generator.ranks.tolist(), bit)


def test_codes_of_other_shapes_and_sizes() -> None:
    # Two columns of three and one of two categories, on an axis of their own.
    for causal in (False, True):
        for sizes in CUTS:
            space = SampleSpace((P,), 3, sizes=(3, 1, 2))
            generator = TabledRounds(space, sizes, (1, 2, 0), causal)
            codes, wanted = every_code(generator), exact(generator)
            distribution = generator(BITS)
            found = distribution.log_prob(codes[:, None].expand(-1, 2, -1)).exp()
            assert torch.allclose(found, wanted, atol=1e-13)
            assert torch.allclose(found.sum(0), torch.ones(2), atol=1e-13)
            assert torch.allclose(distribution.mixture_log_prob(codes).exp(), wanted.mean(1), atol=1e-13)
            drawn = distribution.sample(3000, rng(1))
            assert fits(drawn[:, 1], {x: generator.probability(x, 1) for x in generator.samples()})
            of_round = distribution.in_play(rng(2)).sample(300, rng(3))
            for position, size in enumerate((3, 1, 2)):
                there = of_round[..., position]
                assert set(there.unique().tolist()) <= {*range(size), 3}
    plane = SampleSpace((1, P), K)
    generator = TabledRounds(plane, (1, 2), (1, 2, 0))
    codes = every_code(generator).view(-1, 1, P)
    assert torch.allclose(generator(BITS).mixture_log_prob(codes).exp(), exact(generator).mean(1), atol=1e-13)
    assert generator(BITS).sample(5).shape == (5, 2, 1, P)
    assert generator(BITS).in_play().sample(5).shape == (5, 2, 1, P)


@pytest.mark.parametrize("causal", KINDS)
def test_each_label_has_a_law_of_its_own(causal: bool) -> None:
    for sizes in CUTS:
        generator = TabledRounds(SPACE, sizes, (2, 0, 1), causal, num_classes=2)
        codes, wanted = every_code(generator), [exact(generator, 0), exact(generator, 1)]
        latents, labels = BITS[[0, 1, 1, 0, 1]], torch.tensor([0, 0, 0, 1, 1])
        distribution = generator(latents, labels)
        found = distribution.log_prob(codes[:, None].expand(-1, 5, -1)).exp()
        by_row = torch.stack([wanted[c][:, b] for c, b in ((0, 0), (0, 1), (0, 1), (1, 0), (1, 1))], dim=1)
        assert torch.allclose(found, by_row, atol=1e-13)
        of_samples = torch.arange(8) % 2
        shares = [torch.tensor([1, 2]) / 3, torch.tensor([1, 1]) / 2]
        mixture = torch.stack([wanted[c][i] @ shares[c] for i, c in enumerate(of_samples.tolist())])
        assert torch.allclose(distribution.mixture_log_prob(codes, of_samples).exp(), mixture, atol=1e-13)
        drawn = distribution.sample(3000, rng())
        assert fits(drawn[:, 3], {x: generator.probability(x, 0, 1) for x in generator.samples()})
        prefix = torch.tensor([[0, 1, 0]] * 5)
        last = len(sizes) - 1
        of_round = distribution.at_round(last, prefix=prefix)
        mine = torch.stack([of_round.log_prob(prefix[None])[0, n].exp() for n in range(5)])
        other = torch.stack(
            [generator.probability((0, 1, 0), b, c, last) for c, b in ((0, 0), (0, 1), (0, 1), (1, 0), (1, 1))]
        )
        assert torch.allclose(mine, other, atol=1e-13)
        # In rounds of different numbers, latents keep their labels.
        numbers = torch.tensor([0, last, 0, last, last])
        rounds = distribution.at_round(numbers, rng())
        for n, (c, b) in enumerate(((0, 0), (0, 1), (0, 1), (1, 0), (1, 1))):
            seen = tuple(rounds.prefix[n].tolist())
            for position in rounds.is_drawn[n].nonzero()[:, 0].tolist():
                wanted_row = generator.conditional(seen, position, b, c)
                assert torch.allclose(rounds.log_probs[n, position].exp(), wanted_row, atol=1e-13)


@pytest.mark.parametrize("causal", KINDS)
def test_earlier_rounds_of_other_numbers_keep_their_latents_and_labels(causal: bool) -> None:
    generator = TabledRounds(SPACE, (1, 2), (0, 2, 1), causal, num_classes=2)
    kinds, count = list(itertools.product((0, 1), repeat=2)), 1500  # labels and bits
    rows = torch.tensor([*kinds[::-1], *kinds]).repeat_interleave(count, 0)
    numbers = torch.arange(len(rows)) // (4 * count)  # round 0 of the first half, round 1 of the second
    prefix = generator(BITS[rows[:, 1]], rows[:, 0]).at_round(numbers, rng()).prefix
    assert (prefix[numbers == 0] == K).all()
    looks = {generator.visible(x, 1): x for x in generator.samples()}
    for (label, bit), drawn in zip(kinds, prefix[numbers == 1].split(count), strict=True):
        assert fits(drawn, {look: generator.probability(x, bit, label, end=1) for look, x in looks.items()})


@pytest.mark.parametrize("causal", KINDS)
def test_a_round_given_its_prefix(causal: bool) -> None:
    for generator in generators(causal):
        samples, distribution = generator.samples(), generator(BITS)
        for s in range(len(generator.sizes)):
            for x in samples:
                of_round = distribution.at_round(s, prefix=torch.tensor([x, x]))
                assert isinstance(of_round, RoundCategorical)
                assert not of_round.is_mixture
                assert of_round.prefix.tolist() == [list(generator.visible(x, s))] * 2
                drawn = torch.tensor(generator.visible(x, s + 1))
                found = of_round.log_prob(drawn.expand(1, 2, -1))[0].exp()
                wanted = torch.stack([generator.probability(x, bit, first=s, end=s + 1) for bit in (0, 1)])
                assert torch.allclose(found, wanted, atol=1e-13)
                sampled = of_round.sample(20, rng())
                assert sampled.dtype == of_round.prefix.dtype == torch.uint8
                is_of_round = torch.tensor(generator.round_of) == s
                assert (sampled[..., is_of_round] < K).all()
                assert (sampled[..., ~is_of_round] == of_round.prefix[:, ~is_of_round]).all()
                log_q, is_open = of_round.alternatives(sampled[0])
                assert is_open is not None
                assert is_open.tolist() == [is_of_round.tolist()] * 2
                for position in is_of_round.nonzero()[:, 0].tolist():
                    of_position = generator.conditional(generator.visible(x, s), position, 1)
                    assert torch.allclose(log_q[1, position].exp(), of_position, atol=1e-13)


def test_what_a_surrogate_is_equal_to() -> None:
    generator = TabledRounds(SPACE, (1, 2), (2, 0, 1))
    of_round = generator(BITS).at_round(1, rng())
    codes = of_round.sample(5, rng(1))
    advantages = torch.randn(5, 2, generator=rng(2))
    wanted = (advantages * of_round.log_prob(codes)).sum(0)
    centred = advantages - advantages.mean(0)
    for method in ("counts", "gather"):
        found = of_round.weighted_log_prob(codes, advantages, method=method)
        assert torch.allclose(found, wanted, atol=1e-13)
        found = of_round.weighted_log_prob(codes, centred, zero_sum=True, method=method)
        assert torch.allclose(found, (centred * of_round.log_prob(codes)).sum(0), atol=1e-13)


@pytest.mark.parametrize("causal", KINDS)
def test_rounds_in_play_are_equally_likely_and_their_prefixes_follow_the_law(causal: bool) -> None:
    generator = TabledRounds(SPACE, (1, 1, 1), (2, 0, 1), causal)
    count = 6000
    of_round = generator(BITS[1:].expand(count, -1)).in_play(rng())
    numbers = torch.tensor(generator.round_of)[of_round.is_drawn.int().argmax(1)]
    assert (of_round.is_drawn.sum(1) == 1).all()
    assert fits(numbers[:, None], {(s,): torch.tensor(1 / 3) for s in range(3)})
    for s in range(3):
        looks = {generator.visible(x, s): x for x in generator.samples()}
        law = {look: generator.probability(x, 1, end=s) for look, x in looks.items()}
        assert fits(of_round.prefix[numbers == s], law)
        # The session, which draws all rows in one number of rounds, has the same law.
        alone = generator(BITS[1:].expand(count // 2, -1)).at_round(s, rng(1))
        assert fits(alone.prefix, law)


def test_what_is_drawn_later_is_hidden_in_samples_too() -> None:
    generator = TabledRounds(SPACE, (1, 1, 1), (2, 0, 1))
    of_round = generator(BITS[[0, 1, 0]]).at_round(torch.tensor([0, 1, 2]), rng())
    samples = torch.tensor([[0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 1, 1]])
    hidden = of_round.hide(samples)
    assert hidden.dtype == torch.uint8
    assert hidden.tolist() == [list(generator.visible(tuple(x), i % 3 + 1)) for i, x in enumerate(samples.tolist())]
    assert (of_round.sample(1)[0] == K).equal(hidden[:3] == K)


def test_a_masked_network_draws_in_other_rounds() -> None:
    generator = TabledRounds(SPACE, (P,), (2, 0, 1))
    for sizes in CUTS:
        same = TabledRounds(SPACE, sizes, (2, 0, 1))
        distribution = generator(BITS).in_rounds(len(sizes), sizes)
        codes = every_code(generator)
        assert distribution.sizes == sizes
        assert torch.allclose(distribution.mixture_log_prob(codes).exp(), exact(same).mean(1), atol=1e-13)
        assert fits(distribution.sample(3000, rng())[:, 0], {x: same.probability(x, 0) for x in same.samples()})
    assert generator(BITS).in_rounds(2).sizes == (1, 2)
    causal = TabledRounds(SPACE, (1, 2), causal=True)(BITS)
    assert causal.in_rounds(2, (1, 2)).sizes == (1, 2)
    assert "rounds must be 2, those of the training, for a causal" in refusal(lambda: causal.in_rounds(3))


@pytest.mark.parametrize("fixed", list(itertools.product(range(K + 1), repeat=P)))
def test_given_codes_stay_and_the_rest_follows_its_law(fixed: tuple[int, ...]) -> None:
    for number, (sizes, ranks) in enumerate(zip(CUTS, [*ORDERS, ORDERS[1]], strict=True)):
        generator = TabledRounds(SPACE, sizes, ranks)
        drawn = generator(BITS).sample(1500, rng(number), fixed=torch.tensor(fixed))
        for bit in (0, 1):
            assert fits(drawn[:, bit], {x: generator.filled(x, fixed, bit) for x in generator.samples()})


@pytest.mark.parametrize("causal", KINDS)
def test_codes_that_come_first_give_the_conditional_law(causal: bool) -> None:
    for generator in generators(causal):
        law = generator.law()
        for first in range(len(generator.sizes)):
            # Each latent continues a beginning of its own.
            chosen = [(0, 1, 1), (1, 0, 1)]
            fixed = torch.tensor([generator.visible(x, first) for x in chosen])
            drawn = generator(BITS).sample(2000, rng(first), fixed=fixed)
            for bit, begun in enumerate(fixed.tolist()):
                alike = {x: law[x] for x in law if generator.visible(x, first) == tuple(begun)}
                total = torch.stack(list(alike.values())).sum()
                if first:
                    assert fits(drawn[:, bit], {x: q / total for x, q in alike.items()})
                else:
                    assert fits(drawn[:, bit], {x: generator.probability(x, bit) for x in law})


def test_codes_that_are_fixed_and_do_not_fit_are_refused() -> None:
    masked, causal = TabledRounds(SPACE, (1, 2), (2, 0, 1)), TabledRounds(SPACE, (1, 2), (2, 0, 1), causal=True)
    draw = masked(BITS).sample
    for fixed, words in (
        ([[0, 1, 0]] * 3, "fixed must be one sample, or one for each of 2, got 3"),
        ([[0, 1, 0]] * 6, "fixed must be one sample, or one for each of 2, got 6"),
        ([0, 1, 3], r"fixed must hold codes in \[0, 2\) that their positions have, and 2 where they are to be drawn"),
        ([0, 1, -1], r"fixed must hold codes in \[0, 2\)"),
        ([0, 1], r"codes must have shape \[B, 3\], got \[2\]"),
        ([0.0, 1.0, 0.0], "codes must be integers, got dtype"),
    ):
        with pytest.raises(Exception, match=words):
            draw(6, fixed=torch.tensor(fixed))
    assert "fixed must be one sample, or one for each of 4, got 2" in refusal(
        lambda: masked(BITS[[0, 1, 0, 1]]).sample(1, fixed=torch.tensor([[0, 1, 0]] * 2))
    )
    assert "must be the first ones of the order for a causal" in refusal(
        lambda: causal(BITS).sample(1, fixed=torch.tensor([0, 2, 2]))
    )
    assert (causal(BITS).sample(5, fixed=torch.tensor([2, 0, 2]))[..., 1] == 0).all()
    columns = TabledRounds(SampleSpace((P,), 3, sizes=(3, 1, 2)), (1, 2))
    assert "codes in [0, 3) that their positions have" in refusal(
        lambda: columns(BITS).sample(1, fixed=torch.tensor([3, 3, 2]))
    )


def test_a_sharper_distribution_is_that_of_sharper_conditionals() -> None:
    options = {"temperature": 0.5, "top_k": None, "top_p": None}
    for sizes in CUTS:
        plain = TabledRounds(SPACE, sizes, (2, 0, 1))
        sharp = TabledRounds(SPACE, sizes, (2, 0, 1))
        with torch.no_grad():
            for parameter in sharp.parameters():
                parameter.mul_(2)
        codes = every_code(plain)
        found = plain(BITS).sharpened(**options)
        assert torch.allclose(found.mixture_log_prob(codes).exp(), exact(sharp).mean(1), atol=1e-13)
        assert torch.equal(found.sample(50, rng()), sharp(BITS).sample(50, rng()))
        assert torch.equal(found.in_rounds(2).sample(50, rng()), sharp(BITS).in_rounds(2).sample(50, rng()))
    greedy = plain(BITS).sharpened(top_k=1)
    assert torch.equal(greedy.sample(1, rng(0)), greedy.sample(1, rng(9)))
    logits = torch.randn(2, 3)
    assert sharpen(logits, top_k=1).shape == logits.shape


# What likelihood ascends.


@pytest.mark.parametrize("ranks", ORDERS)
def test_what_likelihood_ascends_is_the_log_probability_of_what_is_hidden(
    ranks: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = TabledRounds(SPACE, (1, 2), ranks)
    weights = torch.tensor([[0.0, 2, 2], [0, 0, 5], [3, 0, 1]], dtype=torch.float64)
    first_sizes = torch.tensor([[3], [1], [2]])
    monkeypatch.setattr(rounds, "random_hiding", lambda *_: (weights > 0, weights))
    monkeypatch.setattr(rounds, "random_first_sizes", lambda *_: first_sizes)
    own = sorted(range(P), key=lambda position: ranks[position])
    for x in generator.samples():
        found = generator(BITS).estimated_log_prob(torch.tensor([x]).expand(P, -1))
        for row in range(P):
            size = int(first_sizes[row])
            of_bits = [
                math.prod(generator.conditional((K,) * P, p, bit)[x[p]] for p in own[:size])  # type: ignore[misc]
                for bit in (0, 1)
            ]
            visible = tuple(K if weight else code for code, weight in zip(x, weights[row].tolist(), strict=True))
            later = sum(
                weight * generator.conditional(visible, p, 0)[x[p]].log()
                for p, weight in enumerate(weights[row].tolist())
                if weight
            )
            wanted = torch.stack(of_bits).mean().log() + later
            assert torch.allclose(found[row], wanted, atol=1e-12)
            (slope,) = torch.autograd.grad(found[row], generator.table, retain_graph=True)
            (wanted_slope,) = torch.autograd.grad(wanted, generator.table)
            assert torch.allclose(slope, wanted_slope, atol=1e-12)


def test_a_causal_network_ascends_its_likelihood_itself() -> None:
    generator = TabledRounds(SPACE, (1, 2), (2, 0, 1), causal=True)
    codes = every_code(generator)
    assert torch.equal(generator(BITS).estimated_log_prob(codes, rng=rng()), generator(BITS).mixture_log_prob(codes))
    one_round = TabledRounds(SPACE, (P,))(BITS)
    assert torch.equal(one_round.estimated_log_prob(codes, rng=rng()), one_round.mixture_log_prob(codes))


def test_an_estimate_is_of_the_sample_s_own_label() -> None:
    generator = TabledRounds(SPACE, (1, 2), (2, 0, 1), num_classes=2)
    with torch.no_grad():
        generator.table[1] = 0
        generator.table[0, ..., 1] = 40.0
        generator.of_bit.zero_()
    distribution = generator(BITS[[0, 1, 0, 1]], torch.tensor([0, 0, 1, 1]))
    ones = torch.ones(400, P, dtype=torch.long)
    of_first = distribution.estimated_log_prob(ones, torch.zeros(400, dtype=torch.long), rng())
    assert of_first.abs().max() < 1e-12, "certain, whatever is hidden"
    of_second = distribution.estimated_log_prob(ones, torch.ones(400, dtype=torch.long), rng())
    assert (of_second < -math.log(2) / 2).all(), "half a chance for each code"


# Early ends.


@pytest.mark.parametrize("causal", KINDS)
def test_a_step_of_the_game_sees_padding_behind_an_end(causal: bool) -> None:
    generator = TabledRounds(SampleSpace((P,), 3, end_id=0), (1, 1, 1), causal=causal)
    prefix = generator(BITS[[0] * 400]).at_round(2, rng()).prefix
    ended = prefix[:, 0] == 0
    assert 5 < int(ended.sum()) < 395
    assert (prefix[ended, 1] == 0).all() and (prefix[~ended, 1] != 0).any()


@pytest.mark.parametrize("causal", KINDS)
@pytest.mark.parametrize("end", [0, 1])
def test_what_has_ended_is_padding_with_certainty(end: int, causal: bool) -> None:
    space = SampleSpace((P,), 3, end_id=end)
    generator = TabledRounds(space, (1, 1, 1), causal=causal)
    canonical = torch.unique(pad_after_end(every_code(generator), end), dim=0)
    law = {}
    for x in canonical.tolist():
        for bit in (0, 1):
            seen, total = [3] * P, 1.0
            for position in range(P):
                if end not in x[:position]:
                    total *= generator.conditional(tuple(seen), position, bit)[x[position]].item()
                seen[position] = x[position]
            law[tuple(x), bit] = torch.tensor(total)
    distribution = generator(BITS)
    found = distribution.log_prob(canonical[:, None].expand(-1, 2, -1)).exp()
    wanted = torch.stack([torch.stack([law[tuple(x), bit] for bit in (0, 1)]) for x in canonical.tolist()])
    assert torch.allclose(found, wanted, atol=1e-13)
    assert torch.allclose(found.sum(0), torch.ones(2), atol=1e-13)
    assert torch.allclose(distribution.mixture_log_prob(canonical).exp(), wanted.mean(1), atol=1e-13)
    drawn = distribution.sample(4000, rng())
    assert torch.equal(drawn, pad_after_end(drawn, end))
    assert fits(drawn[:, 1], {tuple(x): law[tuple(x), 1] for x in canonical.tolist()})
    # In the game: after an end that is visible a round draws padding, and learns nothing there.
    ended = distribution.at_round(1, prefix=torch.tensor([[end, 2, 2], [2, 2, 2]]))
    assert (ended.sample(30, rng())[:, 0, 1] == end).all()
    loss = ended.weighted_log_prob(ended.sample(4, rng()), torch.randn(4, 2, generator=rng())).sum()
    slope = torch.autograd.grad(loss, generator.table)[0]
    assert slope[0, int(generator.pattern(torch.tensor([end, 3, 3])))].abs().max() == 0
    assert slope[0, int(generator.pattern(torch.tensor([2, 3, 3])))].abs().max() > 0


def test_ends_in_other_orders_and_rounds_are_cut_after_the_draw() -> None:
    space = SampleSpace((P,), 3, end_id=1)
    for sizes, ranks in (((1, 2), (0, 1, 2)), ((3,), (0, 1, 2)), ((1, 1, 1), (2, 0, 1))):
        generator = TabledRounds(space, sizes, ranks)
        law: dict[tuple[int, ...], Tensor] = {}
        for x in generator.samples():
            if sizes == (1, 2) and x[0] == 1:
                continue
            shown = tuple(pad_after_end(torch.tensor(x), 1).tolist())
            law[shown] = law.get(shown, torch.zeros(())) + generator.probability(x, 0)
        if sizes == (1, 2):
            law[1, 1, 1] = generator.conditional((3, 3, 3), 0, 0)[1]
        drawn = generator(BITS).sample(4000, rng())[:, 0]
        assert torch.equal(drawn, pad_after_end(drawn, 1))
        assert fits(drawn, law)


# Resampling.


def kept_law(generator: TabledRounds, ratios: dict[tuple[int, ...], float], candidates: int) -> dict[Any, Tensor]:
    """Of samples of which every round is the one that is kept of C candidates, by the softmax of their F."""
    law = {(K,) * P: torch.ones(())}
    for s in range(len(generator.sizes)):
        extended: dict[tuple[int, ...], Tensor] = {}
        for seen, so_far in law.items():
            looks = {generator.visible(x, s + 1): x for x in generator.samples() if generator.visible(x, s) == seen}
            # Candidates of round 0 have a latent each, so that they are draws of the mixture.
            q = {
                look: torch.stack([generator.probability(x, bit, first=s, end=s + 1) for bit in (0, 1)]).mean()
                for look, x in looks.items()
            }
            for group in itertools.product(q, repeat=candidates):
                chance = so_far * torch.stack([q[look] for look in group]).prod()
                shares = torch.tensor([ratios[look] for look in group]).softmax(0)
                for look, share in zip(group, shares, strict=True):
                    extended[look] = extended.get(look, torch.zeros(())) + chance * share
        law = extended
    return law


@pytest.mark.parametrize("causal", KINDS)
@pytest.mark.parametrize("sizes", CUTS)
def test_the_law_of_resampling(sizes: tuple[int, ...], causal: bool) -> None:
    generator = TabledRounds(SPACE, sizes, (2, 0, 1), causal)
    data = random_law(generator)
    ratios: dict[tuple[int, ...], float] = {}
    for s in range(1, len(sizes) + 1):
        q, p = generator.law(s), seen_law(generator, data, s)
        ratios |= {look: (p[look] / q[look]).log().item() for look in q}
    dice = rng(3)

    def choose(codes: Tensor, labels: Tensor | None) -> Tensor:
        assert codes.dtype == torch.uint8
        log_w = torch.tensor([ratios[tuple(row)] for row in codes.tolist()])
        return torch.multinomial(log_w.view(-1, 2).softmax(1), 1, generator=dice)[:, 0]

    count = 6000
    latents = BITS[torch.randint(2, (2 * count,), generator=rng(4))]
    kept = generator(latents).resampled(choose, 2, rng(5))
    assert kept.shape == (count, P)
    law = kept_law(generator, ratios, 2)
    assert torch.allclose(torch.stack(list(law.values())).sum(), torch.ones(()), atol=1e-12)
    assert fits(kept, law)
    # It moves towards the data, the more the more candidates there are.
    gaps = [kl(kept_law(generator, ratios, count), data).item() for count in (1, 2, 3)]
    assert gaps[0] == pytest.approx(kl(generator.law(), data).item(), abs=1e-12)
    assert gaps[0] > gaps[1] > gaps[2]


def test_candidates_are_next_to_each_other_and_the_kept_one_is_continued() -> None:
    generator = TabledRounds(SPACE, (1, 1, 1), (2, 0, 1), num_classes=2)
    asked = []

    def choose(codes: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        assert labels.tolist() == [0] * 3 + [1] * 3
        asked.append(codes.clone())
        return torch.tensor([2, 1])

    latents, labels = BITS[torch.randint(2, (6,), generator=rng())], torch.tensor([0, 0, 0, 1, 1, 1])
    kept = generator(latents, labels).resampled(choose, 3, rng())
    assert len(asked) == 3
    for s, codes in enumerate(asked):
        assert codes.shape == (6, P)
        is_drawn = torch.tensor([of_round <= s for of_round in generator.round_of])
        assert ((codes != K) == is_drawn).all()
        if s:
            chosen = asked[s - 1][[2, 4]].repeat_interleave(3, 0)
            assert torch.equal(torch.where(chosen == K, K, codes), chosen)
    assert torch.equal(kept, asked[-1][[2, 4]])
    given = generator(latents, labels).resampled(choose, 3, rng(), fixed=torch.tensor([0, 2, 2]))
    assert (given[:, 0] == 0).all()
    assert "latents must be a multiple of 4 candidates, got 6" in refusal(
        lambda: generator(latents, labels).resampled(choose, 4)
    )
    assert "num_candidates must be at least 1" in refusal(lambda: generator(latents, labels).resampled(choose, 0))


def test_what_is_tilted_is_one_sample_of_each_group_with_its_label() -> None:
    generator = TabledRounds(SPACE, (1, 1, 1), (2, 0, 1), num_classes=2)
    asked = []

    def tilt(codes: Tensor, labels: Tensor | None, position: int) -> Tensor:
        assert labels is not None
        asked.append((codes.tolist(), labels.tolist(), position))
        return torch.tensor([0.0, 1e9]).expand(len(codes), K)

    latents, labels = BITS[torch.randint(2, (6,), generator=rng())], torch.tensor([0, 0, 0, 1, 1, 1])
    kept = generator(latents, labels).resampled(lambda *_: pytest.fail("no choice"), 3, rng(), tilt=tilt)
    assert asked == [([row] * 2, [0, 1], p) for row, p in (([K, K, K], 1), ([K, 1, K], 2), ([K, 1, 1], 0))]
    assert kept.tolist() == [[1, 1, 1]] * 2


# Numbers and precision.


def test_hidden_has_a_code_of_its_own_where_others_take_a_whole_byte() -> None:
    generator = MaskedMLPGenerator(SampleSpace((2,), 256), latent_size=1, width=4, depth=1, rounds=2)
    distribution = generator(torch.zeros(3, 1))
    of_round = distribution.at_round(0, rng())
    assert (of_round.prefix == 256).all()
    assert ((of_round.sample(4) == 256).sum(-1) == 1).all()
    assert ((of_round.hide(torch.full((3, 2), 255, dtype=torch.uint8)) == 256).sum(-1) == 1).all()
    first, last = distribution.stages(rng())
    assert ((first == 256).sum(-1) == 1).all() and last.max() < 256
    shown: list[Tensor] = []
    distribution.resampled(lambda codes, _: shown.append(codes) or torch.zeros(1, dtype=torch.long), 3, rng())
    assert [int((codes == 256).sum()) for codes in shown] == [3, 0]


def test_no_code_is_drawn_that_its_position_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    # Cumulated probabilities that end below 1 give the last code of all.
    def last_code(logits: Tensor, num_draws: int, rng: Any = None) -> Tensor:
        return torch.full((num_draws, *logits.shape[:-1]), logits.shape[-1] - 1, dtype=torch.uint8)

    for module in ("rounds", "factorized"):
        monkeypatch.setattr(f"bgan_discrete.distributions.{module}.sample_categorical", last_code)
    distribution = TabledRounds(SampleSpace((P,), 3, sizes=(3, 1, 2)), (1, 2), (1, 2, 0))(BITS)
    assert distribution.sample(4).unique(dim=1).tolist() == [[[2, 0, 1]]] * 4
    of_round = distribution.at_round(1)
    assert of_round.sample(4).unique(dim=1).tolist() == [[[2, 0, 1]]] * 4


def test_later_passes_keep_the_precision_of_the_generator_s_call(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, seen = TabledRounds(SPACE, (1, 2)), []
    logits = generator.logits
    monkeypatch.setattr(
        generator, "logits", lambda *given: seen.append(torch.is_autocast_enabled("cpu")) or logits(*given)
    )
    with torch.autocast("cpu", torch.bfloat16):
        distribution = generator(BITS)
    for changed in (distribution, distribution.in_rounds(3), distribution.sharpened(temperature=0.5)):
        changed.sample(2, rng())
        changed.in_play(rng())
        changed.mixture_log_prob(every_code(generator))
    assert len(seen) > 9 and all(seen)


# What is refused.


def test_what_does_not_fit_is_refused() -> None:
    generator = TabledRounds(SPACE, (1, 2))
    distribution = generator(BITS)
    of_round = distribution.at_round(1, rng())
    for call, words in (
        (lambda: distribution.log_prob(torch.zeros(4, 3, P).long()), "codes must have shape [M, 2, 3], got [4, 3, 3]"),
        (lambda: distribution.mixture_log_prob(torch.zeros(4, 2).long()), "codes must have shape [B, 3], got [4, 2]"),
        (lambda: distribution.mixture_log_prob(torch.zeros(4, P)), "codes must be integers, got dtype"),
        (lambda: distribution.in_rounds(4), "rounds must be between 1 and the 3 positions of a sample, got 4"),
        (lambda: distribution.in_rounds(2, (2, 2)), "cut must be 2 sizes of at least 1 that sum to the 3 positions"),
        (lambda: distribution.sample(0), "num_draws must be at least 1, got 0"),
        (lambda: distribution.sharpened(temperature=0.0), "temperature must be above 0, got 0.0"),
        (lambda: RoundsCategorical(generator, BITS, SPACE, torch.arange(P), (1, 1)), "cut must be 2 sizes"),
        (lambda: generator.set_order(torch.tensor([0, 1, 1])), "ranks must be a permutation of 0 .. 2, got [0, 1, 1]"),
        (lambda: generator(BITS, torch.zeros(2).long()), "this generator must be given no labels"),
        (lambda: of_round.log_prob(torch.zeros(4, 1, P).long()), "codes must"),
        (lambda: of_round.alternatives(torch.zeros(3, P).long()), "codes must"),
        (
            lambda: RoundCategorical(torch.zeros(2, P, K), torch.zeros(1, P), torch.zeros(2, P)),
            "prefix and is_drawn must have shape [2, 3], got [1, 3] and [2, 3]",
        ),
    ):
        assert words in refusal(call)


def test_logits_that_are_not_finite_are_named_as_they_are_drawn() -> None:
    generator = TabledRounds(SPACE, (1, 2))
    with torch.no_grad():
        generator.table[0, int(generator.pattern(torch.tensor([1, K, K])))] = math.inf
    distribution = generator(BITS)
    distribution.check_finite("average")
    with pytest.raises(ArithmeticError, match="the average's logits must be finite, got inf among them"):
        distribution.sample(200, rng())


def test_a_round_is_chosen_by_the_given_dice_alone() -> None:
    generator = TabledRounds(SPACE, (1, 2))
    chosen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        chosen.append(generator(BITS[[0, 1] * 20]).in_play(rng()))
    assert torch.equal(chosen[0].is_drawn, chosen[1].is_drawn) and torch.equal(chosen[0].prefix, chosen[1].prefix)
