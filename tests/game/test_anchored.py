"""Anchored discriminators: what they add to a network, by enumeration, and what they leave alone."""

import itertools

import pytest
import torch
from refusals import refusal
from small_training import SPACE
from tabled_rounds import BITS, TabledRatios, TabledRounds

from bgan_discrete import MLPDiscriminator, MLPGenerator, SampleSpace
from bgan_discrete.game.anchored import AnchoredDiscriminator

pytestmark = pytest.mark.usefixtures("float64")

SAMPLES = list(itertools.product(range(2), repeat=3))


@pytest.mark.parametrize(("sizes", "causal"), [((1, 2), True), ((1, 1, 1), False)])
def test_it_adds_the_exact_ratio_of_start_and_generator(sizes: tuple[int, ...], causal: bool) -> None:
    generator = TabledRounds(SampleSpace((3,), 2), sizes, (2, 0, 1), causal)
    network = TabledRatios(generator.space, {x: 0.1 * i for i, x in enumerate(SAMPLES)})
    anchored = AnchoredDiscriminator(network, generator)
    anchored._latents = BITS  # the two that there are
    codes = torch.tensor(SAMPLES)
    assert torch.allclose(anchored(codes), network(codes))  # nothing has moved
    before = generator.law()
    with torch.no_grad():
        generator.table += torch.randn(generator.table.shape, generator=torch.Generator().manual_seed(1))
    after = generator.law()
    since = torch.tensor([(before[x] / after[x]).log().item() for x in SAMPLES])
    assert torch.allclose(anchored(codes), network(codes) + since, atol=1e-12)
    anchored.begin_from(generator)
    assert torch.allclose(anchored(codes), network(codes))
    assert [name for name, _ in anchored.named_parameters()] == ["network.weight"]


def test_soft_one_hots_are_the_networks_alone_and_others_are_refused() -> None:
    generator = TabledRounds(SampleSpace((6,), 3), (2, 4))
    network = MLPDiscriminator(SPACE, width=8, depth=1, partial=True)
    one_hots = torch.rand(4, 6, 3)
    assert torch.equal(AnchoredDiscriminator(network, generator)(one_hots), network(one_hots))
    assert "exact" in refusal(lambda: AnchoredDiscriminator(MLPDiscriminator(SPACE), MLPGenerator(SPACE, 2)))
