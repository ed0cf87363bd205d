"""What a run begins with, if not with new weights: those of another run, of a checkpoint or of a saved model."""

from pathlib import Path
from typing import Any

from bgan_discrete.config import codec_options, folder_of_start, load_config_values
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Generator
from bgan_discrete.models.format import CONFIG_FILE
from bgan_discrete.models.pipeline import Pipeline, load
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.training.checkpoint import check_checkpoint, find_checkpoint, list_checkpoints
from bgan_discrete.training.trainer import Trainer


def start_codec(config: Any, kind: Any) -> Any:
    """The codec of what a run starts from, which its own data are encoded with; None to make one of the data."""
    source = config.run.start_from
    if source is None or (config.run.resume is not None and not Path(source).exists()):
        return None  # what is resumed knows its data again
    codec = find_start(config)[1].codec
    if not isinstance(codec, kind.codec_class):
        raise InputError(f"start_from must be of the same kind of data, got {source!r} with the codec {codec.name!r}")
    return codec


def find_start(config: Any) -> tuple[Path | None, Pipeline]:
    """The checkpoint and the model that ``start_from`` names, looked at before any work.

    Of a run it is the newest whole checkpoint; of a model None, which gives the generator alone. The model's codec says
    what codes mean. InputError if there is no model, it is in the folder of the new run, or other codes are asked for.
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
        if checkpoint is not None and not run.model.is_dir():
            raise InputError("there is no model with it, whose codec says what codes mean; a resumed run leaves one")
        model = load(path if (path / CONFIG_FILE).is_file() else run.model)
    except InputError as error:
        raise InputError(f"start_from must be a run, a checkpoint or a model, got {source!r}: {error}") from None
    began = folder_of_start(source)
    theirs = {} if began is None else load_config_values(RunFolder(began).config)
    both = [name for name in codec_options(config.front.kind) if name in values and name in theirs]
    changed = [f"{name}: {theirs[name]} -> {values[name]}" for name in both if theirs[name] != values[name]]
    if changed:
        raise InputError(f"start_from keeps the codec of {source!r}, so these may not change: {'; '.join(changed)}")
    return checkpoint, model


def give_start(config: Any, trainer: Trainer) -> str:
    """Give a new trainer the weights that ``start_from`` names; which they are, in words."""
    source, (checkpoint, model) = config.run.start_from, find_start(config)
    ours, theirs = (_described(network) for network in (trainer.generator, model.generator))
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    if names:
        changed = "; ".join(f"{name}: {theirs.get(name)} -> {ours.get(name)}" for name in names)
        raise InputError(f"start_from needs the generator of {source!r}, but changed: {changed}")
    trainer.start_from(checkpoint or model.generator)
    return f"the weights of {checkpoint}" if checkpoint else f"the generator of {source}, with a new discriminator"


def _described(generator: Generator) -> dict[str, Any]:
    """What a generator is, in plain values."""
    settings = dict(generator.settings)
    if isinstance(generator, RoundsGenerator) and not generator.is_causal:
        del settings["rounds"], settings["cut"]  # the same weights draw in any rounds
    return {"kind": type(generator).__name__, **settings.pop("space"), **settings}
