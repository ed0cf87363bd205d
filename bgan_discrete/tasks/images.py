"""Images from end to end: data -> networks -> training -> samples -> figures."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bgan_discrete import __version__
from bgan_discrete.durable import replace_text, replacing_file
from bgan_discrete.errors import InputError
from bgan_discrete.imaging import image_grid, save_png
from bgan_discrete.metrics import ImageReport, check_counts, evaluate_images, log_frequencies
from bgan_discrete.nn import ContinuousConvGenerator, ConvDiscriminator, ConvGenerator
from bgan_discrete.parallel import Processes, join_processes
from bgan_discrete.penalties import apply_spectral_normalization
from bgan_discrete.pipeline import GeneratedImages, ImagePipeline
from bgan_discrete.reporting import add_facts, recorded
from bgan_discrete.reporting.neighbours import absent_classes, nearest_images
from bgan_discrete.sources import ImageData, describe
from bgan_discrete.tasks.curves import plot_curves
from bgan_discrete.tasks.data import prepare_data
from bgan_discrete.tasks.run_folder import RunFolder
from bgan_discrete.training.config import DataConfig, ImageTrainingConfig, ModelConfig, TrainingConfig
from bgan_discrete.training.run_log import read_metrics
from bgan_discrete.training.trainer import Trainer, TrainingSummary

GRID_SAMPLES = 100
METRICS_SEED = 1
"""The seed of the samples that are judged; that of the pictures is the run's own."""

SIGNAL_EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143}

Say = Callable[[str], None]


@dataclass(frozen=True)
class ImageRun:
    """What a training left.

    Attributes:
        folder: The run's folder.
        summary: How the training ended.
        report: The final metrics; None if they were not asked for, or the training was interrupted.
    """

    folder: RunFolder
    summary: TrainingSummary
    report: ImageReport | None

    @property
    def exit_code(self) -> int:
        """0, or that of the signal which stopped the training."""
        return SIGNAL_EXIT_CODES.get(self.summary.stopped_by, 0)


def say(line: str) -> None:
    """Print a line for the user, at once."""
    print(line, flush=True)


def say_nothing(line: str) -> None:
    """In the place of `say`, in a process that does not speak."""


def describe_processes(processes: Processes, config: TrainingConfig) -> str:
    """Say how many processes train, and how they share a batch."""
    share = config.batch_size // processes.size
    if processes.size == 1:
        return f"processes:   1, batches of {share}"
    return f"processes:   {processes.size}, with {share} of each batch of {config.batch_size}"


def other_processes(trainer: Trainer) -> str:
    """What to say of a resumed run that has another number of processes now."""
    if trainer.began_with == trainer.processes.size:
        return ""
    return (
        f"; it began with {trainer.began_with} processes and goes on with {trainer.processes.size}: not bit for bit as "
        "it would have"
    )


def build_networks(
    config: ModelConfig,
    event_shape: tuple[int, ...],
    num_categories: int,
    ordered: bool,
    seed: int,
    continuous: bool = False,
) -> tuple[ConvGenerator, ConvDiscriminator]:
    """The two networks of a configuration, initialised from a seed.

    Args:
        config: Widths, depths and options.
        event_shape: ``(H, W)`` or ``(C, H, W)`` of the codes.
        num_categories: K.
        ordered: Whether codes are a scale.
        seed: Of the initial weights.
        continuous: Whether the generator gives grey levels, and the discriminator reads them.

    Returns:
        Generator and discriminator.

    Raises:
        InputError: If an image is smaller than 8x8, or codes of a continuous generator are no scale.
    """
    if continuous and not ordered:
        raise InputError("continuous needs codes that are a scale: use --codec levels")
    torch.manual_seed(seed)
    generator = (ContinuousConvGenerator if continuous else ConvGenerator)(
        event_shape, num_categories, config.latent_size, config.generator_width, config.generator_depth
    )
    discriminator = ConvDiscriminator(
        event_shape,
        2 if continuous else num_categories,  # grey levels are mixtures of black and white
        config.discriminator_width,
        config.discriminator_depth,
        encoding=None if config.input_encoding == "auto" else config.input_encoding,
        ordered=ordered,
    )
    if config.spectral_norm:
        apply_spectral_normalization(discriminator)
    return generator, discriminator


def train_images(config: ImageTrainingConfig) -> ImageRun:
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
    with join_processes(config.training.device, config.training.dist_timeout) as processes:
        return _train(config, processes)


