"""The table of rounds: one network by likelihood and by the game, drawn in S rounds, plainly and resampled.

    python scripts/experiments/rounds.py --cells 'captions/likelihood/*/0' --seconds 300
    python scripts/experiments/rounds.py --report

A cell is ``data set/training/S/sampling/seed``; sampling is ``plain`` or ``C4``, which keeps one of 4 candidates of
each round. Its line in the results file holds its figures, with their floor and baselines. Trainings are kept in a
cache folder: cells that differ in the sampling share one, and so do all S of a masked network by likelihood. Budgets
are CPU seconds of this process, which has one thread, so that a busy machine changes a figure little; or steps.
"""

import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from experiments import rounds_report, rounds_speed
from experiments.cells import append_record, read_records, run_cells
from experiments.rounds_data import DATA_SETS, Figures
from experiments.rounds_training import (
    LATENT_SIZE,
    TRAININGS,
    Clock,
    Likelihood,
    Play,
    by_game,
    by_likelihood,
    latents_of,
    make_discriminator,
    make_generator,
    starts_of,
)
from torch import Tensor

from bgan_discrete import __version__
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.nn import GRUGenerator
from bgan_discrete.training.allocator import keep_freed_memory

COMMAND = "python scripts/experiments/rounds.py"
EXAMPLES = ("--cells 'captions/likelihood/*/0' --seconds 300", "--report")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "laboratory" / "rounds.jsonl"
DRAWN_AT_ONCE = 512
HIDDEN = "halves"
"""What masked networks learn from in their own order: ``halves``, or, in earlier records, ``uniform`` counts."""

SCORED = 256
"""Samples whose log-likelihood is taken, and latents of its mixture."""


@dataclass(frozen=True)
class Cell:
    """One figure of the table; ``candidates`` is C, 1 for plain sampling."""

    data: str
    training: str
    rounds: int
    candidates: int
    seed: int

    @property
    def name(self) -> str:
        """``data/training/S/sampling/seed``."""
        sampling = "plain" if self.candidates == 1 else f"C{self.candidates}"
        return f"{self.data}/{self.training}/{self.rounds}/{sampling}/{self.seed}"

    @property
    def trained_as(self) -> str:
        """The training behind it: resampling a generator that is trained by likelihood needs a discriminator."""
        return "choice" if self.training == "likelihood" and self.candidates > 1 else self.training


def cells(data: str, trainings: str, rounds: str, candidates: str = "1", seeds: int = 3) -> list[Cell]:
    """All combinations, each argument with spaces between its values."""
    return [
        Cell(data, training, int(s), int(c), seed)
        for training in trainings.split()
        for s in rounds.split()
        for c in candidates.split()
        for seed in range(seeds)
    ]


CELLS: tuple[Cell, ...] = (
    *cells("captions", "likelihood game alone", "1 2 4 8 16 32", "1 4 16"),
    *cells("captions", "causal gru", "32"),
    *cells("captions", "trunk fresh", "4", seeds=1),
    *cells("sokoban", "likelihood game alone", "1 2 4 8 10 16 25", "1 4 16"),
    *cells("sokoban", "likelihood causal", "100"),
    *cells("sokoban_equal", "likelihood game", "4 10 25", "1 4 16"),
    *cells("sokoban_raster", "likelihood game", "4 10 25", "1 4 16"),
    *cells("adult", "likelihood game alone", "1 2 4 8 15", "1 4 16"),
    *cells("adult", "causal", "15"),
    *cells("news", "likelihood game", "1 2 4 8 16", "1 4"),
    *cells("news", "causal gru", "16"),
    *cells("mushroom", "likelihood game", "1 2 4 8 23", "1 4"),
    *cells("mushroom", "causal", "23"),
    *cells("nursery", "likelihood game", "1 2 4 9", "1 4"),
    *cells("nursery", "causal", "9"),
    *cells("digits", "likelihood game", "1 2 4 8 16 64", "1 4"),
    *cells("mnist", "likelihood game", "1 2 4 8 16 64", "1 4"),
    *cells("cifar10", "likelihood game", "1 2 4 8 16 64", "1 4"),
)


@dataclass(frozen=True)
class Spending:
    """How long trainings may take, in CPU seconds or steps.

    Attributes:
        own: Of a cell's own training.
        start: Of the training by likelihood from which that of the game starts, in addition.
        in_steps: Whether both are steps.
    """

    own: float
    start: float
    in_steps: bool = False

    def total(self, cell: Cell) -> float:
        """Of all trainings behind a cell."""
        return self.own + (self.start if starts_of(cell.trained_as) else 0)

    def describe(self, cell: Cell) -> str:
        """``300 s`` or ``300 + 300 s``."""
        unit = "steps" if self.in_steps else "s"
        return f"{self.start:g} + {self.own:g} {unit}" if starts_of(cell.trained_as) else f"{self.own:g} {unit}"


