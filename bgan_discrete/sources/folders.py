"""A folder of pictures or of parquet files, by one walk: each file is used, or named as left out.

Names may hold whatever the file system takes. Order is natural: 2 before 10. Only whole top folders called train, test
or validation (or a common short form) are splits, and only if every picture is in one of them.
"""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.sources.conservation import left_out, listed

DATA = "the data set"
"""What notes call it: the same content has the same notes, wherever it is stored."""

PICTURE_SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".bmp", ".dib", ".gif",
    ".tif", ".tiff", ".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".ico", ".xbm",
)  # fmt: skip
METADATA_NAMES = ("metadata.csv", "metadata.jsonl")
SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
"""What top folders and parquet files may be called in order to be a split, in small letters."""

_ARCHIVES = frozenset((".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"))
_OF_THE_SYSTEM = frozenset((".ds_store", "thumbs.db", "desktop.ini"))
_TABLE_NAME = re.compile(rf"(.*[-_. ])?({'|'.join(SPLIT_OF)})([-_. ]\d+)?(-of-\d+)?(-[0-9a-f]+)?", re.I | re.S)

_HIDDEN = "their names begin with a point, which means hidden; rename those that are to be used"
_AGAIN = "a link leads to a folder that is read under another name"
_UNPACK = "archives are not read; unpack them to use what is in them"
_NO_PICTURES = "they are no pictures by the ends of their names (.png, .jpg, ...); convert or rename those that are"
_TABLES = "the pictures of the folder are read; put tables into a folder of their own"
_PICTURES = "the .parquet files of the folder are read; put pictures into a folder of their own"


@dataclass(frozen=True)
class Files:
    """The files of a data set: names relative to ``root``, in natural order.

    Attributes:
        root: The folder.
        pictures: Files of pictures; none where there are tables.
        tables: .parquet files; or one file that is the data set.
        metadata: Tables about the pictures, `METADATA_NAMES`.
        notes: What is left out.
        is_folder: Whether ``root`` is the data set, not the one file in it.
    """

    root: Path
    pictures: tuple[str, ...]
    tables: tuple[str, ...]
    metadata: tuple[str, ...]
    notes: tuple[str, ...] = ()
    is_folder: bool = True

    def used(self) -> tuple[str, ...]:
        """All files that are read."""
        return (*self.pictures, *self.tables, *self.metadata)


def natural_key(name: str) -> tuple[list[list[Any]], str]:
    """Sorts paths part by part, numbers in them by their size."""
    parts = (re.split(r"([0-9]{1,4000})", part) for part in name.split("/"))
    return [[int(piece) if place % 2 else piece for place, piece in enumerate(part)] for part in parts], name


def find_files(place: Path) -> Files:
    """The files of a folder, or the one file that ``place`` is.

    Raises:
        InputError: If the folder holds no data, cannot be read, or a picture or table in it is no regular file.
    """
    if place.is_file():
        return Files(place.parent, (), (place.name,), (), is_folder=False)
    try:
        names, hidden, again, outside = _walk(place)
        kinds: dict[str, list[str]] = {kind: [] for kind in ("picture", "table", "metadata", _UNPACK, _NO_PICTURES)}
        for name in names:
            kinds[_kind_of(name)].append(name)
        pictures, tables, metadata = kinds.pop("picture"), kinds.pop("table"), kinds.pop("metadata")
        if not pictures and not tables:
            raise InputError(_no_data(place, kinds))
        others = {_HIDDEN: hidden, _AGAIN: again, **kinds}
        if len(pictures) > len(tables):
            tables, others[_TABLES] = [], tables
        else:
            pictures, metadata, others[_PICTURES] = [], [], [*pictures, *metadata]
        _check_regular(place, [*pictures, *tables, *metadata])
    except OSError as error:
        raise InputError(f"dataset {str(place)!r} cannot be read: {error.strerror}: {error.filename!r}") from error
    total = len(names) + len(hidden) + len(again)
    notes = [left_out("files", DATA, total, found, len(found), reason) for reason, found in others.items() if found]
    if outside:
        notes.append(
            f"{len(outside):,} links of {DATA} lead out of it and are followed ({listed(outside, len(outside))})"
        )
    return Files(place, tuple(pictures), tuple(tables), tuple(metadata), tuple(notes))


def _walk(root: Path) -> tuple[list[str], list[str], list[str], list[str]]:
    """Files in natural order, hidden entries, links to folders that are read anyway, and links that lead out.

    Every folder is read once, links to folders last, so that links in a circle end.
    """
    files: list[str] = []
    hidden: list[str] = []
    again: list[str] = []
    links: list[str] = []
    outside: list[str] = []
    home, seen, waiting = os.path.realpath(root), set(), [""]
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        status = (root / folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            again.append(folder)
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda entry: natural_key(entry.name)):
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.lower() in _OF_THE_SYSTEM:
                    continue
                if entry.name.startswith("."):
                    hidden.append(name)
                    continue
                if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(home):
                    outside.append(name)
                # Of links in a circle the entry itself would raise an error.
                if not (Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()):
                    files.append(name)
                else:
                    (links if entry.is_symlink() else waiting).append(name)
    return sorted(files, key=natural_key), hidden, again, outside


