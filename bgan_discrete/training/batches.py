"""The order in which training sees the data: a function of (seed, epoch, step), so that a run resumes exactly."""

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_integer, check_seed


class BatchOrder:
    """Rows of every batch, computed rather than remembered.

    Each epoch is a permutation of the rows; a batch that reaches the end of an epoch continues with the next one, so
    every row is used once per epoch and every batch is full, even one that is larger than the data. With weights, which
    sum to 1, a row is used ``weight * num_samples`` times per epoch, rounded up or down by chance.
    """

    def __init__(
        self, num_samples: int, batch_size: int, seed: int, weights: NDArray[np.float64] | None = None
    ) -> None:
        self._ends = None if weights is None else np.cumsum(weights) * num_samples
        self.num_samples = check_integer("num_samples", num_samples, 1)
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.seed = check_seed(seed)
        self._epoch = -1
        self._permutation = np.empty(0, np.int64)

    def indices(self, count: int) -> NDArray[np.int64]:
        """The rows ``[batch_size]`` of the batch of number ``count``, from 0."""
        check_integer("count", count, 0)
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
            if self._ends is not None:  # systematic resampling
                places = np.arange(self.num_samples) + generator.random()
                rows = np.searchsorted(self._ends, places, side="right").clip(max=self.num_samples - 1)
                self._permutation = rows[self._permutation]
        return self._permutation
