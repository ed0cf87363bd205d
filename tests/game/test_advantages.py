"""What `symmetric` and `matched` estimate, by enumeration: gradients of divergences that autograd knows too."""

import pytest
import torch
from enumeration import Case, exact_moments, gradient_of, random_case
from players import TableDiscriminator, TableGenerator, players
from torch import Tensor

from bgan_discrete import Game
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.advantages import jeffreys, matched, rloo, symmetric
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.step import generator_step

TIGHT = {"rtol": 1e-11, "atol": 1e-13}
SIZES = [(1, 2), (1, 3), (2, 2)]
"""Latents and draws."""


def law(case: Case, logits: Tensor) -> Tensor:
    """Of the generator, over its latents: the probability of each outcome."""
    return case.log_prob(logits).exp().mean(0)


def against_data(latents: int, seed: int = 0) -> tuple[Case, Tensor]:
    """A generator with the best F, log p/q, and the data's probabilities p."""
    case = random_case(seed, latents=latents, positions=2 if latents == 1 else 1)
    dice = torch.Generator().manual_seed(seed + 100)
    p = torch.randn(len(case.log_ratio), generator=dice, dtype=torch.float64).softmax(0)
    return Case(case.logits, (p / law(case, case.logits)).log()), p


# The divergence's own gradient.


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize(("latents", "draws"), SIZES)
def test_matched_is_unbiased_for_minus_the_gradient_of_the_divergence(latents: int, draws: int, name: str) -> None:
    (case, p), divergence = against_data(latents), get_divergence(name)
    mean, variance = exact_moments(case, draws, make_estimator("matched", divergence=divergence))

    def value(logits: Tensor) -> Tensor:
        q = law(case, logits)
        return (q * divergence.f(p / q)).sum()

    torch.testing.assert_close(mean, -gradient_of(case, value), **TIGHT)
    assert mean.abs().max() > 1e-3

    def by_loops(log_w: Tensor) -> Tensor:
        h = divergence.fake_term(log_w)
        return torch.stack([(h[m] - (h.sum(0) - h[m]) / (draws - 1)) / draws for m in range(draws)])

    torch.testing.assert_close(variance, exact_moments(case, draws, by_loops)[1], **TIGHT)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_with_any_discriminator_matched_is_unbiased_for_minus_the_gradient_of_its_bound(name: str) -> None:
    case, divergence = random_case(7, latents=2, positions=1, spread=1.5), get_divergence(name)
    mean, _ = exact_moments(case, 2, make_estimator("matched", divergence=divergence))
    bound = gradient_of(case, lambda logits: -(law(case, logits) * divergence.fake_term(case.log_ratio)).sum())
    torch.testing.assert_close(mean, -bound, **TIGHT)


def test_matched_to_the_reverse_kl_is_rloo() -> None:
    log_w = 3 * torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reverse_kl = get_divergence("reverse_kl")
    torch.testing.assert_close(matched(log_w, reverse_kl), rloo(log_w), **TIGHT)
    log_q = log_w.log_softmax(-1)
    for escort in (1.0, 0.5):
        found = make_estimator("matched", divergence=reverse_kl).over_alternatives(log_q, log_w, escort)
        torch.testing.assert_close(found, make_estimator("rloo").over_alternatives(log_q, log_w, escort), **TIGHT)


# Both directions, bounded.


def both_directions(p: Tensor, q: Tensor) -> Tensor:
    """``KL(p || q)`` and half of the Renyi divergence of order 2 of q from p."""
    return (p * (p / q).log()).sum() + (q.square() / p).sum().log() / 2