class Laboratory:
    """Trains what cells need, keeps it, and measures the cells.

    Args:
        data_dir: Folder of the data sets.
        cache: Folder of the trained weights; each file can be deleted at any time.
        spending: How long trainings take.
    """

    def __init__(self, data_dir: Path, cache: Path, spending: Spending) -> None:
        self.cache, self.spending = cache, spending
        self.data = functools.cache(lambda name: DATA_SETS[name].load(data_dir))
        self.figures = functools.cache(self._figures)
        self.references = functools.cache(lambda name: self.figures(name).references())

    def _figures(self, name: str) -> Figures:
        return DATA_SETS[name].figures(self.data(name), DATA_SETS[name].samples)

    def trained(self, cell: Cell, training: str) -> dict[str, Any]:
        """Weights of a training, and facts of it; of a file of the cache where there is one."""
        plan, dataset, data = TRAININGS[training], DATA_SETS[cell.data], self.data(cell.data)
        is_start = training == "likelihood" and starts_of(cell.trained_as)
        amount = self.spending.start if is_start else self.spending.own
        path = self.cache / f"{self._key(cell, training)}-{amount:g}{'steps' * self.spending.in_steps}.pt"
        if path.is_file():
            kept: dict[str, Any] = torch.load(path, weights_only=True)
            return kept
        start = self.trained(cell, "likelihood") if starts_of(training) else None
        torch.manual_seed(cell.seed)
        clock = Clock(amount, self.spending.in_steps)
        if isinstance(plan, Likelihood):
            made = by_likelihood(dataset, data, plan, cell.rounds, cell.seed, clock)
        else:
            made = by_game(dataset, data, plan, cell.rounds, cell.seed, clock, start)
        made |= {"steps": clock.steps, "seconds": round(clock.seconds, 1)}
        self.cache.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        torch.save(made, temporary)
        temporary.replace(path)
        return made

    def _key(self, cell: Cell, training: str) -> str:
        """What the weights of a training depend on, but for its budget."""
        plan, dataset = TRAININGS[training], DATA_SETS[cell.data]
        is_for_all = isinstance(plan, Likelihood) and plan.network == "masked"
        facts: list[Any] = [HIDDEN, asdict(plan), dataset.network, dataset.order, dict(dataset.sizes), LATENT_SIZE]
        if not is_for_all:
            facts += [dataset.cut, dataset.discriminator, dataset.credit]
        if starts_of(training):
            facts += [asdict(TRAININGS["likelihood"]), self.spending.start]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
        # Data sets that differ in the cut alone share a training by likelihood.
        return f"{cell.data.split('_')[0]}-{training}-{'all' if is_for_all else cell.rounds}-{cell.seed}-{digest}"

    def budget(self, cell: Cell) -> str:
        """What all trainings behind a cell may take."""
        return self.spending.describe(cell)

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell."""
        plan, dataset = TRAININGS[cell.trained_as], DATA_SETS[cell.data]
        measure = self.figures(cell.data)
        record: dict[str, Any] = {
            "cell": cell.name,
            "budget": self.budget(cell),
            "total": self.spending.total(cell),
            "settings": {
                **asdict(plan),
                "hidden": HIDDEN,
                "generator": dataset.network,
                "order": dataset.order,
                "cut": dataset.cut,
                "sizes": dict(dataset.sizes),
            },
            "count": measure.count,
            "version": __version__,
            "torch": torch.__version__,
        }
        try:
            trained = self.trained(cell, cell.trained_as)
        except NonFiniteError as error:
            return {**record, "failed": str(error)}
        generator = make_generator(dataset, self.data(cell.data), plan.network, cell.rounds)
        generator.load_state_dict(trained["generator"])
        choice = None
        if isinstance(plan, Play):
            choice = make_discriminator(dataset, self.data(cell.data), plan)
            choice.load_state_dict(trained["discriminator"])
        began = time.process_time()
        codes = draw(generator, measure.count, cell.seed, choice, cell.candidates)
        drawing = time.process_time() - began
        figures = measure.figures(codes)
        if cell.candidates == 1:
            heldout = np.asarray(self.data(cell.data).heldout_codes[:SCORED])
            figures["nats of held-out"] = negative_log_prob(generator, heldout)
            figures["nats of own"] = negative_log_prob(generator, codes[:SCORED])
        return {
            **measured(record, trained, figures, self.references(cell.data)),
            "passes": cell.rounds,
            "samples_per_second": round(measure.count / max(drawing, 1e-9), 1),
            "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        }


def measured(
    record: Mapping[str, Any],
    trained: Mapping[str, Any],
    figures: Mapping[str, float],
    references: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """A record with what its training took, its figures and those of floor and baselines."""
    return {
        **record,
        "steps": trained["steps"],
        "trained": trained["seconds"],
        "seen": trained["seen"],
        "figures": {name: round(value, 4) for name, value in figures.items()},
        "references": {
            name: {title: round(value, 4) for title, value in values.items()} for name, values in references.items()
        },
    }


@torch.no_grad()
def draw(
    generator: Generator,
    count: int,
    seed: int,
    choice: Discriminator | None = None,
    candidates: int = 1,
    among: Tensor | None = None,
) -> np.ndarray:
    """Samples ``[count, *event_shape]``; of C candidates of each round one is kept by the discriminator.

    Latents are drawn, or taken ``among [L, Z]``.
    """
    rng, batches, at_once = torch.Generator().manual_seed(1000 + seed), [], max(DRAWN_AT_ONCE // candidates, 1)
    resampler = None if choice is None else Resampler(choice, candidates)
    with at_rest(generator):
        for first in range(0, count, at_once):
            distribution: Any = generator(latents_of(generator, min(at_once, count - first) * candidates, rng, among))
            if resampler is None or candidates == 1:
                batches.append(distribution.sample(1, rng)[0])
            else:
                batches.append(resampler.draw_in_rounds(distribution, rng))
    return torch.cat(batches).numpy()


@torch.no_grad()
def negative_log_prob(generator: Generator, codes: np.ndarray, among: Tensor | None = None) -> float:
    """Nats a sample, by a mixture over latents, which is at least the true figure, and equal for all there are."""
    rng, rows = torch.Generator().manual_seed(0), torch.from_numpy(np.ascontiguousarray(codes))
    is_gru = isinstance(generator, GRUGenerator)
    with at_rest(generator):
        drawn = draw_latents(generator, len(rows) if is_gru else SCORED, rng) if among is None else among
        distribution: Any = generator(drawn)
        log_prob = distribution.log_prob(rows[None]) if is_gru else distribution.mixture_log_prob(rows)
    return -float(log_prob.mean())


def make_parser(description: str, examples: Sequence[str], command: str, form: str, results: Path) -> Parser:
    """The flags of a table of cells.

    Args:
        description: See `Parser`, and so the next two.
        examples: Arguments that work.
        command: By which it is called.
        form: Of the names of cells.
        results: The results file by default.
    """
    parser = Parser(description, examples, command)
    parser.add_argument("--cells", nargs="+", default=[], metavar="PATTERN", help=f"{form}, globs")
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds of a training (default: 300)")
    parser.add_argument("--start", type=float, default=None, help="of a likelihood start (default: as --seconds)")
    parser.add_argument("--steps", action="store_true", help="take both budgets as steps")
    parser.add_argument("--report", action="store_true", help="print all results as tables")
    parser.add_argument("--list", action="store_true", help="print the names of all cells")
    parser.add_argument("--data", default="../shared/data", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--cache", default="runs/rounds", help="folder of trained weights (default: runs/rounds)")
    parser.add_argument("--results", default=str(results), help="the results file (default: docs/laboratory/)")
    return parser


def spending_of(values: Mapping[str, Any]) -> Spending:
    """The budgets of a command line.

    Raises:
        InputError: If one is not above 0.
    """
    start = values["seconds"] if values["start"] is None else values["start"]
    if not min(values["seconds"], start) > 0:
        raise InputError(f"seconds and start must be above 0, got {values['seconds']:g} and {start:g}")
    return Spending(values["seconds"], start, values["steps"])


def main() -> int:
    """Run cells, measure speeds, or render the report."""
    form = "data/training/S/sampling/seed"
    parser = make_parser("Run cells of the table of rounds, or render it.", EXAMPLES, COMMAND, form, RESULTS)
    parser.add_argument("--speed", action="store_true", help="measure passes, samples a second and steps of the game")
    values = parser.values(sys.argv[1:])
    spending, results = spending_of(values), Path(values["results"])
    torch.set_num_threads(1)
    keep_freed_memory()
    if values["list"]:
        print("\n".join(cell.name for cell in CELLS))
    if values["cells"]:
        laboratory = Laboratory(Path(values["data"]), Path(values["cache"]), spending)
        run_cells(values["cells"], laboratory, results, CELLS)
    if values["speed"]:
        append_record(results, rounds_speed.measure(Path(values["data"])))
    if values["report"]:
        print(rounds_report.render(read_records(results)))
    return 0


if __name__ == "__main__":
    run_script(main)
