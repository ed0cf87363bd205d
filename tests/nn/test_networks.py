"""Generators and discriminators: any size, any K, every way to read codes, the start at the data's frequencies."""

import json
import warnings

import pytest
import torch

from bgan_discrete.errors import InputError
from bgan_discrete.nn import ConvDiscriminator, ConvGenerator, MLPDiscriminator, MLPGenerator, images
from bgan_discrete.nn.images import convolve_doubled, image_sizes
from bgan_discrete.nn.inputs import CodeInput, default_encoding
from bgan_discrete.space import SampleSpace

SHAPES = [(8, 8), (9, 13), (28, 28), (8, 40), (3, 16, 16), (1, 11, 8), (2, 33, 17)]


@pytest.mark.parametrize("event_shape", SHAPES)
@pytest.mark.parametrize(("categories", "width", "depth"), [(2, 4, 1), (5, 3, 2), (40, 4, 1)])
def test_convolutional_networks_of_any_size(
    event_shape: tuple[int, ...], categories: int, width: int, depth: int
) -> None:
    generator = ConvGenerator(SampleSpace(event_shape, categories), latent_size=6, width=width, depth=depth)
    distribution = generator(torch.randn(3, 6))
    assert (distribution.event_shape, distribution.num_categories) == (event_shape, categories)
    codes = distribution.sample(2)[0]
    discriminator = ConvDiscriminator(SampleSpace(event_shape, categories), width=width, depth=depth)
    assert discriminator(codes).shape == (3,)
    loss = distribution.log_prob(codes[None]).sum() + discriminator(codes).sum()
    loss.backward()
    for network in (generator, discriminator):
        without = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
        assert without == []


@pytest.mark.parametrize("event_shape", [(7,), (3, 2), (2, 3, 4)])
def test_plain_networks_of_any_event_shape(event_shape: tuple[int, ...]) -> None:
    generator = MLPGenerator(SampleSpace(event_shape, 5), latent_size=4, width=8, depth=3)
    codes = generator(torch.randn(6, 4)).sample(1)[0]
    assert codes.shape == (6, *event_shape)
    assert MLPDiscriminator(SampleSpace(event_shape, 5), width=8, depth=3)(codes).shape == (6,)


