"""One step of the game: algorithm 1 of Hjelm et al. (2018), and nothing else.

    z -> generator -> distribution -> M draws -> discriminator -> log weights F -> advantages -> surrogate -> step

How networks run is in `players` and `scoring`, how they move (parts of a batch, the guard against inf and NaN) in
`updates`, what both agree on in `rules`, whose F weighs what in `credit`, what samples are to be besides in `targets`.
Where they are drawn in rounds, a step plays one of them. Letters: N latents in a batch, M draws of each, B samples.
"""

from functools import partial

import torch
from torch import Tensor

from bgan_discrete.distributions import Distribution
from bgan_discrete.game.penalties import checked_penalty
from bgan_discrete.game.players import Condition, Dice, Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import Scorer, as_samples, draws_of, generate
from bgan_discrete.game.targets import Said
from bgan_discrete.game.updates import Figures, Outcome, move
from bgan_discrete.game.weights import log_ratio_diagnostics


def discriminator_loss(
    game: Game, players: Players, real: Tensor, fake: Tensor, condition: Condition, penalty_scale: float, rng: Dice
) -> Outcome:
    """``-(E_P f'(e^F) - E_q f*(f'(e^F))) + gamma R``; without the penalty R it is least where ``F = log p/q``.

    Arguments as in `discriminator_step`; real and fake are codes ``[B, *event_shape]``, or soft one-hots of them.
    """
    log_ratio_real, log_ratio_fake = game.log_ratios(players, real, fake, condition)
    loss = game.divergence.discriminator_loss(log_ratio_real, log_ratio_fake)
    seen = {"discriminator_loss": loss.detach(), **log_ratio_diagnostics(log_ratio_real, log_ratio_fake)}
    if game.penalty is not None and penalty_scale > 0:
        penalty = checked_penalty(game.penalty, players, real, fake, condition, rng)
        loss = loss + game.penalty_weight * penalty_scale * penalty
        seen["penalty"] = penalty.detach()
    return Outcome(loss, seen)


def generator_loss(
    game: Game, players: Players, distribution: Distribution, codes: Tensor,
    condition: Condition = None, said: Said | None = None,
) -> Outcome:  # fmt: skip
    """``-1/N sum_n sum_m a[m, n] log g(x[m, n] | z_n)``; no gradient flows through the advantages a.

    Arguments as in `generator_step`; codes are draws ``[M, N, *event_shape]``, ``said`` what a target says of them.
    """
    said = said or game.ask(codes)
    surrogate_N, log_w_MN = game.credit(game.estimator, distribution, codes, Scorer(players, condition, said))
    return Outcome(-surrogate_N.mean(), log_w_MN, distribution, more={} if said is None else said.figures)


def discriminator_step(
    game: Game, players: Players, real: Tensor, latents: Tensor, condition: Condition = None,
    penalty_scale: float = 1.0, rng: Dice = None,
) -> Figures:  # fmt: skip
    """Move F towards ``log p/q``: ascend the divergence's bound on real samples and on draws of the generator.

    Args:
        game: What both players agree on.
        players: Both networks; the discriminator moves.
        real: Codes ``[B, *event_shape]`` of the data.
        latents: ``[N, Z]``, for which the generator draws.
        condition: ``[N, ...]``, such as labels, which both networks get too; draw i has that of ``i % N``, and B = N.
        penalty_scale: Factor of the penalty: 0 leaves it out; k where it is taken every k steps.
        rng: Source of all chance.

    Returns:
        Scalar tensors: loss without the penalty, mean F and mean D on both sides, penalty, gradient norm.

    Raises:
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """

    def loss_of(real: Tensor, latents: Tensor, condition: Condition) -> Outcome:
        with torch.no_grad():
            distribution = game.in_play(generate(players, latents, condition), rng)
        real = distribution.hide(real)
        fake = as_samples(draws_of(distribution, game.discriminator_draws, latents, rng, real), real, condition)
        return discriminator_loss(game, players, real, fake, condition, penalty_scale, rng)

    return move(players, "discriminator", loss_of, real, latents, condition)


def generator_step(
    game: Game, players: Players, latents: Tensor, condition: Condition = None, rng: Dice = None
) -> Figures:
    """Move the generator's draws to the decision boundary, D = 1/2, by the policy gradient.

    Arguments and errors as in `discriminator_step`; draws are scored in eval mode. Gives loss, diagnostics and norm.
    """

    def loss_of(latents: Tensor, condition: Condition) -> Outcome:
        distribution = game.in_play(generate(players, latents, condition), rng)
        codes = draws_of(distribution, game.num_draws, latents, rng)
        return generator_loss(game, players, distribution, codes, condition)

    return move(players, "generator", loss_of, latents, condition, whole=game.estimator.couples_latents)


def adversarial_step(
    game: Game, players: Players, real: Tensor, latents: Tensor, condition: Condition = None,
    penalty_scale: float = 1.0, rng: Dice = None,
) -> Figures:  # fmt: skip
    """Both steps on the same latents, with one pass of the generator; arguments, results and errors as in the two."""
    players.side("generator")  # it is refused before the discriminator moves
    if players.parts > 1:
        figures = discriminator_step(game, players, real, latents, condition, penalty_scale, rng)
        return figures | generator_step(game, players, latents, condition, rng)
    distribution = game.in_play(generate(players, latents, condition), rng)
    real = distribution.hide(real)
    draws = draws_of(distribution, game.discriminator_draws + game.num_draws, latents, rng, real)
    fake_codes, codes = draws.split([game.discriminator_draws, game.num_draws])
    fake = as_samples(fake_codes, real, condition)
    said = game.ask(codes)  # whose programs work while the discriminator learns
    loss_of_samples = partial(discriminator_loss, game, players, real, fake, condition, penalty_scale, rng)
    loss_of_draws = partial(generator_loss, game, players, distribution, codes, condition, said)
    return move(players, "discriminator", loss_of_samples) | move(players, "generator", loss_of_draws)
