"""The latents of each step, of one process among those that share a batch."""

import torch
from torch import Tensor

from bgan_discrete.config import TrainingConfig
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Generator
from bgan_discrete.parallel import Processes

LATENT_SHARE = 4
"""Samples for each latent in a step of maximum likelihood of samples that are drawn in rounds."""


class LatentSource:
    """Draws this process's latents; ``is_mixture``: distributions have a likelihood of their mixture."""

    def __init__(
        self, generator: Generator, config: TrainingConfig, processes: Processes, rng: torch.Generator, is_mixture: bool
    ) -> None:
        self._generator, self._config, self._processes = generator, config, processes
        self._rng, self._is_mixture = rng, is_mixture

    def draw(self, count: int) -> Tensor:
        """Latents ``[count, Z]``."""
        return draw_latents(self._generator, count, self._rng)

    def batch(self) -> Tensor:
        """This process's share of a batch."""
        return self.draw(self._config.batch_size // self._processes.size)

    def of_likelihood(self, num_samples: int, labels: Tensor | None = None) -> Tensor:
        """Latents ``[S, Z]`` of a step of maximum likelihood; of a mixture the same ones in every process.

        With labels there is one for each sample, whose label it has. In rounds latents count in the first one alone,
        and fewer will do.
        """
        share = LATENT_SHARE if self._generator.num_rounds > 1 and labels is None else 1
        if not self._is_mixture or self._processes.size == 1 or labels is not None:
            return self.draw(max(num_samples // share, 1))
        return self._processes.gather(self.draw(max(self._config.batch_size // share, 1)))[0]
