"""What a run begins with, if not with new weights: those of another run, of a checkpoint or of a saved model."""

from pathlib import Path
from typing import Any

from bgan_discrete.errors import InputError
from bgan_discrete.pipeline import CONFIG_FILE, load
from bgan_discrete.tasks.run_folder import RunFolder
from bgan_discrete.training.checkpoint import check_checkpoint, find_checkpoint, list_checkpoints
from bgan_discrete.training.config import CODEC_OPTIONS, folder_of_start, load_config_values
from bgan_discrete.training.trainer import Trainer


def start_codec(config: Any) -> Any:
    """The codec of what a run starts from, which its own data are encoded with; None to make one of the data."""
    source = config.run.start_from
    if source is None or (config.run.resume is not None and not Path(source).exists()):
        return None  # what is resumed knows its data again
    model = find_start(config)[1]
    return None if model is None else model.codec


def find_start(config: Any) -> tuple[Path | None, Any]:
    """What ``start_from`` names in a run's configuration, looked at before any work.

    Returns:
        The checkpoint, of a run the newest whole one; None for a model, which gives the generator alone. The model, or
        that of the run; None where an interrupted run has left none.

    Raises:
        InputError: If there is neither, or it is in the folder of the new run, or other codes are asked for.
    """
    source, values = config.run.start_from, config.to_flat()
    path, checkpoint = Path(source), None
    if Path(config.run.output_dir).resolve() in (path.resolve(), *path.resolve().parents):
        raise InputError(f"start_from must be outside of output_dir {config.run.output_dir!r}, got {source!r}")
    run = RunFolder(path)
    try:
        if not path.is_dir() or path.parent.name == run.checkpoints.name:
            check_checkpoint(path)
            checkpoint, run = path, RunFolder(path.resolve().parent.parent)
        elif list_checkpoints(run.checkpoints):
            checkpoint = find_checkpoint(run.checkpoints, "latest")
        folder = path if (path / CONFIG_FILE).is_file() else run.model
        model = load(folder) if checkpoint is None or folder.is_dir() else None
    except InputError as error:
        raise InputError(f"start_from must be a run, a checkpoint or a model, got {source!r}: {error}") from None
    began = folder_of_start(source)
    theirs = {} if began is None else load_config_values(began / "config.yaml")
    both = [name for name in CODEC_OPTIONS if name in values and name in theirs]
    changed = [f"{name}: {theirs[name]} -> {values[name]}" for name in both if theirs[name] != values[name]]
    if changed:
        raise InputError(f"start_from keeps the codec of {source!r}, so these may not change: {'; '.join(changed)}")
    return checkpoint, model


def give_start(config: Any, trainer: Trainer) -> str:
    """Give a new trainer the weights that ``start_from`` names; tells which in words.

    Raises:
        InputError: If the networks are others, or the codes may not mean the same.
    """
    source, (checkpoint, model) = config.run.start_from, find_start(config)
    if model is not None:
        networks: tuple[Any, Any] = (trainer.generator, model.generator)
        ours, theirs = ({"kind": type(network).__name__, **network.settings} for network in networks)
        names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
        if names:
            changed = "; ".join(f"{name}: {theirs.get(name)} -> {ours.get(name)}" for name in names)
            raise InputError(f"start_from needs the generator of {source!r}, but changed: {changed}")
    has_same_data = trainer.start_from(checkpoint or model.generator)
    if model is None and not has_same_data:
        raise InputError(
            f"start_from {source!r} has no model whose codec says what its codes mean, and the data are not the same: "
            "resume that run first; also one that is interrupted then leaves a model"
        )
    return f"the weights of {checkpoint}" if checkpoint else f"the generator of {source}, with a new discriminator"
