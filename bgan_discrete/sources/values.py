"""Distinct values of pixels before and after encoding: a merge is a note, a collapse is refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import CodecOptions, ImageCodec, PaletteCodec
from bgan_discrete.codecs.levels import MAX_EXACT_LEVELS
from bgan_discrete.codecs.palette import pack, unpack
from bgan_discrete.errors import InputError
from bgan_discrete.sources.conservation import merged
from bgan_discrete.sources.folders import DATA
from bgan_discrete.sources.storage import chunks_of

DARK_RANGE = 64
"""Pixels that cover fewer of the 256 values look like one colour."""

_CODES_OF_COLLAPSE = 4
"""If at most one in so many of the codes is used, the values are on another scale than the codec's."""

_SEARCHED = 2**16
Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Pixels and their codes."""


def fit_codec(options: CodecOptions | ImageCodec, pixels: NDArray[np.uint8]) -> ImageCodec:
    """The codec for training images, fitted if it is not.

    Few grey values that are no even levels, such as 0 .. 12, become levels of their own: a grey palette.
    """
    if isinstance(options, ImageCodec):
        return options
    codec = options.build(channels=1 if pixels.ndim == 3 else 3).fit(pixels)
    if options.name == "levels" and options.num_categories is None and codec.channels == 1:
        values = distinct(pixels)
        is_exact = np.isin(values, codec.decode(np.arange(codec.num_categories).reshape(1, 1, -1))).all()
        if not is_exact and 1 < len(values) <= MAX_EXACT_LEVELS:
            return PaletteCodec(len(values), 1, palette=values[:, None].astype(np.uint8))
    return codec


def value_notes(options: CodecOptions | ImageCodec, codec: ImageCodec, training: Part, heldout: Part) -> list[str]:
    """What encoding merges; ``options`` are what was asked for, of which ``codec`` came.

    Raises InputError if many values of the training images have few codes, or all one.
    """
    before, after = distinct(training[0]), distinct(training[1], codec)
    shades = unpack(before, codec.channels)
    low, high = int(shades.min()), int(shades.max())
    many = min(len(before), codec.num_categories if isinstance(options, CodecOptions) else 0)
    if len(after) < len(before) and (len(after) == 1 or _CODES_OF_COLLAPSE * len(after) <= many):
        found = (
            f"all have the code {training[1].flat[0]}"
            if len(after) == 1
            else f"their {len(before):,} different values have only {len(after)} of {codec.num_categories} codes"
        )
        advice = "multiply them by 255" if (low, high) == (0, 1) else "spread them over 0 .. 255"
        if isinstance(options, CodecOptions):
            advice += (
                f", or take the threshold {low + 1} (in Python, CodecOptions(threshold={low + 1}))"
                if codec.name == "binary"
                else ""
            )
            advice += f", or take the codec {'palette' if codec.channels == 3 else 'levels'!r} without num_categories"
        raise InputError(f"pixels of the training images run from {low} to {high}, as 8 bits, and {found}: {advice}")
    notes = []
    count = len(before)
    before, after = np.union1d(before, distinct(heldout[0])), np.union1d(after, distinct(heldout[1], codec))
    if len(after) < len(before):
        what = "grey values" if codec.channels == 1 else "colours"
        advice = f"--codec palette --num-categories {count} keeps those of the training images"
        advice = advice if 2 <= count <= 256 else "a larger --num-categories keeps more, up to 256"
        notes.append(merged(what, DATA, len(before), len(after), _example(codec, before), advice))
    if 0 < high - low < DARK_RANGE:
        notes.append(
            f"pixels of {DATA} run from {low} to {high} of 0 .. 255, so that pictures look like one colour: spread "
            "them over 0 .. 255 to see them; numbers that are no shades go to train_array.py as an array"
        )
    return notes


def distinct(images: NDArray[np.uint8], codec: ImageCodec | None = None) -> NDArray[np.int64]:
    """The different grey values, or colours ``65536 R + 256 G + B``, ascending; of codes, if there is a codec."""
    present = np.zeros(256, bool)
    for chunk in chunks_of(len(images)):
        values = _packed(images[chunk] if codec is None else codec.decode(images[chunk]))
        if values.dtype != np.uint8 and len(present) == 256:
            present = np.zeros(2**24, bool)
        present[values] = True
    return np.flatnonzero(present)


def _packed(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    return pixels if pixels.ndim == 3 else pack(pixels)


def _example(codec: ImageCodec, values: NDArray[np.int64]) -> str:
    """Two values that become one."""
    values = values[:_SEARCHED].reshape(-1, 1, 1)  # images of one pixel: dithering then has no neighbours
    pixels = values.astype(np.uint8) if codec.channels == 1 else unpack(values, 3)
    become = _packed(codec.decode(codec.encode(pixels))).ravel()
    order = np.argsort(become, kind="stable")
    place = int((become[order][1:] == become[order][:-1]).argmax())
    three = [*values.ravel()[order[place : place + 2]], become[order[place]]]
    return "{} and {} become {}".format(*(str(v) if codec.channels == 1 else f"#{v:06x}" for v in three))
