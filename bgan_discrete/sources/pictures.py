"""Rows of the pictures of a folder, with the classes that folders or a table next to them give."""

import json
import posixpath
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.conservation import left_out, merged, merges
from bgan_discrete.sources.folders import DATA, Files, split_files, split_of
from bgan_discrete.sources.rows import (
    LABEL_COLUMNS,
    Opened,
    PictureFile,
    Rows,
    UnusableLabelsError,
    checked_labels,
    opened,
    try_labels,
)
from bgan_discrete.sources.settings import Settings
from bgan_discrete.sources.text_files import file_rows

FILE_NAME = "file_name"
"""Column of a metadata file that names the pictures, below the file's own folder."""


def open_pictures(files: Files, name: str, settings: Settings) -> Opened:
    """The pictures to train on and to evaluate with; their labels are in metadata files, or else are their folders."""
    wanted = settings.label_column
    if settings.image_column not in (None, "image"):
        raise InputError(f"column {settings.image_column!r} is not in {name}: it is a folder of pictures")
    if wanted not in (None, *LABEL_COLUMNS) and not files.metadata:
        raise InputError(
            f"label_column {wanted!r} is not in {name}: put a metadata.csv with the columns {FILE_NAME} and {wanted} "
            "next to the pictures"
        )
    splits, notes = split_files(files.pictures)
    tops = int(not notes and bool(split_of(files.pictures[0])[1]))
    notes[:0] = files.notes
    table = try_labels(lambda: _read_labels(files, wanted, notes), name, notes, wanted is not None)
    has_classes = len({name.split("/")[-2] for name in files.pictures if name.count("/") > tops}) > 1

    def rows(split: str) -> Rows:
        names = splits[split]

        def read_labels() -> NDArray[Any] | None:
            if table is not None:
                return checked_labels(np.array([table.get(name, "") for name in names], object), len(names))
            return _folders(names, tops, notes) if has_classes else None

        labels = try_labels(read_labels, f"split {split!r} of {name}", notes, bool(wanted) and split == settings.split)
        return Rows(f"split {split!r} of {name}", len(names), lambda *at: _files(files, names[slice(*at)]), labels)

    return opened(rows, {split: len(names) for split, names in splits.items()}, settings, name, notes)


def _files(files: Files, names: Sequence[str]) -> list[PictureFile]:
    return [PictureFile(str(files.root / name), name) for name in names]


def _folders(names: Sequence[str], tops: int, notes: list[str]) -> NDArray[Any]:
    """The name of each picture's folder, where all are equally deep."""
    one_of = {name.count("/"): name for name in names}
    if len(one_of) > 1:
        shown = " and ".join(map(repr, [*one_of.values()][:2]))
        raise UnusableLabelsError(f"must be folders of one depth, got {shown}; move pictures, or write a metadata.csv")
    if tops in one_of:
        raise UnusableLabelsError(f"must be folders, as of other pictures, got {one_of[tops]!r}; move them into some")
    folders: dict[str, list[str]] = {}
    for folder in sorted({posixpath.dirname(name) for name in names}):
        folders.setdefault(posixpath.basename(folder), []).append(folder)
    same = next(
        (f"{found[0]!r} and {found[1]!r} become {name!r}" for name, found in folders.items() if found[1:]), None
    )
    if same:
        advice = "rename folders that are classes of their own"
        notes.append(merged("folders", DATA, sum(map(len, folders.values())), len(folders), same, advice))
    return np.array([name.split("/")[-2] for name in names], object)


def _read_labels(files: Files, wanted: str | None, notes: list[str]) -> dict[str, str] | None:
    """The label of each picture that metadata files name; None where there is no such file."""
    rows = [(name, cells) for name in files.metadata for cells in _read_rows(files, name)]
    if not rows:
        return None
    columns = [column for column in dict.fromkeys(c for _, cells in rows for c in cells) if column != FILE_NAME]
    guessed = next((column for column in LABEL_COLUMNS if column in columns), columns[0] if len(columns) == 1 else None)
    column = wanted or guessed
    if column not in columns:
        if wanted:
            raise InputError(f"label_column {wanted!r} is not in {files.metadata[0]}, which has: {', '.join(columns)}")
        raise UnusableLabelsError(f"must be named by label_column (--label-column): there are {', '.join(columns)}")
    by_form = {unicodedata.normalize("NFC", name): name for name in files.pictures}
    known, unused = set(files.pictures), []
    labels: dict[str, Any] = {}
    for name, cells in rows:
        file = _text(cells[FILE_NAME])
        picture = posixpath.normpath(file)
        if picture.startswith(("/", "../")) or picture == "..":
            raise InputError(f"{name} names {file!r} in its {FILE_NAME}, which leads out of its folder")
        picture = posixpath.join(posixpath.dirname(name), picture)
        picture = picture if picture in known else by_form.get(unicodedata.normalize("NFC", picture), "")
        if not picture or picture in labels:
            unused.append(file)
        else:
            labels[picture] = cells.get(column, "")
    if unused:
        reason = "there is no such picture, or an earlier row has its label"
        notes.append(left_out("metadata rows", DATA, len(rows), unused, len(unused), reason))
    texts = {picture: _text(label) for picture, label in labels.items()}
    if not wanted and column not in LABEL_COLUMNS and len(set(texts.values())) == len(texts) > 1:
        raise UnusableLabelsError(
            f"must not all differ, as in {column!r}; label_column {column!r} takes them as they are"
        )
    values = [label if isinstance(label, str | int | float) else (_text(label),) for label in labels.values()]
    notes += merges("labels", DATA, {column: (values, texts.values())}, "write those of a class in one way")
    return texts


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell, default=str)


def _read_rows(files: Files, name: str) -> list[dict[str, Any]]:
    """The cells of each row of a metadata file that are not missing."""
    path = files.root / name
    try:
        rows = [{k: v for k, v in cells.items() if v is not None} for cells in file_rows(path, "it", None)]
        if name.lower().endswith(".csv"):
            rows = list(filter(None, rows))  # without blank lines
    except Exception as error:  # of many kinds, such as those of JSON that is no object
        raise UnusableLabelsError(f"must be in a table that can be read, got {name}: {one_line(error)}") from error
    for number, cells in enumerate(rows):
        if FILE_NAME not in cells:
            raise UnusableLabelsError(f"must have a {FILE_NAME} in each row of {name}, got {cells} in row {number}")
    return rows
