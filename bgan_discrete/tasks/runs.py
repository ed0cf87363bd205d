"""What every training script does around its training: the run's folder, its processes, its beginning and its end."""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from bgan_discrete import __version__
from bgan_discrete.config import CODEC_OPTIONS, RunConfig, ScriptConfig, TrainingConfig
from bgan_discrete.durable import hold_folder, make_folder, replace_text
from bgan_discrete.errors import InputError
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.parallel import Processes
from bgan_discrete.reporting import recorded
from bgan_discrete.sources.conservation import listed
from bgan_discrete.streams import say, write_product
from bgan_discrete.tasks.run_folder import LOCK_FILE, RunFolder, check_output
from bgan_discrete.tasks.starts import give_start
from bgan_discrete.training.checkpoint import step_of
from bgan_discrete.training.stopping import TrainingSummary
from bgan_discrete.training.trainer import ShowSamples, Trainer

SIGNAL_EXIT_CODES = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}

Data = TypeVar("Data")
Figures = TypeVar("Figures")


@dataclass(frozen=True)
class FinishedRun(Generic[Figures]):
    """What a training left.

    Attributes:
        folder: The run's folder.
        summary: How the training ended.
        report: The final metrics; None if they were not asked for, the training was interrupted, or another process
            writes.
    """

    folder: RunFolder
    summary: TrainingSummary
    report: Figures | None

    @property
    def exit_code(self) -> int:
        """0, or that of the signal which stopped the training."""
        return SIGNAL_EXIT_CODES.get(self.summary.stopped_by, 0)


class RunOptions(Protocol):
    """The configuration of a training script, whatever its data are."""

    @property
    def run(self) -> RunConfig:
        """Where the run writes."""

    @property
    def training(self) -> TrainingConfig:
        """The algorithm."""

    def differences(self, other: ScriptConfig) -> list[str]:
        """What stands in the way of resuming another configuration's run."""

    def save(self, path: str | Path) -> None:
        """Write it."""

    def to_flat(self) -> dict[str, Any]:
        """All options by their names."""


def say_judging(num_samples: int) -> None:
    """Say what takes the time that follows: the metrics, which may take as long as a short training."""
    say(f"judging {num_samples:,} samples; --num-samples sets how many")


def say_nothing(line: str) -> None:
    """In the place of `say`, in a process that does not speak."""


def speaker(processes: Processes) -> Callable[[str], None]:
    """`say` in the process that speaks for all, `say_nothing` in the others."""
    return say if processes.is_first else say_nothing


def hold_run(config: RunOptions, processes: Processes) -> ExitStack:
    """Lock a run's folder, in the first process, before anything in it is looked at; see `hold_folder`.

    Raises:
        InputError: Also if the run would write into its data or over them.
    """
    folder = RunFolder(Path(config.run.output_dir))
    folder.check_apart(config.to_flat())
    return processes.after_the_first(lambda: hold_folder(folder.root if processes.is_first else None, LOCK_FILE))


def open_run(
    config: RunOptions, processes: Processes, prepare: Callable[[RunFolder], Data]
) -> tuple[RunFolder, Path | None, Data]:
    """Look at everything that could stop the run, and get the data, before any long work.

    Args:
        config: The run.
        processes: Those that train; the first one of each machine prepares before the others.
        prepare: Makes the data.

    Returns:
        The folder, the checkpoint to resume from (None for none), and the data.

    Raises:
        InputError: If the folder, the resume or the data cannot be used.
    """
    folder = RunFolder(Path(config.run.output_dir))

    def work() -> tuple[Path | None, Data]:
        if processes.is_first:
            folder.check_free(config.run.resume is not None, config.run.overwrite)
        return _checkpoint(config, folder), prepare(folder)

    checkpoint, data = processes.after_the_first(work)
    if processes.size > 1:
        share = config.training.batch_size // processes.size
        speaker(processes)(f"processes:   {processes.size}, with {share} of each batch of {config.training.batch_size}")
    return folder, checkpoint, data


def _checkpoint(config: RunOptions, folder: RunFolder) -> Path | None:
    if config.run.resume is None:
        return None
    assert isinstance(config, ScriptConfig)
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
        fixed = {*CODEC_OPTIONS, *vars(saved.model)} & {change.partition(":")[0] for change in changes}
        raise InputError(
            f"resume needs the configuration that the run began with, but changed: {'; '.join(changes)} "
            "(options of logging, samples and checkpoints may change); "
            + ("begin a new run in another output_dir" if fixed else f"to train on with other options: {_more(folder)}")
        )
    return checkpoint


def _more(folder: RunFolder) -> str:
    return f"--output-dir NEW --start-from {shlex.quote(str(folder.root))}"


