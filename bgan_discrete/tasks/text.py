"""Text from end to end: data -> networks -> training -> samples -> figures."""

import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import torch

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.codecs import TextCodec, TextCodecOptions
from bgan_discrete.codecs.base import write_text_atomically
from bgan_discrete.config import (
    CreditName,
    TextAlgorithmConfig,
    TextDataConfig,
    TextModelConfig,
    TextTrainingConfig,
    split_holdout,
    split_revision,
)
from bgan_discrete.distributions.sampling import check_sharpening, sample_latents
from bgan_discrete.durable import replace_text, replacing_file
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.marginals import category_counts, log_frequencies
from bgan_discrete.metrics.text import WGAN_GP_SAMPLES, evaluate_text, wgan_gp_divergences
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUDiscriminator,
    GRUGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
    set_logit_spread,
)
from bgan_discrete.parallel import Processes, join_processes
from bgan_discrete.pipeline import TextPipeline
from bgan_discrete.reporting import add_facts
from bgan_discrete.reporting.neighbours import nearest_texts
from bgan_discrete.sources import TextData, describe, load_text
from bgan_discrete.sources.arithmetic import equations
from bgan_discrete.sources.data import load_data, save_data
from bgan_discrete.space import SampleSpace
from bgan_discrete.streams import say, write_product
from bgan_discrete.tasks.curves import plot_curves, plot_temperatures
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
from bgan_discrete.tasks.sample_files import draw_in_parts
from bgan_discrete.tasks.starts import start_codec
from bgan_discrete.training.run_log import read_metrics
from bgan_discrete.training.stopping import TrainingSummary
from bgan_discrete.training.trainer import Trainer

SHOWN_LINES = 20
ABSENT_LOG_FREQUENCY = -30.0
"""Where a generator's output bias starts for a token that the training data never hold, such as the unknown one.

A discriminator has seen it on neither side and may think well of it at first; Adam would follow at its full rate,
however small the gradient. At this bias the gradient is lost in Adam's epsilon, and the token is never drawn.
"""
ESCORT = 0.5
"""Exponent of the choices of a generator of independent positions, unless another is asked for."""

LOGIT_SPREAD = 1.0
"""Standard deviation over latents that one-shot generators start with where credit goes by alternatives."""

MAX_JUDGING_TEXTS = 200_000
"""Samples are judged by at most so many texts of a part of the data, evenly spaced; the report says by how many."""

TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)

GENERATORS = {
    "conv": ConvSequenceGenerator,
    "mlp": MLPSequenceGenerator,
    "gru": GRUGenerator,
    "transformer": TransformerGenerator,
}
DISCRIMINATORS = {"conv": ConvSequenceDiscriminator, "gru": GRUDiscriminator}


def prepare_text(config: TextDataConfig, codec: TextCodec | None = None) -> TextData:
    """Load and encode the text that a configuration names.

    Args:
        config: The data.
        codec: A codec to encode with, such as that of a trained model; None to make the configuration's.

    Returns:
        Codes of the training and held-out texts.

    Raises:
        InputError: If the data cannot be used.
    """
    has_file = config.tokenizer.endswith(".model")
    options = codec or TextCodecOptions(
        tokenizer="sentencepiece" if has_file else config.tokenizer,
        length=config.length,
        ends=config.layout == "pad",
        vocabulary_size=config.vocabulary_size,
        model_file=config.tokenizer if has_file else None,
    )
    dataset, revision = split_revision(config.dataset)
    return load_text(
        dataset,
        column=config.column,
        split=config.split,
        unit=config.unit,
        layout=config.layout if codec is None else ("pad" if codec.ends else "window"),
        limit=config.limit,
        streaming=config.streaming,
        **split_holdout(config.holdout),
        codec=options,
        revision=revision,
    )


