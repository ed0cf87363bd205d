"""The figures of generated images."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.metrics import figure
from bgan_discrete.metrics.classifier import ImageClassifier, train_classifier
from bgan_discrete.metrics.figure import Direction, Evaluation, Figure
from bgan_discrete.metrics.frechet import frechet_distance
from bgan_discrete.metrics.marginals import independent_pixels, marginal_total_variation
from bgan_discrete.metrics.neighbours import (
    hamming_to_nearest,
    nearest_neighbour_accuracy,
    precision_recall_density_coverage,
    share_repeated,
)

MAX_BLOCK = 2000
"""Most samples that are compared at once; neighbours cost the square of it."""

MAX_TRAINING_ROWS = 10_000
MAX_FLOOR_BLOCKS = 4
NEIGHBOURS = 5
SHOWN_CLASSES = 10
REACHED_SHARE = 0.1
"""A class is reached if it has at least this part of the share that it has in the data."""

Codes = NDArray[np.integer]
Decode = Callable[[Codes], NDArray[np.uint8]]

_FIGURES: dict[str, tuple[Direction, str]] = {
    "nearest_neighbour_accuracy": ("half", "1-nearest-neighbour two-sample accuracy"),
    "nearest_neighbour_accuracy_real": ("half", "  of it, on the real images"),
    "nearest_neighbour_accuracy_fake": ("half", "  of it, on the samples"),
    "frechet_pixels": ("lower", "Fréchet distance, pixels"),
    "frechet_features": ("lower", "Fréchet distance, classifier's features"),
    "precision": ("higher", "precision"),
    "recall": ("higher", "recall"),
    "density": ("higher", "density"),
    "coverage": ("higher", "coverage"),
    "marginal_total_variation": ("lower", "total variation of the pixels' marginals"),
    "hamming_nearest": ("floor", "Hamming distance to the nearest training image"),
    "copies": ("floor", "share of exact copies of training images"),
}


def check_counts(num_samples: int, num_training: int, num_heldout: int) -> None:
    """Raise InputError where there are no more images than the neighbours that are looked at."""
    figure.check_counts("images", NEIGHBOURS + 1, num_samples, num_training, num_heldout)


def evaluate_images(
    samples: Codes,
    training: Codes,
    heldout: Codes,
    *,
    num_categories: int,
    ordered: bool = False,
    decode: Decode | None = None,
    training_labels: NDArray[np.integer] | None = None,
    heldout_labels: NDArray[np.integer] | None = None,
    class_names: tuple[str, ...] | None = None,
    sample_labels: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare samples with real images.

    The samples are cut into blocks of as many as there are held-out images (at most `MAX_BLOCK`), and each figure is
    the mean over the blocks, so that both sides of every comparison, and its floor, have one size. Distances to the
    training images have the held-out images as their floor; comparisons with the held-out images have training images
    as theirs.

    Args:
        samples: Integers ``[n, *event_shape]`` in ``[0, K)``, of the model.
        training: Likewise, that the model was trained on.
        heldout: Likewise, that it has not seen.
        num_categories: K.
        ordered: Whether codes are a scale; used by the classifier.
        decode: Codes to uint8 images, whose pixels divided by 255 are compared; codes divided by K - 1 if None.
        training_labels: ``[len(training)]``, or None: then there are no classes and no features.
        heldout_labels: ``[len(heldout)]``.
        class_names: Of the labels.
        sample_labels: ``[n]``, the class that each sample was asked for, or None. With training labels there is then a
            figure of the samples that the classifier takes for their own class.
        seed: Of the rows that are drawn where there are too many, of the baseline and of the classifier.

    Returns:
        The figures; the same for the same arguments.

    Raises:
        InputError: If the arrays do not fit each other, or a set is too small.
    """
    _check_shapes(samples, training, heldout, sample_labels)
    rng = np.random.default_rng(seed)
    rows = _some_rows(len(heldout), MAX_BLOCK, rng)
    heldout = np.asarray(heldout[rows])
    classes = None
    if training_labels is not None:
        classes = _Classes(training, training_labels, num_categories, ordered, heldout_labels, class_names, seed)
        if heldout_labels is not None:
            classes.accuracy = classes.classifier.accuracy(heldout, heldout_labels[rows])
    training = np.asarray(training[_some_rows(len(training), MAX_TRAINING_ROWS, rng)])
    baseline = independent_pixels(training, len(samples), rng)
    size = min(len(heldout), len(samples))
    comparison = _Comparison(
        training, heldout, num_categories, decode, None if classes is None else classes.classifier, size
    )
    found = _evaluation(comparison.figures(samples, baseline, rng), len(samples), size, training, heldout)
    if classes is not None:
        classes.describe(found, samples, heldout, baseline, sample_labels)
    return found


