"""The game that a configuration names, and how the players run on a device and in their processes."""

import inspect
from contextlib import nullcontext
from typing import Any, cast

import torch

from bgan_discrete.config import TrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.game.anchored import AnchoredDiscriminator
from bgan_discrete.game.credit import credit_name, make_credit
from bgan_discrete.game.divergences import get_divergence
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.guard import FiniteGuard
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.players import Discriminator, Generator, Players
from bgan_discrete.game.rules import Game
from bgan_discrete.parallel import ALONE, Processes
from bgan_discrete.training.state import TrainingState

SCORED_POSITIONS = 2**18
"""On a CPU, the discriminator scores about this many positions at once, within 64 to 256 samples."""


def make_game(config: TrainingConfig, processes: Processes = ALONE) -> Game:
    """The game that a configuration names.

    Args:
        config: Its estimator, divergence, penalty, numbers of draws and credit are used.
        processes: Those that share a batch.

    Returns:
        The game, to be changed with `dataclasses.replace`.

    Examples:
        >>> make_game(TrainingConfig(num_draws=10)).num_draws
        10
    """
    divergence = get_divergence(config.divergence)
    return Game(
        estimator=make_estimator(config.estimator, divergence=divergence, processes=processes),
        num_draws=config.num_draws,
        divergence=divergence,
        discriminator_draws=config.num_draws if config.discriminator_draws == "all" else config.discriminator_draws,
        penalty=get_penalty(config.penalty),
        penalty_weight=config.penalty_weight,
        credit=make_credit(config.credit, 1.0 if config.escort is None else config.escort),
    )


def checked_config(config: Any) -> TrainingConfig:
    """The configuration of a training, the default for None; raises InputError for what is none or out of range."""
    config = TrainingConfig() if config is None else config
    if not isinstance(config, TrainingConfig):
        advice = "; give a game as game=" if isinstance(config, Game) else ""
        raise InputError(f"config must be a TrainingConfig, got {config!r:.100}{advice}")
    config.check()
    return config


def check_game(
    game: Game, config: TrainingConfig, generator: Generator, discriminator: Discriminator, processes: Processes
) -> None:
    """Raise InputError for a game whose parts do not fit together.

    The estimator must go with draws, credit and processes; the discriminator must read the generator's codes and give
    the F that the credit needs. Where grey levels are continuous nothing is drawn.
    """
    if not isinstance(game, Game):
        raise InputError(f"game must be a Game, such as Game(make_estimator('rloo')), got {game!r:.100}")
    if game.target is not None and config.continuous != "none":
        raise InputError("a target needs draws; leave out verifier and reward with continuous")
    estimator, needed = game.estimator, credit_name(game.credit)
    if config.continuous == "none":
        if needed == "alternatives":
            estimator.check_alternatives()
        else:
            estimator.check_num_draws(game.num_draws)
        if generator.space.num_categories != discriminator.space.num_categories:
            ours, theirs = generator.space.num_categories, discriminator.space.num_categories
            raise InputError(f"generator and discriminator must have the same num_categories, got {ours} and {theirs}")
        if needed is not None and needed not in discriminator.credits:
            name, others = type(discriminator).__name__, ", ".join(discriminator.credits)
            of_what = {"sample": "samples", "prefix": "prefixes"}.get(needed, needed)
            has_option = needed != "alternatives" and "per_prefix" in inspect.signature(type(discriminator)).parameters
            advice = f"; make it with per_prefix={needed == 'prefix'}" if has_option else ""
            raise InputError(
                f"credit {needed!r} needs F of {of_what}, which {name} does not give (it gives F for: {others}){advice}"
            )
    if generator.num_rounds > 1 and game.weighing is None:
        _check_rounds(game, discriminator)
    if estimator.couples_latents and estimator.processes != processes:
        raise InputError(
            f"the estimator {estimator.name!r} weighs a whole batch, which {processes.size} processes share: make it "
            "with processes=, such as make_estimator(..., processes=current_processes())"
        )


def _check_rounds(game: Game, discriminator: Discriminator) -> None:
    """Raise InputError for a game that cannot be played in rounds."""
    if credit_name(game.credit) == "prefix":
        raise InputError("credit 'prefix' is not for generators that draw in rounds; use 'sample' or 'alternatives'")
    game.estimator.check_rounds()
    if not discriminator.partial:
        raise InputError(
            f"discriminator must read samples that are drawn in part, as the generator draws in rounds; make the "
            f"{type(discriminator).__name__} with partial=True"
        )


def make_players(
    config: TrainingConfig, state: TrainingState, device: torch.device, num_positions: int, anchored: bool = False
) -> Players:
    """The players of a training, as the ``dtype`` and ``gradient_accumulation_steps`` of a configuration say.

    With ``anchored`` the discriminator is an `AnchoredDiscriminator` around that of the state.
    """
    generator, discriminator = cast(Generator, state.generator), cast(Discriminator, state.discriminator)
    return Players(
        generator,
        AnchoredDiscriminator(discriminator, generator, config.seed) if anchored else discriminator,
        state.generator_optimizer,
        state.discriminator_optimizer,
        precision=nullcontext if config.dtype == "float32" else lambda: torch.autocast(device.type, torch.bfloat16),
        score_chunk=default_score_chunk(device, num_positions),
        parts=config.gradient_accumulation_steps,
        guard=None if device.type == "cpu" else FiniteGuard(),
        processes=state.processes,
    )


def default_score_chunk(device: torch.device, num_positions: int) -> int | None:
    """Samples of P positions that the discriminator scores at once: a few hundred on a CPU, else None for all."""
    if device.type != "cpu":
        return None
    return min(256, max(64, SCORED_POSITIONS // num_positions))
