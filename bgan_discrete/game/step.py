"""One step of the game: algorithm 1 of Hjelm et al. (2018), and nothing else.

    z -> generator -> distribution -> M draws -> discriminator -> log weights F -> advantages -> surrogate -> step

How networks run (precision, chunks, several processes) is in `players`, how they move (parts of a batch, the guard
against inf and NaN) in `updates`. Letters: N latents in a batch, M draws of each, B samples.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from bgan_discrete.distributions import Distribution
from bgan_discrete.game.credit import Credit, sample_credit
from bgan_discrete.game.divergences import DIVERGENCES, Divergence
from bgan_discrete.game.estimators import Estimator, as_estimator, make_estimator
from bgan_discrete.game.penalties import Penalty, checked_penalty
from bgan_discrete.game.players import Players, refuse_names
from bgan_discrete.game.scoring import Scorer, as_samples, discriminate, draws_of, generate
from bgan_discrete.game.updates import Figures, Outcome, move
from bgan_discrete.game.weights import log_ratio_diagnostics

Condition: TypeAlias = Tensor | None
Dice: TypeAlias = torch.Generator | None


@dataclass
class Game:
    """What both players agree on."""

    estimator: Estimator = field(default_factory=lambda: make_estimator("bgan_centered"))  # log weights -> advantages
    num_draws: int = 20  # M, draws per latent that the generator learns from
    divergence: Divergence = DIVERGENCES["gan"]  # the discriminator's loss; the weights are exp F under every one
    discriminator_draws: int = 1  # draws per latent that the discriminator learns from
    penalty: Penalty | None = None  # of the discriminator's gradient on soft one-hots
    penalty_weight: float = 1.0  # gamma
    credit: Credit = sample_credit  # whose F weighs a position: the sample's, its prefix's, each alternative's

    def __post_init__(self) -> None:
        """Take a function as an estimator; refuse names."""
        self.estimator = as_estimator(self.estimator)
        refuse_names(divergence=self.divergence, penalty=self.penalty, credit=self.credit)


def discriminator_loss(
    game: Game, players: Players, real: Tensor, fake: Tensor, condition: Condition, penalty_scale: float, rng: Dice
) -> Outcome:
    """``-(E_P f'(e^F) - E_q f*(f'(e^F))) + gamma R`` of codes or soft one-hots: least where F = log p/q."""
    log_ratio_real, log_ratio_fake = discriminate(players, real, fake, condition)
    loss = game.divergence.discriminator_loss(log_ratio_real, log_ratio_fake)
    seen = {"discriminator_loss": loss.detach(), **log_ratio_diagnostics(log_ratio_real, log_ratio_fake)}
    if game.penalty is not None and penalty_scale > 0:
        penalty = checked_penalty(game.penalty, players, real, fake, condition, rng)
        loss = loss + game.penalty_weight * penalty_scale * penalty
        seen["penalty"] = penalty.detach()
    return Outcome(loss, seen)


def generator_loss(
    game: Game, players: Players, distribution: Distribution, codes: Tensor, condition: Condition = None
) -> Outcome:
    """``-1/N sum_n sum_m a[m, n] log g(x[m, n] | z_n)`` of draws ``[M, N, *event_shape]``; no gradient through a."""
    surrogate_N, log_w_MN = game.credit(game.estimator, distribution, codes, Scorer(players, condition))
    return Outcome(-surrogate_N.mean(), log_w_MN, distribution)


def discriminator_step(
    game: Game, players: Players, real: Tensor, latents: Tensor, condition: Condition = None, *,
    penalty_scale: float = 1.0, rng: Dice = None,
) -> Figures:  # fmt: skip
    """Move F towards ``log p/q``, by real codes ``[B, *event_shape]`` and draws for latents ``[N, Z]``.

    Args:
        game: What both agree on.
        players: Both networks; the discriminator moves.
        real: From the data.
        latents: Of the draws.
        condition: ``[N, ...]``, labels say, that both networks get too: row i of B samples belongs to ``i % N``.
        penalty_scale: Factor of the penalty: 0 leaves it out; k where it is taken every k steps.
        rng: Source of all chance.

    Returns:
        Scalar tensors: loss, mean F and D on both sides, penalty, gradient norm.

    Raises:
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """

    def loss_of(real: Tensor, latents: Tensor, condition: Condition) -> Outcome:
        with torch.no_grad():
            distribution = generate(players, latents, condition)
        fake = as_samples(draws_of(distribution, game.discriminator_draws, latents, rng, real), real, condition)
        return discriminator_loss(game, players, real, fake, condition, penalty_scale, rng)

    return move(players, "discriminator", loss_of, real, latents, condition)


def generator_step(
    game: Game, players: Players, latents: Tensor, condition: Condition = None, *, rng: Dice = None
) -> Figures:
    """Move the draws to the decision boundary, D = 1/2; the discriminator scores them. As in `discriminator_step`."""

    def loss_of(latents: Tensor, condition: Condition) -> Outcome:
        distribution = generate(players, latents, condition)
        codes = draws_of(distribution, game.num_draws, latents, rng)
        return generator_loss(game, players, distribution, codes, condition)

    return move(players, "generator", loss_of, latents, condition, whole=game.estimator.couples_latents)


def adversarial_step(
    game: Game, players: Players, real: Tensor, latents: Tensor, condition: Condition = None, *,
    penalty_scale: float = 1.0, rng: Dice = None,
) -> Figures:  # fmt: skip
    """`discriminator_step`, then `generator_step`, by one pass of the generator where the batch is in one part."""
    if players.parts > 1:
        figures = discriminator_step(game, players, real, latents, condition, penalty_scale=penalty_scale, rng=rng)
        return figures | generator_step(game, players, latents, condition, rng=rng)
    distribution = generate(players, latents, condition)
    draws = draws_of(distribution, game.discriminator_draws + game.num_draws, latents, rng, real)
    own, codes = draws.split([game.discriminator_draws, game.num_draws])  # it learns from its own, scores the others
    fake = as_samples(own, real, condition)
    figures = move(
        players, "discriminator", lambda: discriminator_loss(game, players, real, fake, condition, penalty_scale, rng)
    )
    return figures | move(players, "generator", lambda: generator_loss(game, players, distribution, codes, condition))
