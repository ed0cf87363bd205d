"""Train a model in one line: ``model = bgan_discrete.fit("digits")``."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bgan_discrete.errors import InputError
from bgan_discrete.kinds.aims import OwnProgram
from bgan_discrete.kinds.finding import kind_of_dataset
from bgan_discrete.kinds.registry import get_kind
from bgan_discrete.metrics.verdict import Judge
from bgan_discrete.models.pipeline import Pipeline
from bgan_discrete.programs import Program
from bgan_discrete.runs.train import OwnJudge, train

IN_MEMORY = "(in memory)"
"""What a run's configuration names data that are no file."""

MIN_SIDE = 8
"""Of arrays of bytes that are taken for images."""


def fit(
    data: Any,
    *,
    kind: str | None = None,
    output_dir: str | Path | None = None,
    progress: bool = True,
    judge: OwnJudge | Judge | None = None,
    verifier: OwnProgram | None = None,
    reward: OwnProgram | None = None,
    **options: Any,
) -> Pipeline:
    """Train a model on data of any kind.

    Args:
        data: The name of an embedded data set (``"digits"``, ``"arithmetic"``, ``"table"``, ...), the path of a file or
            folder, or the id of a data set on the Hub; or data in memory: a list of strings, a data frame, columns in a
            dictionary, or an array. Bytes ``[N, H, W]`` or ``[N, H, W, 3]`` of at least 8 x 8 are images.
        kind: ``images``, ``text`` or ``arrays``; None to find out from the data.
        output_dir: Folder of the run, which keeps its checkpoints, samples and report; None for a temporary folder that
            is deleted with the model.
        progress: Whether to report progress.
        judge: Says how good samples are, to choose the weights that are kept: a function of samples and data, in the
            form of the data, that gives a number of which lower is better, or that and its standard error; None for
            the judge of the kind.
        verifier: Says which samples are valid: a function of a batch of samples (a list of texts, an array of images or
            of rows, a data frame of a table) that gives a boolean for each, or a number in [0, 1]; or its name, as
            ``bgan train`` takes it. No gradient passes through it (`bgan_discrete.game.targets`).
        reward: Says how good samples are: a function likewise, which gives any numbers.
        **options: Options of ``bgan train`` for this kind, such as ``max_steps=2000``, ``max_seconds=60`` or
            ``overwrite=True``.

    Returns:
        The model, which draws samples in the form of the data: ``fit(frame).sample(5)`` is a data frame.

    Raises:
        InputError: If the data, an option or the folder cannot be used, before any training.
        NonFiniteError: If the training diverged.
    """
    named = os.fspath(data) if isinstance(data, (str, os.PathLike)) else None
    in_memory = data if named is None else None
    kind = kind or (_kind_of_object(data) if named is None else kind_of_dataset(named))
    scratch = None
    if output_dir is None:
        scratch = tempfile.TemporaryDirectory(prefix="bgan-")
        output_dir = Path(scratch.name) / "run"
    folder = Path(output_dir)
    own = {name: function for name, function in (("verifier", verifier), ("reward", reward)) if function is not None}
    values = {**_flat(options), **{name: _text_of(name, function) for name, function in own.items()}}
    values |= {"dataset": IN_MEMORY if named is None else named, "output_dir": str(folder)}
    config = get_kind(kind).config_class.from_flat(values)
    model = train(config, dataset=in_memory, progress=progress, is_kept=scratch is None, judge=judge, **own).pipeline
    if model is None:
        raise InputError("fit returns a model in the first process only: call it from one process, or use the Trainer")
    model.remember(folder / "model", model.data, in_memory, scratch)
    return model


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as on a command line: there lists of columns, and columns with their kinds, are one text."""
    return {
        name: _joined(value) if isinstance(value, (list, tuple, Mapping)) else value for name, value in options.items()
    }


def _text_of(name: str, function: OwnProgram) -> str:
    """The name by which a command line would have a user's function."""
    return function if isinstance(function, str) else Program(function, name=name).text


def _joined(names: Sequence[Any] | Mapping[Any, Any]) -> str:
    """Names, or names with kinds, as a command line has them; one that holds a comma in double quotes."""
    if isinstance(names, Mapping):
        names = [f"{name}={kind}" for name, kind in names.items()]
    return ",".join(f'"{name}"' if "," in str(name) else str(name) for name in names)


def _kind_of_object(data: Any) -> str:
    """The kind of data in memory; InputError if it cannot be told."""
    if isinstance(data, (list, tuple)) and data and all(isinstance(text, str) for text in data):
        return "text"
    if isinstance(data, Mapping) or type(data).__name__ == "DataFrame":
        return "arrays"
    array = np.asarray(data)
    sides = array.shape[1:3]
    if array.dtype == np.uint8 and array.ndim in (3, 4) and array.shape[3:] in ((), (3,)) and min(sides) >= MIN_SIDE:
        return "images"
    if array.dtype.kind in "iubSU" or array.dtype.names:
        return "arrays"
    raise InputError(
        f"data must be a name, a path, strings, a data frame or an array of integers, got {type(data).__name__} "
        f"({array.dtype}): round or bin real numbers first, or say which kind they are by kind="
    )
