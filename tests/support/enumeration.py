"""Exact moments of policy-gradient estimators: every tuple of draws is visited and weighed by its probability.

Everything is written from the definitions, in float64 and in the plain domain, and shares no code with the package.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Case:
    """N latents with factorised categoricals over P positions of K categories, and a fixed log-ratio F of each outcome.

    Attributes:
        logits: ``[N, P, K]``, float64.
        log_ratio: ``[K^P]``, F of each outcome.
    """

    logits: Tensor
    log_ratio: Tensor

    @property
    def outcomes(self) -> Tensor:
        """All samples, ``[K^P, P]``, in the order of `log_ratio`."""
        _, positions, categories = self.logits.shape
        return torch.tensor(list(itertools.product(range(categories), repeat=positions)))

    def log_prob(self, logits: Tensor) -> Tensor:
        """``log g(outcome | latent)``, ``[N, K^P]``."""
        log_probs = torch.log_softmax(logits, -1)
        return torch.stack([log_probs[:, p, codes] for p, codes in enumerate(self.outcomes.T)]).sum(0)

    def scores(self) -> Tensor:
        """``grad log g(outcome | latent)`` with respect to that latent's logits, ``[N, K^P, P, K]``."""
        one_hot = torch.nn.functional.one_hot(self.outcomes, self.logits.shape[-1]).double()
        return one_hot[None] - torch.softmax(self.logits, -1)[:, None]

    def draws(self, num_draws: int) -> tuple[Tensor, Tensor]:
        """Every way to draw M outcomes for each latent: indices ``[T, M, N]`` and probabilities ``[T]``."""
        latents, outcomes = len(self.logits), len(self.log_ratio)
        tuples = torch.tensor(list(itertools.product(range(outcomes), repeat=num_draws * latents)))
        tuples = tuples.reshape(-1, num_draws, latents)
        probabilities = self.log_prob(self.logits).exp()
        return tuples, probabilities[torch.arange(latents), tuples].flatten(1).prod(1)


def random_case(seed: int, latents: int = 1, positions: int = 2, categories: int = 3, spread: float = 1.0) -> Case:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(latents, positions, categories, generator=generator, dtype=torch.float64)
    log_ratio = spread * torch.randn(categories**positions, generator=generator, dtype=torch.float64)
    return Case(logits, log_ratio)


def exact_moments(case: Case, num_draws: int, advantages: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and total variance of ``1/N sum_n sum_m a[m, n] grad log g(x[m, n] | z_n)``.

    Args:
        case: The game.
        num_draws: M.
        advantages: Log weights ``[M, N]`` -> advantages ``[M, N]``, called once for each tuple of draws.

    Returns:
        The mean ``[N, P, K]`` and the sum over components of the variances, a scalar.
    """
    tuples, probabilities = case.draws(num_draws)
    latents = len(case.logits)
    values = torch.stack([advantages(case.log_ratio[draw]) for draw in tuples])
    scores = case.scores()[torch.arange(latents), tuples]
    gradients = torch.einsum("tmn,tmnpk->tnpk", values, scores) / latents
    mean = torch.einsum("t,tnpk->npk", probabilities, gradients)
    second = torch.einsum("t,tnpk->", probabilities, gradients**2)
    return mean, second - (mean**2).sum()


def gradient_of(case: Case, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Autograd of an objective of the logits, ``[N, P, K]``."""
    logits = case.logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(logits), logits)
    return gradient
