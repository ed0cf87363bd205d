"""The options of text: `scripts/train_text.py`."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from bgan_discrete.config.option import Section, option, other_default
from bgan_discrete.config.script import RunConfig, ScriptConfig
from bgan_discrete.config.training import CreditName, EstimatorName, PenaltyName, TrainingConfig
from bgan_discrete.errors import InputError


@dataclass(frozen=True)
class TextDataConfig(Section):
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
    length: int = option(32, "L, tokens of a sample", low=1, high=65536)
    tokenizer: Literal["char", "sentencepiece"] = option("char", "how text becomes tokens")
    vocabulary_size: int | None = option(
        None,
        "char: at most so many tokens (default: 4096); sentencepiece: its pieces (default: 1000 or what is there)",
        low=2,
        high=65536,
    )
    min_count: int = option(1, "char: rarer characters become unknown", low=1)
    model_type: Literal["unigram", "bpe", "char"] = option(
        "unigram", "sentencepiece: kind of the model that is trained"
    )
    model_file: str | None = option(None, "sentencepiece: a .model file to take rather than to train one")
    limit: int | None = option(None, "use only the first so many documents", low=1)
    holdout: float = option(
        0.1,
        "share of the documents held out for the metrics where there is no test split, in (0, 1)",
        low=0,
        high=1,
        exclusive=True,
    )
    heldout: str | None = option(None, "a file to judge by, read as dataset is, rather than a share of the data set")
    streaming: bool = option(False, "read a Hub data set over the network row by row, rather than download it first")
    data_seed: int = option(0, "seed of the held-out split", low=0, high=2**63 - 1)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        super().check()
        if self.tokenizer == "char" and self.model_file is not None:
            raise InputError(
                f"model_file applies to the sentencepiece tokenizer, got tokenizer 'char' and {self.model_file!r}"
            )
        if self.tokenizer == "sentencepiece" and self.min_count != 1:
            raise InputError(
                f"min_count applies to the char tokenizer, got tokenizer 'sentencepiece' and {self.min_count}"
            )


@dataclass(frozen=True)
class TextModelConfig(Section):
    """The two networks of text."""

    generator: Literal["conv", "mlp", "gru", "transformer"] = option(
        "conv", "conv, mlp (short samples): all positions at once; gru, transformer: one token after the other"
    )
    discriminator: Literal["conv", "mlp", "gru"] = option(
        "conv", "how the discriminator reads a sample (mlp: short samples, with credit alternatives)"
    )
    latent_kind: Literal["normal", "binary"] = option(
        "normal", "numbers of the latent: standard normal, or -1 and 1: then there are 2^Z latents"
    )
    latent_size: int = option(64, "Z, width of the latent", low=1, high=65536)
    generator_width: int = option(128, "channels or units of the generator", low=1, high=4096)
    generator_depth: int = option(3, "residual blocks or layers of the generator", low=1, high=64)
    discriminator_width: int = option(64, "channels or units of the discriminator", low=1, high=4096)
    discriminator_depth: int = option(
        4,
        "residual blocks or layers of the discriminator; with credit alternatives, d convolutions see 2^(d+1) - 1 "
        "tokens on either side",
        low=1,
        high=64,
    )
    spectral_norm: bool = option(False, "spectral normalisation of every weight of the discriminator")
    output_bias: bool = option(True, "start the generator's output bias at the data's log-frequencies")
    log_ratio_bound: float = option(
        5.0, "with credit alternatives: bound of the absolute F of a judge, approached smoothly", low=0, exclusive=True
    )
    logit_spread: float | None = option(
        None,
        "standard deviation over latents that the logits of conv and mlp start with (default: 1 with credit "
        "alternatives, else the network's own)",
        low=0,
        exclusive=True,
    )


@dataclass(frozen=True)
class TextAlgorithmConfig(TrainingConfig):
    """`TrainingConfig` with the defaults of text."""

    estimator: EstimatorName = other_default(TrainingConfig, "estimator", "jeffreys")
    num_draws: int = other_default(TrainingConfig, "num_draws", 2)
    batch_size: int = other_default(TrainingConfig, "batch_size", 32)
    penalty: PenaltyName = other_default(TrainingConfig, "penalty", "none")
    penalty_weight: float = other_default(TrainingConfig, "penalty_weight", 0.1)
    generator_lr: float = other_default(TrainingConfig, "generator_lr", 2e-3)
    discriminator_lr: float = other_default(TrainingConfig, "discriminator_lr", 2e-3)
    credit: CreditName = other_default(TrainingConfig, "credit", "alternatives")


@dataclass(frozen=True)
class TextRunConfig(RunConfig):
    """`RunConfig` with the defaults of text."""

    output_dir: str = other_default(RunConfig, "output_dir", "runs/text")


@dataclass(frozen=True)
class TextTrainingConfig(ScriptConfig):
    """All of `scripts/train_text.py`."""

    kind: ClassVar[str] = "text"

    run: TextRunConfig = field(default_factory=TextRunConfig)
    data: TextDataConfig = field(default_factory=TextDataConfig)
    model: TextModelConfig = field(default_factory=TextModelConfig)
    training: TextAlgorithmConfig = field(default_factory=TextAlgorithmConfig)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        super().check()
        self._check_credit()
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
