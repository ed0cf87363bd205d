"""A training run of any kind of data, from the data to the report.

    options -> data -> networks -> Trainer -> samples, model, figures, card -> report

What differs between images, text and arrays is asked of their `Kind`.
"""

import dataclasses
import logging
import math
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bgan_discrete.config import ScriptConfig, TrainingConfig, codec_options
from bgan_discrete.config.training import shares_of_phases
from bgan_discrete.durable import hold_folder, make_folder
from bgan_discrete.errors import InputError
from bgan_discrete.game.anchored import has_exact_probabilities
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.kinds.aims import JUDGED, Aims, OwnProgram, form_of, readable_facts
from bgan_discrete.kinds.kind import METRICS_SEED, Kind, Samples
from bgan_discrete.kinds.registry import kind_of_config
from bgan_discrete.kinds.sample_files import on_one_line
from bgan_discrete.metrics.figure import TABLE_WIDTH
from bgan_discrete.metrics.judges import judge_of
from bgan_discrete.metrics.verdict import Judge
from bgan_discrete.models.pipeline import Pipeline
from bgan_discrete.models.sampling import decoding_rng
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.parallel import Processes, join_processes
from bgan_discrete.reporting import add_facts, recorded
from bgan_discrete.reporting.charts import plot_curves
from bgan_discrete.reporting.course import sentences_of
from bgan_discrete.run_folder import LOCK_FILE, RunFolder
from bgan_discrete.runs.evaluate import say_evaluating, write_report
from bgan_discrete.runs.model_card import write_run_card
from bgan_discrete.runs.rounds import drawn_rounds
from bgan_discrete.runs.starts import give_start, start_codec
from bgan_discrete.sources import describe
from bgan_discrete.sources.conservation import listed
from bgan_discrete.sources.data import load_data, save_data
from bgan_discrete.space import SampleSpace
from bgan_discrete.streams import say
from bgan_discrete.training.checkpoint import step_of
from bgan_discrete.training.judging import MIN_ROWS, validation_rows
from bgan_discrete.training.labels import shown_labels
from bgan_discrete.training.run_log import read_metrics
from bgan_discrete.training.stopping import TrainingSummary
from bgan_discrete.training.trainer import Trainer

OwnJudge = Callable[[Any, Any], float | tuple[float, float]]
"""Of a user: (samples, data), decoded -> a number of which lower is better, or that and its standard error."""

SIGNAL_EXIT_CODES = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}

BYTES_OF_A_WEIGHT = 4 * 5
"""Itself, its gradient, its average and two moments of the optimiser, in 32 bits each."""

