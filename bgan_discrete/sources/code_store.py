"""Rows of codes of an unknown number: kept in memory, and from a certain size on in a file without a name."""

import tempfile
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError

IN_MEMORY_BYTES = 1024**3
"""Codes up to this size stay in memory."""


class CodeStore:
    """Takes rows of L codes, part by part, and gives them back as one array.

    Beyond ``in_memory_bytes`` they go to a nameless file in ``TMPDIR``, and come back as a read-only memory map.
    """

    def __init__(self, length: int, dtype: "np.dtype[Any]", in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self.length, self.dtype, self.in_memory_bytes = length, dtype, in_memory_bytes
        self.num_rows = 0
        self._rows = np.empty((0, length), dtype)
        self._file: BinaryIO | None = None

    def add(self, rows: NDArray[Any]) -> None:
        """Append codes ``[n, L]``; raises InputError if the disk for temporary files is full."""
        rows = np.ascontiguousarray(rows, self.dtype)
        before, self.num_rows = self.num_rows, self.num_rows + len(rows)
        if self._file is None and self.num_rows * self.length * self.dtype.itemsize <= self.in_memory_bytes:
            if self.num_rows > len(self._rows):
                # Grown in place, where a list of parts would be there twice at the end.
                self._rows.resize((self.num_rows + self.num_rows // 8, self.length), refcheck=False)
            self._rows[before : self.num_rows] = rows
        else:
            self._spill(self._rows[:before] if self._file is None else None, rows)

    def finish(self) -> NDArray[Any]:
        """All rows ``[S, L]``: an array, or a read-only memory map of one."""
        if self._file is None:
            self._rows.resize((self.num_rows, self.length), refcheck=False)
            return self._rows
        return np.memmap(cast(Any, self._file), self.dtype, "r", shape=(self.num_rows, self.length))

    def _spill(self, *parts: NDArray[Any] | None) -> None:
        try:
            if self._file is None:
                self._file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - it is to stay open
            for part in parts:
                if part is not None:
                    self._file.write(part.data)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"the codes do not fit into the folder for temporary files, {tempfile.gettempdir()}: "
                f"{error.strerror or error}; set TMPDIR to a folder with more room, or limit to fewer documents"
            ) from None
        self._rows = np.empty((0, self.length), self.dtype)
