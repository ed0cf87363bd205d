"""Rows of the pictures of a folder, with the classes that folders or a table next to them give."""

import json
import posixpath
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.conservation import left_out, merged
from bgan_discrete.sources.folders import DATA, Files, picture_splits
from bgan_discrete.sources.rows import Opened, PictureFile, Rows, UnusableLabelsError, opened, try_labels
from bgan_discrete.sources.settings import Settings

FILE_NAME = "file_name"
"""Column of a metadata file that names the pictures, below the file's own folder."""

LABEL_COLUMNS = ("label", "labels")


def open_pictures(files: Files, name: str, settings: Settings) -> Opened:
    """The pictures to train on and those to evaluate with; their labels are what metadata say, or else their folders.

    Raises:
        InputError: If an option does not fit, or a metadata file names a file outside of its folder.
    """
    wanted = settings.label_column
    if settings.image_column not in (None, "image"):
        raise InputError(f"image_column {settings.image_column!r} is not in {name}: it is a folder of pictures")
    if wanted is not None and wanted not in LABEL_COLUMNS and not files.metadata:
        raise InputError(
            f"label_column {wanted!r} is not in {name}: put a metadata.csv with the columns file_name and {wanted} "
            "next to the pictures"
        )
    splits, in_folders, notes = picture_splits(files.pictures)
    notes[:0] = files.notes
    table = try_labels(lambda: _read_labels(files, wanted, notes), name, notes, wanted is not None)
    folder_of = {name: name.split("/")[in_folders:-1] for name in files.pictures}
    has_classes = len({folder[-1] for folder in folder_of.values() if folder}) > 1

    def rows(split: str) -> Rows:
        names, place = splits[split], f"split {split!r} of {name}"
        is_wanted = wanted is not None and split == settings.split

        def read_labels() -> NDArray[Any] | None:
            if table is not None:
                return _labels_of(names, table)
            return _folder_labels(names, folder_of, notes) if has_classes else None

        labels = try_labels(read_labels, place, notes, is_wanted)
        return Rows(
            place, len(names), lambda *rows: [PictureFile(str(files.root / n), n) for n in names[slice(*rows)]], labels
        )

    counts = {split: len(found) for split, found in splits.items()}
    return opened(rows, counts, settings, name, notes)


def _folder_labels(
    names: Sequence[str], folder_of: Mapping[str, Sequence[str]], notes: list[str]
) -> NDArray[Any] | None:
    """The name of the folder of each picture, where all are equally deep; None where none is in a folder."""
    one_of = {len(folder_of[name]): name for name in names}
    if len(one_of) > 1:
        shown = " and ".join(repr(name) for name in list(one_of.values())[:2])
        raise UnusableLabelsError(f"must be folders of one depth, got {shown}; move pictures, or write a metadata.csv")
    if 0 in one_of:
        return None
    folders: dict[str, list[str]] = {}
    for folder in sorted({"/".join(folder_of[name]) for name in names}):
        folders.setdefault(folder.rpartition("/")[2], []).append(folder)
    same = next(
        (f"{found[0]!r} and {found[1]!r} become {name!r}" for name, found in folders.items() if found[1:]), None
    )
    if same:
        count = sum(map(len, folders.values()))
        notes.append(merged("folders", DATA, count, len(folders), same, "rename those that are other classes"))
    return np.array([folder_of[name][-1] for name in names], object)


def _labels_of(names: Sequence[str], table: Mapping[str, str]) -> NDArray[Any]:
    missing = [name for name in names if not table.get(name)]
    if missing:
        raise UnusableLabelsError(
            f"must not be missing, got none for {len(missing):,} of {len(names):,} pictures (such as {missing[0]!r})"
        )
    return np.array([table[name] for name in names], object)


def _read_labels(files: Files, wanted: str | None, notes: list[str]) -> dict[str, str] | None:
    """The label of each picture that metadata files name; None where there is no such file."""
    rows = [(name, row, cells) for name in files.metadata for row, cells in enumerate(_read_rows(files, name))]
    if not rows:
        return None
    columns = [column for column in dict.fromkeys(c for *_, cells in rows for c in cells) if column != FILE_NAME]
    column = _label_column(columns, wanted, files.metadata[0])
    by_form = {unicodedata.normalize("NFC", name): name for name in files.pictures}
    known = set(files.pictures)
    labels: dict[str, str] = {}
    unused = []
    for name, row, cells in rows:
        picture = _inside(name, row, cells)
        picture = picture if picture in known else by_form.get(unicodedata.normalize("NFC", picture), "")
        if not picture or picture in labels:
            unused.append(cells[FILE_NAME])
        else:
            labels[picture] = cells.get(column, "")
    if unused:
        reason = "there is no such picture, or a row before is of the same"
        notes.append(left_out("rows", "metadata files", len(rows), unused, len(unused), reason))
    if wanted is None and column not in LABEL_COLUMNS and len(set(labels.values())) == len(labels) > 1:
        raise UnusableLabelsError(f"must not all differ, as in column {column!r}; label_column {column!r} takes them")
    return labels


def _label_column(columns: Sequence[str], wanted: str | None, place: str) -> str:
    if wanted is not None:
        if wanted not in columns:
            raise InputError(f"label_column {wanted!r} is not in {place}, which has: {', '.join(columns)}")
        return wanted
    column = next((column for column in LABEL_COLUMNS if column in columns), columns[0] if len(columns) == 1 else None)
    if column is None:
        raise UnusableLabelsError(f"must be named by label_column (--label-column): {place} has {', '.join(columns)}")
    return column


def _inside(name: str, row: int, cells: Mapping[str, str]) -> str:
    """The picture that a row names, relative to the folder of the data set."""
    picture = posixpath.normpath(cells.get(FILE_NAME, ""))
    if picture.startswith(("/", "../")) or picture == "..":
        raise InputError(f"row {row} of {name} names {cells[FILE_NAME]!r}, which leads out of its folder")
    return posixpath.join(posixpath.dirname(name), picture)


def _read_rows(files: Files, name: str) -> list[dict[str, str]]:
    """The cells of each row of a metadata file, spelt as they are."""
    import pandas

    path = files.root / name
    try:
        if name.lower().endswith(".csv"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # rows that are too long are cut with a warning
                options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "index_col": False}
                rows = pandas.read_csv(path, encoding="utf-8-sig", **options).fillna("").to_dict("records")
        else:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
            rows = [json.loads(line) for line in lines if line.strip()]
            rows = [{key: _spelt(value) for key, value in cells.items()} for cells in rows]
    except Exception as error:  # pandas raises whatever it likes
        raise UnusableLabelsError(f"must be in a table that can be read, got {name}: {one_line(error)}") from error
    if any(FILE_NAME not in cells for cells in rows):
        raise UnusableLabelsError(f"must have a {FILE_NAME} in each row of {name}, which has: {', '.join(rows[0])}")
    return rows


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
