"""Distinct values of pixels before and after encoding: a merge is said, a collapse is refused."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import CodecOptions, ImageCodec
from bgan_discrete.codecs.base import MAX_CATEGORIES
from bgan_discrete.codecs.levels import MAX_EXACT_LEVELS
from bgan_discrete.errors import InputError
from bgan_discrete.sources.conservation import merged
from bgan_discrete.sources.folders import DATA
from bgan_discrete.sources.storage import chunks_of

DARK_RANGE = 64
"""Pixels that cover fewer of the 256 values look like one colour."""

_COLLAPSE = 4
"""Fewer than one in so many of the codes that there could be: the values are on another scale than the codec's."""

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Pixels and their codes."""


def value_notes(codec: ImageCodec, training: Part, heldout: Part, options: CodecOptions | ImageCodec) -> list[str]:
    """What encoding merges.

    Args:
        codec: Fitted.
        training: Pixels and their codes.
        heldout: Likewise.
        options: What was asked for: options of a codec, or one that came fitted.

    Returns:
        Notes.

    Raises:
        InputError: If many values of the training images have few codes, or all one.
    """
    what = "colours" if _is_packed(codec) else "grey values" if codec.channels == 1 else "values of R, G and B"
    before = _values_of(codec, training[0])
    used = _codes_of(training[1])
    many = min(len(before), codec.num_categories if isinstance(options, CodecOptions) else 0)
    if len(used) < len(before) and (len(used) == 1 or _COLLAPSE * len(used) <= many):
        raise InputError(_collapse(before, used, codec, training[0], options))
    notes = []
    before, used = np.union1d(before, _values_of(codec, heldout[0])), np.union1d(used, _codes_of(heldout[1]))
    if len(used) < len(before):
        notes.append(merged(what, DATA, len(before), len(used), _example(codec, before), _advice(codec, options)))
    low, high = _range_of(training[0])
    if 0 < high - low < DARK_RANGE:
        notes.append(
            f"pixels of {DATA} run from {low} to {high} of 0 .. 255, so that pictures look like one colour: spread "
            "them over 0 .. 255 to see them; numbers that are no shades go to train_array.py as an array"
        )
    return notes


def _is_packed(codec: ImageCodec) -> bool:
    """Whether a code stands for a colour rather than for the value of one channel."""
    return codec.channels == 3 and not codec.channels_first


def _values_of(codec: ImageCodec, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The different values: bytes, or colours ``65536 R + 256 G + B``."""
    present = np.zeros(MAX_CATEGORIES**3 if _is_packed(codec) else MAX_CATEGORIES, bool)
    for chunk in chunks_of(len(pixels)):
        piece = pixels[chunk]
        present[piece.astype(np.int32) @ np.array([65536, 256, 1], np.int32) if _is_packed(codec) else piece] = True
    return np.flatnonzero(present)


def _codes_of(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    present = np.zeros(MAX_CATEGORIES, bool)
    for chunk in chunks_of(len(codes)):
        present[codes[chunk]] = True
    return np.flatnonzero(present)


def _range_of(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    chunks = [pixels[chunk] for chunk in chunks_of(len(pixels))]
    return min(int(chunk.min()) for chunk in chunks), max(int(chunk.max()) for chunk in chunks)


def _example(codec: ImageCodec, values: NDArray[np.int64]) -> str:
    """Two values with one code: among one more than there are codes, there are two."""
    values = values[: MAX_CATEGORIES + 1]
    shifts = (16, 8, 0) if _is_packed(codec) else (0,) * codec.channels
    pixels = np.stack([(values >> shift & 255).astype(np.uint8) for shift in shifts], axis=-1)
    # Each as an image of one pixel: dithering then has no neighbours.
    images = pixels.reshape(-1, 1, 1, 3) if codec.channels == 3 else pixels.reshape(-1, 1, 1)
    codes = codec.encode(images)
    first = codes.reshape(len(values), -1)[:, 0]
    order = np.argsort(first, kind="stable")
    place = int((first[order][1:] == first[order][:-1]).argmax())
    pair = order[place : place + 2]
    decoded = codec.decode(codes[pair[:1]]).reshape(-1).tolist()
    names = [f"#{value:06x}" if _is_packed(codec) else str(value) for value in values[pair].tolist()]
    return f"{names[0]} and {names[1]} become {'#' + bytes(decoded).hex() if _is_packed(codec) else decoded[0]}"


def _advice(codec: ImageCodec, options: CodecOptions | ImageCodec) -> str:
    if not isinstance(options, CodecOptions):
        return "the codec is that of a model"
    if codec.name == "binary":
        return "the codec 'levels' (--codec levels) keeps more"
    if codec.num_categories == MAX_CATEGORIES:
        return f"there are at most {MAX_CATEGORIES} codes"
    return "a larger num_categories (--num-categories, up to 256) keeps more"


def _collapse(
    before: Sequence[int] | NDArray[np.int64],
    used: NDArray[np.int64],
    codec: ImageCodec,
    pixels: NDArray[np.uint8],
    options: CodecOptions | ImageCodec,
) -> str:
    low, high = _range_of(pixels)
    found = (
        f"all have the code {used[0]}"
        if len(used) == 1
        else f"their {len(before):,} different values have only {len(used)} of {codec.num_categories} codes"
    )
    advice = "multiply them by 255" if (low, high) == (0, 1) else "spread them over 0 .. 255"
    if isinstance(options, CodecOptions) and codec.name == "binary":
        advice += f", or take the threshold {low + 1} (--binary-threshold {low + 1})"
    if isinstance(options, CodecOptions) and len(before) <= MAX_EXACT_LEVELS:
        advice += ", or take the codec 'levels' without num_categories (--codec levels), which keeps few values exactly"
    return f"pixels of the training images run from {low} to {high}, as 8 bits, and {found}: {advice}"
