"""The convolutional network of images that are drawn in rounds: any size, classes, fixed pixels, the latent."""

import pytest
import torch

from bgan_discrete.errors import InputError
from bgan_discrete.nn.unet import MaskedConvGenerator
from bgan_discrete.space import SampleSpace

SHAPES = [(8, 8), (9, 13), (28, 28), (8, 40), (3, 16, 16), (1, 11, 8), (2, 33, 17)]


def _generator(event_shape: tuple[int, ...] = (8, 8), categories: int = 3, **settings) -> MaskedConvGenerator:
    torch.manual_seed(0)
    return MaskedConvGenerator(SampleSpace(event_shape, categories), latent_size=5, width=4, **settings)


def _logits(generator: MaskedConvGenerator, codes: torch.Tensor, latents: torch.Tensor, **options) -> torch.Tensor:
    rounds = torch.zeros(codes.shape[1], dtype=torch.long)
    return generator.logits(codes, latents, options.pop("labels", None), rounds, **options)


def _partly_hidden(generator: MaskedConvGenerator, samples: int) -> torch.Tensor:
    num_positions, num_categories = generator.space.num_positions, generator.space.num_categories
    codes = torch.randint(num_categories, (samples, num_positions))
    return codes.masked_fill(torch.rand(codes.shape) < 0.5, num_categories)


@pytest.mark.parametrize("event_shape", SHAPES)
@pytest.mark.parametrize(
    ("categories", "ordered", "depth"), [(2, False, 1), (5, True, 2), (5, False, 1), (40, False, 1)]
)
def test_any_size_and_all_parameters_take_part(
    event_shape: tuple[int, ...], categories: int, ordered: bool, depth: int
) -> None:
    space = SampleSpace(event_shape, categories, ordered=ordered)
    generator = MaskedConvGenerator(space, latent_size=5, width=4, depth=depth)
    codes = _partly_hidden(generator, 3)
    for visible in (codes, torch.full_like(codes, categories)):
        logits = _logits(generator, visible, torch.randn(3, 5))
        assert logits.shape == (3, space.num_positions, categories)
        generator.zero_grad()
        logits.square().sum().backward()
        without = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert without == []
    silent = [name for name, p in generator.named_parameters() if not p.grad.abs().sum() > 0]
    assert silent == [], "where nothing is visible, the latent counts too"


@pytest.mark.parametrize("event_shape", [(8, 8), (9, 13), (3, 8, 10)])
@pytest.mark.parametrize("num_rounds", [1, 4, 64])
def test_samples_keep_what_is_fixed(event_shape: tuple[int, ...], num_rounds: int) -> None:
    generator = _generator(event_shape, num_classes=4)
    labels = torch.tensor([0, 3])
    distribution = generator(torch.randn(2, 5), labels).in_rounds(num_rounds)
    fixed = _partly_hidden(generator, 2).view(2, *event_shape)
    codes = distribution.sample(3, torch.Generator().manual_seed(0), fixed=fixed)
    assert codes.shape == (3, 2, *event_shape) and codes.max() < 3
    assert torch.equal(torch.where(fixed == 3, 3, codes), fixed.expand(3, *fixed.shape))
    assert distribution.log_prob(codes).shape == (3, 2)
    assert torch.isfinite(distribution.log_prob(codes)).all()


def test_the_latent_counts_where_all_is_hidden_alone() -> None:
    generator = _generator((9, 13))
    first, second = torch.randn(2, 1, 5)
    hidden = torch.full((1, 117), 3)
    assert not torch.allclose(_logits(generator, hidden, first), _logits(generator, hidden, second))
    one_visible = hidden.clone()
    one_visible[0, 116] = 0
    torch.testing.assert_close(_logits(generator, one_visible, first), _logits(generator, one_visible, second))


def test_every_pixel_looks_at_every_visible_one() -> None:
    generator = _generator((16, 20))
    latents = torch.zeros(1, 5)
    codes = torch.full((1, 320), 3)
    codes[0, 0] = 0
    changed = codes.clone()
    changed[0, 0] = 1
    difference = (_logits(generator, codes, latents) - _logits(generator, changed, latents)).abs().sum(-1)
    assert (difference > 1e-7).all()


