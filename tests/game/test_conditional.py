"""Samples under conditions, against the exact conditional law by enumeration."""

import itertools
import math

import pytest
import torch
from tabled_rounds import BITS, TabledRounds, fits
from torch import Tensor

from bgan_discrete import InputError, SampleSpace
from bgan_discrete.game import conditional as module
from bgan_discrete.game.conditional import Effort, conditional_codes

P, K = 3, 3
SPACE = SampleSpace((P,), K)
ORDER = (1, 2, 0)  # ranks: position 2 is drawn first, position 1 last
CUTS = [(3,), (1, 2), (2, 1), (1, 1, 1)]

Codes = tuple[int, ...]

pytestmark = pytest.mark.usefixtures("float64")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tabled(sizes: tuple[int, ...] = (1, 1, 1), causal: bool = True, seed: int = 0) -> TabledRounds:
    return TabledRounds(SPACE, sizes, ORDER, causal, seed=seed)


def holds(sample: Codes, fixed: Codes, allowed: dict[int, Tensor]) -> bool:
    return all(
        code == sample[p] if code < K else p not in allowed or bool(allowed[p][sample[p]])
        for p, code in enumerate(fixed)
    )


def conditional(law: dict[Codes, Tensor], fixed: Codes, allowed: dict[int, Tensor]) -> dict[Codes, Tensor]:
    """The exact law, given the condition."""
    kept = {x: q if holds(x, fixed, allowed) else torch.zeros(()) for x, q in law.items()}
    total = torch.stack(list(kept.values())).sum()
    return {x: q / total for x, q in kept.items()}


def drawn(
    generator: TabledRounds, fixed: Codes, allowed: dict[int, Tensor], num: int, candidates: int = 150, seed: int = 0
) -> Tensor:
    return conditional_codes(
        generator, torch.tensor([fixed]).expand(num, -1), allowed, rng(seed), num_candidates=candidates
    )


@pytest.mark.parametrize("sizes", CUTS)
@pytest.mark.parametrize("fixed", [x for x in itertools.product((0, K), repeat=P) if set(x) != {K}])
def test_codes_at_any_position_give_the_conditional_law(sizes: tuple[int, ...], fixed: Codes) -> None:
    generator = tabled(sizes)
    assert fits(drawn(generator, fixed, {}, 3000), conditional(generator.law(), fixed, {}))


SETS = {"first": {2: [0, 2]}, "last": {1: [1, 2]}, "two": {0: [0, 1], 2: [0, 2]}, "all": {p: [0, p] for p in (0, 1, 2)}}


@pytest.mark.parametrize("sets", SETS)
@pytest.mark.parametrize("sizes", CUTS)
@pytest.mark.parametrize("fixed", [(K, K, K), (K, 0, K)])
def test_sets_of_codes_give_the_conditional_law(sets: str, sizes: tuple[int, ...], fixed: Codes) -> None:
    allowed = {p: torch.isin(torch.arange(K), torch.tensor(codes)) for p, codes in SETS[sets].items() if fixed[p] == K}
    generator = tabled(sizes)
    if allowed:
        assert fits(drawn(generator, fixed, allowed, 3000), conditional(generator.law(), fixed, allowed))


def masked_law(generator: TabledRounds, fixed: Codes, first: list[int]) -> dict[Codes, Tensor]:
    """Of a masked network that sees the fixed codes and draws the positions ``first`` one by one, then the others."""
    order = first + [p for p in sorted(range(P), key=lambda p: ORDER[p]) if p not in first and fixed[p] == K]
    law = {}
    for x in generator.samples():
        by_bit = []
        for bit in (0, 1):
            seen, total = list(fixed), torch.tensor(float(all(f in (K, c) for f, c in zip(fixed, x, strict=True))))
            for p in order:
                total = total * generator.conditional(tuple(seen), p, bit)[x[p]]
                seen[p] = x[p]
            by_bit.append(total)
        law[x] = torch.stack(by_bit).mean()
    return law


@pytest.mark.parametrize("fixed", [(K, K, K), (K, 0, K)])
@pytest.mark.parametrize("positions", [[0], [2], [2, 0]])
def test_a_masked_network_sees_fixed_codes_and_draws_sets_first(fixed: Codes, positions: list[int]) -> None:
    generator = tabled(causal=False)
    allowed = {p: torch.tensor([True, False, True]) for p in positions}
    law = conditional(masked_law(generator, fixed, positions), fixed, allowed)
    effort = Effort()
    num = 3000
    codes = conditional_codes(
        generator, torch.tensor([fixed]).expand(num, -1), allowed, rng(3), num_candidates=150, effort=effort
    )
    assert fits(codes, law)
    # After a visible code the first set needs no weights: each row takes its first candidate.
    assert (effort.candidates == num) == (fixed != (K, K, K) and len(positions) == 1)


