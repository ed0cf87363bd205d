"""Integer arrays and tables from end to end: data -> networks -> training -> samples -> figures."""

import dataclasses
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.codecs import ArrayCodec, IntegersCodec, TableCodec
from bgan_discrete.codecs.base import write_text_atomically
from bgan_discrete.codecs.columns import CategoryColumn
from bgan_discrete.config import (
    ArrayAlgorithmConfig,
    ArrayDataConfig,
    ArrayModelConfig,
    ArrayTrainingConfig,
    split_holdout,
)
from bgan_discrete.distributions.sampling import check_sharpening, sample_latents
from bgan_discrete.durable import replacing_file
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.metrics.arrays import Entry, Extra, check_row_counts, evaluate_array, kmer_divergence
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.marginals import category_counts, log_frequencies
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvDiscriminator,
    ConvGenerator,
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    MLPDiscriminator,
    MLPGenerator,
    set_logit_spread,
)
from bgan_discrete.parallel import Processes, join_processes
from bgan_discrete.pipeline import ArrayPipeline
from bgan_discrete.reporting import add_facts
from bgan_discrete.reporting.neighbours import nearest_rows
from bgan_discrete.sources import ArrayData, describe, load_array
from bgan_discrete.sources.arrays import split_names
from bgan_discrete.sources.examples import SEQUENCE_LENGTH, VALUES_OF_RULES, broken_rules, motif_places
from bgan_discrete.sources.table_files import TABLE_SUFFIXES, csv_cell, format_csv, write_npy, write_table_parts
from bgan_discrete.space import SampleSpace
from bgan_discrete.streams import say
from bgan_discrete.tasks.curves import plot_curves
from bgan_discrete.tasks.discriminators import give_discriminator
from bgan_discrete.tasks.images import METRICS_SEED
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
from bgan_discrete.tasks.text import ABSENT_LOG_FREQUENCY, ESCORT, LOGIT_SPREAD
from bgan_discrete.training.run_log import read_metrics
from bgan_discrete.training.stopping import TrainingSummary
from bgan_discrete.training.trainer import Trainer

SHOWN_ROWS = 10
SAVED_ROWS = 100
MAX_POSITION_WEIGHTS = 8_000_000
"""The discriminator ``positions`` is chosen by itself up to so many weights of its first layer, P (P K) W."""

BYTES_OF_A_WEIGHT = 4 * 5
"""Itself, its gradient, its average and two moments of the optimiser, in 32 bits each."""

KMER = 4


def prepare_array(config: ArrayDataConfig, codec: ArrayCodec | None = None) -> ArrayData:
    """Load and encode the rows that a configuration names.

    Args:
        config: The data.
        codec: A codec to encode with, such as that of a trained model; None to make one of the data.

    Returns:
        Codes of the training and held-out rows.

    Raises:
        InputError: If the data cannot be used.
    """
    return load_array(
        config.dataset,
        layout=config.layout,
        columns=split_names(config.columns),
        drop=split_names(config.drop) or (),
        bins=config.bins,
        max_categories=config.max_categories,
        missing=split_names(config.missing) or (),
        delimiter=config.delimiter,
        header=config.header,
        limit=config.limit,
        **split_holdout(config.holdout),
        codec=codec,
    )


def build_array_networks(
    config: ArrayModelConfig, space: SampleSpace, seed: int, alternatives: bool = True
) -> tuple[Generator, Discriminator]:
    """The two networks of a configuration, initialised from a seed.

    Args:
        config: Kinds, widths, depths and options.
        space: Of the data.
        seed: Of the initial weights.
        alternatives: The discriminator is to score every code that could stand at each position.

    Returns:
        Generator and discriminator.

    Raises:
        InputError: If a network cannot take data of this shape.
    """
    kind = _discriminator_kind(config, space, alternatives)
    _check_networks(config, kind, space, alternatives)
    torch.manual_seed(seed)
    sizes = (config.latent_size, config.generator_width, config.generator_depth)
    generator: Generator
    is_sequence = len(space.event_shape) == 1
    if config.generator == "mlp":
        generator = MLPGenerator(space, *sizes, config.latent_kind)
    elif is_sequence:
        generator = ConvSequenceGenerator(space, *sizes, config.latent_kind)
    else:
        generator = ConvGenerator(space, *sizes)
    widths = (config.discriminator_width, config.discriminator_depth)
    discriminator: Discriminator
    if kind == "mlp":
        discriminator = MLPDiscriminator(space, *widths)
    elif kind == "positions" or alternatives:
        network: Any = "mlp" if kind == "positions" else "conv"
        discriminator = AlternativesDiscriminator(space, *widths, "rest", network, config.log_ratio_bound)
    elif is_sequence:
        discriminator = ConvSequenceDiscriminator(space, *widths)
    else:
        discriminator = ConvDiscriminator(space, *widths)
    return generator, discriminator


