"""A trained generator with its codec: all that generating needs, in one folder and one object."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typing_extensions import Self

from bgan_discrete.codecs import ArrayCodec, Codec, ImageCodec, TableCodec, TextCodec, load_codec
from bgan_discrete.errors import InputError
from bgan_discrete.nn import (
    ContinuousConvGenerator,
    ConvGenerator,
    ConvSequenceGenerator,
    GRUGenerator,
    MLPGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
)
from bgan_discrete.sampling import check_sharpening
from bgan_discrete.training.trainer import resolve_device, sample_codes

FORMAT_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE = "config.json", "model.safetensors", "codec.json"

GENERATORS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        ConvGenerator,
        ContinuousConvGenerator,
        MLPGenerator,
        ConvSequenceGenerator,
        MLPSequenceGenerator,
        GRUGenerator,
        TransformerGenerator,
    )
}
"""Generators that a saved model can name."""


@dataclass
class GeneratedText:
    """Samples of a text model.

    Attributes:
        codes: Integers ``[N, L]``.
        texts: N strings.
    """

    codes: np.ndarray
    texts: list[str]


@dataclass
class GeneratedRows:
    """Samples of a model of arrays or tables.

    Attributes:
        codes: Integers ``[N, *event_shape]``.
        rows: What they stand for: integers ``[N, *event_shape]``, or a table: column name -> N values.
    """

    codes: np.ndarray
    rows: Any


@dataclass
class GeneratedImages:
    """Samples of an image model.

    Attributes:
        codes: Integers ``[N, H, W]`` or ``[N, C, H, W]``.
        images: uint8 ``[N, H, W]`` or ``[N, H, W, 3]``.
    """

    codes: np.ndarray
    images: np.ndarray


class Pipeline:
    """A trained generator with the codec of its data; see `ImagePipeline` and `TextPipeline`.

    Args:
        generator: A generator of this package.
        codec: The codec of the data that it was trained on.
        device: Where it runs; see `bgan_discrete.training.trainer.resolve_device`.

    Raises:
        InputError: If the codec is of another kind of data, or generator and codec differ in their number of
            categories.
    """

    kind = "data"
    codec_class: ClassVar[Any] = Codec

    def __init__(self, generator: nn.Module, codec: Any, device: str = "cpu") -> None:
        if not isinstance(codec, self.codec_class):
            raise InputError(f"the model is not one of {self.kind}: its codec is {codec.name!r}")
        if _setting(generator, "num_categories") != codec.num_categories:
            raise InputError(
                f"generator and codec must have the same num_categories, got {_setting(generator, 'num_categories')} "
                f"and {codec.num_categories}"
            )
        self.device = resolve_device(device)
        self.generator = generator.to(self.device).eval()
        self.codec = codec

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights (safetensors), configuration and codec into a folder.

        Args:
            folder: Made if missing; files of an earlier model in it are replaced.

        Raises:
            InputError: If the generator is not one of this package, which could not be built again.
        """
        name = type(self.generator).__name__
        if GENERATORS.get(name) is not type(self.generator):
            raise InputError(f"generator must be one of {', '.join(GENERATORS)} to be saved, got {name}")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {key: value.contiguous().cpu() for key, value in self.generator.state_dict().items()}
        config = {"format_version": FORMAT_VERSION, "generator": name, "settings": self.generator.settings}
        temporary = folder / f".{WEIGHTS_FILE}"
        save_file(tensors, temporary)
        self.codec.save(folder / CODEC_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        temporary.replace(folder / WEIGHTS_FILE)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "cpu") -> Self:
        """Load what `save_pretrained` wrote; strict, and nothing in the folder is executed.

        Args:
            folder: The model's folder.
            device: Where it will run.

        Returns:
            The pipeline.

        Raises:
            InputError: If a file is missing, damaged, of a newer format or of another kind of data, or its weights do
                not fit the configuration.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"model {str(folder)!r} is not a folder; give the 'model' folder of a run")
        generator = _build_generator(_read_config(folder / CONFIG_FILE), folder / CONFIG_FILE)
        try:
            tensors = load_file(folder / WEIGHTS_FILE)
            generator.load_state_dict(tensors, strict=True)
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"weights {str(folder / WEIGHTS_FILE)!r} cannot be loaded: {reason}") from None
        return cls(generator, load_codec(folder / CODEC_FILE), device)


class ImagePipeline(Pipeline):
    """Generates images from a trained generator; arguments and errors as in `Pipeline`."""

    kind = "images"
    codec_class = ImageCodec
    codec: ImageCodec

    def generate(self, num_samples: int, seed: int = 0, batch_size: int = 1000) -> GeneratedImages:
        """Draw samples: one latent each, and one draw of its categorical pixels.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same codes on the same machine.
            batch_size: How many at once; the samples depend on it.

        Returns:
            Codes and decoded images.

        Raises:
            InputError: If a number is below 1.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        latent_size = _setting(self.generator, "latent_size")
        codes = sample_codes(self.generator, latent_size, num_samples, seed, self.device, batch_size)
        return GeneratedImages(codes, self.codec.decode(codes))


