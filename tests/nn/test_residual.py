"""Residual perceptrons that draw in rounds: proper distributions in any order and cut, and who sees what."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.nn import residual
from bgan_discrete.nn.residual import CausalMLPGenerator, MaskedMLPGenerator
from bgan_discrete.space import SampleSpace

BOTH = [MaskedMLPGenerator, CausalMLPGenerator]
SIZES = [None, (2, 3, 2, 1)]
SHAPES = [(7,), (3, 2), (2, 3, 2)]


@pytest.fixture(params=[(1024, 8), (2, 8), (1024, 2)], ids=["narrow", "wide", "scales"])
def wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """From how many codes on a position's rows and weights are products of factors, or those of a scale have more."""
    wide_from, smooth_from = request.param
    monkeypatch.setattr(residual, "WIDE", wide_from)
    monkeypatch.setattr(residual, "FACTORS", 3)
    monkeypatch.setattr(residual, "SMOOTH_FROM", smooth_from)
    return int(wide_from)


def any_weights(generator: torch.nn.Module) -> None:
    """Weights of which none is zero, so that whatever may be seen is seen."""
    torch.manual_seed(0)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.7)


def build(build_class: type, sizes: tuple[int, ...] | None, rounds: int, order: str = "random", **settings):
    generator = build_class(
        SampleSpace((4,), 3, sizes, scales=(2, 3, 0, 0)), 2, width=9, depth=2, rounds=rounds, order=order, **settings
    ).double()
    assert (generator.scales is None) == (residual.SMOOTH_FROM > 3 or (residual.WIDE == 2 and sizes is None))
    any_weights(generator)
    return generator


def all_samples(sizes: tuple[int, ...] | None) -> Tensor:
    return torch.tensor(list(itertools.product(*(range(size) for size in sizes or (3,) * 4))))


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("build_class", BOTH)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("order", ["left_to_right", "interleaved", "random"])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
def test_probabilities_sum_to_one_and_a_mixture_is_their_mean(build_class, sizes, order: str, rounds: int) -> None:
    generator = build(build_class, sizes, rounds, order)
    samples = all_samples(sizes)
    distribution = generator(torch.randn(5, 2).double())
    log_prob = distribution.log_prob(samples[:, None].expand(-1, 5, -1))
    torch.testing.assert_close(log_prob.exp().sum(0), torch.ones(5).double())
    torch.testing.assert_close(distribution.mixture_log_prob(samples), log_prob.logsumexp(1) - math.log(5))


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("build_class", BOTH)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
@pytest.mark.parametrize("num_classes", [None, 2])
def test_drawing_with_memory_gives_the_same_logits(build_class, sizes, rounds: int, num_classes) -> None:
    generator = build(build_class, sizes, rounds, num_classes=num_classes)
    generator.set_order(torch.tensor([2, 0, 3, 1]))
    latents, labels = torch.randn(6, 2).double(), None if num_classes is None else torch.arange(6) % 2
    round_numbers = generator(latents, labels).rounds
    samples, codes = all_samples(sizes)[-6:], torch.full((6, 4), 3)
    with torch.no_grad():
        session = generator.session(latents, labels, round_numbers)
        for s in range(rounds):
            positions = (round_numbers == s).nonzero()[:, 0]
            there = [slice(0, size) for size in (sizes or (3,) * 4)]
            asked = session(codes, s)
            every = generator.logits(codes, latents, labels, round_numbers)
            some = generator.logits(codes, latents, labels, round_numbers, positions)
            torch.testing.assert_close(asked, some)
            for row, p in enumerate(positions.tolist()):
                torch.testing.assert_close(asked[:, row, there[p]], every[:, p, there[p]])
                assert not asked[:, row, there[p].stop :].any()
            codes[:, positions] = samples[:, positions]


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
def test_a_causal_network_sees_all_rounds_before_and_nothing_else(rounds: int) -> None:
    generator = build(CausalMLPGenerator, None, rounds)
    latents = torch.randn(1, 2).double()
    for order in ([3, 1, 0, 2], [0, 1, 2, 3]):
        generator.set_order(torch.tensor(order))
        of_position = generator(latents).rounds
        codes = torch.randint(3, (1, 4))
        before = generator.logits(codes, latents, None, of_position)
        for p in range(4):
            changed = codes.clone()
            changed[:, p] = (codes[:, p] + 1) % 3
            moves = (generator.logits(changed, latents, None, of_position) - before).abs().amax((0, 2)) > 1e-9
            assert moves.tolist() == (of_position > of_position[p]).tolist()
        moves = (generator.logits(codes, latents + 1, None, of_position) - before).abs().amax((0, 2)) > 1e-9
        assert moves.tolist() == (of_position == 0).tolist()


