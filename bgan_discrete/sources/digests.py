"""What a content is known by: the same bytes, the same cache."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError
from bgan_discrete.sources.dataset_rows import open_table
from bgan_discrete.sources.decoding import encoded_bytes, naming_row, read_rows
from bgan_discrete.sources.folders import Files
from bgan_discrete.sources.settings import Settings
from bgan_discrete.sources.storage import chunks_of, file_digest


def content_digest(place: NDArray[Any] | Files) -> str:
    """Of an array of bytes, of a file, or of the used files of a folder and what it has of others."""
    digest = hashlib.blake2b(digest_size=32)
    if isinstance(place, np.ndarray):
        digest.update(f"{place.dtype.str} {place.shape}".encode())
        for chunk in chunks_of(len(place)):
            digest.update(np.ascontiguousarray(place[chunk]).data)
        return digest.hexdigest()
    try:
        for name in (*place.pictures, *place.tables, *place.metadata):
            path = place.root / name
            shown = name if place.is_folder else path.suffix.lower()
            digest.update(f"{shown}\0{file_digest(path)}\0".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(f"dataset {str(place.root)!r} cannot be read: {error.strerror}: {str(path)!r}") from error
    digest.update(repr(place.notes).encode())
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
