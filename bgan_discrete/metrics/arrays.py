"""The figures of generated arrays and tables: columns by themselves, columns in pairs, copies, and judges from outside.

Letters: n rows, P columns (the event shape, flattened), K categories.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator
from bgan_discrete.metrics import figure
from bgan_discrete.metrics.chow_liu import TREE, baseline_tree
from bgan_discrete.metrics.critics import critic_divergence
from bgan_discrete.metrics.figure import Direction, Evaluation, Figure, key_of
from bgan_discrete.metrics.marginals import category_counts, evenly_spaced, independent_pixels
from bgan_discrete.metrics.trees import boosted_tree_auc
from bgan_discrete.nn.sequences import ConvSequenceDiscriminator
from bgan_discrete.nn.vectors import MLPDiscriminator
from bgan_discrete.space import SampleSpace

MAX_PAIRS = 2000
"""Of more pairs of columns so many are compared, evenly spaced among all."""

MAX_BLOCK = 5000
"""The most rows on a side of a comparison."""

MIN_ROWS = 20
"""Of samples, training rows and held-out rows: with fewer there is nothing to judge by."""

CRITIC_STEPS = 600
CONVOLUTION_STEPS = 300
"""Of a critic of convolutions, whose steps take longer."""

STEPS_A_ROW = 3
"""Of a critic of few rows, at most, which more steps would only let it learn by heart."""

LEAST_AUC_ROWS, MOST_AUC_CELLS = 100, 100_000
"""Rows on a side below which trees see nothing but noise, and codes on a side above which they get fewer rows."""

CRITIC_WIDTH = 64
WORST_SHOWN = 5
MISSING_SHOWN = 20

FEWEST_EXPECTED = 20
"""Rows with a category, below which its absence says nothing."""

_DENSE_JOINT = 2**16

CRITIC = "divergence that a fresh critic finds (0 to 1)"
AUC = "AUC of boosted trees"
INDEPENDENT = "independent"

Codes = NDArray[Any]
Entry = tuple[float, Direction]
"""A value, and in which direction it is better."""

Extra = Callable[[Codes], Mapping[str, Entry]]
"""Further figures of rows of codes, by their titles."""


def _column_variation(a: Codes, b: Codes, num_categories: int) -> NDArray[np.float64]:
    """``1/2 sum_k |p_a(k) - p_b(k)|`` of each column, ``[P]``."""
    shares = [category_counts(codes, num_categories) / len(codes) for codes in (a, b)]
    return 0.5 * np.abs(shares[0] - shares[1]).sum(-1).ravel()


def choose_pairs(num_columns: int, most: int = MAX_PAIRS) -> NDArray[np.int64]:
    """Pairs of different columns ``[pairs, 2]``: all, or so many evenly spaced in the order (0, 1), (0, 2), ..."""
    begins = np.concatenate([[0], np.cumsum(np.arange(num_columns - 1, 0, -1))])
    in_all = int(begins[-1])
    ranks = np.linspace(0, in_all - 1, min(in_all, most)).astype(np.int64)
    first = np.searchsorted(begins, ranks, side="right") - 1
    return np.stack([first, ranks - begins[first] + first + 1], axis=1)


def rows_for_trees(num_rows: int, num_columns: int) -> int:
    """How many rows on a side boosted trees are given, of which fewer than `LEAST_AUC_ROWS` are too few."""
    return min(num_rows, max(LEAST_AUC_ROWS, MOST_AUC_CELLS // num_columns))


def _pair_figures(
    codes: Codes, reference: Codes, pairs: NDArray[np.int64], num_categories: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Total variation of each pair's joint distribution, and absolute difference of its mutual information (nats)."""
    flat, flat_reference = (_flat(part) for part in (codes, reference))
    variation, information = np.empty(len(pairs)), np.empty(len(pairs))
    for place, (i, j) in enumerate(pairs):
        own, other = (part[:, i] * num_categories + part[:, j] for part in (flat, flat_reference))
        shares = _joint_shares(own, other, num_categories)
        variation[place] = 0.5 * np.abs(shares[0] - shares[1]).sum()
        found = [_information(part[:, [i, j]], s) for part, s in zip((flat, flat_reference), shares, strict=True)]
        information[place] = abs(found[0] - found[1])
    return variation, information


