"""Constraints of tables: what a user gives -> rules; and columns that others determine, proposed as constraints."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bgan_discrete.codecs import TableCodec
from bgan_discrete.codecs.columns import CategoryColumn, Column
from bgan_discrete.kinds.given import codes_of_file
from bgan_discrete.sources.rules import Rule, numbers_of, rule_of_function, rule_of_text

MAX_COLUMNS = 200
"""Columns of a table up to which all pairs are looked at."""

FEW_ROWS = 5000
"""Looked at first: most pairs of columns are told apart by them."""

MAX_CHANCE = 1e-6
"""That a column seems to be determined by another one of all, though the two are independent."""


def rules_of_table(
    constraints: Sequence[Any], codec: TableCodec, training_codes: Callable[[], np.ndarray]
) -> list[Rule]:
    """See `bgan_discrete.kinds.kind.Kind.rules`."""
    is_number = {column.name: _holds_numbers(column) for column in codec.columns}

    def combinations(names: Sequence[str], file: str | None) -> Callable[[np.ndarray], np.ndarray]:
        places = [[*is_number].index(name) for name in names]
        codes_of_rows = training_codes()[:, places] if file is None else codes_of_file(file, names, codec)
        known = np.unique(codes_of_rows, axis=0)

        def occur(codes: np.ndarray) -> np.ndarray:
            both, numbers = np.unique(np.concatenate([known, codes[:, places]]), axis=0, return_inverse=True)
            is_known = np.zeros(len(both), bool)
            is_known[numbers.ravel()[: len(known)]] = True
            return np.asarray(is_known[numbers.ravel()[len(known) :]])

        return occur

    rules = []
    for constraint in constraints:
        if callable(constraint):
            rules.append(rule_of_function(constraint, getattr(constraint, "__name__", repr(constraint))))
        else:
            rules.append(rule_of_text(constraint, is_number, combinations))
    return rules


def _holds_numbers(column: Column) -> bool:
    """Whether all values of a column are numbers, or texts that spell some."""
    other = column.other if isinstance(column, CategoryColumn) else None
    values = [value for value in column.decode(np.arange(column.size)) if value is not None and value != other]
    return bool(values) and not np.isnan(numbers_of(values)).any()


def proposed_constraints(codes: np.ndarray, codec: TableCodec) -> list[str]:
    """A line that names columns which another one determines in all rows of the data, with the constraints to give."""
    found = determined_columns(codes, [column.size for column in codec.columns])
    if not found:
        return []
    names = [column.name for column in codec.columns]
    said = ", ".join(f"{names[first]} decides {names[second]}" for first, second in found[:5])
    flags = " ".join(f'--constraint "combinations({_name(names[a])}, {_name(names[b])})"' for a, b in found[:5])
    more = f", and {len(found) - 5} more" if len(found) > 5 else ""
    return [f"in all training rows {said}{more}; to keep it in every sample, generate with {flags}"]


def _name(name: str) -> str:
    return name if name.replace("-", "_").replace(" ", "_").isidentifier() else f"`{name}`"


def determined_columns(codes: np.ndarray, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of columns (a, b) of which a determines b: rows that agree in a agree in b.

    For each b one a is named, that with the fewest codes; of two that determine each other, the one with a lower number
    is said to determine the other. Pairs that would agree by chance are left out: independent columns agree in one pair
    of rows with probability ``sum_k p_k^2``, in all of a's groups with that to the power of rows less groups.

    Args:
        codes: Integers ``[N, columns]``.
        sizes: The number of codes of each column.

    Returns:
        The pairs, by b.
    """
    num_columns = codes.shape[1]
    if num_columns > MAX_COLUMNS or len(codes) < 2:
        return []
    columns = [np.ascontiguousarray(codes[:, place]).astype(np.int64) for place in range(num_columns)]
    few = [column[:FEW_ROWS] for column in columns]
    counts = [np.bincount(column, minlength=size) for column, size in zip(columns, sizes, strict=True)]
    used = [int((count > 0).sum()) for count in counts]
    agreeing = [float(((count / len(codes)) ** 2).sum()) for count in counts]
    wanted = math.log(MAX_CHANCE / max(num_columns**2, 1))
    found: list[tuple[int, int]] = []
    for second in range(num_columns):
        by = [
            first
            for first in range(num_columns)
            if first != second
            and min(used[first], used[second]) > 1
            and (len(codes) - used[first]) * math.log(agreeing[second]) < wanted
            and all(_determines(part[first], part[second], sizes[first]) for part in (few, columns))
            and (first < second or not _determines(columns[second], columns[first], sizes[second]))
        ]
        if by:
            found.append((min(by, key=lambda first: used[first]), second))
    return found


def _determines(first: np.ndarray, second: np.ndarray, size: int) -> bool:
    code_of = np.zeros(size, np.int64)
    code_of[first] = second
    return bool((code_of[first] == second).all())