def build_text_networks(
    config: TextModelConfig, space: SampleSpace, seed: int, credit: CreditName = "sample"
) -> tuple[Generator, Discriminator]:
    """The two networks of a configuration, initialised from a seed.

    Args:
        config: Kinds, widths, depths and options.
        space: Of the data.
        seed: Of the initial weights.
        credit: Whose F the discriminator is to give: of samples, prefixes or alternatives.

    Returns:
        Generator and discriminator.
    """
    torch.manual_seed(seed)
    generator = GENERATORS[config.generator](
        space,
        config.latent_size,
        config.generator_width,
        config.generator_depth,
        latent_kind=config.latent_kind,
    )
    sizes = (config.discriminator_width, config.discriminator_depth)
    discriminator: Discriminator
    if credit == "alternatives":
        context: Literal["prefix", "rest"] = "rest" if config.generator in ("conv", "mlp") else "prefix"
        discriminator = AlternativesDiscriminator(space, *sizes, context, config.discriminator, config.log_ratio_bound)
    else:
        discriminator = DISCRIMINATORS[config.discriminator](space, *sizes, per_prefix=credit == "prefix")
    return generator, discriminator


def with_escort(config: TextTrainingConfig) -> TextAlgorithmConfig:
    """The algorithm with its `escort`: where none was asked for, what suits the generator.

    A generator that draws all positions at once has to become sharp at each of them to write a word at all, and there a
    wrong choice would stay. An autoregressive one learns better from the exact gradient.
    """
    training = config.training
    if training.escort is not None or training.credit != "alternatives":
        return training
    return dataclasses.replace(training, escort=ESCORT if config.model.generator in ("conv", "mlp") else 1.0)


def start_generator(generator: Generator, config: TextTrainingConfig, data: TextData) -> None:
    """Give a new generator the data's frequencies for an output bias, and its logits their spread over latents.

    Args:
        generator: As `build_text_networks` made it; changed in place.
        config: Its `logit_spread` is used.
        data: To train on.
    """
    frequencies = torch.from_numpy(log_frequencies(data.codes, data.num_categories))
    occurs = torch.from_numpy(category_counts(data.codes, data.num_categories).any(0))
    frequencies[..., ~occurs] = ABSENT_LOG_FREQUENCY
    generator.set_output_bias(frequencies)
    spread = config.model.logit_spread
    if spread is None and config.training.credit == "alternatives" and config.model.generator in ("conv", "mlp"):
        spread = LOGIT_SPREAD
    if spread is not None:
        latents = sample_latents(500, generator.latent_size, generator.latent_kind)
        set_logit_spread(generator, latents, spread)


def train_text(config: TextTrainingConfig) -> FinishedRun[Evaluation]:
    """Train on text, from the data to the report, as ``scripts/train_text.py`` does.

    The run's folder then holds ``config.yaml``, ``metrics.jsonl``, ``samples/``, ``samples.txt``, ``report.json``,
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


def _train(config: TextTrainingConfig, processes: Processes) -> FinishedRun[Evaluation]:
    def prepare(folder: RunFolder) -> TextData:
        if config.run.num_samples == 1:
            raise InputError("num_samples must be 0 (no metrics) or at least 2, got 1")
        return _prepare_once(config, folder, processes)

    try:
        folder, checkpoint, data = open_run(config, processes, prepare)
    finally:
        # The codes have no name any more, but are there as long as somebody maps them.
        if processes.local_rank == 0:
            shutil.rmtree(_shared_folder(RunFolder(Path(config.run.output_dir)), processes), ignore_errors=True)
    speaker(processes)(describe(data))
    generator, discriminator = build_text_networks(
        config.model, data.space, config.training.seed, config.training.credit
    )
    start_generator(generator, config, data)
    networks = count_parameters(("generator", generator), ("discriminator", discriminator))
    speaker(processes)(f"networks: {networks}")

    def show_samples(step: int, codes: np.ndarray) -> str:
        text = "".join(f"{on_one_line(line)}\n" for line in data.codec.decode(codes))
        folder.grids.mkdir(parents=True, exist_ok=True)
        replace_text(folder.samples_of(step, ".txt"), text, errors="replace")
        return text

    trainer = Trainer(
        generator,
        discriminator,
        data.codes,
        with_escort(config),
        output_dir=folder.root,
        processes=processes,
    )

    def finish(summary: TrainingSummary) -> Evaluation | None:
        return _finish(config, folder, data, trainer, summary)

    return carry_out(
        config, folder, checkpoint, trainer, finish, show_samples, description=describe(data), networks=networks
    )


def _prepare_once(config: TextTrainingConfig, folder: RunFolder, processes: Processes) -> TextData:
    """The data; of the processes on a machine the first one reads the text, the others map its codes."""
    if processes.size == 1:
        return prepare_text(config.data, start_codec(config, TextCodec))
    shared = _shared_folder(folder, processes)
    if processes.local_rank == 0:
        data = prepare_text(config.data, start_codec(config, TextCodec))
        shutil.rmtree(shared, ignore_errors=True)
        shared.mkdir(parents=True)
        save_data(data, shared)
    return load_data(shared)


def _shared_folder(folder: RunFolder, processes: Processes) -> Path:
    """One for each machine, whether the run's folder is on a common disk or not."""
    return folder.root / f".codes-{processes.rank - processes.local_rank}"


