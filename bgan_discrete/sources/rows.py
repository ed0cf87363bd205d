"""Rows of images that are not decoded yet, and those of an array."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.sources.conservation import listed
from bgan_discrete.sources.folders import DATA, natural_key
from bgan_discrete.sources.settings import Settings

HELDOUT_SPLITS = ("test", "validation", "valid")
MAX_HELDOUT_ROWS = 10_000
LABEL_COLUMNS = ("label", "labels")
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

_SPLIT = re.compile(r"(split )?'\w+'(?= of )")  # the rest of a place is a path, which notes in a cache do not have

_Read = TypeVar("_Read")


class UnusableLabelsError(Exception):
    """Why labels cannot be used, to follow "they"."""


@dataclass(frozen=True)
class PictureFile:
    """An image in a file of its own; a path that a data file names must not lead out of the folders ``within``."""

    path: str
    name: str
    within: tuple[Path, ...] | None = None

    def read(self) -> bytes:
        """The file's bytes; refuses what is no regular file."""
        path = Path(self.path)
        if self.within is not None:
            path = Path(*self.within[:1], self.path).resolve()
            if not any(path.is_relative_to(folder.resolve()) for folder in self.within):
                raise InputError("its path leads out of the folder of its file and is not followed; embed its bytes")
        if not path.is_file():
            raise InputError("it is missing" if not path.exists() else "it is a pipe, socket, device or folder")
        return path.read_bytes()


@dataclass(frozen=True)
class Rows:
    """Undecoded images of one split.

    `read(start, stop)` gives arrays ``[H, W(, C)]``, nested lists, encoded bytes, ``{"bytes": ...}`` or `PictureFile`.
    Labels are integers, or words that `opened` numbers.
    """

    place: str
    count: int
    read: Callable[[int, int], Any]
    labels: NDArray[Any] | None


@dataclass(frozen=True)
class Opened:
    """The split to train on, the one to evaluate with if there is one, and how many images all splits have."""

    training: Rows
    heldout: Rows | None
    heldout_split: str | None
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]
    found: int


def opened(
    rows: Callable[[str], Rows], counts: Mapping[str, int], settings: Settings, place: str, notes: list[str]
) -> Opened:
    """The splits that are used; ``rows`` opens one, which may add notes, and ``counts`` tells the rows of each."""
    heldout_split = choose_splits(counts, settings.split, place)
    training, heldout = rows(settings.split), rows(heldout_split) if heldout_split else None
    class_names = None
    columns = [part.labels for part in (training, heldout) if part and part.labels is not None]
    words = [word for column in columns if column.dtype.kind not in "iub" for word in column.tolist()]
    if words:
        found = sorted(set(words), key=natural_key)
        class_names = tuple("".join(c if c.isprintable() else ascii(c)[1:-1] for c in name) for name in found)
        number = {word: place for place, word in enumerate(found)}
        training = _numbered(training, number, notes)
        heldout = heldout and _numbered(heldout, number, notes)
    unread = {split: count for split, count in counts.items() if split not in (settings.split, heldout_split)}
    if any(unread.values()):
        notes.append(
            f"{sum(unread.values()):,} of {sum(counts.values()):,} images of {DATA} are left out: they are in split "
            f"{listed(list(unread), len(unread))}, which is not read"
        )
    if heldout is not None and heldout.count > MAX_HELDOUT_ROWS:
        notes.append(
            f"{heldout.count - MAX_HELDOUT_ROWS:,} of {heldout.count:,} images of split {heldout_split!r} of {DATA} "
            f"are left out: the first {MAX_HELDOUT_ROWS:,} are held out"
        )
    return Opened(training, heldout, heldout_split, class_names, tuple(notes), sum(counts.values()))


def _numbered(rows: Rows, number: Mapping[str, int], notes: list[str]) -> Rows:
    """With class numbers for words; integers next to words of another split mean nothing."""

    def numbers() -> NDArray[Any] | None:
        words = rows.labels
        if words is not None and words.dtype.kind in "iub":
            raise UnusableLabelsError("must be words, as those of another split are, got integers")
        return None if words is None else np.array([number[word] for word in words.tolist()], np.int64)

    return replace(rows, labels=try_labels(numbers, rows.place, notes, wanted=False))


def choose_splits(names: Iterable[str], split: str, place: str) -> str | None:
    """The held-out split, if there is one; refuses a training split that is not there."""
    known = list(names)
    if split not in known:
        raise InputError(f"split {split!r} is not in {place}, which has: {', '.join(known)}")
    return next((name for name in HELDOUT_SPLITS if name in known and name != split), None)


def try_labels(read: Callable[[], _Read], place: str, notes: list[str], wanted: bool) -> _Read | None:
    """What ``read`` gives; if that is `UnusableLabelsError`, an error where they are wanted, and else a note."""
    try:
        return read()
    except UnusableLabelsError as fault:
        if wanted:
            raise InputError(f"labels of {place} {fault}") from fault
        split = _SPLIT.match(place)
        notes.append(f"{LABELS_ASIDE}: they {fault}" + (f" ({split[0]} of {DATA})" if split else ""))
        return None


def open_array(images: NDArray[Any], settings: Settings) -> Opened:
    """Images that are already pixels."""
    for option, value in (("column", settings.image_column), ("label_column", settings.label_column)):
        if value is not None:
            raise InputError(f"{option} is for data with columns, got {value!r} for an array")
    choose_splits(["train"], settings.split, "the array")
    rows = array_rows(images, "the array")
    return Opened(rows, None, None, None, (), rows.count)


def array_rows(images: NDArray[Any], place: str) -> Rows:
    """Pixels ``[N, H, W(, C)]``; refuses what is none."""
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
    return Rows(place, len(images), lambda start, stop: images[start:stop], None)


def checked_labels(labels: NDArray[Any], count: int) -> NDArray[Any]:
    """One label for each of ``count`` images, int64 or words; one-hot rows become numbers. Or `UnusableLabelsError`."""
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    is_matrix = labels.ndim == 2 and labels.dtype.kind in "iubf" and len(labels) == count
    if is_matrix and ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
        labels = labels.argmax(1)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.shape != (count,) or labels.dtype.kind not in "iubUO":
        raise UnusableLabelsError(
            f"must be {count} integers, one for each image, got {labels.dtype} {list(labels.shape)}"
        )
    if labels.dtype.kind in "iu" and labels.max() > np.iinfo(np.int64).max:
        row = int(labels.argmax())
        raise UnusableLabelsError(f"must be below 2**63, got {labels[row]} in row {row}")
    is_word = labels.dtype.kind in "UO"
    numbers: NDArray[Any] = labels if is_word else labels.astype(np.int64, copy=False)
    is_missing = numbers == "" if is_word else numbers < 0  # data sets write -1 for none
    if is_missing.any():
        row, missing = int(is_missing.argmax()), int(is_missing.sum())
        raise UnusableLabelsError(
            f"must not be missing, got {numbers[row]!r} in row {row} ({missing:,} of {count:,} rows)"
        )
    return numbers
