"""What the benchmark of synthesizers measures of rows, by the same code whatever made them."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from bgan_discrete import compare_tables
from bgan_discrete.metrics.privacy import spread
from bgan_discrete.metrics.table_rows import TableColumns, TableRows
from bgan_discrete.metrics.tables import BROKEN, MEMBERSHIP, ONCE, SHAPES, TRENDS
from bgan_discrete.metrics.trees import boosted_tree_auc
from bgan_discrete.sources.matched_tables import match_tables

SPLITS = 3
MOST_ROWS = 5000
"""Of each side, that the second judge sees."""

TREES = "AUC of boosted trees, numbers as written"
TITLES = {
    "trees": TREES,
    "shapes": SHAPES,
    "trends": TRENDS,
    "broken": BROKEN,
    "copies": "copies of training rows",
    "once": ONCE,
    "attack": MEMBERSHIP,
}
"""Names in records -> titles of `compare_tables`."""

LEARNT = re.compile(r"AUC for (.*), learnt from samples")

Figures = dict[str, float]


def measure(
    training: Path, synthetic: Path, heldout: Path, missing: Sequence[str], seed: int
) -> tuple[Figures, dict[str, Figures]]:
    """The figures of synthetic rows.

    Args:
        training: The rows that they were made from.
        synthetic: The rows.
        heldout: Rows that their maker has not seen.
        missing: Signs of a missing value.
        seed: Of what is drawn.

    Returns:
        The figures, and by name those of real rows, ``floor``, and of the baselines of `compare_tables`.
    """
    tables = [str(path) for path in (training, synthetic, heldout)]
    report = compare_tables(tables[0], tables[1], tables[2], missing=missing, seed=seed)
    figures, references = {}, {"floor": {}}  # type: tuple[Figures, dict[str, Figures]]
    names = {title: name for name, title in TITLES.items()}
    learnt: list[str] = []
    for figure in report.figures.values():
        target = LEARNT.fullmatch(figure.title)
        name = f"for {target[1]}" if target else names.get(figure.title)
        if name is None:
            continue
        learnt += [name] if target else []
        figures[name] = figure.value
        for reference, value in {"floor": figure.floor, **figure.baselines}.items():
            if value is not None:
                references.setdefault(reference, {})[name] = value
    for found in (figures, *references.values()):
        if learnt:
            found["predictions"] = float(np.mean([found[name] for name in learnt if name in found]))
    figures["perceptron"], references["floor"]["perceptron"] = _perceptron(tables, missing, seed)
    return _finite(figures), {name: _finite(found) for name, found in references.items()}


def _finite(figures: Figures) -> Figures:
    return {name: round(value, 4) for name, value in figures.items() if math.isfinite(value)}


def _perceptron(tables: Sequence[str], missing: Sequence[str], seed: int) -> tuple[float, float]:
    """AUC of a perceptron that tells synthetic, and training rows, from held-out ones by codes in twenty bins."""
    training, samples, heldout = match_tables(tables[0], tables[1], tables[2], missing=missing).codes
    rng, size = np.random.default_rng(seed), min(len(samples), len(heldout), MOST_ROWS)
    training, samples, heldout = (rng.permutation(side)[:size] for side in (training, samples, heldout))
    return _told_apart(samples, heldout), _told_apart(training, heldout)


def _told_apart(samples: NDArray[np.integer], heldout: NDArray[np.integer]) -> float:
    """Mean AUC on a third of both sides, for each of the thirds."""
    inputs, is_real = np.concatenate([samples, heldout]), np.arange(len(samples) + len(heldout)) >= len(samples)
    values = []
    for learnt, asked in StratifiedKFold(SPLITS, shuffle=True, random_state=0).split(inputs, is_real):
        network = MLPClassifier((128,), early_stopping=True, n_iter_no_change=5, max_iter=60, random_state=0)
        classifier = make_pipeline(OneHotEncoder(handle_unknown="ignore"), network)
        classifier.fit(inputs[learnt], is_real[learnt])
        values.append(float(roc_auc_score(is_real[asked], classifier.predict_proba(inputs[asked])[:, 1])))
    return float(np.mean(values))


def rows_of(condition: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that obey a condition such as ``sex=Female,age>=40``: texts that are equal, numbers that are as great.

    Args:
        condition: Of the form that ``bgan generate --given`` has.
        rows: Read by `read_table`.
    """
    holds = np.ones(len(rows), bool)
    for part in condition.split(","):
        name, how, wanted = re.fullmatch(r"([^<>=]+)(>=|<|=)(.+)", part).groups()  # type: ignore[union-attr]
        if how == "=":
            holds &= (rows[name].astype(str) == wanted).to_numpy()
        else:
            numbers = rows[name].astype(float)
            holds &= (numbers >= float(wanted) if how == ">=" else numbers < float(wanted)).to_numpy()
    return rows[holds]


def told_by_trees(
    training: pd.DataFrame, samples: Any, heldout: pd.DataFrame, missing: Sequence[str], seed: int
) -> tuple[float, float]:
    """AUC of boosted trees that tell samples from held-out rows, and its floor, that of training rows.

    Args:
        training: Real rows.
        samples: Synthetic rows, as many as are held out or more.
        heldout: Other real rows; all three obey one condition.
        missing: Signs of a missing value.
        seed: Of the folds and the order.
    """
    tables = match_tables(training, samples, heldout, missing=missing)
    columns = TableColumns(tables.names, tables.categories, tables.is_number, as_written=True, is_date=tables.is_date)
    rng = np.random.default_rng(seed)
    rows = [TableRows(codes, values) for codes, values in zip(tables.codes, tables.values, strict=True)]
    rows = [side.take(rng.permutation(len(side))) for side in rows]
    size = min(map(len, rows))
    real, own, others = (spread(side, size).features(columns) for side in rows)
    return boosted_tree_auc(own, others, seed), boosted_tree_auc(real, others, seed)  # type: ignore[arg-type]


def read_table(path: Path) -> pd.DataFrame:
    """A CSV whose texts stay as they are, ``NA`` and ``?`` too."""
    return pd.read_csv(path, keep_default_na=False)
