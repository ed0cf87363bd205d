"""The boundary-seeking update as the formulas stand, with no thought of cost: what the package is measured against.

One-hot samples ``[M, N, P, K]``; Gumbel or repeated multinomial draws; a discriminator that keeps its graph over all
draws; log-probabilities by products with one-hots.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

Draw = Literal["gumbel", "multinomial"]
Optimizers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]


@torch.no_grad()
def one_hot_draws(log_probs: Tensor, num_draws: int, draw: Draw) -> Tensor:
    """Draws ``[M, N, ..., K]`` as one-hots of ``log_probs [N, ..., K]``."""
    categories = log_probs.shape[-1]
    if draw == "gumbel":
        uniforms = torch.rand((num_draws, *log_probs.shape), device=log_probs.device).clamp_min(1e-12)
        chosen = (log_probs - torch.log(-torch.log(uniforms))).argmax(-1)
    else:
        flat = log_probs.exp().reshape(-1, categories)
        draws = [torch.multinomial(flat, 1).reshape(log_probs.shape[:-1]) for _ in range(num_draws)]
        chosen = torch.stack(draws)
    return one_hot(chosen, categories).float()


def log_prob(log_probs: Tensor, samples: Tensor) -> Tensor:
    """``log g(x_m | z_n)``, ``[M, N]``, of one-hots ``[M, N, ..., K]``."""
    return (samples * log_probs).flatten(2).sum(-1)


def generator_surrogate(log_probs: Tensor, samples: Tensor, log_w_MN: Tensor) -> Tensor:
    """The loss with normalised weights less their mean 1/M, so that it is `bgan_centered`."""
    advantages = torch.softmax(log_w_MN.detach(), 0) - 1 / len(samples)
    return -(advantages * log_prob(log_probs, samples)).sum(0).mean()


def discriminator_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """The negative bound ``-E_P[log D] - E_q[log(1 - D)]``, of F on both sides."""
    return softplus(-on_real).mean() + softplus(on_fake).mean()


def image_step(
    logits_of: Callable[[Tensor], Tensor],
    discriminator: nn.Module,
    optimizers: Optimizers,
    real: Tensor,
    latents: Tensor,
    num_draws: int,
    draw: Draw,
    discriminator_draws: int | None = None,
) -> None:
    """A step of both networks, as in algorithm 1 of Hjelm et al. (2018): one set of draws, which both learn from.

    Args:
        logits_of: The generator: latents ``[N, Z]`` -> logits ``[N, *event_shape, K]``.
        discriminator: Reads one-hots ``[B, *event_shape, K]``.
        optimizers: Of the generator and the discriminator.
        real: Codes ``[N, *event_shape]``.
        latents: ``[N, Z]``.
        num_draws: M.
        draw: How draws are made.
        discriminator_draws: None for the algorithm. A number leaves it: the discriminator learns from so many draws of
            its own for each latent, and scores all M afterwards.
    """
    log_probs = torch.log_softmax(logits_of(latents), -1)
    samples = one_hot_draws(log_probs.detach(), num_draws, draw)
    if discriminator_draws is None:
        loss, surrogate = losses(log_probs, samples, discriminator, real)
    else:
        own = one_hot_draws(log_probs.detach(), discriminator_draws, draw)
        loss, _ = losses(log_probs, own, discriminator, real)
    optimizers[1].zero_grad()
    loss.backward()
    optimizers[1].step()

    if discriminator_draws is not None:
        log_w = discriminator(samples.flatten(0, 1)).view(num_draws, len(latents))
        surrogate = generator_surrogate(log_probs, samples, log_w)
    optimizers[0].zero_grad()
    surrogate.backward()
    optimizers[0].step()


def losses(log_probs: Tensor, samples: Tensor, discriminator: nn.Module, real: Tensor) -> tuple[Tensor, Tensor]:
    """What both networks descend, from one set of draws.

    Args:
        log_probs: Of the generator, ``[N, *event_shape, K]``.
        samples: One-hots ``[M, N, *event_shape, K]``.
        discriminator: Reads one-hots ``[B, *event_shape, K]``.
        real: Codes ``[N, *event_shape]``.

    Returns:
        Of the discriminator and of the generator.
    """
    on_real = discriminator(one_hot(real.long(), log_probs.shape[-1]).float())
    log_w = discriminator(samples.flatten(0, 1))
    surrogate = generator_surrogate(log_probs, samples, log_w.view(samples.shape[:2]))
    return discriminator_loss(on_real, log_w), surrogate


@torch.no_grad()
def draw_by_prefix(logits_of: Callable[[Tensor, Tensor], Tensor], latents: Tensor, length: int) -> Tensor:
    """Sequences ``[B, L]``, each code after a fresh forward pass over the whole prefix.

    Args:
        logits_of: Codes ``[B, T]`` and latents ``[B, Z]`` -> logits ``[B, T, K]``, each position's from those before.
        latents: ``[B, Z]``.
        length: L.

    Returns:
        int64 codes.
    """
    codes = torch.zeros((len(latents), 0), dtype=torch.int64, device=latents.device)
    unknown = torch.zeros((len(latents), 1), dtype=torch.int64, device=latents.device)
    for _ in range(length):
        # The code that is not drawn yet stands at the end; its own logits do not depend on it.
        logits = logits_of(torch.cat([codes, unknown], 1), latents)[:, -1]
        codes = torch.cat([codes, torch.multinomial(torch.softmax(logits, -1), 1)], 1)
    return codes


def text_step(
    logits_of: Callable[[Tensor, Tensor], Tensor],
    discriminator: nn.Module,
    optimizers: Optimizers,
    real: Tensor,
    latents: Tensor,
    num_draws: int,
    discriminator_draws: int | None = None,
) -> None:
    """A step of both networks with an autoregressive generator; arguments as in `image_step`."""
    length = real.shape[1]
    codes = draw_by_prefix(logits_of, latents.repeat(num_draws, 1), length)
    if discriminator_draws is None:
        loss, surrogate = text_losses(logits_of, codes, discriminator, real, latents)
    else:
        own = draw_by_prefix(logits_of, latents.repeat(discriminator_draws, 1), length)
        loss = discriminator_loss(discriminator(real), discriminator(own))
    optimizers[1].zero_grad()
    loss.backward()
    optimizers[1].step()

    if discriminator_draws is not None:
        surrogate = text_surrogate(logits_of, codes, discriminator(codes), latents)
    optimizers[0].zero_grad()
    surrogate.backward()
    optimizers[0].step()


def text_losses(
    logits_of: Callable[[Tensor, Tensor], Tensor],
    codes: Tensor,
    discriminator: nn.Module,
    real: Tensor,
    latents: Tensor,
) -> tuple[Tensor, Tensor]:
    """What both networks descend, from one set of draws ``[M N, L]``; as `losses`."""
    log_w = discriminator(codes)
    surrogate = text_surrogate(logits_of, codes, log_w, latents)
    return discriminator_loss(discriminator(real), log_w), surrogate


def text_surrogate(
    logits_of: Callable[[Tensor, Tensor], Tensor], codes: Tensor, log_w: Tensor, latents: Tensor
) -> Tensor:
    """`generator_surrogate` of draws ``[M N, L]`` with log weights ``[M N]``, after one pass over all of them."""
    num_draws = len(codes) // len(latents)
    log_probs = torch.log_softmax(logits_of(codes, latents.repeat(num_draws, 1)), -1)
    log_g = (one_hot(codes, log_probs.shape[-1]) * log_probs).flatten(1).sum(1).view(num_draws, len(latents))
    advantages = torch.softmax(log_w.detach().view(num_draws, len(latents)), 0) - 1 / num_draws
    return -(advantages * log_g).sum(0).mean()
