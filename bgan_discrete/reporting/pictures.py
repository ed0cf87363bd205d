"""Pictures of a run, put into a page."""

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from bgan_discrete.errors import one_line
from bgan_discrete.manifests import read_bytes
from bgan_discrete.reporting.record import MAX_BYTES, is_inside

LARGE_BYTES, LARGE_PIXELS = 300_000, 700
"""A larger PNG goes into the page as a JPEG of at most so many pixels a side."""


@dataclass(frozen=True)
class Picture:
    """A picture as a page holds it, its bytes as base64; ``fault`` is why it cannot be shown."""

    alt: str
    data: str = ""
    format: str = "png"
    width: int = 0
    height: int = 0
    fault: str = ""


def picture_of(root: Path, name: str, alt: str) -> Picture | None:
    """A PNG file of a run's folder; None if there is no such file."""
    try:
        if not is_inside(root / name, root):
            return None
        content = read_bytes(root / name, MAX_BYTES)
        image = _opened(content)
        if len(content) <= LARGE_BYTES:
            return _picture(alt, content, "png", image)
        smaller = image.convert("RGB")
        smaller.thumbnail((LARGE_PIXELS, LARGE_PIXELS))
        buffer = io.BytesIO()
        smaller.save(buffer, format="JPEG", quality=85)
        return _picture(alt, buffer.getvalue(), "jpeg", smaller)
    except (OSError, ValueError) as error:
        return Picture(alt, fault=f"{name} cannot be shown: {one_line(error)}")


def pictures_of_pairs(root: Path, name: str, pairs: Sequence[Any]) -> list[tuple[Picture, Picture]]:
    """Each sample with its neighbour, cut out of a picture with a column for each pair; none without the file."""
    if not pairs or not is_inside(root / name, root):
        return []
    numbers = range(1, len(pairs) + 1)
    alts = ([f"sample {n}" for n in numbers], [f"nearest training image of sample {n}" for n in numbers])
    samples, neighbours = _cut(root, name, alts)
    return list(zip(samples, neighbours, strict=True))


def pictures_in_row(root: Path, name: str, alts: Sequence[str]) -> list[Picture]:
    """The parts of a picture that has one after the other, all of one width; none without the file."""
    if not is_inside(root / name, root):
        return []
    (row,) = _cut(root, name, [alts])
    return row


def _cut(root: Path, name: str, alts: Sequence[Sequence[str]]) -> list[list[Picture]]:
    """Rows of pictures, all of one size, that are one PNG, by what they show."""
    whole = _opened(read_bytes(root / name, MAX_BYTES)).convert("RGB")
    width, height = whole.width // len(alts[0]), whole.height // len(alts)

    def cut(row: int, column: int) -> Picture:
        buffer = io.BytesIO()
        part = whole.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
        part.save(buffer, format="PNG", optimize=True)
        return _picture(alts[row][column], buffer.getvalue(), "png", part)

    return [[cut(row, column) for column in range(len(alts[0]))] for row in range(len(alts))]


def _picture(alt: str, content: bytes, kind: str, image: Image.Image) -> Picture:
    return Picture(alt, base64.b64encode(content).decode(), kind, image.width, image.height)


def _opened(content: bytes) -> Image.Image:
    """A PNG of a size that can be decoded, decoded; ValueError for whatever is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=("PNG",))
        opened.load()
    except Exception as error:  # Pillow raises many types for a damaged file
        raise ValueError(one_line(error)) from None
    return opened
