"""The data sets of the table of rounds: their codes, and what samples of them are worth.

Each kind of data has a class of figures. ``figures`` measures codes, ``references`` gives the same figures of real
samples in the place of a model's, the floor, and of simple models, the baselines; all at one count.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from experiments.laboratory import image_file, load_mnist, text_file
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from bgan_discrete.codecs import CodecOptions, TextCodecOptions
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import CreditName
from bgan_discrete.metrics.chow_liu import ChowLiuTree
from bgan_discrete.metrics.classifier import train_classifier
from bgan_discrete.metrics.frechet import frechet_distance
from bgan_discrete.metrics.marginals import independent_pixels
from bgan_discrete.metrics.neighbours import precision_recall_density_coverage
from bgan_discrete.metrics.ngrams import MarkovModel, ngram_divergences
from bgan_discrete.sources import load_array, load_images, load_text
from bgan_discrete.sources.data import Data

Codes = NDArray[Any]
FOLDS = 5
MARKOV_ORDER = 3
NEIGHBOURS = 5
CONVOLUTIONS = {"width": 32, "depth": 1}
MAX_REFERENCE = 10_000
"""Real images whose features are compared, at most."""


class Figures(Protocol):
    """What samples of a data set are worth."""

    count: int
    """Samples on each side of a comparison."""

    def figures(self, codes: Codes) -> dict[str, float]:
        """Of codes ``[count, *event_shape]``."""

    def references(self) -> dict[str, dict[str, float]]:
        """The floor, under the name ``floor``, and the baselines."""


class TextFigures:
    """JSD of n-grams of characters against held-out texts (bits), entropy of 4-grams (bits), distinct texts."""

    def __init__(self, data: Data[Any], count: int) -> None:
        self.codec, self.count = data.codec, min(count, len(data.codes))
        self.training = data.codec.decode(np.asarray(data.codes))
        self.heldout = data.codec.decode(np.asarray(data.heldout_codes))

    def figures(self, codes: Codes) -> dict[str, float]:
        """See `Figures`."""
        return self._of_texts(self.codec.decode(codes))

    def references(self) -> dict[str, dict[str, float]]:
        """See `Figures`."""
        longest = max(map(len, self.training))
        markov = MarkovModel(self.training, MARKOV_ORDER).sample(self.count, longest, seed=0, end=False)
        return {
            "floor": self._of_texts(_evenly(self.training, self.count)),
            f"Markov {MARKOV_ORDER}": self._of_texts(markov),
        }

    def _of_texts(self, texts: Sequence[str]) -> dict[str, float]:
        divergences = ngram_divergences(texts, self.heldout, 6)
        grams = [text[i : i + 4] for text in texts for i in range(len(text) - 3)]
        return {
            "JSD-4": divergences[3],
            "JSD-6": divergences[5],
            "entropy of 4-grams": _entropy(np.unique(grams, return_counts=True)[1]),
            "distinct": len(set(texts)) / len(texts),
        }


class LevelFigures:
    """Share of levels with the right counts, JSD of patterns of 3x3 signs against held-out levels (bits)."""

    WANTED: Mapping[int, int] = {2: 4, 3: 4, 4: 1}
    """Sign -> how often it is there: four boxes, four goals, one player."""

    def __init__(self, data: Data[Any], count: int) -> None:
        self.training, self.heldout = np.asarray(data.codes), np.asarray(data.heldout_codes)
        self.count = min(count, len(self.heldout))

    def figures(self, codes: Codes) -> dict[str, float]:
        """See `Figures`."""
        is_right = np.all([(codes == sign).sum((1, 2)) == times for sign, times in self.WANTED.items()], axis=0)
        ours, theirs = _patterns(codes), _patterns(self.heldout)
        return {
            "right counts": float(is_right.mean()),
            "JSD of 3x3": _jensen_shannon(ours, theirs),
            "entropy of 3x3": _entropy(np.unique(ours, return_counts=True)[1]),
            "distinct": _distinct(codes),
        }

    def references(self) -> dict[str, dict[str, float]]:
        """See `Figures`."""
        independent = independent_pixels(self.training, self.count, np.random.default_rng(0))
        return {
            "floor": self.figures(_evenly(self.training, self.count)),
            "independent signs": self.figures(independent),
        }


class TableFigures:
    """AUC of boosted trees that tell samples from held-out rows by their codes, in five folds; 0.5 is best."""

    def __init__(self, data: Data[Any], count: int) -> None:
        self.training = np.asarray(data.codes).astype(np.int64)
        self.heldout = np.asarray(data.heldout_codes).astype(np.int64)
        self.count = min(count, len(self.heldout))
        self.sizes = data.space.sizes or (data.num_categories,) * data.space.num_positions

    def figures(self, codes: Codes) -> dict[str, float]:
        """See `Figures`."""
        rows = np.concatenate([codes.astype(np.float64), self.heldout[: self.count]])
        is_real = np.arange(len(rows)) >= len(codes)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        trees = HistGradientBoostingClassifier(random_state=0)
        chance = cross_val_predict(trees, rows, is_real, cv=folds, method="predict_proba")[:, 1]
        return {"AUC": float(roc_auc_score(is_real, chance)), "distinct": _distinct(codes)}

    def references(self) -> dict[str, dict[str, float]]:
        """See `Figures`."""
        rng = np.random.default_rng(0)
        return {
            "floor": self.figures(_evenly(self.training, self.count)),
            "Chow-Liu tree": self.figures(ChowLiuTree(self.training, self.sizes).sample(self.count, rng)),
            "independent columns": self.figures(independent_pixels(self.training, self.count, rng)),
        }


class ImageFigures:
    """Frechet distance of a classifier's features to training images, by that of held-out images; coverage by pixels.

    As in `bgan_discrete.metrics.images`: blocks of as many samples as there are held-out images.
    """

    def __init__(self, data: Data[Any], count: int) -> None:
        if data.labels is None:
            raise InputError(f"{data.name} must have labels, from which features are learnt")
        self.codec, self.num_categories = data.codec, data.num_categories
        self.training, self.heldout = np.asarray(data.codes), np.asarray(data.heldout_codes)
        self.count = count
        self.block = min(count, len(self.heldout))
        self.classifier = train_classifier(
            self.training, data.labels, data.num_categories, ordered=data.space.ordered,
            num_classes=int(data.labels.max()) + 1, seed=0,
        )  # fmt: skip
        self.reference = self.classifier.features(_evenly(self.training, MAX_REFERENCE))
        self.floor = frechet_distance(self.classifier.features(self.heldout[: self.block]), self.reference)
        self.pixels = self._pixels(self.heldout[: self.block])

    def figures(self, codes: Codes) -> dict[str, float]:
        """See `Figures`."""
        blocks = [codes[start : start + self.block] for start in range(0, len(codes) - self.block + 1, self.block)]
        distances = [frechet_distance(self.classifier.features(block), self.reference) for block in blocks]
        found = precision_recall_density_coverage(self.pixels, self._pixels(blocks[0]), NEIGHBOURS)
        return {
            "features / floor": float(np.mean(distances)) / self.floor,
            "coverage": found["coverage"],
            "distinct": _distinct(codes),
        }

    def references(self) -> dict[str, dict[str, float]]:
        """See `Figures`; coverage and distinct images of the floor are those of training images."""
        independent = independent_pixels(self.training, self.count, np.random.default_rng(0))
        real = self.figures(_evenly(self.training, self.block))
        return {"floor": {**real, "features / floor": 1.0}, "independent pixels": self.figures(independent)}

    def _pixels(self, codes: Codes) -> NDArray[np.float64]:
        return np.asarray(self.codec.decode(codes) / 255).reshape(len(codes), -1)


def _evenly(rows: Any, count: int) -> Any:
    """So many of the rows, evenly spaced; a list of a list."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)
    return [rows[place] for place in places] if isinstance(rows, list) else rows[places]


