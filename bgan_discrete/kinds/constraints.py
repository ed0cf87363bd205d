"""Constraints of tables: what a user gives -> rules; and columns that others determine, proposed as constraints."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bgan_discrete.codecs import TableCodec
from bgan_discrete.codecs.columns import CategoryColumn, Column
from bgan_discrete.kinds.given import codes_of_file
from bgan_discrete.metrics.arrays import choose_pairs
from bgan_discrete.metrics.dependencies import find_dependencies
from bgan_discrete.sources.rules import Rule, numbers_of, rule_of_function, rule_of_text

LEAST_ROWS, SOME_ROWS = 100, 20_000
"""With fewer, columns agree by chance; in so many those that others determine are looked for, then all are asked."""


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
    """Pairs of columns (a, b) of which a determines b: rows that agree in a agree in b, and that is no chance.

    For each b one a is named, that with the fewest codes; of two that determine each other, the one with a lower number
    is said to determine the other.

    Args:
        codes: Integers ``[N, columns]``.
        sizes: The number of codes of each column.

    Returns:
        The pairs, by b, of those that `bgan_discrete.metrics.dependencies.find_dependencies` finds in some of the rows.
    """
    if len(codes) < LEAST_ROWS:
        return []
    some = codes[np.linspace(0, len(codes) - 1, min(len(codes), SOME_ROWS)).astype(np.int64)]
    columns = np.asarray(codes, np.int64).T
    pairs = {
        (found.cause, found.effect)
        for found in find_dependencies(some, sizes, choose_pairs(codes.shape[1]), most=codes.shape[1] ** 2)
        if not found.exceptions and _determines(columns[found.cause], columns[found.effect], sizes[found.cause])
    }
    pairs = {(cause, effect) for cause, effect in pairs if cause < effect or (effect, cause) not in pairs}
    used = [len(np.unique(column)) for column in columns]
    causes = {effect: [cause for cause, other in pairs if other == effect] for _, effect in pairs}
    return [(min(causes[effect], key=lambda cause: (used[cause], cause)), effect) for effect in sorted(causes)]


def _determines(first: np.ndarray, second: np.ndarray, size: int) -> bool:
    code_of = np.zeros(size, np.int64)
    code_of[first] = second
    return bool((code_of[first] == second).all())