def test_a_masked_network_has_its_latent_where_nothing_is_visible() -> None:
    generator = build(MaskedMLPGenerator, None, 2)
    latents = torch.randn(1, 2).double()
    codes = torch.full((1, 4), 3)
    for is_blank in (True, False):
        codes[0, 1] = 3 if is_blank else 1
        first, second = (generator.logits(codes, z, None, generator.ranks) for z in (latents, latents + 1))
        assert torch.equal(first, second) is not is_blank


def test_what_is_hidden_differs_from_every_code() -> None:
    sizes = (2, 3, 1, 3)
    generator = build(MaskedMLPGenerator, sizes, 2)
    latents = torch.zeros(1, 2).double()
    for p, size in enumerate(sizes):
        logits = []
        for code in (*range(size), 3):
            codes = torch.zeros(1, 4, dtype=torch.long)
            codes[0, p] = code
            logits.append(generator.logits(codes, latents, None, generator.ranks))
        assert all((one - logits[-1]).abs().max() > 1e-6 for one in logits[:-1])


def test_an_order_that_is_loaded_counts() -> None:
    first, second = build(CausalMLPGenerator, None, 3), build(CausalMLPGenerator, None, 3)
    first.set_order(torch.tensor([1, 3, 0, 2]))
    second.load_state_dict(first.state_dict())
    latents, samples = torch.randn(1, 2).double(), all_samples(None)[:, None]
    torch.testing.assert_close(first(latents).log_prob(samples), second(latents).log_prob(samples))


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("build_class", BOTH)
@pytest.mark.parametrize("event_shape", SHAPES)
@pytest.mark.parametrize("rounds", [1, 2, 6])
def test_all_parameters_learn_for_any_event_shape(build_class, event_shape: tuple[int, ...], rounds: int) -> None:
    num_positions = math.prod(event_shape)
    sizes = tuple(2 + p % 3 for p in range(num_positions))
    generator = build_class(
        SampleSpace(event_shape, 4, sizes=sizes), latent_size=3, width=8, depth=1, rounds=rounds, num_classes=2
    )
    labels = torch.arange(6) % 2
    codes = generator(torch.randn(6, 3), labels).sample(1)[0]
    assert codes.shape == (6, *event_shape)
    distribution = generator(torch.randn(4, 3), labels[:4])
    for loss in (
        distribution.estimated_log_prob(codes, labels).sum(),
        distribution.at_round(0).log_prob(distribution.at_round(0).sample(1)).sum(),
        distribution.at_round(rounds - 1).log_prob(distribution.at_round(rounds - 1).sample(1)).sum(),
    ):
        generator.zero_grad()
        loss.backward()
        without = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert without == []


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("build_class", BOTH)
def test_it_starts_at_given_frequencies_and_is_rebuilt_from_its_settings(build_class) -> None:
    space = SampleSpace((2, 2), 3, sizes=(3, 2, 3, 1))
    generator = build_class(space, latent_size=2, width=64, depth=1, rounds=2, cut=(1, 3))
    frequencies = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.5, 1e-9], [0.1, 0.1, 0.8], [1.0, 1e-9, 1e-9]]).view(2, 2, 3)
    generator.set_output_bias(frequencies.log())
    drawn = generator(torch.randn(3000, 2)).sample(1, torch.Generator().manual_seed(0))[0]
    share = torch.stack([(drawn == k).double().mean(0) for k in range(3)], dim=-1)
    torch.testing.assert_close(share, frequencies.double(), atol=0.1, rtol=0)
    again = build_class.from_settings(generator.settings)
    again.load_state_dict(generator.state_dict())
    assert again.settings == generator.settings and again.sizes == (1, 3)
    with pytest.raises(InputError, match=r"log_frequencies must have shape \[2, 2, 3\], got \[4, 3\]"):
        generator.set_output_bias(frequencies.flatten(0, 1))


def test_a_causal_network_needs_a_unit_for_each_round_and_manages_with_it() -> None:
    space = SampleSpace((111,), 2)
    with pytest.raises(InputError, match="width must be at least rounds = 111, a unit for each, got 110"):
        CausalMLPGenerator(space, width=110, rounds=111)
    generator = CausalMLPGenerator(space, latent_size=2, width=111, depth=1, rounds=111)
    any_weights(generator)
    codes = generator(torch.randn(4, 2)).sample(1)[0]
    of_position = generator(torch.randn(4, 2)).rounds
    before = generator.logits(codes.long(), torch.zeros(4, 2), None, of_position)
    changed = codes.long()
    changed[:, 50] = 1 - changed[:, 50]
    moves = (generator.logits(changed, torch.zeros(4, 2), None, of_position) - before).abs().amax((0, 2)) > 1e-6
    assert not moves[:51].any() and moves[51:].all()


