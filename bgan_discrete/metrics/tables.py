"""The figures of generated tables: those of any array of codes, and those that only columns with a meaning have.

    trends                how alike columns and pairs of columns are, as sdmetrics defines it
    dependencies          columns that others decide, and the rows that break that
    predictions           train on samples, test on held-out rows
    privacy               distances to training rows, copies, rare values, an attack on membership

Letters: n rows, P columns.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.metrics import predictions, privacy
from bgan_discrete.metrics.arrays import (
    AUC,
    INDEPENDENT,
    LEAST_AUC_ROWS,
    Extra,
    Sides,
    choose_pairs,
    compare_rows,
    draw_sides,
    pair_information,
    rows_for_trees,
)
from bgan_discrete.metrics.chow_liu import TREE
from bgan_discrete.metrics.dependencies import find_dependencies, share_broken
from bgan_discrete.metrics.figure import Direction, Evaluation, Figure, key_of
from bgan_discrete.metrics.privacy import Distances, attack_membership, share_copied, share_of_rare_shown, spread
from bgan_discrete.metrics.profiles import column_profiles, pair_profiles, quantiles
from bgan_discrete.metrics.table_rows import TableColumns, TableRows, with_values
from bgan_discrete.metrics.trees import boosted_tree_auc
from bgan_discrete.metrics.trends import column_shapes, pair_trends
from bgan_discrete.space import SampleSpace

MAX_TRAINING = 100_000
"""Training rows that figures of tables look at, evenly spaced among more."""

NUM_TARGETS = 3
"""Columns that are predicted where none are named."""

DEPENDENCIES_SHOWN = 5

SHAPES = "column shapes, as sdmetrics"
TRENDS = "column pair trends, as sdmetrics"
BROKEN = "rows that break a dependency between columns"
ONCE = "rows that equal a training row that occurs once"
UNKNOWN = "rows with a value that no training row has"
RARE = f"rare values (in 1 to {privacy.RARE_ROWS} training rows) that are shown"
NEAR = f"rows as near to training rows as the nearest {privacy.NEAR:.0%} of held-out rows"
NEARER = "rows nearer to training than to held-out rows"
MEMBERSHIP = "AUC of an attack on membership"

Measure = Callable[[TableRows], float]


def evaluate_table(
    samples: TableRows,
    training: TableRows,
    heldout: TableRows,
    columns: TableColumns,
    space: SampleSpace,
    *,
    targets: Sequence[str] | None = None,
    is_unseen: bool = True,
    extra: Extra | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare samples of a table with real rows.

    Args:
        samples: Of the model, or whatever made them.
        training: Rows that it was made from.
        heldout: Rows that it has not seen, or other real rows.
        columns: What the columns are.
        space: Of the codes of one row.
        targets: Names of columns to predict; None for the last one, and the two that others tell most of.
        is_unseen: Whether the held-out rows were kept from what made the samples; if not, nothing can tell training
            rows from others.
        extra: See `evaluate_array`.
        seed: Of all that is drawn.

    Returns:
        The figures; ``facts["table"]`` holds what a page draws.

    Raises:
        InputError: If there are too few rows, or a target is no column.
    """
    places = None if targets is None else [columns.place_of(name) for name in targets]
    known = spread(training, MAX_TRAINING)
    codes = (samples.codes, known.codes, heldout.codes)
    sides = draw_sides(*codes, space, seed)
    has_trees = not columns.as_written
    evaluation = compare_rows(
        *codes, space, sides, columns.names, columns.categories, extra=extra, seed=seed, has_trees=has_trees
    )
    if len(known) < len(training):
        evaluation.facts["num_training"] = len(training)
        evaluation.notes.append(
            f"Of {len(training):,} training rows {len(known):,}, evenly spaced, are compared; copies "
            "are looked for among all."
        )
    if not is_unseen:
        evaluation.method += (
            " Training and held-out rows are two halves of the real rows; the samples' maker knew both."
        )
    table = _Table(samples, known, heldout, sides, columns, seed)
    if columns.as_written or len(known) < len(training):
        table.count_copies(evaluation, training)
    table.add_all(places, is_unseen)
    evaluation.figures |= table.figures
    evaluation.notes += table.notes
    evaluation.facts["table"] = table.facts_of_page()
    return evaluation


