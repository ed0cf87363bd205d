"""The state of a training: everything that the next step depends on, except the data and the configuration.

A checkpoint holds all of it, so that an interrupted run resumes exactly, bit for bit.
"""

import copy
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bgan_discrete.config import TrainingConfig
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.game.estimators import ESTIMATORS, Estimator
from bgan_discrete.parallel import Processes
from bgan_discrete.training.average import MovingAverage
from bgan_discrete.training.figures import RunningMeans
from bgan_discrete.training.inputs import TrainingData
from bgan_discrete.training.phases import ADAM_BETA2, Phases

TIMES = ("seconds", "seconds_of_looks", "judged_samples")
"""What is part of a checkpoint only where the budget is one of seconds."""

COURSE = ("phase_steps", "looks", "choice", "verdicts", "judge_failed")
"""Plain values of the state that a checkpoint holds as they are."""


def stream_seed(seed: int, rank: int, step: int = 0) -> int:
    """The seed of a process's own random numbers from a step on; that of the first process is the run's."""
    if rank == 0:
        return seed
    return int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0] >> 1)


class RandomStreams:
    """A process's own random numbers: ``rng`` of the steps, and torch's global ones, of dropout and the like."""

    def __init__(self, seed: int, rank: int, device: torch.device) -> None:
        self._seed, self._rank, self._device = seed, rank, device
        self.rng = torch.Generator(device).manual_seed(stream_seed(seed, rank))
        if rank > 0:
            torch.manual_seed(stream_seed(seed, rank))

    def state_dict(self) -> dict[str, Tensor]:
        """Where the streams are; tensors of the same shapes in every process."""
        states = {"rng": self.rng.get_state(), "global_rng": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda_rng"] = torch.cuda.get_rng_state(self._device)
        return states

    def load_state_dict(self, everyone: Mapping[str, Tensor]) -> None:
        """Load this process's row of the states of all processes, ``[processes, ...]`` each."""
        # Copies, because torch crashes on a state that is a part of another tensor.
        states = {name: rows[self._rank].cpu().clone() for name, rows in everyone.items()}
        self.rng.set_state(states["rng"])
        torch.set_rng_state(states["global_rng"])
        if "cuda_rng" in states and self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda_rng"], self._device)

    def begin_at(self, step: int) -> None:
        """Begin new streams at a step, for a process that is new."""
        seed = stream_seed(self._seed, self._rank, step)
        self.rng.manual_seed(seed)
        torch.manual_seed(seed)


@dataclass
class TrainingState:
    """What the next step depends on."""

    generator: nn.Module  # the networks themselves, without what averages their gradients
    discriminator: nn.Module
    average: MovingAverage
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    estimator: Estimator  # which may hold a moving average
    streams: RandomStreams
    processes: Processes
    means: RunningMeans  # of the figures since the last line of the log
    phases: Phases
    phase_steps: dict[str, int] = field(default_factory=dict)  # after which each phase began
    looks: list[dict[str, Any]] = field(default_factory=list)  # at which steps, and what was found
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)  # weights: the "start" of the game, its "best"
    choice: str = ""  # which of the kept weights are the model; empty for the last ones
    verdicts: dict[str, list[float]] = field(default_factory=dict)  # by which they were chosen, and the floor
    judge_failed: bool = False
    seconds_of_looks: float = 0.0
    judged_samples: int = 0  # at a look of the judge, as far as a budget in seconds allows; 0 for all that it wants
    step: int = 0
    seconds: float = 0.0  # used of `max_seconds`, over all calls; the processes agree on it
    began_with: int = 1  # processes of the checkpoint from which the run was resumed
    is_new: bool = True  # nothing was trained or resumed

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Both, by their names."""
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    @classmethod
    def begin(
        cls,
        generator: nn.Module,
        discriminator: nn.Module,
        estimator: Estimator,
        config: TrainingConfig,
        device: torch.device,
        processes: Processes,
    ) -> "TrainingState":
        """The state before the first step, with new optimisers; the networks are on their device."""
        betas = (config.adam_beta1, ADAM_BETA2)
        return cls(
            generator=generator,
            discriminator=discriminator,
            average=MovingAverage(generator, config.ema_decay),
            generator_optimizer=_adam(generator, config.generator_lr, betas),
            discriminator_optimizer=_adam(discriminator, config.discriminator_lr, betas),
            estimator=estimator,
            streams=RandomStreams(config.seed, processes.rank, device),
            processes=processes,
            means=RunningMeans(),
            phases=(phases := Phases.of(config)),
            phase_steps={phases.name: 0},
            began_with=processes.size,
        )

    def state_dict(self, data_digest: str, has_time_limit: bool) -> dict[str, Any]:
        """All of it, as tensors and plain types; all processes must call this together."""
        of_this_process = self.streams.state_dict()
        sums = self.means.stacked()
        if sums is not None:
            of_this_process["sums"] = sums
        return {
            "step": self.step,
            "data": data_digest,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "estimator": self.estimator.state_dict(),
            "counts": self.means.counts,
            "num_processes": self.processes.size,
            "course": {
                **{name: vars(self.phases)[name] for name in ("name", "began", "ended_by")},
                **{name: vars(self)[name] for name in COURSE},
            },
            "kept": self.kept,
            # What differs from one process to another, one row for each.
            "processes": {name: self.processes.gather(value.cpu()) for name, value in of_this_process.items()},
            # Without a budget in seconds nothing depends on them, and equal runs leave equal checkpoints.
            **({name: vars(self)[name] for name in TIMES} if has_time_limit else {}),
        }

    def load_state_dict(self, saved: Mapping[str, Any], data_digest: str, device: torch.device) -> None:
        """Load what `state_dict` returned, of any number of processes; figures are summed on ``device``.

        Raises InputError if the state belongs to other data or another estimator.
        """
        if saved["data"] != data_digest:
            raise InputError("the data are not those that the run began with")
        load_estimator(self.estimator, saved["estimator"])
        self.load_weights(saved)
        _load_optimizer(self.generator_optimizer, saved["generator_optimizer"])
        _load_optimizer(self.discriminator_optimizer, saved["discriminator_optimizer"])

        everyone, began_with, rank = dict(saved["processes"]), saved["num_processes"], self.processes.rank
        sums = everyone.pop("sums", None)
        if sums is not None:
            # With another number of processes, the means so far.
            sums = (sums[rank] if began_with == self.processes.size else sums.mean(0)).to(device)
        self.means.restore(sums, saved["counts"])
        if rank < began_with:
            self.streams.load_state_dict(everyone)
        else:
            self.streams.begin_at(saved["step"])

        self.step = saved["step"]
        for name in TIMES:
            setattr(self, name, saved.get(name, vars(self)[name]))
        for name in COURSE:
            setattr(self, name, saved["course"][name])
        self.phases = dataclasses.replace(
            self.phases, **{name: saved["course"][name] for name in ("name", "began", "ended_by")}
        )
        self.kept = saved["kept"]
        self.began_with, self.is_new = began_with, False

    def load_weights(
        self, saved: Mapping[str, Any], names: Sequence[str] = ("generator", "discriminator", "average")
    ) -> None:
        """Take the weights of these ``names`` from a checkpoint, of this or of another training.

        Raises InputError if one is of another precision, which torch would convert silently.
        """
        networks = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        for who in names:
            network = networks[who]
            for name, weight in network.state_dict().items():
                saved_weight = saved[who].get(name, weight)
                if saved_weight.dtype != weight.dtype:
                    raise InputError(f"the {who}'s {name} is {saved_weight.dtype} there and {weight.dtype} here")
            network.load_state_dict(saved[who])

    def keep(self, name: str) -> None:
        """Keep the averaged weights, and those of the discriminator, under a name."""
        networks = {"generator": self.average.module, "discriminator": self.discriminator}
        self.kept[name] = {
            who: {key: value.clone() for key, value in network.state_dict().items()}
            for who, network in networks.items()
        }

    def facts_of_course(self) -> dict[str, Any]:
        """The phases, what was found on the way, and which weights are the model, in plain values."""
        plain = {name: vars(self)[name] for name in COURSE}
        return {**plain, "ended_by": self.phases.ended_by, "shares": self.phases.shares}

    def kept_generator(self, name: str) -> Any:
        """A copy of the generator, in eval mode, with the weights that are kept under a name; the average for none."""
        generator = copy.deepcopy(self.average.module)
        if name:
            generator.load_state_dict(self.kept[name]["generator"])
        return generator

    def load_generator(self, generator: nn.Module) -> None:
        """Take the weights of a generator of the same architecture, with which the average begins, too."""
        weights = generator.state_dict()
        average = {"n_averaged": self.average.n_averaged, **{f"module.{name}": w for name, w in weights.items()}}
        self.load_weights({"generator": weights, "average": average}, ("generator", "average"))

    def check_alike(self, data: TrainingData, config: TrainingConfig) -> None:
        """Raise InputError, in all processes, if their data, configurations, weights or steps differ.

        They would silently train nothing useful. Device and threads may differ.
        """
        if self.processes.size == 1:
            return
        weights = hashlib.sha256()
        for network in (self.generator, self.discriminator):
            for parameter in network.parameters():
                weights.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        options = {**dataclasses.asdict(config), "device": None, "threads": None}
        facts = {"data": data.digest, "configuration": repr(options), "step": str(self.step)}
        facts["weights"] = weights.hexdigest()
        digests = [int(hashlib.sha256(fact.encode()).hexdigest()[:15], 16) for fact in facts.values()]
        everyone = self.processes.gather(torch.tensor(digests))
        differing = [name for name, differs in zip(facts, (everyone != everyone[0]).any(0), strict=True) if differs]
        if differing:
            raise InputError(
                f"the processes of a training must have the same {', '.join(differing)}: give all of them the same "
                "options and data, and the same checkpoint to resume from"
            )


def kept_weights(saved: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of the generator that is the model of a checkpoint, and of the discriminator that it played against."""
    kept = saved["kept"].get(saved["course"]["choice"])
    if kept is not None:
        return kept["generator"], kept["discriminator"]
    average = {name.removeprefix("module."): value for name, value in saved["average"].items()}
    average.pop("n_averaged", None)
    return average, saved["discriminator"]


