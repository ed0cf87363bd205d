"""A plain multilayer-perceptron pair for integer arrays of any event shape."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.nn.images import set_output_bias
from bgan_discrete.nn.inputs import CodeInput, InputEncoding, default_encoding


def _hidden_layers(inputs: int, width: int, depth: int) -> nn.Sequential:
    if width < 1 or depth < 1:
        raise InputError(f"width and depth must be at least 1, got {width} and {depth}")
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.LeakyReLU(0.2)]
        inputs = width
    return nn.Sequential(*layers)


class MLPGenerator(nn.Module):
    """Latent -> hidden layers -> independent categorical distributions of the positions.

    Args:
        event_shape: Shape of one sample's codes.
        num_categories: K.
        latent_size: Z.
        width: Units of a hidden layer.
        depth: Hidden layers.

    Raises:
        InputError: If a size is below 1.
    """

    def __init__(
        self, event_shape: Sequence[int], num_categories: int, latent_size: int = 64, width: int = 256, depth: int = 2
    ) -> None:
        super().__init__()
        if latent_size < 1 or min(event_shape, default=0) < 1:
            raise InputError(
                f"latent_size and event_shape must be at least 1, got {latent_size} and {tuple(event_shape)}"
            )
        self.settings = {
            "event_shape": list(event_shape),
            "num_categories": num_categories,
            "latent_size": latent_size,
            "width": width,
            "depth": depth,
        }
        self.event_shape = tuple(event_shape)
        self.num_categories = num_categories
        self.latent_size = latent_size
        self.hidden = _hidden_layers(latent_size, width, depth)
        self.to_logits = nn.Linear(width, math.prod(event_shape) * num_categories, bias=False)
        self.position_bias = nn.Parameter(torch.zeros(*self.event_shape, num_categories))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given per-position distributions, ``[*event_shape, K]``; as in the convolutional generator."""
        set_output_bias(self.position_bias, self.to_logits, log_frequencies)

    def forward(self, latents: Tensor) -> FactorizedCategorical:
        """The distributions of a batch of latents ``[N, Z]``."""
        logits = self.to_logits(self.hidden(latents))
        return FactorizedCategorical(logits.unflatten(1, self.position_bias.shape) + self.position_bias)


class MLPDiscriminator(nn.Module):
    """Codes -> hidden layers -> one log-ratio F.

    Args:
        event_shape: Shape of one sample's codes.
        num_categories: K.
        width: Units of a hidden layer.
        depth: Hidden layers.
        encoding: How codes are read; `default_encoding` if None.
        ordered: The codes are a scale; for the default encoding.

    Raises:
        InputError: If a size is below 1.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        num_categories: int,
        width: int = 256,
        depth: int = 2,
        encoding: InputEncoding | None = None,
        ordered: bool = False,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.read = CodeInput(num_categories, encoding or default_encoding(num_categories, ordered))
        self.hidden = _hidden_layers(math.prod(event_shape) * self.read.num_features, width, depth)
        self.to_log_ratio = nn.Linear(width, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """F of codes ``[B, *event_shape]`` or soft one-hots ``[B, *event_shape, K]``: ``[B]``."""
        features = self.read(codes, len(self.event_shape)).flatten(1)
        return self.to_log_ratio(self.hidden(features)).squeeze(1)
