"""Where a new run begins, if not with new weights: at another run, a checkpoint or a saved model."""

from pathlib import Path
from typing import Any

from bgan_discrete.errors import InputError
from bgan_discrete.pipeline import CONFIG_FILE, load
from bgan_discrete.tasks.run_folder import RunFolder
from bgan_discrete.training.checkpoint import check_checkpoint, find_checkpoint, list_checkpoints
from bgan_discrete.training.config import CODEC_OPTIONS, ScriptConfig, folder_of_start, load_config_values
from bgan_discrete.training.trainer import Trainer


class Start:
    """What ``start_from`` names, looked at before any work.

    Args:
        source: A run's folder, of which the newest whole checkpoint counts, or its model if it has none; a checkpoint;
            or a model's folder, which gives the generator alone.
        config: Of the new run.

    Attributes:
        checkpoint: With the weights of both networks and of the average; None where a model gives the generator alone.
        model: The saved model, whose codec the new run keeps; None where an interrupted run has not left one.

    Raises:
        InputError: If there is nothing to start from, or it is in the folder of the new run, or the new run asks for
            another codec.
    """

    def __init__(self, source: str, config: ScriptConfig) -> None:
        path, self.source = Path(source), source
        values = config.to_flat()
        if Path(values["output_dir"]).resolve() in (path.resolve(), *path.resolve().parents):
            raise InputError(f"start_from must lie outside of output_dir {values['output_dir']!r}, got {source!r}")
        run = RunFolder(path)
        self.checkpoint: Path | None = None
        try:
            if not path.is_dir() or path.parent.name == run.checkpoints.name:
                check_checkpoint(path)
                self.checkpoint, run = path, RunFolder(path.resolve().parent.parent)
            elif list_checkpoints(run.checkpoints):
                self.checkpoint = find_checkpoint(run.checkpoints, "latest")
            model = path if (path / CONFIG_FILE).is_file() else run.model
            self.model: Any = load(model) if self.checkpoint is None or model.is_dir() else None
        except InputError as error:
            raise InputError(f"start_from must be a run, a checkpoint or a model, got {source!r}: {error}") from None
        began = folder_of_start(source)
        theirs = {} if began is None else load_config_values(began / "config.yaml")
        changed = [
            f"{name}: {theirs[name]} -> {values[name]}"
            for name in CODEC_OPTIONS
            if name in values and values[name] != theirs.get(name, values[name])
        ]
        if changed:
            raise InputError(f"start_from keeps the codec of {source!r}, so these may not change: {'; '.join(changed)}")

    @property
    def codec(self) -> Any:
        """That the new run encodes its data with; None to make one, of the same data."""
        return None if self.model is None else self.model.codec

    def give(self, trainer: Trainer) -> str:
        """Give the weights to a trainer.

        Args:
            trainer: A new one.

        Returns:
            What was done, in words.

        Raises:
            InputError: If the networks are others, or codes may not mean the same.
        """
        if self.model is not None:
            ours, theirs = trainer.generator, self.model.generator
            pairs: dict[str, tuple[Any, Any]] = {"kind": (type(theirs).__name__, type(ours).__name__)}
            settings: tuple[dict[str, Any], dict[str, Any]] = (theirs.settings, getattr(ours, "settings", {}))
            pairs |= {name: (settings[0].get(name), settings[1].get(name)) for name in settings[0].keys() | settings[1]}
            changed = [f"{name}: {a} -> {b}" for name, (a, b) in pairs.items() if a != b]
            if changed:
                raise InputError(f"start_from needs the generator of {self.source!r}, got {'; '.join(changed)}")
        has_same_data = trainer.start_from(self.checkpoint or self.model.generator)
        if self.model is None and not has_same_data:
            raise InputError(
                f"start_from {self.source!r} has no model whose codec says what its codes mean, and the data are not "
                "the same: resume that run first, and interrupt it, which leaves a model"
            )
        if self.checkpoint is None:
            return f"the generator of {self.source}, with a new discriminator"
        return f"the weights of {self.checkpoint}"


def start_of(config: Any) -> Start | None:
    """What the configuration of a run names; None if it begins with new weights."""
    return None if config.run.start_from is None else Start(config.run.start_from, config)


def start_codec(config: Any) -> Any:
    """The codec of what a run starts from; None to make one of the data."""
    start = start_of(config)
    return None if start is None else start.codec
