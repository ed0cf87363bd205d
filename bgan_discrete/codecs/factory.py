"""Building codecs: by name, from a configuration, from a file."""

import os
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
    config_fingerprint,
)
from bgan_discrete.codecs.binary import BinaryCodec
from bgan_discrete.codecs.characters import DEFAULT_MAX_CHARACTERS, CharacterCodec
from bgan_discrete.codecs.levels import LevelsCodec
from bgan_discrete.codecs.palette import PaletteCodec
from bgan_discrete.codecs.pieces import SentencePieceCodec
from bgan_discrete.codecs.tables import TableCodec
from bgan_discrete.codecs.text import TextCodec
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.manifests import read_json

DEFAULT_NUM_CATEGORIES: dict[str, int | None] = {"levels": None, "binary": 2, "palette": 16}
"""K where nobody asks for one; None where it depends on the data (`bgan_discrete.codecs.levels.choose_num_levels`)."""

MAX_FILE_BYTES = 2**26
"""A codec's file with the largest vocabulary is a few MB; a larger one is refused unread."""

CODEC_NAMES = tuple(DEFAULT_NUM_CATEGORIES)
"""Names of the codecs of images."""


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


_KINDS: dict[str, type[Codec]] = {
    kind.name: kind
    for kind in (BinaryCodec, LevelsCodec, PaletteCodec, CharacterCodec, SentencePieceCodec, IntegersCodec, TableCodec)
}
_OPTIONAL: dict[type[Codec], set[str]] = {IntegersCodec: {"values"}, TableCodec: {"dtypes", "identifiers"}}
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
    if kind.name in _KINDS:
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
    if not isinstance(name, str) or name not in {*_KINDS, *_OWN}:
        known = ", ".join((*_KINDS, *_OWN))
        raise InputError(f"a codec's configuration must have a name of {known}, got {name!r}")
    values = {key: value for key, value in config.items() if key != "name"}
    if name in _OWN:
        try:
            return _OWN[name].from_config(**values)
        except TypeError as error:
            raise InputError(f"the configuration of the {name} codec does not fit its constructor: {error}") from error
    kind = _KINDS[name]
    faults = [f"lacks {key}" for key in sorted(set(kind.config_keys) - set(values))]
    allowed = {*kind.config_keys, *_OPTIONAL.get(kind, ())}
    faults += [f"has the unknown {key}" for key in sorted(set(values) - allowed)]
    if faults:
        raise InputError(f"the configuration of the {name} codec {', '.join(faults)}")
    return kind.from_config(**values)


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