def _train(config: ImageTrainingConfig, processes: Processes) -> ImageRun:
    folder = RunFolder(Path(config.run.output_dir))
    tell = say if processes.is_first else say_nothing

    def prepare() -> tuple[Path | None, ImageData]:
        if processes.is_first:
            folder.check_free(config.run.resume is not None, config.run.overwrite)
        checkpoint = _checkpoint_to_resume(config, folder)
        data = prepare_data(config.data)
        if config.run.num_samples:
            check_counts(config.run.num_samples, len(data.codes), len(data.heldout_codes))
        return checkpoint, data

    checkpoint, data = processes.after_the_first(prepare)
    tell(describe_processes(processes, config.training))
    tell(describe(data))
    generator, discriminator = build_networks(
        config.model,
        data.event_shape,
        data.num_categories,
        data.codec.ordered,
        config.training.seed,
        config.training.continuous != "none",
    )
    if config.model.output_bias:
        generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, data.num_categories)))
    networks = f"generator {_parameters(generator)}, discriminator {_parameters(discriminator)} parameters"
    tell(f"networks: {networks}")

    def show_samples(step: int, codes: np.ndarray) -> np.ndarray:
        grid = image_grid(data.codec.decode(codes))
        save_png(grid, folder.grid(step))
        return grid

    trainer = Trainer(
        generator,
        discriminator,
        data.codes,
        config.training,
        output_dir=folder.root,
        tensorboard=config.run.report_to == "tensorboard",
        on_samples=show_samples,
        processes=processes,
    )
    if checkpoint is not None:
        trainer.resume(checkpoint)
        tell(f"resumed from {checkpoint} at step {trainer.step}{other_processes(trainer)}")
    elif config.run.resume is not None:
        tell("there is no checkpoint yet: the run begins anew")
    if not processes.is_first:
        return ImageRun(folder, trainer.train(), None)
    if checkpoint is None:
        folder.clear()
    folder.root.mkdir(parents=True, exist_ok=True)
    config.save(folder.config)
    with recorded(folder.root, describe(data), networks=networks, device=str(trainer.device)):
        summary = trainer.train()
        say(f"stopped by {summary.stopped_by} after {summary.steps} steps; this call trained {summary.seconds:.0f} s")
        run = _finish(config, folder, data, trainer, summary)
    say(f"report:  {folder.page}")
    return run


def _checkpoint_to_resume(config: ImageTrainingConfig, folder: RunFolder) -> Path | None:
    if config.run.resume is None:
        return None
    changes = config.differences(folder.saved_config(ImageTrainingConfig))
    if changes:
        raise InputError(
            f"resume needs the configuration that the run began with, but changed: {'; '.join(changes)} "
            "(options of logging, samples and checkpoints may change)"
        )
    return folder.checkpoint_to_resume(config.run.resume)


def _finish(
    config: ImageTrainingConfig, folder: RunFolder, data: ImageData, trainer: Trainer, summary: TrainingSummary
) -> ImageRun:
    """Model, picture, curves and metrics; of an interrupted training, which must end soon, the model alone."""
    pipeline = ImagePipeline(_averaged_generator(trainer), data.codec, str(trainer.device))
    pipeline.save_pretrained(folder.model)
    add_facts(folder.root, {"training": dataclasses.asdict(summary)})
    if summary.stopped_by in SIGNAL_EXIT_CODES:
        say(f"interrupted: go on with the same command and --resume latest; the model so far is in {folder.model}")
        return ImageRun(folder, summary, None)
    shown = pipeline.generate(GRID_SAMPLES, seed=config.training.seed)
    save_png(image_grid(shown.images), folder.samples)
    neighbours = nearest_images(shown.codes, data.codes, data.codec.decode, folder.neighbours)
    classes = absent_classes(data.labels, data.heldout_labels, data.class_names)
    add_facts(folder.root, {"neighbours": neighbours, "classes_absent_from_training": classes})
    plot_curves(read_metrics(folder.metrics), folder.curves)
    report = None
    if config.run.num_samples:
        report = evaluate_pipeline(pipeline, data, config.run.num_samples)
        details = {"training": dataclasses.asdict(summary), "command": sys.argv}
        write_report(folder.report, report, data, details)
        say("\n" + report.format_table() + "\n")
    say(f"model:   {folder.model}")
    say(f"picture: {folder.samples}")
    return ImageRun(folder, summary, report)


def _averaged_generator(trainer: Trainer) -> ConvGenerator:
    module = trainer.average.module
    assert isinstance(module, ConvGenerator)
    return module


