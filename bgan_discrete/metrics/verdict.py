"""What a judge from outside of the game says of samples, and what such a judge is."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.integer]
"""Codes ``[n, *event_shape]``."""


@dataclass(frozen=True)
class Verdict:
    """What a judge says of samples.

    Attributes:
        value: Lower is better.
        noise: Its standard error over other samples of the same model.
        aim: Where samples are to be something besides like the data, how much they are, on average: higher is better.
        aim_noise: Its standard error.
    """

    value: float
    noise: float
    aim: float = field(default=0.0, repr=False)
    aim_noise: float = field(default=0.0, repr=False)

    def beats(self, other: "Verdict", by_aim: bool = False) -> bool:
        """Whether it is better by more than twice the noise of both: less is chance in one case of six.

        Better in the judge's figure or in the aim, that is, and not worse by as much in the other one; or ``by_aim``
        alone, where that says how far samples are from the data too.
        """
        gain, noise = other.value - self.value, 2 * math.hypot(self.noise, other.noise)
        more, aim_noise = self.aim - other.aim, 2 * math.hypot(self.aim_noise, other.aim_noise)
        if by_aim:
            return more > aim_noise
        return (gain > noise and more >= -aim_noise) or (more > aim_noise and gain >= -noise)


@dataclass(frozen=True)
class Judge:
    """A figure of samples against data, of which lower is better.

    Attributes:
        title: What it measures, in a few words, such as ``"AUC of trees"``.
        measure: (samples, data) -> verdict, of codes.
        num_samples: Samples that it wants to see at a look; it may be given fewer data.
    """

    title: str
    measure: Callable[[Codes, Codes], Verdict]
    num_samples: int
