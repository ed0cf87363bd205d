"""Samples of a saved model into files, part by part, so that memory does not grow with their number."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.sampling import check_sharpening
from bgan_discrete.errors import InputError
from bgan_discrete.kinds.kind import Samples
from bgan_discrete.models.pipeline import Pipeline, load
from bgan_discrete.run_folder import check_output
from bgan_discrete.runs.discriminators import give_discriminator
from bgan_discrete.sources.arrays import split_names
from bgan_discrete.streams import say
from bgan_discrete.training.labels import labels_of_samples

PART = 1000
"""Samples that are drawn at once."""


def generate(
    model: str | Path,
    num_samples: int,
    output: Path | None = None,
    *,
    kind: str | None = None,
    seed: int = 0,
    device: str = "auto",
    revision: str | None = None,
    labels: str | None = None,
    columns: int | None = None,
    bin_ranges: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prompt: str = "",
    resample: int = 1,
) -> None:
    """Write samples of a saved model of any kind, as ``bgan generate`` does.

    However many they are, memory holds 1,000 of them, except for those of a grid of images.

    Args:
        model: Its folder, or its id on the Hub.
        num_samples: How many.
        output: Of images ``*.png`` for one grid, ``*.npz`` for the arrays ``codes``, ``images`` and ``labels``, or any
            name without a suffix for a folder with one PNG a sample. Of text ``*.jsonl`` for one JSON object a line,
            another file for one sample a line, None for stdout. Of a table ``*.csv``, ``*.tsv``, ``*.parquet`` or
            ``*.npy``; of an array ``*.npy`` or ``*.csv``; of both ``*.npz`` with the codes.
        kind: That the model must be of; None for any.
        seed: Of latents and draws.
        device: Where the model runs.
        revision: Branch, tag or commit of a model on the Hub.
        labels: Classes to draw, of a model with classes: numbers or names with commas between them; None for all.
        columns: Images in a row of a grid; None for about the square root of ``num_samples``, or so many that no row
            holds two classes.
        bin_ranges: As in `Pipeline.generate`, which the following are passed to, too.
        temperature: Likewise.
        top_k: Likewise.
        top_p: Likewise.
        prompt: Likewise.
        resample: Draws for each sample that is kept, by its importance weight under the run's discriminator; see
            `bgan_discrete.game.resampling`.

    Raises:
        InputError: If an argument or the model cannot be used, or ``output`` is a folder that holds something.
        NonFiniteError: If what the model gives is no distribution.
        StorageError: If the samples cannot be written.
    """
    # 1. What can be refused before the model is read.
    check_output(output, model)
    check_at_least_one(num_samples=num_samples, resample=resample)
    if columns is not None:
        check_at_least_one(columns=columns)
    check_sharpening(temperature, top_k, top_p)
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "prompt": prompt}
    if labels is not None:
        options["labels"] = [label.strip() for label in split_names(labels, "labels") or [""]]

    # 2. The model, and whether its samples can be written there.
    pipeline = load(model, device, revision=revision)
    if kind not in (None, pipeline.kind.name):
        raise InputError(f"model {str(model)!r} is one of {pipeline.kind.name}, not of {kind}")
    pipeline.kind.check_output(output, pipeline.codec)
    give_discriminator(pipeline, model, resample)

    # 3. Draw and write.
    parts = draw_in_parts(pipeline, num_samples, seed, resample=resample, bin_ranges=bin_ranges, **options)
    pipeline.kind.write(parts, output, num_samples, pipeline.codec, columns=columns, bin_ranges=bin_ranges)
    if output is not None:
        say(f"{num_samples} samples: {output}")


def draw_in_parts(
    pipeline: Pipeline, num_samples: int, seed: int, *, resample: int = 1, **options: Any
) -> Iterator[Samples]:
    """The samples of ``pipeline.generate``, of which `PART` are held at a time, with a bar on a terminal.

    Args:
        pipeline: The model.
        num_samples: As in its ``generate``.
        seed: Likewise.
        resample: Likewise.
        **options: Likewise.

    Returns:
        Parts, each as ``generate`` gives it.
    """
    check_at_least_one(num_samples=num_samples, resample=resample)
    rng = torch.Generator(pipeline.device).manual_seed(seed)
    classes = pipeline.num_classes
    shared = options.get("labels", range(classes or 0))
    places = None if classes is None else labels_of_samples(np.arange(len(shared)), num_samples, len(shared))
    size = max(PART // resample, 1)  # always whole batches, so that the samples are those of one call
    with tqdm(total=num_samples, desc="drawing", unit=" samples", file=sys.stderr, disable=None, leave=False) as bar:
        for start in range(0, num_samples, size):
            count = min(size, num_samples - start)
            if places is not None:
                options["labels"] = [shared[place] for place in places[start : start + count]]
            yield pipeline.generate(count, rng, PART, resample=resample, **options)
            bar.update(count)