def test_what_comes_first_needs_no_weights() -> None:
    effort = Effort()
    conditional_codes(tabled(), torch.tensor([[K, K, 1]]).expand(50, -1), {}, rng(), effort=effort)
    assert (effort.candidates, effort.weighted, effort.lines()) == (0, 0, [])
    for sizes, fixed, is_begun in (
        ((1, 1, 1), (K, K, 1), True),
        ((1, 1, 1), (1, K, 1), True),
        ((1, 1, 1), (1, K, K), False),
        ((2, 1), (1, K, 1), True),
        ((2, 1), (K, K, 1), False),  # a part of round 0: its rest depends on it through the latent
        ((1, 2), (1, K, 1), True),
        ((1, 2), (K, 1, K), False),
    ):
        assert tabled(sizes)(BITS).is_begun_by(torch.tensor([fixed])) == is_begun
        assert tabled(sizes, causal=False)(BITS).is_begun_by(torch.tensor([fixed]))


def test_where_the_first_is_given_all_beginnings_are_weighed() -> None:
    generator = tabled()
    for fixed, num in (((K, 0, 1), 2000), ((K, 0, 1), 1), ((K, 0, K), 1), ((0, K, K), 64), ((0, K, K), 2000)):
        effort = Effort()
        codes = conditional_codes(generator, torch.tensor([fixed]).expand(num, -1), {}, rng(), effort=effort)
        assert (effort.rows, effort.candidates == 0) == (num, num <= 64 or fixed[2] == 1)
        assert num == 1 or fits(codes, conditional(generator.law(), fixed, {}))


def test_the_law_of_an_open_first_round_is_that_over_many_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_groups", lambda fixed, labels: torch.arange(len(fixed)))
    monkeypatch.setattr(module, "LATENTS", 4000)
    generator, effort = tabled(), Effort()
    for fixed in ((K, 0, K), (0, K, K), (K, 0, 1)):
        codes = conditional_codes(generator, torch.tensor([fixed]).expand(800, -1), {}, rng(1), effort=effort)
        assert effort.candidates == 0 and fits(codes, conditional(generator.law(), fixed, {}))


def test_each_class_has_its_own_beginnings() -> None:
    generator = TabledRounds(SPACE, (1, 1, 1), ORDER, True, num_classes=2)
    fixed = torch.tensor([[K, 0, K], [K, 1, 1]]).repeat(32, 1)
    labels = torch.arange(2).repeat_interleave(32)
    found = []
    for seed in range(40):
        effort = Effort()
        found.append(conditional_codes(generator, fixed, {}, rng(seed), labels=labels, effort=effort))
        assert effort.candidates == 0
    codes = torch.stack(found)
    for label, row in itertools.product((0, 1), range(2)):
        law = {
            x: torch.stack([generator.probability(x, bit, label) for bit in (0, 1)]).mean() for x in generator.samples()
        }
        mine = codes[:, (labels == label) & (torch.arange(64) % 2 == row)].flatten(0, 1)
        assert fits(mine, conditional(law, tuple(fixed[row].tolist()), {}))


def test_more_beginnings_than_candidates_are_not_weighed() -> None:
    generator = tabled()
    # Three beginnings are too many for two candidates.
    effort = Effort()
    conditional_codes(generator, torch.tensor([[K, 0, 1]]), {}, rng(), num_candidates=2, effort=effort)
    assert effort.candidates > 0
    with torch.no_grad():
        generator.table[..., 1, 0] = torch.finfo(torch.float64).min / 4
    with pytest.raises(InputError, match=r"the model gives it probability 0 in all of 3 candidates of sample 1"):
        conditional_codes(generator, torch.tensor([[K, 0, 1]]), {}, rng())


