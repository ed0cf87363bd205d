"""The order in which training sees the data: a function of (seed, epoch, step), so that a run resumes exactly."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError


class BatchOrder:
    """Rows of every batch, computed rather than remembered.

    Each epoch is a permutation of the rows; a batch that reaches the end of an epoch continues with the next one, so
    every row is used once per epoch and every batch is full, even one that is larger than the data.
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int) -> None:
        for name, value, low in (("num_samples", num_samples, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
            _check_integer(name, value, low)
        self.num_samples = int(num_samples)
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self._epoch = -1
        self._permutation = np.empty(0, np.int64)

    def indices(self, count: int) -> NDArray[np.int64]:
        """The rows ``[batch_size]`` of the batch of number ``count``, from 0."""
        _check_integer("count", count, 0)
        position, end = count * self.batch_size, (count + 1) * self.batch_size
        stretches = []
        while position < end:
            epoch, offset = divmod(position, self.num_samples)
            taken = min(end - position, self.num_samples - offset)
            stretches.append(self._rows(epoch)[offset : offset + taken])
            position += taken
        return np.concatenate(stretches)

    def _rows(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            # A counter-based generator: any epoch is reached at once, and epochs do not overlap.
            generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._permutation, self._epoch = generator.permutation(self.num_samples), epoch
        return self._permutation


def _check_integer(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value < 2**63:
        raise InputError(f"{name} must be an integer of at least {low} and below 2**63, got {value!r}")
