"""Uniform levels, of grey or of each colour channel."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.base import ImageCodec, validate_channels, validate_num_categories


class LevelsCodec(ImageCodec):
    """K evenly spaced levels: ``code = round(pixel (K-1) / 255)``, ``pixel = round(code 255 / (K-1))``.

    ``encode(decode(codes))`` gives back the codes for every K; with K = 256 pixels are kept as they are.

    Args:
        num_categories: K, 2 .. 256.
        channels: 1 for grey images with codes ``[N, H, W]``, 3 for RGB with codes ``[N, 3, H, W]``.

    Raises:
        InputError: If an argument is out of its range.
    """

    name: ClassVar[str] = "levels"
    channels_first: ClassVar[bool] = True

    def __init__(self, num_categories: int, channels: int = 1) -> None:
        self.num_categories = validate_num_categories(num_categories)
        self.channels = validate_channels(channels)
        self.ordered = True
        steps = self.num_categories - 1
        # Integer arithmetic, rounding halves up: the same on every machine.
        self._code_of_pixel = ((2 * np.arange(256) * steps + 255) // 510).astype(np.uint8)
        self._pixel_of_code = ((2 * np.arange(self.num_categories) * 255 + steps) // (2 * steps)).astype(np.uint8)

    def _encode(self, images: NDArray[np.uint8], first_row: int) -> NDArray[np.uint8]:
        planes = images if self.channels == 1 else np.moveaxis(images, -1, 1)
        return np.ascontiguousarray(self._code_of_pixel[planes])

    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        planes = codes if self.channels == 1 else np.moveaxis(codes, 1, -1)
        return np.ascontiguousarray(self._pixel_of_code[planes])

    def describe(self) -> str:
        """Say in one line what the codec does."""
        return f"{self.num_categories} {'grey levels' if self.channels == 1 else 'levels for each of R, G and B'}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types."""
        return {"name": self.name, "num_categories": self.num_categories, "channels": self.channels}
