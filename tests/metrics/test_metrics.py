"""Image metrics: against independent implementations, on cases with known answers, and as one report."""

import json
import re

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy import linalg
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier
from torchmetrics.image.fid import FrechetInceptionDistance

from bgan_discrete.errors import InputError
from bgan_discrete.metrics import (
    category_counts,
    evaluate_images,
    frechet_distance,
    hamming_to_nearest,
    independent_pixels,
    log_frequencies,
    marginal_total_variation,
    nearest_neighbour_accuracy,
    neighbours,
    precision_recall_density_coverage,
    squared_distances,
    train_classifier,
)
from bgan_discrete.metrics.neighbours import PRODUCTS_MAX_CATEGORIES
from bgan_discrete.sources import load_images


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pair(rows_a: int = 300, rows_b: int = 300, width: int = 12, shift: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    mix = rng(1).normal(size=(width, width))
    return rng(2).normal(size=(rows_a, width)) @ mix, rng(3).normal(size=(rows_b, width)) @ mix * 1.1 + shift


# Fréchet distance


@pytest.mark.parametrize(("rows_a", "rows_b", "width"), [(300, 200, 12), (20, 30, 40), (15, 400, 40), (2, 2, 3)])
def test_frechet_distance_against_the_matrix_square_root(rows_a: int, rows_b: int, width: int) -> None:
    a, b = pair(rows_a, rows_b, width)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    # The trace of the root is the sum of the roots of the eigenvalues, which are real and not negative.
    trace = np.sqrt(np.maximum(np.linalg.eigvals(cov_a @ cov_b).real, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * trace
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    if min(rows_a, rows_b) > width:
        root = linalg.sqrtm(cov_a @ cov_b)
        assert trace == pytest.approx(float(np.trace(root).real), rel=1e-6)


class Flatten(torch.nn.Module):
    """Images ``[n, 3, 2, 2]`` as their own features."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).double()


@pytest.mark.filterwarnings("ignore")
def test_frechet_distance_against_torchmetrics() -> None:
    a, b = pair()
    other = FrechetInceptionDistance(feature=Flatten(), normalize=True, input_img_size=(3, 2, 2))
    for features, real in ((a, True), (b, False)):
        other.update(torch.from_numpy(features).reshape(-1, 3, 2, 2), real=real)
    assert frechet_distance(a, b) == pytest.approx(float(other.compute()), rel=1e-4)


def test_frechet_distance_of_known_cases() -> None:
    a, _ = pair()
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(4 * a.shape[1])
    centred = a - a.mean(0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * np.trace(np.cov(a.T)))
    assert frechet_distance(a, pair()[1]) == pytest.approx(frechet_distance(pair()[1], a))


# Neighbours


def test_squared_distances() -> None:
    a, b = pair(30, 40)
    np.testing.assert_allclose(squared_distances(a, b), cdist(a, b, "sqeuclidean"), rtol=1e-9)
    far = squared_distances(a + 1e6, a + 1e6)
    assert np.diag(far).max() < 1e-6


def test_two_sample_accuracy_against_scikit_learn() -> None:
    real, fake = pair(150, 150, shift=0.8)
    points, labels = np.concatenate([real, fake]), np.repeat([1, 0], 150)
    hits = []
    for row in range(300):
        others = np.arange(300) != row
        model = KNeighborsClassifier(1).fit(points[others], labels[others])
        hits.append(model.predict(points[row : row + 1])[0] == labels[row])
    got = nearest_neighbour_accuracy(real, fake)
    assert got.accuracy == pytest.approx(np.mean(hits))
    assert (got.real, got.fake) == (pytest.approx(np.mean(hits[:150])), pytest.approx(np.mean(hits[150:])))


def test_two_sample_accuracy_of_known_cases() -> None:
    real, _ = pair()
    same = nearest_neighbour_accuracy(rng(5).normal(size=(800, 3)), rng(6).normal(size=(800, 3)))
    assert same.accuracy == pytest.approx(0.5, abs=0.05)
    assert nearest_neighbour_accuracy(real, real + 1e3).accuracy == 1
    assert nearest_neighbour_accuracy(real, real.copy()).accuracy == 0
    # One repeated sample: its copies are each other's neighbours.
    assert nearest_neighbour_accuracy(real, np.repeat(real[:1], len(real), 0)).fake > 0.9
    # Everything equal: every neighbour ties, and half of them (less the point itself) are of the own kind.
    ties = nearest_neighbour_accuracy(np.zeros((10, 2)), np.zeros((10, 2)))
    assert ties.accuracy == pytest.approx(9 / 19)


def test_two_sample_accuracy_over_many_blocks() -> None:
    real, fake = rng(7).normal(size=(1500, 4)), rng(8).normal(size=(1500, 4)) + 0.5
    whole = nearest_neighbour_accuracy(real, fake)
    distances = cdist(np.concatenate([real, fake]), np.concatenate([real, fake]))
    np.fill_diagonal(distances, np.inf)
    own = (distances.argmin(1) < 1500) == (np.arange(3000) < 1500)
    assert whole.accuracy == pytest.approx(own.mean())


@pytest.mark.parametrize("k", [1, 5])
def test_precision_recall_density_coverage_against_prdc(k: int) -> None:
    real, fake = pair(200, 150, shift=1.0)
    other = compute_prdc(real, fake, nearest_k=k)
    got = precision_recall_density_coverage(real, fake, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert got[name] == pytest.approx(other[name]), name


@pytest.mark.parametrize("num_categories", [2, PRODUCTS_MAX_CATEGORIES, PRODUCTS_MAX_CATEGORIES + 1, 300])
@pytest.mark.parametrize("event_shape", [(6, 3), (600,)])
@pytest.mark.parametrize("at_once", [7, 2048])
def test_hamming_distances_against_scipy(
    num_categories: int, event_shape: tuple[int, ...], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "COMPARED_AT_ONCE", at_once)
    codes, references = (rng(n).integers(0, num_categories, (m, *event_shape)) for n, m in ((1, 40), (2, 70)))
    references[50, ..., 1:] = codes[3, ..., 1:]  # nearly a copy
    expected = cdist(codes.reshape(40, -1), references.reshape(70, -1), "hamming").min(1)
    np.testing.assert_allclose(hamming_to_nearest(codes, references, num_categories), expected)
    small = np.uint8 if num_categories <= 256 else np.int16
    found = hamming_to_nearest(references[3:5].astype(small), references.astype(small), num_categories)
    assert found.tolist() == [0, 0]


# Marginals


def test_category_counts() -> None:
    codes = rng(3).integers(0, 4, (5000, 2, 3)).astype(np.uint8)
    naive = np.stack([(codes == k).sum(0) for k in range(4)], -1)
    np.testing.assert_array_equal(category_counts(codes, 4), naive)
    frequencies = np.exp(log_frequencies(codes[:3], 4))
    np.testing.assert_allclose(frequencies.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(frequencies, (category_counts(codes[:3], 4) + 0.25) / 4, rtol=1e-6)


def test_marginal_total_variation() -> None:
    zeros, ones = np.zeros((4, 2), np.uint8), np.ones((4, 2), np.uint8)
    assert marginal_total_variation(zeros, ones, 2) == 1
    assert marginal_total_variation(zeros, np.concatenate([zeros, ones]), 2) == pytest.approx(0.5)
    assert marginal_total_variation(ones, ones, 2) == 0


def test_independent_pixels_keep_the_marginals_and_nothing_else() -> None:
    line = rng(4).integers(0, 3, (2000, 1))
    codes = np.repeat(line, 6, axis=1).astype(np.uint8)
    drawn = independent_pixels(codes, 4000, rng(5))
    assert (drawn.dtype, drawn.shape) == (np.uint8, (4000, 6))
    assert marginal_total_variation(drawn, codes, 3) < 0.03
    assert (drawn[:, 0] == drawn[:, 1]).mean() == pytest.approx(1 / 3, abs=0.05)


# Classifier and report


def test_the_classifier_tells_digits_apart_and_repeats_itself() -> None:
    data = load_images("digits")
    state = torch.get_rng_state()
    classifier = train_classifier(data.codes, data.labels, 17, ordered=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert classifier.accuracy(data.heldout_codes, data.heldout_labels) > 0.95
    one, other = (train_classifier(data.codes, data.labels, 17, ordered=True, steps=20) for _ in range(2))
    np.testing.assert_array_equal(one.features(data.heldout_codes), other.features(data.heldout_codes))
    assert classifier.features(data.heldout_codes[:3]).shape == (3, 64)


@pytest.fixture(scope="module")
def digits():
    return load_images("digits")


def report_of(digits, samples: np.ndarray, **options):
    return evaluate_images(
        samples, digits.codes, digits.heldout_codes, num_categories=17, ordered=True,
        training_labels=digits.labels, heldout_labels=digits.heldout_labels, **options,
    )  # fmt: skip


def test_real_images_sit_at_their_floor(digits) -> None:
    figures = report_of(digits, digits.heldout_codes).figures
    for name in ("frechet_pixels", "frechet_features", "marginal_total_variation"):
        assert figures[name].ratio == pytest.approx(1)
    assert all(figures[name].baseline > 10 * figures[name].floor for name in ("frechet_pixels", "frechet_features"))
    assert figures["classes_reached"].value == 10
    assert figures["copies"].value == 0
    assert figures["hamming_nearest"].value == pytest.approx(figures["hamming_nearest"].floor)
    assert figures["nearest_neighbour_accuracy"].floor == pytest.approx(0.5, abs=0.05)
    assert figures["nearest_neighbour_accuracy"].baseline > 0.75
    # Independent pixels: every real image is nearer to another one, and so are many of the others.
    assert figures["nearest_neighbour_accuracy_real"].baseline > 0.95
    assert figures["nearest_neighbour_accuracy_fake"].baseline < 0.8
    both = [figures[f"nearest_neighbour_accuracy_{side}"].value for side in ("real", "fake")]
    assert np.mean(both) == pytest.approx(figures["nearest_neighbour_accuracy"].value)


def test_collapse_and_copies_are_seen(digits) -> None:
    ones = digits.codes[digits.labels == 1]
    collapsed = np.repeat(ones, 5, axis=0)[:600]
    report = report_of(digits, collapsed)
    assert report.figures["classes_reached"].value == 1
    assert report.figures["copies"].value == 1
    assert report.figures["hamming_nearest"].value == 0
    assert report.figures["frechet_pixels"].ratio > 10
    assert report.figures["recall"].value < 0.3
    assert report.facts["class_histogram"]["1"] > 0.9
    assert report.facts["class_shares"]["1"] == pytest.approx(0.1, abs=0.03)
    assert report.facts["block_size"] == 500


def test_a_report_is_repeatable_plain_json_and_a_table(digits) -> None:
    samples = independent_pixels(digits.codes, 600, rng(9))
    report = report_of(digits, samples)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == report_of(digits, samples).to_dict()
    table = report.format_table()
    assert max(map(len, table.splitlines())) <= 100
    assert re.search(r"classes reached, of 10 +\d+ +10 +\d+ ", table)
    assert re.search(r"of it, on the real images +1\.000 ", table), "a share is no count"
    for figure in report.figures.values():
        assert figure.title in table
        assert figure.floor is not None
        assert figure.baseline is not None


def test_without_labels_there_are_no_classes(digits) -> None:
    report = evaluate_images(digits.codes[:400], digits.codes, digits.heldout_codes, num_categories=17)
    assert "class_histogram" not in report.facts
    assert "frechet_features" not in report.figures
    assert "lasses" not in report.format_table()
    twice = np.concatenate([digits.codes[:50], digits.codes[:150]])
    report = evaluate_images(digits.codes[:40], twice, digits.heldout_codes, num_categories=17)
    assert report.facts["training_repeated"] == 0.5


def test_colour_palettes_and_few_samples() -> None:
    codes = rng(10).integers(0, 5, (60, 3, 8, 8)).astype(np.uint8)
    report = evaluate_images(
        codes[:20], codes[20:], codes[10:30], num_categories=5, training_labels=rng(11).integers(0, 3, 40)
    )
    assert report.facts["block_size"] == 20
    assert report.facts["num_heldout"] == 20


def blank(rows: int, width: int = 8) -> np.ndarray:
    return np.zeros((rows, 8, width), np.uint8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: frechet_distance(np.zeros((1, 3)), np.zeros((5, 3))), "with at least 2 rows, got"),
        (lambda: frechet_distance(np.zeros((4, 3)), np.zeros((5, 2))), "one width, got 3 and 2"),
        (lambda: nearest_neighbour_accuracy(np.zeros((4, 3)), np.zeros((5, 3))), "one number of rows"),
        (lambda: precision_recall_density_coverage(np.zeros((5, 3)), np.zeros((9, 3))), "more than k = 5 rows each"),
        (lambda: hamming_to_nearest(np.zeros((2, 3), int), np.zeros((2, 4), int), 2), "references must be"),
        (lambda: category_counts(np.array([[0, 3]]), 3), r"codes must lie in \[0, 3\), got 0 to 3"),
        (lambda: marginal_total_variation(np.zeros((2, 3), int), np.zeros((2, 4), int), 2), "one event shape"),
        (lambda: independent_pixels(np.zeros((2, 3), int), 0, rng()), "num_samples must be at least 1"),
        (lambda: log_frequencies(np.zeros((2, 3), int), 2, 0.0), "pseudo_count must be positive"),
        (lambda: train_classifier(blank(2), np.zeros(3, int), 2, ordered=True), "must be one for"),
        (lambda: train_classifier(blank(2), np.array([0, -1]), 2, ordered=True), "must not be negative"),
        (
            lambda: evaluate_images(*map(blank, (3, 9, 9)), num_categories=2),
            "at least 6 samples, got 3: raise num_samples",
        ),
        (
            lambda: evaluate_images(blank(9, 9), blank(9), blank(9), num_categories=2),
            "samples must have the training images' shape",
        ),
    ],
)  # fmt: skip
def test_errors(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
