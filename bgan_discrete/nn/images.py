"""Convolutional generator and discriminator for images of any size from 8x8 up."""

from typing import cast, final

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, group_norm, interpolate, linear, pad

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator, check_labels
from bgan_discrete.nn.inputs import CodeInput, InputEncoding, default_encoding
from bgan_discrete.nn.start import check_takes, set_output_bias
from bgan_discrete.rivals.continuous import GreyLevels
from bgan_discrete.space import SampleSpace

SMALLEST_SIDE = 8
MAX_CHANNEL_FACTOR = 8
"""Channels double with each halving of the image up to this multiple of the width."""


def image_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from the full image down, each side halved and rounded up, until one side is below 8: at least two.

    Raises InputError if a side is below 8 pixels.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"images must be at least 8x8 pixels for the convolutional networks, got {height}x{width}: resize them"
        )
    sizes = [(height, width)]
    while min(sizes[-1]) >= SMALLEST_SIDE:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def _image_shape(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of an event shape ``[H, W]`` or ``[C, H, W]``."""
    if len(event_shape) == 2:
        return 1, event_shape[0], event_shape[1]
    if len(event_shape) == 3:
        return event_shape[0], event_shape[1], event_shape[2]
    raise InputError(f"event_shape of images must be (H, W) or (C, H, W), got {event_shape}")


def _channels(width: int, level: int) -> int:
    return width * min(2**level, MAX_CHANNEL_FACTOR)


@final
class ConditionalGroupNorm(nn.GroupNorm):
    """Group normalisation whose scale and shift depend on the class of each sample.

    Scale and shift are those of all classes plus what a class adds to them, which is 0 at first: then the class makes
    no difference yet.

    Source:
        Dumoulin, Shlens, Kudlur, "A learned representation for artistic style" (2017), with groups for instances.
    """

    def __init__(self, num_groups: int, num_channels: int, num_classes: int) -> None:
        super().__init__(num_groups, num_channels)
        self.of_class = _zeros(num_classes, 2 * num_channels)

    def forward(self, input: Tensor, labels: Tensor | None = None) -> Tensor:
        """Normalised ``[N, channels, H, W]`` of samples with labels ``[N]``; None for what all classes share."""
        if labels is None:
            return super().forward(input)
        scale, shift = rearrange(self.of_class(labels), "n (two c) -> two n c 1 1", two=2)
        normalized = group_norm(input, self.num_groups, eps=self.eps)
        return torch.addcmul(self.bias[:, None, None] + shift, normalized, self.weight[:, None, None] + scale)


def _zeros(rows: int, columns: int) -> nn.Embedding:
    """A table of zeros to be learnt; no random number is drawn for it."""
    return nn.Embedding(rows, columns, _weight=torch.zeros(rows, columns))


def _normalization(channels: int, num_classes: int | None) -> nn.GroupNorm:
    groups = max(1, channels // 16)
    if num_classes is None:
        return nn.GroupNorm(groups, channels)
    return ConditionalGroupNorm(groups, channels, num_classes)


@final
class _GeneratorBlock(nn.Module):
    """``x + convolution(activation(normalisation(x)))``, with a 1x1 skip where the channels change."""

    # Where the image grows, pixelwise operations run at the small size: they commute with nearest upsampling.

    def __init__(self, inputs: int, outputs: int, num_classes: int | None) -> None:
        super().__init__()
        self.normalize = _normalization(inputs, num_classes)
        self.convolve = _ConvolutionOfEnlarged(inputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, size: tuple[int, int], labels: tuple[Tensor, ...]) -> Tensor:
        shortcut, x = self.skip(x), torch.relu(self.normalize(x, *labels))
        return cast(Tensor, _enlarged(shortcut, size) + self.convolve(x, size))


@final
class _ConvolutionOfEnlarged(nn.Conv2d):
    """A 3x3 convolution of images enlarged to a size by repeating pixels; at the small size where both sides double."""

    def forward(self, input: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        if size is None:
            return super().forward(input)
        if (2 * input.shape[2], 2 * input.shape[3]) == size:
            return convolve_doubled(input, self.weight, self.bias)
        return super().forward(_enlarged(input, size))


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if x.shape[2:] == size else interpolate(x, size, mode="nearest")


def convolve_doubled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3x3 convolution of ``x [N, inputs, H, W]`` enlarged to ``2 H, 2 W`` by repeating pixels, without enlarging it.

    Four pixels that are equal need one product with the sum of their weights: 4 products for each pixel and pair of
    channels rather than 9. As one operation it is a transposed convolution of stride 2 with a kernel of 4x4.
    """
    padded = pad(rearrange(weight, "o i h w -> i o h w").flip(2, 3), (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return conv_transpose2d(x, rows[..., 1:] + rows[..., :-1], bias, stride=2, padding=1)


class _ConvolutionalGenerator(Generator):
    """Latent -> convolutions at growing sizes -> ``outputs`` numbers for each pixel; K if None."""

    # Classes enter by an embedding next to the latent and by `ConditionalGroupNorm`, both zero at first.

    def __init__(
        self, space: SampleSpace, outputs: int | None, latent_size: int, width: int, depth: int, num_classes: int | None
    ) -> None:
        super().__init__(space, latent_size, num_classes=num_classes, width=width, depth=depth)
        check_takes(space, type(self).__name__)
        self.outputs = space.num_categories if outputs is None else outputs
        channels, height, image_width = _image_shape(space.event_shape)
        check_at_least_one(width=width, depth=depth)
        sizes = image_sizes(height, image_width)
        self.start_size, self.target_sizes = sizes[-1], sizes[-2::-1]

        # From the latent, and the label, to the maps of the smallest size.
        deepest = _channels(width, len(sizes) - 1)
        self.expand = nn.Linear(latent_size, deepest * self.start_size[0] * self.start_size[1])
        if num_classes is not None:
            # Like a one-hot of the label next to the latent: the first layer's products with it are added.
            self.expand_label = _zeros(num_classes, self.expand.out_features)

        # From each size to the next larger one, with fewer channels.
        self.levels = nn.ModuleList()
        inputs = deepest
        for level in range(len(sizes) - 2, -1, -1):
            features = _channels(width, level)
            blocks = [_GeneratorBlock(inputs if i == 0 else features, features, num_classes) for i in range(depth)]
            self.levels.append(nn.ModuleList(blocks))
            inputs = features

        # From the maps of the full size to the outputs of each pixel.
        self.normalize = _normalization(inputs, num_classes)
        self.to_logits = nn.Conv2d(inputs, channels * self.outputs, 3, padding=1)
        # The layout in which convolutions run fastest on CPUs; it also makes the last permutation free.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # One bias for each pixel and output, where the data's frequencies can be put; zero otherwise.
        self.position_bias = nn.Parameter(torch.zeros(*space.event_shape, self.outputs))

    def outputs_at(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, *event_shape, outputs]`` of latents ``[N, Z]`` and, with classes, labels ``[N]``.

        Raises:
            InputError: If there are labels and no classes, or classes and no labels.
        """
        check_labels(self, labels)
        condition = () if labels is None else (labels,)
        x = self.expand(latents)
        if labels is not None:
            x = x + self.expand_label(labels)
        # Channels vary fastest in memory, as the convolutions like it.
        x = rearrange(x, "n (h w c) -> n c h w", h=self.start_size[0], w=self.start_size[1])
        for blocks, size in zip(self.levels, self.target_sizes, strict=True):
            for block in cast(nn.ModuleList, blocks):
                x = block(x, size, condition)
        logits = self.to_logits(torch.relu(self.normalize(x, *condition)))
        if len(self.space.event_shape) == 2:
            logits = rearrange(logits, "n k h w -> n h w k")
        else:
            logits = rearrange(logits, "n (c k) h w -> n c h w k", k=self.outputs)
        return cast(Tensor, logits + self.position_bias)


@final
class ConvGenerator(_ConvolutionalGenerator):
    """Latent -> convolutions at growing sizes -> independent categorical distributions of the pixels.

    Args:
        space: Of ``(H, W)`` or ``(C, H, W)``, sides >= 8.
        latent_size: Z.
        width: Channels at the full size; they double with each halving, up to eightfold.
        depth: Convolution blocks at each size.
        num_classes: Classes of the labels that the generator is called with; None for no labels.

    Raises:
        InputError: If a size is out of range, or the space is not one of such images.

    Examples:
        >>> generator = ConvGenerator(SampleSpace((8, 8), num_categories=17), latent_size=16)
        >>> generator(torch.randn(5, 16)).sample(num_draws=3).shape  # three draws of each of five latents
        torch.Size([3, 5, 8, 8])
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 32,
        depth: int = 1,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(space, None, latent_size, width, depth, num_classes)

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given per-position distributions: they become the output bias, and the last weights shrink.

        Args:
            log_frequencies: ``[*event_shape, K]``, finite.

        Raises:
            InputError: If the shape does not fit.
        """
        set_output_bias(self.position_bias, self.to_logits, log_frequencies)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
        """The distributions of a batch of latents ``[N, Z]``, with classes of integers ``labels [N]``.

        Raises:
            InputError: If there are labels and no classes, or classes and no labels.
        """
        return FactorizedCategorical(self.outputs_at(latents, labels))


@final
class ContinuousConvGenerator(_ConvolutionalGenerator):
    """The same convolutions with one grey level at each pixel, for the continuous objective.

    Arguments and errors as in `ConvGenerator`; K is the number of levels that samples are rounded to.
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 32,
        depth: int = 1,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(space, 1, latent_size, width, depth, num_classes)

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at the mean grey level of each position of given distributions ``[*event_shape, K]``."""
        levels = torch.linspace(0, 1, self.space.num_categories, device=log_frequencies.device)
        mean = (log_frequencies.softmax(-1) @ levels.to(log_frequencies.dtype)).clamp(0.01, 0.99)
        set_output_bias(self.position_bias, self.to_logits, torch.logit(mean)[..., None])

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> GreyLevels:
        """The grey levels of a batch of latents ``[N, Z]``; labels and errors as in `ConvGenerator`."""
        return GreyLevels(torch.sigmoid(self.outputs_at(latents, labels).squeeze(-1)), self.space.num_categories)


@final
class ConvDiscriminator(Discriminator):
    """Codes -> convolutions at shrinking sizes -> one log-ratio F.

    With classes, ``F(x, y) = psi(phi(x)) + <embedding(y), phi(x)>``, where phi are the last maps of the convolutions:
    the first term separates real from generated images, the second images that fit their label from others.

    Args:
        space: Of ``(H, W)`` or ``(C, H, W)``, sides >= 8.
        width: Channels after the first convolution; they double with each halving, up to eightfold.
        depth: Convolutions at each size; the last of a size halves it.
        encoding: How codes are read; `default_encoding` of the space if None.
        num_classes: Classes of the labels that the discriminator is called with; None for no labels.
        partial: See `Discriminator`.

    Raises:
        InputError: If a size is out of range.

    Source:
        The projection is that of Miyato and Koyama, "cGANs with projection discriminator" (2018).

    Examples:
        >>> space = SampleSpace((8, 8), num_categories=17, ordered=True)
        >>> ConvDiscriminator(space)(torch.zeros(5, 8, 8, dtype=torch.uint8)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        space: SampleSpace,
        width: int = 32,
        depth: int = 1,
        encoding: InputEncoding | None = None,
        num_classes: int | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(space, num_classes, partial)
        channels, height, image_width = _image_shape(space.event_shape)
        check_at_least_one(width=width, depth=depth)
        encoding = encoding or default_encoding(space.num_categories, space.ordered)
        self.read = CodeInput(space.num_categories, encoding, partial=partial)

        # Convolutions of each size, the last of which halves it.
        sizes = image_sizes(height, image_width)
        layers: list[nn.Module] = []
        inputs = channels * self.read.num_features
        for level in range(len(sizes) - 1):
            outputs = _channels(width, level)
            for _ in range(depth - 1):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
                inputs = outputs
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
            inputs = outputs

        # One more of the smallest size, then F.
        outputs = _channels(width, len(sizes) - 1)
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        self.convolve = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.to_log_ratio = _LinearOfMaps(outputs * sizes[-1][0] * sizes[-1][1], 1)
        if num_classes is not None:
            num_features = self.to_log_ratio.in_features
            self.project = nn.Embedding(num_classes, num_features)
            nn.init.uniform_(self.project.weight, -(num_features**-0.5), num_features**-0.5)  # as the linear layer

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of codes ``[B, *event_shape]`` or soft one-hots ``[B, *event_shape, K]``: ``[B]``.

        Args:
            codes: As above.
            labels: With classes, integers ``[N]``, B a multiple of N: row i of the codes has label ``i % N``.

        Returns:
            ``[B]``.

        Raises:
            InputError: If there are labels and no classes, or classes and no labels, or too many or few.
        """
        check_labels(self, labels)
        features = self.read(codes, len(self.space.event_shape))
        if len(self.space.event_shape) == 2:
            x = rearrange(features, "b h w f -> b f h w")
        else:
            x = rearrange(features, "b c h w f -> b (c f) h w")
        maps = self.convolve(x)
        log_ratio = cast(Tensor, self.to_log_ratio(maps)).squeeze(1)
        if labels is None:
            return log_ratio
        if len(maps) % len(labels):
            raise InputError(f"labels must be as many as codes, or a divisor of it, got {len(labels)} for {len(maps)}")
        by_label = rearrange(maps, "(m n) c h w -> m n (h w c)", n=len(labels))
        return log_ratio + torch.einsum("mnf,nf->mn", by_label, _channels_last(self.project(labels), maps)).flatten()


@final
class _LinearOfMaps(nn.Linear):
    """A linear layer of maps in channels-last memory (or flattened): it reorders the weights, not the maps."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            return super().forward(input)
        flat = rearrange(input, "b c h w -> b (h w c)")
        return linear(flat, _channels_last(self.weight, input), self.bias)


def _channels_last(rows: Tensor, maps: Tensor) -> Tensor:
    """Weights ``[rows, C H W]`` of flattened maps ``[B, C, H, W]``, in the order in which channels vary fastest."""
    return rearrange(rows, "r (c h w) -> r (h w c)", c=maps.shape[1], h=maps.shape[2])
