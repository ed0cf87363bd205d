"""Images from end to end: data -> networks -> training -> samples -> figures."""

import dataclasses
import logging
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.codecs import ImageCodec
from bgan_discrete.config import ImageDataConfig, ImageModelConfig, ImageTrainingConfig
from bgan_discrete.distributions.sampling import check_sharpening
from bgan_discrete.durable import replacing_file
from bgan_discrete.errors import InputError, visible
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.imaging import image_grid, save_png
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.images import check_counts, evaluate_images
from bgan_discrete.metrics.marginals import log_frequencies
from bgan_discrete.nn import ContinuousConvGenerator, ConvDiscriminator, ConvGenerator
from bgan_discrete.parallel import Processes, join_processes
from bgan_discrete.pipeline import GeneratedImages, ImagePipeline
from bgan_discrete.reporting import add_facts
from bgan_discrete.reporting.neighbours import IMAGE_PAIRS, absent_classes, nearest_images
from bgan_discrete.sources import ImageData, describe
from bgan_discrete.sources.arrays import split_names
from bgan_discrete.sources.rows import LABELS_ASIDE
from bgan_discrete.space import SampleSpace
from bgan_discrete.streams import say
from bgan_discrete.tasks.curves import plot_curves
from bgan_discrete.tasks.data import prepare_data
from bgan_discrete.tasks.discriminators import give_discriminator
from bgan_discrete.tasks.model_card import write_run_card
from bgan_discrete.tasks.run_folder import RunFolder, check_output
from bgan_discrete.tasks.runs import (
    FinishedRun,
    carry_out,
    check_report_path,
    count_parameters,
    hold_run,
    keep_evaluation,
    open_run,
    say_judging,
    show_evaluation,
    speaker,
    was_interrupted,
    write_report,
)
from bgan_discrete.tasks.sample_files import draw_in_parts, write_npz
from bgan_discrete.tasks.starts import start_codec
from bgan_discrete.training.labels import SHOWN_CLASSES, SHOWN_OF_CLASS
from bgan_discrete.training.run_log import read_metrics
from bgan_discrete.training.stopping import TrainingSummary
from bgan_discrete.training.trainer import Trainer

GRID_SAMPLES, GRID_OF_CLASS = 100, 10
FEW_OF_CLASS = 10
"""Classes of fewer training images are a warning of conditional runs."""

SHOWN_OF_FEW = 10
MAX_COLUMNS = 16
"""Of a grid with a class in a row, or in several whole rows."""

METRICS_SEED = 1
"""The seed of the samples that are judged; that of the pictures is the run's own."""

_log = logging.getLogger(__name__)


def build_networks(
    config: ImageModelConfig,
    space: SampleSpace,
    seed: int,
    continuous: bool = False,
    num_classes: int | None = None,
) -> tuple[Generator, ConvDiscriminator]:
    """The two networks of a configuration, initialised from a seed.

    Args:
        config: Widths, depths and options.
        space: Of the data.
        seed: Of the initial weights.
        continuous: Whether the generator gives grey levels, and the discriminator reads them.
        num_classes: Classes of the labels that both are given; None for no labels.

    Returns:
        Generator and discriminator.

    Raises:
        InputError: If an image is smaller than 8x8, or codes of a continuous generator are no scale.
    """
    if continuous and not space.ordered:
        raise InputError("continuous needs codes that are a scale: use --codec levels")
    torch.manual_seed(seed)
    generator = (ContinuousConvGenerator if continuous else ConvGenerator)(
        space, config.latent_size, config.generator_width, config.generator_depth, num_classes
    )
    discriminator = ConvDiscriminator(
        dataclasses.replace(space, num_categories=2)
        if continuous
        else space,  # grey levels are mixtures of black and white
        config.discriminator_width,
        config.discriminator_depth,
        None if config.input_encoding == "auto" else config.input_encoding,
        num_classes,
    )
    return generator, discriminator


def train_images(config: ImageTrainingConfig) -> FinishedRun[Evaluation]:
    """Train on images, from the data to the report, as ``scripts/train_images.py`` does.

    The run's folder then holds ``config.yaml``, ``metrics.jsonl``, ``samples/``, ``samples.png``, ``report.json``,
    ``report.html``, ``facts.json``, ``neighbours.png``, ``checkpoints/`` and ``model/``.

    Args:
        config: The run.

    Returns:
        What it left.

    Raises:
        InputError: If an option, the data or the folder cannot be used, before any training.
        NonFiniteError: If the training diverged; the last checkpoint stays.
    """
    with (
        join_processes(config.training.device) as processes,
        hold_run(config, processes),
    ):
        return _train(config, processes)


