"""f-divergences in the log-ratio parametrisation.

The discriminator is one real number ``F(x)`` and the variational function is ``T(x) = f'(exp F(x))``. At the optimum
``F = log p/q`` for every strictly convex ``f``, so the importance weight is always ``exp F`` and a divergence is only
a choice of the discriminator's loss:

    maximise  E_P[f'(e^F)] - E_Q[f*(f'(e^F))],      f*(f'(u)) = u f'(u) - f(u)

Source: Nowozin, Cseke, Tomioka, "f-GAN" (2016), equation 6; Hjelm et al., "Boundary-Seeking GANs" (2018), section 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bgan_discrete.errors import InputError

TensorFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Divergence:
    """One f-divergence: the convex function and the two terms of its variational bound.

    Attributes:
        name: Name in `DIVERGENCES`.
        f: The convex function ``f(u)``, u > 0.
        real_term: ``f'(e^F)`` as a function of ``F``.
        fake_term: ``f*(f'(e^F))`` as a function of ``F``.
    """

    name: str
    f: TensorFunction
    real_term: TensorFunction
    fake_term: TensorFunction

    def bound(self, log_ratio_real: Tensor, log_ratio_fake: Tensor) -> Tensor:
        """``E_P[f'(e^F)] - E_Q[f*(f'(e^F))]``: a lower bound of the divergence, tight at ``F = log p/q``.

        Args:
            log_ratio_real: F on real samples, any shape.
            log_ratio_fake: F on generated samples, any shape.

        Returns:
            Scalar, in nats for the entropic divergences.

        Examples:
            >>> log_ratio = torch.zeros(4)  # F = 0: real and generated samples look alike
            >>> get_divergence("jensen_shannon").bound(log_ratio, log_ratio)
            tensor(0.)
        """
        return self.real_term(log_ratio_real).mean() - self.fake_term(log_ratio_fake).mean()

    def discriminator_loss(self, log_ratio_real: Tensor, log_ratio_fake: Tensor) -> Tensor:
        """The negative bound, which the discriminator minimises. Arguments as in `bound`."""
        return -self.bound(log_ratio_real, log_ratio_fake)


def _minus_softplus_minus(log_ratio: Tensor) -> Tensor:
    return -softplus(-log_ratio)


DIVERGENCES: dict[str, Divergence] = {
    divergence.name: divergence
    for divergence in (
        Divergence(
            "gan",
            f=lambda u: u * torch.log(u) - (u + 1) * torch.log(u + 1),
            real_term=_minus_softplus_minus,
            fake_term=softplus,
        ),
        Divergence(
            "jensen_shannon",
            f=lambda u: u * torch.log(u) - (u + 1) * torch.log((u + 1) / 2),
            real_term=lambda log_ratio: math.log(2) - softplus(-log_ratio),
            fake_term=lambda log_ratio: softplus(log_ratio) - math.log(2),
        ),
        Divergence(
            "kl",
            f=lambda u: u * torch.log(u),
            real_term=lambda log_ratio: 1 + log_ratio,
            fake_term=torch.exp,
        ),
        Divergence(
            "reverse_kl",
            f=lambda u: -torch.log(u),
            real_term=lambda log_ratio: -torch.exp(-log_ratio),
            fake_term=lambda log_ratio: log_ratio - 1,
        ),
        Divergence(
            "squared_hellinger",
            f=lambda u: (torch.sqrt(u) - 1) ** 2,
            real_term=lambda log_ratio: -torch.expm1(-log_ratio / 2),
            fake_term=lambda log_ratio: torch.expm1(log_ratio / 2),
        ),
        Divergence(
            "pearson_chi2",
            f=lambda u: (u - 1) ** 2,
            real_term=lambda log_ratio: 2 * torch.expm1(log_ratio),
            fake_term=lambda log_ratio: torch.expm1(2 * log_ratio),
        ),
        Divergence(
            "neyman_chi2",
            f=lambda u: (1 - u) ** 2 / u,
            real_term=lambda log_ratio: -torch.expm1(-2 * log_ratio),
            fake_term=lambda log_ratio: -2 * torch.expm1(-log_ratio),
        ),
    )
}
"""Every divergence by its name."""


def get_divergence(name: str) -> Divergence:
    """Look up a divergence.

    Args:
        name: A key of `DIVERGENCES`.

    Returns:
        The divergence.

    Raises:
        InputError: If the name is unknown, or names total variation, whose discriminator carries no density ratio.

    Examples:
        >>> get_divergence("kl").fake_term(torch.tensor([0.0, 1.0]))
        tensor([1.0000, 2.7183])
    """
    if name in ("total_variation", "tv"):
        raise InputError(
            "divergence 'total_variation' is refused: |u - 1|/2 is not strictly convex, so its discriminator does not "
            f"carry the ratio p/q that the weights need; choose one of {', '.join(DIVERGENCES)}"
        )
    if name not in DIVERGENCES:
        raise InputError(f"divergence {name!r} is unknown; choose one of {', '.join(DIVERGENCES)}")
    return DIVERGENCES[name]
