"""The trainings behind the table of rounds: by likelihood, by the game, and a discriminator alone."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from experiments.rounds_data import DataSet
from experiments.rounds_trunk import TransformerDiscriminator
from torch import Tensor

from bgan_discrete.distributions.orders import ranks_by_information
from bgan_discrete.game.credit import make_credit
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.players import CreditName, Discriminator, Generator, Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step, discriminator_step
from bgan_discrete.game.updates import Figures
from bgan_discrete.metrics import log_frequencies
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvDiscriminator,
    ConvSequenceDiscriminator,
    GRUGenerator,
    MLPDiscriminator,
)
from bgan_discrete.nn.residual import CausalMLPGenerator, MaskedMLPGenerator
from bgan_discrete.nn.transformers import CausalTransformerGenerator, MaskedTransformerGenerator
from bgan_discrete.nn.unet import MaskedConvGenerator
from bgan_discrete.sources.data import Data
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.average import MovingAverage
from bgan_discrete.training.batches import BatchOrder

LATENT_SIZE = 64
GRU_WIDTH = 256
KEPT_BACK, LOOKS, LOOKED_AT = 10, 20, 1000
"""One in so many samples is kept back where a training stops early, and looked at so often, so many of them."""

LEARNT_ROUNDS = 4
"""Rounds in which a masked network is made that learns every number of rounds by likelihood; any but 1 will do."""

MASKED: dict[str, Callable[..., Generator]] = {
    "transformer": MaskedTransformerGenerator,
    "mlp": MaskedMLPGenerator,
    "conv": MaskedConvGenerator,
}
"""Of a space, with rounds, order, cut and sizes."""

CAUSAL: dict[str, Callable[..., Generator]] = {"transformer": CausalTransformerGenerator, "mlp": CausalMLPGenerator}

TRUNK = "trunk"
"""The discriminator that starts from the trunk of the generator by likelihood; ``transformer`` is the same, fresh."""

DISCRIMINATORS: dict[str, Callable[[SampleSpace], Discriminator]] = {
    "alternatives": lambda space: AlternativesDiscriminator(space, width=64, depth=4, partial=True),
    "sequence": lambda space: ConvSequenceDiscriminator(space, width=128, depth=2, partial=True),
    "mlp": lambda space: MLPDiscriminator(space, width=256, depth=2, partial=True),
    "conv": lambda space: ConvDiscriminator(space, width=32, depth=1, partial=True),
}


@dataclass(frozen=True)
class Likelihood:
    """A training by maximum likelihood.

    Attributes:
        network: ``masked``, one training for every S; ``causal``, one for each S; or ``gru``, which has rounds of one
            position.
        latents: Of the mixture in round 0.
        average: Decay of the averaged weights, which are kept.
    """

    network: str = "masked"
    lr: float = 2e-3
    latents: int = 16
    average: float = 0.99


@dataclass(frozen=True)
class Play:
    """A training by the game, in three parts of its budget: discriminator alone, game, discriminator alone again.

    The last part has the averaged generator, whose samples the discriminator then resamples.

    Attributes:
        network: ``masked`` or ``causal``.
        starts: From the weights of the training ``likelihood``; else at the data's frequencies.
        alone: Share of the budget of the first part.
        after: Share of the budget of the last part.
        credit: None for that of the data set.
        discriminator: None for that of the data set.
        draws: M; None for 1 with the credit ``alternatives``, else 16.
    """

    network: str = "masked"
    starts: bool = True
    alone: float = 0.15
    after: float = 0.1
    generator_lr: float = 2e-4
    discriminator_lr: float = 1e-3
    beta1: float = 0.5
    batch_size: int = 32
    estimator: str = "jeffreys"
    credit: CreditName | None = None
    discriminator: str | None = None
    draws: int | None = None
    penalty_weight: float = 0.0
    penalty_interval: int = 4
    average: float = 0.999


Training = Likelihood | Play

TRAININGS: dict[str, Training] = {
    "likelihood": Likelihood(),
    "causal": Likelihood("causal"),
    "gru": Likelihood("gru"),
    "game": Play(),
    "alone": Play(starts=False, alone=0.0, generator_lr=2e-3, discriminator_lr=2e-3, beta1=0.0, penalty_weight=0.3),
    TRUNK: Play(credit="sample", discriminator=TRUNK, draws=8),
    "fresh": Play(credit="sample", discriminator="transformer", draws=8),
    # A frozen likelihood generator with a discriminator: what resampling alone brings.
    "choice": Play(alone=1.0, after=0.0),
}


def starts_of(training: str) -> bool:
    """Whether a training begins with the weights of ``likelihood``."""
    plan = TRAININGS[training]
    return isinstance(plan, Play) and plan.starts


class Clock:
    """What of a budget is used up.

    Args:
        amount: CPU seconds of this process, or steps.
        in_steps: Which of the two.
    """

    def __init__(self, amount: float, in_steps: bool) -> None:
        self.amount, self.in_steps = amount, in_steps
        self.steps, self.began = 0, time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds since the start."""
        return time.process_time() - self.began

    @property
    def share(self) -> float:
        """Of the budget, in ``[0, 1]``."""
        return min((self.steps if self.in_steps else self.seconds) / self.amount, 1.0)


