"""The configuration of a run: typed, documented, and free of torch, so that ``--help`` answers at once.

Each field is a flag of the scripts (``num_draws`` is ``--num-draws``) and a key of the YAML file (``num_draws``). The
text beside a field is its help.
"""

import dataclasses
import functools
import math
import os
import re
import reprlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from bgan_discrete.durable import MAX_TEXT_BYTES, read_text, replace_text
from bgan_discrete.errors import InputError, one_line

EstimatorName = Literal["bgan", "bgan_centered", "vimco", "loo", "rloo", "jeffreys", "reinforce", "maligan"]
DivergenceName = str  # not a Literal, so that total variation is refused with its reason
PenaltyName = Literal["none", "r1", "roth", "wgan_gp"]
ContinuousName = Literal["none", "boundary_seeking", "corrected_boundary_seeking", "non_saturating"]
CreditName = Literal["prefix", "alternatives"]
RETIRED = {"compile"}
"""Options of runs of earlier versions, without which they go on as they began."""
CODEC_OPTIONS = (
    "codec", "num_categories", "binary_threshold", "stochastic", "dither", "tokenizer", "vocabulary_size", "min_count",
    "model_type", "model_file", "length", "layout", "bins", "max_categories", "missing", "columns", "drop",
)  # fmt: skip
"""What codes mean, of any kind of data: kept by a run that starts from another."""
Section = TypeVar("Section")


def option(default: Any, help: str, *, free: bool = False) -> Any:
    """A field of a configuration.

    Args:
        default: Its default.
        help: What it is, with its unit or range.
        free: It may change when a run is resumed, because the steps that follow do not depend on it.

    Returns:
        The field.
    """
    return field(default=default, metadata={"help": help, "free": free})


@dataclass(frozen=True)
class ImageDataConfig:
    """Where the images come from and how they become codes."""

    dataset: str = option(
        "digits",
        "'digits' (embedded), a Hub id, a .parquet, .npy or .npz file, or a folder of pictures or of .parquet files",
    )
    image_column: str | None = option(None, "column of the images (default: the only one that holds images)")
    label_column: str | None = option(None, "column of the labels (default: a class column, if there is one)")
    dataset_revision: str | None = option(
        None, "branch, tag or commit of a Hub data set (default: the newest of its main branch)"
    )
    split: str = option("train", "split to train on")
    resize: str | None = option(None, "resize images to HxW, or to one number for both sides")
    color: Literal["auto", "grey", "rgb"] = option("auto", "read images as grey or rgb (auto: as the first image is)")
    limit: int | None = option(None, "use only the first so many images of the split")
    holdout: float = option(0.1, "share of the images held out for the metrics where there is no test split, in (0, 1)")
    codec: Literal["levels", "binary", "palette"] = option("levels", "how pixels become codes")
    num_categories: int | None = option(
        None, "K, 2 to 256 (default: levels the fewest that keep every pixel, 16 if over 64; binary 2; palette 16)"
    )
    binary_threshold: int = option(128, "binary codec: grey values from here on are 1, in [1, 255]")
    stochastic: bool = option(False, "binary codec: draw each pixel once with its grey value as probability")
    dither: bool = option(False, "palette codec: Floyd-Steinberg error diffusion")
    data_seed: int = option(0, "seed of the palette, of stochastic binarisation and of the held-out split")
    cache_dir: str | None = option(
        None, "folder of the quantised data (default: $BGAN_DISCRETE_CACHE or ~/.cache/bgan_discrete)", free=True
    )

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        _check_ranges(self)
        _check_data(self)


@dataclass(frozen=True)
class ImageModelConfig:
    """The two networks."""

    latent_size: int = option(16, "Z, width of the latent")
    generator_width: int = option(32, "channels of the generator at full size; they double with each halving")
    generator_depth: int = option(2, "convolution blocks of the generator at each size")
    discriminator_width: int = option(32, "channels of the discriminator's first convolution; likewise")
    discriminator_depth: int = option(2, "convolutions of the discriminator at each size")
    input_encoding: Literal["auto", "scalar", "cosine", "onehot", "embedding"] = option(
        "auto",
        "how the discriminator reads codes (auto: scalar for K = 2, cosine for a scale, else onehot or embedding by K)",
    )
    spectral_norm: bool = option(False, "spectral normalisation of every weight of the discriminator")
    output_bias: bool = option(True, "start the generator's output bias at the data's log-frequencies")
    conditional: bool = option(
        False, "give both networks the labels of the images, so that images of a class can be drawn"
    )