def _parameters(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"


def evaluate_pipeline(
    pipeline: ImagePipeline, data: ImageData, num_samples: int, seed: int = METRICS_SEED
) -> ImageReport:
    """Judge a model's samples against held-out images.

    Args:
        pipeline: The model.
        data: Images in the codes of the model's codec.
        num_samples: How many samples are drawn.
        seed: Of the samples.

    Returns:
        The figures with their floors and baselines.

    Raises:
        InputError: If the data do not have the shape of the model's samples.
    """
    samples = pipeline.generate(num_samples, seed=seed)
    if samples.codes.shape[1:] != tuple(data.event_shape):
        made, given = samples.codes.shape[1:], tuple(data.event_shape)
        raise InputError(f"dataset must have codes of the model's shape {made}, got {given}; see --resize and --color")
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
    )


def write_report(path: Path, report: ImageReport, data: ImageData, details: dict[str, Any]) -> None:
    """Write a report as JSON.

    Args:
        path: The file; its folder is made if missing.
        report: The figures.
        data: What they were taken against.
        details: What else belongs to them, of plain types.
    """
    document = {
        "dataset": data.name,
        "held_out": data.heldout_source,
        "codec": data.codec.describe(),
        **report.to_dict(),
        **details,
        "version": __version__,
        "torch": torch.__version__,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def evaluate_model(
    model: Path,
    config: DataConfig,
    num_samples: int,
    output: Path | None,
    seed: int = METRICS_SEED,
    device: str = "auto",
) -> ImageReport:
    """Judge a saved model, as ``scripts/evaluate_images.py`` does.

    Args:
        model: Its folder.
        config: The data; they are encoded by the model's own codec, whatever codec stands here.
        num_samples: How many samples are drawn.
        output: Where the report goes; None writes none.
        seed: Of the samples.
        device: Where the model runs.

    Returns:
        The figures.

    Raises:
        InputError: If the model or the data cannot be used.
    """
    if num_samples < 1:
        raise InputError(f"num_samples must be at least 1, got {num_samples}")
    if output is not None and output.is_dir():
        raise InputError(f"output must be a file such as report.json, got the folder {str(output)!r}")
    pipeline = ImagePipeline.from_pretrained(model, device)
    data = prepare_data(config, codec=pipeline.codec)
    started = time.monotonic()
    report = evaluate_pipeline(pipeline, data, num_samples, seed)
    say(f"dataset: {data.name}; held out: {data.heldout_source}")
    say("\n" + report.format_table() + "\n")
    if output is not None:
        details = {"model": str(model), "seed": seed, "evaluation_seconds": round(time.monotonic() - started, 1)}
        write_report(output, report, data, details)
        say(f"report: {output}")
    return report


def generate_images(
    model: Path, num_samples: int, output: Path, seed: int = 0, columns: int | None = None, device: str = "auto"
) -> GeneratedImages:
    """Draw samples of a saved model into a file or folder, as ``scripts/generate_images.py`` does.

    Args:
        model: Its folder.
        num_samples: How many.
        output: ``*.png`` for one grid; ``*.npz`` for the arrays ``codes`` and ``images``; any name without a suffix for
            a folder with one PNG a sample.
        seed: Of latents and draws.
        columns: Images in a row of a grid; about the square root of ``num_samples`` if None.
        device: Where the model runs.

    Returns:
        The samples.

    Raises:
        InputError: If an argument or the model cannot be used, or ``output`` is a folder that holds something.
    """
    _check_output(output)
    if num_samples < 1:
        raise InputError(f"num_samples must be at least 1, got {num_samples}")
    if columns is not None and columns < 1:
        raise InputError(f"columns must be at least 1, got {columns}")
    made = ImagePipeline.from_pretrained(model, device).generate(num_samples, seed=seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".png":
        save_png(image_grid(made.images, columns), output)
    elif output.suffix == ".npz":
        with replacing_file(output) as file:
            np.savez_compressed(file, codes=made.codes, images=made.images)
    else:
        digits = max(6, len(str(num_samples - 1)))
        for number, image in enumerate(made.images):
            save_png(image, output / f"{number:0{digits}d}.png")
    say(f"{num_samples} samples: {output}")
    return made


def _check_output(output: Path) -> None:
    if output.suffix in (".png", ".npz"):
        if output.is_dir():
            raise InputError(f"output must be a file, got the folder {str(output)!r}")
    elif output.suffix:
        raise InputError(f"output must end in .png or .npz, or be a folder without a suffix, got {str(output)!r}")
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"output must be a new or empty folder, got {str(output)!r}")
