"""All figures of an image model in one report."""

import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.metrics.classifier import ImageClassifier, train_classifier
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
REACHED_SHARE = 0.1
"""A class is reached if it has at least this part of the share that it has in the data."""

_TABLE_WIDTH = 100

Codes = NDArray[np.integer]
Better = Literal["lower", "higher", "half", "floor"]


@dataclass(frozen=True)
class Figure:
    """One figure of a model, with what it would be for real data and for the trivial model.

    Attributes:
        value: Of the model's samples.
        floor: Of as many real images, which the model has not seen.
        baseline: Of as many samples with independent pixels from the data's marginals.
        better: ``"lower"``, ``"higher"``, ``"half"`` (towards 1/2) or ``"floor"`` (towards the floor).
        title: Name for people.
    """

    value: float
    floor: float | None
    baseline: float | None
    better: Better
    title: str

    @property
    def ratio(self) -> float | None:
        """The value in units of its floor, for distances; None where there is no positive floor."""
        if self.better != "lower" or self.floor is None or self.floor <= 0:
            return None
        return self.value / self.floor

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        numbers = {name: _plain(getattr(self, name)) for name in ("value", "floor", "baseline", "ratio")}
        return {**numbers, "better": self.better, "title": self.title}


@dataclass
class ImageReport:
    """The figures of an image model.

    Attributes:
        figures: By their names.
        num_samples: Samples of the model that were judged.
        block_size: Samples on each side of a comparison; a figure is the mean over blocks.
        num_heldout: Held-out images used.
        num_training: Training images used.
        class_histogram: Share of the samples in each class, by the classifier; None without labels.
        class_shares: Share of the training images in each class; None without labels.
        classifier_accuracy: Of the classifier on the held-out images; None without labels.
        training_repeated: Share of the training images that are there more than once.
    """

    figures: dict[str, Figure]
    num_samples: int
    block_size: int
    num_heldout: int
    num_training: int
    class_histogram: dict[str, float] | None = None
    class_shares: dict[str, float] | None = None
    classifier_accuracy: float | None = None
    training_repeated: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        figures = {name: figure.to_dict() for name, figure in self.figures.items()}
        return {
            "figures": figures,
            "num_samples": self.num_samples,
            "block_size": self.block_size,
            "num_heldout": self.num_heldout,
            "num_training": self.num_training,
            "class_histogram": self.class_histogram,
            "class_shares": self.class_shares,
            "classifier_accuracy": _plain(self.classifier_accuracy),
            "training_repeated": self.training_repeated,
        }

    def format_table(self) -> str:
        """The figures as a table for people, at most 100 columns wide."""
        rows = [("", "model", "floor", "baseline", "model/floor", "better")]
        words = {"lower": "lower", "higher": "higher", "half": "0.5", "floor": "as the floor"}
        for name, figure in self.figures.items():
            ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
            form = ".0f" if name == "classes_reached" else ".3f"
            cells = (_short(figure.value, form), _short(figure.floor, form), _short(figure.baseline, form))
            rows.append((figure.title, *cells, ratio, words[figure.better]))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [_aligned(row, widths) for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        if self.class_histogram is not None:
            histogram = "classes of the samples: " + _histogram_line(self.class_histogram)
            lines += textwrap.wrap(histogram, _TABLE_WIDTH, subsequent_indent="  ")
            lines.append(f"classifier's accuracy on held-out images: {self.classifier_accuracy:.3f}")
        lines.append(
            f"{self.num_samples:,} samples in blocks of {self.block_size:,}; {self.num_training:,} training and "
            f"{self.num_heldout:,} held-out images"
        )
        lines.append("floor: held-out or other real images in the samples' place; baseline: independent pixels")
        return "\n".join(line.rstrip() for line in lines)


def check_counts(num_samples: int, num_training: int, num_heldout: int) -> None:
    """Raise InputError where there are too few images to judge a model by.

    Args:
        num_samples: Of the model.
        num_training: Training images.
        num_heldout: Held-out images.

    Raises:
        InputError: If one of them is no more than the neighbours that are looked at.
    """
    counts = (
        ("samples", num_samples, "raise --num-samples"),
        ("training images", num_training, "give more images"),
        ("held-out images", num_heldout, "give more images, raise --holdout"),
    )
    for name, count, advice in counts:
        if count <= NEIGHBOURS:
            raise InputError(
                f"the metrics need more than {NEIGHBOURS} {name}, got {count}: {advice}, or leave the metrics out with "
                "--num-samples 0"
            )


def evaluate_images(
    samples: Codes,
    training: Codes,
    heldout: Codes,
    *,
    num_categories: int,
    ordered: bool = False,
    decode: Callable[[Codes], NDArray[np.uint8]] | None = None,
    training_labels: NDArray[np.integer] | None = None,
    heldout_labels: NDArray[np.integer] | None = None,
    class_names: tuple[str, ...] | None = None,
    sample_labels: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> ImageReport:
    """Judge samples against real images.

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
        sample_labels: ``[n]``, the class that each sample was asked for, or None. With training labels the report then
            has the share of samples that the classifier takes for their own class.
        seed: Of the rows that are drawn where there are too many, of the baseline and of the classifier.

    Returns:
        The report; the same for the same arguments.

    Raises:
        InputError: If the arrays do not fit each other, or a set is too small to be judged.
    """
    check_counts(len(samples), len(training), len(heldout))
    if sample_labels is not None and len(sample_labels) != len(samples):
        raise InputError(f"sample_labels must be one for each of {len(samples)} samples, got {len(sample_labels)}")
    for name, codes in (("samples", samples), ("heldout", heldout)):
        if codes.shape[1:] != training.shape[1:]:
            raise InputError(f"{name} must have the training images' shape {training.shape[1:]}, got {codes.shape[1:]}")
    rng = np.random.default_rng(seed)
    heldout_rows = _some_rows(len(heldout), MAX_BLOCK, rng)
    heldout = np.asarray(heldout[heldout_rows])
    num_classes, classifier = 0, None
    if training_labels is not None:
        labels = [training_labels] if heldout_labels is None else [training_labels, heldout_labels]
        num_classes = max(int(part.max()) for part in labels) + 1
        classifier = train_classifier(
            training, training_labels, num_categories, ordered=ordered, num_classes=num_classes, seed=seed
        )
    training_rows = _some_rows(len(training), MAX_TRAINING_ROWS, rng)
    training = np.asarray(training[training_rows])
    baseline = independent_pixels(training, len(samples), rng)
    judge = _Judge(training, heldout, num_categories, decode, classifier, min(len(heldout), len(samples)))
    values, floors, baselines = judge.of_samples(samples), judge.of_real(rng), judge.of_samples(baseline)
    report = ImageReport(
        {
            name: Figure(values[name], floors.get(name), baselines[name], better, title)
            for name, (better, title) in _FIGURES.items()
            if name in values
        },
        num_samples=len(samples),
        block_size=judge.block_size,
        num_heldout=len(heldout),
        num_training=len(training),
        training_repeated=share_repeated(codes.tobytes() for codes in training),
    )
    if classifier is not None and training_labels is not None:
        shares = np.bincount(training_labels, minlength=num_classes) / len(training_labels)
        _add_classes(report, classifier, (samples, heldout, baseline), shares, class_names)
        if heldout_labels is not None:
            report.classifier_accuracy = classifier.accuracy(heldout, heldout_labels[heldout_rows])
        if sample_labels is not None:
            report.figures["label_accuracy"] = Figure(
                classifier.accuracy(samples, sample_labels),
                report.classifier_accuracy,
                classifier.accuracy(baseline, sample_labels),
                "higher",
                "samples classified as their own label",
            )
    return report


_FIGURES: dict[str, tuple[Better, str]] = {
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


class _Judge:
    """Computes the figures of one set of samples, block by block."""

    def __init__(
        self,
        training: Codes,
        heldout: Codes,
        num_categories: int,
        decode: Callable[[Codes], NDArray[np.uint8]] | None,
        classifier: ImageClassifier | None,
        block_size: int,
    ) -> None:
        self.training, self.heldout = training, heldout
        self.num_categories, self.decode, self.classifier = num_categories, decode, classifier
        self.block_size = block_size
        self.training_pixels, self.heldout_pixels = self._pixels(training), self._pixels(heldout)
        self.training_features = None if classifier is None else classifier.features(training)

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
        manifold = precision_recall_density_coverage(real, pixels, NEIGHBOURS)
        return {
            "nearest_neighbour_accuracy": neighbours.accuracy,
            "nearest_neighbour_accuracy_real": neighbours.real,
            "nearest_neighbour_accuracy_fake": neighbours.fake,
            "precision": manifold.precision,
            "recall": manifold.recall,
            "density": manifold.density,
            "coverage": manifold.coverage,
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


def _add_classes(
    report: ImageReport,
    classifier: ImageClassifier,
    sets: tuple[Codes, Codes, Codes],
    shares: NDArray[np.float64],
    class_names: tuple[str, ...] | None,
) -> None:
    """Classes reached and their histogram, for the samples, the held-out images and the baseline."""
    histograms = [np.bincount(classifier.predict(codes), minlength=len(shares)) / len(codes) for codes in sets]
    present = shares > 0
    model, floor, baseline = (float((h[present] >= REACHED_SHARE * shares[present]).sum()) for h in histograms)
    report.figures["classes_reached"] = Figure(
        model, floor, baseline, "higher", f"classes reached, of {int(present.sum())}"
    )
    model, floor, baseline = (0.5 * float(np.abs(h - shares).sum()) for h in histograms)
    report.figures["class_total_variation"] = Figure(
        model, floor, baseline, "lower", "total variation of the class histogram"
    )
    names = [class_names[i] if class_names else str(i) for i in range(len(shares))]
    report.class_histogram = {name: round(float(v), 4) for name, v in zip(names, histograms[0], strict=True)}
    report.class_shares = {name: round(float(v), 4) for name, v in zip(names, shares, strict=True)}


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _short(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    numbers = "  ".join(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True))
    return f"{row[0].ljust(widths[0])}  {numbers}  {row[-1]}"


def _histogram_line(histogram: dict[str, float]) -> str:
    shown = [f"{name} {share:.1%}" for name, share in list(histogram.items())[:10]]
    return ", ".join(shown) + (f", and {len(histogram) - 10} more" if len(histogram) > 10 else "")
