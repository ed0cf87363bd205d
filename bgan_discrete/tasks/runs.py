"""What every training script does around its training: the run's folder, its processes, its beginning and its end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bgan_discrete.errors import InputError
from bgan_discrete.parallel import Processes
from bgan_discrete.reporting import recorded
from bgan_discrete.tasks.run_folder import RunFolder
from bgan_discrete.training.config import RunConfig, ScriptConfig, TrainingConfig
from bgan_discrete.training.trainer import Trainer, TrainingSummary

SIGNAL_EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143}

Data = TypeVar("Data")
Run = TypeVar("Run")


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


def say(line: str) -> None:
    """Print a line for the user, at once."""
    print(line, flush=True)


def say_nothing(line: str) -> None:
    """In the place of `say`, in a process that does not speak."""


def speaker(processes: Processes) -> Callable[[str], None]:
    """`say` in the process that speaks for all, `say_nothing` in the others."""
    return say if processes.is_first else say_nothing


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
    changes = config.differences(folder.saved_config(type(config)))
    if changes:
        raise InputError(
            f"resume needs the configuration that the run began with, but changed: {'; '.join(changes)} "
            "(options of logging, samples and checkpoints may change)"
        )
    return folder.checkpoint_to_resume(config.run.resume)


def carry_out(
    config: RunOptions,
    folder: RunFolder,
    checkpoint: Path | None,
    trainer: Trainer,
    finish: Callable[[TrainingSummary], Run],
    *,
    description: str,
    networks: str,
) -> tuple[TrainingSummary, Run | None]:
    """Train, from the beginning or a checkpoint, and finish; in the process that writes, with the report.

    Args:
        config: The run.
        folder: Its folder; what an earlier run left in it is deleted, unless the run goes on from there.
        checkpoint: To go on from.
        trainer: Of the run.
        finish: What is done with the trained model.
        description: Of the data, for the report.
        networks: Likewise.

    Returns:
        How the training ended, and what `finish` gave; None in a process that does not write.
    """
    tell = speaker(trainer.processes)
    if checkpoint is not None:
        trainer.resume(checkpoint)
        tell(f"resumed from {checkpoint} at step {trainer.step}{_other_processes(trainer)}")
    elif config.run.resume is not None:
        tell("there is no checkpoint yet: the run begins anew")
    if not trainer.processes.is_first:
        return trainer.train(), None
    if checkpoint is None:
        folder.clear()
    folder.root.mkdir(parents=True, exist_ok=True)
    config.save(folder.config)
    with recorded(folder.root, description, networks=networks, device=str(trainer.device)):
        summary = trainer.train()
        say(f"stopped by {summary.stopped_by} after {summary.steps} steps; this call trained {summary.seconds:.0f} s")
        run = finish(summary)
    say(f"report:  {folder.page}")
    return summary, run


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
    say(f"interrupted: go on with the same command and --resume latest; the model so far is in {folder.model}")
    return True


def count_parameters(*named: tuple[str, Any]) -> str:
    """``generator 1,234, discriminator 567 parameters``."""
    return ", ".join(f"{name} {sum(p.numel() for p in part.parameters()):,}" for name, part in named) + " parameters"


def _other_processes(trainer: Trainer) -> str:
    """What to say of a resumed run that has another number of processes now."""
    if trainer.began_with == trainer.processes.size:
        return ""
    return (
        f"; it began with {trainer.began_with} processes and goes on with {trainer.processes.size}: not bit for bit as "
        "it would have"
    )
