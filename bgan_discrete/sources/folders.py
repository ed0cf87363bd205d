"""A folder of pictures or parquet files, by one walk in natural order: each file is read, or named as left out.

Names may hold whatever the file system takes. Links are followed, each folder once. Hidden files are left out.
"""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
"""What folders of pictures, and parquet files, may be called in order to be a split, in small letters."""

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
_NO_DATA = re.compile(r"\.ds_store|thumbs\.db|desktop\.ini|(readme|licen[cs]e)(\.\w+)?", re.I)
"""Names of files of the system, and of those that are about the data: nothing of the data set is in them."""
_TABLE_NAME = re.compile(rf"(.*[-_. ])?({'|'.join(SPLIT_OF)})([-_. ]\d+)?(-of-\d+)?(-[0-9a-f]+)?", re.I | re.S)
_HIDDEN = "their names begin with a point, which means hidden; rename those that are to be read"
_AGAIN = "they are links to folders that are read under other names"
_UNPACK = "archives are not read; unpack them"
_OTHER = "they are no pictures by the ends of their names (.png, .jpg, ...); convert or rename those that are"
_MIXED = "a folder holds either pictures or .parquet files: those of which there are more are read"


@dataclass(frozen=True)
class Files:
    """The files of a data set, relative to ``root``, in natural order; those that are left out are in ``notes``.

    Either ``pictures`` with ``metadata`` about them; or ``tables``: parquet files, or one file, if it is no folder.
    """

    root: Path
    pictures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_folder: bool = True


def natural_key(name: str) -> tuple[list[list[Any]], str]:
    """Sorts paths part by part, numbers in them by their size."""
    parts = (re.split(r"([0-9]{1,4000})", part) for part in name.split("/"))
    return [[int(piece) if place % 2 else piece for place, piece in enumerate(part)] for part in parts], name


def find_files(place: Path) -> Files:
    """The one file that ``place`` is, or those of a folder; refuses folders without data, and pipes among them."""
    if place.is_file():
        return Files(place.parent, tables=(place.name,), is_folder=False)
    try:
        names, left, outside = _walk(place)
        total = len(names) + sum(map(len, left.values()))
        kinds: dict[str, list[str]] = {".png": [], ".parquet": [], METADATA_NAMES[0]: [], _UNPACK: [], _OTHER: []}
        for name in names:
            kinds[_kind_of(Path(name.lower()))].append(name)
        pictures, tables, metadata = (kinds.pop(kind) for kind in (".png", ".parquet", METADATA_NAMES[0]))
        if not pictures and not tables:
            raise InputError(
                f"dataset {str(place)!r} cannot be opened: the folder must hold pictures (.png, .jpg, ...) or .parquet "
                f"files, got {total:,} others{_shown(kinds[_UNPACK], _UNPACK) or _shown(kinds[_OTHER], '')}"
            )
        pictures, metadata, tables, left[_MIXED] = (
            (pictures, metadata, [], tables) if len(pictures) > len(tables) else ([], [], tables, pictures + metadata)
        )
        for path in (place / name for name in (*pictures, *metadata, *tables)):
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device would be waited for, or read without end
                raise InputError(f"dataset {str(place)!r} holds what is no file: {str(path)!r}; take it out")
    except OSError as error:
        raise InputError(f"dataset {str(place)!r} cannot be read: {error.strerror}: {error.filename!r}") from error
    left |= kinds
    notes = [left_out("files", DATA, total, found, len(found), reason) for reason, found in left.items() if found]
    if outside:
        notes.append(f"{len(outside):,} links of {DATA} lead out of it and are followed{_shown(outside, '')}")
    return Files(place, tuple(pictures), tuple(tables), tuple(metadata), tuple(notes))


def _shown(names: Sequence[str], reason: str) -> str:
    return f" ({listed(names, len(names))}){reason and ': '}{reason}" if names else ""


def _walk(root: Path) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Files in natural order, what is left out and why, and links that lead out.

    Every folder is read once, links to folders last, so that links in a circle end.
    """
    files: list[str] = []
    links: list[str] = []
    outside: list[str] = []
    left: dict[str, list[str]] = {_HIDDEN: [], _AGAIN: []}
    home, seen, waiting = root.resolve(), set(), [""]
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        status = (root / folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            left[_AGAIN].append(folder)
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda entry: natural_key(entry.name)):
                name = f"{folder}/{entry.name}" if folder else entry.name
                # Of links in a circle the entry would raise an error.
                is_folder = Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()
                if _NO_DATA.fullmatch(entry.name):
                    continue
                if entry.name.startswith("."):
                    left[_HIDDEN].append(name)
                elif is_folder:
                    (links if entry.is_symlink() else waiting).append(name)
                else:
                    files.append(name)
                if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(home):
                    outside.append(name)
    return sorted(files, key=natural_key), left, sorted(outside, key=natural_key)


def _kind_of(path: Path) -> str:
    if path.suffix in PICTURE_SUFFIXES:
        return ".png"
    if path.suffix == ".parquet":
        return ".parquet"
    return METADATA_NAMES[0] if path.name in METADATA_NAMES else _UNPACK if path.suffix in _ARCHIVES else _OTHER


def split_files(names: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The files of each split, and notes; one split ``train`` unless every file is in a split.

    Of pictures, whole top folders are splits; parquet files may themselves be called like a split, after a common
    beginning: ``data/train-00000-of-00002.parquet``, ``mnist_test.parquet``.
    """
    found = [split_of(name) for name in names]
    splits = {split: [name for name, (_, s) in zip(names, found, strict=True) if s == split] for split in SPLITS}
    strays = [name for name, (_, split) in zip(names, found, strict=True) if not split]
    if not strays and len({beginning for beginning, _ in found}) == 1:
        return {split: found for split, found in splits.items() if found}, []
    like = [name for files in splits.values() for name in files]
    note = (
        f"{len(like):,} of {len(names):,} files of {DATA} are called like splits{_shown(like, '')}, and are read like "
        f"all others, since those{_shown(strays, '')} are not"
    )
    return {"train": list(names)}, [note] if like else []


SPLITS = tuple(dict.fromkeys(SPLIT_OF.values()))


def split_of(name: str) -> tuple[str, str]:
    """What the name of a parquet file begins with, and the split of a file by its name, or nothing."""
    *folders, base = name.lower().split("/")
    is_table = base.endswith(".parquet")
    split = next((SPLIT_OF[folder] for folder in folders[: None if is_table else 1] if folder in SPLIT_OF), "")
    match = _TABLE_NAME.fullmatch(base.removesuffix(".parquet")) if is_table and not split else None
    return (match[1] or "", SPLIT_OF[match[2]]) if match else ("", split)