class TextPipeline(Pipeline):
    """Generates text from a trained generator; arguments and errors as in `Pipeline`."""

    kind = "text"
    codec_class = TextCodec
    codec: TextCodec

    def generate(
        self,
        num_samples: int,
        seed: int = 0,
        batch_size: int = 1000,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        prompt: str = "",
    ) -> GeneratedText:
        """Draw samples: one latent each, and one draw of its tokens.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same codes on the same machine.
            batch_size: How many at once; the samples depend on it.
            temperature: Divides the logits of every token, > 0.
            top_k: Draw from the so many most probable tokens only.
            top_p: Draw from the fewest most probable tokens that together have this probability.
            prompt: What every sample begins with; for autoregressive generators.

        Returns:
            Codes and texts.

        Raises:
            InputError: If an argument is out of its range; if the prompt is too long, or holds characters that the
                vocabulary lacks, or the generator draws all positions independently.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        check_sharpening(temperature, top_k, top_p)
        given = self._prompt_codes(prompt)

        def draw(latents: Tensor, rng: torch.Generator) -> Tensor:
            distribution = self.generator(latents)
            if (temperature, top_k, top_p) != (1.0, None, None):
                distribution = distribution.sharpened(temperature, top_k, top_p)
            return cast(Tensor, distribution.sample(1, rng, prompt=given)[0])

        latent_size = _setting(self.generator, "latent_size")
        kind = getattr(self.generator, "latent_kind", "normal")
        codes = sample_codes(self.generator, latent_size, num_samples, seed, self.device, batch_size, draw, kind)
        return GeneratedText(codes, self.codec.decode(codes))

    def _prompt_codes(self, prompt: str) -> Tensor | None:
        if not prompt:
            return None
        if isinstance(self.generator, (ConvSequenceGenerator, MLPSequenceGenerator)):
            raise InputError("prompt needs an autoregressive generator (gru, transformer); this model is one-shot")
        (codes,) = self.codec.tokenize([prompt])
        unknown = self.codec.is_unknown(codes)
        if unknown.any():
            what = sorted(
                {character for character in prompt if self.codec.is_unknown(self.codec.tokenize([character])[0]).any()}
            )
            raise InputError(f"prompt holds what the model's vocabulary lacks: {', '.join(map(repr, what))}")
        if len(codes) > self.codec.length:
            raise InputError(
                f"prompt must have at most {self.codec.length} tokens, the model's length; {prompt!r} has {len(codes)}"
            )
        return torch.from_numpy(codes.astype(np.int64))


class ArrayPipeline(Pipeline):
    """Generates arrays or tables from a trained generator; arguments and errors as in `Pipeline`.

    Raises:
        InputError: Also if the generator makes samples of another shape, or with other numbers of categories, than the
            codec.
    """

    kind = "arrays or tables"
    codec_class = ArrayCodec
    codec: ArrayCodec

    def __init__(self, generator: nn.Module, codec: Any, device: str = "cpu") -> None:
        super().__init__(generator, codec, device)
        shape, sizes = getattr(generator, "event_shape", None), getattr(generator, "sizes", None)
        if shape != codec.event_shape:
            raise InputError(f"generator and codec must have the same event shape, got {shape} and {codec.event_shape}")
        if (None if sizes is None else tuple(sizes.flatten().tolist())) != codec.sizes:
            raise InputError("generator and codec must have the same number of categories for each column")

    def generate(
        self, num_samples: int, seed: int = 0, batch_size: int = 1000, *, bin_ranges: bool = False
    ) -> GeneratedRows:
        """Draw samples: one latent each, and one draw of its codes.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same codes on the same machine.
            batch_size: How many at once; the samples depend on it.
            bin_ranges: Write a bin of a table's numbers as text such as ``[10, 25)`` rather than a number inside it.

        Returns:
            Codes, and what they stand for.

        Raises:
            InputError: If a number is below 1, or ranges are asked for of an array.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        if bin_ranges and not isinstance(self.codec, TableCodec):
            raise InputError("bin_ranges is for tables; the model is one of integer arrays")
        latent_size = _setting(self.generator, "latent_size")
        kind = getattr(self.generator, "latent_kind", "normal")
        codes = sample_codes(self.generator, latent_size, num_samples, seed, self.device, batch_size, latent_kind=kind)
        rows = self.codec.decode(codes, bin_ranges) if isinstance(self.codec, TableCodec) else self.codec.decode(codes)
        return GeneratedRows(codes, rows)


def _setting(generator: nn.Module, name: str) -> int:
    value = getattr(generator, name, None)
    if not isinstance(value, int):
        raise InputError(f"the generator must have an integer attribute {name!r}, got {value!r}")
    return value


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"model configuration {str(path)!r} cannot be read: {error}") from None
    expected = {"format_version", "generator", "settings"}
    if not isinstance(config, dict) or set(config) != expected or not isinstance(config["settings"], dict):
        raise InputError(f"model configuration {str(path)!r} must hold exactly {', '.join(sorted(expected))}")
    if not isinstance(config["format_version"], int) or config["format_version"] > FORMAT_VERSION:
        raise InputError(
            f"model configuration {str(path)!r} has format {config['format_version']!r}; "
            f"this version reads up to {FORMAT_VERSION}"
        )
    return config


def _build_generator(config: dict[str, Any], path: Path) -> nn.Module:
    if config["generator"] not in GENERATORS:
        raise InputError(
            f"generator {config['generator']!r} in {str(path)!r} is unknown; known are {', '.join(GENERATORS)}"
        )
    try:
        return GENERATORS[config["generator"]](**config["settings"])
    except (TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"settings in {str(path)!r} do not fit {config['generator']}: {reason}") from None
