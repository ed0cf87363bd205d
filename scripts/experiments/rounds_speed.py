"""The speed of rounds: samples a second for each S, and a step of the game in many rounds against one."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments.rounds_data import DATA_SETS
from experiments.rounds_training import LATENT_SIZE, TRAININGS, Play, make_discriminator, make_game, make_generator

from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.game.step import adversarial_step, generator_step
from bgan_discrete.nn import TransformerGenerator

ROUNDS = (1, 2, 4, 8, 16)
DRAWN = 512
REPEATS = 3
STEP_ROUNDS = 8
STEPS = 12


def measure(folder: Path, name: str = "captions") -> dict[str, Any]:
    """The record: untrained networks of a data set, in turns, by CPU seconds of one thread."""
    dataset, data = DATA_SETS[name], DATA_SETS[name].load(folder)
    num_positions = data.space.num_positions
    rng = torch.Generator().manual_seed(0)
    made = {("masked", s): make_generator(dataset, data, "masked", s) for s in (*ROUNDS, num_positions)}
    made["causal", num_positions] = make_generator(dataset, data, "causal", num_positions)
    made["gru, with its cache", num_positions] = make_generator(dataset, data, "gru", num_positions)
    made["autoregressive transformer, with its cache", num_positions] = TransformerGenerator(
        data.space, LATENT_SIZE, width=dataset.sizes["width"], depth=dataset.sizes["depth"]
    )

    def draw(generator: Any) -> None:
        with torch.no_grad(), at_rest(generator):
            generator(draw_latents(generator, DRAWN, rng)).sample(1, rng)

    seconds = _in_turns({key: functools.partial(draw, generator) for key, generator in made.items()}, REPEATS)
    rows = [{"generator": label, "S": s, "passes": s, "rate": DRAWN / seconds[label, s]} for label, s in made]
    plan = TRAININGS["game"]
    assert isinstance(plan, Play)
    real = torch.from_numpy(np.ascontiguousarray(data.codes[: plan.batch_size]))
    actions: dict[Any, Callable[[], Any]] = {}
    for s in (1, STEP_ROUNDS):
        generator = made["masked", s]
        players, game = make_game(generator, make_discriminator(dataset, data, plan), plan, dataset.credit)

        def whole(players: Any = players, game: Any = game, generator: Any = generator) -> None:
            latents = draw_latents(generator, plan.batch_size, rng)
            adversarial_step(game, players, real, latents, penalty_scale=0, rng=rng)

        def of_generator(players: Any = players, game: Any = game, generator: Any = generator) -> None:
            generator_step(game, players, draw_latents(generator, plan.batch_size, rng), rng=rng)

        actions["adversarial_step", s], actions["generator_step", s] = whole, of_generator
    of_steps = _in_turns(actions, STEPS)
    names = ("adversarial_step", "generator_step")
    return {
        "cell": f"{name}/speed",
        "budget": f"{DRAWN} samples, {REPEATS} times, and {STEPS} steps of {plan.batch_size}, in turns; medians",
        "rounds": rows,
        "steps": [[label, STEP_ROUNDS, of_steps[label, STEP_ROUNDS] / of_steps[label, 1]] for label in names],
    }


def _in_turns(actions: dict[Any, Callable[[], Any]], repeats: int) -> dict[Any, float]:
    """Median CPU seconds of each action; the first turn does not count."""
    spent: dict[Any, list[float]] = {key: [] for key in actions}
    for turn in range(repeats + 1):
        for key, action in actions.items():
            began = time.process_time()
            action()
            if turn:
                spent[key].append(time.process_time() - began)
    return {key: float(np.median(values)) for key, values in spent.items()}
