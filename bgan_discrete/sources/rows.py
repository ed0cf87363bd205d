"""Rows of images that are not decoded yet, from arrays and NumPy files."""

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.settings import Settings

HELDOUT_SPLITS = ("test", "validation", "valid")
NPZ_KEYS = {
    "images": "labels",
    "image": "label",
    "x": "y",
    "x_train": "y_train",
    "train_images": "train_labels",
    "x_test": "y_test",
    "test_images": "test_labels",
}
"""Keys of images that are looked for, in this order, with the key of their labels."""

_NPZ_TEST_KEYS = {"x_train": "x_test", "train_images": "test_images"}


@dataclass(frozen=True)
class Rows:
    """Undecoded images of one split.

    `read(start, stop)` gives arrays ``[H, W(, C)]``, nested lists, encoded bytes, or ``{"bytes", "path"}``.
    """

    place: str
    count: int
    read: Callable[[int, int], Any]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Opened:
    """The split to train on, and the split to judge by if there is one."""

    training: Rows
    heldout: Rows | None
    heldout_split: str | None
    class_names: tuple[str, ...] | None = None


def choose_splits(names: Iterable[str], split: str, place: str) -> str | None:
    """The held-out split, if there is one; refuses a training split that is not there."""
    known = list(names)
    if split not in known:
        raise InputError(f"split {split!r} is not in {place}, which has: {', '.join(known)}")
    return next((name for name in HELDOUT_SPLITS if name in known and name != split), None)


def open_array(images: NDArray[Any], settings: Settings) -> Opened:
    """Images that are already pixels."""
    for option in ("image_column", "label_column"):
        if getattr(settings, option) is not None:
            raise InputError(f"{option} is for data with columns, got {getattr(settings, option)!r} for an array")
    choose_splits(["train"], settings.split, "the array")
    return Opened(_array_rows(images, None, "the array"), None, None)


def open_numpy_file(path: Path, settings: Settings) -> Opened:
    """A .npy or .npz file of pixels."""
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"dataset {str(path)!r} cannot be read as a NumPy file: {one_line(error)}") from error
    if isinstance(loaded, np.ndarray):
        return open_array(loaded, settings)
    with loaded:
        return _open_npz(loaded, path, settings)


def _open_npz(archive: Any, path: Path, settings: Settings) -> Opened:
    image_key = settings.image_column or next((key for key in NPZ_KEYS if key in archive.files), None)
    if image_key is None:
        raise InputError(f"image_column must name the images of {path}, which has the keys: {', '.join(archive.files)}")
    test_key = _NPZ_TEST_KEYS.get(image_key, "")
    keys = {"train": image_key, "test": test_key} if test_key in archive.files else {"train": image_key}
    heldout = choose_splits(keys, settings.split, str(path))

    def rows(split: str) -> Rows:
        guessed = NPZ_KEYS.get(keys[split], "labels")
        label_key = settings.label_column if settings.label_column and split == settings.split else guessed
        wanted = label_key in archive.files or label_key == settings.label_column
        labels = _npz_array(archive, label_key, "label_column", path) if wanted else None
        images = _npz_array(archive, keys[split], "image_column", path)
        return _array_rows(images, labels, f"{keys[split]!r} of {path}")

    return Opened(rows(settings.split), rows(heldout) if heldout else None, heldout)


def _npz_array(archive: Any, key: str, option: str, path: Path) -> NDArray[Any]:
    if key not in archive.files:
        raise InputError(f"{option} {key!r} is not in {path}, which has the keys: {', '.join(archive.files)}")
    try:
        array: NDArray[Any] = archive[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise InputError(f"the array {key!r} of {path} cannot be read: {one_line(error)}") from error
    return array


def _array_rows(images: NDArray[Any], labels: NDArray[Any] | None, place: str) -> Rows:
    if images.dtype != np.uint8:
        advice = "; multiply images in [0, 1] by 255, round, and convert" if images.dtype.kind == "f" else ""
        raise InputError(f"images of {place} must be uint8, 0 .. 255, got {images.dtype}{advice}")
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[-1] in (3, 4)):
        advice = "; transpose to channels last" if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        raise InputError(f"images of {place} must be [N, H, W] or [N, H, W, 3], got {list(images.shape)}{advice}")
    if images.size == 0:
        raise InputError(f"images of {place} are empty: got the shape {list(images.shape)}")
    if labels is not None:
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.shape != (len(images),) or labels.dtype.kind not in "iub":
            found = f"{labels.dtype} {list(labels.shape)}"
            raise InputError(f"labels of {place} must be {len(images)} integers, one for each image, got {found}")
    return Rows(place, len(images), lambda start, stop: images[start:stop], known_labels(labels))


def known_labels(labels: Any) -> NDArray[np.int64] | None:
    """Labels as int64; None where some are missing, which data sets write as -1."""
    if labels is None:
        return None
    values = np.asarray(labels, dtype=np.int64)
    return None if (values < 0).any() else values
