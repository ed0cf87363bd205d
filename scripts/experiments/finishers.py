"""Finishers compared: what may follow a training by likelihood, each at the cost of more likelihood.

    python scripts/experiments/finishers.py --cells 'nursery_2/*/0' --start 60 --seconds 60
    python scripts/experiments/finishers.py --report

A cell is ``data set/finisher/seed``; the data set is one of the table of rounds, followed by the rounds or by
``causal``, which is column by column. ``start`` is the training by likelihood that all finishers begin with, ``twin``
one of the same total budget. The figures are those of the table of rounds, by judges that no training sees.

- ``game_ESTIMATOR``: the game at a small rate, with averaged weights.
- ``anchored``: the generator's step follows the sum of the game's loss and likelihood's.
- ``generations``: the generator is frozen, a discriminator trained to its held-out best, draws weighed by it and
  fitted; a judge on rows that are kept back accepts the result, or the next generation begins where this one did.
- ``implicit``: the discriminator is the generator's log-ratio to an earlier self, and there is no other network.
"""

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from experiments import rounds
from experiments.cells import Cell, read_records, run_cells
from experiments.finishers_game import Finish, Task, by_play, plays_rounds
from experiments.finishers_generations import Generations, by_generations
from experiments.finishers_implicit import Implicit, by_implicit
from experiments.laboratory import Table
from experiments.rounds_data import DATA_SETS
from experiments.rounds_report import BETTER, compared, mean_of
from experiments.rounds_training import TRAININGS, Clock, make_generator

from bgan_discrete import __version__
from bgan_discrete.command_line import run_script
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.estimators import ESTIMATORS
from bgan_discrete.training.allocator import keep_freed_memory

COMMAND = "python scripts/experiments/finishers.py"
EXAMPLES = ("--cells 'nursery_2/*/0' --start 60 --seconds 60", "--report")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "laboratory" / "finishers.jsonl"
SEEDS = 3

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """A data set with a generator for it.

    Attributes:
        data: A key of `DATA_SETS`.
        training: By likelihood, a key of `TRAININGS`.
        rounds: S.
    """

    data: str
    training: str
    rounds: int


SETUPS: dict[str, Setup] = {
    "captions_4": Setup("captions", "likelihood", 4),
    "captions_2": Setup("captions", "likelihood", 2),
    "nursery_causal": Setup("nursery", "causal", 9),
    "nursery_2": Setup("nursery", "likelihood", 2),
    "adult_causal": Setup("adult", "causal", 15),
    "adult_2": Setup("adult", "likelihood", 2),
    "sokoban_10": Setup("sokoban", "likelihood", 10),
    "digits_4": Setup("digits", "likelihood", 4),
}


@dataclass(frozen=True)
class Finisher:
    """A training from a start by likelihood, and its settings, a dataclass of plain values."""

    train: Callable[[Task, Any], dict[str, Any]]
    settings: Any


FINISHERS: dict[str, Finisher] = {
    **{f"game_{name}": Finisher(by_play, Finish(estimator=name)) for name in ESTIMATORS if plays_rounds(name)},
    "anchored": Finisher(by_play, Finish(anchor=1.0)),
    "generations": Finisher(by_generations, Generations()),
    "implicit": Finisher(by_implicit, Implicit()),
}
"""The game with each estimator that can be played in rounds, and three others."""


CELLS: tuple[Cell, ...] = tuple(
    Cell(setup, finisher, seed)
    for setup in SETUPS
    for finisher in ("start", "twin", *FINISHERS)
    for seed in range(SEEDS)
)


class Laboratory:
    """Trains starts and twins, which are kept in the cache of the table of rounds, finishes and measures.

    Args:
        data_dir: Folder of the data sets.
        cache: Folder of the trained weights by likelihood.
        spending: How long a start and a finisher take.
    """

    def __init__(self, data_dir: Path, cache: Path, spending: rounds.Spending) -> None:
        self.spending, self.rounds = spending, rounds.Laboratory(data_dir, cache, spending)

    def total(self, cell: Cell) -> float:
        """Of all trainings behind a cell."""
        return self.spending.start + (0 if cell.method == "start" else self.spending.own)

    def budget(self, cell: Cell) -> str:
        """``60 s`` of likelihood, or ``60 + 60 s`` with a finisher."""
        unit = "steps" if self.spending.in_steps else "s"
        if cell.method in FINISHERS:
            return f"{self.spending.start:g} + {self.spending.own:g} {unit}"
        return f"{self.total(cell):g} {unit}"

    def by_likelihood(self, cell: Cell, amount: float) -> dict[str, Any]:
        """Weights after so much of likelihood, and facts of the training."""
        setup, laboratory = SETUPS[cell.data], copy.copy(self.rounds)
        laboratory.spending = replace(self.spending, own=amount)
        wanted = rounds.Cell(setup.data, setup.training, setup.rounds, 1, cell.seed)
        return laboratory.trained(wanted, setup.training)

    def trained(self, cell: Cell) -> dict[str, Any]:
        """The weights of a cell, and facts of its last training."""
        if cell.method not in FINISHERS:
            return self.by_likelihood(cell, self.total(cell))
        setup, finisher = SETUPS[cell.data], FINISHERS[cell.method]
        start, data = self.by_likelihood(cell, self.spending.start), self.rounds.data(setup.data)
        network = TRAININGS[setup.training].network
        torch.manual_seed(cell.seed)
        clock = Clock(self.spending.own, self.spending.in_steps)
        task = Task(DATA_SETS[setup.data], data, network, setup.rounds, cell.seed, clock, start["generator"])
        made = finisher.train(task, finisher.settings)
        return {**made, "steps": clock.steps, "seconds": round(clock.seconds, 1)}

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell."""
        setup, measure = SETUPS[cell.data], self.rounds.figures(SETUPS[cell.data].data)
        plan = TRAININGS[setup.training]
        settings = asdict(FINISHERS[cell.method].settings if cell.method in FINISHERS else plan)
        record: dict[str, Any] = {
            "cell": cell.name,
            "budget": self.budget(cell),
            "total": self.total(cell),
            "start": self.spending.start,
            "settings": settings,
            "count": measure.count,
            "version": __version__,
            "torch": torch.__version__,
        }
        try:
            trained = self.trained(cell)
        except NonFiniteError as error:
            return {**record, "failed": str(error)}
        data, among = self.rounds.data(setup.data), trained.get("latents")
        generator = make_generator(DATA_SETS[setup.data], data, plan.network, setup.rounds)
        generator.load_state_dict(trained["generator"])
        codes = rounds.draw(generator, measure.count, cell.seed, among=among)
        heldout = np.asarray(data.heldout_codes[: rounds.SCORED])
        figures = {
            **measure.figures(codes),
            "nats of held-out": rounds.negative_log_prob(generator, heldout, among),
            "nats of own": rounds.negative_log_prob(generator, codes[: rounds.SCORED], among),
        }
        return rounds.measured(record, trained, figures, self.rounds.references(setup.data))


INTRODUCTION = """# Finishers

