"""A game of small networks on codes of 3 x 2 positions, and one step of any kind in it."""

from typing import Any

import torch
from torch import Tensor, nn

from bgan_discrete import MLPDiscriminator, MLPGenerator, SampleSpace
from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.players import Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step, discriminator_step, generator_step

SHAPE, K, N, M = (3, 2), 4, 5, 6
SPACE = SampleSpace(SHAPE, K)
MOVES = {
    "discriminator": ["discriminator"], "generator": ["generator"], "both": ["discriminator", "generator"],
    "likelihood": ["generator"],
}  # fmt: skip
"""Kind of step -> whom it moves, in this order."""


def networks() -> tuple[MLPGenerator, MLPDiscriminator]:
    torch.manual_seed(0)
    return MLPGenerator(SPACE, latent_size=3, width=8), MLPDiscriminator(SPACE, width=8, encoding="onehot")


def latents(count: int = N) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1))


def real_codes(count: int = N) -> Tensor:
    return torch.randint(0, K, (count, *SHAPE), generator=torch.Generator().manual_seed(2)).to(torch.uint8)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def weights(*modules: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for module in modules for parameter in module.parameters()]


def taken(
    step: str,
    game: Game,
    both: Players,
    real: Tensor | None = None,
    z: Tensor | None = None,
    condition: Tensor | None = None,
    penalty_scale: float = 1.0,
) -> dict[str, Tensor]:
    """The figures of one step, of a kind in `MOVES`."""
    real, z = real_codes() if real is None else real, latents() if z is None else z
    if step == "discriminator":
        return discriminator_step(game, both, real, z, condition, penalty_scale, rng())
    if step == "generator":
        return generator_step(game, both, z, condition, rng())
    if step == "likelihood":
        return likelihood_step(both, real, z)
    return adversarial_step(game, both, real, z, condition, penalty_scale, rng())


def drawn_by_the_logits(self: FactorizedCategorical, num_draws: int, rng: Any = None) -> Tensor:
    """Draws that do not depend on what else is drawn: of each position the M codes from the likeliest one on."""
    shift = torch.arange(num_draws).view(-1, *[1] * (self.logits.ndim - 1))
    return ((self.logits.detach().argmax(-1) + shift) % self.num_categories).to(torch.uint8)
