"""A judge from outside of the game: what samples are worth against data that no player learns from.

A judge is handed to a training, which asks it some ten times; it never sees the players, and they never see its data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_ROWS, LEAST_ROWS = 4000, 200

Codes = NDArray[np.integer]
"""Codes ``[n, *event_shape]``."""


@dataclass(frozen=True)
class Verdict:
    """What a judge says of samples.

    Attributes:
        value: Lower is better.
        noise: Its standard error over other samples of the same model.
    """

    value: float
    noise: float

    def beats(self, other: "Verdict") -> bool:
        """Whether it is better by more than the noise of both."""
        return other.value - self.value > math.hypot(self.noise, other.noise)


@dataclass(frozen=True)
class Judge:
    """A figure of samples against data, of which lower is better.

    Attributes:
        title: What it measures, in a few words, such as ``"AUC of boosted trees"``.
        measure: (samples, data) -> verdict, of codes.
        num_samples: Samples that it wants to see at a look; it may be given fewer data.
    """

    title: str
    measure: Callable[[Codes, Codes], Verdict]
    num_samples: int


def validation_rows(num_rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Rows of the training data that a judge sees and the players do not, in two halves.

    They are a tenth of the rows, at most 4,000, chosen by the seed. With fewer than 200 a judge cannot tell: None.

    Args:
        num_rows: Of the training data.
        seed: Of the choice.

    Returns:
        Row numbers of the half that chooses and of the half that accepts, each in ascending order; None for too few.
    """
    count = min(num_rows // 10, MOST_ROWS)
    if count < LEAST_ROWS:
        return None
    rows = np.random.default_rng(seed).permutation(num_rows)[:count]
    return np.sort(rows[: count // 2]), np.sort(rows[count // 2 :])