def measure_array_networks(config: ArrayModelConfig, space: SampleSpace, alternatives: bool = True) -> str:
    """The numbers of parameters of `build_array_networks`, before any memory is taken.

    Args:
        config: As there.
        space: Likewise.
        alternatives: Likewise.

    Returns:
        What `count_parameters` says of them.

    Raises:
        InputError: Also if the weights, their gradients, averages and moments need more memory than there is.
    """
    with torch.device("meta"):
        generator, discriminator = build_array_networks(config, space, 0, alternatives)
    sizes = count_parameters(("generator", generator), ("discriminator", discriminator))
    count = sum(weights.numel() for part in (generator, discriminator) for weights in part.parameters())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if BYTES_OF_A_WEIGHT * count > memory:
        raise InputError(
            f"the networks of {space.num_categories:,} categories at {space.num_positions:,} positions would "
            f"have {sizes}, too many for {memory / 2**30:.0f} GiB of memory: give fewer categories or smaller networks"
        )
    return sizes


def _discriminator_kind(config: ArrayModelConfig, space: SampleSpace, alternatives: bool) -> str:
    if config.discriminator != "auto":
        return config.discriminator
    if config.generator == "conv":
        return "conv"
    weights = space.num_positions**2 * space.num_categories * config.discriminator_width
    return "positions" if alternatives and len(space.event_shape) == 1 and weights <= MAX_POSITION_WEIGHTS else "mlp"


def _check_networks(config: ArrayModelConfig, kind: str, space: SampleSpace, alternatives: bool) -> None:
    shape = space.event_shape
    for part, name in (("generator", config.generator), ("discriminator", kind)):
        if name == "conv" and len(shape) != 1 and (len(shape) > 3 or min(shape[-2:]) < 8):
            raise InputError(
                f"{part} 'conv' takes sequences, or planes of at least 8 x 8, got samples {shape}: use mlp"
            )
    if kind == "positions" and len(shape) != 1:
        raise InputError(f"discriminator 'positions' takes samples of one axis, got {shape}: use mlp")
    if kind == "conv" and alternatives and len(shape) != 1:
        raise InputError(
            "credit 'alternatives' has no convolutions over planes: give --credit sample --estimator bgan_centered "
            "--num-draws 20, or --discriminator mlp"
        )
    if config.generator == "conv" and len(shape) != 1 and config.latent_kind != "normal":
        raise InputError(f"latent_kind must be 'normal' for convolutions over planes, got {config.latent_kind!r}")


def _check_neighbours(config: ArrayModelConfig, codec: ArrayCodec) -> None:
    for part, name in (("generator", config.generator), ("discriminator", config.discriminator)):
        if name == "conv" and codec.column_names is not None:
            raise InputError(
                f"{part} 'conv' needs neighbours along an array; the columns of a table have none: use mlp"
            )