def _kind_of(name: str) -> str:
    path = Path(name.lower())
    suffix = path.suffix
    if suffix in PICTURE_SUFFIXES:
        return "picture"
    if suffix == ".parquet":
        return "table"
    if path.name in METADATA_NAMES:
        return "metadata"
    return _UNPACK if suffix in _ARCHIVES else _NO_PICTURES


def _no_data(place: Path, kinds: dict[str, list[str]]) -> str:
    archives, others = kinds[_UNPACK], kinds[_NO_PICTURES]
    if archives:
        reason = f"only archives ({listed(archives, len(archives))}); {_UNPACK}"
    else:
        reason = f"only other files ({listed(others, len(others))})" if others else "no files"
    return (
        f"dataset {str(place)!r} cannot be opened: the folder must hold pictures (.png, .jpg, ...) or .parquet files, "
        f"got {reason}"
    )


def _check_regular(root: Path, names: Sequence[str]) -> None:
    for name in names:
        # A pipe or a device would be waited for, or read without end.
        if not stat.S_ISREG((root / name).stat().st_mode):
            raise InputError(f"dataset {str(root)!r} holds what is no file: {name!r}; take it out of the folder")


def picture_splits(names: Sequence[str]) -> tuple[dict[str, list[str]], bool, list[str]]:
    """The pictures of each split.

    Args:
        names: Of all pictures, relative to the folder.

    Returns:
        One split ``train`` unless every picture is in a top folder called like a split; whether that is so; and notes,
        why top folders that are called like splits are none.
    """
    splits: dict[str, list[str]] = {}
    for name in names:
        splits.setdefault(SPLIT_OF.get(name.partition("/")[0].lower(), ""), []).append(name)
    strays = splits.get("", [])
    if not strays:
        return _in_order(splits), True, []
    tops = sorted({name.partition("/")[0] for split, found in splits.items() if split for name in found})
    note = (
        f"folders of {DATA} called like splits ({listed(tops, len(tops))}) are none, but are read like all others: "
        f"{len(strays):,} of {len(names):,} pictures are in no such folder ({listed(strays, len(strays))})"
    )
    return {"train": list(names)}, False, [note] if tops else []


def table_splits(names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The parquet files of each split, and notes; like `picture_splits`, but files may have the names, too.

    ``data/train-00000-of-00002.parquet``, ``mnist_test.parquet`` and ``train/0.parquet`` belong to splits.
    """
    found = [_table_split(name) for name in names]
    splits: dict[str, list[str]] = {}
    for name, (_, split) in zip(names, found, strict=True):
        splits.setdefault(split, []).append(name)
    if "" not in splits and len({prefix for prefix, _ in found}) == 1:
        return _in_order(splits), []
    like = [name for split in ("test", "validation") for name in splits.get(split, [])]
    note = (
        f"files of {DATA} called like splits ({listed(like, len(like))}) are none, but are read like all others: not "
        f"all {len(names):,} files are called like one"
    )
    return {"train": list(names)}, [note] if like else []


def _in_order(splits: dict[str, list[str]]) -> dict[str, list[str]]:
    return {split: splits[split] for split in dict.fromkeys(SPLIT_OF.values()) if split in splits}


def _table_split(name: str) -> tuple[str, str]:
    """What comes before the name of a split, and the split; none is empty."""
    *folders, stem = name[: -len(".parquet")].split("/")
    named = next((SPLIT_OF[folder.lower()] for folder in folders if folder.lower() in SPLIT_OF), None)
    match = _TABLE_NAME.fullmatch(stem)
    return ("", named) if named else (match[1] or "", SPLIT_OF[match[2].lower()]) if match else ("", "")


def number_words(*columns: Iterable[str] | None) -> tuple[list[NDArray[np.int64] | None], tuple[str, ...]]:
    """Words as class numbers.

    Args:
        columns: Of each split, or None.

    Returns:
        Numbers likewise, and the names of the classes in natural order, with what cannot be printed escaped.
    """
    names = sorted({word for column in columns if column is not None for word in column}, key=natural_key)
    number = {name: place for place, name in enumerate(names)}
    numbers = [None if column is None else np.array([number[word] for word in column], np.int64) for column in columns]
    return numbers, tuple("".join(c if c.isprintable() else ascii(c)[1:-1] for c in name) for name in names)
