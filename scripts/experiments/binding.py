"""All DNA sequences of eight bases and how a protein binds them: a target whose every probability is known.

    target(x) = p(x) e^(lambda r(x)) / Z,   p a fixed first-order Markov chain of bases, r the Z-score of the assay

A sequence's number is its bases as digits of base 4, the first one the highest. All is float64.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError

BASES, LENGTH = "ACGT", 8
COUNT = len(BASES) ** LENGTH
_DIGITS, _COMPLEMENTS = str.maketrans(BASES, "0123"), str.maketrans(BASES, BASES[::-1])

START = np.array([0.3, 0.2, 0.2, 0.3])
TRANSITIONS = np.array(
    [
        [0.40, 0.15, 0.25, 0.20],
        [0.30, 0.30, 0.10, 0.30],
        [0.25, 0.25, 0.30, 0.20],
        [0.15, 0.20, 0.30, 0.35],
    ]
)
"""The chain: probabilities of the first base, and after each base (row) of the next one, in the order of `BASES`."""

Floats = NDArray[np.float64]


def all_codes() -> NDArray[np.uint8]:
    """The bases of all sequences, ``[65536, 8]``, by number."""
    return np.indices((len(BASES),) * LENGTH, np.uint8).reshape(LENGTH, COUNT).T.copy()


def numbers_of(codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """The numbers of sequences ``[N, 8]``."""
    return codes.astype(np.int64) @ len(BASES) ** np.arange(LENGTH)[::-1]


def load_scores(path: Path) -> Floats:
    """Read the Z-scores of all sequences, ``[65536]``, by number.

    Args:
        path: Text with a header and tabs: a sequence, its reverse complement (which binds as well), three figures of
            which the last is the Z-score.

    Returns:
        The scores.

    Raises:
        InputError: If the file is of another form, or has no score, or two, for a sequence.
    """
    scores = [math.nan] * COUNT
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
        try:
            one, other, _, _, score = text.split("\t")
            first, second = _number(one), _number(other)
            if other != _reverse_complement(one) or not math.isnan(scores[first]):
                raise ValueError
            scores[first] = scores[second] = float(score)
        except ValueError:
            wanted = "a sequence of eight bases that did not come before, its reverse complement and three figures"
            raise InputError(f"{path} must have in line {line} {wanted}, got {text!r:.100}") from None
    known = np.isfinite(scores)
    if not known.all():
        raise InputError(f"{path} must score all {COUNT:,} sequences, got {known.sum():,}")
    return np.array(scores)


def _number(text: str) -> int:
    if len(text) != LENGTH or not set(text) <= set(BASES):
        raise ValueError
    return int(text.translate(_DIGITS), len(BASES))


def _reverse_complement(text: str) -> str:
    return text[::-1].translate(_COMPLEMENTS)


def chain_log_prob() -> Floats:
    """The chain's log-probabilities of all sequences, ``[65536]``."""
    codes = all_codes()
    return np.log(START)[codes[:, 0]] + np.log(TRANSITIONS)[codes[:, :-1], codes[:, 1:]].sum(1)


def sample_chain(count: int, seed: int) -> NDArray[np.uint8]:
    """Draw sequences ``[count, 8]`` of the chain."""
    numbers = np.random.default_rng(seed).choice(COUNT, count, p=_normalised(chain_log_prob()))
    return all_codes()[numbers]


def target_log_prob(scores: Floats, reward_weight: float) -> Floats:
    """Log-probabilities ``[65536]`` of the target with some lambda."""
    log_weight = chain_log_prob() + reward_weight * scores
    return log_weight - _log_sum(log_weight)


def effective_share(log_prob: Floats, log_weight: Floats) -> float:
    """The effective sample size of weighted samples, as a share of them: ``(E w)^2 / E w^2``."""
    return float(np.exp(2 * _log_sum(log_prob + log_weight) - _log_sum(log_prob + 2 * log_weight)))


def divergence(log_q: Floats, log_p: Floats) -> float:
    """KL(q || p) in nats; q may have zeros, and is normalised."""
    q = _normalised(log_q)
    kept = q > 0
    return float((q[kept] * (np.log(q[kept]) - log_p[kept])).sum())


def resampled_law(log_q: Floats, log_weight: Floats, candidates: int, draws: int = 20_000, seed: int = 0) -> Floats:
    """The law of one of several candidates of q that is chosen by its weight, estimated.

    It is ``q(x) E[C w(x) / (w(x) + S)]`` with S the sum of the weights of C - 1 others: the expectation, a function of
    w(x) alone, is a mean over draws of S. Other seeds show its error.

    Args:
        log_q: Log-probabilities ``[X]`` of a candidate.
        log_weight: Its log weights ``[X]``.
        candidates: C, at least 2.
        draws: Of S.
        seed: Of the draws.

    Returns:
        Log-probabilities ``[X]``, normalised.
    """
    rng = np.random.default_rng(seed)
    log_weight = log_weight - log_weight.max()
    others = np.exp(rng.choice(log_weight, (draws, candidates - 1), p=_normalised(log_q))).sum(1)
    knots = np.linspace(log_weight.min(), 0.0, 512)
    log_factor = np.log([(1 / (np.exp(knot) + others)).mean() for knot in knots])
    law = log_q + log_weight + np.interp(log_weight, knots, log_factor)
    return law - _log_sum(law)


def _normalised(log_weight: Floats) -> Floats:
    return np.exp(log_weight - _log_sum(log_weight))


def _log_sum(values: Floats) -> float:
    most = values.max()
    return float(most + np.log(np.exp(values - most).sum()))