def finite_law(generator: TabledRounds, fixed: Codes, candidates: int) -> dict[Codes, float]:
    """The law of a row of its own that is offered a finite number of candidates, from the definition."""
    law = {x: q.item() for x, q in generator.law().items()}
    # Prefixes: position 2, then 0, is drawn before position 1, which is fixed.
    assert fixed == (K, fixed[1], K)
    prefixes = list(itertools.product(range(K), repeat=2))
    q = {p: sum(law[p[0], c, p[1]] for c in range(K)) for p in prefixes}
    w = {p: law[p[0], fixed[1], p[1]] / q[p] for p in prefixes}
    mean = sum(q[p] * w[p] for p in prefixes)
    found = dict.fromkeys(prefixes, 0.0)
    for p in prefixes:  # accepted
        found[p] += sum((1 - mean) ** j for j in range(candidates)) * q[p] * w[p]
    for some in itertools.product(prefixes, repeat=candidates):  # all refused, one taken by its weight
        chance, total = math.prod(q[p] * (1 - w[p]) for p in some), sum(w[p] for p in some)
        for p in some:
            found[p] += chance * w[p] / total
    exact = {p: q[p] * w[p] / mean for p in prefixes}
    distance = 0.5 * sum(abs(found[p] - exact[p]) for p in prefixes)
    assert 0 < distance <= (1 - mean) ** candidates
    return {(p[0], fixed[1], p[1]): chance for p, chance in found.items()}


@pytest.mark.parametrize("candidates", [1, 2, 3])
def test_the_law_of_few_candidates_is_known_and_its_bias_bounded(
    candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = tabled(seed=2)
    fixed = (K, 1, K)
    law = {x: torch.tensor(0.0) for x in generator.samples()}
    law.update({x: torch.tensor(chance) for x, chance in finite_law(generator, fixed, candidates).items()})
    # Rows of one condition share their candidates: here each has its own, and none may look at all beginnings.
    monkeypatch.setattr(module, "MAX_BEGINNINGS", 0)
    monkeypatch.setattr(module, "_groups", lambda fixed, labels: torch.arange(len(fixed)))
    assert fits(drawn(generator, fixed, {}, 3000, candidates), law)


def test_a_rare_condition_is_reported_with_its_effective_sample_size() -> None:
    generator = tabled(seed=2)
    with torch.no_grad():
        generator.table[..., 1, 1] -= 12.0
    effort = Effort()
    codes = conditional_codes(
        generator, torch.tensor([[K, 1, K]]).expand(200, -1), {}, rng(), num_candidates=3, effort=effort
    )
    assert (codes[:, 1] == 1).all()
    assert (effort.rows, effort.candidates, effort.weighted) == (200, 600, 200)
    assert 0 < effort.sample_size < 600 and effort.total_weight / 600 < 1e-3
    (line,) = effort.lines()
    assert line.startswith("given: 200 of 200 rows are chosen among candidates by their weight")
    # All of one condition choose from all of its candidates: the law of 600 is near to the exact one.
    law = conditional(generator.law(), (K, 1, K), {})
    many = conditional_codes(generator, torch.tensor([[K, 1, K]]).expand(4000, -1), {}, rng(1), num_candidates=8)
    for x, q in law.items():
        assert abs((many == torch.tensor(x)).all(1).double().mean().item() - q.item()) < 0.05


def test_an_impossible_condition_is_refused() -> None:
    generator = tabled()
    with torch.no_grad():
        generator.table[..., 1, 1] = torch.finfo(torch.float64).min / 4
    with pytest.raises(
        InputError, match=r"given must be possible together, .* probability 0 in all of 396 candidates of sample 1"
    ):
        conditional_codes(generator, torch.tensor([[K, 1, K]]).expand(99, -1), {}, rng(), num_candidates=4)


def test_rows_of_several_conditions_and_classes_keep_their_own() -> None:
    generator = TabledRounds(SPACE, (1, 1, 1), ORDER, True, num_classes=2)
    fixed = torch.tensor([[K, 0, K], [K, 1, K], [0, K, K]]).repeat(800, 1)
    labels = torch.arange(2).repeat_interleave(1200)
    codes = conditional_codes(generator, fixed, {}, rng(), labels=labels, num_candidates=300)
    assert ((codes == fixed) | (fixed == K)).all()
    for label, row in itertools.product((0, 1), range(3)):
        law = {
            x: torch.stack([generator.probability(x, bit, label) for bit in (0, 1)]).mean() for x in generator.samples()
        }
        mine = codes[(labels == label) & (torch.arange(2400) % 3 == row)]
        assert fits(mine, conditional(law, tuple(fixed[row].tolist()), {}))
