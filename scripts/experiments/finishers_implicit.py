"""The implicit discriminator: a generator's own log-ratio to an earlier self, where log-probabilities are exact.

Letters: B samples, L latents, Z their width.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from experiments.finishers_game import Task
from experiments.rounds_training import latents_of, set_rate
from torch import Tensor

from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.game.divergences import DIVERGENCES
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Generator, Players
from bgan_discrete.game.updates import Outcome, move
from bgan_discrete.training.average import MovingAverage
from bgan_discrete.training.batches import BatchOrder

GAN = DIVERGENCES["gan"]
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Implicit:
    """The generator's own log-ratio to an earlier self as the discriminator.

    Attributes:
        latents: L, which stand for all from here on: the log-probabilities are exact for the mixture over them, and
            samples are drawn with them.
        refreshed: How often the reference becomes the averaged generator.
    """

    lr: float = 1e-4
    latents: int = 64
    refreshed: int = 8
    average: float = 0.99


def exact_log_prob(generator: Generator, latents: Tensor, codes: Tensor, number: int | None) -> Tensor:
    """``log q`` of samples, or of one round of them given their own earlier rounds.

    Later rounds do not depend on the latent, and round 0 is a mixture over the latents. So it is exact for every
    generator in rounds whose latents are the given ones, all as probable.

    Args:
        generator: Draws in rounds.
        latents: ``[L, Z]``.
        codes: Integers ``[B, *event_shape]``.
        number: Of the round; None for all of them, which costs S passes, or one of a causal network.

    Returns:
        ``[B]``, differentiable.
    """
    distribution: Any = generator(latents)
    if number is None:
        whole: Tensor = distribution.mixture_log_prob(codes)
        return whole
    if number == 0:
        first = distribution.at_round(0)
        is_drawn = first.is_drawn[0]
        return FactorizedCategorical(first.logits[:, is_drawn]).mixture_log_prob(codes[:, is_drawn])
    later: Any = generator(latents[:1].expand(len(codes), -1))
    log_prob: Tensor = later.at_round(number, prefix=codes).log_prob(codes[None])[0]
    return log_prob


@torch.no_grad()
def opponents(reference: Generator, latents: Tensor, real: Tensor, number: int | None, rng: torch.Generator) -> Tensor:
    """Draws of the reference to compare samples with; of one round, given the earlier rounds of the samples.

    Arguments as in `exact_log_prob`.

    Returns:
        Codes ``[B, *event_shape]``; K in rounds after the number.
    """
    distribution: Any = reference(latents_of(reference, len(real), rng, latents))
    if number is not None:
        distribution = distribution.at_round(number, prefix=real)
    codes: Tensor = distribution.sample(1, rng)[0]
    return codes


def implicit_loss(
    generator: Generator, reference: Generator, latents: Tensor, real: Tensor, fake: Tensor, number: int | None
) -> Outcome:
    """``-E_p log sigmoid(F) - E_ref log sigmoid(-F)`` with ``F = log q - log ref``: least where q is p.

    The discriminator's optimum is ``log p/ref``, so that q, which it is made of, is p there. A round is compared
    given earlier rounds of the data, and its optimum is the data's conditional.

    Args:
        generator: q.
        reference: The generator that drew ``fake``; not differentiated.
        latents: As in `exact_log_prob`, and so ``number``.
        real: Samples of the data.
        fake: As `opponents` gives them.
        number: Of the round, or None.

    Returns:
        The loss, and the mean F of both.

    Source:
        Zheng et al., "Direct discriminative optimization" (2025), without its factors on F and on the second term.
    """

    def log_ratio(codes: Tensor) -> Tensor:
        with torch.no_grad():
            of_reference = exact_log_prob(reference, latents, codes, number)
        return exact_log_prob(generator, latents, codes, number) - of_reference

    of_real, of_fake = log_ratio(real), log_ratio(fake)
    seen = {"log_ratio_real": of_real.mean().detach(), "log_ratio_fake": of_fake.mean().detach()}
    return Outcome(GAN.discriminator_loss(of_real, of_fake), seen)


def by_implicit(task: Task, plan: Implicit) -> dict[str, Any]:
    """Generations of the implicit discriminator: all rounds of a causal network at once, else a random one a step."""
    clock, rng = task.clock, torch.Generator().manual_seed(task.seed)
    codes, generator, reference = task.codes(), task.generator(), task.generator().eval()
    latents = draw_latents(generator, plan.latents, rng)
    optimizer = torch.optim.Adam(generator.parameters(), plan.lr, BETAS, fused=True)
    players, order = Players(generator, None, optimizer), BatchOrder(len(codes), task.dataset.batch_size, task.seed)
    average, refreshed, seen = MovingAverage(generator, plan.average), 0, []
    while (share := clock.share) < 1:
        set_rate(optimizer, plan.lr, share)
        if int(share * plan.refreshed) > refreshed:
            refreshed = int(share * plan.refreshed)
            for network in (generator, reference):
                network.load_state_dict(average.module.state_dict())
        real = codes[torch.from_numpy(order.indices(clock.steps))]
        number = None if task.network == "causal" else int(torch.randint(task.rounds, (), generator=rng))
        fake = opponents(reference, latents, real, number, rng)
        loss_of = partial(implicit_loss, generator, reference, latents, number=number)
        seen.append(move(players, "generator", loss_of, real, fake))
        average.update_parameters(generator)
        clock.steps += 1
    recent = {name: float(np.mean([float(one[name]) for one in seen[-100:]])) for name in seen[-1]}
    return {"generator": average.module.state_dict(), "latents": latents, "seen": recent}
