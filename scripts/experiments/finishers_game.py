"""What a finisher starts from; and the game as one, alone or with likelihood as its anchor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from experiments.rounds_data import DataSet
from experiments.rounds_training import Clock, Play, by_game, make_generator
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.players import Dice, Generator, Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import draws_of, generate
from bgan_discrete.game.step import discriminator_step, generator_loss
from bgan_discrete.game.updates import Figures, Outcome, move
from bgan_discrete.sources.data import Data


@dataclass(frozen=True)
class Task:
    """What a finisher starts from, and what it may use up.

    Attributes:
        dataset: With the networks for it.
        data: Its codes.
        network: ``masked`` or ``causal``.
        rounds: S.
        seed: Of all chance.
        clock: The budget.
        start: Weights of the generator by likelihood.
    """

    dataset: DataSet
    data: Data[Any]
    network: str
    rounds: int
    seed: int
    clock: Clock
    start: Mapping[str, Tensor]

    def generator(self) -> Generator:
        """The network with the weights of the start."""
        generator = make_generator(self.dataset, self.data, self.network, self.rounds)
        generator.load_state_dict(self.start)
        return generator

    def codes(self) -> Tensor:
        """Those of the training, ``[n, *event_shape]``."""
        return torch.from_numpy(np.ascontiguousarray(self.data.codes))


@dataclass(frozen=True)
class Finish(Play):
    """The game at a small rate, from the start to the end of the budget.

    Attributes:
        anchor: Weight of the likelihood in the generator's loss.
    """

    after: float = 0.0
    generator_lr: float = 1e-4
    anchor: float = 0.0


def plays_rounds(name: str) -> bool:
    """Whether an estimator is right for generators that draw in rounds, by alternatives too."""
    try:
        estimator = make_estimator(name)
        estimator.check_rounds()
        estimator.check_alternatives()
    except InputError:
        return False
    return True


def anchored_step(
    game: Game, players: Players, real: Tensor, latents: Tensor,
    penalty_scale: float = 1.0, rng: Dice = None, weight: float = 1.0,
) -> Figures:  # fmt: skip
    """A step of the discriminator, then one of the generator down the sum of the game's loss and a likelihood's.

    The game alone may leave samples of the data out; likelihood charges for each of them, which keeps the game from
    sharpening.

    Args:
        game: See `bgan_discrete.game.step.adversarial_step`, and so the next five.
        players: Both move.
        real: Codes of the data.
        latents: For which the generator draws, and over which its likelihood is a mixture.
        penalty_scale: Factor of the penalty.
        rng: Source of all chance.
        weight: Of the likelihood, nats a sample.

    Returns:
        Figures of both steps.
    """

    def loss_of(latents: Tensor, real: Tensor) -> Outcome:
        distribution: Any = generate(players, latents)
        round_in_play = distribution.in_play(rng)
        codes = draws_of(round_in_play, game.num_draws, latents, rng)
        outcome = generator_loss(game, players, round_in_play, codes)
        nats = -distribution.estimated_log_prob(real, rng=rng).mean()
        return replace(outcome, loss=outcome.loss + weight * nats)

    figures = discriminator_step(game, players, real, latents, penalty_scale=penalty_scale, rng=rng)
    return figures | move(players, "generator", loss_of, latents, real)


def by_play(task: Task, plan: Finish) -> dict[str, Any]:
    """Averaged weights after the game, and means of its last 100 steps."""
    step: dict[str, Any] = {"game_step": partial(anchored_step, weight=plan.anchor)} if plan.anchor else {}
    plan, start = replace(plan, network=task.network), {"generator": task.start}
    made = by_game(task.dataset, task.data, plan, task.rounds, task.seed, task.clock, start, **step)
    return {name: made[name] for name in ("generator", "seen")}
