"""What tables that are filled cell by cell have in common: names of cells, and a file with a record of each.

A later record of the same cell and budget takes the place of an earlier one.
"""

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgan_discrete.errors import InputError


@dataclass(frozen=True)
class Cell:
    """A data set with a method: a synthesizer, a variant of the options or a finisher."""

    data: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """``data set/method/seed``."""
        return f"{self.data}/{self.method}/{self.seed}"


def key_of(record: Mapping[str, Any]) -> tuple[str, str]:
    """What a record is of; a later one of the same key takes the place of an earlier one."""
    return record["cell"], record["budget"]


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records of a results file; of several of one key the last."""
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return list({key_of(record): record for record in lines}.values())


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Add a line at once, so that several processes can share a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def run_cells(patterns: Sequence[str], laboratory: Any, results: Path, cells: Sequence[Any]) -> None:
    """Measure the cells that a pattern matches and that are not in the results file yet.

    Args:
        patterns: Globs of the names of cells.
        laboratory: Its ``budget`` and ``measure`` are asked of a cell.
        results: The results file.
        cells: All that there are; each has a ``name``.

    Raises:
        InputError: If a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatch.fnmatch(cell.name, pattern) for cell in cells):
            raise InputError(f"cells must match names such as {cells[0].name} (see --list), got {pattern!r}")
    chosen = [cell for cell in cells if any(fnmatch.fnmatch(cell.name, pattern) for pattern in patterns)]
    done = {key_of(record) for record in read_records(results)}
    wanted = [cell for cell in chosen if (cell.name, laboratory.budget(cell)) not in done]
    if len(wanted) < len(chosen):
        print(f"{len(chosen) - len(wanted)} of {len(chosen)} cells are there already", flush=True)
    for number, cell in enumerate(wanted, 1):
        record = laboratory.measure(cell)
        append_record(results, record)
        shown = record.get("failed") or ", ".join(f"{name} {value:g}" for name, value in record["figures"].items())
        print(f"cell {number} of {len(wanted)}: {cell.name}, {record['budget']}: {shown}", flush=True)
