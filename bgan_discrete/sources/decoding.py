"""Rows -> uint8 pixels of one colour and one size; each image is decoded once."""

import io
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.conservation import listed, merged
from bgan_discrete.sources.folders import DATA
from bgan_discrete.sources.rows import PictureFile, Rows
from bgan_discrete.sources.settings import Settings
from bgan_discrete.sources.storage import chunks_of, stack

_GREY_MODES = frozenset({"1", "L", "LA", "I", "F"})
_PROGRESS_FROM_ROWS = 5000
_EXIF_ORIENTATION = 0x0112
_RUNS_PROGRAMS = ("EPS", "WMF")
_WITH_FRAMES = ("GIF", "PNG", "WEBP", "TIFF")
_DEEP = 65535
_GREYED, _DEEP_COLOUR = "are in colour and are read as grey, as the first one is", "have 16 bits for each colour"
_FRAMES, _FLAT = "hold several frames", "become one colour"
_DOUBLED = "have a palette in which several numbers are one colour"
_LOSSES = {
    _GREYED: "color 'rgb' (--color rgb) keeps colours",
    _DEEP_COLOUR: "the upper 8 are kept",
    _FRAMES: "the first is read; save the others as pictures of their own",
    _FLAT: "transparency is laid on white, and grey or another size may leave one shade; convert them before",
    _DOUBLED: "only colours are read; save the numbers as grey pictures",
}
"""What images lose, and what would keep it."""


@dataclass(frozen=True)
class Form:
    """What every image is brought to, and where that was learnt."""

    grey: bool
    resize: tuple[int, int] | None
    size: tuple[int, int]
    learnt_from: str
    grey_was_asked_for: bool = True


def learn_form(rows: Rows, settings: Settings) -> Form:
    """Colour and size of the first image, where they were not asked for."""
    raw = read_rows(rows, 0, 1)[0]
    with naming_row(rows, 0, raw):
        grey = settings.color == "grey" or (settings.color == "auto" and _is_grey(_open_image(raw)))
        pixels = _to_pixels(raw, grey, settings.size, Losses())
    size, first = (pixels.shape[0], pixels.shape[1]), f"row 0 of {rows.place}"
    return Form(grey, settings.size, size, first, settings.color == "grey")


class Losses:
    """What decoding takes away from images, counted; ``row`` names the image that is decoded."""

    def __init__(self) -> None:
        self.row = ""
        self.rows: dict[str, list[str]] = {}
        """Of each of `_LOSSES` the images."""
        self.is_deep = np.zeros(_DEEP + 1, bool)
        """Which values of 16 bits occur."""

    def add(self, what: str, is_lost: bool) -> None:
        """Count the image if it loses something."""
        if is_lost:
            self.rows.setdefault(what, []).append(self.row)

    def notes(self, count: int) -> list[str]:
        """What became of ``count`` images; refused if all are one colour, or little is left of 16 bits."""
        notes = []
        values = np.flatnonzero(self.is_deep)
        eight = _eight_bits(values)
        left = len(np.unique(eight))
        if left < len(values):
            first = int((eight[1:] == eight[:-1]).argmax())
            example = f"{values[first]} and {values[first + 1]} become {eight[first]}"
            advice = f"pixels have 8 bits, and the largest, {values[-1]} of 65535, becomes {eight[-1]}"
            notes.append(merged("values of 16 bits", DATA, len(values), left, example, advice))
            if left == 1 or 4 * left <= min(256, len(values)):
                raise InputError(
                    f"{notes[0]}; scale them to 0 .. 65535, or save them with 8 bits; numbers of tiles or classes go "
                    "to train_array.py as an array"
                )
        for what, rows in self.rows.items():
            shown = listed(rows, len(rows))
            notes.append(f"{len(rows):,} of {count:,} images of {DATA} {what} ({shown}): {_LOSSES[what]}")
            if what == _FLAT and len(rows) == count:
                raise InputError(notes[-1])
        return notes


def decode(rows: Rows, count: int, form: Form, folder: Path | None, name: str, losses: Losses) -> NDArray[np.uint8]:
    """The first rows of a split as pixels, uint8 ``[count, H, W]`` or ``[count, H, W, 3]``; losses are counted."""

    def chunks() -> Iterator[NDArray[np.uint8]]:
        hidden = None if count >= _PROGRESS_FROM_ROWS else True  # None: shown on a terminal
        with tqdm(total=count, desc="decoding", unit=" images", file=sys.stderr, disable=hidden, leave=False) as bar:
            for chunk in chunks_of(count):
                yield _decode_chunk(rows, chunk.start, chunk.stop, form, losses)
                bar.update(chunk.stop - chunk.start)

    return stack(chunks(), (count, *form.size, *(() if form.grey else (3,))), folder, name)


def _decode_chunk(rows: Rows, start: int, stop: int, form: Form, losses: Losses) -> NDArray[np.uint8]:
    decoded = []
    for row, raw in enumerate(read_rows(rows, start, stop), start):
        losses.row = raw.name if isinstance(raw, PictureFile) else f"row {row}"
        with naming_row(rows, row, raw):
            pixels = _to_pixels(raw, form.grey, form.resize, losses, form.grey and not form.grey_was_asked_for)
        if pixels.shape[:2] != form.size:
            first, other = "x".join(map(str, form.size)), "x".join(map(str, pixels.shape[:2]))
            raise InputError(
                f"images must have one size, got {first} in {form.learnt_from} and {other} in row {row} of "
                f"{rows.place}: bring them to one with --resize, such as --resize {first}, or to judge a model the "
                "--resize that it was trained with"
            )
        decoded.append(pixels)
    return np.stack(decoded)


