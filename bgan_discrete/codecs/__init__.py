"""Codecs: images, text, arrays or tables <-> integer codes. NumPy only; importing this package does not import torch.

Images are uint8 ``[N, H, W]`` (grey) or ``[N, H, W, 3]`` (RGB); codes are uint8 in ``[0, K)``, K <= 256,
``[N, H, W]`` or, for the levels of three channels, ``[N, 3, H, W]``. Texts are strings; their codes are ``[N, L]``.
"""

from bgan_discrete.codecs.arrays import ArrayCodec, IntegersCodec
from bgan_discrete.codecs.base import MAX_CATEGORIES, Codec, ImageCodec
from bgan_discrete.codecs.binary import BinaryCodec
from bgan_discrete.codecs.characters import CharacterCodec
from bgan_discrete.codecs.factory import (
    CODEC_NAMES,
    DEFAULT_NUM_CATEGORIES,
    CodecOptions,
    TextCodecOptions,
    codec_from_config,
    load_codec,
    register_codec,
)
from bgan_discrete.codecs.levels import LevelsCodec
from bgan_discrete.codecs.palette import PaletteCodec
from bgan_discrete.codecs.pieces import SentencePieceCodec
from bgan_discrete.codecs.tables import TableCodec
from bgan_discrete.codecs.text import TextCodec

__all__ = [
    "CODEC_NAMES",
    "DEFAULT_NUM_CATEGORIES",
    "MAX_CATEGORIES",
    "ArrayCodec",
    "BinaryCodec",
    "CharacterCodec",
    "Codec",
    "CodecOptions",
    "ImageCodec",
    "IntegersCodec",
    "LevelsCodec",
    "PaletteCodec",
    "SentencePieceCodec",
    "TableCodec",
    "TextCodec",
    "TextCodecOptions",
    "codec_from_config",
    "load_codec",
    "register_codec",
]
