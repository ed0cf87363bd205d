"""Whole runs of the training program: its defaults and what they were chosen among, and whether a game is worth it.

    python scripts/experiments/defaults.py --cells 'adult/default/*' --seconds 180
    python scripts/experiments/defaults.py --report

A cell is ``data set/variant/seed``; a variant is what is given besides the data and the budget, nothing for
``default``. Of each run three generators are measured by what no training sees: the ``kept`` one, which is the model,
and, where they are in its last checkpoint, the ``start`` of the game and the ``best`` of the game. Figures are those of
the table of rounds; ``classifier`` is the AUC, on samples that it has not seen, of a classifier of another kind than
the judge that chose: a logistic regression on n-grams of characters, or a network on one-hots. Its noise is the
standard error over splits.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from experiments import rounds
from experiments.cells import Cell, read_records, run_cells
from experiments.laboratory import Table
from experiments.rounds_data import Figures, ImageFigures, LevelFigures, TableFigures, TextFigures
from experiments.rounds_report import mean_of
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from bgan_discrete import __version__
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.config import ArrayTrainingConfig, ImageTrainingConfig, ScriptConfig, TextTrainingConfig
from bgan_discrete.game.players import Generator
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.runs.train import train
from bgan_discrete.training.allocator import keep_freed_memory
from bgan_discrete.training.checkpoint import find_checkpoint, load_checkpoint

COMMAND = "python scripts/experiments/defaults.py"
EXAMPLES = ("--cells 'adult/default/*' --seconds 180", "--cells 'captions/gru_*/0' --seconds 150", "--report")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "laboratory" / "defaults.jsonl"
SEEDS = 3
SPLITS = 3

Options = Mapping[str, Any]
Record = Mapping[str, Any]


def _ngram_classifier() -> Any:
    grams = HashingVectorizer(analyzer="char", ngram_range=(1, 5), n_features=2**18, lowercase=False)
    return make_pipeline(grams, LogisticRegression(C=30.0, max_iter=300))


def _network_classifier() -> Any:
    network = MLPClassifier((128,), early_stopping=True, n_iter_no_change=5, max_iter=60, random_state=0)
    return make_pipeline(OneHotEncoder(handle_unknown="ignore"), network)


@dataclass(frozen=True)
class DataSet:
    """Data, as a user names them, and how samples of them are measured.

    Attributes:
        config: The options' class, which is that of a kind of data.
        options: ``{data}`` in a value stands for the folder of the data.
        figures: (data, count) -> figures.
        classifier: Makes it.
        samples: On each side of a comparison, at most.
    """

    config: type[ScriptConfig]
    options: Options
    figures: Callable[[Any, int], Figures]
    classifier: Callable[[], Any]
    samples: int = 2000


def _table(name: str) -> DataSet:
    files = {"dataset": f"{{data}}/tables/{name}_train.csv", "holdout": f"{{data}}/tables/{name}_test.csv"}
    return DataSet(ArrayTrainingConfig, {**files, "bins": 20, "missing": "?"}, TableFigures, _network_classifier, 5000)


def _text(options: Options) -> DataSet:
    return DataSet(TextTrainingConfig, options, TextFigures, _ngram_classifier)


WINDOWS = {"layout": "window", "length": 32}
DATA_SETS: dict[str, DataSet] = {
    "captions": _text({"dataset": "{data}/captions/train.txt", "holdout": "{data}/captions/test.txt", **WINDOWS}),
    "news": _text({"dataset": "{data}/news/train.txt", **WINDOWS}),
    "docs": _text({"dataset": "python-docs", **WINDOWS}),
    "arithmetic": _text({"dataset": "arithmetic"}),
    "adult": _table("adult"),
    "mushroom": _table("mushroom"),
    "nursery": _table("nursery"),
    "sokoban": DataSet(
        ArrayTrainingConfig,
        {"dataset": "{data}/sokoban/train.npy", "holdout": "{data}/sokoban/test.npy"},
        LevelFigures,
        _network_classifier,
        1000,
    ),
    "digits": DataSet(ImageTrainingConfig, {"dataset": "digits"}, ImageFigures, _network_classifier),
}

FINISHED = {"phases": "likelihood=0.7,discriminator=0.05,game"}


@dataclass(frozen=True)
class Variant:
    """Options that a run is given besides its data, budget and seed, and the data sets that it is for."""

    data: str
    options: Options = field(default_factory=dict)


TEXTS, TABLES = "captions news docs arithmetic", "adult mushroom nursery"
VARIANTS: dict[str, Variant] = {
    "default": Variant(" ".join(DATA_SETS)),
    "finished": Variant(f"{TEXTS} {TABLES} sokoban", FINISHED),
    "likelihood": Variant(f"{TEXTS} {TABLES} sokoban", {"phases": "likelihood"}),
    "one_shot": Variant(TEXTS, {"generator": "conv", "phases": "game"}),
    "one_shot_rows": Variant(f"{TABLES} sokoban", {"generator": "mlp", "phases": "likelihood"}),
}
for _generator, _width, _depth, _batch in (
    ("gru", 128, 3, 32),
    ("gru", 256, 1, 32),
    ("gru", 256, 1, 64),
    ("gru", 256, 1, 128),
    ("gru", 256, 2, 64),
    ("gru", 512, 1, 64),
    ("causal", 64, 3, 32),
    ("causal", 96, 3, 16),
    ("causal", 96, 3, 32),
    ("causal", 96, 3, 64),
    ("causal", 128, 3, 32),
    ("causal", 128, 3, 64),
    ("causal", 128, 3, 128),
    ("causal", 256, 2, 64),
    ("causal", 256, 2, 256),
    ("causal", 512, 2, 256),
    ("causal", 256, 4, 256),
):
    VARIANTS[f"{_generator}_{_width}_{_depth}_{_batch}"] = Variant(
        TEXTS if _generator == "gru" else f"{TEXTS} {TABLES} sokoban",
        {
            "generator": _generator,
            "generator_width": _width,
            "generator_depth": _depth,
            "batch_size": _batch,
            "phases": "likelihood",
        },
    )


CELLS: tuple[Cell, ...] = tuple(
    Cell(data, name, seed)
    for data in DATA_SETS
    for name, variant in VARIANTS.items()
    if data in variant.data.split()
    for seed in range(SEEDS)
)


class Laboratory:
    """Runs cells, each in a folder of its own that is deleted afterwards, and measures what they leave.

    Args:
        data_dir: Folder of the data sets.
        seconds: Of a training, of the wall.
        threads: Of a run.
    """

    def __init__(self, data_dir: Path, seconds: float, threads: int) -> None:
        self.data_dir, self.seconds, self.threads = data_dir, seconds, threads

    def budget(self, cell: Cell) -> str:
        """What the training of a cell may take."""
        return f"{self.seconds:g} s, {self.threads} thread{'s' * (self.threads > 1)}"

    def config(self, cell: Cell, folder: Path) -> Any:
        """The options of a run."""
        dataset = DATA_SETS[cell.data]
        of_data = {
            name: value.format(data=self.data_dir) if isinstance(value, str) else value
            for name, value in dataset.options.items()
        }
        own = {
            "output_dir": str(folder), "num_samples": 0, "seed": cell.seed, "max_seconds": self.seconds,
            "max_steps": 10**6, "sample_interval": 0, "checkpoint_interval": 0, "threads": self.threads,
        }  # fmt: skip
        return dataset.config.from_flat({**of_data, **own, **VARIANTS[cell.method].options})

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell."""
        with tempfile.TemporaryDirectory() as folder:
            config = self.config(cell, Path(folder) / "run")
            began = time.monotonic()
            run = train(config, progress=False)
            took = time.monotonic() - began
            saved = load_checkpoint(find_checkpoint(run.folder.checkpoints, "latest"), torch.device("cpu"))
            facts = json.loads(RunFolder(run.folder.root).facts.read_text(encoding="utf-8"))
        pipeline: Any = run.pipeline
        data = pipeline.kind.load(config.data, pipeline.codec)
        dataset = DATA_SETS[cell.data]
        measure = dataset.figures(data, dataset.samples)
        found: dict[str, dict[str, float]] = {"kept": self._figures(cell, pipeline.generator, data, measure)}
        for name, kept in saved["kept"].items():
            if name == facts["course"]["choice"]:
                found[name] = found["kept"]
                continue
            pipeline.generator.load_state_dict(kept["generator"])
            found[name] = self._figures(cell, pipeline.generator, data, measure)
        course = facts["course"]
        return {
            "cell": cell.name,
            "budget": self.budget(cell),
            "seconds": self.seconds,
            "options": dict(VARIANTS[cell.method].options),
            "generator": config.to_flat()["generator"],
            "phases": config.phases,
            "steps": facts["training"]["steps"],
            "stopped_by": facts["training"]["stopped_by"],
            "took": round(took, 1),
            "course": {name: course[name] for name in ("choice", "verdicts", "phase_steps")},
            "seconds_of_looks": round(float(saved["seconds_of_looks"]), 2),
            "count": measure.count,
            "version": __version__,
            "torch": torch.__version__,
            "found": {name: {title: round(v, 4) for title, v in values.items()} for name, values in found.items()},
            "figures": {title: round(value, 4) for title, value in found["kept"].items()},
            "references": {
                name: {title: round(v, 4) for title, v in values.items()}
                for name, values in measure.references().items()
            },
        }

    def _figures(self, cell: Cell, generator: Generator, data: Any, measure: Figures) -> dict[str, float]:
        codes, heldout = rounds.draw(generator, measure.count, cell.seed), np.asarray(data.heldout_codes)
        values = _told_apart(cell, codes, heldout[: measure.count], data.codec)
        noise = float(np.std(values, ddof=1)) / math.sqrt(SPLITS)
        return {**measure.figures(codes), "classifier": float(np.mean(values)), "noise": noise}


