"""Multilayer perceptrons for integer arrays of any event shape, and for tables.

Letters: B samples, P positions, K categories, V pairs of a position and a code that it can have, W units.
"""

from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.distributions.columns import ColumnCategorical
from bgan_discrete.distributions.sampling import as_index
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator, check_labels
from bgan_discrete.nn.inputs import CodeInput, InputEncoding, default_encoding
from bgan_discrete.nn.start import check_takes, set_output_bias
from bgan_discrete.space import SampleSpace

LEAK = 0.2

FEW_CODES = 16
"""One-hots of all codes in a product are quicker than sums of rows up to so many codes a position, forth and back."""


def _hidden_layers(inputs: int, width: int, depth: int) -> nn.Sequential:
    check_at_least_one(width=width, depth=depth)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.LeakyReLU(LEAK)]
        inputs = width
    return nn.Sequential(*layers)


class MultilayerPerceptron(Generator):
    """Latent -> hidden layers -> logits of all positions; what its subclasses share."""

    def __init__(self, space: SampleSpace, latent_size: int, width: int, depth: int, latent_kind: str) -> None:
        super().__init__(space, latent_size, latent_kind, width=width, depth=depth)
        self.hidden = _hidden_layers(latent_size, width, depth)
        self.to_logits = nn.Linear(width, space.num_positions * space.num_categories, bias=False)
        self.position_bias = nn.Parameter(torch.zeros(*space.event_shape, space.num_categories))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given per-position distributions, ``[*event_shape, K]``; as in the convolutional generator."""
        set_output_bias(self.position_bias, self.to_logits, log_frequencies)

    def logits_at(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits of latents.

        Args:
            latents: ``[N, Z]``.
            labels: None.

        Returns:
            ``[N, *event_shape, K]``.

        Raises:
            InputError: If there are labels.
        """
        check_labels(self, labels)
        return self.to_logits(self.hidden(latents)).unflatten(1, self.position_bias.shape) + self.position_bias


@final
class MLPGenerator(MultilayerPerceptron):
    """Latent -> hidden layers -> independent categorical distributions of the positions.

    Args:
        space: What one sample is; positions may differ in their number of categories, as columns of a table do.
        latent_size: Z.
        width: Units of a hidden layer.
        depth: Hidden layers.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1, the kind is unknown, or samples may end.

    Examples:
        >>> generator = MLPGenerator(SampleSpace((20,), num_categories=2), latent_size=16)
        >>> generator(torch.randn(5, 16)).sample(num_draws=3).shape  # three draws of each of five latents
        torch.Size([3, 5, 20])
    """

    sizes: Tensor | None

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 256,
        depth: int = 2,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__(space, latent_size, width, depth, latent_kind)
        check_takes(space, type(self).__name__, sizes=True)
        sizes = None if space.sizes is None else torch.tensor(space.sizes).reshape(space.event_shape)
        self.register_buffer("sizes", sizes, persistent=False)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
        """The distributions of a batch of latents ``[N, Z]``; no ``labels``."""
        logits = self.logits_at(latents, labels)
        return FactorizedCategorical(logits) if self.sizes is None else ColumnCategorical(logits, self.sizes)