@pytest.mark.parametrize("build_class", BOTH)
@pytest.mark.usefixtures("wide")
def test_log_probabilities_without_padding_are_those_with_it(build_class) -> None:
    sizes = (2, 30, 2, 1)
    space = SampleSpace((4,), 30, sizes=sizes, scales=(0, 28, 0, 0))
    generator = build_class(space, latent_size=2, width=9, depth=2, rounds=2).double()
    any_weights(generator)
    assert generator.is_ragged and (generator.scales is None) == (residual.WIDE == 2)
    assert not build_class(SampleSpace((4,), 30, sizes=(30, 30, 30, 1)), 2, 9, 2, rounds=2).is_ragged
    codes, latents, weights = all_samples((2, 3, 2, 1)), torch.randn(12, 2).double(), torch.randn(12, 4).double()
    codes[:, 1] *= 14
    shown = codes.masked_fill(torch.rand(codes.shape) < 0.4, 30)
    rounds = generator(latents).rounds
    impossible = torch.arange(30) >= torch.tensor(sizes)[:, None]
    padded = generator.logits(shown, latents, None, rounds).masked_fill(impossible, -1e300)
    expected = padded.log_softmax(-1).gather(-1, codes[..., None]).squeeze(-1)
    found = generator.log_probs(shown, codes, latents, None, rounds)
    torch.testing.assert_close(found, expected)
    parameters = list(generator.parameters())
    both = [torch.autograd.grad((of * weights).sum(), parameters, allow_unused=True) for of in (found, expected)]
    for one, other in zip(*both, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other)


def test_a_position_of_many_codes_takes_memory_for_its_factors_alone() -> None:
    with torch.device("meta"):
        generator = CausalMLPGenerator(SampleSpace((3,), 100_000, sizes=(100_000, 5, 3)), width=256, rounds=3)
    weights = sum(parameter.numel() for parameter in generator.parameters())
    assert weights < 100_000 * (2 * 32 + 1) + 500_000


@pytest.mark.parametrize("build_class", BOTH)
@pytest.mark.usefixtures("wide")
def test_a_position_of_a_single_code_has_it_in_every_sample(build_class) -> None:
    generator = build(build_class, (2, 3, 2, 1), rounds=4)
    drawn = generator(torch.randn(50, 2).double()).sample(100).flatten(0, 1)
    assert not drawn[:, 3].any()
    assert len(drawn[:, 1].unique()) == 3


@pytest.mark.parametrize("build_class", BOTH)
def test_what_is_learnt_of_a_code_of_a_scale_is_learnt_of_its_neighbours(build_class) -> None:
    generator = build_class(SampleSpace((2,), 40, sizes=(40, 5), scales=(30, 5)), 2, 16, 1, rounds=2)
    rows, codes = (generator.first_rows.tolist(), generator.first_codes)
    assert [tuple(places[::29].tolist()) for places in (generator.scales.row_places, generator.scales.code_places)] == [
        (rows[0], rows[0] + 29), (codes[0], codes[0] + 29)
    ]  # fmt: skip
    optimizer = torch.optim.SGD(generator.scales.parameters(), 1.0)
    before = generator._output_weight().detach()
    generator._output_weight()[12].sum().backward()
    optimizer.step()
    moved = (generator._output_weight() - before).detach()[:, 0]
    assert moved[12] == moved.min() and (moved[11] < 0.5 * moved[12]) and (moved[13] < 0.5 * moved[12])
    assert not moved[30:].any() and moved[:30].abs()[[0, 5, 25]].max() < 0.5 * moved[12].abs()


@pytest.mark.parametrize("build_class", BOTH)
def test_scales_work_under_autocast(build_class) -> None:
    generator = build_class(SampleSpace((2,), 40, sizes=(40, 5), scales=(30, 5)), 2, 16, 1, rounds=2)
    with torch.autocast("cpu", torch.bfloat16):
        loss = -generator(torch.randn(4, 2)).estimated_log_prob(torch.zeros(4, 2, dtype=torch.uint8)).mean()
    loss.backward()
    assert generator.scales.weights.grad.dtype == torch.float32


def test_scales_of_several_lengths_each_have_their_own_place() -> None:
    lengths = (30, 0, 9, 30)
    generator = CausalMLPGenerator(SampleSpace((4,), 30, sizes=(30, 4, 12, 30), scales=lengths), 2, 16, 1, rounds=4)
    scales, firsts = generator.scales, generator.first_codes
    of_length = sorted((p for p in range(4) if lengths[p]), key=lambda p: lengths[p])
    with torch.no_grad():
        for row, p in enumerate(of_length):  # one function, the constant one, for each position
            scales.weights[row * residual.SMOOTH] = p + 1.0
        added = scales.to_weights(torch.zeros(sum(generator.sizes_of_positions), 1), slice(0, 1))[:, 0]
    for p, length in enumerate(lengths):
        of_position = added[firsts[p] : firsts[p] + generator.sizes_of_positions[p]]
        assert of_position.tolist() == [p + 1.0] * length + [0.0] * (len(of_position) - length)