@dataclass(frozen=True)
class TrainingConfig:
    """The algorithm, its optimisers and the run."""

    estimator: EstimatorName = option("bgan_centered", "log weights of the draws -> advantages")
    divergence: DivergenceName = option(
        "gan", "gan, jensen_shannon, kl, reverse_kl, squared_hellinger, pearson_chi2 or neyman_chi2"
    )
    num_draws: int = option(20, "M, draws per latent that the discriminator scores")
    normalization: Literal["latent", "batch"] = option(
        "latent", "what weights are normalised over (bgan, bgan_centered)"
    )
    tempering: float = option(1.0, "exponent of the weights in (0, 1]; below 1 it biases the gradient")
    log_weight_clip: float | None = option(
        None, "bound of the absolute log weight; biases the gradient (default: none)"
    )
    batch_size: int = option(64, "N, latents and real samples in a step, of all processes together")
    gradient_accumulation_steps: int = option(
        1,
        "take a batch in so many parts, one after the other, before the networks move: less memory, the same gradient",
    )
    discriminator_draws: int = option(1, "draws per latent in the discriminator's own step; 0 for all M")
    discriminator_steps: int = option(1, "discriminator steps before each generator step")
    penalty: PenaltyName = option("r1", "gradient penalty of the discriminator")
    penalty_weight: float = option(1.0, "gamma, weight of the penalty")
    penalty_interval: int = option(4, "take the penalty every so many discriminator steps, scaled by as much")
    generator_lr: float = option(4e-3, "Adam's learning rate of the generator")
    discriminator_lr: float = option(2e-3, "Adam's learning rate of the discriminator")
    adam_beta1: float = option(0.0, "Adam's decay of the mean, in [0, 1)")
    adam_beta2: float = option(0.99, "Adam's decay of the mean square, in [0, 1)")
    lr_decay: Literal["none", "linear"] = option(
        "linear", "linear: constant for half of the budget, steps or seconds, that is used up first; then down to 2 %"
    )
    pretrain_steps: int = option(0, "first so many of max_steps: train the generator by maximum likelihood")
    pretrain_lr: float = option(2e-3, "Adam's learning rate of the generator in these steps")
    pretrain_latents: int | None = option(
        None,
        "latents of these steps, over whose mixture a generator of independent positions takes the likelihood "
        "(default: batch_size)",
    )
    warmup_steps: int = option(0, "then so many steps: train the discriminator alone")
    credit: CreditName = option(
        "prefix",
        "what a token is weighed by: alternatives: every token that could stand in its place; prefix: the draws, by F "
        "of the sample, or with per_prefix of what stands up to the token",
    )
    entropy_weight: float = option(
        0.0, "with credit alternatives: bonus on the entropy of the choice at each position, so that none is final"
    )
    escort: float | None = option(
        None,
        "with credit alternatives: exponent in (0, 1] of the choices' probabilities q in the generator's step; 1: the "
        "exact gradient; below 1, what has become improbable keeps one (default: 0.5 with generators conv and mlp, "
        "else 1)",
    )
    continuous: ContinuousName = option(
        "none",
        "a generator of continuous grey levels, which back-propagates through its samples, with this loss (then "
        "estimator and num_draws count for nothing)",
    )
    ema_decay: float = option(0.999, "decay per step of the averaged generator, which samples; 0 for no average")
    max_steps: int = option(8000, "generator steps")
    max_seconds: float | None = option(
        None,
        "end the training, and the decay of its learning rate, after so many seconds, if not max_steps end it before "
        "(such a run does not repeat bit for bit)",
    )
    seed: int = option(0, "seed of initialisation, batches, latents and draws")
    device: str = option("auto", "cpu, cuda, cuda:1, ... (auto: cuda where there is one)")
    dtype: Literal["float32", "bfloat16"] = option(
        "float32", "precision of the networks; weights and losses stay float32"
    )
    score_dtype: Literal["float32", "bfloat16"] | None = option(
        None, "precision in which the discriminator scores the generator's draws (default: dtype)"
    )
    threads: int | None = option(None, "threads of the CPU (default: torch's own choice)")
    score_chunk: int | None = option(
        None, "most samples that the discriminator scores at once (default: 64 to 256 on a CPU, else all)"
    )
    dist_timeout: float = option(
        600.0,
        "several processes: seconds to wait for another one until it counts as lost; writing a checkpoint or a sample "
        "grid must take less, preparing the data less than 12 times as long",
        free=True,
    )
    log_interval: int = option(50, "write metrics.jsonl every so many steps", free=True)
    sample_interval: int = option(500, "write a sample grid every so many steps; 0 for never", free=True)
    checkpoint_interval: int = option(1000, "write a checkpoint every so many steps; 0 for only at the end", free=True)
    keep_last: int = option(2, "checkpoints to keep", free=True)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        _check_ranges(self)
        _check_training(self)


