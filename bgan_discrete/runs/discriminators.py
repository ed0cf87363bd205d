"""The discriminator that a saved model was trained against, for samples that are chosen by it."""

from pathlib import Path
from typing import Any

import torch

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.config import folder_of_run, load_config_values
from bgan_discrete.config.training import shares_of_phases
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.game.anchored import has_exact_probabilities
from bgan_discrete.kinds.aims import form_of
from bgan_discrete.models.pipeline import Pipeline
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints, load_checkpoint
from bgan_discrete.training.state import kept_weights


def give_discriminator(pipeline: Pipeline, model: str | Path, resample: int, is_needed: bool = True) -> None:
    """Let a pipeline resample by its run's discriminator, that of the newest whole checkpoint; 1 draw needs none.

    The model must lie in the folder of its run. Where the discriminator is not needed, because there is a reward, one
    that was not trained, or not to tell samples from data alone, is left out.
    """
    check_at_least_one(resample=resample)
    if resample == 1:
        return
    run = RunFolder(folder_of_run(model))
    if not is_needed and not run.config.is_file():
        return
    if not run.config.is_file() or not list_checkpoints(run.checkpoints):
        raise InputError(
            f"resample {resample} needs the discriminator, which the checkpoints of a run hold: give as model the "
            f"'model' folder in the folder of its run; {str(run.root)!r} has no config.yaml with checkpoints beside it"
        )
    try:
        config = pipeline.kind.config_class.from_flat(load_config_values(run.config))
    except InputError as error:
        raise InputError(
            f"{str(run.config)!r} is not of a run that trains such a model, and resample needs one: {one_line(error)}"
        ) from None
    reason = _of_no_use(config, pipeline)
    if reason and not is_needed:
        return
    if reason:
        raise InputError(f"resample {resample} needs a discriminator of samples and data, and that of the run {reason}")
    try:
        path = find_checkpoint(run.checkpoints, "latest")
    except InputError as error:
        message = str(error).removeprefix("resume 'latest' finds ")
        raise InputError(f"resample {resample} needs the run's discriminator, and finds {message}") from None
    try:
        space = pipeline.generator.space
        _, discriminator = pipeline.kind.networks(config, space, pipeline.num_classes)
        state = load_checkpoint(path, torch.device("cpu"))
        theirs, weights = kept_weights(state)
        discriminator.load_state_dict(weights)
        is_its_own = all(
            torch.equal(theirs[name], value.cpu()) for name, value in pipeline.generator.state_dict().items()
        )
    except (InputError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} holds no discriminator of model {str(model)!r}: {one_line(error)}") from None
    if not is_its_own:
        raise InputError(
            f"{str(path)!r} holds the discriminator of another generator than that of model {str(model)!r}: the model "
            "is of another run or of another step of this one, and resample needs the two that played together"
        )
    pipeline.discriminator = discriminator.to(pipeline.device).eval()


def _of_no_use(config: Any, pipeline: Pipeline) -> str:
    """Why the discriminator of a run cannot weigh samples of its model; empty if it can."""
    if [*shares_of_phases(config.phases)] == ["likelihood"]:
        return "was never trained (phases likelihood): train with phases such as likelihood=0.8,discriminator"
    form = form_of(config.target.target_form, has_exact_probabilities(pipeline.generator), config.phases)
    if config.target.is_set and form in ("shifted", "anchored"):
        return f"gives only a part of F (target_form {form}); draw without"
    return ""
