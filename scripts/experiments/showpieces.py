"""Show-pieces of verifiers: likelihood alone against a game with a verifier, at equal CPU seconds.

    python scripts/experiments/showpieces.py --cells 'levels/*/0' --seconds 1200
    python scripts/experiments/showpieces.py --cells 'equations/*/0' 'expressions/*/0' --seconds 180
    python scripts/experiments/showpieces.py --report --picture docs/showpieces.png

A cell is ``task/method/seed``. ``levels`` are Sokoban levels that a search can win, ``equations`` true sums and
differences of two-digit numbers, ``expressions`` arithmetic expressions of a grammar, with brackets. ``game`` gives the
training its verifier, ``likelihood`` does not; both have the same generator and the same budget.

A budget is CPU seconds of the whole cell: of this process, which has one thread, and of those that run the verifier.
Reading the data and choosing the weights at the end count; `CHOOSING` of the budget is left for both. Where there is no
``/proc``, the verifier's processes count only when they have ended.

Figures are of samples before any rejection. Next to them is what rejection gives: valid samples for each CPU second of
drawing and checking, and how many of those are distinct.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from experiments import sokoban, verifiers
from experiments.cells import Cell, read_records, run_cells
from experiments.laboratory import Table
from experiments.rounds_data import Figures, LevelFigures, TextFigures
from numpy.typing import NDArray

from bgan_discrete import __version__
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.config import ArrayTrainingConfig, ScriptConfig, TextTrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.imaging import image_grid, save_png
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.runs.train import FinishedRun, train
from bgan_discrete.sources.arithmetic import EQUATION_LENGTH
from bgan_discrete.training import course, stopping
from bgan_discrete.training.allocator import keep_freed_memory

COMMAND = "python scripts/experiments/showpieces.py"
EXAMPLES = ("--cells 'levels/*/0' --seconds 1200", "--cells 'equations/game/0' --seconds 180", "--report")
HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "laboratory" / "showpieces.jsonl"
SEEDS = 3
METHODS = ("likelihood", "game")

CHOOSING = 0.05
"""Share of a budget for the data and for the choice among weights after the last step."""

SHOWN = {"levels": 20, "equations": 12, "expressions": 12}
"""Samples that a record holds: the first ones that were drawn."""

EXPRESSIONS, LONGEST = 12_000, 24
"""Texts of the grammar, and characters of one at most."""

Options = Mapping[str, Any]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """Data with a verifier, and the recipe of a game with it.

    Attributes:
        config: The options' class, which is that of a kind of data.
        data: Options; ``{data}`` in a value stands for the folder of data, ``{own}`` for one of the cell.
        verifier: A function of this folder, by the name of its file.
        quality: The name of a divergence from held-out data, among the figures of the kind of data.
        common: Options of both methods.
        start: Share of a game's budget for a training by likelihood, with its own batches, from which the game starts.
        game: Options of the game besides the verifier and those of `GAME`.
    """

    config: type[ScriptConfig]
    data: Options
    verifier: str
    quality: str
    common: Options = field(default_factory=dict)
    start: float = 0.6
    game: Options = field(default_factory=dict)


GAME: dict[str, Any] = {
    "phases": "game", "num_draws": 4, "generator_lr": 3e-4, "discriminator_lr": 1e-3, "adam_beta1": 0.5,
    "ema_decay": 0.98,
}  # fmt: skip
"""The library's own rates in a game after likelihood, but an average that follows a game of few steps."""

TASKS: dict[str, Task] = {
    # A step draws whole levels, sign by sign: small batches, of which there are many.
    "levels": Task(
        ArrayTrainingConfig,
        {"dataset": "{data}/sokoban/train.npy", "holdout": "{data}/sokoban/test.npy"},
        "sokoban.py:won",
        "JSD of 3x3",
        start=0.5,
        game={"batch_size": 16, "generator_lr": 2e-4, "discriminator_lr": 5e-4, "program_processes": 1},
    ),
    "equations": Task(
        TextTrainingConfig,
        {"dataset": "arithmetic", "length": EQUATION_LENGTH},
        "verifiers.py:equations_true",
        "JSD-4",
        {"generator": "causal"},
    ),
    "expressions": Task(
        TextTrainingConfig,
        {"dataset": "{own}/expressions.txt", "length": LONGEST},
        "verifiers.py:expressions_right",
        "JSD-4",
        {"generator": "causal"},
    ),
}

