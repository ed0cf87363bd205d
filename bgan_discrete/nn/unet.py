"""A convolutional network for images that are drawn in rounds.

Letters: B samples, P positions, R those of a round, K categories, W features.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast, final

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.nn.images import _channels, _image_shape, _normalization, image_sizes
from bgan_discrete.nn.inputs import CodeInput, default_encoding
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.nn.start import check_takes, set_output_bias
from bgan_discrete.space import SampleSpace

PATCH = 2
"""Pixels of a side that one cell of the finest maps reads and writes: convolutions at half the size cost a quarter."""

COARSEST_CELLS = 64
"""Maps are halved until they have at most so many cells, each of which looks at all others."""

HEADS = 4


@final
class MaskedConvGenerator(RoundsGenerator):
    """A U-shaped convolutional network that gives the logits of all hidden pixels given all visible ones.

    Args:
        space: Of ``(H, W)`` or ``(C, H, W)``, sides >= 8.
        latent_size: Z; the latent counts where nothing is visible.
        width: Half of the channels at half of the full size; they double with each halving, up to eightfold.
        depth: Convolution blocks at each size, on the way down and on the way up.
        rounds: S, in which samples are drawn unless others are asked for.
        order: See `bgan_discrete.distributions.orders.ranks_of`.
        cut: See `bgan_discrete.distributions.orders.cut_sizes`.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).
        num_classes: Classes of the labels that it is called with; None for no labels.

    Raises:
        InputError: If a size is out of range, a name unknown, or the space not one of such images.

    Source:
        The shape is that of Ronneberger, Fischer, Brox, "U-Net" (2015).

    Examples:
        >>> generator = MaskedConvGenerator(SampleSpace((8, 8), num_categories=2), latent_size=4, rounds=4)
        >>> generator(torch.randn(2, 4)).sample(num_draws=3).shape  # three draws of each of two latents
        torch.Size([3, 2, 8, 8])
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 32,
        depth: int = 1,
        rounds: int = 16,
        order: str = "coarse_to_fine",
        cut: str | Sequence[int] = "halving",
        latent_kind: str = "normal",
        num_classes: int | None = None,
    ) -> None:
        channels, height, image_width = _image_shape(space.event_shape)
        image_sizes(height, image_width)  # refuses images that are too small
        super().__init__(space, latent_size, rounds, order, cut, latent_kind, num_classes, width=width, depth=depth)
        check_takes(space, type(self).__name__)
        check_at_least_one(width=width, depth=depth)
        self.image_shape = channels, height, image_width
        self.read = CodeInput(space.num_categories, default_encoding(space.num_categories, space.ordered), partial=True)
        sizes = [(-(-height // PATCH), -(-image_width // PATCH))]
        while sizes[-1][0] * sizes[-1][1] > COARSEST_CELLS:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        features = [_channels(width, level + 1) for level in range(len(sizes))]

        def blocks_of(level: int) -> _Blocks:
            return _Blocks(features[level], depth, num_classes)

        # From patches of pixels and their places down to the coarsest maps.
        self.embed = nn.Conv2d(channels * PATCH**2 * self.read.num_features, features[0], 1)
        self.place = nn.Parameter(torch.randn(1, features[0], *sizes[0]) * 0.1)
        self.down = nn.ModuleList(blocks_of(level) for level in range(len(sizes) - 1))
        pairs = list(pairwise(features))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)

        # There the latent enters, and every cell looks at all others.
        self.coarsest_size = sizes[-1]
        self.expand = nn.Linear(latent_size, features[-1] * sizes[-1][0] * sizes[-1][1])
        self.before = blocks_of(-1)
        self.attend = _Attention(features[-1], num_classes)
        self.after = blocks_of(-1)

        # Back up to the patches, with what was seen on the way down.
        self.grow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.up = nn.ModuleList(blocks_of(level) for level in range(len(sizes) - 1))
        self.normalize = _normalization(features[0], num_classes)
        self.to_logits = nn.Conv2d(features[0], channels * PATCH**2 * space.num_categories, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.position_bias = nn.Parameter(torch.zeros(*space.event_shape, space.num_categories))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given distributions of the positions, ``[*event_shape, K]``."""
        set_output_bias(self.position_bias, self.to_logits, log_frequencies)

    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`."""
        condition = () if labels is None else (labels,)
        x = self._patches(codes) + self.place
        passed = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            passed.append(blocks(x, condition))
            x = shrink(passed[-1])

        # The latent takes part in every pass, times 0 where it does not count: then so do its parameters.
        is_blank = (codes == self.space.num_categories).all(1)[:, None, None, None]
        height, width = self.coarsest_size
        x = x + rearrange(self.expand(latents), "b (h w c) -> b c h w", h=height, w=width) * is_blank
        x = self.after(self.attend(self.before(x, condition), condition), condition)

        for level in range(len(passed) - 1, -1, -1):
            there = passed[level]
            x = interpolate(self.grow[level](x), (2 * x.shape[2], 2 * x.shape[3]), mode="nearest")
            x = self.up[level](there + x[:, :, : there.shape[2], : there.shape[3]], condition)
        logits = self._pixels(self.to_logits(torch.relu(self.normalize(x, *condition))))
        # The last layer is a small part of the work: it is computed everywhere.
        logits = (logits + self.position_bias).flatten(1, -2)
        return logits if positions is None else logits[:, positions]

    def _patches(self, codes: Tensor) -> Tensor:
        """Features of patches ``[B, W, rows, columns]`` of codes ``[B, P]``; beyond the edge all features are 0."""
        _, height, width = self.image_shape
        features = self.read(codes.view(len(codes), *self.image_shape), 3)
        features = pad(features, (0, 0, 0, -width % PATCH, 0, -height % PATCH))
        x = rearrange(features, "b c (h i) (w j) f -> b (c i j f) h w", i=PATCH, j=PATCH)
        return cast(Tensor, self.embed(x.contiguous(memory_format=torch.channels_last)))

    def _pixels(self, maps: Tensor) -> Tensor:
        """Logits ``[B, *event_shape, K]`` of what the last layer gives for patches."""
        channels, height, width = self.image_shape
        logits = rearrange(
            maps, "b (c i j k) h w -> b c (h i) (w j) k", c=channels, i=PATCH, j=PATCH, k=self.space.num_categories
        )
        return logits[:, :, :height, :width].reshape(len(maps), *self.space.event_shape, -1)


@final
class _Blocks(nn.Module):
    """``x + convolution(relu(normalisation(x)))``, several times."""

    def __init__(self, features: int, depth: int, num_classes: int | None) -> None:
        super().__init__()
        self.normalize = nn.ModuleList(_normalization(features, num_classes) for _ in range(depth))
        self.convolve = nn.ModuleList(nn.Conv2d(features, features, 3, padding=1) for _ in range(depth))

    def forward(self, x: Tensor, condition: tuple[Tensor, ...]) -> Tensor:
        for normalize, convolve in zip(self.normalize, self.convolve, strict=True):
            x = x + convolve(torch.relu(normalize(x, *condition)))
        return x


@final
class _Attention(nn.Module):
    """``x + attention(normalisation(x))``, in which each cell of the maps looks at all others."""

    def __init__(self, features: int, num_classes: int | None) -> None:
        super().__init__()
        self.heads = HEADS if features % HEADS == 0 else 1
        self.normalize = _normalization(features, num_classes)
        self.to_qkv, self.out = nn.Conv2d(features, 3 * features, 1), nn.Conv2d(features, features, 1)

    def forward(self, x: Tensor, condition: tuple[Tensor, ...]) -> Tensor:
        qkv = self.to_qkv(self.normalize(x, *condition))
        q, k, v = rearrange(qkv, "b (three d c) h w -> three b d (h w) c", three=3, d=self.heads)
        attended = scaled_dot_product_attention(q, k, v)
        return cast(Tensor, x + self.out(rearrange(attended, "b d (h w) c -> b (d c) h w", h=x.shape[2])))
