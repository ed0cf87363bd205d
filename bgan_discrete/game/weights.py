"""Importance weights of draws, from the discriminator's log-ratios, all in the log domain.

``log_w_MN`` is ``F(x[m, n])``, the log weight of draw m of latent n. Letters: M draws, N latents.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.parallel import ALONE, Processes

Normalization = Literal["latent", "batch"]


def log_normalized_weights(log_w_MN: Tensor, over: Normalization = "latent", processes: Processes = ALONE) -> Tensor:
    """Logarithm of the normalised weights.

    ``over="latent"``: ``w~[m, n] = w[m, n] / sum_m' w[m', n]``, summing to 1 for each latent (the partition function
    "alpha" of each latent). ``over="batch"``: ``w~[m, n] = N w[m, n] / sum_m'n' w[m', n']``, summing to N over the
    batch (one partition function "beta" for all): the mean weight is 1/M in both.

    Args:
        log_w_MN: Log weights ``[M, N]``.
        over: What the weights are normalised over.
        processes: Those that hold the parts of the batch, N latents each; all of it counts as the batch.

    Returns:
        ``[M, N]``.

    Raises:
        InputError: If ``over`` is unknown, or if M = 1 with weights over the latent, which are 1 whatever F says.

    Source:
        Hjelm et al. (2018), equations 8 to 10.
    """
    check_draws(log_w_MN.shape[0], over)
    log_w_MN = at_least_float32(log_w_MN)
    if over == "latent":
        return torch.log_softmax(log_w_MN, dim=0)
    largest, log_rest = _log_sum(log_w_MN, processes)
    return (log_w_MN - largest) - (log_rest - math.log(log_w_MN.shape[1] * processes.size))


def normalized_weights(log_w_MN: Tensor, over: Normalization = "latent", processes: Processes = ALONE) -> Tensor:
    """The exponential of `log_normalized_weights`; arguments and errors as in `log_normalized_weights`.

    Examples:
        >>> normalized_weights(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[0.0900, 0.2447, 0.6652]])
    """
    return log_normalized_weights(log_w_MN, over, processes).exp()


def check_draws(num_draws: int, over: Normalization) -> None:
    """Raise InputError if weights normalised ``over`` it carry no signal with ``num_draws``, or it is unknown."""
    if over not in ("latent", "batch"):
        raise InputError(f"normalization must be 'latent' or 'batch', got {over!r}")
    if over == "latent" and num_draws < 2:
        raise InputError(
            f"num_draws must be at least 2 with weights normalised per latent, got {num_draws}: "
            "a single draw always has weight 1, which carries no signal"
        )


def effective_sample_size(log_w_MN: Tensor) -> Tensor:
    """``ESS[n] = (sum_m w)^2 / sum_m w^2``, between 1 and M.

    Args:
        log_w_MN: Log weights ``[M, N]``.

    Returns:
        ``[N]``, in draws.

    Source:
        Kong (1992); Kish (1965).

    Examples:
        >>> effective_sample_size(torch.tensor([[0.0, 0.0], [0.0, 9.0], [0.0, 0.0]]))  # all three count, or one
        tensor([3.0000, 1.0005])
    """
    # Of normalised weights ESS = 1 / sum_m w~^2. A large F itself would lose its digits when doubled.
    log_normalized_MN = torch.log_softmax(at_least_float32(log_w_MN), dim=0)
    return torch.exp(-torch.logsumexp(2 * log_normalized_MN, dim=0))


def log_partition(log_w_MN: Tensor, over: Normalization = "batch", processes: Processes = ALONE) -> Tensor:
    """Logarithm of the estimated partition function, the mean weight.

    Over the batch it estimates ``log beta = log E_q[w]``, which is 0 for a calibrated discriminator; over the latent
    ``log alpha(z) = log E_g(x|z)[w]``.

    Args:
        log_w_MN: Log weights ``[M, N]``.
        over: ``"batch"`` for one number, ``"latent"`` for one of each latent.
        processes: As in `log_normalized_weights`; without a gradient through what is not this process's own.

    Returns:
        A scalar, or ``[N]``.

    Source:
        Hjelm et al. (2018), equations 5 and 9.

    Examples:
        >>> log_partition(torch.tensor([[0.0], [1.0], [2.0]]))  # log of the mean of 1, e and e^2
        tensor(1.3090)
    """
    log_w_MN = at_least_float32(log_w_MN)
    if over == "latent":
        largest = log_w_MN.detach().amax(0).clamp_min(torch.finfo(log_w_MN.dtype).min)  # all may be -inf
        return largest + (torch.logsumexp(log_w_MN - largest, dim=0) - math.log(log_w_MN.shape[0]))
    largest, log_rest = _log_sum(log_w_MN, processes)
    return largest + (log_rest - math.log(log_w_MN.numel() * processes.size))


def _log_sum(log_w_MN: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """The logarithm of the sum of all weights as two numbers, the largest log weight and the rest: their sum rounds."""
    largest = log_w_MN.detach().amax().clamp_min(torch.finfo(log_w_MN.dtype).min)  # all may be -inf
    log_rest = torch.logsumexp(log_w_MN - largest, dim=(0, 1))
    if processes.size == 1:
        return largest, log_rest
    largest_of_each, log_rest_of_each = processes.gather(torch.stack([largest, log_rest])).unbind(1)
    largest = largest_of_each.amax()
    return largest, torch.logsumexp(log_rest_of_each + (largest_of_each - largest), dim=0)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


@torch.no_grad()
def weight_diagnostics(log_w_MN: Tensor, processes: Processes = ALONE) -> dict[str, Tensor]:
    """Health of a step's weights, as scalar tensors on the weights' device (nothing is synchronised).

    Args:
        log_w_MN: Log weights ``[M, N]``.
        processes: As in `log_normalized_weights`.

    Returns:
        ``ess_fraction`` (mean ESS/M), ``max_weight`` (mean over latents of the largest normalised weight), both of this
        process's latents; ``log_beta`` and ``log_weight_std`` of the whole batch.
    """
    log_w_MN = at_least_float32(log_w_MN)
    log_normalized_MN = torch.log_softmax(log_w_MN, dim=0)
    return {
        "ess_fraction": effective_sample_size(log_w_MN).mean() / log_w_MN.shape[0],
        "max_weight": log_normalized_MN.amax(0).exp().mean(),
        "log_beta": log_partition(log_w_MN, processes=processes),
        "log_weight_std": _spread(log_w_MN, processes),
    }


@torch.no_grad()
def log_ratio_diagnostics(log_ratio_real: Tensor, log_ratio_fake: Tensor) -> dict[str, Tensor]:
    """Means of F and of ``D = sigmoid(F)`` on both sides, as scalar tensors.

    Args:
        log_ratio_real: F of real samples, any shape.
        log_ratio_fake: F of generated samples, any shape.

    Returns:
        ``log_ratio_real``, ``log_ratio_fake``, ``d_real`` and ``d_fake``.
    """
    return {
        # Sums of quotients, since F may be so large that its sum is beyond any float.
        "log_ratio_real": (log_ratio_real / log_ratio_real.numel()).sum(),
        "log_ratio_fake": (log_ratio_fake / log_ratio_fake.numel()).sum(),
        "d_real": log_ratio_real.sigmoid().mean(),
        "d_fake": log_ratio_fake.sigmoid().mean(),
    }


def _spread(log_w_MN: Tensor, processes: Processes) -> Tensor:
    """Standard deviation over the batch of all processes: the variance is the mean variance plus that of the means."""
    # Each process divides by its largest absolute log weight, so that no square overflows.
    scale = log_w_MN.abs().amax().clamp_min(torch.finfo(log_w_MN.dtype).tiny)
    variance, mean = torch.var_mean(log_w_MN / scale, unbiased=False)
    variances, means, scales = processes.gather(torch.stack([variance, mean, scale])).unbind(1)
    relative_scales = scales / scales.amax()
    total_variance = (variances * relative_scales.square()).mean() + (means * relative_scales).var(unbiased=False)
    return total_variance.sqrt() * scales.amax()
