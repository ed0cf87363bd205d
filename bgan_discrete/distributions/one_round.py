"""One round of samples that are drawn in rounds: what a step of the game is played with.

Letters: N latents, M draws, B samples, K categories.
"""

import torch
from torch import Tensor

from bgan_discrete.distributions.factorized import FactorizedCategorical
from bgan_discrete.errors import InputError


class RoundCategorical(FactorizedCategorical):
    """One round of each of N samples: the positions that it draws, given what was drawn before.

    Draws of a latent have their earlier rounds in common, and so are a group whose weights can be compared. All codes
    are those of partly drawn samples: ``[M, N, *event_shape]`` in ``[0, K]``, K where hidden.

    Args:
        logits: ``[N, *event_shape, K]``; of codes that a position cannot have, half the lowest finite number.
        prefix: Integers ``[N, *event_shape]``: what was drawn before; K at all other positions.
        is_drawn: Booleans ``[N, *event_shape]``: the positions of the round.
        largest: Integers ``[*event_shape]``, the largest code of each position; None where all have K codes.

    Raises:
        InputError: If the shapes do not fit.
    """

    is_mixture = False

    def __init__(self, logits: Tensor, prefix: Tensor, is_drawn: Tensor, largest: Tensor | None = None) -> None:
        super().__init__(logits)
        wanted = (self.batch_size, *self.event_shape)
        if prefix.shape != wanted or is_drawn.shape != wanted:
            got = f"{list(prefix.shape)} and {list(is_drawn.shape)}"
            raise InputError(f"prefix and is_drawn must have shape {list(wanted)}, got {got}")
        self.prefix, self.is_drawn, self.largest = prefix, is_drawn, largest

    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw the round, all else as in the prefix; arguments as in `Distribution`."""
        codes = super().sample(num_draws, rng)
        if self.largest is not None:
            codes = torch.minimum(codes, self.largest.to(codes.dtype))
        return torch.where(self.is_drawn, codes.to(self.prefix.dtype), self.prefix)

    def log_prob(self, codes: Tensor) -> Tensor:
        """``log q(round | prefix)``, ``[M, N]``, of codes with this prefix."""
        return super().log_prob(self._of_round(codes))

    def weighted_log_prob(
        self, codes: Tensor, advantages: Tensor, zero_sum: bool = False, method: str | None = None
    ) -> Tensor:
        """As in `FactorizedCategorical`, over the positions of the round."""
        return super().weighted_log_prob(self._of_round(codes), advantages, zero_sum, method)

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Distribution`: the positions of the round are open."""
        self._check_codes(draw[None])
        return self.log_probs, self.is_drawn

    def hide(self, codes: Tensor) -> Tensor:
        """Hide what is drawn after the round in samples, such as those of the data.

        Args:
            codes: Integers ``[B, *event_shape]``: sample i is hidden as latent ``i % N`` is.

        Returns:
            The same shape, in the dtype of partly drawn samples.
        """
        is_visible = self.is_drawn | (self.prefix != self.num_categories)
        of_codes = torch.arange(len(codes), device=codes.device) % len(is_visible)
        return codes.to(self.prefix.dtype).masked_fill(~is_visible[of_codes], self.num_categories)

    def _of_round(self, codes: Tensor) -> Tensor:
        """Codes without hidden ones, which no table has a row for; other positions do not count."""
        return codes.masked_fill(~self.is_drawn, 0) if codes.shape[1:] == self.is_drawn.shape else codes

    def _counted(self, codes: Tensor) -> Tensor | None:
        return self.is_drawn.flatten(1).expand(len(codes), -1, -1)
