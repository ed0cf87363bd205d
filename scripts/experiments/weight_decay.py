"""How much a generator should forget while it learns by likelihood: held-out nats by the lifetime of its weights.

    python scripts/experiments/weight_decay.py --cells 'adult/*/0' 'captions/*/0' --steps 4000 --files some.csv

A cell is ``data set/lifetime/seed``; a lifetime is ``none``, or epochs and steps of which the more count, in which
weights that no gradient holds fall to 1/e; ``flat`` is without what codes of a scale share. The data sets are those of
`defaults.py`, and files of rows, by their names. Each run is the training program's, by likelihood alone, with that
many steps; its figures are the fewest nats of the rows that are kept back, the step at which they were found and the
nats of the last look. Seconds are of the CPU.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from experiments.cells import Cell, read_records, run_cells
from experiments.defaults import DATA_SETS
from experiments.laboratory import Table

from bgan_discrete import __version__
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.config import ArrayTrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.nn import residual
from bgan_discrete.runs.train import train
from bgan_discrete.training import phases
from bgan_discrete.training.checkpoint import find_checkpoint, load_checkpoint

COMMAND = "python scripts/experiments/weight_decay.py"
EXAMPLES = ("--cells 'adult/*/0' --steps 4000", "--report")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "laboratory" / "weight_decay.jsonl"
LIFETIMES = {"none": (1e9, 0), "4_1600": (4, 1600), "4_1600_flat": (4, 1600)}
SEEDS = 3


class Laboratory:
    """Trains by likelihood.

    Args:
        data_dir: Folder of the data sets.
        files: Of rows; their names without ``.csv`` are those of the data sets.
        steps: Of a training.
    """

    def __init__(self, data_dir: Path, files: list[Path], steps: int) -> None:
        self.data_dir, self.files, self.steps = data_dir, {file.stem: file for file in files}, steps

    def budget(self, cell: Cell) -> str:
        """What a training may take."""
        return f"{self.steps} steps"

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell."""
        own = {
            "num_samples": 0, "seed": cell.seed, "max_steps": self.steps, "threads": 1, "phases": "likelihood",
            "sample_interval": 0, "checkpoint_interval": 0,
        }  # fmt: skip
        began, usual = time.process_time(), (phases.FORGETTING, residual.SMOOTH_FROM)
        try:
            phases.FORGETTING = LIFETIMES[cell.method]  # type: ignore[assignment]
            if cell.method.endswith("flat"):
                residual.SMOOTH_FROM = sys.maxsize
            with tempfile.TemporaryDirectory() as folder:
                run = train(self._config(cell.data, {**own, "output_dir": f"{folder}/run"}), progress=False)
                saved = load_checkpoint(find_checkpoint(run.folder.checkpoints, "latest"), torch.device("cpu"))
        finally:
            phases.FORGETTING, residual.SMOOTH_FROM = usual
        looks = saved["course"]["looks"]
        if not looks:
            raise InputError(f"steps must be enough for a look at rows that are kept back, got {self.steps}")
        best = min(looks, key=lambda look: look["value"])
        return {
            "cell": cell.name,
            "budget": self.budget(cell),
            "stopped_by": run.summary.stopped_by,
            "steps": saved["step"],
            "cpu_seconds": round(time.process_time() - began, 1),
            "version": __version__,
            "torch": torch.__version__,
            "figures": {
                "nats": round(best["value"], 4),
                "noise": round(best["noise"], 4),
                "at": best["step"],
                "last": round(looks[-1]["value"], 4),
            },
        }

    def _config(self, data: str, own: Mapping[str, Any]) -> Any:
        if data in self.files:
            return ArrayTrainingConfig.from_flat({"dataset": str(self.files[data]), **own})
        dataset = DATA_SETS[data]
        given = {
            name: value.format(data=self.data_dir) if isinstance(value, str) else value
            for name, value in dataset.options.items()
        }
        return dataset.config.from_flat({**given, **own})


def render(records: list[dict[str, Any]]) -> str:
    """The report in Markdown."""
    rows = [
        [*record["cell"].split("/"), record["budget"], f"{record['figures']['nats']:.3f}", str(record["figures"]["at"]),
         f"{record['figures']['last']:.3f}"]
        for record in records
    ]  # fmt: skip
    return Table("", ["data", "lifetime", "seed", "budget", "held-out nats", "at step", "last look"], rows).markdown()


def main() -> int:
    """Run cells, or render the report."""
    parser = Parser("Weight decay of likelihood.", EXAMPLES, COMMAND)
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help="data set/lifetime/seed, globs")
    parser.add_argument("--steps", type=int, default=4000, help="of a training (default: 4000)")
    parser.add_argument("--files", nargs="+", default=[], metavar="CSV", help="further data sets")
    parser.add_argument("--list", action="store_true", help="print the names of all cells")
    parser.add_argument("--report", action="store_true", help="print all results as a table")
    parser.add_argument("--data", default="../shared/data", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--results", default=str(RESULTS), help="the results file (default: docs/laboratory/)")
    values: Mapping[str, Any] = parser.values(sys.argv[1:])
    files, results = [Path(name) for name in values["files"]], Path(values["results"])
    torch.set_num_threads(1)
    names = [*DATA_SETS, *(file.stem for file in files)]
    cells = [Cell(name, method, seed) for name in names for method in LIFETIMES for seed in range(SEEDS)]
    if values["list"]:
        print("\n".join(cell.name for cell in cells))
    if values["cells"]:
        run_cells(values["cells"], Laboratory(Path(values["data"]), files, values["steps"]), results, cells)
    if values["report"]:
        print(render(read_records(results)))
    return 0


if __name__ == "__main__":
    run_script(main)