def _told_apart(cell: Cell, samples: Any, heldout: Any, codec: Any) -> list[float]:
    """AUC of the classifier on a third of samples and held-out data, for each of the thirds."""
    sides = [samples.reshape(len(samples), -1), heldout.reshape(len(heldout), -1)]
    if DATA_SETS[cell.data].config is TextTrainingConfig:
        sides = [np.array(codec.decode(side), object) for side in (samples, heldout)]
    inputs, is_real = np.concatenate(sides), np.arange(sum(map(len, sides))) >= len(samples)
    values = []
    for learnt, asked in StratifiedKFold(SPLITS, shuffle=True, random_state=0).split(inputs, is_real):
        classifier = DATA_SETS[cell.data].classifier().fit(inputs[learnt], is_real[learnt])
        values.append(float(roc_auc_score(is_real[asked], classifier.predict_proba(inputs[asked])[:, 1])))
    return values


INTRODUCTION = """# Defaults

Whole runs of the training program. `default` is without any option but the data's, the budget and the seed. Figures are
means ± standard deviations over seeds, by judges that no training sees: `kept` is the model, `start` the weights that
the game began with, `best` the game's best. `classifier` is the AUC of a classifier of another kind than the judge
that chose, 0.5 being the best. The floor has real samples in the place of a model's, at the same count.
"""