def pair_information(codes: Codes, pairs: NDArray[np.int64], num_categories: int) -> NDArray[np.float64]:
    """Mutual information of pairs of columns, in nats; of few rows it is above that of their distribution."""
    flat, found = _flat(codes), []
    for i, j in pairs:
        joint = flat[:, i] * num_categories + flat[:, j]
        found.append(_information(flat[:, [i, j]], _joint_shares(joint, joint, num_categories)[0]))
    return np.array(found)


def _flat(codes: Codes) -> NDArray[np.int64]:
    return np.asarray(codes).reshape(len(codes), -1).astype(np.int64)


def _joint_shares(a: Codes, b: Codes, num_categories: int) -> list[NDArray[np.float64]]:
    """Shares of the pairs ``k_i K + k_j`` in two sets, over one list of pairs."""
    size = num_categories**2
    if size > _DENSE_JOINT:
        known, places = np.unique(np.concatenate([a, b]), return_inverse=True)
        size, (a, b) = len(known), np.split(places, [len(a)])
    return [np.bincount(part, minlength=size) / len(part) for part in (a, b)]


def _information(columns: Codes, joint: NDArray[np.float64]) -> float:
    """``H(i) + H(j) - H(i, j)`` in nats."""
    return sum(_entropy(np.bincount(column) / len(column)) for column in columns.T) - _entropy(joint)


def _entropy(shares: NDArray[np.float64]) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def _frequency_agreement(a: Codes, b: Codes) -> tuple[float, float]:
    """``R^2`` of the columns' frequencies of 1, NaN where those of b are all equal, and the root mean square error.

    Source: the dimension-wise probability of Choi et al., "Generating multi-label discrete patient records" (2017).
    """
    p_a, p_b = (np.asarray(part).reshape(len(part), -1).mean(0) for part in (a, b))
    squares, spread = ((p_a - p_b) ** 2).sum(), ((p_b - p_b.mean()) ** 2).sum()
    return float(1 - squares / spread) if spread > 0 else math.nan, float(np.sqrt(squares / len(p_a)))


def kmer_divergence(a: Codes, b: Codes, order: int, num_categories: int) -> float:
    """Jensen-Shannon divergence, in bits, of the runs of ``order`` neighbouring codes in two sets of ``[n, L]``."""
    runs = []
    for codes in (a, b):
        windows = np.lib.stride_tricks.sliding_window_view(np.asarray(codes, np.int64), order, axis=1)
        runs.append(windows.reshape(-1, order))
    places = np.zeros(sum(map(len, runs)), np.int64)
    for column in np.concatenate(runs).T:
        # Only the runs that occur are numbered, so that their numbers times K stay small, however many there could be.
        places = np.unique(places * num_categories + column, return_inverse=True)[1]
    parts = np.split(places, [len(runs[0])])
    shares = [np.bincount(part, minlength=int(places.max()) + 1) / len(part) for part in parts]
    middle = _entropy((shares[0] + shares[1]) / 2)
    return max(middle - (_entropy(shares[0]) + _entropy(shares[1])) / 2, 0.0) / math.log(2)


def _missing_categories(codes: Codes, training: Codes, num_categories: int) -> list[tuple[int, int, float]]:
    """Column, category and share in the data of what samples lack, or hold less than a tenth as often as data do."""
    # Only such count as were to be expected in as many samples: a sampler of the right shares misses one of those by
    # chance in 1 of 10^7 cases.
    made, real = (category_counts(part, num_categories).reshape(-1, num_categories) for part in (codes, training))
    expected = real * (len(codes) / len(training))
    is_missing = (real >= FEWEST_EXPECTED) & (expected >= FEWEST_EXPECTED) & (made < 0.1 * expected)
    found = [(int(p), int(k), float(real[p, k] / len(training))) for p, k in np.argwhere(is_missing)]
    return sorted(found, key=lambda entry: -entry[2])