@dataclass(frozen=True)
class RunConfig:
    """Where a run writes, and what it does at its end."""

    output_dir: str = option("runs/images", "folder of the run", free=True)
    resume: str | None = option(None, "'latest' or a checkpoint of this run: go on from there", free=True)
    start_from: str | None = option(
        None,
        "a run's folder, a checkpoint or a model folder: begin a new run with its weights; options that are not given "
        "are as in that run",
        free=True,
    )
    overwrite: bool = option(False, "delete what another run wrote into output_dir", free=True)
    report_to: Literal["none", "tensorboard"] = option("none", "log curves and grids for TensorBoard too", free=True)
    num_samples: int = option(2000, "samples of the final metrics; 0 leaves the metrics out", free=True)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        _check_ranges(self)
        if not self.output_dir.strip():
            raise InputError(f"output_dir must name a folder, got {self.output_dir!r}")


Sections = TypeVar("Sections", bound="ScriptConfig")


@dataclass(frozen=True)
class ScriptConfig:
    """All options of a training script, in sections whose fields have distinct names."""

    @classmethod
    def from_flat(cls: type[Sections], values: dict[str, Any]) -> Sections:
        """Build the sections from one dictionary of fields, as `to_flat` gives it.

        Args:
            values: Field names and values; what is absent keeps its default.

        Returns:
            The configuration, checked.

        Raises:
            InputError: If a key is unknown or a value out of range.
        """
        if not isinstance(values, dict):
            raise InputError(f"a configuration must map option names to values, got {shown(values)}")
        sections = {}
        known = set()
        for section in fields(cls):
            section_class: type = section.default_factory  # type: ignore[assignment]
            names = {f.name for f in fields(section_class)}
            known |= names
            sections[section.name] = section_class(**{k: v for k, v in values.items() if k in names})
        unknown = sorted(set(values) - known, key=str)
        if unknown:
            raise InputError(f"unknown configuration key {shown(unknown[0])}; known are {', '.join(sorted(known))}")
        config = cls(**sections)
        config.check()
        return config

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        for section in fields(self):
            part = getattr(self, section.name)
            part.check() if hasattr(part, "check") else _check_ranges(part)

    def to_flat(self) -> dict[str, Any]:
        """One dictionary of all fields, in the order of the sections."""
        return {k: v for section in dataclasses.asdict(self).values() for k, v in section.items()}

    def differences(self, other: "ScriptConfig") -> list[str]:
        """What stands in the way of resuming a run of ``other`` with this configuration.

        Returns:
            One ``name: theirs -> ours`` for each field that differs and is not free to change.
        """
        mine, theirs = self.to_flat(), other.to_flat()
        free = {f.name for section in fields(self) for f in fields(section.default_factory) if f.metadata["free"]}  # type: ignore[arg-type]
        if mine["lr_decay"] == "none":
            free |= {"max_steps", "max_seconds"}
        return [f"{k}: {theirs[k]} -> {mine[k]}" for k in mine if k not in free and mine[k] != theirs[k]]

    def save(self, path: str | Path) -> None:
        """Write the configuration as YAML; the file appears whole or not at all."""
        replace_text(Path(path), yaml.safe_dump(self.to_flat(), sort_keys=False, allow_unicode=True))