def make_generator(dataset: DataSet, data: Data[Any], network: str, rounds: int) -> Generator:
    """A new network; ``masked``, ``causal`` or ``gru``."""
    space = data.space
    if network == "gru":
        return GRUGenerator(space, LATENT_SIZE, width=GRU_WIDTH)
    if network == "causal":
        # Data whose order is no other are drawn from left to right, where a cache serves best.
        order = "information" if dataset.order == "information" else "left_to_right"
        generator: Any = CAUSAL[dataset.network](space, LATENT_SIZE, rounds=rounds, order=order, **dataset.sizes)
    else:
        order = dataset.order
        generator = MASKED[dataset.network](
            space, LATENT_SIZE, rounds=rounds, order=order, cut=dataset.cut, **dataset.sizes
        )
    if order == "information":
        generator.set_order(ranks_by_information(data.codes, space.num_categories))
    return generator


def make_discriminator(dataset: DataSet, data: Data[Any], plan: Play) -> Discriminator:
    """A new discriminator."""
    name = plan.discriminator or dataset.discriminator
    if name in (TRUNK, "transformer"):
        return TransformerDiscriminator(data.space, **dataset.sizes, partial=True)
    return DISCRIMINATORS[name](data.space)


def make_game(
    generator: Generator, discriminator: Discriminator, plan: Play, credit: CreditName
) -> tuple[Players, Game]:
    """The players with their optimisers, and the rules."""
    betas = (plan.beta1, 0.99)
    players = Players(
        generator,
        discriminator,
        torch.optim.Adam(generator.parameters(), plan.generator_lr, betas, fused=True),
        torch.optim.Adam(discriminator.parameters(), plan.discriminator_lr, betas, fused=True),
        score_chunk=256,
    )
    game = Game(
        make_estimator(plan.estimator),
        num_draws=plan.draws or (1 if credit == "alternatives" else 16),
        penalty=get_penalty("r1") if plan.penalty_weight else None,
        penalty_weight=plan.penalty_weight,
        penalty_interval=plan.penalty_interval,
        credit=make_credit(credit),
    )
    return players, game


