"""Independent categorical distributions whose positions differ in their number of categories, as columns of a table do.

There is one K for all positions, the largest, and what a position lacks has probability exactly 0.

Letters: N latents, M draws, P positions, K categories of the position that has most.
"""

import torch
from torch import Tensor

from bgan_discrete.distributions.factorized import FactorizedCategorical
from bgan_discrete.distributions.sampling import sharpen
from bgan_discrete.errors import InputError


class ColumnCategorical(FactorizedCategorical):
    """`FactorizedCategorical` where the codes of position p are in ``[0, sizes[p])``.

    The logits of the other codes are replaced by half the lowest finite number, so that their probability is exactly 0,
    in the softmax and in its gradient, while everything stays finite: in an entropy or in a sum of weighted
    log-probabilities such a code adds 0 times a finite number. Draws are clamped to the last code of their
    position, because cumulated probabilities on some devices end slightly below 1.

    Args:
        logits: ``[N, *event_shape, K]``, finite.
        sizes: Integers ``[*event_shape]`` in ``[1, K]``, on the device of the logits.

    Raises:
        InputError: If the shapes do not fit.
    """

    def __init__(self, logits: Tensor, sizes: Tensor) -> None:
        super().__init__(logits)
        if tuple(sizes.shape) != self.event_shape:
            raise InputError(f"sizes must have the event shape {list(self.event_shape)}, got {list(sizes.shape)}")
        self.sizes = sizes
        categories = torch.arange(self.num_categories, device=sizes.device)
        impossible = categories >= sizes[..., None]
        self.logits = self.logits.masked_fill(impossible, torch.finfo(self.logits.dtype).min / 2)

    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw codes ``[M, N, *event_shape]``, each below its position's size; arguments as in `Distribution`."""
        codes = super().sample(num_draws, rng)
        return torch.minimum(codes, (self.sizes - 1).to(codes.dtype))

    def sharpened(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> "ColumnCategorical":
        """The distribution with its logits changed; as in `bgan_discrete.distributions.sampling.sharpen`."""
        return ColumnCategorical(sharpen(self.logits, temperature, top_k, top_p), self.sizes)