@contextmanager
def fitting(source: str) -> Iterator[None]:
    """A context in which whatever torch, or a forged state, raises while ``source`` is loaded becomes an InputError."""
    try:
        yield
    except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{source} does not fit this configuration: {one_line(error)}") from None


def _adam(network: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """Adam; the steps set its rate, betas and decoupled weight decay."""
    return torch.optim.AdamW(network.parameters(), rate, betas, weight_decay=0.0, fused=True)


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load an Adam's state, whose shapes torch would not check (ValueError); its options stay those of the run."""
    parameters = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    for number, moments in saved["state"].items():
        shape = tuple(parameters[number].shape)
        wanted = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
        if {name: tuple(value.shape) for name, value in moments.items()} != wanted:
            raise ValueError(f"the optimiser's state of parameter {number} has other parts or shapes")
    groups = optimizer.state_dict()["param_groups"]
    for group, saved_group in zip(groups, saved["param_groups"], strict=True):
        # But for the rate, which the steps set.
        group["lr"] = float(saved_group["lr"])
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def load_estimator(estimator: Estimator, saved: Mapping[str, Tensor]) -> None:
    """Load an estimator's ``state_dict``; raises InputError if it is that of another estimator."""
    own = estimator.state_dict()
    if own.keys() <= saved.keys():
        estimator.load_state_dict(dict(saved))
        own = estimator.state_dict()  # which may hold more now
    if own.keys() != saved.keys():
        ours, theirs = (", ".join(state) or "nothing" for state in (own, saved))
        alike = [f", such as {name}" for name, row in ESTIMATORS.items() if row.state_dict().keys() == saved.keys()]
        raise InputError(
            f"the game's estimator {estimator.name!r} keeps {ours}, but the checkpoint is of one that keeps {theirs}"
            f"{''.join(alike[:1])}; play the game that it was written in"
        )
