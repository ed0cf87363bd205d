"""How well boosted trees tell samples from data: a judge that no player has met."""

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError

FOLDS = 5
LEARNING_RATE = 0.2
MOST_TREES, FEWEST_TREES, ROWS_FOR_A_TREE = 50, 10, 40
"""Trees of a fold, one for so many rows of both sides: more, at a smaller rate, cost much and find little more."""


def boosted_tree_auc(samples: NDArray[np.integer], data: NDArray[np.integer], seed: int = 0) -> float:
    """Area under the curve of boosted trees that tell samples from data by their codes.

    Codes are read as numbers. The rows are cut into `FOLDS` folds; trees of the other four score the rows of each, and
    the area is that of all scores.

    Args:
        samples: Integers ``[n, *event_shape]``, n >= 5.
        data: Integers ``[m, *event_shape]``, m >= 5.
        seed: Of the folds.

    Returns:
        0.5 where the trees see no difference, 1 where they see it in every row. Of n samples and as many data from one
        distribution it is near 0.5, with a standard error of about ``sqrt(1 / (6 n))``.

    Raises:
        InputError: If the event shapes differ, or there are fewer rows than folds.

    Source:
        Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (2017).
    """
    if samples.shape[1:] != data.shape[1:] or min(len(samples), len(data)) < FOLDS:
        raise InputError(
            f"samples and data must be at least {FOLDS} rows of one shape, got {list(samples.shape)} and "
            f"{list(data.shape)}"
        )
    # Here, because this part of the library takes seconds to import.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = np.concatenate([np.asarray(part).reshape(len(part), -1) for part in (samples, data)])
    is_real = np.arange(len(rows)) >= len(samples)
    count = int(np.clip(len(rows) // ROWS_FOR_A_TREE, FEWEST_TREES, MOST_TREES))
    trees = HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE, max_iter=count, early_stopping=False, random_state=seed
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    chances = cross_val_predict(trees, rows.astype(np.float64), is_real, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(is_real, chances))
