"""Estimators as the training step uses them: log weights of the draws -> advantages, with what a step must know.

The formulas are in `bgan_discrete.game.advantages`; here are their properties, their form for alternatives that are
all known, and the table of them by name.

Letters: M draws, N latents, K alternatives of a position.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from types import FunctionType
from typing import Literal, get_args

import torch
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.game.advantages import (
    bgan,
    bgan_centered,
    jeffreys,
    loo,
    maligan,
    matched,
    reinforce,
    rloo,
    symmetric,
    vimco,
)
from bgan_discrete.game.divergences import DIVERGENCES, Divergence
from bgan_discrete.game.weights import Normalization, at_least_float32, check_draws, log_partition
from bgan_discrete.parallel import ALONE, Processes

Limit = Literal["weight", "log_weight", "both", "symmetric"]

ZERO = 1e-4
"""Up to this, the sum of advantages is one of rounding."""


@dataclass
class Estimator:
    """An estimator as the training step uses it: a function of log weights with its properties and options.

    Attributes:
        name: Name for logs.
        function: Maps log weights ``[M, N]`` to advantages ``[M, N]``; one that couples latents also takes `processes`.
        zero_sum: The advantages of each latent sum to zero over its draws, so that the surrogate leaves the
            log-normalisers out, which is only right if they do.
        minimum_draws: The smallest M that carries a signal.
        limit: What M times the advantage becomes for infinitely many draws: the normalised ``"weight"`` or the
            ``"log_weight"``, each less its mean, the sum of ``"both"``, or ``"symmetric"``: the normalised weight less
            that of -F; None where draws of other latents enter.
        couples_latents: An advantage depends on the draws of other latents, so that the batch cannot be taken in parts.
        processes: Those that hold the parts of the batch, over which it is coupled.
    """

    name: str
    function: Callable[..., Tensor]
    zero_sum: bool = False
    minimum_draws: int = 2
    limit: Limit | None = None
    couples_latents: bool = False
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        """Refuse a limit that is none, and advantages that are said to sum to zero and do not."""
        if self.limit not in (None, *get_args(Limit)):
            raise InputError(f"limit must be one of {', '.join(get_args(Limit))} or None, got {self.limit!r:.100}")
        if self.zero_sum and type(self) is Estimator:  # one with a state would be changed by a trial
            draws = max(self.minimum_draws, 3)
            total = self(torch.arange(2.0 * draws).sin().view(draws, 2)).sum(0).abs().max().item()
            if total > ZERO:
                raise InputError(
                    f"estimator {self.name!r} has zero_sum=True, but its advantages sum to {total:.3g} over the draws "
                    "of a latent: subtract their mean, or leave zero_sum out"
                )

    @torch.no_grad()
    def __call__(self, log_w_MN: Tensor) -> Tensor:
        """Advantages ``[M, N]`` of log weights ``[M, N]``; float32 at least, without gradients.

        Raises:
            InputError: If the function gives advantages of another shape.
        """
        advantages_MN = self.advantages(at_least_float32(log_w_MN))
        if not isinstance(advantages_MN, Tensor) or advantages_MN.shape != log_w_MN.shape:
            is_tensor = isinstance(advantages_MN, Tensor)
            what = list(advantages_MN.shape) if is_tensor else type(advantages_MN).__name__
            raise InputError(
                f"the estimator {self.name!r} must give a tensor of advantages of the shape of the log weights, "
                f"{list(log_w_MN.shape)}, got {what}"
            )
        return advantages_MN

    @torch.no_grad()
    def over_alternatives(self, log_q: Tensor, log_w: Tensor, escort: float = 1.0) -> Tensor:
        """Advantages of alternatives that are all known, times their probabilities: the limit of infinitely many draws.

        With one draw for each of the alternatives, as often as it is probable, and M growing, M times the advantages
        become ``w_k / sum_j q_j w_j - 1``, ``F_k - sum_j q_j F_j``, their sum, or the weight less that of -F.

        Args:
            log_q: Log-probabilities ``[..., K]`` of the alternatives, normalised over the last axis.
            log_w: Their log weights ``[..., K]``.
            escort: alpha, in (0, 1]; the escort distribution ``q^alpha / sum_j q_j^alpha`` is used instead of q. The
                gradient of a logit is q times the advantage, so that a code of vanishing q cannot come back, however
                good it is; with the escort it is about ``q^alpha`` times the advantage. 1 is exact. Below 1 it is not
                the gradient of a divergence, but it also vanishes where F is equal for all alternatives.

        Returns:
            ``[..., K]``, summing to zero over the last axis.

        Raises:
            InputError: If the estimator weighs the draws of a whole batch.

        Source:
            Mei et al., "Escaping the gravitational pull of softmax" (2020), on why a softmax that has become sharp does
            not learn, and on escort distributions.
        """
        self.check_alternatives()
        log_q, log_w = at_least_float32(log_q), at_least_float32(log_w)

        # 1. The escort of q; what cannot be drawn at all stays so.
        if escort != 1:
            is_choice = log_q > torch.finfo(log_q.dtype).min / 4
            log_q = torch.log_softmax(torch.where(is_choice, escort * log_q, log_q), dim=-1)
        q = log_q.exp()
        advantages = torch.zeros_like(q)

        # 2. By the weights: q_k (w_k / sum_j q_j w_j - 1), or q_k (w_k / sum_j q_j w_j - 1/w_k / sum_j q_j/w_j).
        if self.limit != "log_weight":
            weighted_less = _weighted(log_q, -log_w) if self.limit == "symmetric" else q
            advantages = _weighted(log_q, log_w) - weighted_less

        # 3. By the log weights: q_k (F_k - sum_j q_j F_j).
        if self.limit in ("log_weight", "both"):
            # F relative to that of the most probable choice, so that equal F differ by exactly 0; a quarter of it, so
            # that no difference overflows.
            most_probable = q.argmax(-1, keepdim=True)
            quarter_log_w = log_w / 4
            quarter_log_w = quarter_log_w - quarter_log_w.gather(-1, most_probable)
            mean = (q * quarter_log_w).sum(-1, keepdim=True)
            advantages = advantages + 4 * q * (quarter_log_w - mean)
        return advantages

    def check_alternatives(self) -> None:
        """Raise InputError if the estimator has no form for alternatives that are all known."""
        if self.limit is None:
            raise InputError(
                f"credit 'alternatives' needs an estimator with a limit for infinitely many draws; {self.name!r} has "
                "none, as one that weighs a batch; use bgan_centered or rloo with normalization 'latent', or give "
                "your own one its limit: {', '.join(get_args(Limit))}"
            )

    def check_rounds(self) -> None:
        """Raise InputError if a constant that is added to F of a latent changes the advantages.

        F of a round is that of all rounds so far, and the earlier ones are a constant for the draws of a prefix.
        """
        log_w_MN = torch.arange(6.0).sin().view(3, 2)
        if self.couples_latents or not torch.allclose(self(log_w_MN), self(log_w_MN + 2), atol=ZERO):
            raise InputError(
                f"the estimator {self.name!r} changes with a constant in F, which the rounds before a round add: use "
                "bgan_centered, rloo, jeffreys or symmetric for a generator that draws in rounds"
            )

    def check_divergence(self, divergence: Divergence) -> None:
        """Raise InputError if the discriminator's divergence is not the one that the advantages are of."""

    def check_num_draws(self, num_draws: int) -> None:
        """Raise InputError if ``num_draws`` per latent carry no signal."""
        if num_draws < self.minimum_draws:
            raise InputError(
                f"num_draws must be at least {self.minimum_draws} with the estimator {self.name!r}, got {num_draws}: "
                "fewer draws of a latent cannot be compared"
            )

    def advantages(self, log_w_MN: Tensor) -> Tensor:
        """The function itself, on log weights whose options have been applied."""
        if self.couples_latents:
            return self.function(log_w_MN, processes=self.processes)
        return self.function(log_w_MN)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint must hold; empty for a pure function."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what `state_dict` returned."""


