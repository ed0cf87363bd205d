"""The table of rounds: one network by likelihood and by the game, drawn in S rounds, plainly and resampled.

    python scripts/experiments/rounds.py --cells 'captions/likelihood/*/0' --seconds 300
    python scripts/experiments/rounds.py --report

A cell is ``data set/training/S/sampling/seed``; sampling is ``plain`` or ``C4``, which keeps one of 4 candidates of
each round. Its line in the results file holds its figures, with their floor and baselines. Trainings are kept in a
cache folder: cells that differ in the sampling share one, and so do all S of a masked network by likelihood. Budgets
are CPU seconds of this process, which has one thread, so that a busy machine changes a figure little; or steps.
"""

import datetime
import fnmatch
import functools
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from experiments.rounds_data import DATA_SETS, DataSet, Figures
from torch import Tensor

from bgan_discrete import __version__
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.distributions.orders import ranks_by_information
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.credit import make_credit
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.players import Discriminator, Generator, Players
from bgan_discrete.game.resampling import sample_log_ratios
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.game.step import adversarial_step, discriminator_step
from bgan_discrete.metrics import log_frequencies
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvDiscriminator,
    ConvSequenceDiscriminator,
    GRUGenerator,
    MLPDiscriminator,
)
from bgan_discrete.nn.transformers import CausalTransformerGenerator, MaskedTransformerGenerator
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.average import MovingAverage
from bgan_discrete.training.batches import BatchOrder

COMMAND = "python scripts/experiments/rounds.py"
EXAMPLES = ("--cells 'captions/likelihood/*/0' --seconds 300", "--report")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "laboratory" / "rounds.jsonl"
LATENT_SIZE = 64
DRAWN_AT_ONCE = 512
SCORED = 256
"""Samples whose log-likelihood is taken, and latents of its mixture."""

MASKED: dict[str, Callable[..., Generator]] = {"transformer": MaskedTransformerGenerator}
"""Of a space, with rounds, order, cut and sizes."""

DISCRIMINATORS: dict[str, Callable[[SampleSpace], Discriminator]] = {
    "alternatives": lambda space: AlternativesDiscriminator(space, width=128, depth=3, partial=True),
    "sequence": lambda space: ConvSequenceDiscriminator(space, width=128, depth=2, partial=True),
    "mlp": lambda space: MLPDiscriminator(space, width=256, depth=2, partial=True),
    "conv": lambda space: ConvDiscriminator(space, width=32, depth=1, partial=True),
}


@dataclass(frozen=True)
class Likelihood:
    """A training by maximum likelihood.

    Attributes:
        network: ``masked``, one training for every S; ``causal``, one for each S; or ``gru``, which has rounds of one
            position.
    """

    network: str = "masked"
    lr: float = 2e-3
    batch_size: int = 64
    latents: int = 32
    is_game = False


@dataclass(frozen=True)
class Play:
    """A training by the game, in three parts of its budget: discriminator alone, game, discriminator alone again.

    The last part has the averaged generator, whose samples the discriminator then resamples.

    Attributes:
        starts: From the weights of the training ``likelihood``; else at the data's frequencies.
        alone: Share of the budget of the first part.
        after: Share of the budget of the last part.
        credit: None for that of the data set.
        discriminator: None for that of the data set.
        draws: M; of the credit ``alternatives`` one draw is enough.
    """

    starts: bool = True
    alone: float = 0.15
    after: float = 0.1
    generator_lr: float = 2e-4
    discriminator_lr: float = 1e-3
    beta1: float = 0.5
    batch_size: int = 64
    estimator: str = "jeffreys"
    credit: str | None = None
    discriminator: str | None = None
    draws: int | None = None
    penalty_weight: float = 0.1
    penalty_interval: int = 4
    average: float = 0.999
    is_game = True


Training = Likelihood | Play

