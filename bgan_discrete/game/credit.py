"""What weighs a position of a draw: F of the sample, of the prefix, or of each code that could be there.

A credit turns draws into the surrogate whose gradient the generator follows, ``[N]``, and the log weights behind it.
It is a function of (estimator, distribution, codes ``[M, N, *event_shape]``, scorer).

Letters: M draws, N latents, P positions (``*event_shape``; L of a sequence), K categories.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bgan_discrete.checks import check_not_negative
from bgan_discrete.distributions import Distribution
from bgan_discrete.distributions.sampling import as_index
from bgan_discrete.errors import InputError
from bgan_discrete.game.estimators import Estimator
from bgan_discrete.game.players import CreditName
from bgan_discrete.game.scoring import Scorer

Credit = Callable[[Estimator, Distribution, Tensor, Scorer], tuple[Tensor, Tensor]]


def sample_credit(
    estimator: Estimator, distribution: Distribution, codes: Tensor, score: Scorer
) -> tuple[Tensor, Tensor]:
    """``sum_m a[m, n] log g(x_m | z_n)``: all positions of a draw are weighed by F of the sample.

    Args:
        estimator: Log weights ``[M, N]`` -> advantages.
        distribution: Over N samples.
        codes: The draws, ``[M, N, *event_shape]``.
        score: F of the draws.

    Returns:
        The surrogate ``[N]``, differentiable, and the log weights ``[M, N]``.

    Raises:
        InputError: If F is not one number for each draw.

    Source:
        Hjelm et al. (2018), algorithm 1.
    """
    log_w_MN = score.draws(codes)
    if log_w_MN.ndim != 2:
        raise InputError(
            f"credit 'sample' needs one F for each sample, {[codes.shape[0] * codes.shape[1]]}, got "
            f"{_as_batch(log_w_MN)}; for F of each prefix take credit 'prefix'"
        )
    advantages_MN = estimator(log_w_MN)
    return distribution.weighted_log_prob(codes, advantages_MN, zero_sum=estimator.zero_sum), log_w_MN


def prefix_credit(
    estimator: Estimator, distribution: Distribution, codes: Tensor, score: Scorer
) -> tuple[Tensor, Tensor]:
    """``sum_mt a[m, n, t] log g(x_mt | z_n, ...)``: a position is weighed by F of the prefix that it ends.

    Every position of a latent is weighed over its draws as a latent of its own. Arguments as in `sample_credit`.

    Returns:
        The surrogate ``[N]``, differentiable, and the log weights ``[M, N L]``.

    Raises:
        InputError: If F is not one number for each position of each draw.
    """
    log_w_MNL = score.draws(codes)
    if log_w_MNL.shape != codes.shape:
        wanted = [codes.shape[0] * codes.shape[1], *codes.shape[2:]]
        raise InputError(f"credit 'prefix' needs F for each position, {wanted}, got {_as_batch(log_w_MNL)}")
    log_w = log_w_MNL.flatten(1)  # [M, N L]: each position as a latent of its own
    advantages_MNL = estimator(log_w).view_as(log_w_MNL)
    return distribution.weighted_log_prob(codes, advantages_MNL, zero_sum=estimator.zero_sum), log_w


def _as_batch(log_w: Tensor) -> list[int]:
    return [log_w.shape[0] * log_w.shape[1], *log_w.shape[2:]]


@dataclass(frozen=True)
class AlternativesCredit:
    """Every code that could be at a position of a draw is weighed, not only the drawn one.

    ``1/M sum_m sum_t sum_k a[m, n, t, k] log g(k at t | z_n, the rest of x_m)``: the expectation of the policy
    gradient over the code at t is taken exactly (with an `escort` of 1), so that a draw teaches L (K - 1) comparisons
    rather than one. Where sequences may end early and all positions are drawn at once, the length keeps the credit of
    the draw as a whole.

    Attributes:
        escort: alpha: the generator's step uses the escort distribution ``q^alpha / sum_j q_j^alpha`` instead of the
            probabilities q of a choice, so that improbable codes keep a gradient. 1 is exact. Below 1 the gradient
            differs, but still vanishes where F is equal for all codes.

    Raises:
        InputError: If the escort is not in (0, 1].

    Source:
        The local expectation gradient of Titsias and Lazaro-Gredilla (2015), with the weights of Hjelm et al. (2018).
    """

    escort: float = 1.0

    def __post_init__(self) -> None:
        """Refuse other numbers."""
        check_not_negative(escort=self.escort)
        if not 0 < self.escort <= 1:
            raise InputError(f"escort must be in (0, 1], got {self.escort}")

    def __call__(
        self, estimator: Estimator, distribution: Distribution, codes: Tensor, score: Scorer
    ) -> tuple[Tensor, Tensor]:
        """Arguments as in `sample_credit`.

        Returns:
            The surrogate ``[N]``, differentiable; and log weights of the draws ``[M, N]``, each the mean F over
            its positions.

        Raises:
            InputError: If the distribution or the discriminator knows no alternatives, or the estimator has no such
                form.
        """
        surrogate_N, log_w_MN = torch.zeros((), device=codes.device), []
        for draw in codes:  # one after the other, so that no [M, N, P, K] exists
            # 1. Every code that could be at a position: how probable it is, and what F would be.
            log_q_NPK, is_open_NP = distribution.alternatives(draw)
            log_w_NPK = score.alternatives(draw)
            if log_w_NPK.shape != log_q_NPK.shape:
                wanted, got = list(log_q_NPK.shape), list(log_w_NPK.shape)
                raise InputError(f"discriminator.alternatives must give F of shape {wanted}, got {got}")

            # 2. Their advantages, and F of the code that was drawn; positions that leave no choice are ignored, and
            #    hidden ones, whose code is K, are among them.
            advantages_NPK = estimator.over_alternatives(log_q_NPK.detach(), log_w_NPK, self.escort)
            index_NP = as_index(draw).clamp_max(log_w_NPK.shape[-1] - 1)
            log_w_NP = log_w_NPK.gather(-1, index_NP[..., None]).squeeze(-1)
            num_open: Tensor | int = draw[0].numel()
            if is_open_NP is not None:
                advantages_NPK = advantages_NPK.masked_fill(~is_open_NP[..., None], 0)  # whatever F is there
                log_w_NP = log_w_NP * is_open_NP
                num_open = is_open_NP.flatten(1).sum(1, keepdim=True).clamp_min(1)

            # 3. Both summed over the positions, F as a mean.
            surrogate_N = surrogate_N + (advantages_NPK * log_q_NPK).flatten(1).sum(1)
            log_w_MN.append((log_w_NP.flatten(1) / num_open).sum(1))
        surrogate_N = surrogate_N / len(codes)

        # 4. What is no choice, such as where a sequence ends, keeps the credit of the draw as a whole.
        fixed_MN = distribution.fixed_log_prob(codes)
        if fixed_MN is not None:
            log_w = score.draws(codes)  # [M, N], or more than one F for each draw, of which the mean counts
            whole_log_w_MN = log_w if log_w.ndim == 2 else (log_w / log_w.shape[-1]).sum(-1)
            surrogate_N = surrogate_N + (estimator(whole_log_w_MN) * fixed_MN).sum(0)
        return surrogate_N, torch.stack(log_w_MN)


def make_credit(name: CreditName, escort: float = 1.0) -> Credit:
    """Look up a credit.

    Args:
        name: ``"sample"``, ``"prefix"`` or ``"alternatives"``.
        escort: Of the alternatives.

    Returns:
        The credit.

    Raises:
        InputError: If the name is unknown, or a number out of its range.
    """
    credits: dict[str, Credit] = {
        "sample": sample_credit,
        "prefix": prefix_credit,
        "alternatives": AlternativesCredit(escort),
    }
    if name not in credits:
        raise InputError(f"credit {name!r} is unknown; choose one of {', '.join(credits)}")
    return credits[name]


def credit_name(credit: Credit) -> CreditName | None:
    """The name of a credit of this package.

    Args:
        credit: Any.

    Returns:
        Its name, by which `Discriminator.credits` calls it; None for one's own.
    """
    if isinstance(credit, AlternativesCredit):
        return "alternatives"
    return "sample" if credit is sample_credit else "prefix" if credit is prefix_credit else None
