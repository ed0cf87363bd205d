"""Uniform levels, of grey or of each colour channel."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.base import MAX_CATEGORIES, ImageCodec, check_channels, check_num_categories

MAX_EXACT_LEVELS = 64
"""Up to so many levels a codec that may choose keeps every pixel as it is."""

DEFAULT_LEVELS = 16
"""K of data that would need more than `MAX_EXACT_LEVELS`, such as photographs."""

_PIXELS_AT_ONCE = 2**22


class LevelsCodec(ImageCodec):
    """K evenly spaced levels: ``code = round(pixel (K-1) / 255)``, ``pixel = round(code 255 / (K-1))``.

    ``encode(decode(codes))`` gives back the codes for every K; with K = 256 pixels are kept as they are.

    Args:
        num_categories: K, 2 .. 256; None for `fit` to choose it (`choose_num_levels`), until when the attribute is 0.
        channels: 1 for grey images with codes ``[N, H, W]``, 3 for RGB with codes ``[N, 3, H, W]``.

    Raises:
        InputError: If an argument is out of its range.

    Examples:
        >>> LevelsCodec(num_categories=4).encode(np.array([[[0, 85, 255]]], dtype=np.uint8))
        array([[[0, 1, 3]]], dtype=uint8)
    """

    name: ClassVar[str] = "levels"
    config_keys = ("num_categories", "channels")
    channels_first: ClassVar[bool] = True

    def __init__(self, num_categories: int | None, channels: int = 1) -> None:
        self.num_categories = 0 if num_categories is None else check_num_categories(num_categories)
        self.channels = check_channels(channels)
        self.ordered = True

    @property
    def is_fitted(self) -> bool:
        """Whether K is known."""
        return self.num_categories > 0

    def _fit(self, images: NDArray[np.uint8]) -> None:
        if not self.is_fitted:
            self.num_categories = choose_num_levels(images)

    def _encode(self, images: NDArray[np.uint8], first_row: int) -> NDArray[np.uint8]:
        planes = images if self.channels == 1 else np.moveaxis(images, -1, 1)
        return np.ascontiguousarray(level_of_pixel(self.num_categories)[planes])

    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        planes = codes if self.channels == 1 else np.moveaxis(codes, 1, -1)
        return np.ascontiguousarray(pixel_of_level(self.num_categories)[planes])

    def describe(self) -> str:
        """Say in one line what the codec does."""
        count = str(self.num_categories) if self.is_fitted else "as many as the data need"
        return f"{count} {'grey levels' if self.channels == 1 else 'levels for each of R, G and B'}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types; K is null as long as it is not known."""
        return {**super().to_config(), "num_categories": self.num_categories or None}


def level_of_pixel(num_levels: int) -> NDArray[np.uint8]:
    """The table ``round(pixel (K-1) / 255)``, uint8 ``[256]``."""
    # Integer arithmetic, rounding halves up: the same on every machine.
    return ((2 * np.arange(MAX_CATEGORIES) * (num_levels - 1) + 255) // 510).astype(np.uint8)


def pixel_of_level(num_levels: int) -> NDArray[np.uint8]:
    """The table ``round(level 255 / (K-1))``, uint8 ``[K]``."""
    steps = num_levels - 1
    return ((2 * np.arange(num_levels) * 255 + steps) // (2 * steps)).astype(np.uint8)


def choose_num_levels(images: NDArray[np.uint8]) -> int:
    """The smallest K whose uniform levels keep every pixel exactly; `DEFAULT_LEVELS` if that exceeds 64.

    2 for black and white, 17 for sixteenths of 255, 16 for a photograph.
    """
    present = np.zeros(MAX_CATEGORIES, dtype=bool)
    rows_at_once = max(1, _PIXELS_AT_ONCE // images[0].size)
    for start in range(0, len(images), rows_at_once):
        present[images[start : start + rows_at_once]] = True
    pixels = np.flatnonzero(present)
    for num_levels in range(2, MAX_EXACT_LEVELS + 1):
        if np.isin(pixels, pixel_of_level(num_levels)).all():
            return num_levels
    return DEFAULT_LEVELS
