"""A tree of pairs of columns: the best model of discrete rows in which each column depends on one other.

Source: Chow and Liu, "Approximating discrete probability distributions with dependence trees" (1968).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.errors import InputError
from bgan_discrete.metrics.marginals import evenly_spaced
from bgan_discrete.space import SampleSpace

TREE = "Chow-Liu tree"
"""Its name among baselines."""

MAX_SUM_OF_SIZES = 2000
"""Categories of all columns together, up to which a tree is a baseline: its time grows with their square."""

MAX_ROWS = 30_000
"""Rows that a baseline's tree is learnt from, evenly spaced among more."""

_ROWS_AT_ONCE = 4096


class ChowLiuTree:
    """The tree over columns with the most mutual information, and the frequencies of rows along it.

    Of all distributions in which each column depends on at most one other, the tree's has the greatest likelihood of
    the rows that it is learnt from. Samples follow the rows' own frequencies. For `log_prob` each distribution of a
    column, given the category of the one that it depends on, has one further row, shared by the column's categories as
    all the rows are (which themselves have one further row, shared evenly): so rows with pairs that were never seen
    have a probability too.

    Attributes:
        parents: int64 ``[P]``, the column that each one depends on; -1 for column 0, which depends on none.

    Args:
        rows: Integers ``[n, *event_shape]``, n >= 1, of P columns.
        sizes: P numbers of categories: codes of column j are in ``[0, sizes[j])``.

    Raises:
        InputError: If there are no rows, the sizes are not one for each column, or a code is outside of its column's.

    Examples:
        >>> rows = np.array([[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1]])
        >>> tree = ChowLiuTree(rows, [2, 2, 2])
        >>> tree.parents.tolist()
        [-1, 0, 0]
        >>> tree.log_prob(rows).shape
        (4,)
    """

    def __init__(self, rows: NDArray[np.integer], sizes: Sequence[int]) -> None:
        self.sizes = np.array(sizes, np.int64)
        self._ends = np.cumsum(self.sizes)
        self._event_shape, self._dtype = rows.shape[1:], rows.dtype
        if len(rows) == 0:
            raise InputError("rows must hold at least one, got none")
        counts = _pair_counts(self._checked(rows), self._ends)
        self.parents, self._order = _spanning_tree(_mutual_information(counts, len(rows), self.sizes))
        places = [slice(end - size, end) for size, end in zip(self.sizes, self._ends, strict=True)]
        # Column 0 has a parent of a single category, so that all columns are alike.
        self._counts = [
            counts[places[parent], place] if parent >= 0 else counts.diagonal()[None, place]
            for parent, place in zip(self.parents, places, strict=True)
        ]
        self._log_conditionals = [_log_smoothed(table) for table in self._counts]

    def sample(self, count: int, rng: np.random.Generator) -> NDArray[np.integer]:
        """Rows of the tree by the frequencies of those that it was learnt from.

        Args:
            count: How many, >= 1.
            rng: Source of the draws.

        Returns:
            ``[count, *event_shape]``, of the dtype of the rows.
        """
        check_at_least_one(count=count)
        drawn = np.zeros((len(self.sizes), count), np.int64)
        for column in self._order:
            # One of the rows with the parent's category: in the order of (parent, child) they are side by side.
            table = self._counts[column].astype(np.int64)
            parent = self._parent_codes(drawn.T, column)
            of_parent = table.sum(1)
            chosen = (np.cumsum(of_parent) - of_parent)[parent] + rng.integers(of_parent[parent])
            drawn[column] = np.searchsorted(np.cumsum(table), chosen, side="right") - parent * table.shape[1]
        return drawn.T.astype(self._dtype).reshape(count, *self._event_shape)

    def log_prob(self, rows: NDArray[np.integer]) -> NDArray[np.float64]:
        """Natural logarithms of the smoothed probabilities of rows.

        Args:
            rows: Integers ``[m, *event_shape]``.

        Returns:
            ``[m]``, finite.

        Raises:
            InputError: If the rows have another event shape, or a code is outside of its column's.
        """
        flat = self._checked(rows)
        log_prob = np.zeros(len(flat))
        for column, table in enumerate(self._log_conditionals):
            log_prob += table[self._parent_codes(flat, column), flat[:, column]]
        return log_prob

    def _parent_codes(self, flat: NDArray[np.int64], column: int) -> NDArray[np.int64]:
        parent = self.parents[column]
        return flat[:, parent] if parent >= 0 else np.zeros(len(flat), np.int64)

    def _checked(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """The rows as ``[m, P]``."""
        if rows.shape[1:] != self._event_shape:
            raise InputError(f"rows must have the event shape {self._event_shape}, got {rows.shape[1:]}")
        flat = np.asarray(rows).reshape(len(rows), -1).astype(np.int64)
        if self.sizes.shape != flat.shape[1:]:
            raise InputError(f"sizes must be one for each of the {flat.shape[1]} columns, got {len(self.sizes)}")
        is_outside = ((flat < 0) | (flat >= self.sizes)).any(0)
        if is_outside.any():
            column = int(is_outside.argmax())
            raise InputError(
                f"codes of column {column} must be in [0, {self.sizes[column]}), got {flat[:, column].min()} to "
                f"{flat[:, column].max()}"
            )
        return flat


def baseline_tree(training: NDArray[np.integer], space: SampleSpace) -> ChowLiuTree | None:
    """The tree that models of a space are compared with; None where it would take long.

    Args:
        training: Codes ``[S, *event_shape]``; at most `MAX_ROWS` of them, evenly spaced, are learnt from.
        space: What one sample is; its sizes may sum to `MAX_SUM_OF_SIZES`.

    Returns:
        The tree.
    """
    sizes = space.sizes or (space.num_categories,) * space.num_positions
    if sum(sizes) > MAX_SUM_OF_SIZES:
        return None
    return ChowLiuTree(np.asarray(training[evenly_spaced(len(training), MAX_ROWS)]), sizes)


def _pair_counts(flat: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often two categories are in one row, ``[T, T]`` of T categories of all columns in their order."""
    total = int(ends[-1])
    begins = np.concatenate([[0], ends[:-1]])
    counts = np.zeros((total, total))
    for start in range(0, len(flat), _ROWS_AT_ONCE):
        chosen = flat[start : start + _ROWS_AT_ONCE] + begins
        one_hot = np.zeros((len(chosen), total), np.float32)
        np.put_along_axis(one_hot, chosen, 1, axis=1)
        # Sums of so few ones are exact in float32.
        counts += one_hot.T @ one_hot
    return counts


def _mutual_information(counts: NDArray[np.float64], num_rows: int, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of all pairs of columns, ``[P, P]`` in nats; the diagonal is their entropies."""
    shares = counts / num_rows
    surprise = -shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    begins = np.cumsum(sizes) - sizes
    joint_entropy = np.add.reduceat(np.add.reduceat(surprise, begins, axis=0), begins, axis=1)
    entropy = joint_entropy.diagonal()
    return entropy[:, None] + entropy - joint_entropy


def _spanning_tree(weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], list[int]]:
    """Parents ``[P]`` in the tree of most weight with root 0, and the columns in an order in which parents come first.

    Source: Prim, "Shortest connection networks and some generalizations" (1957).
    """
    parents, order = np.zeros(len(weights), np.int64), [0]
    parents[0] = -1
    best = weights[0].copy()
    best[0] = -np.inf
    while len(order) < len(weights):
        column = int(best.argmax())
        order.append(column)
        best[column] = -np.inf
        is_nearer = np.isfinite(best) & (weights[column] > best)
        best[is_nearer], parents[is_nearer] = weights[column, is_nearer], column
    return parents, order


def _log_smoothed(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities of a column given its parent, of counts ``[K of the parent, K of the column]``."""
    of_column = table.sum(0)
    share = (of_column + 1 / len(of_column)) / (of_column.sum() + 1)
    if len(table) == 1:
        return np.log(share)[None]
    return np.log((table + share) / (table.sum(1, keepdims=True) + 1))