def _distinct(codes: Codes) -> float:
    return len(np.unique(codes.reshape(len(codes), -1), axis=0)) / len(codes)


def _entropy(counts: Codes) -> float:
    """Of the frequencies, in bits."""
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _patterns(codes: Codes) -> NDArray[np.int64]:
    """A number for each 3x3 patch of planes of at most ten signs."""
    windows = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), (3, 3), (1, 2))
    return (windows.reshape(-1, 9) * 10 ** np.arange(9)).sum(1)


def _jensen_shannon(ours: Codes, theirs: Codes) -> float:
    """Between the frequencies of two lists of numbers, in bits."""
    _, ids = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    p, q = (np.bincount(part, minlength=ids.max() + 1) / len(part) for part in np.split(ids, [len(ours)]))
    middle = (p + q) / 2
    return float(sum((part[part > 0] * np.log2(part[part > 0] / middle[part > 0])).sum() for part in (p, q)) / 2)


@dataclass(frozen=True)
class DataSet:
    """A data set of the table, with the networks for it.

    Attributes:
        load: Folder of data -> codes.
        figures: (data, count) -> their figures.
        network: Of the masked generator, a key of `experiments.rounds_training.MASKED`.
        discriminator: A key of `experiments.rounds_training.DISCRIMINATORS`.
        order: Of the masked generator; ``information`` is that of the training rows.
        cut: Likewise.
        credit: Of the game, where a training names none.
        sizes: Further arguments of the masked generator, such as its width.
        samples: Drawn for the figures, at most.
        batch_size: Of maximum likelihood.
        stops_early: A tenth of the training data chooses the weights of maximum likelihood, among twenty looks.
    """

    load: Callable[[Path], Data[Any]]
    figures: Callable[[Data[Any], int], Figures]
    network: str = "transformer"
    discriminator: str = "alternatives"
    order: str = "interleaved"
    cut: str = "halving"
    credit: CreditName = "alternatives"
    sizes: Mapping[str, int] = field(default_factory=lambda: {"width": 96, "depth": 3})
    samples: int = 2000
    batch_size: int = 64
    stops_early: bool = False


