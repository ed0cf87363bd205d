"""Make the embedded data set ``data/digits`` from scikit-learn's copy of the UCI handwritten digits.

    python data/make_digits.py                     # writes data/digits/*.parquet and data/digits.npy
    python data/make_digits.py --output-dir /tmp/d # the same somewhere else

Needs scikit-learn, which nothing else in the package does. The same versions of the libraries give the same bytes; any
versions give the same rows.
"""

import argparse
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from numpy.typing import NDArray
from PIL import Image as PillowImage

NUM_LEVELS = 17
NUM_CLASSES = 10
TEST_ROWS_PER_CLASS = 50
SPLIT_SEED = 0

FEATURES = Features({"image": Image(), "label": ClassLabel(names=[str(digit) for digit in range(NUM_CLASSES)])})


def levels_to_pixels(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spread levels 0 .. 16 over 0 .. 255: ``round(level * 255 / 16)``, from which the level is found again exactly.

    Args:
        levels: uint8 of any shape, 0 .. 16.

    Returns:
        uint8 of the same shape.
    """
    return np.rint(levels * (255 / (NUM_LEVELS - 1))).astype(np.uint8)


def pixels_to_levels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The inverse of `levels_to_pixels`."""
    return np.rint(pixels * ((NUM_LEVELS - 1) / 255)).astype(np.uint8)


def test_rows(labels: NDArray[np.int64], seed: int = SPLIT_SEED) -> NDArray[np.int64]:
    """Choose the rows of the test split: the same number of every class.

    Args:
        labels: ``[N]``, 0 .. 9.
        seed: Of the choice.

    Returns:
        Sorted row numbers ``[500]``.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    chosen = []
    for digit in range(NUM_CLASSES):
        rows = np.flatnonzero(labels == digit)
        chosen.append(rows[np.argsort(generator.random(len(rows)), kind="stable")[:TEST_ROWS_PER_CLASS]])
    return np.sort(np.concatenate(chosen))


def make_splits() -> dict[str, Dataset]:
    """Both splits, the rows of each in the order of the origin.

    Returns:
        ``train`` (1,297 rows) and ``test`` (500 rows) with the columns ``image`` and ``label``.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = levels_to_pixels(bunch.images.astype(np.uint8))
    labels = bunch.target.astype(np.int64)
    test = test_rows(labels)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return {name: _as_dataset(pixels[rows], labels[rows]) for name, rows in (("train", train), ("test", test))}


def _as_dataset(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Dataset:
    images = [PillowImage.fromarray(image) for image in pixels]
    return Dataset.from_dict({"image": images, "label": labels.tolist()}, features=FEATURES)


def main() -> None:
    """Write the splits as parquet files, and the levels of the training images as an array that NumPy alone reads."""
    parser = argparse.ArgumentParser(description="Make the embedded 8x8 digits from scikit-learn's copy.")
    parser.add_argument("--output-dir", type=Path, default=Path(__file__).resolve().parent / "digits")
    output_dir: Path = parser.parse_args().output_dir
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, split in make_splits().items():
        path = output_dir / f"{name}.parquet"
        split.to_parquet(path)
        print(f"{path}: {split.num_rows} rows, {path.stat().st_size} bytes")
        if name == "train":
            pixels = np.stack([np.asarray(image) for image in split[:]["image"]])
            np.save(output_dir.with_suffix(".npy"), pixels_to_levels(pixels))


if __name__ == "__main__":
    main()