TRAININGS: dict[str, Training] = {
    "likelihood": Likelihood(),
    "causal": Likelihood("causal"),
    "gru": Likelihood("gru"),
    "game": Play(),
    "alone": Play(starts=False, alone=0.0, generator_lr=2e-3, discriminator_lr=2e-3, beta1=0.0, penalty_weight=0.3),
    # A frozen likelihood generator with a discriminator: what resampling alone brings.
    "choice": Play(alone=1.0, after=0.0),
}


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
    *cells("digits", "likelihood game", "1 2 4 8", "1 4"),
    *cells("mnist", "likelihood game", "1 2 4 8", "1 4"),
    *cells("cifar10", "likelihood game", "1 2 4 8", "1 4"),
)


@dataclass(frozen=True)
class Spending:
    """How long a training may take: CPU seconds, or steps where there are any; ``start`` is that of a likelihood start.

    A training of the game has a budget of its own, in addition to that of its start.
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


def starts_of(training: str) -> bool:
    """Whether a training begins with the weights of ``likelihood``."""
    plan = TRAININGS[training]
    return isinstance(plan, Play) and plan.starts


class Clock:
    """What of a budget is used up, in ``[0, 1]``."""

    def __init__(self, amount: float, in_steps: bool) -> None:
        self.amount, self.in_steps = amount, in_steps
        self.steps, self.began = 0, time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds since the start."""
        return time.process_time() - self.began

    @property
    def share(self) -> float:
        """Of the budget."""
        return min((self.steps if self.in_steps else self.seconds) / self.amount, 1.0)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, share: float) -> None:
    """A short rise, constant until half of the budget is used up, then down to 2 %."""
    factor = min(1.0, share / 0.02 + 0.02) * (1.0 if share < 0.5 else 1 - 0.98 * (2 * share - 1))
    for group in optimizer.param_groups:
        group["lr"] = rate * factor


def make_generator(dataset: DataSet, codes: Any, space: SampleSpace, network: str, rounds: int) -> Generator:
    """A new network; ``masked``, ``causal`` or ``gru``."""
    sizes = dict(dataset.sizes)
    if network == "gru":
        return GRUGenerator(space, LATENT_SIZE, width=256)
    if network == "causal":
        sizes = {key: value for key, value in sizes.items() if key in ("width", "depth", "heads")}
        return CausalTransformerGenerator(space, LATENT_SIZE, rounds=rounds, **sizes)
    generator: Any = MASKED[dataset.network](
        space, LATENT_SIZE, rounds=rounds, order=dataset.order, cut=dataset.cut, **sizes
    )
    if dataset.order == "information":
        generator.set_order(ranks_by_information(codes, space.num_categories))
    return generator  # type: ignore[no-any-return]


