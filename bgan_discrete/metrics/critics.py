"""Divergences by a freshly trained critic: a judge that the generator never played against."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.divergences import TensorFunction, get_divergence
from bgan_discrete.game.penalties import wgan_gp_penalty
from bgan_discrete.metrics.verdict import Verdict

LEARNING_RATE = 3e-3
"""At the start; it falls to nothing on a line."""

BATCH_SIZE = 64
WASSERSTEIN_PENALTY = 10.0
CHECKS = 20
"""So often on the way the critic is judged by its validation samples, and the best one kept."""

Parts = list[list[NDArray[np.generic]]]
"""Two sets of samples, each in three parts."""

_PARTS = (0.6, 0.2)
"""Shares of the samples that the critic learns from and is chosen by; the rest judges."""


def critic_divergence(
    real: NDArray[np.integer],
    fake: NDArray[np.integer] | NDArray[np.floating],
    num_categories: int,
    make_critic: Callable[[], nn.Module],
    kind: str = "jensen_shannon",
    *,
    steps: int = 1000,
    seed: int = 0,
) -> float:
    """Train a new critic to tell two sets apart, and take its bound on samples that it has not seen.

    The samples are split: a part trains the critic, a part chooses its best moment, the rest gives the figure. So it is
    a lower bound of an f-divergence in expectation, and near 0 (even below) for two sets from one distribution.

    Args:
        real: Codes ``[n, *event_shape]``, n >= 10.
        fake: Codes ``[m, *event_shape]``, or soft ones ``[m, *event_shape, K]`` of a float dtype, m >= 10.
        num_categories: K.
        make_critic: Makes an untrained critic: codes or soft one-hots -> ``F [B]``; called once, with torch's seed set.
        kind: A key of `bgan_discrete.game.divergences.DIVERGENCES` (``"jensen_shannon"`` there is 2 JSD, at most
            2 log 2), or ``"wasserstein"`` (with a gradient penalty).
        steps: Of the critic's training.
        seed: Of the split, the batches and the critic; torch's global generator is left as it was.

    Returns:
        The estimate: nats for the entropic divergences, units of the one-hots' Euclidean distance for ``wasserstein``.

    Raises:
        InputError: If a set is too small, the kind unknown, or ``steps`` < 1.
        NonFiniteError: If the critic never gave a finite value.
    """
    rng = np.random.default_rng(seed)
    _check_size(real=real, fake=fake)
    parts = [_split(samples, rng) for samples in (real, fake)]
    return _fresh(parts, num_categories, make_critic, kind, steps, seed, rng).value


def critic_verdict(
    real: NDArray[np.integer],
    fake: NDArray[np.integer],
    num_categories: int,
    make_critic: Callable[[], nn.Module],
    *,
    steps: int = 1000,
    seed: int = 0,
) -> Verdict:
    """`critic_divergence` by Jensen and Shannon of pairs of samples, with its noise.

    Sample i of both sets belongs to one condition, such as a prompt. Both are in the same part, so that the critic is
    asked about conditions that it has not learnt from.

    Args:
        real: Codes ``[n, *event_shape]``, n >= 10.
        fake: Codes ``[n, *event_shape]``.
        num_categories: K.
        make_critic: As in `critic_divergence`.
        steps: Likewise.
        seed: Likewise.

    Returns:
        The bound on unseen pairs in nats, from 0 (or below, by chance) to 2 log 2, and its standard error over them.

    Raises:
        InputError: If the sets are too small or not of one size, or ``steps`` < 1.
        NonFiniteError: If the critic never gave a finite value.
    """
    _check_size(real=real, fake=fake)
    if len(real) != len(fake):
        raise InputError(f"real and fake must be pairs, got {len(real)} and {len(fake)} samples")
    parts = [_split(samples, np.random.default_rng(seed)) for samples in (real, fake)]
    return _fresh(parts, num_categories, make_critic, "jensen_shannon", steps, seed, np.random.default_rng(seed))


def _check_size(**sets: NDArray[np.generic]) -> None:
    for name, samples in sets.items():
        if len(samples) < 10:
            raise InputError(f"{name} must hold at least 10 samples to be split, got {len(samples)}")


def _fresh(
    parts: Parts,
    num_categories: int,
    make_critic: Callable[[], nn.Module],
    kind: str,
    steps: int,
    seed: int,
    rng: np.random.Generator,
) -> Verdict:
    """Train a new critic on the first part; its value on the last one, which it has not seen."""
    check_at_least_one(steps=steps)
    _terms_of(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = make_critic().train()
        if not _train(critic, parts, num_categories, kind, steps, rng, torch.Generator().manual_seed(seed)):
            raise NonFiniteError(f"the critic of {kind} was inf or NaN on its validation samples at every check")
        return _judge(critic, parts, 2, kind)


def _train(
    critic: nn.Module, parts: Parts, num_categories: int, kind: str, steps: int, rng: np.random.Generator, draws: Any
) -> bool:
    """Bring a critic to its best moment; False if it never gave a finite value."""
    (real_term, fake_term), was_finite = _terms_of(kind), False
    optimizer = torch.optim.Adam(critic.parameters(), LEARNING_RATE, (0.5, 0.9), fused=True)
    # Where every moment is worse than knowing nothing, as with few samples, the untrained critic is the best.
    best, best_state = _judge(critic, parts, 1, kind).value, copy.deepcopy(critic.state_dict())
    for step in range(1, steps + 1):
        batch = [part[0][rng.integers(len(part[0]), size=BATCH_SIZE)] for part in parts]
        a, b = (torch.from_numpy(samples) for samples in batch)
        if a.is_floating_point() or b.is_floating_point():
            a, b = _soft(a, num_categories), _soft(b, num_categories)
        loss = -(real_term(critic(a)).mean() - fake_term(critic(b)).mean())
        if kind == "wasserstein":
            loss = loss + WASSERSTEIN_PENALTY * wgan_gp_penalty(critic, a, b, num_categories, draws)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - (step - 1) / steps)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 10.0)
        optimizer.step()
        if step % max(steps // CHECKS, 1) == 0:
            found = _judge(critic, parts, 1, kind).value
            was_finite = was_finite or bool(np.isfinite(found))
            if np.isfinite(found) and found > best:
                best, best_state = found, copy.deepcopy(critic.state_dict())
    critic.load_state_dict(best_state)
    return was_finite


def _terms_of(kind: str) -> tuple[TensorFunction, TensorFunction]:
    """What is averaged over the real samples, and over the others, in the critic's bound: their difference."""
    if kind == "wasserstein":
        return (lambda log_ratio: log_ratio), (lambda log_ratio: log_ratio)
    divergence = get_divergence(kind)
    return divergence.real_term, divergence.fake_term


def _split(samples: NDArray[np.generic], rng: np.random.Generator) -> list[NDArray[np.generic]]:
    order = rng.permutation(len(samples))
    ends = np.cumsum([round(share * len(samples)) for share in _PARTS])
    return [samples[np.sort(rows)] for rows in np.split(order, ends)]


def _soft(samples: Tensor, num_categories: int) -> Tensor:
    if samples.is_floating_point():
        return samples.float()
    return nn.functional.one_hot(samples.long(), num_categories).float()


@torch.no_grad()
def _judge(critic: nn.Module, parts: Parts, part: int, kind: str) -> Verdict:
    """The bound on one part, and its standard error for a fixed critic; `Verdict` calls lower values better."""
    critic.eval()
    found = []
    for samples, term in zip(parts, _terms_of(kind), strict=True):
        chunks = np.array_split(samples[part], -(-len(samples[part]) // 256))
        found.append(term(torch.cat([critic(torch.from_numpy(chunk)).double() for chunk in chunks])))
    critic.train()
    of_real, of_fake = found
    noise = math.sqrt(sum(float(values.var(unbiased=False)) / len(values) for values in found))
    return Verdict(float(of_real.mean() - of_fake.mean()), noise)
