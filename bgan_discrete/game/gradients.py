"""How noisy a generator's gradient is: its variance and signal-to-noise ratio, measured while no network moves."""

from collections.abc import Callable

import torch
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import draws_of, generate
from bgan_discrete.game.step import generator_loss


def gradient_statistics(
    game: Game,
    players: Players,
    make_latents: Callable[[], Tensor],
    repeats: int,
    rng: torch.Generator | None = None,
) -> dict[str, float]:
    """Repeat the gradient of a generator's step with fresh latents and draws, and compare the repetitions.

    Args:
        game: What both players agree on. A stateful estimator's state is left as it was.
        players: Both networks, which take no condition; parameters and gradients stay as they are. Statistics of batch
            normalisation move if the generator is in training mode.
        make_latents: Gives latents ``[N, Z]``, new ones at each call.
        repeats: R >= 2, how often.
        rng: Source of the draws.

    Returns:
        ``signal``: the squared norm of the mean gradient, without what noise adds to it (so it may be negative where
        there is nothing but noise); ``variance``: the trace of the covariance of one gradient; ``signal_to_noise``:
        the root of their ratio, 0 where the signal is not positive, inf where there is signal and no variance.
        Estimators of different scale compare by the last.

    Raises:
        InputError: If ``repeats`` < 2.
    """
    if repeats < 2:
        raise InputError(f"repeats must be at least 2, got {repeats}")
    parameters = [parameter for parameter in players.generator.parameters() if parameter.requires_grad]
    state = game.estimator.state_dict()
    total, total_square = torch.zeros(()), 0.0
    for _ in range(repeats):
        latents = make_latents()
        distribution = generate(players, latents)
        codes = draws_of(distribution, game.num_draws, latents, rng)
        loss = generator_loss(game, players, distribution, codes).loss
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        flat = torch.cat([g.flatten().double() for g in gradients if g is not None])
        total = total + flat
        total_square += float(flat.square().sum())
        game.estimator.load_state_dict(state)
    squared_mean = float((total / repeats).square().sum())
    variance = (total_square / repeats - squared_mean) * repeats / (repeats - 1)
    signal = squared_mean - variance / repeats
    ratio = max(signal, 0.0) / variance if variance > 0 else (float("inf") if signal > 0 else 0.0)
    return {"signal": signal, "variance": variance, "signal_to_noise": ratio**0.5}
