"""Arrays of .npy and .npz files, whose headers are held against what the files really hold before anything is read."""

import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources import storage
from bgan_discrete.sources.conservation import left_out
from bgan_discrete.sources.folders import DATA
from bgan_discrete.sources.rows import (
    Opened,
    Rows,
    UnusableLabelsError,
    array_rows,
    checked_labels,
    choose_splits,
    open_array,
    opened,
    try_labels,
)
from bgan_discrete.sources.settings import Settings

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

MAX_UNPACKING = 200
"""Arrays of more than `storage.MAPPED_BYTES` are refused if unpacking makes them more than so many times as large."""

_NPZ_TEST_KEYS = {"x_train": "x_test", "train_images": "test_images"}


def open_numpy_file(path: Path, settings: Settings) -> Opened:
    """A .npy or .npz file of pixels."""
    with opened_arrays(path, f"dataset {str(path)!r}") as found:
        return _open_npz(found, path, settings) if isinstance(found, zipfile.ZipFile) else open_array(found, settings)


@contextmanager
def opened_arrays(path: Path, what: str) -> Iterator[NDArray[Any] | zipfile.ZipFile]:
    """The array of a .npy file, as a read-only memory map, or the archive of a .npz file; its content tells which.

    Whatever reading the file raises inside becomes one line that begins with ``what``.
    """
    try:
        with path.open("rb") as file:
            is_archive = file.read(4) in (b"PK\3\4", b"PK\5\6")
        if not is_archive:
            with path.open("rb") as file:
                yield _mapped(file, path.stat().st_size, what)
            return
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except Exception as error:  # zipfile raises whatever it likes for a damaged archive
        raise InputError(f"{what} cannot be read as a NumPy file: {one_line(error)}") from error


def members_of(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays of a .npz file by their names."""
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _mapped(file: Any, size: int, what: str) -> NDArray[Any]:
    shape, fortran, dtype = _read_header(file, what, size)
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def _read_header(file: IO[bytes], what: str, file_size: int) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    """Shape, order and dtype of an array of bytes or numbers, whose bytes are exactly what follows the header."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if version == (3, 0):
            dtype = _with_names_in_utf8(dtype)
    except Exception as error:  # a damaged header makes Python's own parser fail in many ways
        raise InputError(f"{what} cannot be read as a NumPy file: {one_line(error)}") from error
    if dtype.hasobject:
        raise InputError(f"{what} cannot be read as numbers: it holds Python objects, which nothing here would run")
    expected, found = math.prod(shape) * dtype.itemsize, file_size - file.tell()
    if any(side < 0 for side in shape) or expected != found:
        raise InputError(
            f"{what} is damaged: its header promises {list(shape)} of {dtype}, {expected:,} bytes, "
            f"but {found:,} bytes follow"
        )
    return shape, fortran, dtype


def _with_names_in_utf8(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """What the public readers of headers take for Latin-1."""
    if dtype.names is None:
        return dtype
    names = [name.encode("latin-1").decode() for name in dtype.names]
    fields = [dtype[name] for name in dtype.names]
    offsets = [dtype.fields[name][1] for name in dtype.names]  # type: ignore[index]
    return np.dtype({"names": names, "formats": fields, "offsets": offsets, "itemsize": dtype.itemsize})


def _open_npz(archive: zipfile.ZipFile, path: Path, settings: Settings) -> Opened:
    members = members_of(archive)
    known = f"which has {'the keys: ' + ', '.join(members) if members else 'no arrays'}"
    image_key = settings.image_column or next((key for key in NPZ_KEYS if key in members), None)
    if image_key is None:
        raise InputError(f"column must name the images of {path}, {known}")
    test_key = _NPZ_TEST_KEYS.get(image_key, "")
    keys = {"train": image_key, "test": test_key} if test_key in members else {"train": image_key}
    choose_splits(keys, settings.split, str(path))
    notes: list[str] = []
    used = set(keys.values())

    def array(key: str, option: str) -> NDArray[Any]:
        if key not in members:
            raise InputError(f"{option} {key!r} is not in {path}, {known}")
        used.add(key)
        return unpacked(archive, members[key], f"the array {key!r} of {path}")

    def open_split(split: str) -> Rows:
        images = array_rows(array(keys[split], "column"), f"{keys[split]!r} of {path}")
        wanted = settings.label_column if split == settings.split else None
        key = wanted or NPZ_KEYS.get(keys[split], "labels")

        def read() -> NDArray[Any]:
            try:
                return checked_labels(array(key, "label_column"), images.count)
            except InputError as error:
                raise UnusableLabelsError(f"must be an array that can be read: {error}") from error

        has_labels = key in members or wanted is not None
        return replace(images, labels=try_labels(read, str(path), notes, wanted is not None)) if has_labels else images

    splits = {split: open_split(split) for split in keys}
    others = [name for name in members if name not in used]
    if others:
        notes.append(
            left_out("arrays", DATA, len(members), others, len(others), "only images and their labels are read")
        )
    return opened(splits.__getitem__, {split: rows.count for split, rows in splits.items()}, settings, str(path), notes)


def unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> NDArray[Any]:
    """An array of an archive, as a map of a file that vanishes with the process; ``what`` names it in messages.

    Raises InputError if it cannot be read, or would unpack to far more than it is.
    """
    if info.file_size > max(storage.MAPPED_BYTES, MAX_UNPACKING * info.compress_size):
        raise InputError(
            f"{what} is refused: {info.compress_size:,} bytes would unpack to {info.file_size:,}; save it "
            "uncompressed (.npy) if it is what it should be"
        )
    unnamed: Any = tempfile.TemporaryFile()  # noqa: SIM115 - it is to stay open
    try:
        with archive.open(info) as file:
            shutil.copyfileobj(file, unnamed)
    except Exception as error:  # zipfile and its decompressors raise whatever they like
        raise InputError(f"{what} cannot be read: {one_line(error)}") from error
    size = unnamed.tell()
    unnamed.seek(0)
    return _mapped(unnamed, size, what)
