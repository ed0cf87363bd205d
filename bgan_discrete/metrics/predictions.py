"""Train on synthetic, test on real: how well models that learnt from samples predict a column of held-out rows.

Source: Esteban et al., "Real-valued (medical) time series generation with recurrent conditional GANs"
(2017), section 4.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.metrics.table_rows import TableColumns, TableRows

MAX_CLASSES = 10
"""Of a column of more values the others are one class more; more numbers are cut at their median."""

LEAST_SHARE = 0.01
"""Of the rows, which a class has at least; rarer values are one class, or part of the rarest."""

MAX_INDICATORS = 50
"""Values of a column that a logistic regression knows apart."""

MAX_FEATURES = 60
"""Columns that models read: of more, those that tell most of the target."""

LEAST_ROWS = 100
"""To learn from and to test with, with fewer of which the figures are noise."""

MOST_CELLS = 75_000
"""Values that a model learns from; of wide tables there are fewer rows."""

FEWEST_TREES, MOST_TREES = 10, 40

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """A column that is predicted, by its classes.

    Attributes:
        place: Of the column.
        threshold: Of a column of many numbers, which has the classes above it and not above it; None of others.
        classes: int64, of each code of the column its class.
        names: Of the classes.
    """

    place: int
    threshold: float | None
    classes: Labels
    names: tuple[str, ...]

    def of(self, rows: TableRows) -> Labels:
        """The class of each row."""
        if self.threshold is not None:
            return (rows.values[:, self.place] > self.threshold).astype(np.int64)
        return self.classes[rows.codes[:, self.place]]


def make_target(training: TableRows, columns: TableColumns, place: int) -> Target | None:
    """The classes of a column; None where the training rows have a single one."""
    names, codes = columns.categories[place], training.codes[:, place].astype(np.int64)
    if columns.is_number[place] and len(names) > MAX_CLASSES:
        threshold = float(np.nanmedian(training.values[:, place]))
        target = Target(place, threshold, np.zeros(0, np.int64), (f"at most {threshold:g}", f"above {threshold:g}"))
    else:
        counts = np.bincount(codes, minlength=len(names))
        # Trees of a class of a few rows blow up; but of two values the rarer one may be what matters.
        count = max(int((counts >= LEAST_SHARE * len(codes)).sum()), min(2, int((counts > 0).sum())))
        kept = np.sort(np.argsort(-counts, kind="stable")[: min(count, MAX_CLASSES)])
        rest = len(codes) - counts[kept].sum()
        found = [names[code] for code in kept]
        classes = np.full(len(names), len(kept))
        if rest < LEAST_SHARE * len(codes):
            rarest = int(counts[kept].argmin())
            classes[:] = rarest
            found[rarest] += " or a rarer one" if rest else ""
        else:
            found.append("all others")
        classes[kept] = np.arange(len(kept))
        target = Target(place, None, classes, tuple(found))
    return target if len(np.unique(target.of(training))) > 1 else None


@dataclass(frozen=True)
class Score:
    """How well a model predicts held-out rows.

    Attributes:
        auc: Area under the curve, of several classes the mean of each one against the rest by its share.
        accuracy: Share of rows whose class is right.
    """

    auc: float
    accuracy: float


def model_names() -> list[str]:
    """The models that predict."""
    return ["logistic regression", "random forest", "boosted trees"]


def predict(
    target: Target,
    contenders: Sequence[TableRows],
    heldout: TableRows,
    training: TableRows,
    columns: TableColumns,
    others: NDArray[np.int64],
    seed: int = 0,
) -> list[list[Score]]:
    """Learn from each of several tables to predict a column, and test with held-out rows.

    Args:
        target: What is predicted.
        contenders: Rows to learn from, of all as many.
        heldout: Rows to test with.
        training: Training rows, by which values are scaled.
        columns: Of all rows.
        others: Places of the columns to predict from, without that of the target.
        seed: Of the models.

    Returns:
        For each of the contenders the score of each of `model_names`.
    """
    indicators = _Indicators(training, columns, others)
    trees = [rows.features(columns)[:, others] for rows in (heldout, *contenders)]
    plain = [indicators.of(rows) for rows in (heldout, *contenders)]
    wanted = target.of(heldout)
    found = []
    for place, rows in enumerate(contenders, 1):
        labels = target.of(rows)
        scores = []
        for name in model_names():
            inputs = plain if name == "logistic regression" else trees
            chances = _learn(name, inputs[place], labels, inputs[0], len(target.names), seed)
            scores.append(Score(_auc(wanted, chances), float((chances.argmax(1) == wanted).mean())))
        found.append(scores)
    return found


def _learn(name: str, inputs: Any, labels: Labels, unseen: Any, num_classes: int, seed: int) -> Floats:
    """The probability of each class for each unseen row, ``[n, classes]``."""
    chances, known = np.zeros((unseen.shape[0], num_classes)), np.unique(labels)
    if len(known) == 1:
        chances[:, known[0]] = 1
        return chances
    # Here, because they take seconds to import.
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    count = int(np.clip(100 // num_classes, FEWEST_TREES, MOST_TREES))
    model: Any = {
        "logistic regression": lambda: LogisticRegression(max_iter=100, tol=1e-3),
        "random forest": lambda: RandomForestClassifier(MOST_TREES // 2, min_samples_leaf=2, random_state=seed),
        "boosted trees": lambda: HistGradientBoostingClassifier(
            max_iter=count,
            learning_rate=0.2,
            max_leaf_nodes=15,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=seed,
        ),
    }[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a regression that has not wholly converged is as good a judge
        model.fit(inputs, labels)
        chances[:, model.classes_] = model.predict_proba(unseen)
    return chances


def _auc(wanted: Labels, chances: Floats) -> float:
    """Of two classes that of the second; of more the mean of each against the rest, by its share. 0.5 without any."""
    counts = np.bincount(wanted, minlength=chances.shape[1])
    present = np.flatnonzero((counts > 0) & (counts < len(wanted)))
    if not len(present):
        return 0.5
    areas = []
    for code in present:
        is_it, scores = wanted == code, chances[:, code]
        ordered = np.sort(scores[~is_it])
        sides = [np.searchsorted(ordered, scores[is_it], side) for side in ("left", "right")]
        areas.append((sides[0] + sides[1]).mean() / (2 * len(ordered)))
    return float(np.average(areas, weights=counts[present]))


class _Indicators:
    """Features of a regression: indicators of frequent values; numbers by their rank among training rows."""

    def __init__(self, training: TableRows, columns: TableColumns, places: NDArray[np.int64]) -> None:
        self._columns, self._places = columns, places
        self._ranks: dict[int, Floats] = {}
        self._position: dict[int, Labels] = {}
        for place in places.tolist():
            if columns.is_number[place]:
                known = training.values[:, place]
                self._ranks[place] = np.sort(known[~np.isnan(known)])
            else:
                counts = np.bincount(training.codes[:, place].astype(np.int64), minlength=columns.sizes[place])
                order = np.argsort(-counts, kind="stable")
                self._position[place] = np.full(len(counts), -1)
                self._position[place][order[:MAX_INDICATORS]] = np.arange(min(len(counts), MAX_INDICATORS))

    def of(self, rows: TableRows) -> NDArray[np.float32]:
        """A row of features for each."""
        parts = []
        for place in self._places.tolist():
            if place in self._ranks:
                values, known = rows.values[:, place], self._ranks[place]
                ranks = np.searchsorted(known, np.nan_to_num(values), side="right") / max(len(known), 1)
                missing = np.isnan(values)
                parts.append(np.stack([np.where(missing, 0.0, 2 * ranks - 1), missing], axis=1).astype(np.float32))
            else:
                position = self._position[place]
                is_it = np.arange(position.max() + 1) == position[rows.codes[:, place].astype(np.int64)][:, None]
                parts.append(is_it.astype(np.float32))
        return np.concatenate(parts, axis=1)