def carry_out(
    config: RunOptions,
    folder: RunFolder,
    checkpoint: Path | None,
    trainer: Trainer,
    finish: Callable[[TrainingSummary], Figures | None],
    show_samples: ShowSamples,
    *,
    description: str,
    networks: str,
) -> FinishedRun[Figures]:
    """Train, from the beginning or a checkpoint, and finish; in the process that writes, with the report.

    Args:
        config: The run.
        folder: Its folder; what an earlier run left in it is deleted, unless the run goes on from there.
        checkpoint: To go on from.
        trainer: Of the run.
        finish: What is done with the trained model; gives its figures.
        show_samples: What is done with samples while it trains.
        description: Of the data, for the report.
        networks: Likewise.

    Returns:
        What it left.
    """
    tell, facts = speaker(trainer.processes), {"networks": networks}
    if checkpoint is not None:
        trainer.resume(checkpoint)
        tell(f"resumed from {checkpoint} at step {trainer.step}{_other_processes(trainer)}")
        if trainer.used_up() is not None:
            tell(f"the training is finished, by {trainer.used_up()}; to train on, in a new run: {_more(folder)}")
    elif config.run.resume is not None:
        tell("there is no checkpoint yet: the run begins anew")
    if checkpoint is None and config.run.start_from is not None:
        facts["started_from"] = give_start(config, trainer)
        tell(f"started from {facts['started_from']}")
    if not trainer.processes.is_first:
        return FinishedRun(folder, trainer.train(), None)
    if checkpoint is None:
        kept = folder.clear()
        if kept:
            say(f"kept in {folder.root}, since no run wrote it: {listed(kept, len(kept))}")
    make_folder(folder.root)
    config.save(folder.config)
    with recorded(folder.root, description, **facts, device=str(trainer.device)):
        summary = trainer.train(on_samples=show_samples)
        say(f"stopped by {summary.stopped_by} after {summary.steps} steps; this call trained {summary.seconds:.0f} s")
        report = finish(summary)
    say(f"report:  {folder.page}")
    return FinishedRun(folder, summary, report)


def was_interrupted(summary: TrainingSummary, folder: RunFolder) -> bool:
    """Whether a signal ended the training, so that the run has to end soon; says so.

    Args:
        summary: How the training ended.
        folder: Of the run.

    Returns:
        The answer.
    """
    if summary.stopped_by not in SIGNAL_EXIT_CODES:
        return False
    more = f"--output-dir {shlex.quote(str(folder.root))} --resume latest"
    say(f"interrupted: continue with {more}; the model so far is in {folder.model}")
    return True


class JudgedData(Protocol):
    """What a report says of the data that samples were judged against."""

    @property
    def name(self) -> str:
        """What was asked for."""

    @property
    def heldout_source(self) -> str:
        """Where the held-out part comes from."""

    @property
    def codec(self) -> Any:
        """Of the codes."""


def write_report(path: Path, report: Evaluation, data: JudgedData, details: dict[str, Any]) -> None:
    """Write a report as JSON.

    Args:
        path: The file; its folder is made if missing.
        report: The figures.
        data: What they were taken against; its ``digest`` is noted where it has one.
        details: What else belongs to them, of plain types.
    """
    digest = getattr(data, "digest", None)
    document = {
        "dataset": data.name,
        **({} if digest is None else {"dataset_digest": digest}),
        "held_out": data.heldout_source,
        "codec": data.codec.describe(),
        **report.to_dict(),
        **details,
        "version": __version__,
        "torch": torch.__version__,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def check_report_path(output: Path | None, model: str | Path, options: Mapping[str, Any]) -> None:
    """Raise InputError if a report cannot be written there, before anything is judged; see `check_output`."""
    if output is not None and output.is_dir():
        raise InputError(f"output must be a file such as report.json, got the folder {str(output)!r}")
    check_output(output, model, options)


def show_evaluation(report: Evaluation, data: JudgedData) -> None:
    """Print what a saved model was judged by, and its figures.

    Args:
        report: The figures.
        data: What they were taken against.
    """
    say(f"dataset: {data.name}; held out: {data.heldout_source}")
    say("\n" + report.format_table() + "\n")


def keep_evaluation(
    report: Evaluation,
    data: JudgedData,
    output: Path | None,
    *,
    model: str | Path,
    seed: int,
    started: float,
    resample: int = 1,
) -> None:
    """Write the report of a saved model, if it has a place; else what was printed must have arrived.

    Args:
        report: The figures.
        data: What they were taken against.
        output: The file; None writes none.
        model: As it was named.
        seed: Of the samples.
        started: When the judging began, by ``time.monotonic``.
        resample: Draws for each of the samples.

    Raises:
        StorageError: If the file cannot be written; without one, if stdout cannot.
    """
    if output is None:
        write_product("")
        return
    details = {"model": str(model), "seed": seed, "evaluation_seconds": round(time.monotonic() - started, 1)}
    if resample != 1:
        details["resample"] = resample
    write_report(output, report, data, details)
    say(f"report: {output}")


def count_parameters(*named: tuple[str, Any]) -> str:
    """``generator 1,234, discriminator 567 parameters``."""
    return ", ".join(f"{name} {sum(p.numel() for p in part.parameters()):,}" for name, part in named) + " parameters"


def _other_processes(trainer: Trainer) -> str:
    """What to say of a resumed run that has another number of processes now."""
    began_with = trainer.state.began_with
    if began_with == trainer.processes.size:
        return ""
    return (
        f"; it began with {began_with} processes and goes on with {trainer.processes.size}: not bit for bit as "
        "it would have"
    )