def test_symmetric_tends_to_minus_the_gradient_of_both_directions() -> None:
    case = random_case(5, positions=1, categories=3)
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    case = Case(case.logits, (p / law(case, case.logits)).log())
    wanted = -gradient_of(case, lambda logits: both_directions(p, law(case, logits)))
    # In the limit exactly, with its factor.
    found = make_estimator("symmetric").over_alternatives(case.log_prob(case.logits), case.log_ratio[None])
    torch.testing.assert_close(found[:, None], wanted, **TIGHT)
    errors = [float((exact_moments(case, draws, symmetric)[0] - wanted).norm() / wanted.norm()) for draws in (2, 4, 8)]
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_symmetric_is_odd_bounded_and_near_jeffreys_where_f_is_small() -> None:
    log_w = torch.randn(6, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(symmetric(-log_w), -symmetric(log_w))
    torch.testing.assert_close(symmetric(log_w + 3), symmetric(log_w), **TIGHT)
    for spread in (1.0, 100.0, 1e300):
        found = symmetric(spread * log_w)
        assert found.abs().max() <= 1
        assert found.sum(0).abs().max() < 1e-12
    small = 1e-3 * log_w
    torch.testing.assert_close(symmetric(small), 2 / 6 * (small - small.mean(0)), rtol=0, atol=1e-7)
    # Of the same direction to first order; rloo's half of jeffreys divides by M - 1.
    angle = torch.cosine_similarity(symmetric(small), jeffreys(small), dim=0)
    assert angle.min() > 1 - 1e-5


# Where the fake term overflows.


EDGES = {"pearson_chi2": 44.0, "kl": 88.0, "squared_hellinger": 177.0, "neyman_chi2": -88.0}
"""The largest F, or the least, in whole numbers, of which h is finite in float32."""


@pytest.mark.parametrize("name", DIVERGENCES)
def test_within_the_range_of_float32_every_fake_term_gives_finite_advantages(name: str) -> None:
    estimator = make_estimator("matched", divergence=get_divergence(name))
    edge = EDGES.get(name, 3e38)
    log_w = torch.tensor([[edge, edge], [0.0, edge], [-1.0, 0.5]])
    assert estimator(log_w).isfinite().all()
    assert estimator(log_w)[0, 0] * edge > 0, "a larger F has a larger advantage"
    found = estimator.over_alternatives(torch.full((2, 3), 1 / 3).log(), log_w.T)
    assert found.isfinite().all()
    other = estimator(torch.tensor([[0.0], [-50.0 if edge > 0 else 50.0], [2.0]]))
    assert other.isfinite().all(), "on the other side h is bounded, or linear"
    if name in EDGES:
        beyond = torch.tensor([[edge + (1 if edge > 0 else -1), 0.0], [0.0, 0.1], [-1.0, 0.5]])
        assert estimator(beyond)[:, 0].isnan().all()
        assert estimator(beyond)[:, 1].isfinite().all(), "the other latent"


@pytest.mark.parametrize("name", EDGES)
def test_a_step_whose_fake_terms_overflow_is_refused_and_moves_nothing(name: str) -> None:
    generator = TableGenerator(torch.zeros(1, 2))
    both = players(generator, TableDiscriminator(torch.tensor([0.0, 3 * EDGES[name]])))
    divergence = get_divergence(name)
    game = Game(make_estimator("matched", divergence=divergence), num_draws=4, divergence=divergence)
    with pytest.raises(NonFiniteError, match="generator's loss is"):
        generator_step(game, both, torch.zeros(8, 1), rng=torch.Generator().manual_seed(0))
    assert torch.equal(generator.logits, torch.zeros(1, 2))


def test_what_is_no_choice_may_have_any_f() -> None:
    log_q = torch.log_softmax(torch.tensor([0.3, -0.2, torch.finfo(torch.float32).min / 2]), -1)
    for name, edge in EDGES.items():
        estimator, log_w = make_estimator("matched", divergence=get_divergence(name)), torch.tensor([1.0, -1.0])
        for escort in (1.0, 0.5):
            found = estimator.over_alternatives(log_q, torch.cat([log_w, torch.tensor([10 * edge])]), escort)
            torch.testing.assert_close(found[:2], estimator.over_alternatives(log_q[:2], log_w, escort))
            assert found[2] == 0
