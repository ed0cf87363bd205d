"""Building codecs: by name, from a configuration, from a file."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgan_discrete.checks import check_choice
from bgan_discrete.codecs.arrays import IntegersCodec
from bgan_discrete.codecs.base import (
    FILE_FORMAT,
    FILE_VERSION,
    Codec,
    ImageCodec,
    check_channels,
    config_fingerprint,
)
from bgan_discrete.codecs.binary import BinaryCodec
from bgan_discrete.codecs.characters import DEFAULT_MAX_CHARACTERS, CharacterCodec
from bgan_discrete.codecs.columns import column_from_config
from bgan_discrete.codecs.levels import LevelsCodec
from bgan_discrete.codecs.palette import PaletteCodec, palette_from_hex
from bgan_discrete.codecs.pieces import SentencePieceCodec, model_from_text
from bgan_discrete.codecs.tables import TableCodec
from bgan_discrete.codecs.text import TextCodec
from bgan_discrete.durable import read_json
from bgan_discrete.errors import InputError, one_line

DEFAULT_NUM_CATEGORIES: dict[str, int | None] = {"levels": None, "binary": 2, "palette": 16}
"""K where nobody asks for one; None where it depends on the data (`bgan_discrete.codecs.levels.choose_num_levels`)."""

MAX_FILE_BYTES = 2**26
"""A codec's file with the largest vocabulary is a few MB; a larger one is refused unread."""

CODEC_NAMES = tuple(DEFAULT_NUM_CATEGORIES)
"""Names of the codecs of images that `build_codec` knows."""


@dataclass(frozen=True)
class CodecOptions:
    """What one has to know of a codec before the data are seen.

    Attributes:
        name: ``binary``, ``levels`` or ``palette``.
        num_categories: K, 2 .. 256; `DEFAULT_NUM_CATEGORIES` of the name if None: `fit` chooses that of ``levels``.
        seed: Of k-means and of stochastic binarisation.
        threshold: Of ``binary``: the least pixel that becomes 1, 1 .. 255.
        stochastic: Of ``binary``: draw the codes with probability pixel / 255.
        dither: Of ``palette``: spread each pixel's error to its neighbours.

    Raises:
        InputError: If the name is unknown or a value is out of its range.
    """

    name: str = "levels"
    num_categories: int | None = None
    seed: int = 0
    threshold: int = 128
    stochastic: bool = False
    dither: bool = False

    def __post_init__(self) -> None:
        """Refuse wrong values now rather than after the data have been read."""
        check_choice("codec", self.name, CODEC_NAMES)
        self.build(channels=1)

    def build(self, channels: int) -> ImageCodec:
        """Build the codec for images of so many channels.

        Args:
            channels: 1 or 3.

        Returns:
            The codec, which may still have to be fitted.

        Raises:
            InputError: If the codec does not take so many channels.
        """
        categories = DEFAULT_NUM_CATEGORIES[self.name] if self.num_categories is None else self.num_categories
        if self.name == "levels":
            return LevelsCodec(categories, channels)
        if self.name == "palette":
            assert categories is not None
            return PaletteCodec(categories, channels, seed=self.seed, dither=self.dither)
        if categories != 2:
            fault = f"num_categories of the binary codec is 2, got {categories}"
            raise InputError(f"{fault}; levels and palette take others")
        if channels != 1:
            fault = f"the binary codec takes grey images, got {channels} channels"
            raise InputError(f"{fault}: make them grey (--color grey)")
        return BinaryCodec(self.threshold, stochastic=self.stochastic, seed=self.seed)


def build_codec(name: str, num_categories: int | None = None, channels: int = 1, **options: Any) -> ImageCodec:
    """Build a codec by name; a palette, and levels without K, still have to be fitted.

    Args:
        name: See `CodecOptions`, as of the others.
        num_categories: K.
        channels: Of the images, 1 or 3. 1 for ``binary``.
        options: ``seed``, ``threshold``, ``stochastic`` and ``dither``.

    Returns:
        The codec.

    Raises:
        InputError: If the name is unknown or an argument is out of its range.
    """
    return CodecOptions(name, num_categories, **options).build(channels)


