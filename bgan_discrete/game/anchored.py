"""A discriminator that knows how far the generator has come since it began, so that it has only the rest to learn.

    F(x) = network(x) + log q_start(x) - log q(x)

Where the probabilities of samples are exact, ``log q_start/q`` is no secret, and the best network, ``log p/q_start``,
stays the same while the generator moves: a network that has learnt nothing yet keeps the generator near its start
rather than lose it, and draws that a target likes, but the data hardly have, cost no network of high precision.

Letters: N latents, Z width of a latent, B samples, C classes.
"""

import copy
from typing import Any, cast

import torch
from torch import Tensor

from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import CreditName, Discriminator, Generator
from bgan_discrete.game.scoring import at_rest

NUM_LATENTS = 256
"""By which the mixture of the first round is computed, the same ones at every call, of each class."""


class AnchoredDiscriminator(Discriminator):
    """A network's log-ratio from the start of a generator, and the generator's own since then.

    Args:
        network: Learns ``log p/q_start``; of soft one-hots, which have no probability, it gives all.
        generator: That moves; it draws in rounds, so that its samples have exact probabilities.
        seed: Of the latents of the mixture.

    Raises:
        InputError: If the generator has no exact probabilities.

    Source:
        As a penalty of the reward, the ratio to a start is that of Jaques et al., "Sequence tutor" (2017); here the
        network that learns the data stays beside it, and with it the data as the fixed point.
    """

    credits: tuple[CreditName, ...] = ("sample",)

    def __init__(self, network: Discriminator, generator: Generator, seed: int = 0) -> None:
        super().__init__(network.space, network.num_classes, network.partial)
        if not has_exact_probabilities(generator):
            raise InputError(
                "target_form 'anchored' needs a generator that draws in rounds, causal or masked, whose samples have "
                f"exact probabilities, got {type(generator).__name__}"
            )
        self.network = network
        # Not modules of this one, whose parameters are those that learn to discriminate.
        self._players = (generator, copy.deepcopy(generator).requires_grad_(False))
        rng = torch.Generator().manual_seed(seed)
        self._latents = sample_latents(NUM_LATENTS, generator.latent_size, generator.latent_kind, rng)

    def begin_from(self, start: Generator) -> None:
        """Let a generator's weights be the start.

        Args:
            start: Of the same class; it is copied.
        """
        self._players[1].load_state_dict(start.state_dict())

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of whole samples, ``[B]``; arguments as of `Discriminator`."""
        log_ratio: Tensor = self.network(samples) if labels is None else self.network(samples, labels)
        if samples.is_floating_point():
            return log_ratio
        return log_ratio + self.since_start(self._players[0], samples, labels).to(log_ratio.dtype)

    def since_start(self, generator: Generator, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """``log q_start(x) - log q(x)``, ``[B]``.

        Args:
            generator: q, such as averaged weights of the one that moves.
            codes: ``[B, *event_shape]``.
            labels: As of `Discriminator`.

        Returns:
            The log-ratios, without gradients.
        """
        return self._log_prob(self._players[1], codes, labels) - self._log_prob(generator, codes, labels)

    @torch.no_grad()
    def _log_prob(self, generator: Generator, codes: Tensor, labels: Tensor | None) -> Tensor:
        """``log q(x)``, ``[B]``, and of its label where there are classes."""
        like = next(generator.parameters())
        latents = self._latents.to(like.device, like.dtype)
        with at_rest(generator):
            if labels is None or generator.num_classes is None:
                distribution: Any = generator(latents)
                return cast(Tensor, distribution.mixture_log_prob(codes))
            of_class = torch.arange(generator.num_classes, device=like.device)
            distribution = generator(
                latents.repeat(generator.num_classes, 1), of_class.repeat_interleave(len(self._latents))
            )
            of_samples = labels[torch.arange(len(codes), device=labels.device) % len(labels)]
            return cast(Tensor, distribution.mixture_log_prob(codes, of_samples))


def has_exact_probabilities(generator: Generator) -> bool:
    """Whether samples of a generator have probabilities that are exact, but for the latent of a first round."""
    return generator.num_rounds > 1
