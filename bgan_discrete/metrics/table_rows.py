"""Rows of tables as figures need them: codes, which have a finite number of categories, and values as they are written.

Letters: n rows, P columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError

Codes = NDArray[np.integer]


@dataclass(frozen=True)
class TableColumns:
    """What the columns of a table are.

    Attributes:
        names: P names.
        categories: P times the names of the codes, in their order.
        is_number: Whether the values of a column are numbers, P times.
        as_written: Whether values are those of the data; else there is one for each code, such as the middle of a bin.
        is_date: Whether numbers are dates, in seconds since 1970, P times; empty where none are.
    """

    names: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    is_number: tuple[bool, ...]
    as_written: bool = False
    is_date: tuple[bool, ...] = ()

    @property
    def sizes(self) -> list[int]:
        """Codes of each column."""
        return [len(names) for names in self.categories]

    def place_of(self, name: str, option: str = "targets") -> int:
        """The place of a column.

        Args:
            name: Of the column.
            option: What asks for it, for the message.

        Returns:
            Its number.

        Raises:
            InputError: If there is none of that name.
        """
        if name not in self.names:
            raise InputError(f"{option}: column {name!r} is not among those compared: {', '.join(self.names)}")
        return self.names.index(name)


@dataclass(frozen=True)
class TableRows:
    """Rows of a table.

    Attributes:
        codes: Integers ``[n, P]``.
        values: float64 ``[n, P]``: of a column of numbers the numbers, NaN where one is missing; of others whatever is
            the same for equal values and another for others.
    """

    codes: Codes
    values: NDArray[np.float64]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.codes)

    def take(self, places: "NDArray[np.integer] | slice") -> "TableRows":
        """Some of the rows."""
        return TableRows(self.codes[places], self.values[places])

    def features(self, columns: TableColumns) -> NDArray[np.float64]:
        """What trees read, ``[n, P]``: numbers, and of other columns the codes."""
        return np.where(columns.is_number, self.values, self.codes)

    def row_keys(self) -> list[bytes]:
        """What tells rows apart, by their values."""
        plain = np.ascontiguousarray(np.where(np.isnan(self.values), -np.inf, self.values + 0.0))
        return [row.tobytes() for row in plain]


def rows_of_codes(codes: Codes, numbers: Sequence[Sequence[float] | None]) -> TableRows:
    """Rows whose values are known by their codes alone.

    Args:
        codes: ``[n, P]``.
        numbers: P times the number that each code stands for, NaN for a missing one; None of columns of other values.

    Returns:
        The rows.
    """
    values = np.asarray(codes, np.float64).copy()
    for place, known in enumerate(numbers):
        if known is not None:
            values[:, place] = np.asarray(known, np.float64)[np.asarray(codes[:, place], np.int64)]
    return TableRows(codes, values)


def with_values(codes: Codes, training: TableRows, rng: np.random.Generator) -> TableRows:
    """Codes with values: each that of a random training row with the same code, of which there must be one."""
    values = np.empty(codes.shape)
    for place in range(codes.shape[1]):
        known = np.asarray(training.codes[:, place], np.int64)
        order, counts = np.argsort(known, kind="stable"), np.bincount(known)
        own = np.asarray(codes[:, place], np.int64)
        chosen = (np.cumsum(counts) - counts)[own] + rng.integers(counts[own])
        values[:, place] = training.values[order[chosen], place]
    return TableRows(codes, values)