def _check_shapes(samples: Codes, training: Codes, heldout: Codes, labels: NDArray[np.integer] | None) -> None:
    check_counts(len(samples), len(training), len(heldout))
    if labels is not None and len(labels) != len(samples):
        raise InputError(f"sample_labels must be one for each of {len(samples)} samples, got {len(labels)}")
    for name, codes in (("samples", samples), ("heldout", heldout)):
        if codes.shape[1:] != training.shape[1:]:
            raise InputError(f"{name} must have the training images' shape {training.shape[1:]}, got {codes.shape[1:]}")


def _evaluation(figures: dict[str, Figure], count: int, size: int, training: Codes, heldout: Codes) -> Evaluation:
    method = (
        f"{count:,} samples in blocks of {size:,}, compared with {len(training):,} training and {len(heldout):,} "
        "held-out images. The floor has real images in the samples' place; the baseline 'independent' draws every "
        "pixel by itself."
    )
    facts = {
        "num_samples": count,
        "block_size": size,
        "num_heldout": len(heldout),
        "num_training": len(training),
        "training_repeated": share_repeated(codes.tobytes() for codes in training),
    }
    return Evaluation(figures, "images", method, facts=facts)


class _Classes:
    """The classes of the training images, and a classifier that tells them apart."""

    def __init__(
        self,
        training: Codes,
        labels: NDArray[np.integer],
        num_categories: int,
        ordered: bool,
        others: NDArray[np.integer] | None,
        names: tuple[str, ...] | None,
        seed: int,
    ) -> None:
        num_classes = max(int(part.max()) for part in (labels, others) if part is not None) + 1
        self.classifier = train_classifier(
            training, labels, num_categories, ordered=ordered, num_classes=num_classes, seed=seed
        )
        self.accuracy: float | None = None
        self.shares = np.bincount(labels, minlength=num_classes) / len(labels)
        self.names = [names[label] if names else str(label) for label in range(num_classes)]

    def describe(
        self,
        found: Evaluation,
        samples: Codes,
        heldout: Codes,
        baseline: Codes,
        sample_labels: NDArray[np.integer] | None,
    ) -> None:
        """Add the classes reached, their histogram, and the share of samples of the class that was asked for."""
        histograms = [self._histogram(codes) for codes in (samples, heldout, baseline)]
        present = self.shares > 0
        reached = [float((h[present] >= REACHED_SHARE * self.shares[present]).sum()) for h in histograms]
        distances = [0.5 * float(np.abs(histogram - self.shares).sum()) for histogram in histograms]
        count = len(samples)

        def add(key: str, title: str, numbers: Sequence[float | None], direction: Direction, whole: bool) -> None:
            value, floor, other = numbers
            assert value is not None
            found.figures[key] = Figure(title, value, direction, floor, {"independent": other}, count, whole)

        add("classes_reached", f"classes reached, of {int(present.sum())}", reached, "higher", True)
        add("class_total_variation", "total variation of the class histogram", distances, "lower", False)
        if sample_labels is not None:
            own = [self.classifier.accuracy(codes, sample_labels) for codes in (samples, baseline)]
            title = "samples classified as their own label"
            add("label_accuracy", title, [own[0], self.accuracy, own[1]], "higher", False)
        found.facts |= {
            "class_histogram": self._named(histograms[0]),
            "class_shares": self._named(self.shares),
            "classifier_accuracy": self.accuracy,
        }
        right = "" if self.accuracy is None else f", which is right on {self.accuracy:.1%} of the held-out images"
        shown = [f"{name} {share:.1%}" for name, share in list(found.facts["class_histogram"].items())[:SHOWN_CLASSES]]
        more = f", and {len(self.names) - SHOWN_CLASSES} more" if len(self.names) > SHOWN_CLASSES else ""
        found.notes.append(f"Classes of the samples, by a classifier{right}: {', '.join(shown)}{more}.")

    def _histogram(self, codes: Codes) -> NDArray[np.float64]:
        return np.bincount(self.classifier.predict(codes), minlength=len(self.shares)) / len(codes)

    def _named(self, shares: NDArray[np.float64]) -> dict[str, float]:
        return {name: round(float(share), 4) for name, share in zip(self.names, shares, strict=True)}