class Laboratory:
    """Trains what cells need, keeps it, and measures the cells.

    Args:
        data_dir: Folder of the data sets.
        cache: Folder of the trained weights; each file can be deleted at any time.
        spending: How long trainings take.
    """

    def __init__(self, data_dir: Path, cache: Path, spending: Spending) -> None:
        self.data_dir, self.cache, self.spending = data_dir, cache, spending
        self.data = functools.cache(lambda name: DATA_SETS[name].load(data_dir))
        self.references = functools.cache(lambda name: self.figures(name).references())

    @functools.cached_property
    def _figures(self) -> dict[str, Figures]:
        return {}

    def figures(self, name: str) -> Figures:
        """What measures samples of a data set."""
        if name not in self._figures:
            self._figures[name] = DATA_SETS[name].figures(self.data(name), DATA_SETS[name].samples)
        return self._figures[name]

    # Trainings.

    def trained(self, cell: Cell, training: str) -> dict[str, Any]:
        """Weights of a training, and facts of it; of a file of the cache where there is one."""
        plan, dataset = TRAININGS[training], DATA_SETS[cell.data]
        is_for_all = isinstance(plan, Likelihood) and plan.network == "masked"
        starts = starts_of(training)
        amount = self.spending.start if training == "likelihood" and starts_of(cell.trained_as) else self.spending.own
        rounds = "all" if is_for_all else cell.rounds
        facts = [training, asdict(plan), dataset.network, dataset.order, dict(dataset.sizes), LATENT_SIZE]
        if not is_for_all:
            facts += [dataset.cut, dataset.discriminator, dataset.credit]
        if starts:
            facts += [asdict(TRAININGS["likelihood"]), self.spending.start]
        digest = hashlib.sha256(json.dumps([*facts, self.spending.in_steps], sort_keys=True).encode()).hexdigest()[:8]
        data = cell.data.split("_")[0]
        path = self.cache / f"{data}-{training}-{rounds}-{cell.seed}-{amount:g}-{digest}.pt"
        if path.is_file():
            kept: dict[str, Any] = torch.load(path, weights_only=True)
            return kept
        start = self.trained(cell, "likelihood") if starts else None
        torch.manual_seed(cell.seed)
        clock = Clock(amount, self.spending.in_steps)
        made = self._by_likelihood(cell, plan, clock) if isinstance(plan, Likelihood) else self._by_game(
            cell, plan, clock, start
        )  # fmt: skip
        made |= {"steps": clock.steps, "seconds": round(clock.seconds, 1)}
        self.cache.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        torch.save(made, temporary)
        temporary.replace(path)
        return made

    def _by_likelihood(self, cell: Cell, plan: Likelihood, clock: Clock) -> dict[str, Any]:
        data, rng = self.data(cell.data), torch.Generator().manual_seed(cell.seed)
        generator = self.generator(cell, plan.network, training=True)
        generator.set_output_bias(_start(data))
        optimizer = torch.optim.Adam(generator.parameters(), plan.lr, betas=(0.9, 0.99), fused=True)
        players, order = Players(generator, None, optimizer), BatchOrder(len(data.codes), plan.batch_size, cell.seed)
        codes, losses = torch.from_numpy(np.ascontiguousarray(data.codes)), [math.nan]
        while (share := clock.share) < 1:
            set_rate(optimizer, plan.lr, share)
            real = codes[torch.from_numpy(order.indices(clock.steps))]
            count = len(real) if plan.network == "gru" else plan.latents
            figures = likelihood_step(players, real, draw_latents(generator, count, rng), rng=rng)
            losses.append(float(figures["likelihood_loss"]))
            clock.steps += 1
        recent = losses[-max(len(losses) // 10, 1) :]
        return {"generator": generator.state_dict(), "seen": {"loss": float(np.mean(recent))}}

    def _by_game(self, cell: Cell, plan: Play, clock: Clock, start: Mapping[str, Any] | None) -> dict[str, Any]:
        dataset, data = DATA_SETS[cell.data], self.data(cell.data)
        generator, discriminator = self.generator(cell, "masked"), self.discriminator(cell, plan)
        if start is None:
            generator.set_output_bias(_start(data))
        else:
            generator.load_state_dict(start["generator"])
        players, game = make_game(generator, discriminator, plan, plan.credit or dataset.credit)
        average = MovingAverage(generator, plan.average)
        average.update_parameters(generator)
        codes = torch.from_numpy(np.ascontiguousarray(data.codes))
        order, rng = BatchOrder(len(codes), plan.batch_size, cell.seed), torch.Generator().manual_seed(cell.seed)
        seen: dict[str, list[float]] = {}
        is_over = False
        while (share := clock.share) < 1:
            if share >= 1 - plan.after and not is_over:
                is_over = True
                generator.load_state_dict(average.module.state_dict())
            penalty_scale = plan.penalty_interval * float(clock.steps % plan.penalty_interval == 0)
            real = codes[torch.from_numpy(order.indices(clock.steps))]
            latents = draw_latents(generator, plan.batch_size, rng)
            for optimizer in (players.generator_optimizer, players.discriminator_optimizer):
                assert optimizer is not None
                rate = plan.generator_lr if optimizer is players.generator_optimizer else plan.discriminator_lr
                set_rate(optimizer, rate, share)
            step = discriminator_step if share < plan.alone or is_over else adversarial_step
            figures = step(game, players, real, latents, penalty_scale=penalty_scale, rng=rng)
            if step is adversarial_step:
                average.update_parameters(generator)
            for name, value in figures.items():
                seen.setdefault(name, []).append(float(value))
            clock.steps += 1
        shown = ("d_real", "d_fake", "discriminator_loss", "ess")
        return {
            "generator": average.module.state_dict(),
            "discriminator": discriminator.state_dict(),
            "seen": {name: float(np.mean(seen[name][-100:])) for name in shown if name in seen},
        }

    def generator(self, cell: Cell, network: str, training: bool = False) -> Generator:
        """A new generator; a masked one that is to learn every S must have several rounds."""
        data = self.data(cell.data)
        rounds = min(4, data.space.num_positions) if training and network == "masked" else cell.rounds
        return make_generator(DATA_SETS[cell.data], data.codes, data.space, network, rounds)

    def discriminator(self, cell: Cell, plan: Play) -> Discriminator:
        """A new discriminator."""
        return DISCRIMINATORS[plan.discriminator or DATA_SETS[cell.data].discriminator](self.data(cell.data).space)

    # Measurements.

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell."""
        plan, dataset = TRAININGS[cell.trained_as], DATA_SETS[cell.data]
        measure = self.figures(cell.data)
        record: dict[str, Any] = {
            "cell": cell.name,
            "budget": self.spending.describe(cell),
            "total": self.spending.total(cell),
            "settings": {**asdict(plan), "order": dataset.order, "cut": dataset.cut, "sizes": dict(dataset.sizes)},
            "count": measure.count,
            "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            "version": __version__,
            "torch": torch.__version__,
        }
        try:
            trained = self.trained(cell, cell.trained_as)
        except NonFiniteError as error:
            return {**record, "failed": str(error)}
        generator = self.generator(cell, plan.network if isinstance(plan, Likelihood) else "masked")
        generator.load_state_dict(trained["generator"])
        choice = None
        if isinstance(plan, Play):
            choice = self.discriminator(cell, plan)
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
            **record,
            "steps": trained["steps"],
            "trained": trained["seconds"],
            "seen": trained["seen"],
            "figures": {name: round(value, 4) for name, value in figures.items()},
            "references": {
                name: {title: round(value, 4) for title, value in values.items()}
                for name, values in self.references(cell.data).items()
            },
            "passes": cell.rounds,
            "samples_per_second": round(measure.count / max(drawing, 1e-9), 1),
            "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        }


def make_game(generator: Generator, discriminator: Discriminator, plan: Play, credit: Any) -> tuple[Players, Game]:
    """The players with their optimisers, and the rules."""
    betas = (plan.beta1, 0.99)
    players = Players(
        generator,
        discriminator,
        torch.optim.Adam(generator.parameters(), plan.generator_lr, betas, fused=True),
        torch.optim.Adam(discriminator.parameters(), plan.discriminator_lr, betas, fused=True),
        score_chunk=256,
    )
    draws = plan.draws or (1 if credit == "alternatives" else 16)
    game = Game(
        make_estimator(plan.estimator),
        num_draws=draws,
        penalty=get_penalty("r1"),
        penalty_weight=plan.penalty_weight,
        penalty_interval=plan.penalty_interval,
        credit=make_credit(credit),
    )
    return players, game


def _start(data: Any) -> Tensor:
    return torch.from_numpy(log_frequencies(data.codes, data.num_categories))


@torch.no_grad()
def draw(generator: Generator, count: int, seed: int, choice: Discriminator | None, candidates: int) -> np.ndarray:
    """Samples ``[count, *event_shape]``; of C candidates of each round one is kept by the discriminator."""
    rng, batches, at_once = torch.Generator().manual_seed(1000 + seed), [], max(DRAWN_AT_ONCE // candidates, 1)

    def choose(codes: Tensor, _: Tensor | None) -> Tensor:
        assert choice is not None
        log_w = sample_log_ratios(choice, codes).view(-1, candidates)
        return torch.multinomial(log_w.softmax(1), 1, generator=rng)[:, 0]

    with at_rest(generator):
        for first in range(0, count, at_once):
            distribution: Any = generator(draw_latents(generator, min(at_once, count - first) * candidates, rng))
            is_plain = candidates == 1
            batches.append(
                distribution.sample(1, rng)[0] if is_plain else distribution.resampled(choose, candidates, rng)
            )
    return torch.cat(batches).numpy()


@torch.no_grad()
def negative_log_prob(generator: Generator, codes: np.ndarray) -> float:
    """Nats a sample, by a mixture over latents, which is at least the true figure."""
    rng, rows = torch.Generator().manual_seed(0), torch.from_numpy(np.ascontiguousarray(codes))
    is_gru = isinstance(generator, GRUGenerator)
    with at_rest(generator):
        distribution: Any = generator(draw_latents(generator, len(rows) if is_gru else SCORED, rng))
        log_prob = distribution.log_prob(rows[None]) if is_gru else distribution.mixture_log_prob(rows)
    return -float(log_prob.mean())


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


def run_cells(patterns: Sequence[str], laboratory: Laboratory, results: Path) -> None:
    """Measure the cells that a pattern matches and that are not in the results file yet.

    Raises:
        InputError: If a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatch.fnmatch(cell.name, pattern) for cell in CELLS):
            raise InputError(
                f"cells must match data/training/S/sampling/seed, such as {CELLS[0].name}, got {pattern!r}"
            )
    chosen = [cell for cell in CELLS if any(fnmatch.fnmatch(cell.name, pattern) for pattern in patterns)]
    done = {key_of(record) for record in read_records(results)}
    wanted = [cell for cell in chosen if (cell.name, laboratory.spending.describe(cell)) not in done]
    if len(wanted) < len(chosen):
        print(f"{len(chosen) - len(wanted)} of {len(chosen)} cells are there already", flush=True)
    for number, cell in enumerate(wanted, 1):
        record = laboratory.measure(cell)
        append_record(results, record)
        shown = record.get("failed") or ", ".join(f"{name} {value:g}" for name, value in record["figures"].items())
        print(f"cell {number} of {len(wanted)}: {cell.name}, {record['budget']}: {shown}", flush=True)


def main() -> int:
    """Run cells, measure speeds, or render the report."""
    parser = Parser("Run cells of the table of rounds, or render it.", EXAMPLES, COMMAND)
    parser.add_argument(
        "--cells", nargs="+", default=[], metavar="PATTERN", help="data/training/S/sampling/seed, globs"
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds of a training (default: 300)")
    parser.add_argument("--start", type=float, default=None, help="of a likelihood start (default: as --seconds)")
    parser.add_argument("--steps", action="store_true", help="take both budgets as steps")
    parser.add_argument("--speed", action="store_true", help="measure passes, samples a second and steps of the game")
    parser.add_argument("--report", action="store_true", help="render the results next to their file, as .md")
    parser.add_argument("--list", action="store_true", help="print the names of all cells")
    parser.add_argument("--data", default="../shared/data", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--cache", default="runs/rounds", help="folder of trained weights (default: runs/rounds)")
    parser.add_argument("--results", default=str(RESULTS), help="the results file (default: docs/laboratory/)")
    values = parser.values(sys.argv[1:])
    if not min(values["seconds"], 1 if values["start"] is None else values["start"]) > 0:
        raise InputError(f"seconds and start must be above 0, got {values['seconds']:g} and {values['start']}")
    torch.set_num_threads(1)
    results = Path(values["results"])
    start = values["seconds"] if values["start"] is None else values["start"]
    spending = Spending(values["seconds"], start, values["steps"])
    if values["list"]:
        print("\n".join(cell.name for cell in CELLS))
    if values["cells"]:
        run_cells(values["cells"], Laboratory(Path(values["data"]), Path(values["cache"]), spending), results)
    if values["speed"]:
        pass
    if values["report"]:
        text = ""
        results.with_suffix(".md").write_text(text, encoding="utf-8")
        print(text)
    return 0


if __name__ == "__main__":
    run_script(main)
