"""A plain multilayer-perceptron pair for integer arrays of any event shape, and for tables.

Letters: B samples, P positions, K categories, V pairs of a position and a code that it can have, W units.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.distributions.columns import ColumnCategorical, check_sizes
from bgan_discrete.distributions.sampling import as_index, check_latent_kind
from bgan_discrete.errors import InputError, check_at_least_one
from bgan_discrete.nn.images import set_output_bias
from bgan_discrete.nn.inputs import CodeInput, InputEncoding, default_encoding

LEAK = 0.2


def _hidden_layers(inputs: int, width: int, depth: int) -> nn.Sequential:
    check_at_least_one(width=width, depth=depth)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.LeakyReLU(LEAK)]
        inputs = width
    return nn.Sequential(*layers)


def _as_shape(event_shape: Sequence[int]) -> tuple[int, ...]:
    if isinstance(event_shape, int):
        raise InputError(f"event_shape must be a tuple, such as ({event_shape},), got {event_shape}")
    return tuple(event_shape)


def _sizes_buffer(sizes: list[int] | None, event_shape: tuple[int, ...]) -> Tensor | None:
    return None if sizes is None else torch.tensor(sizes).reshape(event_shape)


class MLPGenerator(nn.Module):
    """Latent -> hidden layers -> independent categorical distributions of the positions.

    Args:
        event_shape: Shape of one sample's codes.
        num_categories: K.
        latent_size: Z.
        width: Units of a hidden layer.
        depth: Hidden layers.
        sizes: Categories of each position, in C order, the largest being K (`bgan_discrete.distributions.columns`);
            None where all have K.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1, the sizes do not fit or the kind is unknown.
    """

    sizes: Tensor | None

    def __init__(
        self,
        event_shape: Sequence[int],
        num_categories: int,
        latent_size: int = 64,
        width: int = 256,
        depth: int = 2,
        sizes: Sequence[int] | None = None,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__()
        event_shape = _as_shape(event_shape)
        check_at_least_one(latent_size=latent_size)
        if min(event_shape, default=0) < 1:
            raise InputError(f"event_shape must hold integers of at least 1, got {event_shape}")
        self.settings: dict[str, Any] = {
            "event_shape": list(event_shape),
            "num_categories": num_categories,
            "latent_size": latent_size,
            "width": width,
            "depth": depth,
            "latent_kind": latent_kind,
        }
        self.event_shape = event_shape
        self.num_categories = num_categories
        self.latent_size = latent_size
        self.latent_kind = check_latent_kind(latent_kind)
        # Not read back from the buffer, which holds nothing where a saved model's shapes are asked for.
        checked = None if sizes is None else check_sizes(sizes, self.event_shape, num_categories)
        self.settings["sizes"] = checked
        self.register_buffer("sizes", _sizes_buffer(checked, self.event_shape), persistent=False)
        self.hidden = _hidden_layers(latent_size, width, depth)
        self.to_logits = nn.Linear(width, math.prod(event_shape) * num_categories, bias=False)
        self.position_bias = nn.Parameter(torch.zeros(*self.event_shape, num_categories))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given per-position distributions, ``[*event_shape, K]``; as in the convolutional generator."""
        set_output_bias(self.position_bias, self.to_logits, log_frequencies)

    def forward(self, latents: Tensor) -> FactorizedCategorical:
        """The distributions of a batch of latents ``[N, Z]``."""
        logits = self.to_logits(self.hidden(latents)).unflatten(1, self.position_bias.shape) + self.position_bias
        return FactorizedCategorical(logits) if self.sizes is None else ColumnCategorical(logits, self.sizes)


