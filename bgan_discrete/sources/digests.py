"""What a content is known by: the same bytes, the same cache."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bgan_discrete.errors import InputError
from bgan_discrete.sources.decoding import encoded_bytes, naming_row, read_rows
from bgan_discrete.sources.settings import Settings, is_utf8
from bgan_discrete.sources.storage import chunks_of
from bgan_discrete.sources.tables import open_table


def content_digest(place: Any) -> str:
    """Of an array of bytes, of a file, or of all files of a folder that are not hidden."""
    digest = hashlib.blake2b(digest_size=32)
    if isinstance(place, np.ndarray):
        digest.update(f"{place.dtype.str} {place.shape}".encode())
        for chunk in chunks_of(len(place)):
            digest.update(np.ascontiguousarray(place[chunk]).data)
        return digest.hexdigest()
    try:
        for name, path in _files_of(place):
            digest.update(f"{name}\0{file_digest(path)}\0".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(f"dataset {str(place)!r} cannot be read: {error.strerror}: {error.filename}") from error
    return digest.hexdigest()


def _files_of(place: Path) -> list[tuple[str, Path]]:
    if place.is_file():
        return [(place.suffix.lower(), place)]
    found = []
    for folder, folders, files in os.walk(place, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder) / name for name in files if not name.startswith(".")]
    for path in found:
        # A pipe or a device would be waited for, or read without end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"dataset {str(place)!r} holds what is no file: {path}; take it out of the folder")
        if not is_utf8(str(path)):
            raise InputError(f"dataset {str(place)!r} holds a file whose name is not UTF-8: {str(path)!r}; rename it")
    return sorted((path.relative_to(place).as_posix(), path) for path in found)


def file_digest(path: Path) -> str:
    """Of a file's bytes."""
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def hub_digest(splits: Mapping[str, Any], settings: Settings) -> str:
    """Of the undecoded images and the labels that would be used."""
    opened = open_table(splits, "the data set", settings)
    digest = hashlib.blake2b(digest_size=32)
    for rows in filter(None, (opened.training, opened.heldout)):
        labels = b"" if rows.labels is None else rows.labels.tobytes()
        digest.update(f"{rows.place}\0{rows.count}\0{opened.class_names}\0".encode() + labels)
        for chunk in chunks_of(rows.count):
            for row, raw in enumerate(read_rows(rows, chunk.start, chunk.stop), chunk.start):
                with naming_row(rows, row, raw):
                    content = repr(raw).encode() if isinstance(raw, list) else encoded_bytes(raw)
                digest.update(f"{len(content)}\0".encode() + content)
    return digest.hexdigest()
