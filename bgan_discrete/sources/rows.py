"""Rows of images that are not decoded yet, and those of an array."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.sources.conservation import listed
from bgan_discrete.sources.folders import DATA, number_words
from bgan_discrete.sources.settings import Settings

HELDOUT_SPLITS = ("test", "validation", "valid")
MAX_HELDOUT_ROWS = 10_000
LABELS_ASIDE = "labels are left aside"
"""Begins the note that says why there are none."""

_INTEGER_ADVICE = '; scale them to 0 .. 255, if they are not, and convert by .astype("uint8")'
_ADVICE = {
    "f": "; multiply images in [0, 1] by 255, round, and convert",
    "b": '; convert them by .astype("uint8") * 255',
    "i": _INTEGER_ADVICE,
    "u": _INTEGER_ADVICE,
}
"""How images of other kinds of dtypes become uint8."""

_Read = TypeVar("_Read")


class UnusableLabelsError(Exception):
    """Why labels cannot be used, to follow "they"."""


@dataclass(frozen=True)
class PictureFile:
    """An undecoded image in a file of its own.

    Attributes:
        path: Of the file.
        name: What notes call it.
        within: Folders that it must not lead out of, since a data file names it; None for what the user's folder holds.
    """

    path: str
    name: str
    within: tuple[Path, ...] | None = None

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            InputError: If the path leads out of the folders, or to no regular file.
        """
        path = Path(self.path)
        if self.within is not None:
            path = Path(os.path.realpath((self.within or (Path(),))[0] / path))
            if not any(path.is_relative_to(os.path.realpath(folder)) for folder in self.within):
                raise InputError("its path leads out of the folder of its file, and is not followed; embed its bytes")
        if not path.is_file():
            raise InputError("it is missing" if not path.exists() else "it is a pipe, socket, device or folder")
        return path.read_bytes()


@dataclass(frozen=True)
class Rows:
    """Undecoded images of one split.

    `read(start, stop)` gives arrays ``[H, W(, C)]``, nested lists, encoded bytes, ``{"bytes": ...}`` or `PictureFile`.
    """

    place: str
    count: int
    read: Callable[[int, int], Any]
    labels: NDArray[Any] | None
    """Integers; or words, as long as `opened` has not numbered them."""


@dataclass(frozen=True)
class Opened:
    """The split to train on, the split to evaluate with if there is one, and what is said of both."""

    training: Rows
    heldout: Rows | None
    heldout_split: str | None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    found: int = 0


def opened(
    rows: Callable[[str], Rows],
    counts: Mapping[str, int],
    settings: Settings,
    place: str,
    notes: Sequence[str],
    class_names: tuple[str, ...] | None = None,
) -> Opened:
    """The rows of the splits that are used; words become class numbers.

    Args:
        rows: Opens a split.
        counts: Rows of each split.
        settings: What is asked for.
        place: The data set, in errors.
        notes: A list or tuple that is read after the splits are opened.
        class_names: Of labels that are integers already.
    """
    heldout_split = choose_splits(counts, settings.split, place)
    training, heldout = rows(settings.split), rows(heldout_split) if heldout_split else None
    labels = [part.labels if part else None for part in (training, heldout)]
    if any(column is not None and column.dtype.kind not in "iub" for column in labels):
        if any(column is not None and column.dtype.kind in "iub" for column in labels):
            labels[1] = None
        numbers, class_names = number_words(*(None if column is None else column.tolist() for column in labels))
        training = replace(training, labels=numbers[0])
        heldout = replace(heldout, labels=numbers[1]) if heldout else None
    found, lines = sum(counts.values()), list(notes)
    unread = {split: count for split, count in counts.items() if split not in (settings.split, heldout_split)}
    if unread:
        read = " and ".join(repr(split) for split in (settings.split, heldout_split) if split)
        lines.append(
            f"{sum(unread.values()):,} of {found:,} images of {DATA} are left out (split "
            f"{listed(list(unread), len(unread))}): only split {read} is read"
        )
    if heldout is not None and heldout.count > MAX_HELDOUT_ROWS:
        lines.append(
            f"{heldout.count - MAX_HELDOUT_ROWS:,} of {heldout.count:,} images of split {heldout_split!r} of {DATA} "
            f"are left out: the first {MAX_HELDOUT_ROWS:,} are held out"
        )
    return Opened(training, heldout, heldout_split, class_names, tuple(lines), found)


def choose_splits(names: Iterable[str], split: str, place: str) -> str | None:
    """The held-out split, if there is one; refuses a training split that is not there."""
    known = list(names)
    if split not in known:
        raise InputError(f"split {split!r} is not in {place}, which has: {', '.join(known)}")
    return next((name for name in HELDOUT_SPLITS if name in known and name != split), None)


def try_labels(read: Callable[[], _Read], place: str, notes: list[str], wanted: bool) -> _Read | None:
    """What ``read`` gives; where that is `UnusableLabelsError`, an error if they are wanted, and else a note and None.

    Args:
        read: Gives labels.
        place: Where they are, in the error.
        notes: Takes the note.
        wanted: Whether they were asked for.
    """
    try:
        return read()
    except UnusableLabelsError as fault:
        if wanted:
            raise InputError(f"labels of {place} {fault}") from fault
        notes.append(f"{LABELS_ASIDE}: they {fault}")
        return None


def open_array(images: NDArray[Any], settings: Settings) -> Opened:
    """Images that are already pixels."""
    for option in ("image_column", "label_column"):
        if getattr(settings, option) is not None:
            raise InputError(f"{option} is for data with columns, got {getattr(settings, option)!r} for an array")
    choose_splits(["train"], settings.split, "the array")
    rows = array_rows(images, None, "the array")
    return Opened(rows, None, None, found=rows.count)


def array_rows(images: NDArray[Any], labels: NDArray[Any] | None, place: str) -> Rows:
    """Pixels ``[N, H, W(, C)]`` with labels that were checked; refuses what is no pixels."""
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
    return Rows(place, len(images), lambda start, stop: images[start:stop], labels)


def checked_labels(labels: NDArray[Any], count: int) -> NDArray[Any]:
    """One label for each of ``count`` images: int64, or words; a one-hot row becomes its column.

    Raises:
        UnusableLabelsError: If they are something else, or some are missing.
    """
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    is_matrix = labels.ndim == 2 and labels.dtype.kind in "iubf" and len(labels) == count
    if is_matrix and ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
        labels = labels.argmax(1)
    if labels.shape != (count,) or labels.dtype.kind not in "iubUS":
        shown = f"{labels.dtype} {list(labels.shape)}"
        raise UnusableLabelsError(f"must be {count} integers, one for each image, got {shown}")
    if labels.dtype.kind in "US":
        words = (
            np.array([word.decode("utf-8", "backslashreplace") for word in labels.tolist()])
            if labels.dtype.kind == "S"
            else labels
        )
        return _without_gaps(words, words == "", "''")
    if labels.size and labels.max() > np.iinfo(np.int64).max:
        row = int(labels.argmax())
        raise UnusableLabelsError(f"must be below 2**63, got {labels[row]} in row {row}")
    numbers = labels.astype(np.int64, copy=False)
    return _without_gaps(numbers, numbers < 0, "a number below 0, which means none,")


def _without_gaps(labels: NDArray[Any], is_missing: NDArray[np.bool_], shown: str) -> NDArray[Any]:
    if is_missing.any():
        raise UnusableLabelsError(
            f"must not be missing, got {shown} in {is_missing.sum():,} of {len(labels):,} rows (such as row "
            f"{int(is_missing.argmax())})"
        )
    return labels
