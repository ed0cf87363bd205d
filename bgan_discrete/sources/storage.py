"""Arrays that are filled in chunks: in memory, or in files where they are large."""

import ctypes
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAPPED_BYTES = 256 * 2**20
"""Arrays above this size stay in their files and are read through a memory map."""

ROWS_AT_ONCE = 1024


def chunks_of(count: int) -> Iterator[slice]:
    """Slices of up to `ROWS_AT_ONCE` rows that cover ``count`` rows."""
    return (slice(start, min(start + ROWS_AT_ONCE, count)) for start in range(0, count, ROWS_AT_ONCE))


def stack(
    chunks: Iterable[NDArray[np.uint8]], shape: tuple[int, ...], folder: Path | None, name: str
) -> NDArray[np.uint8]:
    """Chunks as one array: in memory, or, where it is large and there is a folder, as a map of a file."""
    if folder is None or int(np.prod(shape)) <= MAPPED_BYTES:
        stacked = np.empty(shape, dtype=np.uint8)
        filled = 0
        for chunk in chunks:
            stacked[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
        return stacked
    path = folder / f"{name}.npy"
    # Written rather than mapped, because a full disk kills a process that writes through a map.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk).data)
    return read_npy(path)


def read_npy(path: Path) -> NDArray[Any]:
    """An array of a file; a read-only memory map of it where it is large."""
    large = path.stat().st_size > MAPPED_BYTES
    array: NDArray[Any] = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
    return array


def file_digest(path: Path) -> str:
    """Of a file's bytes."""
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def file_facts(path: Path) -> dict[str, Any]:
    """What tells whether a file was changed."""
    return {"size": path.stat().st_size, "digest": file_digest(path)}


def row_hashes(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash ``[S]`` of each row: different rows are taken for copies with a probability of 2^-64."""
    found = np.empty(len(rows), np.uint64)
    for chunk in chunks_of(len(rows)):
        digests = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in np.ascontiguousarray(rows[chunk]))
        found[chunk] = np.frombuffer(digests, np.uint64)
    return found


def count_repeats(rows: NDArray[Any], others: NDArray[Any]) -> tuple[int, int]:
    """How many rows repeat earlier ones, and how many of the others are among the rows."""
    known, wanted = row_hashes(rows), row_hashes(others)
    known.sort()
    repeated = int((known[1:] == known[:-1]).sum())
    places = np.minimum(known.searchsorted(wanted), len(known) - 1)
    return repeated, int((known[places] == wanted).sum()) if len(known) else 0


def release_unused_memory() -> None:
    """Give the system back what allocators keep of a table that was read: some hundred bytes for each of its rows."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # where the C library is another than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
