"""This project's synthesizers of tables, called as those of others are (`synthesizers_peers.py`), in a process each.

    python scripts/experiments/synthesizers_own.py default train.csv synthetic.csv --seconds 120 --missing '?'

- ``default``: ``bgan train`` without any option but the budget, the seed, a thread and the sign of a missing value.
- ``game``: the same budget with a game behind likelihood; the rows are those of the game's best weights, whatever the
  judge says of them, or of the model's where no game was played.
- ``chow_liu``: a tree of columns, over the codes that ``default`` has.
- ``independent``: each column drawn by itself, from its training values.

The training's clock counts CPU seconds here, so that its budget and the shares of its phases do, on a busy machine too.
Preparing the columns counts; writing the pages of a run, its pictures and samples does not.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from bgan_discrete import __version__
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.config import ArrayTrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.kinds.kind import Samples
from bgan_discrete.kinds.registry import get_kind
from bgan_discrete.metrics.chow_liu import ChowLiuTree
from bgan_discrete.models.pipeline import Pipeline
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.runs.train import train
from bgan_discrete.training import course, stopping
from bgan_discrete.training.allocator import keep_freed_memory
from bgan_discrete.training.checkpoint import find_checkpoint, load_checkpoint

COMMAND = "python scripts/experiments/synthesizers_own.py"
EXAMPLES = ("default train.csv synthetic.csv --seconds 120",)
JUDGING = 5.0
"""CPU seconds of the budget for the judge that chooses among weights after the last step."""

FINISHED = {"phases": "likelihood=0.7,discriminator=0.05,game"}


@dataclass
class Task:
    """What a method is given; ``progress`` is what it did.

    Attributes:
        config: Options of a training on the training rows, whose budget is the method's.
        data: The training rows, prepared.
        prepared: CPU seconds that this took.
        progress: Facts for the record.
    """

    config: ArrayTrainingConfig
    data: Any
    prepared: float
    progress: dict[str, Any] = field(default_factory=dict)


Sampler = Callable[[int], Samples]


def fit_default(task: Task) -> tuple[Sampler, float]:
    """Train, and draw from the model."""
    pipeline, seconds, _ = _trained(task)
    return lambda count: pipeline.generate(count, seed=task.config.training.seed), seconds


def fit_game(task: Task) -> tuple[Sampler, float]:
    """Train, with a game, and draw from the best of its weights."""
    pipeline, seconds, saved = _trained(task)
    if "best" in saved["kept"]:
        pipeline.generator.load_state_dict(saved["kept"]["best"]["generator"])
    task.progress["rows of"] = "game" if "best" in saved["kept"] else "model"
    return lambda count: pipeline.generate(count, seed=task.config.training.seed), seconds


def fit_chow_liu(task: Task) -> tuple[Sampler, float]:
    """Count pairs, and draw along the tree."""
    began = time.process_time()
    codes, codec = task.data.codes, task.data.codec
    tree = ChowLiuTree(codes, task.data.space.sizes or (task.data.space.num_categories,) * codes.shape[1])
    seconds = time.process_time() - began
    rng = np.random.default_rng(task.config.training.seed)

    def sample(count: int) -> Samples:
        drawn = tree.sample(count, rng)
        return Samples(drawn, get_kind("arrays").decoder(codec, "inside", rng)(drawn))

    return sample, seconds


def fit_independent(task: Task) -> tuple[Sampler, float]:
    """Nothing to fit: columns are drawn with replacement."""
    rng = np.random.default_rng(task.config.training.seed)

    def sample(count: int) -> Samples:
        codes = np.stack([column[rng.integers(len(column), size=count)] for column in task.data.codes.T], axis=1)
        return Samples(codes, get_kind("arrays").decoder(task.data.codec, "inside", rng)(codes))

    return sample, 0.0


VARIANTS: dict[str, dict[str, Any]] = {
    "batch_256": {"batch_size": 256},
    "bins_128": {"bins": 128},
    "bins_256": {"bins": 256},
    "bins_256_batch_256": {"bins": 256, "batch_size": 256},
}
"""What the defaults were chosen among."""

METHODS: dict[str, Callable[[Task], tuple[Sampler, float]]] = {
    "default": fit_default,
    **dict.fromkeys(VARIANTS, fit_default),
    "game": fit_game,
    "chow_liu": fit_chow_liu,
    "independent": fit_independent,
}

OPTIONS: dict[str, dict[str, Any]] = {"game": FINISHED, **VARIANTS}
"""Of a training, where a method has some."""


def _trained(task: Task) -> tuple[Pipeline, float, dict[str, Any]]:
    """The model, the CPU seconds of its training, and its last checkpoint."""
    clock: Any = SimpleNamespace(monotonic=time.process_time)
    for module in (stopping, course):
        vars(module)["time"] = clock
    run = train(task.config, progress=False)
    assert run.pipeline is not None
    saved = load_checkpoint(find_checkpoint(run.folder.checkpoints, "latest"), torch.device("cpu"))
    facts = json.loads(RunFolder(run.folder.root).facts.read_text(encoding="utf-8"))
    task.progress |= {
        "steps": run.summary.steps,
        "stopped by": run.summary.stopped_by,
        "choice": facts["course"]["choice"],
        "verdicts": facts["course"]["verdicts"],
        "judging": round(float(saved["seconds_of_looks"]), 1),
    }
    return run.pipeline, run.summary.seconds, saved


def synthesize(
    name: str, train_file: Path, output: Path, folder: Path, seconds: float, seed: int, missing: str | None
) -> dict[str, Any]:
    """Fit a method and write as many rows as there are.

    Args:
        name: One of `METHODS`.
        train_file: The training rows.
        output: The CSV to write.
        folder: Of the run; its ``model`` stays.
        seconds: CPU seconds of preparing and training.
        seed: Of all that is drawn.
        missing: The sign of a missing value.

    Returns:
        What it took.
    """
    # Nothing is held out: figures are measured elsewhere, by rows that this process never sees.
    options: dict[str, Any] = {
        "dataset": str(train_file), "holdout": str(train_file), "missing": missing, "output_dir": str(folder),
        "seed": seed, "threads": 1, "num_samples": 0, "max_steps": 10**7, "overwrite": True, **OPTIONS.get(name, {}),
    }  # fmt: skip
    began = time.process_time()
    kind, config = get_kind("arrays"), ArrayTrainingConfig.from_flat({**options, "max_seconds": seconds})
    data = kind.load(config.data)
    prepared = time.process_time() - began
    left = seconds - prepared - JUDGING
    if left <= 0:
        raise InputError(f"seconds must be above {prepared + JUDGING:.1f}, for columns and judge, got {seconds:g}")
    config = ArrayTrainingConfig.from_flat({**options, "max_seconds": left})
    task = Task(config, data, prepared)
    sample, fitted = METHODS[name](task)
    began = time.process_time()
    drawn = sample(len(data.codes))
    took = time.process_time() - began
    kind.write([drawn], output, len(data.codes), data.codec)
    versions = {"bgan-discrete": __version__, "torch": torch.__version__}
    facts = {"fit": round(prepared + fitted, 1), "sample": round(took, 1), "progress": task.progress}
    return {**facts, "versions": versions}


def main() -> int:
    """Fit and draw, and say what it took."""
    parser = Parser("Synthetic rows by this project's own methods.", EXAMPLES, COMMAND)
    parser.add_argument("method", choices=[*METHODS])
    parser.add_argument("train", help="a CSV")
    parser.add_argument("output", help="the CSV to write")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU seconds of the fit (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--missing", default=None, help="the sign of a missing value")
    parser.add_argument("--folder", default=None, help="of the run (default: a temporary one)")
    values = parser.values(sys.argv[1:])
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(values["folder"] or scratch) / "run"
        arguments: Sequence[Any] = [values[name] for name in ("seconds", "seed", "missing")]
        facts = synthesize(values["method"], Path(values["train"]), Path(values["output"]), folder, *arguments)
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    run_script(main)