def _finish(
    config: TextTrainingConfig, folder: RunFolder, data: TextData, trainer: Trainer, summary: TrainingSummary
) -> Evaluation | None:
    pipeline = TextPipeline(trainer.averaged_generator, data.codec, str(trainer.device))
    pipeline.save_pretrained(folder.model)
    add_facts(folder.root, {"training": dataclasses.asdict(summary), "dataset_commit": data.commit})
    if was_interrupted(summary, folder):
        return None
    made = pipeline.generate(100, seed=config.training.seed)
    texts = made.texts
    write_text_atomically(folder.lines, "".join(f"{on_one_line(text)}\n" for text in texts))
    neighbours = nearest_texts(made.codes, data.codes, data.codec.lengths, data.codec.decode)
    tokens = sum(int(data.codec.lengths(data.codes[i : i + 65536]).sum()) for i in range(0, len(data.codes), 65536))
    unknown = data.counts["unknown"] / max(tokens, 1)
    add_facts(folder.root, {"neighbours": neighbours, "unknown_share": unknown})
    plot_curves(read_metrics(folder.metrics), folder.curves)
    report = None
    if config.run.num_samples:
        say_judging(config.run.num_samples)
        report = evaluate_text_pipeline(pipeline, data, config.run.num_samples)
        details = {"training": dataclasses.asdict(summary), "command": sys.argv}
        write_report(folder.report, report, data, details)
        say("\n" + report.format_table() + "\n")
    write_run_card(config, folder, pipeline, lines=texts[:SHOWN_LINES])
    say("\n".join(["samples:", *(f"    {on_one_line(text)}" for text in texts[:SHOWN_LINES])]))
    say(f"model:   {folder.model}")
    say(f"samples: {folder.lines}")
    return report


def evaluate_text_pipeline(
    pipeline: TextPipeline,
    data: TextData,
    num_samples: int,
    seed: int = METRICS_SEED,
    *,
    others: dict[str, TextPipeline] | None = None,
    wgan_gp: bool = False,
    resample: int = 1,
) -> Evaluation:
    """Judge a model's texts.

    Args:
        pipeline: The model.
        data: Texts in the codes of the model's codec.
        num_samples: How many samples are drawn, >= 2.
        seed: Of the samples.
        others: Other models, by the names of their rows.
        wgan_gp: Add the divergences of 640 samples of 32 characters.
        resample: Of the model's own samples; see `TextPipeline.generate`.

    Returns:
        The figures.

    Raises:
        InputError: If there are too few samples.
    """
    if num_samples < 2:
        raise InputError(f"num_samples must be at least 2, got {num_samples}")
    training, heldout = _judging_texts(data)
    texts = pipeline.generate(num_samples, seed=seed, resample=resample).texts
    if not any(texts):
        raise InputError("the model generates only empty texts: there is nothing to judge")
    report = evaluate_text(
        texts,
        training,
        heldout,
        ends=data.codec.ends,
        valid=equations() if data.name == "arithmetic" else None,
        others={name: other.generate(num_samples, seed=seed).texts for name, other in (others or {}).items()},
        num_available=len(data.codes),
    )
    if wgan_gp:
        few = num_samples < WGAN_GP_SAMPLES
        drawn = pipeline.generate(WGAN_GP_SAMPLES, seed=seed, resample=resample).texts if few else texts
        report.facts["wgan_gp"] = wgan_gp_divergences(drawn, training, heldout)
    return report