@dataclass(frozen=True)
class TextCodecOptions:
    """What one has to know of a codec of text before the data are seen.

    Attributes:
        tokenizer: ``char`` or ``sentencepiece``.
        length: L, the codes of a sequence.
        ends: Whether sequences may be shorter than L.
        vocabulary_size: The most codes of ``char`` (None for 4,096); the pieces of ``sentencepiece`` (None for
            1,000, or as many as the data have).
        min_count: Of ``char``: rarer characters become the unknown one.
        model_type: Of ``sentencepiece``: ``unigram``, ``bpe`` or ``char``.
        model_file: Of ``sentencepiece``: a ``.model`` file to take rather than to train one.

    Raises:
        InputError: If a value is out of its range, or the model cannot be read.
    """

    tokenizer: str = "char"
    length: int = 32
    ends: bool = True
    vocabulary_size: int | None = None
    min_count: int = 1
    model_type: str = "unigram"
    model_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse wrong values now rather than after the data have been read."""
        self.build()

    def build(self) -> TextCodec:
        """Build the codec, which may still have to be fitted.

        Raises:
            InputError: If an option is unknown or out of its range.
        """
        if self.tokenizer == "char":
            size = DEFAULT_MAX_CHARACTERS if self.vocabulary_size is None else self.vocabulary_size
            return CharacterCodec(self.length, self.ends, max_categories=size, min_count=self.min_count)
        if self.tokenizer != "sentencepiece":
            raise InputError(f"tokenizer must be char or sentencepiece, got {self.tokenizer!r}")
        if self.model_file is not None:
            return SentencePieceCodec.from_model_file(self.model_file, self.length, self.ends)
        return SentencePieceCodec(
            self.length, self.ends, model_type=self.model_type, vocabulary_size=self.vocabulary_size
        )


def _piece_codec(*, model: Any, **others: Any) -> SentencePieceCodec:
    return SentencePieceCodec(model=model_from_text(model), **others)


def _integers_codec(**options: Any) -> IntegersCodec:
    for name in options.keys() & {"event_shape", "values"}:
        if not isinstance(options[name], list):
            raise InputError(f"{name} must be a list, got {options[name]!r}")
    return IntegersCodec(**options)


def _palette_codec(*, channels: int, palette: Any, **others: Any) -> PaletteCodec:
    colours = None if palette is None else palette_from_hex(palette, check_channels(channels))
    return PaletteCodec(channels=channels, palette=colours, **others)


def _table_codec(*, columns: Any) -> TableCodec:
    if not isinstance(columns, list):
        raise InputError(f"columns must be a list, got {columns!r}")
    return TableCodec([column_from_config(entry) for entry in columns])


_BUILDERS: dict[str, tuple[Callable[..., Codec], str]] = {
    "binary": (BinaryCodec, "threshold stochastic seed"),
    "levels": (LevelsCodec, "num_categories channels"),
    "palette": (_palette_codec, "num_categories channels seed dither palette"),
    "characters": (CharacterCodec, "length ends max_categories min_count vocabulary"),
    "sentencepiece": (_piece_codec, "length ends model_type vocabulary_size model"),
    "integers": (_integers_codec, "event_shape num_categories low"),
    "table": (_table_codec, "columns"),
}
"""Of each codec what builds it, and the keys of its configuration."""

_OPTIONAL = {"integers": {"values"}}
"""Keys that a configuration may lack."""

_OWN: dict[str, type[Codec]] = {}


def register_codec(kind: type[Codec]) -> type[Codec]:
    """Make a codec of the user's own known, so that caches and saved models that name it can be read; a decorator.

    Args:
        kind: The class. Its `name` is its own, and its `to_config` gives the name and the arguments of its constructor.

    Returns:
        The class.

    Raises:
        InputError: If a codec of this package has the name.
    """
    if kind.name in _BUILDERS:
        raise InputError(f"codec name {kind.name!r} is taken by a codec of this package; choose another")
    _OWN[kind.name] = kind
    return kind


def codec_from_config(config: Any) -> Codec:
    """Build a codec again from what its ``to_config`` gave.

    Args:
        config: A dictionary of plain JSON types.

    Returns:
        A codec with the same fingerprint.

    Raises:
        InputError: If a key is missing, unknown or has a value that the codec refuses.
    """
    if not isinstance(config, dict):
        raise InputError(f"a codec's configuration must be a dictionary, got {config!r}")
    name = config.get("name")
    if not isinstance(name, str) or name not in {*_BUILDERS, *_OWN}:
        known = ", ".join((*_BUILDERS, *_OWN))
        raise InputError(f"a codec's configuration must have a name of {known}, got {name!r}")
    if name in _OWN:
        try:
            return _OWN[name](**{key: value for key, value in config.items() if key != "name"})
        except TypeError as error:
            raise InputError(f"the configuration of the {name} codec does not fit its constructor: {error}") from error
    builder, required = _BUILDERS[name]
    given = set(config) - {"name"}
    keys = set(required.split()) | given & _OPTIONAL.get(name, set())
    if given != keys:
        faults = [f"lacks {key}" for key in sorted(keys - given)]
        faults += [f"has the unknown {key}" for key in sorted(given - keys)]
        raise InputError(f"the configuration of the {name} codec {', '.join(faults)}")
    return builder(**{key: config[key] for key in given})


def load_codec(path: str | os.PathLike[str]) -> Codec:
    """Read a codec that ``codec.save`` wrote.

    Args:
        path: Of the JSON file.

    Returns:
        The codec.

    Raises:
        InputError: If the file is missing, damaged, of a later format or no codec.
    """
    try:
        document = read_json(Path(path), MAX_FILE_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the codec {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the codec {path} is not JSON: {one_line(error)}") from error
    if not isinstance(document, dict) or document.get("format") != FILE_FORMAT:
        raise InputError(f"{path} is not a codec: its format must be {FILE_FORMAT!r}")
    if document.get("format_version") != FILE_VERSION:
        version = one_line(ValueError(repr(document.get("format_version"))))
        raise InputError(f"{path} has the format version {version}; this program reads {FILE_VERSION}")
    try:
        codec = codec_from_config(document.get("codec"))
    except InputError as error:
        raise InputError(f"{path}: {one_line(error)}") from error
    if document.get("fingerprint") != config_fingerprint(codec.to_config()):
        raise InputError(f"{path} is damaged or was edited: its fingerprint does not fit its content")
    return codec
