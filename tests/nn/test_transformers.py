"""Transformers that draw in rounds: normalised, the same in one pass and with memory, the latent in round 0 alone."""

import itertools
import math
from typing import Any

import pytest
import torch
from refusals import refusal
from torch import Tensor

from bgan_discrete import InputError, SampleSpace
from bgan_discrete.nn.transformers import CausalTransformerGenerator, MaskedTransformerGenerator

P, K, Z = 4, 3, 2
KINDS = [MaskedTransformerGenerator, CausalTransformerGenerator]
SIZES = [None, (2, 3, 2, 1)]
ORDERS = ["left_to_right", "interleaved", "random"]
ROUNDS = range(1, P + 1)

pytestmark = pytest.mark.usefixtures("float64")


def made(
    kind: Any, rounds: int, order: str = "interleaved", sizes: tuple[int, ...] | None = None, **options: Any
) -> Any:
    torch.manual_seed(0)
    space = SampleSpace((P,), K, sizes=sizes)
    generator = kind(space, Z, width=8, depth=2, heads=2, rounds=rounds, order=order, **options)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(std=0.7)
    return generator


def latents(count: int = 5, seed: int = 1) -> Tensor:
    return torch.randn(count, Z, generator=torch.Generator().manual_seed(seed))


def every_code(sizes: tuple[int, ...] | None = None) -> Tensor:
    return torch.tensor(list(itertools.product(*map(range, sizes or (K,) * P))))


def check_session(generator: Any, z: Tensor, labels: Tensor | None = None) -> None:
    """Drawing round by round, with memory, has the logits of one pass, in which later codes do not count."""
    rounds, codes = generator(z, labels).rounds, every_code(generator.space.sizes)
    complete = codes[torch.randint(len(codes), (len(z),), generator=torch.Generator().manual_seed(4))]
    drawn = torch.full((len(z), P), K)
    with torch.no_grad():
        session = generator.session(z, labels, rounds)
        for s in range(int(rounds.max()) + 1):
            positions = (rounds == s).nonzero()[:, 0]
            wanted = generator.logits(drawn, z, labels, rounds, positions)
            assert torch.allclose(session(drawn, s), wanted, atol=1e-12)
            if generator.is_causal:
                in_one_pass = generator.logits(complete, z, labels, rounds, positions)
                assert torch.allclose(wanted, in_one_pass, atol=1e-12)
            drawn[:, positions] = complete[:, positions]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_sum_to_one_and_drawing_remembers_what_one_pass_computes(
    kind: Any, sizes: tuple[int, ...] | None, order: str, rounds: int
) -> None:
    generator, codes, z = made(kind, rounds, order, sizes), every_code(sizes), latents()
    distribution = generator(z)
    log_prob = distribution.log_prob(codes[:, None].expand(-1, 5, -1))
    assert torch.allclose(log_prob.exp().sum(0), torch.ones(5), atol=1e-12)
    mixture = torch.logsumexp(log_prob, 1) - math.log(5)
    assert torch.allclose(distribution.mixture_log_prob(codes), mixture, atol=1e-11)
    check_session(generator, z)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_latent_counts_in_round_0_alone(kind: Any, rounds: int) -> None:
    generator = made(kind, rounds)
    codes = every_code()[:20]
    first, second = latents(1, seed=1).expand(20, -1), latents(1, seed=2).expand(20, -1)
    for s in range(rounds):
        one = generator(first).at_round(s, prefix=codes).log_probs
        other = generator(second).at_round(s, prefix=codes).log_probs
        is_of_round = generator(first).rounds == s
        difference = (one - other)[:, is_of_round].abs()
        if s == 0:
            assert difference.amax((1, 2)).min() > 1e-3
            assert difference.amax(2).min() > 1e-3, "of every position"
        else:
            assert difference.max() == 0
    with torch.no_grad():
        sessions = [generator.session(z, None, generator(z).rounds) for z in (first, second)]
        drawn = torch.full((20, P), K)
        for s in range(rounds):
            ours, theirs = (session(drawn, s) for session in sessions)
            assert torch.equal(ours, theirs) == (s > 0)
            positions = (generator(first).rounds == s).nonzero()[:, 0]
            drawn[:, positions] = codes[:, positions]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_takes_part_in_every_pass(
    kind: Any, sizes: tuple[int, ...] | None, classes: int | None, rounds: int
) -> None:
    # Several processes wait for the gradients of all parameters, whatever round each of them plays.
    generator = made(kind, rounds, sizes=sizes, num_classes=classes)
    labels = None if classes is None else torch.tensor([0, 2, 1, 1, 0])
    codes = every_code(sizes)[:5]
    for s in range(rounds):
        generator.zero_grad()
        of_round = generator(latents(), labels).at_round(s, prefix=codes)
        of_round.log_prob(of_round.sample(2)).sum().backward()
        assert all(parameter.grad is not None for parameter in generator.parameters())
    generator.zero_grad()
    generator(latents(), labels).estimated_log_prob(codes, labels).sum().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())
    # Over all rounds, and samples, there is something to learn for each of them, but for codes that cannot be seen.
    every = every_code(sizes)
    of_samples = None if classes is None else torch.arange(len(every)) % classes
    z = latents(len(every))
    generator.zero_grad()
    for s in range(rounds):
        of_round = generator(z, of_samples).at_round(s, prefix=every)
        weights = torch.randn(len(every), generator=torch.Generator().manual_seed(3))
        (of_round.log_prob(every[None])[0] @ weights).backward()
    for name, parameter in generator.named_parameters():
        looks = ("embed" in name and "label" not in name) or name == "slopes"
        sees_itself = generator.is_causal and rounds == 1  # nothing held is ever looked at
        if not (looks and sees_itself) and not (name == "slopes" and sizes is not None):  # columns have no distance
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("rounds", [1, 2, P])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_count_in_every_round(kind: Any, rounds: int) -> None:
    generator = made(kind, rounds, num_classes=3)
    codes, z = every_code(), latents(1).expand(3, -1)
    labels = torch.arange(3)
    distribution = generator(z, labels)
    log_prob = distribution.log_prob(codes[:, None].expand(-1, 3, -1))
    assert torch.allclose(log_prob.exp().sum(0), torch.ones(3), atol=1e-12)
    for label in range(3):
        of_class = torch.full((len(codes),), label)
        assert torch.allclose(distribution.mixture_log_prob(codes, of_class), log_prob[:, label], atol=1e-11)
    for s in range(rounds):
        of_round = distribution.at_round(s, prefix=codes[:1].expand(3, -1))
        found = of_round.log_probs[:, distribution.rounds == s]
        assert (found[0] - found[1]).abs().amax(-1).min() > 1e-3
        assert (found[0] - found[2]).abs().amax(-1).min() > 1e-3
    check_session(generator, z, labels)
    assert "this generator must be given labels" in refusal(lambda: generator(z))


