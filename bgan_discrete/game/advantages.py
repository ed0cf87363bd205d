"""Advantages of draws, from their log weights: every estimator as a pure function.

The generator's gradient is ``-1/N sum_n sum_m a[m, n] grad log g(x[m, n] | z_n)``; an estimator is the choice of
the advantages ``a``. Each is a pure function of the log weights ``F(x[m, n])``; no gradient flows through it.

With ``r = w_m / (mean weight of the other draws)``, three of them are monotone functions of one ratio:
`bgan` ``r / (r + M - 1)``, `vimco` ``log(1 + r/(M-1)) - log(1 + 1/(M-1))`` and `loo` ``(r - 1) / M``: a dial from
bounded and biased to unbounded and unbiased in direction.

Letters: M draws, N latents.
"""

import math

import torch
from torch import Tensor

from bgan_discrete.game.divergences import Divergence
from bgan_discrete.game.weights import Normalization, at_least_float32, check_draws, log_partition, normalized_weights
from bgan_discrete.parallel import ALONE, Processes


def bgan(log_w_MN: Tensor, over: Normalization = "latent", processes: Processes = ALONE) -> Tensor:
    """The paper's estimator: the normalised weights ``w~``; biased by O(1/M), without a baseline.

    Args:
        log_w_MN: Log weights ``[M, N]``, M >= 2 over the latent.
        over: What the weights are normalised over; see `bgan_discrete.game.weights.log_normalized_weights`.
        processes: Those that hold the parts of the batch; likewise.

    Returns:
        Advantages ``[M, N]``.

    Raises:
        InputError: If M = 1 with weights over the latent.

    Source:
        Hjelm et al. (2018), equation 10 and algorithm 1.

    Examples:
        >>> bgan(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[0.0900, 0.2447, 0.6652]])
    """
    return normalized_weights(log_w_MN, over, processes)


def bgan_centered(log_w_MN: Tensor, over: Normalization = "latent", processes: Processes = ALONE) -> Tensor:
    """``w~ - 1/M``: exactly the mean of `bgan`, since ``E grad log g = 0``, with less variance.

    Arguments, result and errors as in `bgan`.

    Examples:
        >>> bgan_centered(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.2433, -0.0886,  0.3319]])
    """
    return normalized_weights(log_w_MN, over, processes) - 1 / log_w_MN.shape[0]


def vimco(log_w_MN: Tensor) -> Tensor:
    """``log Zhat - log Zhat without m``, where ``Zhat`` is the mean weight: unbiased for ``grad E[log Zhat_M]``.

    Args:
        log_w_MN: Log weights ``[M, N]``, M >= 2.

    Returns:
        Advantages ``[M, N]``.

    Raises:
        InputError: If M = 1.

    Source:
        Mnih and Rezende, "Variational inference for Monte Carlo objectives" (2016), with the arithmetic mean of the
        other weights as the baseline.

    Examples:
        >>> vimco(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.3111, -0.1248,  0.6889]])
    """
    log_w_MN = _less_the_largest(log_w_MN)
    return log_partition(log_w_MN, over="latent") - _log_mean_of_others(log_w_MN)


def loo(log_w_MN: Tensor) -> Tensor:
    """``(r - 1) / M`` with ``r = w_m / mean of the others``: in direction exactly unbiased for ``grad log Z``.

    Its variance has no bound when the effective sample size is low. Arguments, result and errors as in `vimco`.

    Examples:
        >>> loo(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.2674, -0.1173,  0.9915]])
    """
    log_w_MN = _less_the_largest(log_w_MN)
    return torch.expm1(log_w_MN - _log_mean_of_others(log_w_MN)) / log_w_MN.shape[0]


def rloo(log_w_MN: Tensor) -> Tensor:
    """``(F_m - mean of the others) / M``: unbiased for ``grad E_g[F]`` (reverse KL), with a free baseline.

    Arguments, result and errors as in `vimco`.

    Source:
        Kool, van Hoof, Welling, "Buy 4 REINFORCE samples, get a baseline for free" (2019).

    Examples:
        >>> rloo(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.5000,  0.0000,  0.5000]])
    """
    num_draws = _at_least_two_draws(log_w_MN)
    # F_m - (S - F_m)/(M - 1) = M/(M - 1) (F_m - S/M), so dividing by M leaves 1/(M - 1).
    # A constant in F changes nothing; around the middle of its range no sum leaves that of the dtype.
    low, high = torch.aminmax(at_least_float32(log_w_MN), dim=0)
    scaled_MN = (log_w_MN - (low / 2 + high / 2)) / (num_draws - 1)
    return scaled_MN - scaled_MN.mean(0)


def jeffreys(log_w_MN: Tensor) -> Tensor:
    """The sum of `bgan_centered` and `rloo`: forward and reverse KL, as in Jeffreys' symmetric divergence.

    With log weights alone the choices become sharp, and the gradient of a code vanishes with its probability. The
    weights keep good codes alive as long as ``exp F`` outweighs their small probability.

    Arguments, result and errors as in `vimco`.

    Examples:
        >>> jeffreys(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.7433, -0.0886,  0.8319]])
    """
    return bgan_centered(log_w_MN) + rloo(log_w_MN)


