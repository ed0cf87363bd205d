"""What generated samples are worth: figures beside their floors and baselines.

`Figure` and `Evaluation` need no torch; the other names are imported on first use.
"""

import importlib
from typing import Any

_HOMES = {
    "ChowLiuTree": "chow_liu",
    "Dependency": "dependencies",
    "Evaluation": "figure",
    "Figure": "figure",
    "ImageClassifier": "classifier",
    "TableColumns": "table_rows",
    "TableRows": "table_rows",
    "TwoSampleAccuracy": "neighbours",
    "boosted_tree_auc": "trees",
    "category_counts": "marginals",
    "column_shapes": "trends",
    "critic_divergence": "critics",
    "evaluate_array": "arrays",
    "evaluate_images": "images",
    "evaluate_table": "tables",
    "evaluate_text": "text",
    "find_dependencies": "dependencies",
    "frechet_distance": "frechet",
    "hamming_to_nearest": "neighbours",
    "independent_pixels": "marginals",
    "log_frequencies": "marginals",
    "marginal_total_variation": "marginals",
    "nearest_neighbour_accuracy": "neighbours",
    "pair_trends": "trends",
    "precision_recall_density_coverage": "neighbours",
    "squared_distances": "neighbours",
    "train_classifier": "classifier",
}

__all__ = [*_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bgan_discrete.metrics' has no attribute {name!r}")
    return vars(importlib.import_module(f"bgan_discrete.metrics.{_HOMES[name]}"))[name]


def __dir__() -> list[str]:
    return sorted(__all__)