def _judging_texts(data: TextData) -> tuple[list[str], list[str]]:
    """Training and held-out texts, at most `MAX_JUDGING_TEXTS` of each."""
    parts = []
    for codes in (data.codes, data.heldout_codes):
        rows = np.linspace(0, len(codes) - 1, min(len(codes), MAX_JUDGING_TEXTS)).astype(np.int64)
        parts.append(data.codec.decode(np.ascontiguousarray(codes[rows])))
    training, heldout = parts
    return training, heldout


def evaluate_text_model(
    model: str | Path,
    config: TextDataConfig,
    num_samples: int,
    output: Path | None,
    *,
    against: str | Path | None = None,
    protocol: str = "full",
    sweep_temperature: bool = False,
    seed: int = METRICS_SEED,
    device: str = "auto",
    revision: str | None = None,
    resample: int = 1,
) -> Evaluation:
    """Judge a saved model, as ``scripts/evaluate_text.py`` does.

    Args:
        model: Its folder, or its id on the Hub.
        config: The data; they are encoded by the model's own codec, whatever tokenizer stands here.
        num_samples: How many samples are drawn.
        output: Where the report goes; None writes none. The curve of a sweep goes beside it, as a PNG.
        against: Another model of the same data, such as the same generator trained by maximum likelihood.
        protocol: ``full``, or ``wgan-gp`` to add the divergences of 640 samples of 32 characters.
        sweep_temperature: Judge both models at several temperatures too.
        seed: Of the samples.
        device: Where the model runs.
        revision: Branch, tag or commit of a model on the Hub.
        resample: Draws for each sample that is kept, by its importance weight under the run's discriminator; see
            `bgan_discrete.game.resampling`.

    Returns:
        The figures.

    Raises:
        InputError: If a model or the data cannot be used.
    """
    if num_samples < 2:
        raise InputError(f"num_samples must be at least 2, got {num_samples}")
    check_report_path(output, model, vars(config))
    pipeline = TextPipeline.from_pretrained(model, device, revision=revision)
    _give_discriminator(pipeline, model, resample)
    others = {} if against is None else {"against": TextPipeline.from_pretrained(against, device)}
    data = prepare_text(config, codec=pipeline.codec)
    tokens = int(data.codec.lengths(np.asarray(data.heldout_codes)).sum())
    unknown = data.counts["heldout_unknown"] / max(tokens, 1)
    if unknown:
        say(f"unknown: {unknown:.1%} of the held-out tokens, which the model's vocabulary lacks; all count as one")
    started = time.monotonic()
    say_judging(num_samples)
    report = evaluate_text_pipeline(
        pipeline, data, num_samples, seed, others=others, wgan_gp=protocol == "wgan-gp", resample=resample
    )
    if sweep_temperature:
        report.facts["sweep"] = {
            name: sweep_temperatures(part, data, num_samples, seed, resample if part is pipeline else 1)
            for name, part in {"model": pipeline, **others}.items()
        }
    show_evaluation(report, data)
    if protocol == "wgan-gp":
        for name, row in report.facts["wgan_gp"].items():
            figures = "  ".join(f"{key} {value:.3f}" for key, value in row.items())
            say(f"640 samples of 32 characters, {name}: {figures}")
    for name, points in report.facts.get("sweep", {}).items():
        for point in points:
            say(f"{name}: " + "  ".join(f"{key} {value:.3f}" for key, value in point.items()))
    keep_evaluation(report, data, output, model=model, seed=seed, started=started, resample=resample)
    if output is not None and sweep_temperature:
        curve = output.with_suffix(".png")
        if plot_temperatures(report.facts["sweep"], curve):
            say(f"curve:  {curve}")
    return report