def test_what_is_seen_on_the_way_down_is_seen_on_the_way_up() -> None:
    generator = _generator((16, 20))
    with torch.no_grad():  # nothing comes from the coarsest maps
        for parameter in generator.grow.parameters():
            parameter.zero_()
    codes = _partly_hidden(generator, 1)
    changed = codes.clone()
    changed[0, 0] = (codes[0, 0] + 1) % 3
    latents = torch.zeros(1, 5)
    assert not torch.equal(_logits(generator, codes, latents), _logits(generator, changed, latents))


def test_labels_make_a_difference_once_they_are_learnt() -> None:
    generator = _generator(num_classes=4)
    codes, latents = _partly_hidden(generator, 2), torch.randn(2, 5)
    labels = [torch.tensor([0, 0]), torch.tensor([0, 3])]
    same = [_logits(generator, codes, latents, labels=label) for label in labels]
    assert torch.equal(*same), "a class makes no difference at first"
    with torch.no_grad():
        generator.get_submodule("after.normalize.0").of_class.weight.normal_()
    one, other = (_logits(generator, codes, latents, labels=label) for label in labels)
    torch.testing.assert_close(one[0], other[0])
    assert not torch.allclose(one[1], other[1])
    with pytest.raises(InputError, match="must be given labels, one a sample"):
        generator(latents)


def test_a_session_and_asked_positions_give_the_same_logits() -> None:
    generator = _generator((2, 9, 8), rounds=4)
    codes, latents = _partly_hidden(generator, 3), torch.randn(3, 5)
    distribution = generator(latents)
    everywhere = generator.logits(codes, latents, None, distribution.rounds)
    session = generator.session(latents, None, distribution.rounds)
    for s in range(4):
        positions = (distribution.rounds == s).nonzero()[:, 0]
        assert torch.equal(session(codes, s), everywhere[:, positions])
        assert torch.equal(generator.logits(codes, latents, None, distribution.rounds, positions), session(codes, s))


def test_the_pixels_of_a_patch_and_their_logits_are_where_they_belong() -> None:
    generator = _generator((2, 9, 13), categories=3)
    maps = torch.arange(2 * 4 * 3 * 5 * 7, dtype=torch.float).view(1, 24, 5, 7)
    pixels = generator._pixels(maps)
    assert pixels.shape == (1, 2, 9, 13, 3)
    for channel, row, column, category in ((0, 0, 0, 0), (1, 8, 12, 2), (1, 3, 4, 1), (0, 6, 5, 2)):
        inside = 2 * (row % 2) + column % 2
        wanted = maps[0, (4 * channel + inside) * 3 + category, row // 2, column // 2]
        assert pixels[0, channel, row, column, category] == wanted


def test_it_starts_at_the_datas_frequencies_and_is_built_again_from_its_settings() -> None:
    generator = _generator((8, 9), rounds=4)
    frequencies = torch.softmax(2 * torch.randn(8, 9, 3), -1)
    generator.set_output_bias(frequencies.log())
    hidden = torch.full((16, 72), 3)
    logits = _logits(generator, hidden, torch.randn(16, 5))
    torch.testing.assert_close(logits.softmax(-1).mean(0).view(8, 9, 3), frequencies, atol=0.05, rtol=0)
    again = MaskedConvGenerator.from_settings(generator.settings)
    again.load_state_dict(generator.state_dict())
    assert torch.equal(_logits(again, hidden, torch.ones(16, 5)), _logits(generator, hidden, torch.ones(16, 5)))


@pytest.mark.parametrize(
    ("shape", "settings", "words"),
    [
        ((7, 8), {}, "at least 8x8 pixels"),
        ((64,), {}, r"\(H, W\) or \(C, H, W\), got \(64,\)"),
        ((8, 8), {"width": 0}, "width must be at least 1, got 0"),
        ((8, 8), {"rounds": 65}, "rounds must be between 1 and the 64 positions"),
        ((8, 8), {"order": "spiral"}, "order must be one of"),
    ],
)
def test_bad_settings(shape: tuple[int, ...], settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        MaskedConvGenerator(SampleSpace(shape, 2), **settings)
