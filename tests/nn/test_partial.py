"""Discriminators that see samples of which something is hidden."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from bgan_discrete import Discriminator, SampleSpace
from bgan_discrete.distributions.endings import pad_after_end
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    CodeInput,
    ConvDiscriminator,
    ConvSequenceDiscriminator,
    GRUDiscriminator,
    MLPDiscriminator,
)

L, K = 5, 4
SIZES = (4, 2, 1, 3, 4)
SEQUENCE, COLUMNS, IMAGE = SampleSpace((L,), K), SampleSpace((L,), K, sizes=SIZES), SampleSpace((8, 8), K)
BITS, SCALE = SampleSpace((2, 3), 2), SampleSpace((2, 3), 9, ordered=True)

Make = Callable[..., Discriminator]


def alternatives(context: str, network: str, end: int | None) -> Make:
    space = SampleSpace((L,), K, end_id=end)
    return lambda **partial: AlternativesDiscriminator(space, 8, 2, context, network, **partial)  # type: ignore[arg-type]


def sequence(kind: Any, per_prefix: bool, end: int | None) -> Make:
    return lambda **partial: kind(SampleSpace((L,), K, end_id=end), 8, 2, per_prefix, **partial)


MLPS: dict[str, Make] = {
    "mlp": lambda **partial: MLPDiscriminator(SEQUENCE, 8, 2, **partial),
    "mlp-embedding": lambda **partial: MLPDiscriminator(SEQUENCE, 8, 1, "embedding", **partial),
    "mlp-bits": lambda **partial: MLPDiscriminator(BITS, 8, 2, **partial),
    "mlp-scale": lambda **partial: MLPDiscriminator(SCALE, 8, 2, **partial),
    "mlp-columns": lambda **partial: MLPDiscriminator(COLUMNS, 8, 2, **partial),
}
JUDGES: dict[str, Make] = {
    f"{network}-{context}-{end}": alternatives(context, network, end)
    for network, context, end in itertools.product(("mlp", "conv", "gru"), ("prefix", "rest"), (None, 0, 1))
}
SEQUENCES: dict[str, Make] = {
    f"{kind.__name__}-{per_prefix}-{end}": sequence(kind, per_prefix, end)
    for kind, per_prefix, end in itertools.product(
        (ConvSequenceDiscriminator, GRUDiscriminator), (False, True), (None, 0, 1)
    )
}
IMAGES: dict[str, Make] = {
    "conv": lambda **partial: ConvDiscriminator(IMAGE, 4, **partial),
    "conv-embedding": lambda **partial: ConvDiscriminator(IMAGE, 4, encoding="embedding", **partial),
    "conv-channels": lambda **partial: ConvDiscriminator(SampleSpace((2, 8, 8), 5, ordered=True), 4, **partial),
}
ALL = MLPS | JUDGES | SEQUENCES | IMAGES

pytestmark = pytest.mark.usefixtures("float64")


def made(make: Make, partial: bool = True) -> Discriminator:
    torch.manual_seed(0)
    discriminator = make(partial=partial)
    with torch.no_grad():  # biases, starts and places begin at zero
        for parameter in discriminator.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return discriminator


def whole_codes(space: SampleSpace, count: int = 12) -> Tensor:
    sizes = torch.tensor(space.sizes or (space.num_categories,) * space.num_positions)
    dice = torch.Generator().manual_seed(1)
    codes = (torch.rand(count, space.num_positions, generator=dice) * sizes).long()
    return pad_after_end(codes, space.end_id).view(count, *space.event_shape).to(torch.uint8)


def partly_hidden(space: SampleSpace) -> Tensor:
    codes = whole_codes(space)
    is_hidden = torch.rand(codes.shape, generator=torch.Generator().manual_seed(2)) < 0.4
    codes[is_hidden] = space.num_categories
    codes[0] = space.num_categories
    return codes


def soft(codes: Tensor, categories: int) -> Tensor:
    """One-hots whose rows are zeros where a code is hidden."""
    return one_hot(codes.long(), categories + 1)[..., :categories].double()


@pytest.mark.parametrize("name", ALL)
def test_hidden_codes_are_rows_of_zeros(name: str) -> None:
    discriminator = made(ALL[name])
    codes = partly_hidden(discriminator.space)
    found = discriminator(codes)
    assert found.isfinite().all()
    assert torch.allclose(discriminator(soft(codes, discriminator.space.num_categories)), found, atol=1e-12)
    assert torch.equal(discriminator(codes.long()), found)
    whole = whole_codes(discriminator.space)
    assert torch.allclose(discriminator(soft(whole, discriminator.space.num_categories)), discriminator(whole))


@pytest.mark.parametrize("name", ALL)
def test_what_is_hidden_differs_from_every_code(name: str) -> None:
    discriminator = made(ALL[name])
    space = discriminator.space
    codes = whole_codes(space, 1)
    if space.end_id is not None:
        codes[:] = 2  # nothing has ended
    for position in range(min(space.num_positions, L)):
        hidden = codes.clone()
        hidden.view(1, -1)[0, position] = space.num_categories
        for category in range(space.num_categories if space.sizes is None else space.sizes[position]):
            visible = codes.clone()
            visible.view(1, -1)[0, position] = category
            assert (discriminator(hidden) - discriminator(visible)).abs().max() > 1e-9


@pytest.mark.parametrize("name", ALL)
def test_a_penalty_and_its_gradient_pass_through_what_is_hidden(name: str) -> None:
    discriminator = made(ALL[name])
    codes, other = partly_hidden(discriminator.space), whole_codes(discriminator.space)
    for kind in ("r1", "roth", "wgan_gp"):
        penalty = get_penalty(kind)
        assert penalty is not None
        value = penalty(discriminator, codes, other, discriminator.space.num_categories)
        slopes = torch.autograd.grad(value, list(discriminator.parameters()), allow_unused=True)
        assert all(slope is None or slope.isfinite().all() for slope in slopes)
        assert any(slope is not None and slope.abs().max() > 0 for slope in slopes)


def exchanged(codes: Tensor, position: int, category: int) -> Tensor:
    other = codes.clone()
    other.view(len(codes), -1)[:, position] = category
    return other


@pytest.mark.parametrize("name", MLPS)
def test_alternatives_of_a_visible_code_are_exchanges_one_by_one(name: str) -> None:
    discriminator = made(MLPS[name])
    space = discriminator.space
    codes = partly_hidden(space)
    found = discriminator.alternatives(codes).flatten(1, -2)
    assert found.isfinite().all()
    is_visible = codes.flatten(1) != space.num_categories
    for position, category in itertools.product(range(space.num_positions), range(space.num_categories)):
        rows = is_visible[:, position]
        if space.sizes is not None and category >= space.sizes[position]:
            assert (found[:, position, category] == 0).all()
            continue
        wanted = discriminator(exchanged(codes, position, category))
        assert torch.allclose(found[rows, position, category], wanted[rows], atol=1e-12)


@pytest.mark.parametrize("name", [name for name in JUDGES if name.endswith("None")])
def test_judges_score_exchanges_one_by_one_and_what_is_hidden_as_it_is(name: str) -> None:
    discriminator = made(JUDGES[name])
    codes = partly_hidden(discriminator.space)
    found = discriminator.alternatives(codes)
    assert found.shape == (len(codes), L, K)
    for position in range(L):
        for category in range(K):
            by_judge = discriminator(exchanged(codes, position, category)).view(len(codes), -1, L)
            assert torch.allclose(found[:, position, category], by_judge.mean(1)[:, position], atol=1e-12)
    assert discriminator.sample_log_ratio(codes).isfinite().all()
    hidden = codes == K
    assert hidden.any()
    # F at a hidden position does not look at what is there, and is no F of a code.
    of_hidden = discriminator(codes).view(len(codes), -1, L).mean(1)[hidden]
    assert (of_hidden[:, None] - found[hidden]).abs().min() > 1e-9


@pytest.mark.parametrize("encoding", ["scalar", "cosine", "onehot", "embedding"])
def test_each_encoding_reads_what_is_hidden(encoding: Any) -> None:
    torch.manual_seed(0)
    read, plain = CodeInput(K, encoding, 6, partial=True), CodeInput(K, encoding, 6)
    codes = torch.tensor([[0, 4, 1], [3, 2, 4]], dtype=torch.uint8)
    found = read(codes, 1)
    assert found.shape == (2, 3, read.num_features)
    assert torch.allclose(read(soft(codes, K), 1), found)
    if encoding == "embedding":
        assert read.num_features == plain.num_features
        assert torch.equal(found, read.table.weight[codes.long()])
        return
    assert read.num_features == plain.num_features + 1
    is_hidden = codes == K
    assert torch.equal(found[..., -1], is_hidden.double())
    assert (found[is_hidden][:, :-1] == 0).all()
    assert torch.equal(found[~is_hidden][:, :-1], plain(codes.clamp_max(K - 1), 1)[~is_hidden])
    # Half a code and half hidden, as penalties ask.
    half = (soft(codes, K) + soft(torch.full_like(codes, K), K)) / 2
    nothing = read(torch.full_like(codes, K), 1)
    assert torch.allclose(read(half, 1), (found + nothing) / 2)


@pytest.mark.parametrize("name", ALL)
def test_without_it_nothing_changes(name: str) -> None:
    plain, partial = made(ALL[name], partial=False), made(ALL[name])
    assert not plain.partial
    assert partial.partial
    ours, theirs = plain.state_dict(), partial.state_dict()
    assert list(ours) == list(theirs)
    # Only rows and columns of what is hidden are new: without them the partial one is the plain one.
    space = plain.space
    codes = whole_codes(space)
    for key, weight in theirs.items():
        if weight.shape != ours[key].shape:
            assert sum(a != b for a, b in zip(weight.shape, ours[key].shape, strict=True)) == 1
    torch.manual_seed(0)
    default = ALL[name]()
    torch.manual_seed(0)
    assert torch.equal(default(codes), ALL[name](partial=False)(codes))


def test_one_hots_of_positions_of_different_sizes_have_a_hidden_one_each() -> None:
    discriminator = made(MLPS["mlp-columns"])
    first = next(discriminator.parameters())
    assert first.shape == (8, sum(SIZES) + L)
    plain = made(MLPS["mlp-columns"], partial=False)
    state = discriminator.state_dict()
    key = next(key for key, weight in state.items() if weight is not None and weight.shape == first.shape)
    plain.load_state_dict(state | {key: state[key][:, : sum(SIZES)]})
    codes = whole_codes(COLUMNS)
    assert torch.allclose(plain(codes), discriminator(codes))
    assert torch.allclose(plain.alternatives(codes), discriminator.alternatives(codes))


def test_images_of_a_class_may_be_partly_hidden() -> None:
    torch.manual_seed(0)
    discriminator = ConvDiscriminator(IMAGE, 4, num_classes=3, partial=True)
    codes, labels = partly_hidden(IMAGE), torch.arange(12) % 3
    found = discriminator(codes, labels)
    assert torch.allclose(discriminator(soft(codes, K), labels), found, atol=1e-12)
    assert (found - discriminator(codes, (labels + 1) % 3)).abs().min() > 0
