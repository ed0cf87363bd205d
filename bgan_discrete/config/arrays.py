"""The options of integer arrays and tables: `scripts/train_array.py`."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from bgan_discrete.config.data import DECODINGS
from bgan_discrete.config.option import Section, option, other_default
from bgan_discrete.config.rounds import RoundsConfig
from bgan_discrete.config.script import Front, RunConfig, ScriptConfig
from bgan_discrete.config.targets import TargetConfig
from bgan_discrete.config.training import CreditName, EstimatorName, TrainingConfig
from bgan_discrete.errors import InputError

TARGETS_HELP = "columns of a table that models learn to predict (default: the last, and two that others tell most of)"


@dataclass(frozen=True)
class ArrayDataConfig(Section):
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
        None,
        "cut columns of more different numbers than this into so many bins of equally many rows (default: by the rows)",
        low=2,
        high=2**20 - 1,
    )
    max_categories: int | None = option(
        None,
        "most categories of a column, of which the rarest are learnt as one (default: 256)",
        low=2,
        high=2**20 - 1,
    )
    column: str | None = option(
        None,
        "kinds of single columns, with commas between them, such as age=integer:32,size=number,zip=category:500: "
        "category, integer, number or date, with a number of categories or bins if one is wanted, or identifier, new "
        "in each sample; or a .json file of such kinds or of SDV's metadata",
    )
    rare: Literal["drawn", "private"] = option(
        "drawn", "values that are learnt as one: drawn again as often as in the data, or private, written as '(other)'"
    )
    missing: str | None = option(None, "cells that mean a missing value beside the empty one, with commas between them")
    delimiter: str | None = option(
        None, "between the cells of a CSV file, such as ';' or tab (default: a comma, of .tsv a tab)"
    )
    header: bool = option(True, "the first line of a CSV file names the columns")
    limit: int | None = option(None, "use only the first so many rows", low=1)
    holdout: float | str = option(
        0.1,
        "share of the rows held out for the metrics, or another file to evaluate with, read as dataset is",
        low=0,
        high=1,
        exclusive=True,
    )


@dataclass(frozen=True)
class ArrayModelConfig(RoundsConfig):
    """The two networks of arrays and tables."""

    has_information: ClassVar[bool] = True

    generator: Literal["auto", "mlp", "conv", "masked", "causal"] = option(
        "auto",
        "masked, causal: in rounds, whose number can be chosen as samples of masked are drawn; mlp: all positions of "
        "any array or table at once; conv: likewise, along sequences or over planes of at least 8 x 8 (auto: causal, "
        "of arrays of several axes and more than 512 positions mlp)",
    )
    discriminator: Literal["auto", "positions", "mlp", "conv"] = option(
        "auto",
        "positions: a perceptron for each position, that sees all others; mlp: one for the whole sample; conv: along "
        "sequences or over planes (auto: conv with generator conv; else positions, or mlp where that would be large)",
    )
    latent_kind: Literal["normal", "binary"] = option(
        "normal", "numbers of the latent: standard normal, or -1 and 1: then there are 2^Z latents"
    )
    latent_size: int = option(32, "Z, width of the latent", low=1, high=65536)
    generator_width: int | None = option(
        None,
        "units or channels of the generator; of causal for rows at least one for each round (default: 256, of "
        "masked and causal over planes 96)",
        low=1,
        high=4096,
    )
    generator_depth: int | None = option(
        None,
        "hidden layers or blocks of the generator (default: 2, of masked and causal over planes 3)",
        low=1,
        high=64,
    )
    discriminator_width: int = option(64, "units or channels of the discriminator", low=1, high=4096)
    discriminator_depth: int = option(2, "hidden layers or blocks of the discriminator", low=1, high=64)
    log_ratio_bound: float = option(
        5.0,
        "of positions, and conv with credit alternatives: bound of the discriminator's absolute F, approached smoothly",
        low=0,
        exclusive=True,
    )
    logit_spread: float | None = option(
        None,
        "standard deviation over latents that the generator's logits start with (default: 1 with credit alternatives, "
        "else the network's own)",
        low=0,
        exclusive=True,
    )


@dataclass(frozen=True)
class ArrayAlgorithmConfig(TrainingConfig):
    """`TrainingConfig` with the defaults of arrays and tables."""

    estimator: EstimatorName = other_default(TrainingConfig, "estimator", "jeffreys")
    num_draws: int = other_default(TrainingConfig, "num_draws", 1)
    generator_lr: float = other_default(TrainingConfig, "generator_lr", 2e-3)
    credit: CreditName = other_default(TrainingConfig, "credit", "alternatives")
    max_steps: int = other_default(TrainingConfig, "max_steps", 4000)


@dataclass(frozen=True)
class ArrayRunConfig(RunConfig):
    """`RunConfig` with the defaults of arrays and tables."""

    output_dir: str = other_default(RunConfig, "output_dir", "runs/array")
    num_samples: int = other_default(RunConfig, "num_samples", 10_000)


@dataclass(frozen=True)
class ArrayTrainingConfig(ScriptConfig):
    """All of `scripts/train_array.py`."""

    front: ClassVar[Front] = Front(
        "arrays",
        "train_array.py",
        "samples.csv",
        "*.csv; of a table also *.tsv, *.parquet, *.npy (named fields); of an array *.npy; *.npz for the codes; an "
        "existing file is replaced (default: samples.csv, if there is no such file)",
        num_generated=1000,
        num_evaluated=10_000,
        generating={
            "--decode": {
                "choices": DECODINGS,
                "default": "inside",
                "help": "what the bins of a table's numbers become: a number drawn inside, the median, or the range as "
                "text such as [10, 25); categories that were learnt as one are drawn too with inside, else '(other)'",
            },
            "--given": {
                "metavar": "GIVEN",
                "help": "what samples are to have, of a generator in rounds: of a table conditions such as "
                "'sex=Female,age>=40,job in (farm, none)' (one that holds another comma in double quotes) or a file of "
                "rows, whose empty cells are drawn; of an array a .npy file, -1 where it is drawn; several are shared "
                "evenly among the samples",
            },
            "--constraint": {
                "metavar": "RULE",
                "action": "append",
                "dest": "constraints",
                "help": "what each row of a table must obey, such as 'end >= start' or 'combinations(city, country)', "
                "which allows those of the training data; rows that break it are drawn anew; may be given several "
                "times",
            },
        },
        evaluating={"--targets": {"metavar": "STR", "help": TARGETS_HELP}},
    )

    run: ArrayRunConfig = field(default_factory=ArrayRunConfig)
    data: ArrayDataConfig = field(default_factory=ArrayDataConfig)
    model: ArrayModelConfig = field(default_factory=ArrayModelConfig)
    training: ArrayAlgorithmConfig = field(default_factory=ArrayAlgorithmConfig)
    target: TargetConfig = field(default_factory=TargetConfig)

    @property
    def phases(self) -> str:
        """By default likelihood alone, which is measured to be nearer to the data, except for convolutions."""
        if self.training.phases != "auto" or self.model.generator == "conv":
            return super().phases
        return self._with_target("likelihood")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        training = self.training
        if training.credit == "prefix":
            raise InputError("credit must be 'alternatives' or 'sample' for arrays, got 'prefix'")
        super().check()
        if self.model.discriminator == "positions" and training.credit != "alternatives":
            raise InputError(f"discriminator 'positions' needs credit 'alternatives', got credit {training.credit!r}")