def render(records: Sequence[Record]) -> str:
    """The report in Markdown."""
    lines = [INTRODUCTION]
    for name in DATA_SETS:
        of_data = [record for record in records if record["cell"].split("/")[0] == name]
        lines += _of_data(name, of_data) if of_data else []
    return "\n".join([*lines, *_never_worse(records)])


def _of_data(name: str, records: Sequence[Record]) -> list[str]:
    rows: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        rows.setdefault((record["budget"], record["cell"].split("/")[1]), []).append(record)
    titles = list(records[-1]["figures"])
    cells = [
        [label, "", "", "", "", *(f"{values[title]:.3f}" if title in values else "" for title in titles)]
        for label, values in records[-1]["references"].items()
    ]
    for (budget, variant), found in sorted(rows.items()):
        steps = f"{np.mean([record['steps'] for record in found]):.0f}"
        seeds = ", ".join(sorted(record["cell"].split("/")[-1] for record in found))
        for which in ("kept", "start", "best"):
            of_which = [record["found"][which] for record in found if which in record["found"]]
            if of_which:
                figures = [mean_of([values.get(title) for values in of_which]) for title in titles]
                cells.append([variant, which, budget, steps, seeds, *figures])
    table = Table(name, ["variant", "weights", "budget", "steps", "seeds", *titles], cells)
    return [f"## {name}", "", f"{records[-1]['count']:,} samples.", "", table.markdown(), ""]


def _never_worse(records: Sequence[Record]) -> list[str]:
    """The kept weights against the game's start, by the classifier, where a game was played."""
    rows = []
    for record in records:
        found = record["found"]
        if "start" not in found or "best" not in found:
            continue
        kept, start = found["kept"], found["start"]
        noise = math.hypot(kept["noise"], start["noise"])
        verdicts = record["course"]["verdicts"]
        judged = " / ".join(f"{verdicts[name][0]:.3f}" if name in verdicts else "-" for name in ("start", "best"))
        figures = [f"{start[t]:.3f} / {found['best'][t]:.3f}" for t in list(kept)[:1]]
        cells = [record["cell"], record["course"]["choice"], judged, *figures]
        rows.append([*cells, f"{start['classifier']:.3f}", f"{kept['classifier']:.3f}", f"{noise:.3f}"])
    titles = ["run", "kept", "its judge, start / game", "figure, start / game", "classifier, start", "kept"]
    table = Table("kept against start", [*titles, "noise"], rows)
    return ["## Kept against start", "", table.markdown(), ""] if rows else []


def main() -> int:
    """Run cells, or render the report."""
    parser = Parser("Run the training program with its defaults and with other options.", EXAMPLES, COMMAND)
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help="data set/variant/seed, globs")
    parser.add_argument("--seconds", type=float, default=180.0, help="of a training (default: 180)")
    parser.add_argument("--threads", type=int, default=1, help="of a run (default: 1)")
    parser.add_argument("--report", action="store_true", help="print all results as tables")
    parser.add_argument("--list", action="store_true", help="print the names of all cells")
    parser.add_argument("--data", default="../shared/data", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--results", default=str(RESULTS), help="the results file (default: docs/laboratory/)")
    values = parser.values(sys.argv[1:])
    results = Path(values["results"])
    keep_freed_memory()
    if values["list"]:
        print("\n".join(cell.name for cell in CELLS))
    if values["cells"]:
        laboratory = Laboratory(Path(values["data"]), values["seconds"], values["threads"])
        run_cells(values["cells"], laboratory, results, CELLS)
    if values["report"]:
        print(render(read_records(results)))
    return 0


if __name__ == "__main__":
    run_script(main)