def _captions(folder: Path) -> Data[Any]:
    source, heldout = text_file(folder, "captions")
    return load_text(source, heldout=heldout, layout="window", codec=TextCodecOptions(length=32, ends=False))


def _news(folder: Path) -> Data[Any]:
    codec = TextCodecOptions("sentencepiece", length=16, ends=False, vocabulary_size=500)
    return load_text(str(folder / "news" / "train.txt"), layout="window", codec=codec)


def _sokoban(folder: Path) -> Data[Any]:
    return load_array(str(folder / "sokoban" / "train.npy"), heldout=str(folder / "sokoban" / "test.npy"))


def _table(name: str, folder: Path) -> Data[Any]:
    files = [str(folder / "tables" / f"{name}_{split}.csv") for split in ("train", "test")]
    return load_array(files[0], heldout=files[1], bins=20, missing=("?",))


def _cifar10(folder: Path) -> Data[Any]:
    source = image_file(folder, "cifar10", "uoft-cs/cifar10")
    return load_images(source, codec=CodecOptions(name="palette", num_categories=16))


def _table_set(name: str) -> DataSet:
    return DataSet(
        functools.partial(_table, name),
        TableFigures,
        "mlp",
        "mlp",
        "information",
        sizes={"width": 256, "depth": 2},
        samples=5000,
        batch_size=256,
        stops_early=True,
    )


DATA_SETS: dict[str, DataSet] = {
    "captions": DataSet(_captions, TextFigures),
    "news": DataSet(_news, TextFigures),
    "sokoban": DataSet(_sokoban, LevelFigures, discriminator="mlp", order="coarse_to_fine", samples=1000),
    "sokoban_equal": DataSet(
        _sokoban, LevelFigures, discriminator="mlp", order="coarse_to_fine", cut="equal", samples=1000
    ),
    "sokoban_raster": DataSet(
        _sokoban, LevelFigures, discriminator="mlp", order="left_to_right", cut="equal", samples=1000
    ),
    "adult": _table_set("adult"),
    "mushroom": _table_set("mushroom"),
    "nursery": _table_set("nursery"),
    "digits": DataSet(
        lambda _: load_images("digits", codec=CodecOptions(name="levels")), ImageFigures, "conv", "conv",
        order="coarse_to_fine", credit="sample", sizes=CONVOLUTIONS,
    ),
    "mnist": DataSet(
        lambda folder: load_mnist(folder, CodecOptions(name="binary")), ImageFigures, "conv", "conv",
        order="coarse_to_fine", credit="sample", sizes=CONVOLUTIONS,
    ),
    "cifar10": DataSet(
        _cifar10, ImageFigures, "conv", "conv", order="coarse_to_fine", credit="sample", sizes=CONVOLUTIONS
    ),
}  # fmt: skip