@final
class MLPDiscriminator(Discriminator):
    """Codes -> hidden layers -> one log-ratio F.

    It also gives F of a sample with any one code exchanged (`alternatives`), for the credit of that name.

    Args:
        space: What one sample is. Soft one-hots of codes that a position cannot have are ignored, also by a
            gradient penalty.
        width: Units of a hidden layer.
        depth: Hidden layers.
        encoding: How codes are read; `default_encoding` of the space if None. Where positions differ in their number of
            categories they are read as one-hots of the codes that each position can have.
        partial: See `Discriminator`.

    Raises:
        InputError: If a size is below 1, or another encoding than one-hots is asked for such positions.

    Examples:
        >>> MLPDiscriminator(SampleSpace((20,), num_categories=2))(torch.zeros(5, 20, dtype=torch.uint8)).shape
        torch.Size([5])
    """

    credits = ("sample", "alternatives")
    possible: Tensor
    first_inputs: Tensor

    def __init__(
        self,
        space: SampleSpace,
        width: int = 256,
        depth: int = 2,
        encoding: InputEncoding | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(space, partial=partial)
        if space.sizes is not None and encoding not in (None, "onehot"):
            raise InputError(f"encoding must be 'onehot' with sizes, got {encoding!r}")
        default = default_encoding(space.num_categories, space.ordered) if space.sizes is None else "onehot"
        self.read = CodeInput(space.num_categories, encoding or default, partial=partial)
        possible = torch.arange(space.num_positions * space.num_categories)
        if space.sizes is not None:  # on the CPU even where the network is only measured, on a device without memory
            limits = torch.tensor(space.sizes, device="cpu")
            codes = torch.arange(space.num_categories, device="cpu")
            possible = (codes < limits[:, None]).flatten().nonzero().squeeze(1)
            self.register_buffer("first_inputs", limits.cumsum(0) - limits, persistent=False)
        self.register_buffer("possible", possible, persistent=False)
        inputs = space.num_positions * self.read.num_features
        if space.sizes is not None:
            inputs = len(possible) + partial * space.num_positions
        self.hidden = _hidden_layers(inputs, width, depth)
        self.to_log_ratio = nn.Linear(width, 1)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of codes ``[B, *event_shape]`` or soft one-hots ``[B, *event_shape, K]``: ``[B]``; no ``labels``."""
        check_labels(self, labels)
        return self.to_log_ratio(self.hidden[1:](self._first_sums(codes))).squeeze(1)

    def alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of samples with the code at each position exchanged for each category.

        An exchange changes the first layer's sum by a difference of two columns, so only the later layers run once for
        each pair of position and category.

        Args:
            codes: Integers ``[B, *event_shape]``.
            labels: None.

        Returns:
            ``[B, *event_shape, K]``; 0 for a category that its position cannot have, meaningless where hidden.
        """
        check_labels(self, labels)
        # 1. The first layer's sums, and what each code at each position adds to them.
        first = cast(nn.Linear, self.hidden[0])
        sums_BW = self._first_sums(codes)
        added = self._sums_of_codes(first.weight)  # [P K, W]

        # 2. The sums without the code that is there, and with each one that could be.
        num_positions, num_categories = self.space.num_positions, self.space.num_categories
        first_row = torch.arange(num_positions, device=codes.device) * num_categories
        removed_BPW = added[as_index(codes).flatten(1).clamp_max(num_categories - 1) + first_row]
        position = self.possible // num_categories  # [V]
        exchanged_BVW = sums_BW[:, None] - removed_BPW[:, position] + added[self.possible]

        # 3. The other layers, for each pair; 0 for the pairs that there are not.
        log_ratios = self.to_log_ratio(self.hidden[1:](exchanged_BVW)).squeeze(-1)  # [B, V]
        if self.space.sizes is not None:
            log_ratios = log_ratios.new_zeros(len(codes), len(added)).index_copy(1, self.possible, log_ratios)
        return log_ratios.unflatten(1, (*self.space.event_shape, num_categories))

    def _first_sums(self, codes: Tensor) -> Tensor:
        """What the first layer gives, ``[B, W]``; of integer codes of columns of many codes without their one-hots."""
        first = cast(nn.Linear, self.hidden[0])
        if self.space.sizes is None or codes.is_floating_point():
            return cast(Tensor, first(self._features(codes)))
        index_BP = as_index(codes).flatten(1)
        places = torch.arange(index_BP.shape[1], device=codes.device)
        rows = index_BP + self.first_inputs
        if self.partial:
            rows = torch.where(index_BP == self.space.num_categories, len(self.possible) + places, rows)
        if first.in_features <= FEW_CODES * len(places):
            return cast(Tensor, first(first.weight.new_zeros(len(rows), first.in_features).scatter_(1, rows, 1.0)))
        return embedding_bag(rows, first.weight.t().contiguous(), mode="sum") + first.bias

    def _features(self, codes: Tensor) -> Tensor:
        features = self.read(codes, len(self.space.event_shape))
        if self.space.sizes is None:
            return features.flatten(1)
        one_hots = features[..., : self.space.num_categories].flatten(1)[:, self.possible]
        return torch.cat([one_hots, features[..., -1].flatten(1)], dim=1) if self.partial else one_hots

    def _sums_of_codes(self, weight: Tensor) -> Tensor:
        """What each code at each position adds to the first layer's sums, ``[P K, W]``."""
        if self.space.sizes is not None:
            table = weight.new_zeros(self.space.num_positions * self.space.num_categories, len(weight))
            return table.index_copy(0, self.possible, weight.t()[: len(self.possible)])
        one_hots = torch.eye(self.space.num_categories, device=weight.device)
        features_of_codes = self.read(one_hots, 0).to(weight.dtype)  # [K, features]
        weight_of_positions = weight.unflatten(1, (-1, self.read.num_features))  # [W, P, features]
        added_PKW = torch.einsum("kf,wpf->pkw", features_of_codes, weight_of_positions)
        return added_PKW.flatten(0, 1)
