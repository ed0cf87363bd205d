"""Rows -> uint8 pixels of one colour and one size; each image is decoded once."""

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.rows import Rows
from bgan_discrete.sources.settings import Settings
from bgan_discrete.sources.storage import chunks_of, stack

_GREY_MODES = frozenset({"1", "L", "LA", "I", "F"})
_PROGRESS_FROM_ROWS = 5000
_EXIF_ORIENTATION = 0x0112
_RUNS_PROGRAMS = ("EPS", "WMF")


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
        pixels = _to_pixels(raw, grey, settings.size)
    size, first = (pixels.shape[0], pixels.shape[1]), f"row 0 of {rows.place}"
    return Form(grey, settings.size, size, first, settings.color == "grey")


def decode(rows: Rows, count: int, form: Form, folder: Path | None, name: str) -> tuple[NDArray[np.uint8], int]:
    """The first rows of a split as pixels, uint8 ``[count, H, W]`` or ``[count, H, W, 3]``.

    Also how many of the images lose their colours because the first image has none.
    """
    lost = 0

    def chunks() -> Iterator[NDArray[np.uint8]]:
        hidden = None if count >= _PROGRESS_FROM_ROWS else True  # None: shown on a terminal
        with tqdm(total=count, desc="decoding", unit=" images", file=sys.stderr, disable=hidden, leave=False) as bar:
            for chunk in chunks_of(count):
                pixels, in_colour = _decode_chunk(rows, chunk.start, chunk.stop, form)
                yield pixels
                nonlocal lost
                lost += in_colour
                bar.update(chunk.stop - chunk.start)

    found = stack(chunks(), (count, *form.size, *(() if form.grey else (3,))), folder, name)
    return found, lost


def _decode_chunk(rows: Rows, start: int, stop: int, form: Form) -> tuple[NDArray[np.uint8], int]:
    """Pixels, and how many of the images lost colours that nobody wanted away."""
    decoded = []
    lost: list[int] = []
    for row, raw in enumerate(read_rows(rows, start, stop), start):
        with naming_row(rows, row, raw):
            on_loss = None if form.grey_was_asked_for else partial(lost.append, row)
            pixels = _to_pixels(raw, form.grey, form.resize, on_loss)
        if pixels.shape[:2] != form.size:
            first, other = "x".join(map(str, form.size)), "x".join(map(str, pixels.shape[:2]))
            raise InputError(
                f"images must have one size, got {first} in {form.learnt_from} and {other} in row {row} of "
                f"{rows.place}: bring them to one with --resize, such as --resize {first}, or to judge a model the "
                "--resize that it was trained with"
            )
        decoded.append(pixels)
    return np.stack(decoded), len(lost)


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
            path = raw.get("path") if isinstance(raw, dict) and raw.get("bytes") is None else None
            file = f" ({path})" if path else ""
            raise InputError(
                f"the image in row {row} of {rows.place}{file} cannot be read: {one_line(error)}"
            ) from error


def _to_pixels(
    raw: Any, grey: bool, size: tuple[int, int] | None, on_loss: Callable[[], None] | None = None
) -> NDArray[np.uint8]:
    """One image as uint8 ``[H, W]`` or ``[H, W, 3]``; ``on_loss`` is called where that takes its colours away."""
    if isinstance(raw, (np.ndarray, list)):
        array = _byte_array(raw)
        if size is None and array.shape[2:] == (() if grey else (3,)):
            return array
        raw = array
    opened = _open_image(raw)
    if grey and on_loss is not None and _has_colours(opened):
        on_loss()
    image = _to_mode(opened, "L" if grey else "RGB")
    if size is not None and image.size != size[::-1]:
        shrinks = size[0] <= image.height and size[1] <= image.width
        image = image.resize(size[::-1], Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS)
    return np.asarray(image)


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
    if image.format in _RUNS_PROGRAMS:
        raise InputError(f"it is of the kind {image.format}, which another program would have to draw")
    return image


def encoded_bytes(raw: Any) -> bytes:
    """An undecoded image: bytes, or ``{"bytes", "path"}`` of which one is None."""
    content = raw.get("bytes") if isinstance(raw, dict) else raw
    if content is None and isinstance(raw, dict) and raw.get("path"):
        path = Path(raw["path"])
        if not path.is_file():
            raise InputError("it is missing" if not path.exists() else "it is a pipe, socket, device or folder")
        return path.read_bytes()
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
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"its pixels must be bytes or 16-bit grey, got {values.dtype} {values.min()} .. {values.max()}"
        )
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