@pytest.mark.parametrize("encoding", ["scalar", "cosine", "onehot", "embedding"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
@pytest.mark.parametrize(
    "build",
    [
        lambda e: ConvDiscriminator(SampleSpace((2, 9, 8), 6), 4, 1, e),
        lambda e: MLPDiscriminator(SampleSpace((2, 9, 8), 6), 8, 1, e),
    ],
)
def test_codes_and_their_one_hots_score_alike(build, encoding: str, dtype: torch.dtype) -> None:
    discriminator = build(encoding)
    codes = torch.randint(0, 6, (4, 2, 9, 8)).to(dtype)
    soft = torch.nn.functional.one_hot(codes.long(), 6).float()
    torch.testing.assert_close(discriminator(codes), discriminator(soft), rtol=1e-4, atol=1e-5)


def test_every_category_is_told_apart() -> None:
    for encoding in ("scalar", "cosine", "onehot", "embedding"):
        read = CodeInput(7, encoding)
        rows = read(torch.arange(7, dtype=torch.uint8)[:, None], 1)[:, 0]
        distances = torch.cdist(rows, rows) + torch.eye(7)
        assert distances.min() > 1e-3
    torch.testing.assert_close(
        CodeInput(3, "scalar")(torch.tensor([[0, 1, 2]]), 1)[0, :, 0], torch.tensor([-1.0, 0, 1])
    )


def test_cosines_of_a_scale() -> None:
    read = CodeInput(9, "cosine")(torch.arange(9, dtype=torch.uint8)[None], 1)[0]
    assert read.shape == (9, 4)
    assert (read[:, 0].diff() > 0).all(), "the first rises with the level"
    gram = read.T @ read
    expected = torch.tensor([9 / 2 / j**4 for j in (1, 2, 3, 4)])
    torch.testing.assert_close(gram, expected.diag(), atol=1e-5, rtol=1e-5)
    assert CodeInput(3, "cosine").num_features == 2, "K - 1 tell all there is"


def test_default_encodings() -> None:
    assert [default_encoding(k, ordered=False) for k in (2, 3, 32, 33)] == ["scalar", "onehot", "onehot", "embedding"]
    assert [default_encoding(k, ordered=True) for k in (2, 3, 256)] == ["scalar", "cosine", "cosine"]


@pytest.mark.parametrize(
    "build", [lambda: ConvGenerator(SampleSpace((8, 9), 4), 5, 4), lambda: MLPGenerator(SampleSpace((8, 9), 4), 5, 16)]
)
def test_the_output_bias_starts_at_the_datas_frequencies(build) -> None:
    torch.manual_seed(0)
    generator = build()
    frequencies = torch.softmax(2 * torch.randn(8, 9, 4), -1)
    generator.set_output_bias(frequencies.log())
    mean = torch.softmax(generator(torch.randn(64, 5)).logits, -1).mean(0)
    torch.testing.assert_close(mean, frequencies, atol=0.05, rtol=0)
    for wrong in (frequencies.log()[:-1], torch.full((8, 9, 4), -torch.inf)):
        with pytest.raises(InputError, match=r"log_frequencies must be finite, of shape \[8, 9, 4\]"):
            generator.set_output_bias(wrong)


def test_latents_make_a_difference() -> None:
    for generator in (ConvGenerator(SampleSpace((8, 8), 3), 5, 4), MLPGenerator(SampleSpace((8, 8), 3), 5, 8)):
        logits = generator(torch.randn(2, 5)).logits
        assert not torch.allclose(logits[0], logits[1])


def test_settings_build_the_same_network_again() -> None:
    for generator in (ConvGenerator(SampleSpace((3, 9, 8), 5), 6, 4, 2), MLPGenerator(SampleSpace((4,), 5), 6, 7, 1)):
        again = type(generator).from_settings(json.loads(json.dumps(generator.settings)))
        again.load_state_dict(generator.state_dict())
        z = torch.randn(2, 6)
        assert torch.equal(again(z).logits, generator(z).logits)


def test_the_pyramid_of_sizes() -> None:
    assert image_sizes(8, 8) == [(8, 8), (4, 4)]
    assert image_sizes(28, 28) == [(28, 28), (14, 14), (7, 7)]
    assert image_sizes(9, 33) == [(9, 33), (5, 17)]
    assert image_sizes(64, 48)[-1] == (8, 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: ConvGenerator(SampleSpace((7, 8), 2)),
            "at least 8x8 pixels for the convolutional networks, got 7x8: resize",
        ),
        (lambda: ConvGenerator((8, 8), 2), r"space must be a SampleSpace, such as SampleSpace.*, got \(8, 8\)"),
        (lambda: MLPGenerator(SampleSpace((8,), 2, end_id=1)), "MLPGenerator has no end, and the space has one"),
        (lambda: ConvGenerator(SampleSpace((8, 8), 2, end_id=1)), "ConvGenerator has no end, and the space has one"),
        (lambda: ConvDiscriminator(SampleSpace((64,), 2)), r"\(H, W\) or \(C, H, W\), got \(64,\)"),
        (lambda: ConvGenerator(SampleSpace((8, 8), 2), width=0), "width must be at least 1, got 0"),
        (lambda: ConvGenerator(SampleSpace((8, 8), 2), latent_size=0), "latent_size must be at least 1, got 0"),
        (lambda: MLPGenerator(SampleSpace((), 2)), r"event_shape must hold integers of at least 1, got \(\)"),
        (lambda: MLPDiscriminator(SampleSpace((4,), 2), depth=0), "depth must be at least 1, got 0"),
        (
            lambda: ConvDiscriminator(SampleSpace((8, 8), 4), encoding="binary"),
            "'scalar', 'cosine', 'onehot' or 'embedding', got 'binary'",
        ),  # type: ignore[arg-type]
        (
            lambda: ConvDiscriminator(SampleSpace((8, 8), 4))(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)),
            "codes must be integers with 3 axes",
        ),
        (lambda: ConvDiscriminator(SampleSpace((8, 8), 4))(torch.zeros(2, 8, 8, 5)), "4 categories on the last"),
    ],
)
def test_errors(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (3, 7)])
def test_a_doubled_image_is_convolved_without_being_doubled(height: int, width: int) -> None:
    from torch.nn.functional import conv2d, interpolate

    torch.manual_seed(0)
    x = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)
    slow = conv2d(interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1)
    fast = convolve_doubled(x, weight, bias)
    torch.testing.assert_close(fast, slow)
    upstream = torch.randn_like(slow)
    ours, theirs = (torch.autograd.grad(y, (x, weight, bias), upstream) for y in (fast, slow))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("event_shape", [(28, 28), (9, 13), (3, 16, 30)])
def test_a_generator_is_what_it_was_with_enlarged_images(
    event_shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn.functional import conv2d, interpolate

    calls = []

    def enlarging(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        calls.append(x.shape)
        return conv2d(interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1)

    generator = ConvGenerator(SampleSpace(event_shape, 3), latent_size=5, width=8, depth=2).double()
    latents = torch.randn(4, 5, dtype=torch.float64)
    found = generator(latents).logits
    monkeypatch.setattr(images, "convolve_doubled", enlarging)
    torch.testing.assert_close(found, generator(latents).logits)
    sizes = image_sizes(*event_shape[-2:])
    doubled = sum((2 * h, 2 * w) == large for (h, w), large in zip(sizes[1:], sizes[:-1], strict=True))
    assert len(calls) == doubled


def test_layers_are_called_so_that_hooks_and_older_norms_act() -> None:
    generator, discriminator = ConvGenerator(SampleSpace((8, 8), 3), 4, 8), ConvDiscriminator(SampleSpace((8, 8), 3), 8)
    called: list[str] = []
    layers = {"convolve": generator.levels[0][0].convolve, "to_log_ratio": discriminator.to_log_ratio}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            torch.nn.utils.weight_norm(layer)
    for _ in range(2):  # a weight that is not made anew has no graph the second time
        codes = generator(torch.randn(2, 4)).sample(1)[0]
        (generator(torch.randn(2, 4)).logits.sum() + discriminator(codes).sum()).backward()
    assert called == ["convolve", "convolve", "to_log_ratio"] * 2