@pytest.mark.parametrize("rounds", [2, P])
@pytest.mark.parametrize("kind", KINDS)
def test_another_order_is_set_and_saved_with_the_weights(kind: Any, rounds: int) -> None:
    generator, codes, ranks = made(kind, rounds), every_code(), torch.tensor([3, 1, 0, 2])
    z = latents()
    before = generator(z).mixture_log_prob(codes)
    given = ranks.clone()
    generator.set_order(given)
    given.zero_()  # it is the caller's
    distribution = generator(z)
    assert torch.equal(distribution.ranks, ranks)
    after = distribution.mixture_log_prob(codes)
    assert (before - after).abs().max() > 1e-3
    assert torch.allclose(after.exp().sum(), torch.ones(()), atol=1e-12)
    assert distribution.rounds.tolist() == ([1, 0, 0, 1] if rounds == 2 else ranks.tolist())
    check_session(generator, z)  # this order is not the inverse of itself
    again = kind.from_settings(generator.settings).double()
    assert not torch.equal(again.ranks, ranks)
    again.load_state_dict(generator.state_dict())
    assert torch.equal(again.ranks, ranks)
    assert torch.equal(again(z).mixture_log_prob(codes), after)
    for wrong in ([0, 1, 2], [0, 1, 2, 2], [1, 2, 3, 4]):
        with pytest.raises(InputError, match=r"ranks must be a permutation of 0 .. 3, got \["):
            generator.set_order(torch.tensor(wrong))
    assert torch.equal(generator.ranks, ranks)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_start_at_given_distributions(kind: Any, sizes: tuple[int, ...] | None) -> None:
    generator = made(kind, 2, sizes=sizes)
    log_frequencies = torch.randn(P, K).log_softmax(-1)
    generator.set_output_bias(log_frequencies)
    with torch.no_grad():
        generator.to_logits.weight.zero_()
    for s in range(2):
        of_round = generator(latents()).at_round(s, prefix=every_code(sizes)[:5])
        for position in of_round.is_drawn[0].nonzero()[:, 0].tolist():
            limit = K if sizes is None else sizes[position]
            wanted = log_frequencies[position, :limit].softmax(0)
            assert torch.allclose(of_round.log_probs[0, position].exp()[:limit], wanted, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_look_near_at_first_but_one(kind: Any) -> None:
    settings: dict[str, Any] = {"latent_size": Z, "width": 8, "depth": 2, "heads": 4, "rounds": 2}
    generator = kind(SampleSpace((2, 3), K), **settings)
    # Steps along both axes from each place to the first one and to that in the middle below; the last is none.
    steps = torch.tensor([[0, 2, 0], [1, 1, 0], [2, 2, 0], [1, 1, 0], [2, 0, 0], [3, 1, 0]])
    wanted = torch.stack([-slope * steps for slope in (1.0, 0.5, 0.25, 0.0)])
    bias = generator._bias(torch.arange(6), torch.tensor([0, 4, 6]))
    assert torch.equal(bias, wanted.expand(2, -1, -1, -1))
    columns = kind(SampleSpace((3,), K, sizes=(3, 2, 3)), **settings)
    assert (columns._bias(torch.arange(3), torch.arange(3)) == 0).all(), "columns have no distance"


@pytest.mark.parametrize("kind", KINDS)
def test_settings_that_are_refused(kind: Any) -> None:
    space = SampleSpace((P,), K)
    for options, words in (
        ({"width": 9, "heads": 2}, "width must be a multiple of heads = 2, got 9"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"rounds": 5}, "rounds must be between 1 and the 4 positions of a sample, got 5"),
        ({"cut": "thirds"}, "cut must be 'halving', 'equal' or sizes such as 4,4,8,16, got 'thirds'"),
        ({"order": "up"}, "order must be one of"),
        ({"latent_kind": "cosy"}, "latent_kind must be one of"),
    ):
        with pytest.raises(InputError, match=words):
            kind(space, **options)
    given = kind(space, cut=(1, 1, 2), rounds=3)
    assert kind.from_settings(given.settings).sizes == (1, 1, 2)