def _weighted(log_q: Tensor, log_w: Tensor) -> Tensor:
    """``q_k w_k / sum_j q_j w_j``; weights relative to the largest, so that equal ones leave q as it is."""
    return torch.softmax(log_q + (log_w - log_w.amax(-1, keepdim=True)), dim=-1)


@dataclass
class ReinforceEstimator(Estimator):
    """`reinforce` with its state: the moving average of ``log beta``, which starts at 0, its value at the optimum.

    Attributes:
        decay: Decay of the moving average per step, in [0, 1).
        log_beta_ema: The moving average, a scalar tensor on the device of the weights after the first step.
    """

    decay: float = 0.95
    log_beta_ema: Tensor = field(default_factory=lambda: torch.zeros(()))

    def advantages(self, log_w_MN: Tensor) -> Tensor:
        """Advantages by the baseline of the steps before, then the update of the baseline."""
        baseline = self.log_beta_ema.to(log_w_MN)
        log_beta = log_partition(log_w_MN, processes=self.processes)
        self.log_beta_ema = (1 - self.decay) * log_beta + self.decay * baseline
        return reinforce(log_w_MN, baseline)

    def state_dict(self) -> dict[str, Tensor]:
        """The moving average."""
        return {"log_beta_ema": self.log_beta_ema.detach().clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the moving average back."""
        self.log_beta_ema = state["log_beta_ema"].clone().reshape(())


@dataclass
class MatchedEstimator(Estimator):
    """`matched` with its divergence, which must be that of the game.

    Attributes:
        divergence: The one that the discriminator is trained by.
    """

    divergence: Divergence = DIVERGENCES["gan"]

    def advantages(self, log_w_MN: Tensor) -> Tensor:
        """The function, with the divergence."""
        return self.function(log_w_MN, self.divergence)

    @torch.no_grad()
    def over_alternatives(self, log_q: Tensor, log_w: Tensor, escort: float = 1.0) -> Tensor:
        """As in `Estimator`, of the fake term h instead of F: ``q_k (h_k - sum_j q_j h_j)``."""
        log_q, fake_term = at_least_float32(log_q), self.divergence.fake_term(at_least_float32(log_w))
        # What is no choice may have any F, and h of it may be inf.
        is_choice = log_q > torch.finfo(log_q.dtype).min / 4
        return super().over_alternatives(log_q, torch.where(is_choice, fake_term, 0), escort)

    def check_divergence(self, divergence: Divergence) -> None:
        """Refuse another divergence."""
        if divergence != self.divergence:
            raise InputError(
                f"the estimator {self.name!r} is of the divergence {self.divergence.name!r}, but the game's is "
                f"{divergence.name!r}: make it with make_estimator({self.name!r}, divergence=...) of the game's own"
            )


def as_estimator(estimator: Estimator | Callable[[Tensor], Tensor]) -> Estimator:
    """An estimator, or a function of log weights alone as one.

    Args:
        estimator: An object, or a function that maps log weights ``[M, N]`` to advantages ``[M, N]``.

    Returns:
        The object.

    Raises:
        InputError: If it is neither, such as a name or a class, or has a state that no checkpoint would hold.
    """
    if isinstance(estimator, Estimator):
        return estimator
    if not callable(estimator) or isinstance(estimator, type):
        raise InputError(
            f"estimator must be an object or a function, got {estimator!r}; names are for "
            "TrainingConfig(estimator=...) and make_estimator(...)"
        )
    if hasattr(estimator, "state_dict"):
        raise InputError(
            f"estimator {type(estimator).__name__} must extend bgan_discrete.Estimator to have a state, which a "
            "checkpoint would not hold otherwise"
        )
    return Estimator(estimator.__name__ if isinstance(estimator, FunctionType) else "own", estimator)


ESTIMATORS: dict[str, Estimator] = {
    row.name: row
    for row in (
        Estimator("bgan", bgan, limit="weight"),
        Estimator("bgan_centered", bgan_centered, zero_sum=True, limit="weight"),
        Estimator("vimco", vimco, limit="weight"),
        Estimator("loo", loo, limit="weight"),
        Estimator("rloo", rloo, zero_sum=True, limit="log_weight"),
        Estimator("jeffreys", jeffreys, zero_sum=True, limit="both"),
        Estimator("symmetric", symmetric, zero_sum=True, limit="symmetric"),
        MatchedEstimator("matched", matched, zero_sum=True, limit="log_weight"),
        ReinforceEstimator("reinforce", reinforce, minimum_draws=1, limit="log_weight", couples_latents=True),
        Estimator("maligan", maligan, minimum_draws=1, couples_latents=True),
    )
}
"""Every estimator by its name, as `make_estimator` copies it."""


def make_estimator(
    name: str,
    *,
    normalization: Normalization = "latent",
    divergence: Divergence = DIVERGENCES["gan"],
    processes: Processes = ALONE,
) -> Estimator:
    """Build an estimator by its name.

    Args:
        name: A key of `ESTIMATORS`.
        normalization: For `bgan` and `bgan_centered`, what the weights are normalised over.
        divergence: Of the game; only `matched` depends on it.
        processes: Those that hold the parts of the batch, with as many latents each: what is taken over the batch is
            taken over all of them.

    Returns:
        A new estimator, with its own state where it has one.

    Raises:
        InputError: If a name is unknown, or `normalization` is given to an estimator that
            fixes its own.

    Examples:
        >>> make_estimator("rloo")(torch.tensor([[0.0], [1.0], [2.0]])).T
        tensor([[-0.5000,  0.0000,  0.5000]])
    """
    if name not in ESTIMATORS:
        raise InputError(f"estimator {name!r} is unknown; choose one of {', '.join(ESTIMATORS)}")
    check_draws(2, normalization)
    row = replace(ESTIMATORS[name], processes=processes)
    if isinstance(row, MatchedEstimator):
        row = replace(row, divergence=divergence)
    if normalization == "latent":
        return row
    if name not in ("bgan", "bgan_centered"):
        raise InputError(
            f"normalization 'batch' applies to the estimators bgan and bgan_centered; {name} has its own, use 'latent'"
        )
    over_batch = partial(row.function, over="batch")
    return replace(row, function=over_batch, zero_sum=False, minimum_draws=1, limit=None, couples_latents=True)