class _Table:
    """Gathers the figures of a block of samples, with those of real rows and of baselines in their place."""

    def __init__(
        self,
        samples: TableRows,
        training: TableRows,
        heldout: TableRows,
        sides: Sides,
        columns: TableColumns,
        seed: int,
    ) -> None:
        rng, block = np.random.default_rng(seed), slice(0, sides.size)
        self.models = {name: with_values(codes[block], training, rng) for name, codes in sides.models.items()}
        self.samples, self.training = samples.take(block), training
        self.real, self.others = heldout.take(sides.heldout), training.take(sides.others)
        self.columns, self.seed = columns, seed
        self.pairs = choose_pairs(len(columns.names))
        self.figures: dict[str, Figure] = {}
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}
        self.decided: set[int] = set()

    def add(self, title: str, direction: Direction, measure: Measure, floor: TableRows | float, count: int = 0) -> None:
        """A figure of the samples, of the baselines, and of the rows that are its floor, or a number that is."""
        baselines = {name: measure(rows) for name, rows in self.models.items()}
        least = measure(floor) if isinstance(floor, TableRows) else floor
        count = count or len(self.samples)
        self.figures[key_of(title)] = Figure(title, measure(self.samples), direction, least, baselines, count)

    def add_all(self, places: Sequence[int] | None, is_unseen: bool) -> None:
        """All figures; ``places`` are the columns to predict, None for a choice of them."""
        if self.columns.as_written:
            self.add_as_written()
        self.add_trends()
        self.add_dependencies()
        self.add_predictions(places)
        self.add_privacy(is_unseen)

    def facts_of_page(self) -> dict[str, Any]:
        """What a page draws."""
        return {
            "columns": column_profiles(self.samples, self.real, self.training, self.columns),
            "pairs": pair_profiles(self.samples, self.real, self.training, self.columns, self.pairs),
            "as_written": self.columns.as_written,
            **self.facts,
        }

    def add_as_written(self) -> None:
        """Trees that read numbers as they are written, and values that are not in the training rows."""
        count = rows_for_trees(len(self.real), len(self.columns.names))

        def trees(rows: TableRows) -> float:
            sides = [spread(side, count).features(self.columns) for side in (rows, self.real)]
            return boosted_tree_auc(sides[0], sides[1], self.seed)  # type: ignore[arg-type]

        if count >= LEAST_AUC_ROWS:
            self.add(f"{AUC}, numbers as written", "half", trees, self.others, count)
        known = [np.unique(codes) for codes in self.training.codes.T]

        def unknown(rows: TableRows) -> float:
            is_known = [np.isin(codes, found) for codes, found in zip(rows.codes.T, known, strict=True)]
            return float(1 - np.all(is_known, axis=0).mean())

        self.add(UNKNOWN, "floor", unknown, self.real)

    def count_copies(self, evaluation: Evaluation, training: TableRows) -> None:
        """Different rows, and copies of all training rows, told apart by their values."""
        keys = set(training.row_keys())
        by_values: dict[str, Callable[[list[bytes]], float]] = {
            "unique_rate": lambda own: len(set(own)) / len(own),
            "copies": lambda own: sum(key in keys for key in own) / len(own),
        }
        for key, share in by_values.items():
            evaluation.figures[key] = replace(
                evaluation.figures[key],
                value=share(self.samples.row_keys()),
                floor=share(self.real.row_keys()),
                baselines={name: share(rows.row_keys()) for name, rows in self.models.items()},
            )

    def add_trends(self) -> None:
        """Column shapes and column pair trends."""
        columns, training = self.columns, self.training

        def shapes(rows: TableRows) -> float:
            return float(column_shapes(rows, training, columns).mean())

        def trends(rows: TableRows) -> float:
            found = pair_trends(rows, training, columns, self.pairs)
            return float(np.nanmean(found)) if np.isfinite(found).any() else math.nan

        self.add(SHAPES, "higher", shapes, self.real)
        if len(self.pairs):
            self.add(TRENDS, "higher", trends, self.real)

    def add_dependencies(self) -> None:
        """Columns that others decide, and the rows that break that."""
        names = self.columns.names
        found = find_dependencies(self.training.codes, self.columns.sizes, self.pairs)
        self.decided = {dependency.effect for dependency in found}
        listed = []
        for dependency in found:
            shares = {name: float(dependency.broken_by(rows.codes).mean()) for name, rows in self.models.items()}
            listed.append(
                {
                    "cause": names[dependency.cause],
                    "effect": names[dependency.effect],
                    "samples": float(dependency.broken_by(self.samples.codes).mean()),
                    "heldout": float(dependency.broken_by(self.real.codes).mean()),
                    "training": dependency.exceptions,
                    "baselines": shares,
                }
            )
        listed.sort(key=lambda entry: (entry["heldout"] - entry["samples"], entry["cause"]))  # type: ignore[operator]
        self.facts["dependencies"] = listed
        if not found:
            self.notes.append("No column decides another one in the training rows.")
            return
        self.add(BROKEN, "lower", lambda rows: share_broken(rows.codes, found), self.real)
        shown = ", ".join(
            f"{entry['cause']} decides {entry['effect']}: {entry['samples']:.2%} (held-out rows {entry['heldout']:.2%})"
            for entry in listed[:DEPENDENCIES_SHOWN]
        )
        more = f"; {len(listed) - DEPENDENCIES_SHOWN} more" if len(listed) > DEPENDENCIES_SHOWN else ""
        self.notes.append(f"Dependencies found in the training rows, and samples that break them: {shown}{more}.")

    def _chosen_targets(self) -> list[int]:
        """The last column, and those that one other column tells most of without deciding them."""
        codes, num = self.training.codes, max(2, *self.columns.sizes)
        entropy = [_entropy(codes[:, place]) for place in range(len(self.columns.names))]
        told = np.zeros(len(entropy))
        for (i, j), information in zip(self.pairs.tolist(), pair_information(codes, self.pairs, num), strict=True):
            for place in (i, j):
                if entropy[place] > 0:
                    told[place] = max(told[place], information / entropy[place])
        last = len(told) - 1
        order = [place for place in np.argsort(-told, kind="stable").tolist() if place not in self.decided]
        return list(dict.fromkeys([last, *order]))

    def _others(self, place: int) -> NDArray[np.int64]:
        """The columns that a target is predicted from: all, or those that tell most of it."""
        count = len(self.columns.names)
        others = np.array([other for other in range(count) if other != place], np.int64)
        if len(others) <= predictions.MAX_FEATURES:
            return others
        pairs = np.stack([others, np.full(len(others), place)], axis=1)
        information = pair_information(self.training.codes, pairs, max(2, *self.columns.sizes))
        return np.sort(others[np.argsort(-information, kind="stable")[: predictions.MAX_FEATURES]])

    def add_predictions(self, places: Sequence[int] | None) -> None:
        """Train on samples, test on held-out rows."""
        columns, count = self.columns, len(self.columns.names)
        most = min(len(self.real), max(predictions.LEAST_ROWS, predictions.MOST_CELLS // min(count, 61)))
        self.facts["predictions"] = []
        if most < predictions.LEAST_ROWS or count < 2:
            return
        contenders = {
            "samples": self.samples,
            "real": self.others,
            **{name: self.models[name] for name in (INDEPENDENT, TREE) if name in self.models},
        }
        rows = {name: spread(side, most) for name, side in contenders.items()}
        wanted = self._chosen_targets() if places is None else places
        most_targets = NUM_TARGETS if places is None else len(places)
        for place in wanted:
            target = predictions.make_target(self.training, columns, place)
            if target is None or len(self.facts["predictions"]) == most_targets:
                continue
            heldout = spread(self.real, most)
            scores = predictions.predict(
                target, list(rows.values()), heldout, self.training, columns, self._others(place), self.seed
            )
            self._keep_scores(columns.names[place], target, dict(zip(rows, scores, strict=True)), most)

    def _keep_scores(
        self, name: str, target: predictions.Target, scores: Mapping[str, Sequence[predictions.Score]], count: int
    ) -> None:
        aucs = {side: [score.auc for score in own] for side, own in scores.items()}
        accuracies = {side: [score.accuracy for score in own] for side, own in scores.items()}
        for what, values in (("AUC", aucs), ("accuracy", accuracies)):
            means = {side: float(np.mean(own)) for side, own in values.items()}
            title = f"{what} for {name}, learnt from samples"
            value, floor = means.pop("samples"), means.pop("real")
            self.figures[key_of(title)] = Figure(title, value, "higher", floor, means, count)
        self.facts["predictions"].append(
            {
                "target": name,
                "classes": [target.names[number] for number in np.unique(target.of(self.training))],
                "most_frequent": float(np.bincount(target.of(self.real)).max() / len(self.real)),
                "num_rows": count,
                "models": [
                    {
                        "name": model,
                        "auc": {side: own[number] for side, own in aucs.items()},
                        "accuracy": {side: own[number] for side, own in accuracies.items()},
                    }
                    for number, model in enumerate(predictions.model_names())
                ],
            }
        )

    def add_privacy(self, is_unseen: bool) -> None:
        """Copies, rare values, distances to training rows, and an attack on membership."""
        distances = Distances(self.training, self.columns)
        queries, references = distances.most_queries, distances.most_references
        self.add(ONCE, "floor", lambda rows: share_copied(rows, self.training)[1], self.real)
        rare = privacy.rare_values(self.training)
        if any(map(len, rare)):
            self.add(RARE, "floor", lambda rows: share_of_rare_shown(rows, rare), self.real)
        known = spread(self.training, references)
        asked = {id(rows): spread(rows, queries) for rows in (self.samples, self.real, *self.models.values())}
        to_known = {key: distances.nearest(rows, known) for key, rows in asked.items()}
        of_real, of_samples = to_known[id(self.real)], to_known[id(self.samples)]
        near = float(np.quantile(of_real, privacy.NEAR, method="inverted_cdf"))
        num = len(asked[id(self.samples)])
        self.add(NEAR, "floor", lambda rows: float((to_known[id(rows)] <= near).mean()), self.real, num)
        self.facts["privacy"] = {
            "is_unseen": is_unseen,
            "quantiles": list(privacy.QUANTILES),
            "of_samples": quantiles(of_samples, privacy.QUANTILES),
            "of_heldout": quantiles(of_real, privacy.QUANTILES),
            "num_rare": sum(map(len, rare)),
            "num_queries": num,
            "num_references": len(known),
            "words": list(privacy.WORDS),
        }
        if not is_unseen:
            self.facts["privacy"]["words"].insert(0, privacy.WORDS_WITHOUT_HOLDOUT)
            self.notes.append(privacy.WORDS_WITHOUT_HOLDOUT)
            self.notes.append(privacy.WORDS[0])
            return

        # As many of both, so that the nearest ones can be compared.
        count = min(len(known), len(self.real))
        seen, unseen = spread(self.training, count), spread(self.real, count)

        def nearer(rows: TableRows) -> float:
            gap = distances.nearest(asked[id(rows)], seen) - distances.nearest(asked[id(rows)], unseen)
            return float((gap < -1e-9).mean() + 0.5 * (np.abs(gap) <= 1e-9).mean())

        self.add(NEARER, "half", nearer, 0.5, num)
        members = spread(self.training, queries)
        attacks = {}

        def attack(rows: TableRows) -> float:
            samples = spread(rows, references)
            sides = [distances.nearest(side, samples) for side in (members, asked[id(self.real)])]
            attacks[id(rows)] = attack_membership(*sides)
            return attacks[id(rows)].auc

        self.add(MEMBERSHIP, "half", attack, 0.5, num)
        found = attacks[id(self.samples)]
        self.facts["privacy"] |= {"membership_auc": found.auc, "membership_noise": found.noise}
        self.notes.append(
            f"An attack that takes rows near to a sample for training rows is right with an AUC of {found.auc:.3f} ± "
            f"{found.noise:.3f} (0.5: samples give no membership away, by this attack). {privacy.WORDS[0]}"
        )


def _entropy(codes: NDArray[Any]) -> float:
    shares = np.bincount(codes.astype(np.int64)) / len(codes)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
