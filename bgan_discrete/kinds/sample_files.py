"""Samples into files, part by part, so that memory does not grow with their number."""

import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

from bgan_discrete.kinds.kind import Samples
from bgan_discrete.sources.code_store import CodeStore
from bgan_discrete.sources.storage import chunks_of
from bgan_discrete.sources.table_files import write_npy


def on_one_line(text: str) -> str:
    """A text with its line breaks written as ``\\n`` and ``\\r``: one line a sample. JSON keeps a text exactly."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def write_npz(
    file: BinaryIO,
    parts: Iterable[Samples],
    num_samples: int,
    decoded: Mapping[str, Callable[[np.ndarray], Any]],
    **arrays: np.ndarray,
) -> None:
    """Write samples as a ``.npz``: codes, labels, what ``decoded`` makes of codes by name, and ``arrays``.

    Many codes are kept on the disk until all are drawn.
    """
    store: CodeStore | None = None
    labels = []
    for part in parts:
        labels += [] if part.labels is None else [part.labels]
        store = store or CodeStore(part.codes[0].size, part.codes.dtype)
        store.add(part.codes.reshape(len(part.codes), -1))
    assert store is not None
    codes = store.finish().reshape(num_samples, *part.codes.shape[1:])
    if labels:
        arrays["labels"] = np.concatenate(labels)
    made: dict[str, Callable[[np.ndarray], Any]] = {"codes": np.asarray, **decoded}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*made, *arrays):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                chunks = (codes[chunk] for chunk in chunks_of(num_samples))
                whole = [arrays[name]] if name in arrays else map(made[name], chunks)
                write_npy(member, whole, len(arrays[name]) if name in arrays else num_samples)
