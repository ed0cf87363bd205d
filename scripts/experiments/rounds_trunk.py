"""A discriminator with the trunk of a generator that draws in rounds, from whose weights it may start.

Letters: B samples, P positions, K categories, W features.
"""

from contextlib import nullcontext
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.sampling import as_index
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, check_labels
from bgan_discrete.nn.sequences import _Block
from bgan_discrete.nn.transformers import MaskedTransformerGenerator, _distances, _through
from bgan_discrete.space import SampleSpace

LEAK = 0.2
SMALL = 0.01
"""Factor of the last layer's weights at the start, so that F starts near 0."""


@final
class TransformerDiscriminator(Discriminator):
    """Codes -> the trunk of a `MaskedTransformerGenerator` -> the mean over positions -> one log-ratio F.

    Args:
        space: What one sample is.
        width: Features of a position; a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads.
        num_classes: Classes of the labels that it is called with; None for no labels.
        partial: See `Discriminator`.

    Raises:
        InputError: If a size is below 1, or the width no multiple of the heads.

    Examples:
        >>> generator = MaskedTransformerGenerator(SampleSpace((20,), num_categories=5), width=32)
        >>> discriminator = TransformerDiscriminator(generator.space, width=32, partial=True)
        >>> discriminator.start_from(generator)
        >>> discriminator(torch.full((2, 20), 5)).shape  # all is hidden
        torch.Size([2])
    """

    def __init__(
        self,
        space: SampleSpace,
        width: int = 128,
        depth: int = 3,
        heads: int = 4,
        num_classes: int | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(space, num_classes, partial)
        check_at_least_one(width=width, depth=depth, heads=heads)
        if width % heads:
            raise InputError(f"width must be a multiple of heads = {heads}, got {width}")
        self.num_tables = 1 if space.sizes is None else space.num_positions
        # The names are those of the generator, whose weights are taken by them.
        self.embed = nn.Embedding(self.num_tables * (space.num_categories + 1), width)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.place = nn.Parameter(torch.randn(space.num_positions, width) * 0.1)
        self.embed_label = None if num_classes is None else nn.Embedding(num_classes, width)
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(depth)])
        slopes = [2.0**-head for head in range(heads - 1)] + [0.0]
        self.slopes = nn.Parameter(torch.tensor(slopes).repeat(depth, 1))
        self.distances: Tensor
        self.register_buffer("distances", _distances(space), persistent=False)
        self.norm = nn.LayerNorm(width)
        self.to_log_ratio = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(LEAK), nn.Linear(width, 1))
        with torch.no_grad():
            for parameter in self.to_log_ratio[-1].parameters():
                parameter.mul_(SMALL)

    def start_from(self, generator: MaskedTransformerGenerator) -> None:
        """Take the weights of a generator's trunk; the head stays what it is.

        Raises:
            InputError: If it has another trunk.
        """
        if generator.num_classes != self.num_classes:
            raise InputError(f"generator must have num_classes = {self.num_classes}, got {generator.num_classes}")
        ours, theirs = self.state_dict(), generator.state_dict()
        trunk = {name: theirs[name] for name in ours if name in theirs}
        for name, weight in trunk.items():
            if weight.shape != ours[name].shape:
                wanted, got = list(ours[name].shape), list(weight.shape)
                raise InputError(f"generator must have a trunk like the discriminator's, {name} {wanted}, got {got}")
        self.load_state_dict(ours | trunk)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """F ``[B]`` of codes ``[B, *event_shape]`` or soft one-hots ``[B, *event_shape, K]``."""
        check_labels(self, labels)
        is_soft = samples.is_floating_point()
        x = self._read(samples.flatten(1, -2 if is_soft else -1)) + self.place
        if self.embed_label is not None:
            of_label = self.embed_label(as_index(cast(Tensor, labels)))
            x = x + of_label.repeat(len(x) // len(of_label), 1)[:, None]
        bias = -self.slopes[:, :, None, None] * self.distances[:-1, :-1]
        # A penalty derives twice, which the faster kernels of attention cannot.
        with sdpa_kernel(SDPBackend.MATH) if is_soft else nullcontext():
            x = _through(self.blocks, x, bias)
        return cast(Tensor, self.to_log_ratio(self.norm(x).mean(1)).squeeze(1))

    def _read(self, samples: Tensor) -> Tensor:
        """Features ``[B, P, W]`` of codes ``[B, P]`` or soft one-hots ``[B, P, K]``."""
        num_categories = self.space.num_categories
        if not samples.is_floating_point():
            tables = torch.arange(self.num_tables, device=samples.device) * (num_categories + 1)
            return cast(Tensor, self.embed(as_index(samples) + tables))
        weight = self.embed.weight.view(self.num_tables, num_categories + 1, -1)
        samples = samples.to(weight.dtype)
        if self.partial:
            samples = torch.cat([samples, 1 - samples.sum(-1, keepdim=True)], dim=-1)
        weight = weight[:, : samples.shape[-1]]
        if self.num_tables == 1:
            return samples @ weight[0]
        return torch.einsum("bpk,pkw->bpw", samples, weight)