class _Comparison:
    """Computes the figures of one set of samples, block by block."""

    def __init__(
        self,
        training: Codes,
        heldout: Codes,
        num_categories: int,
        decode: Decode | None,
        classifier: ImageClassifier | None,
        block_size: int,
    ) -> None:
        self.training, self.heldout = training, heldout
        self.num_categories, self.decode, self.classifier = num_categories, decode, classifier
        self.block_size = block_size
        self.training_pixels, self.heldout_pixels = self._pixels(training), self._pixels(heldout)
        self.training_features = None if classifier is None else classifier.features(training)

    def figures(self, samples: Codes, baseline: Codes, rng: np.random.Generator) -> dict[str, Figure]:
        """All figures of samples, with their floors and those of the baseline."""
        values, floors, others = self.of_samples(samples), self.of_real(rng), self.of_samples(baseline)
        return {
            key: Figure(title, values[key], direction, floors.get(key), {"independent": others[key]}, self.block_size)
            for key, (direction, title) in _FIGURES.items()
            if key in values
        }

    def of_samples(self, samples: Codes) -> dict[str, float]:
        """Means over the blocks; a remainder that is shorter than a block is left out."""
        blocks = [self._to_training(block) | self._to_heldout(block) for block in self._blocks(samples)]
        return _means(blocks)

    def of_real(self, rng: np.random.Generator) -> dict[str, float]:
        """The same with real images in the samples' place."""
        size = self.block_size
        floors = _means([self._to_training(block) for block in self._blocks(self.heldout)])
        rows = rng.permutation(len(self.training))
        blocks = [rows[start : start + size] for start in range(0, len(rows) - size + 1, size)] or [rows]
        return floors | _means([self._to_heldout(self.training[block]) for block in blocks[:MAX_FLOOR_BLOCKS]])

    def _blocks(self, codes: Codes) -> Iterator[Codes]:
        for start in range(0, len(codes) - self.block_size + 1, self.block_size):
            yield codes[start : start + self.block_size]

    def _to_training(self, block: Codes) -> dict[str, float]:
        distances = hamming_to_nearest(block, self.training, self.num_categories)
        found = {
            "frechet_pixels": frechet_distance(self._pixels(block), self.training_pixels),
            "marginal_total_variation": marginal_total_variation(block, self.training, self.num_categories),
            "hamming_nearest": float(distances.mean()),
            "copies": float((distances == 0).mean()),
        }
        if self.classifier is not None and self.training_features is not None:
            found["frechet_features"] = frechet_distance(self.classifier.features(block), self.training_features)
        return found

    def _to_heldout(self, block: Codes) -> dict[str, float]:
        pixels = self._pixels(block)
        real = self.heldout_pixels[: len(pixels)]
        pixels = pixels[: len(real)]
        neighbours = nearest_neighbour_accuracy(real, pixels)
        return {
            "nearest_neighbour_accuracy": neighbours.accuracy,
            "nearest_neighbour_accuracy_real": neighbours.real,
            "nearest_neighbour_accuracy_fake": neighbours.fake,
            **precision_recall_density_coverage(real, pixels, NEIGHBOURS),
        }

    def _pixels(self, codes: Codes) -> NDArray[np.float64]:
        scaled = codes / (self.num_categories - 1) if self.decode is None else self.decode(codes) / 255
        return scaled.reshape(len(codes), -1)


def _means(blocks: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([block[name] for block in blocks])) for name in blocks[0]}


def _some_rows(count: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """All rows, or so many drawn without repeats, in their order."""
    if count <= most:
        return np.arange(count)
    return np.sort(rng.choice(count, most, replace=False))