def _train(config: ImageTrainingConfig, processes: Processes) -> FinishedRun[Evaluation]:
    def prepare(folder: RunFolder) -> ImageData:
        data = prepare_data(config.data, start_codec(config, ImageCodec))
        if config.run.num_samples:
            check_counts(config.run.num_samples, len(data.codes), len(data.heldout_codes))
        if config.model.conditional:
            count_classes(data)
        return data

    folder, checkpoint, data = open_run(config, processes, prepare)
    speaker(processes)(describe(data))
    num_classes = count_classes(data) if config.model.conditional else None
    if num_classes is not None and processes.is_first:
        _warn_of_small_classes(data, num_classes)
    # A model without classes knows no names of them either, so that it can start one of other classes.
    space = data.space if num_classes is not None else dataclasses.replace(data.space, class_names=None)
    generator, discriminator = build_networks(
        config.model, space, config.training.seed, config.training.continuous != "none", num_classes
    )
    generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, data.num_categories)))
    networks = count_parameters(("generator", generator), ("discriminator", discriminator))
    speaker(processes)(f"networks: {networks}")

    def show_samples(step: int, codes: np.ndarray) -> np.ndarray:
        grid = image_grid(data.codec.decode(codes), None if num_classes is None else SHOWN_OF_CLASS)
        save_png(grid, folder.samples_of(step, ".png"))
        return grid

    trainer = Trainer(
        generator,
        discriminator,
        data.codes,
        config.training,
        output_dir=folder.root,
        labels=None if num_classes is None else data.labels,
        processes=processes,
    )

    def finish(summary: TrainingSummary) -> Evaluation | None:
        return _finish(config, folder, data, trainer, summary)

    return carry_out(
        config, folder, checkpoint, trainer, finish, show_samples, description=describe(data), networks=networks
    )


def _finish(
    config: ImageTrainingConfig, folder: RunFolder, data: ImageData, trainer: Trainer, summary: TrainingSummary
) -> Evaluation | None:
    """Model, picture, curves and metrics; of an interrupted training, which must end soon, the model alone."""
    pipeline = ImagePipeline(trainer.averaged_generator, data.codec, str(trainer.device))
    pipeline.save_pretrained(folder.model)
    add_facts(folder.root, {"training": dataclasses.asdict(summary), "dataset_commit": data.commit})
    if was_interrupted(summary, folder):
        return None
    shown = _samples_to_show(pipeline, config.training.seed)
    save_png(image_grid(shown.images, None if shown.labels is None else GRID_OF_CLASS), folder.samples)
    places = np.arange(min(IMAGE_PAIRS, len(shown.codes)))
    if shown.labels is not None:  # they stand class by class
        places = places * len(shown.codes) // len(places)
    neighbours = nearest_images(shown.codes[places], data.codes, data.codec.decode, folder.neighbours)
    classes = absent_classes(data.labels, data.heldout_labels, data.class_names)
    add_facts(folder.root, {"neighbours": neighbours, "classes_absent_from_training": classes})
    plot_curves(read_metrics(folder.metrics), folder.curves)
    report = None
    if config.run.num_samples:
        say_judging(config.run.num_samples)
        report = evaluate_pipeline(pipeline, data, config.run.num_samples)
        details = {"training": dataclasses.asdict(summary), "command": sys.argv}
        write_report(folder.report, report, data, details)
        say("\n" + report.format_table() + "\n")
    write_run_card(config, folder, pipeline, picture=folder.samples)
    say(f"model:   {folder.model}")
    say(f"picture: {folder.samples}")
    return report


def _samples_to_show(pipeline: ImagePipeline, seed: int) -> GeneratedImages:
    """For one grid; with classes ten of each of the first ones, so that a class is a row."""
    if pipeline.num_classes is None:
        return pipeline.generate(GRID_SAMPLES, seed=seed)
    shown = min(pipeline.num_classes, SHOWN_CLASSES)
    return pipeline.generate(shown * GRID_OF_CLASS, seed=seed, labels=range(shown))


def count_classes(data: ImageData) -> int:
    """C of labelled images that a conditional model can learn from.

    Args:
        data: The images.

    Returns:
        As many as have names; else the largest label plus 1.

    Raises:
        InputError: If there are no labels, or no training images of one of the classes, where these have no names.
    """
    if data.labels is None:
        why = next((note for note in data.notes if note.startswith(LABELS_ASIDE)), "none were found")
        raise InputError(
            f"conditional needs labels, and {data.name!r} has none that can be used ({why}): name their column by "
            "--label-column, or put the image files of each class into a subfolder of its own"
        )
    found = np.unique(data.labels)
    if found[0] < 0:
        raise InputError(f"conditional needs labels from 0 on, got {found[0]}")
    if data.class_names is not None:
        return len(data.class_names)
    if len(found) <= found[-1]:
        gap = int((found != np.arange(len(found))).argmax())
        raise InputError(
            f"conditional needs training images of every label from 0 to {found[-1]}; there is no {gap}: number the "
            "labels without gaps by np.unique(labels, return_inverse=True)[1]"
        )
    return len(found)