def _share_of_copies(codes: Codes, training: Codes) -> float:
    """Share of rows that stand in the training data, code for code."""
    known = set(_keys(training))
    return sum(key in known for key in _keys(codes)) / len(codes)


def _unique_rate(codes: Codes) -> float:
    """Different rows over all rows."""
    return len(set(_keys(codes))) / len(codes)


def _keys(codes: Codes) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(np.asarray(codes).reshape(len(codes), -1), np.int32)]


def check_row_counts(num_samples: int, num_training: int, num_heldout: int) -> None:
    """Raise InputError where there are too few rows to evaluate a model by."""
    figure.check_counts("rows", MIN_ROWS, num_samples, num_training, num_heldout)


def evaluate_array(
    samples: Codes,
    training: Codes,
    heldout: Codes,
    space: SampleSpace,
    *,
    column_names: Sequence[str] | None = None,
    category_names: Sequence[Sequence[str]] | None = None,
    neighbours: bool = False,
    extra: Extra | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare samples with real rows.

    The samples are cut into blocks of as many as there are held-out rows (at most `MAX_BLOCK`), and a figure is the
    mean over the blocks, so that model, floor and baseline have one number of rows: distances of finite samples are
    above 0 even for real ones.

    Args:
        samples: Integers ``[n, *event_shape]`` in ``[0, K)``, of the model.
        training: Likewise, that the model was trained on.
        heldout: Likewise, that it has not seen.
        space: What one row is.
        column_names: P names; their numbers if None.
        category_names: P times the names of the categories; None where they have none, and are not looked for one by
            one.
        neighbours: The columns are an order, as the positions of a sequence: the critic is one of convolutions.
        extra: Further figures of the same rows, such as the share of those that keep a rule.
        seed: Of the baselines, of the held-out rows where there are too many, of the critics and the boosted trees.

    Returns:
        The figures; the same for the same arguments.

    Raises:
        InputError: If the arrays are not of the space's shape, or there are too few rows.
    """
    sides = draw_sides(samples, training, heldout, space, seed)
    names = list(column_names or map(str, range(space.num_positions)))
    return compare_rows(samples, training, heldout, space, sides, names, category_names, neighbours, extra, seed)


@dataclass(frozen=True)
class Sides:
    """What samples are compared with, as well as other rows in their place.

    Attributes:
        heldout: Places of as many held-out rows as a block of samples has, ascending.
        others: Places of as many training rows, which are in the samples' place where held-out rows judge.
        models: Codes of baselines by their names, as many as samples.
    """

    heldout: NDArray[np.int64]
    others: NDArray[np.int64]
    models: dict[str, Codes]

    @property
    def size(self) -> int:
        """Rows of a block."""
        return len(self.heldout)


def draw_sides(samples: Codes, training: Codes, heldout: Codes, space: SampleSpace, seed: int) -> Sides:
    """Draw the rows to compare with, and those of baselines; arguments and errors as in `evaluate_array`."""
    check_row_counts(len(samples), len(training), len(heldout))
    for name, codes in (("samples", samples), ("training", training), ("heldout", heldout)):
        if codes.shape[1:] != space.event_shape:
            raise InputError(f"{name} must have the event shape {space.event_shape}, got {codes.shape[1:]}")
    rng = np.random.default_rng(seed)
    size = min(len(samples), len(heldout), MAX_BLOCK)
    real = np.sort(rng.permutation(len(heldout))[:size])
    models = {INDEPENDENT: independent_pixels(training, len(samples), rng)}
    others = np.sort(rng.permutation(len(training))[:size])
    tree = baseline_tree(training, space)
    if tree is not None:
        models[TREE] = tree.sample(len(samples), rng)
    return Sides(real, others, models)


def compare_rows(
    samples: Codes,
    training: Codes,
    heldout: Codes,
    space: SampleSpace,
    sides: Sides,
    names: Sequence[str],
    category_names: Sequence[Sequence[str]] | None = None,
    neighbours: bool = False,
    extra: Extra | None = None,
    seed: int = 0,
    has_trees: bool = True,
) -> Evaluation:
    """Compare samples with the rows that `draw_sides` gave; the other arguments are as in `evaluate_array`.

    Without ``has_trees`` the boosted trees are left to the caller, who knows more than codes.
    """
    real, others = np.asarray(heldout[sides.heldout]), np.asarray(training[sides.others])
    comparison = _Comparison(training, real, space, neighbours, extra, seed, has_trees)
    values, floors = comparison.of(samples), comparison.of_block(real) | comparison.of_judges(others)
    of_models = {name: comparison.of(codes) for name, codes in sides.models.items()}
    figures = {}
    for title, (value, direction) in values.items():
        baselines = {name: found[title][0] for name, found in of_models.items()}
        count = comparison.auc_rows if title == AUC else sides.size
        figures[key_of(title)] = Figure(title, value, direction, floors[title][0], baselines, count)
    return _evaluation(figures, samples, training, len(heldout), comparison, names, category_names)


class _Comparison:
    """Computes the figures of sets of rows, block by block."""

    def __init__(
        self,
        training: Codes,
        real: Codes,
        space: SampleSpace,
        neighbours: bool,
        extra: Extra | None,
        seed: int,
        has_trees: bool = True,
    ) -> None:
        self.training, self.real, self.space = training, real, space
        self.neighbours, self.extra, self.seed, self.has_trees = neighbours, extra, seed, has_trees
        self.pairs = choose_pairs(space.num_positions)
        # In wide data most pairs have nothing to do with each other, and say little of what was learnt.
        information = pair_information(training, self.pairs, space.num_categories)
        self.dependent = np.argsort(-information, kind="stable")[: -(-len(self.pairs) // 10)]
        self.auc_rows = rows_for_trees(len(real), space.num_positions)

    def of(self, codes: Codes) -> dict[str, Entry]:
        """Means over the blocks, and what judges find in the first one; a shorter remainder is left out."""
        size = len(self.real)
        blocks = [codes[start : start + size] for start in range(0, len(codes) - size + 1, size)]
        parts = [self.of_block(block) for block in blocks]
        found = {title: (float(np.mean([part[title][0] for part in parts])), parts[0][title][1]) for title in parts[0]}
        return found | self.of_judges(blocks[0])

    def of_judges(self, codes: Codes) -> dict[str, Entry]:
        """What a fresh critic and, of enough rows, boosted trees see of a difference between codes and real rows."""
        found: dict[str, Entry] = {CRITIC: (self._critic(codes), "lower")}
        if self.has_trees and self.auc_rows >= LEAST_AUC_ROWS:
            ours, theirs = (part[evenly_spaced(len(part), self.auc_rows)] for part in (codes, self.real))
            found[AUC] = (boosted_tree_auc(ours, theirs, self.seed), "half")
        return found

    def _critic(self, codes: Codes) -> float:
        """The divergence of codes from real rows that a freshly trained critic finds, as a share of the largest."""

        def make() -> Discriminator:
            if self.neighbours:
                return ConvSequenceDiscriminator(self.space, CRITIC_WIDTH // 2, 2)
            return MLPDiscriminator(self.space, CRITIC_WIDTH)

        most = min(CRITIC_STEPS, CONVOLUTION_STEPS) if self.neighbours else CRITIC_STEPS
        steps = min(most, STEPS_A_ROW * len(self.real))
        found = critic_divergence(self.real, codes, self.space.num_categories, make, steps=steps, seed=self.seed)
        return max(found, 0.0) / (2 * math.log(2))

    def of_block(self, codes: Codes) -> dict[str, Entry]:
        """The figures of one block, without those of judges."""
        training, num_categories = self.training, self.space.num_categories
        columns = _column_variation(codes, training, num_categories)
        found: dict[str, Entry] = {
            "total variation of a column, mean": (float(columns.mean()), "lower"),
            "total variation of a column, largest": (float(columns.max()), "lower"),
        }
        if len(self.pairs):
            variation, information = _pair_figures(codes, training, self.pairs, num_categories)
            for what, values in (
                ("total variation of a pair,", variation),
                ("mutual information of a pair, error (nats),", information),
            ):
                found |= {
                    f"{what} mean": (float(values.mean()), "lower"),
                    f"{what} dependent tenth": (float(values[self.dependent].mean()), "lower"),
                    f"{what} largest": (float(values.max()), "lower"),
                }
        if num_categories == 2 and self.space.num_positions > 1:
            agreement, error = _frequency_agreement(codes, training)
            found["frequencies of 1, R² against the data's"] = (agreement, "higher")
            found["frequencies of 1, root mean square error"] = (error, "lower")
        found["unique rate"] = (_unique_rate(codes), "floor")
        found["copies of training rows"] = (_share_of_copies(codes, training), "floor")
        return found | dict(self.extra(codes) if self.extra else {})


def _evaluation(
    figures: dict[str, Figure],
    samples: Codes,
    training: Codes,
    num_heldout: int,
    comparison: _Comparison,
    names: Sequence[str],
    category_names: Sequence[Sequence[str]] | None,
) -> Evaluation:
    """The figures with what is worst in them: columns, pairs and categories."""
    pairs, num_categories = comparison.pairs, comparison.space.num_categories
    lacking = [] if category_names is None else _missing_categories(samples, training, num_categories)
    in_all = len(names) * (len(names) - 1) // 2
    columns = _worst(names, _column_variation(samples, training, num_categories))
    pair_names = [f"{names[i]} x {names[j]}" for i, j in pairs]
    worst_pairs = _worst(pair_names, _pair_figures(samples, training, pairs, num_categories)[0])
    missing = {
        f"{names[p]} = {(category_names or [])[p][k]}": round(share, 4) for p, k, share in lacking[:MISSING_SHOWN]
    }
    notes = [f"Columns farthest from the data (total variation): {_listed(columns)}."]
    if lacking:
        shown = ", ".join(f"{name} ({share:.1%} of the data)" for name, share in missing.items())
        more = len(lacking) - len(missing)
        notes.append(f"Categories missing from the samples: {shown}{f', and {more:,} more' if more else ''}.")
    if len(pairs):
        chosen = f", {len(pairs):,} pairs of columns" + (
            f" of {in_all:,}, evenly chosen" if len(pairs) < in_all else ""
        )
        notes.append(f"Pairs farthest from the data{chosen}: {_listed(worst_pairs)}.")
    size = len(comparison.real)
    if size < LEAST_AUC_ROWS:
        notes.append(f"{AUC}: left out, since they need at least {LEAST_AUC_ROWS} rows on a side, and have {size}.")
    method = (
        f"{len(samples):,} samples in blocks of {size:,}, compared with {len(training):,} training and "
        f"{num_heldout:,} held-out rows. The floor has held-out rows in the samples' place, of judges, which compare "
        f"with held-out rows, training rows; the baseline '{INDEPENDENT}' draws every column by itself"
        + (f", '{TREE}' by one other column." if TREE in next(iter(figures.values())).baselines else ".")
    )
    facts = {
        "num_samples": len(samples),
        "block_size": size,
        "num_training": len(training),
        "num_heldout": num_heldout,
        "num_pairs": len(pairs),
        "pairs_in_all": in_all,
        "worst_columns": columns,
        "worst_pairs": worst_pairs,
        "num_missing_categories": len(lacking),
        "missing_categories": missing,
    }
    return Evaluation(figures, "rows", method, notes, facts)


def _worst(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {names[place]: round(float(values[place]), 4) for place in np.argsort(-values, kind="stable")[:WORST_SHOWN]}


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())