@dataclass(frozen=True)
class ImageTrainingConfig(ScriptConfig):
    """All of `scripts/train_images.py`."""

    run: RunConfig = field(default_factory=RunConfig)
    data: ImageDataConfig = field(default_factory=ImageDataConfig)
    model: ImageModelConfig = field(default_factory=ImageModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        super().check()
        if self.model.conditional and self.training.continuous != "none":
            raise InputError(
                f"conditional is for discrete generators; leave out continuous {self.training.continuous!r}"
            )


@dataclass(frozen=True)
class TextDataConfig:
    """Where the text comes from and how it becomes codes."""

    dataset: str = option(
        "arithmetic",
        "'arithmetic' or 'python-docs' (embedded), a UTF-8 text file, a .jsonl, .csv or .parquet file, or a Hub id",
    )
    text_column: str | None = option(
        None, "column of the texts, of a Hub data set or a file with columns (default: the only one of strings)"
    )
    dataset_revision: str | None = option(
        None, "branch, tag or commit of a Hub data set (default: the newest of its main branch)"
    )
    split: str = option("train", "split to train on, of a Hub data set")
    unit: Literal["line", "paragraph", "text"] = option(
        "line", "what is one document: a line, a paragraph between blank lines, or a whole text"
    )
    layout: Literal["pad", "window"] = option(
        "pad", "pad: one sample a document, cut at length or ended and padded; window: full windows of each document"
    )
    length: int = option(32, "L, tokens of a sample")
    tokenizer: Literal["char", "sentencepiece"] = option("char", "how text becomes tokens")
    vocabulary_size: int | None = option(
        None, "char: at most so many tokens (default: 4096); sentencepiece: its pieces (default: 1000 or what is there)"
    )
    min_count: int = option(1, "char: rarer characters become unknown")
    model_type: Literal["unigram", "bpe", "char"] = option(
        "unigram", "sentencepiece: kind of the model that is trained"
    )
    model_file: str | None = option(None, "sentencepiece: a .model file to take rather than to train one")
    limit: int | None = option(None, "use only the first so many documents")
    holdout: float = option(
        0.1, "share of the documents held out for the metrics where there is no test split, in (0, 1)"
    )
    heldout: str | None = option(None, "a file to judge by, read as dataset is, rather than a share of the data set")
    streaming: bool = option(False, "read a Hub data set over the network row by row, rather than download it first")
    data_seed: int = option(0, "seed of the held-out split")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        _check_ranges(self)
        if self.tokenizer == "char" and self.model_file is not None:
            raise InputError(
                f"model_file applies to the sentencepiece tokenizer, got tokenizer 'char' and {self.model_file!r}"
            )
        if self.tokenizer == "sentencepiece" and self.min_count != 1:
            raise InputError(
                f"min_count applies to the char tokenizer, got tokenizer 'sentencepiece' and {self.min_count}"
            )


@dataclass(frozen=True)
class TextModelConfig:
    """The two networks of text."""

    generator: Literal["conv", "mlp", "gru", "transformer"] = option(
        "conv", "conv, mlp (short samples): all positions at once; gru, transformer: one token after the other"
    )
    discriminator: Literal["conv", "mlp", "gru"] = option(
        "conv", "how the discriminator reads a sample (mlp: short samples, with credit alternatives)"
    )
    per_prefix: bool = option(
        False, "the discriminator gives a log-ratio of every prefix, so that each token has its credit"
    )
    latent_kind: Literal["normal", "binary"] = option(
        "normal", "numbers of the latent: standard normal, or -1 and 1: then there are 2^Z latents"
    )
    latent_size: int = option(64, "Z, width of the latent")
    generator_width: int = option(128, "channels or units of the generator")
    generator_depth: int = option(3, "residual blocks or layers of the generator")
    discriminator_width: int = option(64, "channels or units of the discriminator")
    discriminator_depth: int = option(
        4,
        "residual blocks or layers of the discriminator; with credit alternatives, d convolutions see 2^(d+1) - 1 "
        "tokens on either side",
    )
    spectral_norm: bool = option(False, "spectral normalisation of every weight of the discriminator")
    output_bias: bool = option(True, "start the generator's output bias at the data's log-frequencies")
    log_ratio_bound: float = option(
        5.0, "with credit alternatives: bound of the absolute F of a judge, approached smoothly"
    )
    logit_spread: float | None = option(
        None,
        "standard deviation over latents that the logits of conv and mlp start with (default: 1 with credit "
        "alternatives, else the network's own)",
    )


def _other_default(name: str, default: Any) -> Any:
    """The option of `TrainingConfig` with another default."""
    (entry,) = (entry for entry in fields(TrainingConfig) if entry.name == name)
    return field(default=default, metadata=entry.metadata)


@dataclass(frozen=True)
class TextAlgorithmConfig(TrainingConfig):
    """`TrainingConfig` with the defaults of text."""

    estimator: EstimatorName = _other_default("estimator", "jeffreys")
    num_draws: int = _other_default("num_draws", 2)
    batch_size: int = _other_default("batch_size", 32)
    penalty: PenaltyName = _other_default("penalty", "none")
    penalty_weight: float = _other_default("penalty_weight", 0.1)
    generator_lr: float = _other_default("generator_lr", 2e-3)
    discriminator_lr: float = _other_default("discriminator_lr", 2e-3)
    credit: CreditName = _other_default("credit", "alternatives")


@dataclass(frozen=True)
class TextRunConfig(RunConfig):
    """`RunConfig` with the defaults of text."""

    output_dir: str = field(default="runs/text", metadata={"help": "folder of the run", "free": True})


@dataclass(frozen=True)
class TextTrainingConfig(ScriptConfig):
    """All of `scripts/train_text.py`."""

    run: TextRunConfig = field(default_factory=TextRunConfig)
    data: TextDataConfig = field(default_factory=TextDataConfig)
    model: TextModelConfig = field(default_factory=TextModelConfig)
    training: TextAlgorithmConfig = field(default_factory=TextAlgorithmConfig)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        super().check()
        self._check_credit()
        if self.training.continuous != "none":
            raise InputError(f"continuous is for images; text has no grey levels, got {self.training.continuous!r}")
        if self.training.pretrain_latents is not None and not self.training.pretrain_steps:
            raise InputError(
                f"pretrain_latents needs pretrain_steps, got {self.training.pretrain_latents} without them"
            )
        if self.training.pretrain_latents is not None and self.model.generator not in ("conv", "mlp"):
            raise InputError(
                "pretrain_latents is for generators of independent positions (conv, mlp); an autoregressive one takes "
                f"a latent for each sample, so leave it out; got {self.training.pretrain_latents}"
            )

    def _check_credit(self) -> None:
        model, alternatives = self.model, self.training.credit == "alternatives"
        if alternatives and model.per_prefix:
            raise InputError("per_prefix belongs to credit 'prefix': give that, or leave per_prefix out")
        if model.discriminator == "mlp" and not alternatives:
            raise InputError("discriminator 'mlp' needs credit 'alternatives'")
        if model.logit_spread is not None and model.generator not in ("conv", "mlp"):
            raise InputError(
                f"logit_spread applies to the generators conv and mlp, got generator {model.generator!r} and "
                f"{model.logit_spread}"
            )
        one_shot_ends = model.generator in ("conv", "mlp") and self.data.layout == "pad"
        if alternatives and one_shot_ends and self.training.num_draws < 2:
            raise InputError(
                "num_draws must be at least 2 where samples may end early (layout pad) and all positions are drawn at "
                f"once, got {self.training.num_draws}"
            )


@dataclass(frozen=True)
class ArrayDataConfig:
    """Where an integer array or a table comes from and how it becomes codes."""

    dataset: str = option(
        "table", "'records', 'motifs' or 'table' (made by a program), or a .npy, .npz, .csv, .tsv or .parquet file"
    )
    layout: Literal["auto", "array", "table"] = option(
        "auto",
        "array: integers or characters; table: columns of categories (auto: files with columns are tables)",
    )
    columns: str | None = option(None, "columns of a table to take, with commas between them (default: all)")
    drop: str | None = option(None, "columns of a table to leave out, with commas between them")
    bins: int | None = option(
        None, "cut columns of more different numbers than this into so many bins of equally many rows (default: refuse)"
    )
    max_categories: int | None = option(
        None, "most categories of a column; rarer ones become '(other)' (default: refuse a column of more than 256)"
    )
    missing: str | None = option(None, "cells that mean a missing value beside the empty one, with commas between them")
    delimiter: str | None = option(
        None, "between the cells of a CSV file, such as ';' or tab (default: a comma, of .tsv a tab)"
    )
    header: bool = option(True, "the first line of a CSV file names the columns")
    array_key: str | None = option(None, "array of a .npz file (default: the only one, or codes, data, x or x_train)")
    limit: int | None = option(None, "use only the first so many rows")
    holdout: float = option(0.1, "share of the rows held out for the metrics, in (0, 1)")
    heldout: str | None = option(None, "another file to judge by, rather than a share of the rows")
    data_seed: int = option(0, "seed of the held-out split")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        _check_ranges(self)


@dataclass(frozen=True)
class ArrayModelConfig:
    """The two networks of arrays and tables."""

    generator: Literal["mlp", "conv"] = option(
        "mlp", "mlp: any array or table; conv: along sequences, or over planes of at least 8 x 8"
    )
    discriminator: Literal["auto", "positions", "mlp", "conv"] = option(
        "auto",
        "positions: a perceptron for each position, that sees all others; mlp: one for the whole sample; conv: along "
        "sequences or over planes (auto: conv with generator conv; else positions, or mlp where that would be large)",
    )
    latent_kind: Literal["normal", "binary"] = option(
        "normal", "numbers of the latent: standard normal, or -1 and 1: then there are 2^Z latents"
    )
    latent_size: int = option(32, "Z, width of the latent")
    generator_width: int = option(256, "units or channels of the generator")
    generator_depth: int = option(2, "hidden layers or blocks of the generator")
    discriminator_width: int = option(64, "units or channels of the discriminator")
    discriminator_depth: int = option(2, "hidden layers or blocks of the discriminator")
    spectral_norm: bool = option(False, "spectral normalisation of every weight of the discriminator")
    output_bias: bool = option(True, "start the generator's output bias at the data's log-frequencies")
    log_ratio_bound: float = option(
        5.0, "of positions, and conv with credit alternatives: bound of the absolute F of a judge, approached smoothly"
    )
    logit_spread: float | None = option(
        None,
        "standard deviation over latents that the generator's logits start with (default: 1 with credit alternatives, "
        "else the network's own)",
    )


@dataclass(frozen=True)
class ArrayAlgorithmConfig(TrainingConfig):
    """`TrainingConfig` with the defaults of arrays and tables."""

    estimator: EstimatorName = _other_default("estimator", "jeffreys")
    num_draws: int = _other_default("num_draws", 1)
    generator_lr: float = _other_default("generator_lr", 2e-3)
    credit: CreditName = _other_default("credit", "alternatives")
    max_steps: int = _other_default("max_steps", 4000)


@dataclass(frozen=True)
class ArrayRunConfig(RunConfig):
    """`RunConfig` with the defaults of arrays and tables."""

    output_dir: str = field(default="runs/array", metadata={"help": "folder of the run", "free": True})
    num_samples: int = field(
        default=10_000, metadata={"help": "samples of the final metrics; 0 leaves the metrics out", "free": True}
    )


@dataclass(frozen=True)
class ArrayTrainingConfig(ScriptConfig):
    """All of `scripts/train_array.py`."""

    run: ArrayRunConfig = field(default_factory=ArrayRunConfig)
    data: ArrayDataConfig = field(default_factory=ArrayDataConfig)
    model: ArrayModelConfig = field(default_factory=ArrayModelConfig)
    training: ArrayAlgorithmConfig = field(default_factory=ArrayAlgorithmConfig)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        training = self.training
        super().check()
        if training.continuous != "none":
            raise InputError(f"continuous is for images; arrays have no grey levels, got {training.continuous!r}")
        if self.model.discriminator == "positions" and training.credit != "alternatives":
            raise InputError(f"discriminator 'positions' needs credit 'alternatives', got credit {training.credit!r}")


class _Loader(yaml.SafeLoader):
    """Refuses what YAML 1.1 reads as something else without a word: a key that is given twice, 010, which is 8, and
    1:30, which is 90."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"the key in line {line} must be a name")
            name = key.value.replace("-", "_")
            if name in lines:
                raise yaml.YAMLError(f"the key {key.value!r} is given twice, in lines {lines[name]} and {line}")
            lines[name] = line
        return node

    def construct_plain_number(self, node: Any) -> float:
        line, is_float = node.start_mark.line + 1, node.tag.endswith("float")
        if ":" in node.value:
            raise yaml.YAMLError(f"{node.value!r} in line {line} is a number to the base of 60; write it in decimals")
        if not is_float and re.match("[-+]?0[0-9_]", node.value):
            raise yaml.YAMLError(f"{node.value!r} in line {line} is an octal number; write it without the first 0")
        return super().construct_yaml_float(node) if is_float else super().construct_yaml_int(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_plain_number)


def load_config_values(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of configuration keys.

    Args:
        path: The file.

    Returns:
        Its keys and values.

    Raises:
        InputError: If it is missing, is not YAML, or is not a mapping of names to single values.
    """
    try:
        values = _Loader(read_text(Path(path), MAX_TEXT_BYTES)).get_single_data()
    except OSError as error:
        raise InputError(f"config {str(path)!r} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError) as error:
        # Beside its own errors, the library lets through those of dates, long numbers and deep nesting.
        raise InputError(f"config {str(path)!r} is not YAML: {one_line(error)}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"config {str(path)!r} must hold a mapping of option names to values")
    for key, value in values.items():
        # Aliases can make a small file of lists larger than any memory once it is printed.
        if value is not None and not isinstance(value, (str, int, float)):
            raise InputError(f"config {str(path)!r}: {key} must be a single value, got a {type(value).__name__}")
    return {key: value for key, value in values.items() if key not in RETIRED}


def folder_of_run(model: str | os.PathLike[str]) -> Path:
    """The folder in which a model lies, also of one that is named as ``.`` or by a link.

    Args:
        model: The model's folder, which need not exist.

    Returns:
        The first of its parents, by its name and by its real place, that holds a ``config.yaml``; that by its name if
        none does.
    """
    by_name = Path(model).parent
    places = (by_name, Path(os.path.realpath(model)).parent)
    return next((place for place in places if (place / "config.yaml").is_file()), by_name)


def folder_of_start(source: str) -> Path | None:
    """The folder of the run that ``start_from`` names, by a checkpoint or model in it too; None if it is in none."""
    places = (Path(source), folder_of_run(source), Path(os.path.realpath(source)).parent.parent)
    return next((place for place in places if (place / "config.yaml").is_file()), None)


def shown(value: Any) -> str:
    """A value in an error message: what it is, cut where it is long or deep."""
    short = reprlib.Repr()
    short.maxstring, short.maxother = 200, 200
    try:
        return short.repr(value)
    except ValueError:  # Python does not write out such numbers
        return "one of thousands of digits"


def check_text(name: str, value: str) -> None:
    """Raise InputError for a string that no file or terminal takes: with a NUL, or bytes that are not UTF-8.

    Args:
        name: Of the option, for the message.
        value: Its value.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} must be UTF-8, got {shown(value)}") from None
    if "\0" in value:
        raise InputError(f"{name} must not hold a NUL character, got {shown(value)}")


_hints_of = functools.cache(get_type_hints)


def _check_types(section: Any) -> None:
    """Raise InputError for the first value of a section that is not of its option's kind."""
    section_class: type = type(section)
    for name, hint in _hints_of(section_class).items():
        value = getattr(section, name)
        kinds = get_args(hint) if get_origin(hint) not in (None, Literal) else (hint,)
        if value is None and type(None) in kinds:
            continue
        kind = next(kind for kind in kinds if kind is not type(None))
        if get_origin(kind) is Literal:
            if not isinstance(value, str) or value not in get_args(kind):
                raise InputError(f"{name} {shown(value)} is unknown; known are {', '.join(get_args(kind))}")
        elif kind is bool:
            if not isinstance(value, bool):
                raise InputError(f"{name} must be true or false, got {shown(value)}")
        elif kind is str:
            # The one string that reads as a number where YAML has no quotes.
            if name == "resize" and type(value) is int and 1 <= value <= 99_999:
                continue
            if not isinstance(value, str):
                raise InputError(f"{name} must be a string, got {shown(value)}")
            check_text(name, value)
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{name} must be {'an integer' if kind is int else 'a number'}, got {shown(value)}")
        elif kind is int and not isinstance(value, int):
            raise InputError(f"{name} must be an integer, got {shown(value)}")


def _check_ranges(section: Any) -> None:
    """Raise InputError for the first value of a section that is of the wrong kind or out of range."""
    _check_types(section)
    for name, low, high, inclusive in _RANGES:
        value = getattr(section, name, None)
        if value is not None:
            _check_range(name, value, low, high, inclusive)


def _check_training(training: TrainingConfig) -> None:
    # These import torch, for which `--help` does not wait.
    from bgan_discrete.game.divergences import get_divergence
    from bgan_discrete.game.estimators import make_estimator
    from bgan_discrete.game.penalties import get_penalty

    get_divergence(training.divergence)
    get_penalty(training.penalty)
    estimator = make_estimator(training.estimator, normalization=training.normalization)
    if training.credit == "alternatives":
        estimator.check_alternatives()
    elif training.continuous == "none":
        estimator.check_num_draws(training.num_draws)
    if training.continuous != "none" and training.pretrain_steps:
        raise InputError(
            f"pretrain_steps needs probabilities, which a continuous generator has not; leave it out, got "
            f"{training.pretrain_steps}"
        )
    for name, exact in (("entropy_weight", 0), ("escort", 1)):
        value = getattr(training, name)
        if value not in (None, exact) and training.credit != "alternatives":
            raise InputError(
                f"{name} needs credit 'alternatives'; give that, or leave {name} out; got {value} and credit "
                f"{training.credit!r}"
            )
    if training.pretrain_steps > training.max_steps:
        raise InputError(f"pretrain_steps are some of max_steps = {training.max_steps}, got {training.pretrain_steps}")
    if training.gradient_accumulation_steps > training.batch_size:
        raise InputError(
            f"gradient_accumulation_steps must be at most batch_size = {training.batch_size}, got "
            f"{training.gradient_accumulation_steps}"
        )
    if training.gradient_accumulation_steps > 1 and training.continuous != "none":
        raise InputError(
            f"gradient_accumulation_steps is for discrete generators; leave it out with continuous, got "
            f"{training.gradient_accumulation_steps}"
        )
    if training.discriminator_draws > training.num_draws:
        raise InputError(
            f"discriminator_draws must be at most num_draws = {training.num_draws}, got {training.discriminator_draws}"
        )


def _check_data(data: ImageDataConfig) -> None:
    if data.codec == "binary" and data.num_categories not in (None, 2):
        raise InputError(f"num_categories must be 2 with the binary codec, got {data.num_categories}")
    if data.binary_threshold != ImageDataConfig.binary_threshold and data.codec != "binary":
        raise InputError(f"binary_threshold applies to the binary codec, got codec {data.codec!r}")
    if data.stochastic and data.codec != "binary":
        raise InputError(f"stochastic applies to the binary codec, got codec {data.codec!r}")
    if data.dither and data.codec != "palette":
        raise InputError(f"dither applies to the palette codec, got codec {data.codec!r}")


def _check_range(name: str, value: float, low: float, high: float, inclusive: bool) -> None:
    if isinstance(value, int) and value >= 2**63:
        raise InputError(f"{name} must be below 2**63, got {shown(value)}")
    if not (low <= value <= high) or (not inclusive and value in (low, high)) or not math.isfinite(value):
        bounds = f"at least {low}" if math.isinf(high) else f"between {low} and {high}"
        bounds = f"above {low}" if math.isinf(high) and not inclusive else bounds
        raise InputError(
            f"{name} must be {bounds}{'' if inclusive or math.isinf(high) else ', exclusive'}, got {shown(value)}"
        )


_RANGES: tuple[tuple[str, float, float, bool], ...] = (
    ("num_categories", 2, 256, True),
    ("binary_threshold", 1, 255, True),
    ("limit", 1, math.inf, True),
    ("holdout", 0, 1, False),
    ("data_seed", 0, 2**63 - 1, True),
    ("latent_size", 1, 65536, True),
    ("generator_width", 1, 4096, True),
    ("generator_depth", 1, 64, True),
    ("discriminator_width", 1, 4096, True),
    ("discriminator_depth", 1, 64, True),
    ("num_draws", 1, 2**24, True),
    ("tempering", 0, math.inf, False),
    ("tempering", 0, 1, True),
    ("log_weight_clip", 0, math.inf, False),
    ("batch_size", 1, 2**24, True),
    ("gradient_accumulation_steps", 1, math.inf, True),
    ("dist_timeout", 1, 604800, True),
    ("discriminator_draws", 0, math.inf, True),
    ("discriminator_steps", 1, math.inf, True),
    ("penalty_weight", 0, math.inf, True),
    ("penalty_interval", 1, math.inf, True),
    ("generator_lr", 0, math.inf, False),
    ("pretrain_lr", 0, math.inf, False),
    ("pretrain_steps", 0, math.inf, True),
    ("entropy_weight", 0, math.inf, True),
    ("escort", 0, math.inf, False),
    ("escort", 0, 1, True),
    ("pretrain_latents", 1, 2**24, True),
    ("warmup_steps", 0, math.inf, True),
    ("length", 1, 65536, True),
    ("vocabulary_size", 2, 65536, True),
    ("min_count", 1, math.inf, True),
    ("logit_spread", 0, math.inf, False),
    ("log_ratio_bound", 0, math.inf, False),
    ("discriminator_lr", 0, math.inf, False),
    ("adam_beta1", 0, 0.99999, True),
    ("adam_beta2", 0, 0.99999, True),
    ("ema_decay", 0, 0.99999999, True),
    ("max_steps", 1, math.inf, True),
    ("max_seconds", 0, math.inf, False),
    ("seed", 0, 2**63 - 1, True),
    ("threads", 1, 1024, True),
    ("score_chunk", 1, math.inf, True),
    ("log_interval", 1, math.inf, True),
    ("sample_interval", 0, math.inf, True),
    ("checkpoint_interval", 0, math.inf, True),
    ("keep_last", 1, math.inf, True),
    ("num_samples", 0, math.inf, True),
    ("bins", 2, 65535, True),
    ("max_categories", 2, 65535, True),
)
