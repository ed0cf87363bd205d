"""Both players of a game for tests: any two networks with optimisers, and the smallest networks that there are."""

from typing import Any

import torch
from torch import Tensor, nn

from bgan_discrete import Discriminator, FactorizedCategorical, Generator, SampleSpace
from bgan_discrete.game.players import Players


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.1)


def fused_adam(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=0.1, fused=True)


def players(
    generator: nn.Module | None,
    discriminator: nn.Module | None,
    generator_optimizer: torch.optim.Optimizer | None = None,
    discriminator_optimizer: torch.optim.Optimizer | None = None,
    **options: Any,
) -> Players:
    """Two networks, or one of them, each moved by SGD of rate 0.1 unless another optimiser is given."""
    return Players(
        generator,
        discriminator,
        generator_optimizer or _optimizer(generator),
        discriminator_optimizer or _optimizer(discriminator),
        **options,
    )


def _optimizer(network: nn.Module | None) -> torch.optim.Optimizer | None:
    return None if network is None or not list(network.parameters()) else sgd(network)


class TableGenerator(Generator):
    """The same logits ``[*event_shape, K]`` whatever the latent, which has one number."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(SampleSpace(tuple(logits.shape[:-1]), logits.shape[-1]), latent_size=1)
        self.num_categories, self.logits = logits.shape[-1], nn.Parameter(logits)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
        return FactorizedCategorical(self.logits.expand(len(latents), *self.logits.shape))


class TableDiscriminator(Discriminator):
    """F of samples of one code, from a table ``[K]`` of it."""

    def __init__(self, log_ratios: Tensor, learns: bool = True) -> None:
        super().__init__(SampleSpace((1,), len(log_ratios)))
        self.log_ratios = nn.Parameter(log_ratios, requires_grad=learns)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.log_ratios[samples[:, 0].long()]
