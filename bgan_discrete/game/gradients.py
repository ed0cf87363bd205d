"""How noisy a generator's gradient is: its variance and signal-to-noise ratio, measured with the networks at rest."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bgan_discrete.distributions import Distribution
from bgan_discrete.errors import InputError
from bgan_discrete.game.step import Game, generator_loss


def gradient_statistics(
    generator: nn.Module,
    discriminator: nn.Module,
    make_latents: Callable[[], Tensor],
    game: Game,
    repeats: int,
    rng: torch.Generator | None = None,
) -> dict[str, float]:
    """Repeat the gradient of a generator's step with fresh latents and draws, and compare the repetitions.

    Args:
        generator: Maps latents ``[N, Z]`` to a distribution over N samples; its parameters and gradients stay as they
            are.
        discriminator: As in `bgan_discrete.game.step.generator_step`.
        make_latents: Gives latents ``[N, Z]``, new ones at each call.
        game: The choices of the game. A stateful estimator's state is left as it was.
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
    parameters = [parameter for parameter in generator.parameters() if parameter.requires_grad]
    state = game.estimator.state_dict()
    total, total_square = torch.zeros(()), 0.0
    for _ in range(repeats):
        distribution: Distribution = generator(make_latents())
        loss, _ = generator_loss(distribution, discriminator, game, rng)
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
