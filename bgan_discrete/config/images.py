"""The options of images: `scripts/train_images.py`."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from bgan_discrete.config.option import Section, option
from bgan_discrete.config.rounds import RoundsConfig
from bgan_discrete.config.script import Front, RunConfig, ScriptConfig
from bgan_discrete.config.targets import TargetConfig
from bgan_discrete.config.training import TrainingConfig
from bgan_discrete.errors import InputError


@dataclass(frozen=True)
class ImageDataConfig(Section):
    """Where the images come from and how they become codes."""

    dataset: str = option(
        "digits",
        "'digits' (embedded), a .parquet, .npy or .npz file, a folder of pictures or of .parquet files, or the id of a "
        "data set on the Hub, as owner/name or owner/name@revision",
    )
    column: str | None = option(None, "column of the images (default: the only one that holds images)")
    label_column: str | None = option(None, "column of the labels (default: a class column, if there is one)")
    split: str = option("train", "split to train on")
    resize: str | None = option(None, "resize images to HxW, or to one number for both sides")
    color: Literal["auto", "grey", "rgb"] = option("auto", "read images as grey or rgb (auto: as the first image is)")
    limit: int | None = option(None, "use only the first so many images of the split", low=1)
    holdout: float = option(
        0.1,
        "share of the images held out for the metrics where there is no test split, in (0, 1)",
        low=0,
        high=1,
        exclusive=True,
    )
    codec: Literal["levels", "binary", "palette"] = option("levels", "how pixels become codes")
    num_categories: int | None = option(
        None,
        "K, 2 to 256 (default: levels the fewest that keep every pixel, 16 if over 64; binary 2; palette 16)",
        low=2,
        high=256,
    )
    stochastic: bool = option(False, "binary codec: draw each pixel once with its grey value as probability")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        super().check()
        _check_data(self)


@dataclass(frozen=True)
class ImageModelConfig(RoundsConfig):
    """The two networks."""

    generator: Literal["conv", "masked"] = option(
        "conv", "conv: all pixels at once; masked: in rounds, whose number can be chosen as samples are drawn"
    )
    latent_size: int = option(16, "Z, width of the latent", low=1, high=65536)
    generator_width: int = option(
        32, "channels of the generator at full size; they double with each halving", low=1, high=4096
    )
    generator_depth: int = option(2, "convolution blocks of the generator at each size", low=1, high=64)
    discriminator_width: int = option(
        32, "channels of the discriminator's first convolution; likewise", low=1, high=4096
    )
    discriminator_depth: int = option(2, "convolutions of the discriminator at each size", low=1, high=64)
    input_encoding: Literal["auto", "scalar", "cosine", "onehot", "embedding"] = option(
        "auto",
        "how the discriminator reads codes (auto: scalar for K = 2, cosine for a scale, else onehot or embedding by K)",
    )
    conditional: bool = option(
        False, "give both networks the labels of the images, so that images of a class can be drawn"
    )


@dataclass(frozen=True)
class ImageTrainingConfig(ScriptConfig):
    """All of `scripts/train_images.py`."""

    front: ClassVar[Front] = Front(
        "images",
        "train_images.py",
        "samples.png",
        "*.png for one grid, *.npz for the arrays codes and images (an existing file is replaced), a name without "
        "suffix for a folder of PNGs (default: samples.png, if there is no such file)",
        num_generated=64,
        num_evaluated=2000,
        generating={
            "--columns": {"type": int, "metavar": "INT", "help": "images in a row of a grid"},
            "--labels": {
                "metavar": "LABELS",
                "help": "classes to draw, numbers or names with commas between them (one that holds a comma in double "
                "quotes), of a model trained with --conditional: the samples are shared evenly among them, in their "
                "order (default: all)",
            },
            "--given": {
                "metavar": "GIVEN",
                "help": "a picture that all samples are to have, of a generator in rounds: its transparent pixels are "
                "drawn",
            },
        },
    )

    run: RunConfig = field(default_factory=RunConfig)
    data: ImageDataConfig = field(default_factory=ImageDataConfig)
    model: ImageModelConfig = field(default_factory=ImageModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    target: TargetConfig = field(default_factory=TargetConfig)

    @property
    def phases(self) -> str:
        """By default the game alone, of generators in rounds likelihood."""
        if self.training.phases != "auto" or self.model.generator != "masked":
            return super().phases
        return self._with_target("likelihood")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        super().check()
        if self.model.conditional and self.training.continuous != "none":
            raise InputError(
                f"conditional is for discrete generators; leave out continuous {self.training.continuous!r}"
            )
        if self.model.generator != "conv" and self.training.continuous != "none":
            raise InputError(f"continuous needs generator 'conv', got {self.model.generator!r}")


def _check_data(data: ImageDataConfig) -> None:
    if data.codec == "binary" and data.num_categories not in (None, 2):
        raise InputError(f"num_categories must be 2 with the binary codec, got {data.num_categories}")
    if data.stochastic and data.codec != "binary":
        raise InputError(f"stochastic applies to the binary codec, got codec {data.codec!r}")