What may follow a training by likelihood: `start` is that training, `twin` the same one with the budget of start and
finisher together. Figures are means ± standard deviations over seeds, by judges that no training sees; a budget is in
CPU seconds of one thread, or in steps, and contains all that a finisher does, its own judge included. The floor has
real samples in the place of a model's, at the same count. The entropies are in bits; nats of held-out and of the
model's own samples are by a mixture over latents, and at least the true ones, but for `implicit`, where they are exact.
"""


def render(records: Sequence[Record]) -> str:
    """The report in Markdown."""
    lines = [INTRODUCTION]
    for name in SETUPS:
        of_setup = [record for record in records if record["cell"].split("/")[0] == name]
        lines += _of_setup(name, of_setup) if of_setup else []
    return "\n".join(lines)


def _of_setup(name: str, records: Sequence[Record]) -> list[str]:
    rows: dict[tuple[float, str, str], list[Record]] = {}
    for record in records:
        if "figures" in record:
            rows.setdefault((record["total"], record["cell"].split("/")[1], record["budget"]), []).append(record)
    failed = [f"- {record['cell']}, {record['budget']}: {record['failed']}" for record in records if "failed" in record]
    if not rows:
        return [f"## {name}", "", *failed, ""]
    last = next(reversed(rows.values()))[-1]
    titles = list(last["figures"])
    cells = [
        [label, "", "", "", *(f"{values[title]:.3f}" if title in values else "" for title in titles)]
        for label, values in last["references"].items()
    ]
    for (_, finisher, budget), found in sorted(rows.items(), key=lambda row: (row[0][0], _place(row[0][1]))):
        steps = f"{np.mean([record['steps'] for record in found]):.0f}"
        seeds = ", ".join(sorted(record["cell"].split("/")[-1] for record in found))
        figures = [mean_of([record["figures"].get(title) for record in found]) for title in titles]
        cells.append([finisher, budget, steps, seeds, *figures])
    table = Table(name, ["finisher", "budget", "steps", "seeds", *titles], cells)
    setup = SETUPS[name]
    facts = (
        f"S = {setup.rounds}, {TRAININGS[setup.training].network}; {last['count']:,} samples; torch {last['torch']}."
    )
    return [f"## {name}", "", facts, "", table.markdown(), "", *_findings(rows), *failed, ""]


def _place(finisher: str) -> int:
    """Of a row: likelihood first."""
    names = ["start", "twin", *FINISHERS]
    return names.index(finisher) if finisher in names else len(names)


def _findings(rows: Mapping[tuple[float, str, str], Sequence[Record]]) -> list[str]:
    """Each finisher against its start and its twin."""
    lines = []
    for (total, finisher, budget), found in rows.items():
        totals = {} if finisher in ("start", "twin") else {"start": found[0]["start"], "twin": total}
        for (other_total, other, other_budget), records in rows.items():
            in_same_unit = budget.split()[-1] == other_budget.split()[-1]
            if not in_same_unit or totals.get(other) != other_total:
                continue
            for title in [title for title in BETTER if title in found[0]["figures"]]:
                lines.append(f"- {budget}: {compared(finisher, title, found, records, other, '')}")
    return lines


def main() -> int:
    """Run cells, or render the report."""
    form = "data set/finisher/seed"
    parser = rounds.make_parser("Compare finishers of a likelihood start.", EXAMPLES, COMMAND, form, RESULTS)
    values = parser.values(sys.argv[1:])
    spending, results = rounds.spending_of(values), Path(values["results"])
    torch.set_num_threads(1)
    keep_freed_memory()
    if values["list"]:
        print("\n".join(cell.name for cell in CELLS))
    if values["cells"]:
        laboratory = Laboratory(Path(values["data"]), Path(values["cache"]), spending)
        run_cells(values["cells"], laboratory, results, CELLS)
    if values["report"]:
        print(render(read_records(results)))
    return 0


if __name__ == "__main__":
    run_script(main)
