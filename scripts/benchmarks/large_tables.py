"""Large tables, made from a seed by a tree of columns: train on one within memory and time, sample, compare.

Each verb of ``bgan`` runs in a process of its own, whose most memory and CPU seconds are printed, a line of JSON each.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import BGANError

COMMAND = "python scripts/benchmarks/large_tables.py"
EXAMPLES = ("--table rows --max-seconds 600 --folder large", "--table columns --rows 2000 --max-seconds 20")

CELLS_AT_ONCE = 2_000_000
HOLDOUT = 10_000


class Table(NamedTuple):
    """Rows, and the fewest and most categories of each column; of the first one, where it has a number of its own."""

    rows: int
    columns: int
    sizes: tuple[int, int]
    first: int | None = None


TABLES = {
    "rows": Table(1_000_000, 30, (2, 40)),
    "categories": Table(300_000, 10, (2, 40), 100_000),
    "columns": Table(10_000, 2_000, (2, 4)),
}


class Tree:
    """Columns of which each depends on an earlier one: what a Chow-Liu tree can learn, with weights of its own.

    Args:
        table: How many columns, and how large.
        rng: Source of the tree.
    """

    def __init__(self, table: Table, rng: np.random.Generator) -> None:
        sizes = rng.integers(table.sizes[0], table.sizes[1] + 1, table.columns)
        if table.first is not None:
            sizes[0] = table.first
        # Near columns depend on each other; the categories of a wide one fall into a few groups that others depend on.
        self.sizes = sizes
        self.parents = np.array([-1, *(max(0, place - int(rng.integers(1, 6))) for place in range(1, len(sizes)))])
        self.groups = [np.minimum(np.arange(size), rng.integers(40, size=size)) for size in sizes]
        counts = [40 if parent >= 0 else 1 for parent in self.parents]
        self.ends = []
        for size, count in zip(sizes, counts, strict=True):
            weights = rng.gamma(0.4, size=(count, size)) + 1e-3 if size < 1000 else 1 / (10 + np.arange(size))[None]
            self.ends.append(np.cumsum(weights / weights.sum(1, keepdims=True), axis=1))

    def rows(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Codes ``[count, columns]``."""
        codes = np.zeros((count, len(self.sizes)), np.int64)
        for place, parent in enumerate(self.parents):
            group = self.groups[parent][codes[:, parent]] if parent >= 0 else np.zeros(count, np.int64)
            # One search for all: the ends of group g are those of a distribution function from g to g + 1.
            ends = (self.ends[place] + np.arange(len(self.ends[place]))[:, None]).ravel()
            drawn = np.searchsorted(ends, rng.random(count) + group, side="right") - group * self.sizes[place]
            codes[:, place] = np.clip(drawn, 0, self.sizes[place] - 1)
        return codes


def write_rows(path: Path, tree: Tree, count: int, rng: np.random.Generator) -> None:
    """Rows of a tree as a CSV file of text."""
    names = [f"v{code}" for code in range(int(tree.sizes.max()))]
    at_once = max(1, CELLS_AT_ONCE // len(tree.sizes))
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(f"c{place}" for place in range(len(tree.sizes))) + "\n")
        for start in range(0, count, at_once):
            for row in tree.rows(min(at_once, count - start), rng).tolist():
                file.write(",".join([names[code] for code in row]) + "\n")


def timed(words: list[str], folder: Path) -> dict[str, Any]:
    """Run a verb of ``bgan`` in a process of its own: its seconds, CPU seconds and most memory in GB."""
    started = time.monotonic()
    log = folder / f"{words[0]}.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bgan_discrete", *words], stdout=file, stderr=subprocess.STDOUT, env=os.environ
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BGANError(f"bgan {words[0]} ended with {process.returncode}: {log.read_text(encoding='utf-8')[-1000:]}")
    return {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "gigabytes": round(usage.ru_maxrss * 1024 / 1e9, 2),
    }


def likelihood_rate(run: Path, batch_size: int) -> float:
    """Rows a second of a run's steps, the median of what it wrote; NaN if it wrote nothing."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rates = [json.loads(line).get("steps_per_second", np.nan) * batch_size for line in lines]
    return float(np.nanmedian(rates)) if rates else float("nan")


def main() -> int:
    """Parse, make the table, run each verb, print a line for each."""
    parser = Parser("Train on a large table, sample and compare.", EXAMPLES, COMMAND)
    parser.add_argument("--table", choices=list(TABLES), default="rows", help="what is large about it")
    parser.add_argument(
        "--rows", type=int, default=None, metavar="INT", help="training rows (default: the table's own)"
    )
    parser.add_argument("--folder", type=str, default="large_tables", metavar="DIR", help="where tables and runs go")
    parser.add_argument("--seed", type=int, default=0, metavar="INT", help="of tree, rows and training")
    parser.add_argument("--max-seconds", type=float, default=600.0, metavar="FLOAT", help="of the training")
    parser.add_argument("--batch-size", type=int, default=1024, metavar="INT", help="rows of a step of the training")
    parser.add_argument("--samples", type=int, default=20_000, metavar="INT", help="rows to sample and compare")
    parser.add_argument("--options", type=str, default="", metavar="WORDS", help="further options of bgan train")
    options = parser.values(sys.argv[1:])
    table = TABLES[options["table"]]
    folder = Path(options["folder"]) / options["table"]
    folder.mkdir(parents=True, exist_ok=True)
    training, heldout, samples = (folder / f"{name}.csv" for name in ("training", "heldout", "samples"))
    rng = np.random.default_rng(options["seed"])
    tree = Tree(table, rng)
    if not heldout.exists():
        write_rows(training, tree, options["rows"] or table.rows, rng)
        write_rows(heldout, tree, HOLDOUT, rng)

    run = folder / "run"
    words = ["train", "--dataset", str(training), "--output-dir", str(run), "--seed", str(options["seed"])]
    words += ["--max-seconds", str(options["max_seconds"]), "--max-steps", "1000000", "--overwrite"]
    words += ["--batch-size", str(options["batch_size"]), "--log-interval", "20"]
    if table.first is not None:
        words += ["--column", f"c0=category:{table.first}"]
    steps = {
        "train": [*words, *options["options"].split()],
        "generate": ["generate", "--model", str(run / "model"), "--num-samples", str(options["samples"])],
        "evaluate": ["evaluate", "--real", str(training), "--synthetic", str(samples), "--holdout", str(heldout)],
    }
    steps["generate"] += ["--output", str(samples)]
    steps["evaluate"] += ["--output", str(folder / "report.json")]
    for name, verb in steps.items():
        figures = timed(verb, folder)
        if name == "train":
            figures["rows_per_second"] = round(likelihood_rate(run, options["batch_size"]))
        print(json.dumps({"table": options["table"], "verb": name, **figures}), flush=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"table": options["table"], "most_gigabytes": round(usage.ru_maxrss * 1024 / 1e9, 2)}))
    return 0


if __name__ == "__main__":
    run_script(main)