WIDTH_OF_LINE = 112
"""Of the samples that are printed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """What a training left."""

    folder: RunFolder
    summary: TrainingSummary
    report: Any  # None if it was not asked for, after an interruption, and in a process that does not write
    pipeline: Pipeline | None  # None in a process that does not write

    @property
    def exit_code(self) -> int:
        """0, or that of the signal which stopped the training."""
        return SIGNAL_EXIT_CODES.get(self.summary.stopped_by, 0)


def train(
    config: ScriptConfig,
    *,
    dataset: Any = None,
    progress: bool = True,
    is_kept: bool = True,
    judge: Judge | OwnJudge | None = None,
    verifier: OwnProgram | None = None,
    reward: OwnProgram | None = None,
) -> FinishedRun:
    """Train, from the data to the report, as ``bgan train`` does; `RunFolder` names what the run's folder then holds.

    The class of ``config`` says of which kind the data are; the files of a run that is not kept are not named. A run on
    a ``dataset`` in memory cannot be resumed. A ``judge``, or a function of decoded samples and data, takes the place
    of that of the kind, and functions ``verifier`` and ``reward`` that of the named ones. InputError comes before any
    training; where it diverges (NonFiniteError), the last checkpoint stays.
    """
    programs = {"verifier": verifier, "reward": reward}
    options: Any = config
    with (
        join_processes(options.training.device) as processes,
        hold_run(config, processes),
        ExitStack() as stack,
    ):
        run = _Run(options, kind_of_config(config), processes, progress, is_kept, programs, stack)
        return run.carry_out(dataset, judge)


def hold_run(config: ScriptConfig, processes: Processes) -> ExitStack:
    """Lock a run's folder, in the first process, before anything in it is looked at; see `hold_folder`.

    InputError also if the run would write into its data or over them.
    """
    options: Any = config
    folder = RunFolder(Path(options.run.output_dir))
    folder.check_apart(config.to_flat())
    return processes.after_the_first(lambda: hold_folder(folder.root if processes.is_first else None, LOCK_FILE))


class _Run:
    """One run; its methods are called from top to bottom."""

    def __init__(
        self,
        config: Any,
        kind: Kind,
        processes: Processes,
        progress: bool,
        is_kept: bool = True,
        programs: Mapping[str, OwnProgram | None] | None = None,
        stack: ExitStack | None = None,
    ) -> None:
        self.is_kept, self._programs, self._stack = is_kept, programs or {}, stack or ExitStack()
        self.config, self.kind, self.processes, self.progress = config.aimed(), kind, processes, progress
        self.folder = RunFolder(Path(config.run.output_dir))

    def tell(self, line: str) -> None:
        """Print a line, in the process that speaks for all."""
        if self.progress and self.processes.is_first:
            say(line)

    def carry_out(self, dataset: Any, judge: Judge | OwnJudge | None = None) -> FinishedRun:
        """The whole run."""
        # 1. Everything that could stop it, and the data, before any long work.
        checkpoint, data, classes = self._open(dataset)
        description = describe(data)
        self.tell(description)
        if self.processes.is_first:
            for warning in self.kind.warnings(self.config, data):
                _log.warning("%s", warning)

        # 2. Networks and trainer.
        generator, discriminator, networks = self._networks(data, None if classes is None else classes[0])
        self.tell(f"networks: {networks}")
        self.kind.start(generator, self.config, data)
        algorithm, chooser = self._judged(data, judge)
        aims = self._stack.enter_context(
            Aims(self.kind, data.codec, self.config.target, lambda: data.codes, **self._programs)
        )
        begins = "likelihood" if self.config.run.start_from is not None else algorithm.phases
        form = form_of(self.config.target.target_form, has_exact_probabilities(generator), begins)
        trainer = Trainer(
            generator,
            discriminator,
            data.codes,
            algorithm,
            output_dir=self.folder.root,
            labels=None if classes is None else classes[1],
            target=aims.target(form),
            judge=chooser,
            processes=self.processes,
        )
        if trainer.facts_of_target:
            self.tell(f"target:      {form}; {readable_facts(trainer.facts_of_target)}")
            if chooser is not None and trainer.data.validation is None:
                self.tell("judge:       too few rows that are kept back are like the target: the last weights are kept")
                chooser = None
        facts: dict[str, Any] = {"networks": networks, **self._begin(trainer, checkpoint)}
        facts |= {} if chooser is None else {"judge": chooser.title}
        facts |= {"target": {"form": form, **trainer.facts_of_target}} if trainer.facts_of_target else {}
        if not self.processes.is_first:
            return FinishedRun(self.folder, trainer.train(progress=self.progress), None, None)

        # 3. Training, and what it leaves.
        self._clear(checkpoint)
        self.config.save(self.folder.config)
        is_resumed, device = checkpoint is not None, str(trainer.device)
        with recorded(self.folder.root, description, is_resumed=is_resumed, **facts, device=device):
            summary = trainer.train(
                progress=self.progress,
                on_samples=self._show_samples(data, generator.num_classes),
            )
            seconds = f"{summary.seconds:.0f} s"
            self.tell(f"stopped by {summary.stopped_by} after {summary.steps} steps; this call trained {seconds}")
            pipeline, report = self._finish(data, trainer, facts.get("judge"), summary, aims)
        if self.is_kept:
            self.tell(f"report:  {self.folder.page}")
        return FinishedRun(self.folder, summary, report, pipeline)

    def _open(self, dataset: Any) -> tuple[Path | None, Any, tuple[int, np.ndarray] | None]:
        """The checkpoint to resume from, the data, and their classes where the model is to have some."""
        config, processes = self.config, self.processes

        def work() -> tuple[Path | None, Any, tuple[int, np.ndarray] | None]:
            if processes.is_first:
                self.folder.check_free(config.run.resume is not None, config.run.overwrite)
            checkpoint = _checkpoint(config, self.folder)
            data = self._load(dataset)
            if config.run.num_samples:
                self.kind.check_counts(config.run.num_samples, data)
            return checkpoint, data, self.kind.classes(config, data)

        try:
            opened = processes.after_the_first(work)
        finally:
            # The codes have no name any more, but are there as long as somebody maps them.
            if processes.local_rank == 0:
                shutil.rmtree(self._shared_folder(), ignore_errors=True)
        if processes.size > 1:
            share = config.training.batch_size // processes.size
            self.tell(f"processes:   {processes.size}, with {share} of each batch of {config.training.batch_size}")
        return opened

    def _load(self, dataset: Any) -> Any:
        """The data; of the processes on a machine the first one prepares them, the others map its codes."""
        load = self.kind.load
        if self.processes.size == 1 or self.kind.has_cache:
            return load(self.config.data, start_codec(self.config, self.kind), dataset)
        shared = self._shared_folder()
        if self.processes.local_rank == 0:
            data = load(self.config.data, start_codec(self.config, self.kind), dataset)
            shutil.rmtree(shared, ignore_errors=True)
            shared.mkdir(parents=True)
            save_data(data, shared)
        return load_data(shared)

    def _shared_folder(self) -> Path:
        """One for each machine, whether the run's folder is on a common disk or not."""
        return self.folder.root / f".codes-{self.processes.rank - self.processes.local_rank}"

    def _networks(self, data: Any, num_classes: int | None) -> tuple[Generator, Discriminator, str]:
        """Both networks, and the numbers of their parameters; measured before any memory is taken."""
        self.kind.check_networks(self.config, data)
        # A model without classes knows no names of them either, so that it can start one of other classes.
        space = data.space if num_classes is not None else dataclasses.replace(data.space, class_names=None)
        sizes = _measured(self.kind, self.config, space, num_classes)
        return (*self.kind.networks(self.config, space, num_classes), sizes)

    def _judged(self, data: Any, own: Judge | OwnJudge | None) -> tuple[TrainingConfig, Judge | None]:
        """The algorithm, and who chooses the weights that are kept; None where the data are too few for a judge."""
        algorithm: TrainingConfig = self.kind.algorithm(self.config, data.space)
        if algorithm.keep == "last" or algorithm.continuous != "none":
            return algorithm, None
        halves = validation_rows(len(data.codes), algorithm.seed)
        if halves is not None:
            named = self.kind.judge(self.config, data) if own is None else own
            judge = named if isinstance(named, Judge) else judge_of(named, self.kind.decoder(data.codec))
            count = sum(map(len, halves))
            kept_back = f"{count:,} of the {len(data.codes):,} training {self.kind.noun} are kept back for it"
            self.tell(f"judge:       {judge.title}; {kept_back} (--keep last trains on all)")
            return algorithm, judge
        shares = shares_of_phases(algorithm.phases)
        if self.config.training.phases == "auto" and "likelihood" in shares:
            # A game that cannot prove itself is not played.
            algorithm = dataclasses.replace(algorithm, phases="likelihood")
        few = f"the last weights are kept: {len(data.codes):,} training {self.kind.noun} are too few for a judge"
        self.tell(f"{few}, which needs {MIN_ROWS:,}")
        return algorithm, None

    def _begin(self, trainer: Trainer, checkpoint: Path | None) -> dict[str, str]:
        """Bring the trainer to where it begins; what the report says of that."""
        config = self.config
        if checkpoint is not None:
            trainer.resume(checkpoint)
            self.tell(f"resumed from {checkpoint} at step {trainer.step}{_other_processes(trainer)}")
            if trainer.used_up() is not None:
                more = f"to train on, in a new run: {_more(self.folder)}"
                self.tell(f"the training is finished, by {trainer.used_up()}; {more}")
        elif config.run.resume is not None:
            self.tell("there is no checkpoint yet: the run begins anew")
        if checkpoint is not None or config.run.start_from is None:
            return {}
        started_from = give_start(config, trainer)
        self.tell(f"started from {started_from}")
        return {"started_from": started_from}

    def _clear(self, checkpoint: Path | None) -> None:
        """Delete what an earlier run left, unless this one continues it."""
        kept = self.folder.clear() if checkpoint is None else []
        if kept:
            self.tell(f"kept in {self.folder.root}, since no run wrote it: {listed(kept, len(kept))}")
        make_folder(self.folder.root)

    def _show_samples(self, data: Any, num_classes: int | None) -> Callable[[int, np.ndarray], np.ndarray | str]:
        """What is done with samples while the generator trains."""

        def show(step: int, codes: np.ndarray) -> np.ndarray | str:
            decode = self.kind.decoder(data.codec, "inside", decoding_rng(step))
            samples = Samples(codes, decode(codes), shown_labels(num_classes))
            return self.kind.save(samples, self.folder.samples_of(step, self.kind.suffix))

        return show

    def _finish(
        self, data: Any, trainer: Trainer, judge: str | None, summary: TrainingSummary, aims: Aims
    ) -> tuple[Pipeline, Any]:
        """Model, samples, curves, figures and card; of an interrupted training the model alone."""
        kind, folder, config = self.kind, self.folder, self.config
        pipeline = Pipeline(trainer.kept_generator, data.codec, str(trainer.device))
        pipeline.save(folder.model)
        pipeline.remember(folder.model, data)
        ended = {**dataclasses.asdict(summary), "seconds": trainer.seconds}  # of all calls, where it was resumed
        course = trainer.state.facts_of_course()
        facts = {"training": ended, "course": course, "dataset_commit": data.commit}
        add_facts(folder.root, facts)
        if summary.stopped_by in SIGNAL_EXIT_CODES:
            more = f"--output-dir {shlex.quote(str(folder.root))} --resume latest"
            self.tell(f"interrupted: continue with {more}; the model so far is in {folder.model}")
            return pipeline, None

        if trainer.state.verdicts:
            self.tell("\n".join(textwrap.wrap(" ".join(sentences_of({**facts, "judge": judge})), TABLE_WIDTH)))
        samples = kind.to_show(pipeline.generate, pipeline.num_classes, config.training.seed)
        shown = folder.samples(kind.suffix)
        kind.save(samples, shown)
        add_facts(folder.root, kind.facts(samples, data, folder.neighbours))
        generator = pipeline.generator
        if isinstance(generator, RoundsGenerator) and generator.num_rounds > 1:
            drawn = drawn_rounds(generator, config.training.seed, trainer.device)
            add_facts(folder.root, {"rounds": kind.rounds(drawn, data.codec, folder.rounds)})
        plot_curves(read_metrics(folder.metrics), folder.curves)
        report = None
        if config.run.num_samples:
            if self.progress:
                say_evaluating(config.run.num_samples)
            report = kind.evaluate(pipeline, data, config.run.num_samples)
            if aims.is_set:
                codes = pipeline.generate(min(config.run.num_samples, JUDGED), METRICS_SEED).codes
                report.figures |= aims.figures(codes, data.heldout_codes)
                add_facts(folder.root, {"programs": aims.facts()})
            write_report(folder.report, report, data, {"training": ended, "command": sys.argv})
            self.tell("\n" + report.format_table() + "\n")
        lines = kind.lines(samples)
        write_run_card(config, folder, pipeline, lines=lines, picture=None if lines else shown)
        if lines:
            self.tell("\n".join(["samples:", *(f"    {on_one_line(line)[:WIDTH_OF_LINE]}" for line in lines)]))
        for line in [*kind.proposals(data), *aims.lines()]:
            self.tell(line)
        if self.is_kept:
            self.tell(f"model:   {folder.model}\nsamples: {shown}")
        return pipeline, report