def _warn_of_small_classes(data: ImageData, num_classes: int) -> None:
    assert data.labels is not None
    counts = np.bincount(data.labels[data.labels < num_classes], minlength=num_classes)
    few = np.flatnonzero(counts < FEW_OF_CLASS)
    if not len(few):
        return
    names = data.class_names
    shown = ", ".join(f"{names[label] if names else label}: {counts[label]}" for label in few[:SHOWN_OF_FEW])
    more = f", and {len(few) - SHOWN_OF_FEW} more" if len(few) > SHOWN_OF_FEW else ""
    _log.warning(
        "%d of %d classes have fewer than %d training images, too few to learn them from (%s%s)",
        len(few),
        num_classes,
        FEW_OF_CLASS,
        visible(shown),
        more,
    )


def evaluate_pipeline(
    pipeline: ImagePipeline, data: ImageData, num_samples: int, seed: int = METRICS_SEED, resample: int = 1
) -> Evaluation:
    """Judge a model's samples against held-out images.

    Args:
        pipeline: The model.
        data: Images in the codes of the model's codec.
        num_samples: How many samples are drawn.
        seed: Of the samples.
        resample: See `ImagePipeline.generate`.

    Returns:
        The figures with their floors and baselines.

    Raises:
        InputError: If the data do not have the shape of the model's samples, or not its classes.
    """
    labels = asked = None
    if pipeline.num_classes is not None:
        labels = _labels_to_judge(data, pipeline.num_classes, num_samples, seed)
        asked = labels if data.labels is None else _classes_of_model(data, pipeline)[labels]
    samples = pipeline.generate(num_samples, seed=seed, labels=asked, resample=resample)
    if samples.codes.shape[1:] != tuple(data.event_shape):
        made, given = samples.codes.shape[1:], tuple(data.event_shape)
        raise InputError(
            f"dataset must have codes of the model's shape {made}, got {given}; bring its images to the model's size "
            f"with --resize {'x'.join(map(str, made[-2:]))}"
        )
    return evaluate_images(
        samples.codes,
        data.codes,
        data.heldout_codes,
        num_categories=data.num_categories,
        ordered=data.codec.ordered,
        decode=data.codec.decode,
        training_labels=data.labels,
        heldout_labels=data.heldout_labels,
        class_names=data.class_names,
        sample_labels=labels,
    )


def _classes_of_model(data: ImageData, pipeline: ImagePipeline) -> np.ndarray:
    """The model's number of each of the data's classes: by their names, where both have some."""
    known, names = pipeline.class_names, data.class_names
    if known is None or names is None:
        return np.arange(count_classes(data))
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise InputError(f"dataset must have the model's classes, {', '.join(known[:20])}; it has {unknown!r} too")
    return np.array([known.index(name) for name in names])


def _labels_to_judge(data: ImageData, num_classes: int, num_samples: int, seed: int) -> np.ndarray:
    """Labels in a random order: drawn from those of the training images, so that classes are as frequent as there."""
    rng = np.random.default_rng(seed)
    if data.labels is None:
        return rng.permutation(np.arange(num_samples) % num_classes)
    if count_classes(data) > num_classes:
        raise InputError(f"dataset must have the model's {num_classes} classes, got {count_classes(data)}")
    return rng.choice(data.labels, num_samples)


def evaluate_model(
    model: str | Path,
    config: ImageDataConfig,
    num_samples: int,
    output: Path | None,
    seed: int = METRICS_SEED,
    device: str = "auto",
    *,
    revision: str | None = None,
    resample: int = 1,
) -> Evaluation:
    """Judge a saved model, as ``scripts/evaluate_images.py`` does.

    Args:
        model: Its folder, or its id on the Hub.
        config: The data; they are encoded by the model's own codec, whatever codec stands here.
        num_samples: How many samples are drawn.
        output: Where the report goes; None writes none.
        seed: Of the samples.
        device: Where the model runs.
        revision: Branch, tag or commit of a model on the Hub.
        resample: Draws for each sample that is kept, by its importance weight under the run's discriminator; see
            `bgan_discrete.game.resampling`.

    Returns:
        The figures.

    Raises:
        InputError: If the model or the data cannot be used.
    """
    check_at_least_one(num_samples=num_samples)
    check_report_path(output, model, vars(config))
    pipeline = ImagePipeline.from_pretrained(model, device, revision=revision)
    _give_discriminator(pipeline, model, resample)
    data = prepare_data(config, codec=pipeline.codec)
    started = time.monotonic()
    say_judging(num_samples)
    report = evaluate_pipeline(pipeline, data, num_samples, seed, resample)
    show_evaluation(report, data)
    keep_evaluation(report, data, output, model=model, seed=seed, started=started, resample=resample)
    return report