def symmetric(log_w_MN: Tensor) -> Tensor:
    """``softmax_m(F) - softmax_m(-F)``: the weights less those of -F, so that no advantage leaves [-1, 1].

    At ``F = log p/q`` and for many draws, minus the gradient of ``KL(p||q) + 1/2 log E_q[q/p]``, where the second term
    is half of a Renyi divergence of q from p. Small F move it as they move `jeffreys`; large ones do not blow it up.

    Arguments, result and errors as in `vimco`.

    Examples:
        >>> symmetric(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.5752,  0.0000,  0.5752]])
    """
    return normalized_weights(log_w_MN) - normalized_weights(-log_w_MN)


def matched(log_w_MN: Tensor, divergence: Divergence) -> Tensor:
    """``(h(F_m) - mean h of the others) / M``, h the fake term: unbiased for minus the gradient of the divergence.

    ``h(F) = f*(f'(e^F))`` is what the discriminator's bound subtracts on samples. With any F, this is minus the
    gradient of that bound with respect to the generator; at ``F = log p/q`` minus that of the divergence, since the
    derivative of ``q f(p/q)`` by q is ``-h``. For reverse KL h is F - 1, and this is `rloo`.

    Args:
        log_w_MN: Log weights ``[M, N]``, M >= 2.
        divergence: The one that the discriminator is trained by.

    Returns:
        Advantages ``[M, N]``. Where h is beyond the dtype (float32: F above 44 with ``pearson_chi2``, 88 with ``kl``,
        177 with ``squared_hellinger``, below -88 with ``neyman_chi2``) they are NaN, and the step is refused.

    Raises:
        InputError: If M = 1.

    Source:
        Nowozin, Cseke, Tomioka, "f-GAN" (2016), equation 6: the generator descends what the discriminator ascends.

    Examples:
        >>> from bgan_discrete import get_divergence
        >>> matched(torch.tensor([[0.0], [1.0], [2.0]]), get_divergence("gan")).T  # three draws of one latent
        tensor([[-0.3423, -0.0323,  0.3746]])
    """
    return rloo(divergence.fake_term(at_least_float32(log_w_MN)))


def reinforce(log_w_MN: Tensor, log_beta_ema: Tensor | float = 0.0) -> Tensor:
    """``(F - log beta_EMA - 1) / M``: reverse KL with a moving-average baseline.

    Args:
        log_w_MN: Log weights ``[M, N]``, any M >= 1.
        log_beta_ema: Moving average of ``log beta`` over the steps before this one (so that it stays independent of
            this step's draws).

    Returns:
        Advantages ``[M, N]``.

    Source:
        Hjelm et al. (2018), section 2.3 and its appendix.

    Examples:
        >>> reinforce(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.3333,  0.0000,  0.3333]])
    """
    num_draws = log_w_MN.shape[0]
    return at_least_float32(log_w_MN) / num_draws - (log_beta_ema + 1) / num_draws


def maligan(log_w_MN: Tensor, processes: Processes = ALONE) -> Tensor:
    """``N w / (sum of w over the batch) - 1/M``: one partition function for the batch, and a mean baseline.

    The factor N gives the gradient the scale of the other estimators, which the average over latents divides by N.

    Args:
        log_w_MN: Log weights ``[M, N]``, any M >= 1.
        processes: As in `bgan`.

    Returns:
        Advantages ``[M, N]``, summing to zero over the batch.

    Source:
        Che et al., "Maximum-likelihood augmented discrete GANs" (2017), section 3.2.

    Examples:
        >>> maligan(torch.tensor([[0.0], [1.0], [2.0]])).T  # three draws of one latent
        tensor([[-0.2433, -0.0886,  0.3319]])
    """
    return bgan_centered(log_w_MN, "batch", processes)


def _at_least_two_draws(log_w_MN: Tensor) -> int:
    check_draws(log_w_MN.shape[0], "latent")
    return log_w_MN.shape[0]


def _less_the_largest(log_w_MN: Tensor) -> Tensor:
    """Log weights less the largest of each latent: `vimco` and `loo` stay the same, and numbers near 0 keep digits."""
    return at_least_float32(log_w_MN) - log_w_MN.amax(0)


def _log_mean_of_others(log_w_MN: Tensor) -> Tensor:
    """``log (1/(M-1) sum_{j != m} w[j, n])``, ``[M, N]``, by prefix and suffix sums."""
    # Subtracting w_m from the total loses every digit once one weight dominates, and log(1 - w~) may be -inf.
    num_draws = _at_least_two_draws(log_w_MN)
    nothing = log_w_MN.new_full((1, log_w_MN.shape[1]), -math.inf)
    before = torch.cat([nothing, torch.logcumsumexp(log_w_MN, dim=0)[:-1]])
    after = torch.cat([torch.logcumsumexp(log_w_MN.flip(0), dim=0)[:-1].flip(0), nothing])
    return torch.logaddexp(before, after) - math.log(num_draws - 1)
