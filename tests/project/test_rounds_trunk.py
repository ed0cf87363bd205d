"""The discriminator with a generator's trunk: what it reads, its penalty's gradient, and whose weights it takes."""

import importlib
from typing import Any

import pytest
import torch
from refusals import refusal
from torch import Tensor
from torch.nn.functional import one_hot

from bgan_discrete import SampleSpace
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.nn.transformers import MaskedTransformerGenerator

TransformerDiscriminator: Any = importlib.import_module("experiments.rounds_trunk").TransformerDiscriminator

P, K = 6, 4
SIZES = (4, 2, 3, 4, 2, 4)
SPACES = {
    "sequence": SampleSpace((P,), K),
    "plane": SampleSpace((2, 3), K),
    "columns": SampleSpace((P,), K, sizes=SIZES),
}
NETWORK: dict[str, Any] = {"width": 8, "depth": 2, "heads": 2}

pytestmark = pytest.mark.usefixtures("float64")


def made(space: SampleSpace, partial: bool = True, num_classes: int | None = None) -> Any:
    torch.manual_seed(0)
    discriminator = TransformerDiscriminator(space, num_classes=num_classes, partial=partial, **NETWORK)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.normal_(std=0.5)
    return discriminator


def codes_of(space: SampleSpace, partial: bool = True, count: int = 8) -> Tensor:
    dice = torch.Generator().manual_seed(1)
    sizes = torch.tensor(space.sizes or (K,) * P)
    codes = (torch.rand(count, P, generator=dice) * sizes).to(torch.uint8)
    if partial:
        codes[torch.rand(codes.shape, generator=dice) < 0.4] = K
        codes[0] = K
    return codes.view(count, *space.event_shape)


def soft(codes: Tensor) -> Tensor:
    """One-hots whose rows are zeros where a code is hidden."""
    return one_hot(codes.long(), K + 1)[..., :K].double()


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_soft_one_hots_are_their_codes(name: str, partial: bool) -> None:
    discriminator, codes = made(SPACES[name], partial), codes_of(SPACES[name], partial)
    found = discriminator(codes)
    assert found.shape == (8,) and found.isfinite().all() and len(found.unique()) == 8
    assert torch.allclose(discriminator(soft(codes)), found, atol=1e-12)
    assert torch.equal(discriminator(codes.long()), found)


def test_every_position_counts_whether_visible_or_hidden() -> None:
    discriminator = made(SPACES["sequence"])
    codes = codes_of(SPACES["sequence"], partial=False, count=1)
    for position in range(P):
        other = codes.repeat(K + 1, 1)
        other[:, position] = torch.arange(K + 1)
        assert len(discriminator(other).unique()) == K + 1


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_the_loss_and_its_penalty_move_all_parameters(name: str, partial: bool) -> None:
    discriminator, codes = made(SPACES[name], partial, num_classes=3), codes_of(SPACES[name], partial)
    labels, parameters = torch.arange(4) % 3, dict(discriminator.named_parameters())
    if name == "columns":  # which have no distance
        del parameters["slopes"]
    for samples in (codes, soft(codes)):
        slopes = torch.autograd.grad(discriminator(samples, labels).square().sum(), list(parameters.values()))
        assert all(slope.abs().max() > 0 for slope in slopes)
    penalty = get_penalty("r1")
    assert penalty is not None
    value = penalty(lambda x: discriminator(x, labels), codes, codes, K)
    assert value > 0
    # The head is linear in pieces, so that F's slope in the sample does not depend on what is added there.
    for key in ("norm.bias", "to_log_ratio.0.bias", "to_log_ratio.2.bias"):
        del parameters[key]
    slopes = torch.autograd.grad(value, list(parameters.values()))
    assert all(slope.isfinite().all() and slope.abs().max() > 0 for slope in slopes)


def test_a_penalty_s_gradient_is_that_of_differences() -> None:
    discriminator, codes = made(SPACES["plane"]), codes_of(SPACES["plane"])
    penalty, weight = get_penalty("r1"), discriminator.place
    assert penalty is not None
    (slope,) = torch.autograd.grad(penalty(discriminator, codes, codes, K), weight)
    step, direction = 1e-5, torch.randn_like(weight)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * step * direction)
        values.append(penalty(discriminator, codes, codes, K).item())
        with torch.no_grad():
            weight.sub_(sign * step * direction)
    assert (slope * direction).sum().item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


def test_labels_repeat_over_the_draws() -> None:
    discriminator, codes = made(SPACES["sequence"], num_classes=3), codes_of(SPACES["sequence"])
    labels = torch.tensor([0, 2, 1, 0], dtype=torch.uint8)
    assert torch.equal(discriminator(codes, labels), discriminator(codes, labels.repeat(2)))
    assert (discriminator(codes, labels) != discriminator(codes, (labels + 1) % 3)).all()
    assert "labels" in refusal(lambda: discriminator(codes))


@pytest.mark.parametrize("name", SPACES)
def test_it_starts_near_0_from_the_trunk_of_a_generator(name: str) -> None:
    space = SPACES[name]
    torch.manual_seed(0)
    generator = MaskedTransformerGenerator(space, 2, rounds=2, num_classes=3, **NETWORK)
    discriminator = TransformerDiscriminator(space, num_classes=3, partial=True, **NETWORK)
    head = {key: weight.clone() for key, weight in discriminator.to_log_ratio.state_dict().items()}
    discriminator.start_from(generator)
    theirs = generator.state_dict()
    for key, weight in discriminator.state_dict().items():
        wanted = head[key.removeprefix("to_log_ratio.")] if key.startswith("to_log_ratio.") else theirs[key]
        assert torch.equal(weight, wanted), key
    codes, labels, z = codes_of(space), torch.arange(8) % 3, torch.zeros(8, 2)
    assert discriminator(codes, labels).abs().max() < 0.05
    # The same features: with a latent of nothing, and the generator's output as its head.
    with torch.no_grad():
        generator.project_latent.bias.zero_()
    features: list[Tensor] = []
    for network in (generator, discriminator):
        network.norm.register_forward_hook(lambda _, __, x: features.append(x))
    generator.logits(codes.flatten(1).long(), z, labels, generator(z, labels).rounds)
    discriminator(codes, labels)
    assert torch.allclose(features[0], features[1], atol=1e-12)
    with torch.no_grad():
        generator.place.zero_()
    assert discriminator.place.abs().max() > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [({"width": 4}, "place"), ({"depth": 1}, "slopes"), ({"depth": 3}, "slopes"), ({"heads": 4}, "slopes"),
     ({"num_classes": 3}, "num_classes"), ({"space": SampleSpace((P,), 5)}, "embed.weight")],
)  # fmt: skip
def test_another_trunk_is_refused(change: dict[str, Any], named: str) -> None:
    discriminator = made(SPACES["sequence"])
    before = {key: weight.clone() for key, weight in discriminator.state_dict().items()}
    space = change.pop("space", SPACES["sequence"])
    generator = MaskedTransformerGenerator(space, 2, **{**NETWORK, **change})
    message = refusal(lambda: discriminator.start_from(generator))
    assert message.startswith("generator must have") and named in message
    assert all(torch.equal(weight, before[key]) for key, weight in discriminator.state_dict().items())


def test_bad_sizes_are_refused() -> None:
    space = SPACES["sequence"]
    assert (
        refusal(lambda: TransformerDiscriminator(space, 6, heads=4)) == "width must be a multiple of heads = 4, got 6"
    )
    assert "depth" in refusal(lambda: TransformerDiscriminator(space, 8, depth=0))
