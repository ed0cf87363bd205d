"""The discriminator that a saved model was trained against, for samples that are chosen by it."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bgan_discrete.errors import InputError, check_at_least_one, one_line
from bgan_discrete.pipeline import Pipeline
from bgan_discrete.tasks.run_folder import RunFolder
from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints, load_checkpoint
from bgan_discrete.training.config import Sections, load_config_values


def give_discriminator(
    pipeline: Pipeline, model: str | Path, resample: int, kind: type[Sections], build: Callable[[Sections], nn.Module]
) -> None:
    """Let a pipeline resample by the discriminator of its run, from the newest checkpoint that is whole.

    Args:
        pipeline: The model; changed in place, unless ``resample`` is 1, which needs no discriminator.
        model: Its folder, which must lie in the folder of its run.
        resample: Draws for each sample that is kept, >= 1.
        kind: Configuration of the run.
        build: Makes the discriminator of a configuration, with whatever weights.

    Raises:
        InputError: If ``resample`` is below 1, or the model lies in no run, or the run has no such discriminator.
    """
    check_at_least_one(resample=resample)
    if resample == 1:
        return
    run = RunFolder(Path(model).parent)
    if not run.config.is_file() or not list_checkpoints(run.checkpoints):
        raise InputError(
            f"resample {resample} needs the discriminator, which the checkpoints of a run hold: give as model the "
            f"'model' folder in the folder of its run; {str(run.root)!r} has no config.yaml with checkpoints beside it"
        )
    config = kind.from_flat(load_config_values(run.config))
    path = find_checkpoint(run.checkpoints, "latest")
    try:
        discriminator = build(config)
        discriminator.load_state_dict(load_checkpoint(path, torch.device("cpu"))["discriminator"])
    except (InputError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} holds no discriminator of model {str(model)!r}: {one_line(error)}") from None
    pipeline.discriminator = discriminator.to(pipeline.device).eval()
