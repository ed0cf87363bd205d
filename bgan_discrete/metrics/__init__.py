"""Metrics of generated images, each beside its real-against-real floor and a trivial baseline."""

from bgan_discrete.metrics.classifier import ImageClassifier, train_classifier
from bgan_discrete.metrics.critics import critic_divergence
from bgan_discrete.metrics.frechet import frechet_distance
from bgan_discrete.metrics.images import Figure, ImageReport, check_counts, evaluate_images
from bgan_discrete.metrics.marginals import (
    category_counts,
    independent_pixels,
    log_frequencies,
    marginal_total_variation,
)
from bgan_discrete.metrics.neighbours import (
    ManifoldFigures,
    TwoSampleAccuracy,
    hamming_to_nearest,
    nearest_neighbour_accuracy,
    precision_recall_density_coverage,
    squared_distances,
)

__all__ = [
    "Figure",
    "ImageClassifier",
    "ImageReport",
    "ManifoldFigures",
    "TwoSampleAccuracy",
    "category_counts",
    "check_counts",
    "critic_divergence",
    "evaluate_images",
    "frechet_distance",
    "hamming_to_nearest",
    "independent_pixels",
    "log_frequencies",
    "marginal_total_variation",
    "nearest_neighbour_accuracy",
    "precision_recall_density_coverage",
    "squared_distances",
    "train_classifier",
]
