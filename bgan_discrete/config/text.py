"""The options of text: `scripts/train_text.py`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from bgan_discrete.config.option import Section, option, other_default
from bgan_discrete.config.rounds import RoundsConfig
from bgan_discrete.config.script import Front, RunConfig, ScriptConfig
from bgan_discrete.config.targets import TargetConfig
from bgan_discrete.config.training import CreditName, EstimatorName, PenaltyName, TrainingConfig
from bgan_discrete.errors import InputError


@dataclass(frozen=True)
class TextDataConfig(Section):
    """Where the text comes from and how it becomes codes."""

    dataset: str = option(
        "arithmetic",
        "'arithmetic' or 'python-docs' (embedded), a UTF-8 text file, a .jsonl, .csv or .parquet file, or the id of a "
        "data set on the Hub, as owner/name or owner/name@revision",
    )
    column: str | None = option(
        None, "column of the texts, of a Hub data set or a file with columns (default: the only one of strings)"
    )
    split: str = option("train", "split to train on, of a Hub data set")
    unit: Literal["line", "paragraph", "text"] = option(
        "line", "what is one document: a line, a paragraph between blank lines, or a whole text"
    )
    layout: Literal["pad", "window"] = option(
        "pad", "pad: one sample a document, cut at length or ended and padded; window: full windows of each document"
    )
    length: int = option(32, "L, tokens of a sample", low=1, high=65536)
    tokenizer: str = option(
        "char", "how text becomes tokens: 'char', 'sentencepiece', or a .model file of sentencepiece to take as it is"
    )
    vocabulary_size: int | None = option(
        None,
        "char: at most so many tokens (default: 4096); sentencepiece: its pieces (default: 1000 or what is there)",
        low=2,
        high=65536,
    )
    limit: int | None = option(None, "use only the first so many documents", low=1)
    holdout: float | str = option(
        0.1,
        "share of the documents held out for the metrics where there is no test split, or another file to evaluate "
        "with, read as dataset is",
        low=0,
        high=1,
        exclusive=True,
    )
    streaming: bool = option(False, "read a Hub data set over the network row by row, rather than download it first")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        super().check()
        if self.tokenizer not in ("char", "sentencepiece") and Path(self.tokenizer).suffix != ".model":
            raise InputError(f"tokenizer must be 'char', 'sentencepiece' or a .model file, got {self.tokenizer!r}")


@dataclass(frozen=True)
class TextModelConfig(RoundsConfig):
    """The two networks of text."""

    generator: Literal["conv", "mlp", "gru", "transformer", "masked", "causal"] = option(
        "gru",
        "gru, transformer: one token after the other; masked, causal: in rounds, whose number can be chosen as samples "
        "of masked are drawn; conv, mlp (short samples): all positions at once",
    )
    discriminator: Literal["conv", "mlp", "gru"] = option(
        "conv", "how the discriminator reads a sample (mlp: short samples, with credit alternatives)"
    )
    latent_kind: Literal["normal", "binary"] = option(
        "normal", "numbers of the latent: standard normal, or -1 and 1: then there are 2^Z latents"
    )
    latent_size: int = option(64, "Z, width of the latent", low=1, high=65536)
    generator_width: int | None = option(
        None, "channels or units of the generator (default: 128, of gru 256)", low=1, high=4096
    )
    generator_depth: int | None = option(
        None, "residual blocks or layers of the generator (default: 3, of gru 1)", low=1, high=64
    )
    discriminator_width: int = option(64, "channels or units of the discriminator", low=1, high=4096)
    discriminator_depth: int = option(
        4,
        "residual blocks or layers of the discriminator; with credit alternatives, d convolutions see 2^(d+1) - 1 "
        "tokens on either side",
        low=1,
        high=64,
    )
    log_ratio_bound: float = option(
        5.0,
        "with credit alternatives: bound of the discriminator's absolute F, approached smoothly",
        low=0,
        exclusive=True,
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

    front: ClassVar[Front] = Front(
        "text",
        "train_text.py",
        None,
        "a file rather than stdout: *.jsonl for one JSON object a line, else text; an existing one is replaced",
        num_generated=20,
        num_evaluated=10_000,
        generating={
            "--top-k": {"type": int, "metavar": "INT", "help": "draw from the so many most probable tokens"},
            "--top-p": {
                "type": float,
                "metavar": "FLOAT",
                "help": "draw from the fewest most probable tokens that together have this probability",
            },
            "--prompt": {
                "default": "",
                "metavar": "STR",
                "help": "what every sample begins with, of an autoregressive generator or one in rounds",
            },
        },
        evaluating={
            "--against": {
                "metavar": "MODEL",
                "help": "another model of the same data, such as the same generator trained by maximum likelihood",
            },
            "--protocol": {
                "choices": ("full", "wgan-gp"),
                "default": "full",
                "help": "wgan-gp adds 640 samples of 32 characters",
            },
            "--sweep-temperature": {"action": "store_true", "help": "evaluate at several temperatures too"},
        },
    )

    run: TextRunConfig = field(default_factory=TextRunConfig)
    data: TextDataConfig = field(default_factory=TextDataConfig)
    model: TextModelConfig = field(default_factory=TextModelConfig)
    training: TextAlgorithmConfig = field(default_factory=TextAlgorithmConfig)
    target: TargetConfig = field(default_factory=TargetConfig)

    @property
    def phases(self) -> str:
        """By default likelihood first, where it is measured to help."""
        generator = self.model.generator
        if self.training.phases != "auto" or generator in ("conv", "mlp"):
            return super().phases
        return self._with_target("likelihood" if generator == "masked" else "likelihood=0.85,discriminator=0.05,game")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        super().check()
        self._check_credit()

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