def start_array_generator(generator: Generator, config: ArrayTrainingConfig, data: ArrayData) -> None:
    """Give a new generator the data's frequencies for an output bias, and its logits their spread over latents.

    Args:
        generator: As `build_array_networks` made it; changed in place.
        config: Its `logit_spread` is used.
        data: To train on.
    """
    frequencies = torch.from_numpy(log_frequencies(data.codes, data.num_categories))
    frequencies[torch.from_numpy(category_counts(data.codes, data.num_categories) == 0)] = ABSENT_LOG_FREQUENCY
    generator.set_output_bias(frequencies)
    spread = config.model.logit_spread
    if spread is None and config.training.credit == "alternatives":
        spread = LOGIT_SPREAD
    if spread is not None:
        rng = torch.Generator().manual_seed(config.training.seed)
        set_logit_spread(generator, sample_latents(500, generator.latent_size, generator.latent_kind, rng), spread)


def train_array(config: ArrayTrainingConfig) -> FinishedRun[Evaluation]:
    """Train on an array or a table, from the data to the report, as ``scripts/train_array.py`` does.

    The run's folder then holds ``config.yaml``, ``metrics.jsonl``, ``samples/``, ``samples.csv``, ``report.json``,
    ``report.html``, ``facts.json``, ``checkpoints/`` and ``model/``.

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


def _train(config: ArrayTrainingConfig, processes: Processes) -> FinishedRun[Evaluation]:
    def prepare(folder: RunFolder) -> ArrayData:
        data = prepare_array(config.data, start_codec(config, ArrayCodec))
        if config.run.num_samples:
            check_row_counts(config.run.num_samples, len(data.codes), len(data.heldout_codes))
        return data

    folder, checkpoint, data = open_run(config, processes, prepare)
    speaker(processes)(describe(data))
    training = with_array_escort(config.training)
    _check_neighbours(config.model, data.codec)
    networks = measure_array_networks(config.model, data.space, training.credit == "alternatives")
    speaker(processes)(f"networks: {networks}")
    generator, discriminator = build_array_networks(
        config.model, data.space, training.seed, training.credit == "alternatives"
    )
    start_array_generator(generator, config, data)

    def show_samples(step: int, codes: np.ndarray) -> str:
        text = rows_as_csv(data.codec.decode(codes))
        folder.grids.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder.samples_of(step, ".csv"), text)
        return text

    trainer = Trainer(
        generator,
        discriminator,
        data.codes,
        training,
        output_dir=folder.root,
        processes=processes,
    )

    def finish(summary: TrainingSummary) -> Evaluation | None:
        return _finish(config, folder, data, trainer, summary)

    return carry_out(
        config, folder, checkpoint, trainer, finish, show_samples, description=describe(data), networks=networks
    )


def with_array_escort(training: ArrayAlgorithmConfig) -> ArrayAlgorithmConfig:
    """The algorithm with its `escort`: `ESCORT` where none was asked for and credit goes by alternatives."""
    if training.escort is not None or training.credit != "alternatives":
        return training
    return dataclasses.replace(training, escort=ESCORT)


def _finish(
    config: ArrayTrainingConfig, folder: RunFolder, data: ArrayData, trainer: Trainer, summary: TrainingSummary
) -> Evaluation | None:
    pipeline = ArrayPipeline(trainer.averaged_generator, data.codec, str(trainer.device))
    pipeline.save_pretrained(folder.model)
    add_facts(folder.root, {"training": dataclasses.asdict(summary)})
    if was_interrupted(summary, folder):
        return None
    made = pipeline.generate(SAVED_ROWS, seed=config.training.seed)
    text = rows_as_csv(made.rows)
    write_text_atomically(folder.rows, text)

    def lines(codes: np.ndarray) -> list[str]:
        return [_row_as_line(data.codec.decode(codes[place : place + 1])) for place in range(len(codes))]

    add_facts(folder.root, {"neighbours": nearest_rows(made.codes, data.codes, lines)})
    plot_curves(read_metrics(folder.metrics), folder.curves)
    report = None
    if config.run.num_samples:
        say_judging(config.run.num_samples)
        report = evaluate_array_pipeline(pipeline, data, config.run.num_samples)
        details = {"training": dataclasses.asdict(summary), "command": sys.argv}
        write_report(folder.report, report, data, details)
        say("\n" + report.format_table() + "\n")
    write_run_card(config, folder, pipeline, lines=text.splitlines()[: SHOWN_ROWS + 1])
    say("\n".join(["samples:", *(f"    {line[:112]}" for line in text.splitlines()[: SHOWN_ROWS + 1])]))
    say(f"model:   {folder.model}")
    say(f"samples: {folder.rows}")
    return report


def rows_as_csv(rows: Any) -> str:
    """Rows as text: a table with its column names, an array with the integers or characters of a sample in one line."""
    if isinstance(rows, Mapping):
        return format_csv(rows)
    return "".join(",".join(map(csv_cell, row)) + "\n" for row in np.asarray(rows).reshape(len(rows), -1).tolist())


def _row_as_line(row: Any) -> str:
    """A single row as a line of CSV without the names of its columns."""
    names = format_csv({name: [] for name in row}) if isinstance(row, Mapping) else ""
    return rows_as_csv(row).removeprefix(names).removesuffix("\n")


def evaluate_array_pipeline(
    pipeline: ArrayPipeline, data: ArrayData, num_samples: int, seed: int = METRICS_SEED, resample: int = 1
) -> Evaluation:
    """Judge a model's rows.

    Args:
        pipeline: The model.
        data: Rows in the codes of the model's codec.
        num_samples: How many samples are drawn.
        seed: Of the samples.
        resample: See `ArrayPipeline.generate`.

    Returns:
        The figures.

    Raises:
        InputError: If there are too few rows or samples.
    """
    check_row_counts(num_samples, len(data.codes), len(data.heldout_codes))
    return evaluate_array(
        pipeline.generate(num_samples, seed=seed, resample=resample).codes,
        data.codes,
        data.heldout_codes,
        data.space,
        column_names=data.codec.column_names,
        category_names=data.codec.category_names() if isinstance(data.codec, TableCodec) else None,
        neighbours=isinstance(pipeline.generator, ConvSequenceGenerator),
        extra=figures_of_example(data),
    )


def figures_of_example(data: ArrayData) -> Extra | None:
    """What only the examples can be judged by, because a program made them.

    Args:
        data: To judge by.

    Returns:
        The figures; None for other data, and where columns, bins or other rows make the examples something else.
    """
    codec = data.codec
    if data.name == "table" and isinstance(codec, TableCodec):
        columns = {column.name: column for column in codec.columns if isinstance(column, CategoryColumn)}
        if not all(
            name in columns and columns[name].other is None and set(columns[name].categories) <= values
            for name, values in VALUES_OF_RULES.items()
        ):
            return None

        def rules(codes: np.ndarray) -> dict[str, Entry]:
            broken = broken_rules(codec.decode(codes))
            return {f"rows that break: {rule}": (share, "lower") for rule, share in broken.items()}

        return rules
    is_motifs = isinstance(codec, IntegersCodec) and codec.describe() == f"{SEQUENCE_LENGTH} integers from 0 to 3"
    if data.name != "motifs" or not is_motifs:
        return None
    places = _shares_of_places(data.codes)

    def motif(codes: np.ndarray) -> dict[str, Entry]:
        found = _shares_of_places(codes)
        return {
            "share of sequences with the motif": (float((motif_places(codes) >= 0).mean()), "floor"),
            "places of the motif, total variation": (0.5 * float(np.abs(found - places).sum()), "lower"),
            f"{KMER}-mers, divergence (bits)": (kmer_divergence(codes, data.codes, KMER, data.num_categories), "lower"),
        }

    return motif


def _shares_of_places(codes: np.ndarray) -> np.ndarray:
    """How often the motif begins at each position, among the sequences that have it; zeros where none has."""
    places = motif_places(codes)
    counts = np.bincount(places[places >= 0], minlength=codes.shape[1])
    return counts / max(counts.sum(), 1)


def evaluate_array_model(
    model: str | Path,
    config: ArrayDataConfig,
    num_samples: int,
    output: Path | None,
    seed: int = METRICS_SEED,
    device: str = "auto",
    *,
    revision: str | None = None,
    resample: int = 1,
) -> Evaluation:
    """Judge a saved model, as ``scripts/evaluate_array.py`` does.

    Args:
        model: Its folder, or its id on the Hub.
        config: The data; they are encoded by the model's own codec, whatever bins or columns stand here.
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
    check_report_path(output, model, vars(config))
    pipeline = ArrayPipeline.from_pretrained(model, device, revision=revision)
    _give_discriminator(pipeline, model, resample)
    data = prepare_array(config, codec=pipeline.codec)
    started = time.monotonic()
    say_judging(num_samples)
    report = evaluate_array_pipeline(pipeline, data, num_samples, seed, resample)
    show_evaluation(report, data)
    keep_evaluation(report, data, output, model=model, seed=seed, started=started, resample=resample)
    return report