def sweep_temperatures(
    pipeline: TextPipeline, data: TextData, num_samples: int, seed: int = METRICS_SEED, resample: int = 1
) -> list[dict[str, float]]:
    """Quality and diversity at several temperatures: a single point would only measure sharpness.

    Args:
        pipeline: The model.
        data: Texts in the codes of the model's codec.
        num_samples: How many samples are drawn at each temperature.
        seed: Of the samples.
        resample: See `TextPipeline.generate`.

    Returns:
        A dictionary for each temperature: the temperature, JSD-4, forward and reverse perplexity, BLEU-4, Self-BLEU-4.
    """
    training, heldout = _judging_texts(data)
    names = ("JSD-4", "forward perplexity", "reverse perplexity", "BLEU-4", "Self-BLEU-4", "valid")
    points = []
    for temperature in TEMPERATURES:
        texts = pipeline.generate(num_samples, seed=seed, temperature=temperature, resample=resample).texts
        valid = equations() if data.name == "arithmetic" else None
        report = evaluate_text(texts, training, heldout, ends=data.codec.ends, valid=valid, markov=False)
        row = {figure.title: figure.value for figure in report.figures.values()}
        points.append({"temperature": temperature, **{name: row[name] for name in names if name in row}})
    return points


def on_one_line(text: str) -> str:
    """A text with its line breaks written as ``\\n`` and ``\\r``: one line a sample. JSON keeps a text exactly."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def generate_text(
    model: str | Path,
    num_samples: int,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prompt: str = "",
    output: Path | None = None,
    device: str = "auto",
    stream: TextIO | None = None,
    revision: str | None = None,
    resample: int = 1,
) -> None:
    """Write samples of a saved model, as ``scripts/generate_text.py`` does; however many, memory holds 1,000 of them.

    Args:
        model: Its folder, or its id on the Hub.
        num_samples: How many.
        seed: Of latents and draws.
        temperature: See `bgan_discrete.distributions.sampling.sharpen`.
        top_k: Likewise.
        top_p: Likewise.
        prompt: What every sample begins with; for autoregressive generators.
        output: ``*.jsonl`` for one JSON object a line, else a text file with one sample a line, whose line breaks are
            written as `on_one_line` does; None for ``stream``.
        device: Where the model runs.
        stream: Where samples go without ``output``; None for stdout, see `bgan_discrete.streams.write_product`.
        revision: Branch, tag or commit of a model on the Hub.
        resample: Draws for each sample that is kept, by its importance weight under the run's discriminator; see
            `bgan_discrete.game.resampling`.

    Raises:
        InputError: If an argument or the model cannot be used.
        NonFiniteError: If what the model gives is no distribution.
        StorageError: If the samples cannot be written.
    """
    check_output(output, model)
    check_at_least_one(num_samples=num_samples)
    check_sharpening(temperature, top_k, top_p)
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise InputError(f"output must be a file in a folder that exists, got {str(output)!r}")
    write = write_product if stream is None else stream.write
    if output is None:
        write("")  # before the work, whether it can be written at all
    pipeline = TextPipeline.from_pretrained(model, device, revision=revision)
    _give_discriminator(pipeline, model, resample)
    options: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "prompt": prompt,
        "resample": resample,
    }
    parts = draw_in_parts(pipeline, num_samples, seed, **options)
    if output is None:
        for part in parts:
            write("".join(f"{on_one_line(text)}\n" for text in part.texts))
        return
    with replacing_file(output) as file:
        for text in (text for part in parts for text in part.texts):
            is_json = output.suffix == ".jsonl"
            line = json.dumps({"text": text}, ensure_ascii=False) if is_json else on_one_line(text)
            file.write(f"{line}\n".encode())
    say(f"{num_samples} samples: {output}")


def _give_discriminator(pipeline: TextPipeline, model: str | Path, resample: int) -> None:
    def build(config: TextTrainingConfig) -> Discriminator:
        return build_text_networks(config.model, pipeline.codec.space, 0, config.training.credit)[1]

    give_discriminator(pipeline, model, resample, TextTrainingConfig, build)
