"""Rows of tables that obey rules: those that break one are drawn anew, up to a bound."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bgan_discrete.codecs.values import Value
from bgan_discrete.errors import InputError
from bgan_discrete.game.conditional import Effort
from bgan_discrete.programs import Program
from bgan_discrete.sources.rules import Rule

MAX_DRAWS = 10_000
"""Draws of one row, and of all rows where less than `MIN_SHARE` of them obey, after which no more are made."""

MIN_SHARE = 1e-3

LEAST_VALID = 0.5
"""What a verifier must say of a sample that is kept, more than."""

AT_ONCE = 1000
"""Rows that are drawn at once where few are left."""

SAMPLES = ""
"""The one column of samples that are no table."""

Columns = dict[str, list[Value]]


def obedient_rows(
    draw: Callable[[np.ndarray], np.ndarray],
    decode: Callable[[np.ndarray, np.ndarray], Mapping[str, Sequence[Value]]],
    rules: Sequence[Rule],
    rows: np.ndarray,
    effort: Effort,
) -> tuple[np.ndarray, Columns]:
    """Draw rows until each of them obeys all rules: their law is that of the draws, given that they do.

    Args:
        draw: Numbers of rows, which may come more than once -> codes ``[B, columns]``.
        decode: Codes and the numbers of their rows -> columns of B values.
        rules: That rows are to obey.
        rows: Their numbers, ``[N]``.
        effort: Counts what it takes.

    Returns:
        Codes ``[N, columns]``, and columns of N values.

    Raises:
        InputError: If nearly all draws break a rule, or all those of one row.
    """
    pending, drawn_of_row, drawn, accepted = np.arange(len(rows)), 0, 0, 0
    broken = dict.fromkeys((rule.text for rule in rules), 0)
    codes, values = np.empty(0), Columns()
    while len(pending):
        # 1. One draw of each row; later several, as many as one that obeys will take.
        share = max(accepted / drawn, MIN_SHARE) if drawn else 1.0
        copies = max(1, min(math.ceil(1 / share), max(len(rows), AT_ONCE) // len(pending)))
        places = pending.repeat(copies)
        codes_of_draws = draw(rows[places])
        columns = decode(codes_of_draws, rows[places])

        # 2. Which draws obey.
        obeys = np.ones(len(places), bool)
        for rule in rules:
            holds = rule.holds(columns, codes_of_draws)
            broken[rule.text] += int((~holds).sum())
            obeys &= holds
        drawn, accepted, drawn_of_row = drawn + len(places), accepted + int(obeys.sum()), drawn_of_row + copies

        # 3. The first of each row that does is kept.
        if not values:
            codes = np.empty((len(rows), *codes_of_draws.shape[1:]), codes_of_draws.dtype)
            values = {name: [None] * len(rows) for name in columns}
        found, first = np.unique(places[obeys], return_index=True)
        chosen = np.flatnonzero(obeys)[first]
        codes[found] = codes_of_draws[chosen]
        for name, column in columns.items():
            for place, draw_of_place in zip(found.tolist(), chosen.tolist(), strict=True):
                values[name][place] = column[draw_of_place]
        pending = np.setdiff1d(pending, found, assume_unique=True)
        _check_hope(pending, rows, drawn, accepted, drawn_of_row, broken)
    effort.add(Effort(drawn=drawn, refused=drawn - accepted, broken=broken))
    return codes, values


def _check_hope(
    pending: np.ndarray, rows: np.ndarray, drawn: int, accepted: int, drawn_of_row: int, broken: Mapping[str, int]
) -> None:
    worst = max(broken, key=lambda text: broken[text])
    if len(pending) and drawn >= MAX_DRAWS and accepted < MIN_SHARE * drawn:
        raise InputError(
            f"constraints must leave some rows: {accepted:,} of {drawn:,} draws obey all of them; {worst!r} alone "
            f"refuses {broken[worst]:,}"
        )
    if len(pending) and drawn_of_row >= MAX_DRAWS:
        raise InputError(
            f"constraints must leave some rows: none of {drawn_of_row:,} draws obeys all of them with what is given "
            f"for row {rows[pending[0]] + 1}"
        )


def rule_of_verifier(verifier: str | Callable[[Any], Any]) -> Rule:
    """The rule of a user's verifier, which is called with a batch of decoded samples (`bgan_discrete.programs`).

    Raises:
        InputError: If it cannot be imported.
    """
    program = Program(verifier, cache=0, name="verifier").start()

    def holds(columns: Mapping[str, Sequence[Any]], codes: np.ndarray) -> np.ndarray:
        samples = from_columns(columns)
        samples = pd.DataFrame(samples) if isinstance(samples, Mapping) else samples
        # By their numbers, since rows whose numbers in bins differ may have the same codes.
        said = program(np.arange(len(codes))[:, None], lambda numbers: taken(samples, numbers[:, 0]))
        if len(said) and np.isnan(said).all():
            raise InputError(f"verifier fails on every sample, such as {program.failures.example}")
        return np.asarray(said > LEAST_VALID)  # NaN is not

    return Rule(program.text, holds)


def as_columns(values: Any) -> Mapping[str, Sequence[Any]]:
    """Samples as columns, of which those that are no table have one."""
    return values if isinstance(values, Mapping) else {SAMPLES: list(values)}


def taken(samples: Any, rows: np.ndarray) -> Any:
    """Some of a list of texts, of an array, or of a data frame."""
    if isinstance(samples, list):
        return [samples[row] for row in rows]
    return samples.iloc[rows].reset_index(drop=True) if isinstance(samples, pd.DataFrame) else samples[rows]


def from_columns(columns: Mapping[str, Sequence[Any]]) -> Any:
    """The samples again: a table, texts, or an array."""
    if SAMPLES not in columns:
        return columns
    values = columns[SAMPLES]
    return list(values) if isinstance(values[0], str) else np.stack(values)


def rules_to_check(constraints: Sequence[Rule], given: Sequence[Rule], decode: str) -> list[Rule]:
    """The rules of constraints and of what is given, for rows whose bins become what ``decode`` says.

    Ranges are text, which has no order: with them conditions hold of the bins alone, and there are no constraints
    (InputError).
    """
    if decode != "ranges":
        return [*given, *constraints]
    if constraints:
        raise InputError("constraints need numbers: decode must be 'inside' or 'median', got 'ranges'")
    return []


def joined_columns(parts: Sequence[Mapping[str, Sequence[Any]]]) -> Columns:
    """The columns of several parts, one after the other."""
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}