def read_rows(rows: Rows, start: int, stop: int) -> list[Any]:
    """Undecoded images ``start .. stop - 1``."""
    try:
        return list(rows.read(start, stop))
    except Exception as error:  # Arrow's own errors are of many kinds
        raise InputError(f"rows {start} to {stop - 1} of {rows.place} cannot be read: {one_line(error)}") from error


class naming_row:  # noqa: N801 - a context manager that reads as a verb; a generator would cost as much as decoding
    """Whatever decoding raises becomes one line that says which image it was."""

    def __init__(self, rows: Rows, row: int, raw: Any) -> None:
        self._context = rows, row, raw

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            rows, row, raw = self._context
            file = f" ({raw.path!r})" if isinstance(raw, PictureFile) else ""
            raise InputError(
                f"the image in row {row} of {rows.place}{file} cannot be read: {one_line(error)}"
            ) from error


def _to_pixels(
    raw: Any, grey: bool, size: tuple[int, int] | None, losses: Losses, misses_colour: bool = False
) -> NDArray[np.uint8]:
    """One image as uint8 ``[H, W]`` or ``[H, W, 3]``; ``misses_colour``: grey was not asked for."""
    if isinstance(raw, (np.ndarray, list)):
        array = _byte_array(raw)
        if size is None and array.shape[2:] == (() if grey else (3,)):
            return array
        raw = array
    opened = _open_image(raw)
    losses.add(_GREYED, misses_colour and _has_colours(opened))
    _count_losses(opened, losses)
    image = _to_mode(opened, "L" if grey else "RGB")
    if size is not None and image.size != size[::-1]:
        shrinks = size[0] <= image.height and size[1] <= image.width
        image = image.resize(size[::-1], Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    losses.add(_FLAT, pixels.shape[:2] != (1, 1) and _is_flat(pixels) and not _is_flat(np.asarray(opened)))
    return pixels


def _count_losses(image: Any, losses: Losses) -> None:
    """What is lost by opening an image, and by taking its mode for another."""
    if image.mode.split(";")[0] == "I":
        values = np.asarray(image)
        losses.is_deep[values[(values >= 0) & (values <= _DEEP)]] = True
    is_palette = image.mode == "P"
    colours = image.convert("RGB").getcolors(256) if is_palette else None
    losses.add(_DOUBLED, is_palette and len(image.getcolors(256) or ()) > len(colours or ()))
    losses.add(_FRAMES, image.format in _WITH_FRAMES and image.n_frames > 1)
    losses.add(_DEEP_COLOUR, bool(image.info.get(_DEEP_COLOUR)))


def _is_flat(pixels: NDArray[Any]) -> bool:
    return bool((pixels == pixels[:1, :1]).all())


def _open_image(raw: Any) -> Image.Image:
    if isinstance(raw, (np.ndarray, list)):
        return Image.fromarray(_byte_array(raw))
    image = _identified(encoded_bytes(raw))
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        return ImageOps.exif_transpose(image)
    return image


def _identified(content: bytes) -> Image.Image:
    with warnings.catch_warnings():
        # From twice Pillow's limit of pixels it raises an error; below, it would decode for long.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(content))
        except UnidentifiedImageError:
            raise InputError(f"its {len(content):,} bytes are no image of a known kind") from None
    if image.mode in ("RGB", "RGBA", "LA"):  # Pillow keeps the upper half of such bytes
        image.info[_DEEP_COLOUR] = any(";16" in str(tile[3]) for tile in image.tile)
    if image.format in _RUNS_PROGRAMS:
        raise InputError(f"it is of the kind {image.format}, which another program would have to draw")
    return image


def encoded_bytes(raw: Any) -> bytes:
    """An undecoded image: bytes, ``{"bytes": bytes}`` or `PictureFile`."""
    content = raw.read() if isinstance(raw, PictureFile) else raw.get("bytes") if isinstance(raw, dict) else raw
    if content is None:
        raise InputError("it is missing")
    if not isinstance(content, bytes):
        raise InputError(f"it must be an encoded image or an array of integers, got {type(content).__name__}")
    return content


def _byte_array(values: Any) -> NDArray[np.uint8]:
    """Pixels ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` from an array or nested lists of integers 0 .. 255."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        advice = {
            "f": "; multiply values in [0, 1] by 255, round, and convert",
            "b": '; convert them by .astype("uint8") * 255',
        }.get(array.dtype.kind, "")
        raise InputError(f"its pixels must be integers, 0 .. 255, got {array.dtype}{advice}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise InputError(f"it must have the shape [H, W] or [H, W, 3], got {list(array.shape)}")
    if array.dtype != np.uint8 and not 0 <= array.min() <= array.max() <= 255:
        raise InputError(f"its pixels must lie in 0 .. 255, got {array.min()} .. {array.max()}")
    return array.astype(np.uint8, copy=False)


def _is_grey(image: Image.Image) -> bool:
    return image.mode.split(";")[0] in _GREY_MODES


def _has_colours(image: Image.Image) -> bool:
    if _is_grey(image):
        return False
    pixels = np.asarray(_to_mode(image, "RGB"))
    return bool((pixels != pixels[..., :1]).any())


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Any image as ``L`` or ``RGB``; transparency is laid on white."""
    if image.mode.split(";")[0] in ("I", "F"):
        image = _sixteen_to_eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != mode:
        image = image.convert(mode)
    return image


def _sixteen_to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > _DEEP:
        raise InputError(
            f"its pixels must be bytes or 16-bit grey, got {values.dtype} {values.min()} .. {values.max()}; scale them "
            "to 0 .. 255 and save them with 8 bits"
        )
    return Image.fromarray(_eight_bits(values))


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    return ((values.astype(np.uint32) * 255 + _DEEP // 2) // _DEEP).astype(np.uint8)