def generate_images(
    model: str | Path,
    num_samples: int,
    output: Path,
    seed: int = 0,
    columns: int | None = None,
    device: str = "auto",
    *,
    temperature: float = 1.0,
    revision: str | None = None,
    labels: str | None = None,
    resample: int = 1,
) -> None:
    """Draw samples of a saved model into a file or folder, as ``scripts/generate_images.py`` does.

    However many they are, memory holds 1,000 of them, but for those of a grid.

    Args:
        model: Its folder, or its id on the Hub.
        num_samples: How many.
        output: ``*.png`` for one grid; ``*.npz`` for the arrays ``codes`` and ``images``, of a model with classes also
            ``labels``; any name without a suffix for a folder with one PNG a sample.
        seed: Of latents and draws.
        columns: Images in a row of a grid. If None about the square root of ``num_samples``; of a model with classes,
            where its samples come out even, so many that no row holds two classes.
        device: Where the model runs.
        temperature: Divides the logits of every pixel, > 0; 1 draws from the model's own distribution.
        revision: Branch, tag or commit of a model on the Hub.
        labels: Classes to draw, of a model with classes: numbers or names with commas between them, among which the
            samples are shared as `ImagePipeline.generate` does; None for all classes.
        resample: Draws for each sample that is kept, by its importance weight under the run's discriminator; see
            `bgan_discrete.game.resampling`.

    Raises:
        InputError: If an argument or the model cannot be used, or ``output`` is a folder that holds something.
        NonFiniteError: If what the model gives is no distribution.
    """
    _check_output(output)
    check_output(output, model)
    check_at_least_one(num_samples=num_samples)
    if columns is not None and columns < 1:
        raise InputError(f"columns must be at least 1, got {columns}")
    check_sharpening(temperature, None, None)
    asked = None if labels is None else [label.strip() for label in split_names(labels, "labels") or [""]]
    pipeline = ImagePipeline.from_pretrained(model, device, revision=revision)
    _give_discriminator(pipeline, model, resample)
    options: dict[str, Any] = {} if asked is None else {"labels": asked}
    drawn = draw_in_parts(pipeline, num_samples, seed, temperature=temperature, resample=resample, **options)
    parts = chain([next(drawn)], drawn)  # what cannot be drawn leaves no folder
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".png":
        made = list(parts)
        of_samples = None if made[0].labels is None else np.concatenate([part.labels for part in made])
        images = np.concatenate([part.images for part in made])
        save_png(image_grid(images, columns or _columns_of(of_samples)), output)
    elif output.suffix == ".npz":
        with replacing_file(output) as file:
            write_npz(file, parts, num_samples, {"images": pipeline.codec.decode})
    else:
        digits = max(6, len(str(num_samples - 1)))
        for number, image in enumerate(image for part in parts for image in part.images):
            save_png(image, output / f"{number:0{digits}d}.png")
    say(f"{num_samples} samples: {output}")


def _columns_of(labels: np.ndarray | None) -> int | None:
    """Columns of a grid in which no row holds two classes; None where that cannot be, or there are no classes."""
    if labels is None:
        return None
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    of_class = np.unique(np.diff(starts, append=len(labels)))
    if len(of_class) > 1:
        return None
    return max((width for width in range(2, MAX_COLUMNS + 1) if of_class[0] % width == 0), default=None)


def _check_output(output: Path) -> None:
    if output.suffix in (".png", ".npz"):
        if output.is_dir():
            raise InputError(f"output must be a file, got the folder {str(output)!r}")
    elif output.suffix:
        raise InputError(f"output must end in .png or .npz, or be a folder without a suffix, got {str(output)!r}")
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"output must be a new or empty folder, got {str(output)!r}")


def _give_discriminator(pipeline: ImagePipeline, model: str | Path, resample: int) -> None:
    def build(config: ImageTrainingConfig) -> Discriminator:
        is_continuous = config.training.continuous != "none"
        return build_networks(config.model, pipeline.generator.space, 0, is_continuous, pipeline.num_classes)[1]

    give_discriminator(pipeline, model, resample, ImageTrainingConfig, build)
