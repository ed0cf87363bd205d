"""The game that a configuration names, and how it runs on a device and in its processes."""

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from bgan_discrete.errors import InputError
from bgan_discrete.game.divergences import get_divergence
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.step import FiniteGuard, Game
from bgan_discrete.parallel import ALONE, Processes
from bgan_discrete.training.config import TrainingConfig

SCORED_POSITIONS = 2**18
"""On a CPU, the discriminator scores about so many positions at once, within 64 to 256 samples."""


def configured_game(config: TrainingConfig, processes: Processes = ALONE) -> Game:
    """The game that a configuration names.

    Args:
        config: Its estimator, divergence, penalty, numbers of draws and credit are used.
        processes: Those that share a batch.

    Returns:
        The game, to be changed with `dataclasses.replace`; it does not say yet how it runs (`make_game`).
    """
    estimator = make_estimator(
        config.estimator,
        normalization=config.normalization,
        tempering=config.tempering,
        log_weight_clip=config.log_weight_clip,
        processes=processes,
    )
    return Game(
        estimator=estimator,
        num_draws=config.num_draws,
        divergence=get_divergence(config.divergence),
        discriminator_draws=config.discriminator_draws or config.num_draws,
        penalty=get_penalty(config.penalty),
        penalty_weight=config.penalty_weight,
        credit=config.credit,
        entropy_weight=config.entropy_weight,
        escort=1.0 if config.escort is None else config.escort,
    )


def make_game(
    config: TrainingConfig,
    device: torch.device,
    num_positions: int,
    processes: Processes = ALONE,
    game: Game | None = None,
) -> Game:
    """The game of a training, with what the steps have to know of where they run.

    Args:
        config: Its ``dtype``, ``score_dtype``, ``score_chunk`` and ``gradient_accumulation_steps`` say how it runs.
        device: Where the networks are.
        num_positions: P, of one sample.
        processes: Those that share a batch.
        game: Its choices; those of the configuration if None.

    Returns:
        The game with precision, chunks, guard, accumulation and processes.

    Raises:
        InputError: If the estimator of ``game`` does not go with its draws, its credit or the processes.
    """
    if game is None:
        game = configured_game(config, processes)
    else:
        _check_estimator(game, processes)

    def precision(dtype: str) -> Callable[[], AbstractContextManager[object]]:
        return nullcontext if dtype == "float32" else lambda: torch.autocast(device.type, torch.bfloat16)

    return dataclasses.replace(
        game,
        score_chunk=config.score_chunk or default_score_chunk(device, num_positions),
        autocast=precision(config.dtype),
        score_autocast=precision(config.score_dtype or config.dtype),
        guard=None if device.type == "cpu" else FiniteGuard(),
        accumulation_steps=config.gradient_accumulation_steps,
        processes=processes,
    )


def _check_estimator(game: Game, processes: Processes) -> None:
    estimator = game.estimator
    if game.credit == "alternatives":
        estimator.check_alternatives()
    else:
        estimator.check_num_draws(game.num_draws)
    if estimator.couples_latents and estimator.processes != processes:
        raise InputError(
            f"the estimator {estimator.name!r} weighs a whole batch, which {processes.size} processes share: make it "
            "with processes=, such as make_estimator(..., processes=current_processes())"
        )


def default_score_chunk(device: torch.device, num_positions: int) -> int | None:
    """Samples that the discriminator scores at once: on a CPU a few hundred, beyond which there is nothing to gain.

    Args:
        device: Where it scores.
        num_positions: P, of one sample.

    Returns:
        How many; None for all of them.
    """
    if device.type != "cpu":
        return None
    return min(256, max(64, SCORED_POSITIONS // num_positions))