def by_likelihood(dataset: DataSet, data: Data[Any], plan: Likelihood, rounds: int, seed: int, clock: Clock) -> Any:
    """Averaged weights, and the mean loss of the last tenth of the steps."""
    rng = torch.Generator().manual_seed(seed)
    is_for_all = plan.network == "masked"
    generator = make_generator(
        dataset, data, plan.network, min(LEARNT_ROUNDS, rounds_of(data)) if is_for_all else rounds
    )
    generator.set_output_bias(_frequencies(data))
    optimizer = torch.optim.Adam(generator.parameters(), plan.lr, betas=(0.9, 0.99), fused=True)
    codes, losses = torch.from_numpy(np.ascontiguousarray(data.codes)), [math.nan]
    kept = Kept(codes[::KEPT_BACK]) if dataset.stops_early else None
    if kept is not None:
        codes = codes[torch.arange(len(codes)) % KEPT_BACK != 0]
    players, order = Players(generator, None, optimizer), BatchOrder(len(codes), dataset.batch_size, seed)
    average = MovingAverage(generator, plan.average)
    while (share := clock.share) < 1:
        set_rate(optimizer, plan.lr, share)
        if kept is not None:
            kept.look(average, share)
        real = codes[torch.from_numpy(order.indices(clock.steps))]
        count = len(real) if plan.network == "gru" else plan.latents
        figures = likelihood_step(players, real, draw_latents(generator, count, rng), rng=rng)
        losses.append(float(figures["likelihood_loss"]))
        average.update_parameters(generator)
        clock.steps += 1
    recent = losses[-max(len(losses) // 10, 1) :]
    seen = {"loss": float(np.mean(recent))}
    if kept is not None:
        kept.look(average, 1.0)
        return {"generator": kept.weights, "seen": {**seen, "nats kept back": kept.nats, "best at": kept.share}}
    return {"generator": average.module.state_dict(), "seen": seen}


class Kept:
    """The weights under which data that are kept back are most probable, among some looks."""

    def __init__(self, codes: Tensor) -> None:
        self.codes, self.nats, self.share = codes[:LOOKED_AT], math.inf, 0.0
        self.weights: dict[str, Tensor] = {}
        self.next_look = 1 / LOOKS

    @torch.no_grad()
    def look(self, average: MovingAverage, share: float) -> None:
        """Compare the averaged weights with the best so far, where a look is due."""
        if share < self.next_look:
            return
        self.next_look = share + 1 / LOOKS
        generator: Any = average.module
        rng = torch.Generator().manual_seed(0)
        distribution = generator(draw_latents(generator, LATENT_SIZE, rng))
        nats = -float(distribution.mixture_log_prob(self.codes).mean())
        if nats < self.nats:
            self.nats, self.share = nats, share
            self.weights = {name: value.clone() for name, value in generator.state_dict().items()}


def rounds_of(data: Data[Any]) -> int:
    """The most rounds of samples: P."""
    return data.space.num_positions


def by_game(
    dataset: DataSet,
    data: Data[Any],
    plan: Play,
    rounds: int,
    seed: int,
    clock: Clock,
    start: Mapping[str, Any] | None,
    game_step: Callable[..., Figures] = adversarial_step,
) -> dict[str, Any]:
    """Averaged weights of the generator, those of the discriminator, and means of the last 100 steps."""
    generator = make_generator(dataset, data, plan.network, rounds)
    discriminator = make_discriminator(dataset, data, plan)
    if start is None:
        generator.set_output_bias(_frequencies(data))
    else:
        generator.load_state_dict(start["generator"])
    if plan.discriminator == TRUNK:
        discriminator.start_from(generator)  # type: ignore[operator]
    players, game = make_game(generator, discriminator, plan, plan.credit or dataset.credit)
    average = MovingAverage(generator, plan.average)
    average.update_parameters(generator)
    codes = torch.from_numpy(np.ascontiguousarray(data.codes))
    order, rng = BatchOrder(len(codes), plan.batch_size, seed), torch.Generator().manual_seed(seed)
    seen: dict[str, list[float]] = {}
    is_over = False
    while (share := clock.share) < 1:
        if share >= 1 - plan.after and not is_over:
            is_over = True
            generator.load_state_dict(average.module.state_dict())
        is_alone = share < plan.alone or is_over
        for who, rate in (("generator", plan.generator_lr), ("discriminator", plan.discriminator_lr)):
            set_rate(players.side(who)[1], rate, share)  # type: ignore[arg-type]
        real = codes[torch.from_numpy(order.indices(clock.steps))]
        latents = draw_latents(generator, plan.batch_size, rng)
        penalty_scale = plan.penalty_interval * float(clock.steps % plan.penalty_interval == 0)
        step = discriminator_step if is_alone else game_step
        for name, value in step(game, players, real, latents, penalty_scale=penalty_scale, rng=rng).items():
            seen.setdefault(name, []).append(float(value))
        if not is_alone:
            average.update_parameters(generator)
        clock.steps += 1
    shown = ("d_real", "d_fake", "discriminator_loss", "ess_fraction")
    return {
        "generator": average.module.state_dict(),
        "discriminator": discriminator.state_dict(),
        "seen": {name: float(np.mean(seen[name][-100:])) for name in shown if name in seen},
    }


def set_rate(optimizer: torch.optim.Optimizer, rate: float, share: float) -> None:
    """Of a step of a training: a short rise, constant until half of the budget is used up, then down to 2 %."""
    factor = min(1.0, share / 0.02 + 0.02) * (1.0 if share < 0.5 else 1 - 0.98 * (2 * share - 1))
    for group in optimizer.param_groups:
        group["lr"] = rate * factor


def latents_of(generator: Generator, count: int, rng: torch.Generator, among: Tensor | None = None) -> Tensor:
    """Latents ``[count, Z]``, of the generator's kind; or some ``among [L, Z]``, all as probable."""
    if among is None:
        return draw_latents(generator, count, rng)
    return among[torch.randint(len(among), (count,), generator=rng)]


def _frequencies(data: Data[Any]) -> Tensor:
    return torch.from_numpy(log_frequencies(data.codes, data.num_categories))
