"""What samples give away of single training rows: by distances, copies, rare values, and an attack on membership.

None of it is a guarantee: `WORDS` says what that means.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.metrics.marginals import evenly_spaced
from bgan_discrete.metrics.table_rows import TableColumns, TableRows

QUERIES, REFERENCES = 1000, 20_000
"""The most rows whose nearest neighbour is looked for, and among how many."""

MOST_CELLS = 3e8
"""Values that one search compares, at most; of wide tables there are fewer rows."""

NEAR = 0.05
"""Share of the held-out rows that are nearest to training rows: how near those are, is called near."""

QUANTILES = (0.01, 0.05, 0.25, 0.5)
RARE_ROWS = 4
"""A value is rare if the training data have it in at most so many rows."""

WORDS = (
    "None of these figures is a guarantee, and none of them is differential privacy: they are measured on some rows, "
    "by simple attacks, and a figure at its floor only says that these attacks see nothing.",
    "Whoever knows more, such as the weights of the model, many more samples or another table with the same people, "
    "may learn what these figures do not show. Means over all rows also hide single rows that are given away.",
    "A value or a combination of values that only one person has identifies that person, even in a row that is "
    "otherwise invented: look for such columns, and leave them out before the training.",
)
"""In plain words, what the figures do not say."""

WORDS_WITHOUT_HOLDOUT = (
    "No rows are known that the samples' maker has not seen: whether samples tell training rows from others cannot be "
    "measured, and is left out. Compared are two halves of the real rows: how near samples come to one half, and how "
    "near the other half does. Samples that copy real rows are nearer; where samples are not, nothing follows for "
    "single rows. Real rows that were kept from the samples' maker, given as the hold-out, would tell more."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Attack:
    """What an attack on membership finds.

    Attributes:
        auc: Probability that a training row is nearer to a sample than a held-out row is, a tie for half; 0.5 where
            samples give nothing away.
        noise: Its standard error.
    """

    auc: float
    noise: float


class Distances:
    """How far rows are from each other: the mean over the columns of a difference between 0 and 1.

    Of two numbers it is the share of the training rows that lie between them, of other values 0 where they are equal
    and 1 where not, as of a number and a missing one.

    Args:
        training: Rows by which numbers are scaled.
        columns: Of all rows.
    """

    def __init__(self, training: TableRows, columns: TableColumns) -> None:
        self._is_number = columns.is_number
        self._scales = []
        for place, is_number in enumerate(columns.is_number):
            values = training.values[:, place] if is_number else np.zeros(0)
            known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
            self._scales.append((known, (np.cumsum(counts) - counts / 2) / max(counts.sum(), 1)))
        width = len(columns.names)
        self.most_queries = int(np.clip(math.sqrt(MOST_CELLS * QUERIES / (REFERENCES * width)), 20, QUERIES))
        self.most_references = self.most_queries * REFERENCES // QUERIES

    def scaled(self, rows: TableRows) -> NDArray[np.float32]:
        """Numbers as shares of the training rows below them, 3 where one is missing; other values as they are."""
        found = np.empty((len(self._scales), len(rows)), np.float32)
        for place, (known, shares) in enumerate(self._scales):
            values = rows.values[:, place]
            if self._is_number[place] and len(known):
                values = np.where(np.isnan(values), 3, np.interp(values, known, shares))
            found[place] = np.nan_to_num(values, nan=3)
        return found

    def nearest(self, queries: TableRows, references: TableRows) -> Floats:
        """The distance ``[n]`` of each query to the nearest of the references, of which there must be one."""
        if len(references) == 0:
            raise InputError("references must hold at least one row, got none")
        own, others = self.scaled(queries), self.scaled(references)
        width, found = len(own), np.empty(len(queries))
        for start in range(0, len(queries), 32):
            block = own[:, start : start + 32]
            total = np.zeros((block.shape[1], others.shape[1]), np.float32)
            gap = np.empty_like(total)
            for place, is_number in enumerate(self._is_number):
                np.subtract(block[place][:, None], others[place], out=gap)
                if is_number:
                    np.minimum(np.abs(gap, out=gap), 1, out=gap)
                    total += gap
                else:
                    total += gap != 0
            found[start : start + 32] = total.min(1) / width
        return found


def attack_membership(of_training: Floats, of_heldout: Floats) -> Attack:
    """An attack on membership: rows that are near to a sample are taken for training rows.

    Args:
        of_training: Distances of training rows to the nearest sample, at least two.
        of_heldout: The same of held-out rows.

    Returns:
        How often it is right, with its standard error.

    Source:
        Chen et al., "GAN-Leaks: a taxonomy of membership inference attacks against generative models" (2020), the black
        box; DeLong et al. (1988) for the standard error.

    Examples:
        >>> attack_membership(np.zeros(50), np.ones(50))
        Attack(auc=1.0, noise=0.0)
    """

    def shares_above(distances: Floats, of: Floats) -> Floats:
        ordered = np.sort(distances)
        return 1 - (np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")) / (2 * len(ordered))

    above, below = shares_above(of_heldout, of_training), shares_above(of_training, of_heldout)
    noise = math.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))
    return Attack(float(above.mean()), noise)


def spread(rows: TableRows, most: int) -> TableRows:
    """At most so many of the rows, evenly spaced."""
    return rows.take(evenly_spaced(len(rows), most))


def share_copied(rows: TableRows, training: TableRows) -> tuple[float, float]:
    """Shares of rows that equal a training row, and that equal one which the training data hold once."""
    counts: dict[bytes, int] = {}
    for key in training.row_keys():
        counts[key] = counts.get(key, 0) + 1
    found = [counts.get(key, 0) for key in rows.row_keys()]
    return sum(count > 0 for count in found) / len(found), sum(count == 1 for count in found) / len(found)


def rare_values(training: TableRows) -> list[Floats]:
    """Values of each column that at most `RARE_ROWS` training rows have; none of columns most of whose values are rare.

    A column of which each tenth row has another value, as of numbers with many digits, gives no single value away.
    """
    found = []
    for values in training.values.T:
        known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        found.append(known[counts <= RARE_ROWS] if 10 * len(known) <= len(values) else known[:0])
    return found


def share_of_rare_shown(rows: TableRows, rare: Sequence[Floats]) -> float:
    """Share of the rare values that stand in some of the rows; NaN without rare values."""
    shown = [np.isin(values, rows.values[:, place]).sum() for place, values in enumerate(rare)]
    total = sum(map(len, rare))
    return float(sum(shown) / total) if total else math.nan