CELLS = tuple(Cell(task, method, seed) for task in TASKS for method in METHODS for seed in range(SEEDS))


class TreeClock:
    """CPU seconds of this process and of its children, read like ``time``."""

    INTERVAL = 1.0
    """Seconds after which living children are read again."""

    def __init__(self) -> None:
        self._living, self._read = 0.0, -self.INTERVAL

    def monotonic(self) -> float:
        """CPU seconds; those of living children may be a second old."""
        if time.monotonic() - self._read >= self.INTERVAL:
            return self.now()
        return self._ended() + self._living

    def now(self) -> float:
        """CPU seconds at this moment."""
        self._living, self._read = sum(_of_living_children()), time.monotonic()
        return self._ended() + self._living

    def _ended(self) -> float:
        return sum(os.times()[:4])

    @contextmanager
    def of_trainings(self) -> Iterator[None]:
        """Let budgets of trainings, and shares of their phases, be read from this clock."""
        modules = [vars(stopping), vars(course)]
        before: list[Any] = [module["time"] for module in modules]
        for module in modules:
            module["time"] = SimpleNamespace(monotonic=self.monotonic)
        try:
            yield
        finally:
            for module, own in zip(modules, before, strict=True):
                module["time"] = own


def _of_living_children() -> Iterator[float]:
    """CPU seconds of each, with those of its own children that have ended."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                yield sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class Laboratory:
    """Trains cells, and measures their models.

    Args:
        data_dir: Folder of the data sets.
        seconds: Of CPU, of a cell.
        count: Samples that are drawn for the figures.
        runs: Folder in which runs stay; None for a temporary one.
    """

    def __init__(self, data_dir: Path, seconds: float, count: int = 1000, runs: Path | None = None) -> None:
        self.data_dir, self.seconds, self.count, self.runs = data_dir, seconds, count, runs
        self.clock = TreeClock()

    def budget(self, cell: Cell) -> str:
        """What a cell may take."""
        return f"{self.seconds:g} s of CPU"

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell."""
        with tempfile.TemporaryDirectory() as scratch, self.clock.of_trainings():
            folder = Path(scratch) if self.runs is None else self.runs / cell.name.replace("/", "_")
            began, wall = self.clock.now(), time.monotonic()
            runs = self._trained(cell, folder, began)
            took, wall = self.clock.now() - began, time.monotonic() - wall
            return {
                "cell": cell.name,
                "budget": self.budget(cell),
                "took": round(took, 1),
                "wall": round(wall, 1),
                "options": {**TASKS[cell.data].common, **self._own(cell)},
                "trainings": [_facts(run) for run in runs],
                "version": __version__,
                "torch": torch.__version__,
                **self._measured(cell, runs[-1], folder),
            }

    def config(self, cell: Cell, folder: Path, name: str, seconds: float, own: Options) -> Any:
        """The options of a training in a subfolder of the cell's."""
        task = TASKS[cell.data]
        of_data = {
            option: value.format(data=self.data_dir, own=folder) if isinstance(value, str) else value
            for option, value in task.data.items()
        }
        always = {
            "output_dir": str(folder / name), "num_samples": 0, "seed": cell.seed, "max_seconds": seconds,
            "max_steps": 10**7, "sample_interval": 0, "checkpoint_interval": 0, "threads": 1, "overwrite": True,
        }  # fmt: skip
        return task.config.from_flat({**of_data, **always, **task.common, **own})

    def _own(self, cell: Cell) -> dict[str, Any]:
        """Options of a cell's last training that are its method's."""
        task = TASKS[cell.data]
        return {**GAME, **task.game, "verifier": task.verifier} if cell.method == "game" else {"phases": "likelihood"}

    def _trained(self, cell: Cell, folder: Path, began: float) -> list[FinishedRun]:
        """One training, of a game two; the last one has what is left of the budget."""
        task, own, runs = TASKS[cell.data], self._own(cell), []
        if cell.data == "expressions":
            folder.mkdir(parents=True, exist_ok=True)
            lines = verifiers.sample_expressions(EXPRESSIONS, LONGEST, seed=0)
            (folder / "expressions.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        whole = self.seconds * (1 - CHOOSING)
        if cell.method == "game":
            own["verifier"] = str(HERE / task.verifier)
            config = self.config(cell, folder, "start", whole * task.start, {"phases": "likelihood"})
            runs.append(_to_its_end(train(config, progress=False)))
            own["start_from"] = str(runs[0].folder.model)
        left = whole - (self.clock.now() - began)
        if left <= 0:
            raise InputError(f"seconds must be more for {cell.name}, whose start took them all, got {self.seconds:g}")
        return [*runs, _to_its_end(train(self.config(cell, folder, "run", left, own), progress=False))]

    def _measured(self, cell: Cell, run: FinishedRun, folder: Path) -> dict[str, Any]:
        """Figures of the model, with what they are compared with, and the first samples."""
        task, pipeline = TASKS[cell.data], run.pipeline
        assert pipeline is not None
        config: Any = self.config(cell, folder, "run", 1.0, {})
        data = pipeline.kind.load(config.data, pipeline.codec)
        measure: Figures = (LevelFigures if cell.data == "levels" else TextFigures)(data, self.count)
        decode = pipeline.kind.decoder(pipeline.codec)

        # 1. What rejection costs: drawing, and asking the verifier.
        began = time.process_time()
        samples = pipeline.generate(self.count, seed=cell.seed)
        drawing = time.process_time() - began
        began = time.process_time()
        is_valid = _verifier(cell)(samples.values)
        checking = time.process_time() - began

        # 2. Samples as they are drawn.
        keys, learnt = _keys(samples.codes), {*_keys(np.asarray(data.codes))}
        distinct_valid = len({key for key, valid in zip(keys, is_valid, strict=True) if valid})
        figures = {
            "valid": float(is_valid.mean()),
            **(_of_levels(samples.values) if cell.data == "levels" else {}),
            "distinct": len({*keys}) / len(keys),
            "of the training": float(np.mean([key in learnt for key in keys])),
            task.quality: measure.figures(samples.codes)[task.quality],
            "valid a second": float(is_valid.sum()) / (drawing + checking),
            "distinct valid a second": distinct_valid / (drawing + checking),
        }

        # 3. The same of real samples.
        heldout = decode(np.asarray(data.heldout_codes)[: self.count])
        references = {
            "valid": float(_verifier(cell)(heldout).mean()),
            **(_of_levels(heldout) if cell.data == "levels" else {}),
            task.quality: measure.references()["floor"][task.quality],
        }
        shown = samples.values[: SHOWN[cell.data]]
        return {
            "count": self.count,
            "drawing": round(drawing, 3),
            "checking": round(checking, 3),
            "figures": {title: round(value, 4) for title, value in figures.items()},
            "references": {title: round(value, 4) for title, value in references.items()},
            "shown": [_as_text(sample) for sample in shown],
            "is valid": is_valid[: len(shown)].tolist(),
        }


def _to_its_end(run: FinishedRun) -> FinishedRun:
    if run.exit_code:
        raise SystemExit(run.exit_code)  # an interrupted training is no result
    return run


def _verifier(cell: Cell) -> Any:
    file, _, function = TASKS[cell.data].verifier.partition(".py:")
    return vars({"sokoban": sokoban, "verifiers": verifiers}[file])[function]


def _of_levels(levels: NDArray[Any]) -> dict[str, float]:
    """What the verifier cannot say alone: the counts, and a search that opens ten times as many states."""
    exact, won = sokoban.counts_right(levels), sokoban.solved(levels)
    return {"exact counts": float(exact.mean()), "won in the long search": float(won.mean())}


def _keys(codes: NDArray[Any]) -> list[bytes]:
    return [row.tobytes() for row in codes.astype(np.uint8).reshape(len(codes), -1)]


def _as_text(sample: Any) -> str:
    """A text as it is; a level as rows of digits."""
    return sample if isinstance(sample, str) else "/".join("".join(map(str, row)) for row in sample.tolist())


def _facts(run: FinishedRun) -> dict[str, Any]:
    """How a training went, and which weights it kept."""
    facts = json.loads(RunFolder(run.folder.root).facts.read_text(encoding="utf-8"))
    of_course = {name: facts["course"][name] for name in ("choice", "verdicts", "phase_steps", "looks")}
    return {
        "steps": run.summary.steps,
        "stopped by": run.summary.stopped_by,
        "seconds": round(run.summary.seconds, 1),
        "judge": facts.get("judge"),
        **of_course,
    }


INTRODUCTION = """# Show-pieces of verifiers

Likelihood alone against a game with a verifier, at equal CPU seconds of everything: data, training, verifier, choice of
the weights. Samples before any rejection; the last two columns are what rejection gives for each CPU second of drawing
and checking. `kept` are the weights that became the model, with what the judge said of the start of the game, of its
best weights and of training data in their place; and, of an anchored game, the aim: mean log validity less the
divergence from the start, in nats. Examples are the first that were drawn; a cross is before each that is not valid.
"""


def render(records: Sequence[Record]) -> str:
    """The report in Markdown, of records alone."""
    lines = [INTRODUCTION]
    for task in TASKS:
        of_task = _ordered([record for record in records if record["cell"].startswith(f"{task}/")])
        if of_task:
            lines += [f"## {task.capitalize()}", "", _table(of_task).markdown(), ""]
            lines += [line for record in of_task for line in _examples(record)] if task != "levels" else []
    return "\n".join(lines)


def _ordered(records: Sequence[Record]) -> list[Record]:
    def place(record: Record) -> tuple[float, int, str]:
        _, method, seed = record["cell"].split("/")
        return float(record["budget"].split()[0]), METHODS.index(method), seed

    return sorted(records, key=place)


def _table(records: Sequence[Record]) -> Table:
    titles = [*records[-1]["figures"]]
    rows = []
    for record in records:
        steps = " + ".join(f"{count:,}" for count in _steps(record))
        figures = [_shown(title, record["figures"][title]) for title in titles]
        rows.append([record["cell"], f"{record['took']:.0f}", steps, *figures, _choice(record["trainings"][-1])])
    references = records[-1]["references"]
    real = [_shown(title, references[title]) if title in references else "" for title in titles]
    columns = ["cell", "CPU s", "steps", *titles, "kept"]
    return Table("", columns, [*rows, ["real samples", "", "", *real, ""]])


def _shown(title: str, value: float) -> str:
    return f"{value:,.0f}" if title.endswith("a second") else f"{value:.3f}"


def _steps(record: Record) -> list[int]:
    """Of likelihood, and of what came after it."""
    return [training["steps"] for training in record["trainings"]]


def _choice(training: Record) -> str:
    verdicts = training["verdicts"]
    parts = [f"{name} {verdicts[name][0]:.3f}" for name in ("start", "best", "floor") if name in verdicts]
    aims = [f"{name} {verdicts[name][2]:.2f}" for name in ("start", "best") if len(verdicts.get(name, ())) > 2]
    said = [f"{training['judge']}: {', '.join(parts)}"] if parts else []
    return "; ".join([training["choice"] or "last", *said, *([f"aim: {', '.join(aims)}"] if aims else [])])


def _examples(record: Record) -> list[str]:
    marked = [
        f"{' ' if valid else 'x'} {text}" for text, valid in zip(record["shown"], record["is valid"], strict=True)
    ]
    return [f"`{record['cell']}`:", "", "```text", *marked, "```", ""]


COLOURS = np.array([(234, 226, 208), (74, 78, 88), (200, 130, 60), (106, 168, 79), (58, 98, 190)], np.uint8)
"""Of floor, wall, box, goal and player, as in the pictures of levels elsewhere."""

SIGN, FRAME, WRONG = 8, 2, (214, 48, 49)
"""Pixels of a sign and of a frame, and the colour of a frame."""


def picture(records: Sequence[Record], columns: int = 10) -> NDArray[np.uint8]:
    """The shown levels of likelihood, and below them those of the game; those that are not won are framed."""
    newest = {record["cell"].split("/")[1]: record for record in _ordered(records) if record["cell"].endswith("/0")}
    blocks = [newest[method] for method in METHODS if method in newest]
    if not blocks:
        raise InputError("a picture needs records of levels with seed 0, got none; run --cells 'levels/*/0'")
    grids = []
    for record in blocks:
        levels = [np.array([[*map(int, row)] for row in text.split("/")]) for text in record["shown"]]
        drawn = [_drawn(level, valid) for level, valid in zip(levels, record["is valid"], strict=True)]
        grids.append(image_grid(np.stack(drawn), columns, scale=1))
    gap = np.full((SIGN, grids[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for grid in grids for part in (gap, grid)][1:])


def _drawn(level: NDArray[Any], is_valid: bool) -> NDArray[np.uint8]:
    """A level: boxes are squares, goals diamonds, the player a disc."""
    ruler = np.abs(np.arange(SIGN) - (SIGN - 1) / 2)
    down, right = ruler[:, None], ruler[None]
    shapes = {
        sokoban.BOX: np.maximum(down, right) < SIGN / 2 - 1,
        sokoban.GOAL: down + right < SIGN / 2,
        sokoban.PLAYER: down**2 + right**2 < (SIGN / 2 - 0.5) ** 2,
    }
    image = COLOURS[np.where(level == sokoban.WALL, sokoban.WALL, sokoban.FLOOR)].repeat(SIGN, 0).repeat(SIGN, 1)
    for code, shape in shapes.items():
        image[np.kron(level == code, shape)] = COLOURS[code]
    image = np.pad(image, ((FRAME, FRAME), (FRAME, FRAME), (0, 0)), constant_values=COLOURS[sokoban.WALL][0])
    if not is_valid:
        for side in (np.s_[:FRAME], np.s_[-FRAME:], np.s_[:, :FRAME], np.s_[:, -FRAME:]):
            image[side] = WRONG
    return image


def main() -> int:
    """Run cells, render the report, draw the picture."""
    parser = Parser("Likelihood against a game with a verifier, on levels and texts.", EXAMPLES, COMMAND)
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help="task/method/seed, globs")
    parser.add_argument("--seconds", type=float, default=180.0, help="CPU seconds of a cell (default: 180)")
    parser.add_argument("--count", type=int, default=1000, help="samples that are measured (default: 1000)")
    parser.add_argument("--report", action="store_true", help="print all results as tables")
    parser.add_argument("--picture", default=None, metavar="PNG", help="draw the levels of the results, into a file")
    parser.add_argument("--list", action="store_true", help="print the names of all cells")
    parser.add_argument("--data", default="../shared/data", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--runs", default=None, help="folder in which runs stay (default: a temporary one)")
    parser.add_argument("--results", default=str(RESULTS), help="the results file (default: docs/laboratory/)")
    values = parser.values(sys.argv[1:])
    results = Path(values["results"])
    keep_freed_memory()
    if values["list"]:
        print("\n".join(cell.name for cell in CELLS))
    if values["cells"]:
        torch.set_num_threads(1)
        runs = None if values["runs"] is None else Path(values["runs"])
        laboratory = Laboratory(Path(values["data"]), values["seconds"], values["count"], runs)
        run_cells(values["cells"], laboratory, results, CELLS)
    if values["report"]:
        print(render(read_records(results)))
    if values["picture"]:
        levels = [record for record in read_records(results) if record["cell"].startswith("levels/")]
        save_png(picture(levels), values["picture"])
    return 0


if __name__ == "__main__":
    run_script(main)
