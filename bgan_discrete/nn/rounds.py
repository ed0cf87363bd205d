"""Generators that draw in rounds: what their networks have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.distributions.orders import cut_sizes, ranks_of
from bgan_discrete.distributions.protocol import RoundSession
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Generator, check_labels
from bgan_discrete.space import SampleSpace


class RoundsGenerator(Generator):
    """Latents -> distributions over samples that are drawn in rounds; a subclass computes the logits.

    A *masked* network gives the logits of hidden positions given all visible ones, so that it draws in any number of
    rounds; a *causal* one, in one pass, those of all positions given the rounds before their own.

    Args:
        space: What one sample is.
        latent_size: Z; the latent counts in round 0 alone.
        rounds: S.
        order: See `bgan_discrete.distributions.orders.ranks_of`.
        cut: See `bgan_discrete.distributions.orders.cut_sizes`.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).
        num_classes: Classes of the labels that it is called with; None for no labels.
        settings: Further arguments of a subclass.

    Attributes:
        ranks: The order of the positions, which is saved with the weights.

    Raises:
        InputError: If a size is below 1, a name is unknown, or there are more rounds than positions.
    """

    takes_prompt = True
    is_causal = False
    is_ragged = False
    ranks: Tensor

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int,
        rounds: int,
        order: str,
        cut: str | Sequence[int],
        latent_kind: str = "normal",
        num_classes: int | None = None,
        **settings: Any,
    ) -> None:
        own = {"rounds": rounds, "order": order, "cut": cut if isinstance(cut, str) else list(cut), **settings}
        super().__init__(space, latent_size, latent_kind, num_classes, **own)
        self.sizes = cut_sizes(space.num_positions, rounds, cut)
        self.num_rounds = rounds
        self.register_buffer("ranks", ranks_of(order, space.event_shape))

    def set_order(self, ranks: Tensor) -> None:
        """Draw in another order.

        Args:
            ranks: A permutation ``[P]``, such as `bgan_discrete.distributions.orders.ranks_by_information` gives.

        Raises:
            InputError: If it is none of the positions.
        """
        if not torch.equal(ranks.sort().values.to(self.ranks), torch.arange(len(self.ranks), device=self.ranks.device)):
            raise InputError(f"ranks must be a permutation of 0 .. {len(self.ranks) - 1}, got {ranks.tolist()!r:.100}")
        self.ranks.copy_(ranks)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> RoundsCategorical:
        """The distributions of latents ``[N, Z]``, with classes of integers ``labels [N]``."""
        check_labels(self, labels)
        return RoundsCategorical(self, latents, self.space, self.ranks, self.sizes, labels)

    @abstractmethod
    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`."""

    def first_logits(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`; here by a pass over all positions."""
        hidden = torch.full((len(latents), len(rounds)), self.space.num_categories, device=latents.device)
        return self.logits(hidden, latents, labels, rounds, (rounds == 0).nonzero()[:, 0])

    def log_probs(self, shown: Tensor, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`."""
        logits = self.logits(shown, latents, labels, rounds)
        return torch.log_softmax(logits, dim=-1).gather(-1, codes[..., None]).squeeze(-1)

    def session(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> RoundSession:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`; here nothing is remembered."""

        def logits_of_round(codes: Tensor, s: int) -> Tensor:
            return self.logits(codes, latents, labels, rounds, (rounds == s).nonzero()[:, 0])

        return logits_of_round


def cut_in_other_rounds(generator: Generator) -> str:
    """How an order is cut into other rounds than the generator's own: by the same name; of given sizes by halving."""
    cut = generator.settings.get("cut")
    return cut if isinstance(cut, str) else "halving"
