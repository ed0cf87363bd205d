"""Rows of images that are not decoded yet, and those of an array."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.sources.settings import Settings

HELDOUT_SPLITS = ("test", "validation", "valid")

_INTEGER_ADVICE = '; scale them to 0 .. 255, if they are not, and convert by .astype("uint8")'
_ADVICE = {
    "f": "; multiply images in [0, 1] by 255, round, and convert",
    "b": '; convert them by .astype("uint8") * 255',
    "i": _INTEGER_ADVICE,
    "u": _INTEGER_ADVICE,
}
"""How images of other kinds of dtypes become uint8."""


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
    return Opened(array_rows(images, None, "the array"), None, None)


def array_rows(images: NDArray[Any], labels: NDArray[Any] | None, place: str) -> Rows:
    """Pixels ``[N, H, W(, C)]`` with their labels; refuses what is neither."""
    if images.dtype != np.uint8:
        advice = _ADVICE.get(images.dtype.kind, "")
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
            if labels.shape == (len(images),):
                found += "; number them by np.unique(labels, return_inverse=True)[1]"
            raise InputError(f"labels of {place} must be {len(images)} integers, one for each image, got {found}")
    return Rows(place, len(images), lambda start, stop: images[start:stop], known_labels(labels, place))


def known_labels(labels: NDArray[Any] | None, place: str) -> NDArray[np.int64] | None:
    """Integer labels as int64; None where some are missing, which data sets write as -1."""
    if labels is None:
        return None
    if labels.size and labels.max() > np.iinfo(np.int64).max:
        row = int(labels.argmax())
        raise InputError(f"labels of {place} must be below 2**63, got {labels[row]} in row {row}")
    values = labels.astype(np.int64, copy=False)
    return None if (values < 0).any() else values