def generate_array(
    model: str | Path,
    num_samples: int,
    output: Path,
    seed: int = 0,
    bin_ranges: bool = False,
    device: str = "auto",
    *,
    temperature: float = 1.0,
    revision: str | None = None,
    resample: int = 1,
) -> None:
    """Write samples of a saved model, as ``scripts/generate_array.py`` does; however many, memory holds 1,000 of them.

    Args:
        model: Its folder, or its id on the Hub.
        num_samples: How many.
        output: Of a table ``*.csv``, ``*.tsv``, ``*.parquet``, or ``*.npy`` for an array with named fields; of an array
            ``*.npy`` for its integers, or ``*.csv`` with the integers of a sample in one line; of either ``*.npz``
            for the codes (and the names of the columns, or the integers).
        seed: Of latents and draws.
        bin_ranges: Write a bin of a table's numbers as text such as ``[10, 25)`` rather than a number inside it.
        device: Where the model runs.
        temperature: Divides the logits of every position, > 0; 1 draws from the model's own distribution.
        revision: Branch, tag or commit of a model on the Hub.
        resample: Draws for each sample that is kept, by its importance weight under the run's discriminator; see
            `bgan_discrete.game.resampling`.

    Raises:
        InputError: If an argument or the model cannot be used.
        NonFiniteError: If what the model gives is no distribution.
    """
    check_output(output, model)
    check_at_least_one(num_samples=num_samples)
    suffix = output.suffix.lower()
    if suffix not in (*TABLE_SUFFIXES, ".npy", ".npz"):
        raise InputError(f"output must end in {', '.join((*TABLE_SUFFIXES, '.npy'))} or .npz, got {str(output)!r}")
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"output must be a file in a folder that exists, got {str(output)!r}")
    check_sharpening(temperature, None, None)
    pipeline = ArrayPipeline.from_pretrained(model, device, revision=revision)
    codec = pipeline.codec
    if not isinstance(codec, TableCodec) and suffix not in (".npy", ".npz", ".csv"):
        raise InputError(f"output of an array model must end in .npy, .npz or .csv, got {str(output)!r}")
    _give_discriminator(pipeline, model, resample)
    options: dict[str, Any] = {"bin_ranges": bin_ranges, "temperature": temperature, "resample": resample}
    parts = draw_in_parts(pipeline, num_samples, seed, **options)
    with replacing_file(output) as file:
        if suffix == ".npz" and isinstance(codec, TableCodec):
            write_npz(file, parts, num_samples, {}, columns=np.array(codec.column_names))
        elif suffix == ".npz":
            write_npz(file, parts, num_samples, {"rows": codec.decode})
        elif isinstance(codec, TableCodec):
            possible = {column.name: column.decode(np.arange(column.size), bin_ranges) for column in codec.columns}
            write_table_parts(file, suffix, (part.rows for part in parts), num_samples, possible)
        elif suffix == ".npy":
            write_npy(file, (part.rows for part in parts), num_samples)
        else:
            for part in parts:
                file.write(rows_as_csv(part.rows).encode())
    say(f"{num_samples} samples: {output}")


def _give_discriminator(pipeline: ArrayPipeline, model: str | Path, resample: int) -> None:
    def build(config: ArrayTrainingConfig) -> Discriminator:
        return build_array_networks(config.model, pipeline.codec.space, 0, config.training.credit == "alternatives")[1]

    give_discriminator(pipeline, model, resample, ArrayTrainingConfig, build)