class MLPDiscriminator(nn.Module):
    """Codes -> hidden layers -> one log-ratio F.

    It knows F of a sample with any one code exchanged too (`alternatives`), for ``credit="alternatives"`` of the
    training.

    Args:
        event_shape: Shape of one sample's codes.
        num_categories: K.
        width: Units of a hidden layer.
        depth: Hidden layers.
        encoding: How codes are read; `default_encoding` if None. With ``sizes`` they are read as one-hots of the codes
            that each position can have.
        ordered: The codes are a scale; for the default encoding.
        sizes: As in `MLPGenerator`. Soft one-hots of codes that a position cannot have are not looked at, so that a
            gradient penalty has no part in them.

    Raises:
        InputError: If a size is below 1, the sizes do not fit, or another encoding than one-hots is asked for them.
    """

    sizes: Tensor | None
    possible: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        num_categories: int,
        width: int = 256,
        depth: int = 2,
        encoding: InputEncoding | None = None,
        ordered: bool = False,
        sizes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = event_shape = _as_shape(event_shape)
        self.num_categories = num_categories
        checked = None if sizes is None else check_sizes(sizes, self.event_shape, num_categories)
        self.register_buffer("sizes", _sizes_buffer(checked, self.event_shape), persistent=False)
        if self.sizes is not None and encoding not in (None, "onehot"):
            raise InputError(f"encoding must be 'onehot' with sizes, got {encoding!r}")
        default = default_encoding(num_categories, ordered) if self.sizes is None else "onehot"
        self.read = CodeInput(num_categories, encoding or default)
        num_positions = math.prod(event_shape)
        possible = torch.arange(num_positions * num_categories)
        if checked is not None:  # on the CPU even where the network is only measured, on a device without memory
            limits = torch.tensor(checked, device="cpu")
            possible = (torch.arange(num_categories, device="cpu") < limits[:, None]).flatten().nonzero().squeeze(1)
        self.register_buffer("possible", possible, persistent=False)
        inputs = num_positions * self.read.num_features if self.sizes is None else len(self.possible)
        self.hidden = _hidden_layers(inputs, width, depth)
        self.to_log_ratio = nn.Linear(width, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """F of codes ``[B, *event_shape]`` or soft one-hots ``[B, *event_shape, K]``: ``[B]``."""
        return self.to_log_ratio(self.hidden(self._features(codes))).squeeze(1)

    def alternatives(self, codes: Tensor) -> Tensor:
        """F of samples with the code at each position exchanged for each category.

        An exchange changes the first layer's sum by a difference of two columns, so only the layers behind it are run
        once for each pair of position and category.

        Args:
            codes: Integers ``[B, *event_shape]``.

        Returns:
            ``[B, *event_shape, K]``; 0 for a category that its position cannot have.
        """
        first = cast(nn.Linear, self.hidden[0])
        sums = first(self._features(codes))  # [B, W]
        table = self._sums_of_codes(first.weight)  # [P K, W]
        place = torch.arange(math.prod(self.event_shape), device=codes.device)
        own = table[as_index(codes).flatten(1) + place * self.num_categories]  # [B, P, W]
        position = self.possible // self.num_categories
        exchanged = sums[:, None] - own[:, position] + table[self.possible]  # [B, V, W]
        found = self.to_log_ratio(self.hidden[1:](exchanged)).squeeze(-1)
        if self.sizes is not None:
            found = found.new_zeros(len(codes), len(table)).index_copy(1, self.possible, found)
        return found.unflatten(1, (*self.event_shape, self.num_categories))

    def _features(self, codes: Tensor) -> Tensor:
        features = self.read(codes, len(self.event_shape)).flatten(1)
        return features if self.sizes is None else features[:, self.possible]

    def _sums_of_codes(self, weight: Tensor) -> Tensor:
        """What each code at each position adds to the first layer's sums, ``[P K, W]``."""
        if self.sizes is not None:
            table = weight.new_zeros(math.prod(self.event_shape) * self.num_categories, len(weight))
            return table.index_copy(0, self.possible, weight.t())
        rows = self.read(torch.eye(self.num_categories, device=weight.device), 0).to(weight.dtype)  # [K, features]
        by_position = weight.unflatten(1, (-1, self.read.num_features))
        return torch.einsum("kf,wpf->pkw", rows, by_position).flatten(0, 1)