def _measured(kind: Kind, config: ScriptConfig, space: SampleSpace, num_classes: int | None = None) -> str:
    """Numbers of parameters of networks, without memory; InputError if training them needs more than there is."""
    with torch.device("meta"):
        networks = kind.networks(config, space, num_classes)
    sizes = count_parameters(("generator", networks[0]), ("discriminator", networks[1]))
    count = sum(weights.numel() for network in networks for weights in network.parameters())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if sys.platform != "win32" else math.inf
    if BYTES_OF_A_WEIGHT * count > memory:
        raise InputError(
            f"the networks of {space.num_categories:,} categories at {space.num_positions:,} positions would "
            f"have {sizes}, too many for {memory / 2**30:.0f} GiB of memory: give fewer categories or smaller networks"
        )
    return sizes


def count_parameters(*named: tuple[str, Any]) -> str:
    """``generator 1,234, discriminator 567 parameters``."""
    return ", ".join(f"{name} {sum(p.numel() for p in part.parameters()):,}" for name, part in named) + " parameters"


def _checkpoint(config: Any, folder: RunFolder) -> Path | None:
    if config.run.resume is None:
        return None
    saved: Any = folder.saved_config(type(config))
    changes = config.differences(saved)
    checkpoint = folder.checkpoint_to_resume(config.run.resume)
    done = 0 if checkpoint is None else step_of(checkpoint)
    if config.training.max_steps < done:
        raise InputError(f"max_steps must be at least {done}, the steps that are done, got {config.training.max_steps}")
    start, began = config.run.start_from, saved.run.start_from
    if start != began and (start is not None or checkpoint is None):
        changes.append(f"start_from: {began} -> {start}")
    if changes:
        fixed = {*codec_options(config.front.kind), *vars(saved.model)} & {
            change.partition(":")[0] for change in changes
        }
        raise InputError(
            f"resume needs the configuration that the run began with, but changed: {'; '.join(changes)} "
            "(options of logging, samples and checkpoints may change); "
            + ("begin a new run in another output_dir" if fixed else f"to train on with other options: {_more(folder)}")
        )
    return checkpoint


def _more(folder: RunFolder) -> str:
    return f"--output-dir NEW --start-from {shlex.quote(str(folder.root))}"


def _other_processes(trainer: Trainer) -> str:
    """What to say of a resumed run that has another number of processes now."""
    began_with = trainer.state.began_with
    if began_with == trainer.processes.size:
        return ""
    return (
        f"; it began with {began_with} processes and goes on with {trainer.processes.size}: not bit for bit as "
        "it would have"
    )
