"""Functional dependencies between two columns: found in training rows, and how many other rows break them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_EXCEPTIONS = 0.01
"""Share of the training rows that may be exceptions to a dependency."""

MAX_OF_GUESSES = 0.1
"""The exceptions are at most so many of those that the most frequent value alone would leave."""

LEAST_VARIETY = 0.02
"""Share of the training rows with another than the most frequent value of a column, below which it says nothing."""

MAX_FOUND = 50
_DENSE = 2**18

Codes = NDArray[np.integer]


@dataclass(frozen=True)
class Dependency:
    """One column, by whose value that of another is known.

    Attributes:
        cause: Place of the column that decides.
        effect: Place of the column that is decided.
        rule: int64, the effect's code by that of the cause; -1 for a code of the cause that no training row has.
        exceptions: Share of the training rows that break the rule.
    """

    cause: int
    effect: int
    rule: NDArray[np.int64]
    exceptions: float

    def broken_by(self, codes: Codes) -> NDArray[np.bool_]:
        """Which rows of codes ``[n, P]`` break the rule; of a cause that is not known none do."""
        wanted = self.rule[np.asarray(codes[:, self.cause], np.int64)]
        broken: NDArray[np.bool_] = (wanted >= 0) & (wanted != codes[:, self.effect])
        return broken


def find_dependencies(
    codes: Codes, sizes: Sequence[int], pairs: NDArray[np.int64], most: int = MAX_FOUND
) -> list[Dependency]:
    """Pairs of columns of which one decides the other, or nearly.

    A row whose value of the cause is there once counts as an exception: an identifier decides nothing. So is each row
    judged by others.

    Args:
        codes: Of training rows, ``[n, P]``.
        sizes: Codes of each column.
        pairs: Places of columns ``[pairs, 2]`` to look at, each in both directions.
        most: How many are given back, those of the fewest exceptions.

    Returns:
        The dependencies, by their exceptions.

    Source:
        Kivinen and Mannila, "Approximate inference of functional dependencies from relations" (1995), measure g3.

    Examples:
        >>> codes = np.array([[0, 1, 0], [1, 0, 0], [2, 0, 1]] * 30)
        >>> found = find_dependencies(codes, [3, 2, 2], np.array([[0, 1], [0, 2], [1, 2]]))
        >>> [(dependency.cause, dependency.effect) for dependency in found]
        [(0, 1), (0, 2)]
    """
    flat = np.asarray(codes, np.int64)
    guesses = [1 - np.bincount(column).max() / len(flat) for column in flat.T]
    found = []
    for i, j in pairs.tolist():
        for cause, effect in ((i, j), (j, i)):
            if guesses[effect] >= LEAST_VARIETY:
                dependency, unsure = _rule(flat, cause, effect, sizes)
                if unsure <= min(MAX_EXCEPTIONS, MAX_OF_GUESSES * guesses[effect]):
                    found.append(dependency)
    return sorted(found, key=lambda dependency: dependency.exceptions)[:most]


def _rule(codes: NDArray[np.int64], cause: int, effect: int, sizes: Sequence[int]) -> tuple[Dependency, float]:
    """The most frequent effect of each cause, and the share of rows that others do not foretell."""
    of_cause, of_effect = codes[:, cause], codes[:, effect]
    joint = of_cause * sizes[effect] + of_effect
    if sizes[cause] * sizes[effect] <= _DENSE:
        counts = np.bincount(joint, minlength=sizes[cause] * sizes[effect])
        cells = np.flatnonzero(counts)
        counts = counts[cells]
    else:
        cells, counts = np.unique(joint, return_counts=True)
    # By their counts, so that the last one written of each cause is its most frequent.
    order = np.argsort(counts, kind="stable")
    rule, largest = np.full(sizes[cause], -1), np.zeros(sizes[cause], np.int64)
    rule[cells[order] // sizes[effect]] = cells[order] % sizes[effect]
    largest[cells[order] // sizes[effect]] = counts[order]
    exceptions = 1 - largest.sum() / len(codes)
    unsure = 1 - largest[largest > 1].sum() / len(codes)
    return Dependency(cause, effect, rule, float(exceptions)), float(unsure)


def share_broken(codes: Codes, dependencies: Sequence[Dependency]) -> float:
    """Share of the rows that break at least one of the dependencies."""
    is_broken = np.zeros(len(codes), bool)
    for dependency in dependencies:
        is_broken |= dependency.broken_by(codes)
    return float(is_broken.mean())
