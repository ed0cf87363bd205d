"""Uniform levels, of grey or of each colour channel."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.base import MAX_CATEGORIES, ImageCodec, validate_channels, validate_num_categories
from bgan_discrete.errors import InputError

MAX_EXACT_LEVELS = 64
"""Up to so many different values a codec that may choose keeps every pixel as it is."""

DEFAULT_LEVELS = 16
"""K of data that have more values than `MAX_EXACT_LEVELS`, such as photographs."""

_PIXELS_AT_ONCE = 2**22


class LevelsCodec(ImageCodec):
    """K evenly spaced levels: ``code = round(pixel (K-1) / 255)``, ``pixel = round(code 255 / (K-1))``.

    ``encode(decode(codes))`` gives back the codes for every K; with K = 256 pixels are kept as they are. Levels may
    also be given; then a pixel's code is the nearest level's number, the lower one where two are equally near.

    Args:
        num_categories: K, 2 .. 256; None for `fit` to choose it, until when the attribute is 0: the fewest even levels
            that keep every pixel (`choose_num_levels`), or else the values that occur, if at most 64 do, or else 16.
        channels: 1 for grey images with codes ``[N, H, W]``, 3 for RGB with codes ``[N, 3, H, W]``.
        values: Of the K levels, ascending, 0 .. 255; None for even ones.

    Raises:
        InputError: If an argument is out of its range.
    """

    name: ClassVar[str] = "levels"
    channels_first: ClassVar[bool] = True

    def __init__(self, num_categories: int | None, channels: int = 1, values: Sequence[int] | None = None) -> None:
        self.num_categories = 0 if num_categories is None else validate_num_categories(num_categories)
        self.channels = validate_channels(channels)
        self.ordered = True
        self.values = None if values is None else _checked_values(values, self.num_categories)

    @property
    def is_fitted(self) -> bool:
        """Whether K is known."""
        return self.num_categories > 0

    def fit(self, images: NDArray[np.uint8]) -> "LevelsCodec":
        """Choose K and the levels, unless K was given.

        Args:
            images: uint8 ``[N, H, W]`` or ``[N, H, W, 3]``, by `channels`.

        Returns:
            The codec itself.

        Raises:
            InputError: If the images have the wrong dtype or shape.
        """
        self.validate_images(images)
        if not self.is_fitted:
            present = _present_values(images)
            exact = _exact_levels(present)
            if exact is None and len(present) <= MAX_EXACT_LEVELS:
                present = np.union1d(present, 0) if len(present) == 1 else present  # K is at least 2
                self.values = tuple(present.tolist())
            self.num_categories = exact or len(self.values or ()) or DEFAULT_LEVELS
        return self

    def _pixels(self) -> NDArray[np.uint8]:
        return pixel_of_level(self.num_categories) if self.values is None else np.array(self.values, np.uint8)

    def _levels(self) -> NDArray[np.uint8]:
        if self.values is None:
            return level_of_pixel(self.num_categories)
        distance = np.abs(np.arange(MAX_CATEGORIES)[:, None] - np.array(self.values))
        return distance.argmin(1).astype(np.uint8)

    def _encode(self, images: NDArray[np.uint8], first_row: int) -> NDArray[np.uint8]:
        planes = images if self.channels == 1 else np.moveaxis(images, -1, 1)
        return np.ascontiguousarray(self._levels()[planes])

    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        planes = codes if self.channels == 1 else np.moveaxis(codes, 1, -1)
        return np.ascontiguousarray(self._pixels()[planes])

    def describe(self) -> str:
        """Say in one line what the codec does."""
        count = str(self.num_categories) if self.is_fitted else "as many as the data need"
        which = "" if self.values is None else f", the values that occur, {self.values[0]} .. {self.values[-1]}"
        return f"{count} {'grey levels' if self.channels == 1 else 'levels for each of R, G and B'}{which}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types; K is null as long as it is not known."""
        config = {"name": self.name, "num_categories": self.num_categories or None, "channels": self.channels}
        return config if self.values is None else {**config, "values": list(self.values)}


def level_of_pixel(num_levels: int) -> NDArray[np.uint8]:
    """The table ``round(pixel (K-1) / 255)``, uint8 ``[256]``."""
    # Integer arithmetic, rounding halves up: the same on every machine.
    return ((2 * np.arange(MAX_CATEGORIES) * (num_levels - 1) + 255) // 510).astype(np.uint8)


def pixel_of_level(num_levels: int) -> NDArray[np.uint8]:
    """The table ``round(level 255 / (K-1))``, uint8 ``[K]``."""
    steps = num_levels - 1
    return ((2 * np.arange(num_levels) * 255 + steps) // (2 * steps)).astype(np.uint8)


def choose_num_levels(images: NDArray[np.uint8]) -> int:
    """The smallest K whose uniform levels keep every pixel of the images exactly; `DEFAULT_LEVELS` if that exceeds 64.

    Args:
        images: uint8 of any shape.

    Returns:
        2 for black and white, 17 for sixteenths of 255, 16 for a photograph.
    """
    return _exact_levels(_present_values(images)) or DEFAULT_LEVELS


def _exact_levels(present: NDArray[Any]) -> int | None:
    """The fewest even levels that hold all values, if up to `MAX_EXACT_LEVELS` do."""
    numbers = range(2, MAX_EXACT_LEVELS + 1)
    return next((number for number in numbers if np.isin(present, pixel_of_level(number)).all()), None)


def _present_values(images: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The values that occur, ascending."""
    present = np.zeros(MAX_CATEGORIES, dtype=bool)
    rows_at_once = max(1, _PIXELS_AT_ONCE // images[0].size)
    for start in range(0, len(images), rows_at_once):
        present[images[start : start + rows_at_once]] = True
    return np.flatnonzero(present)


def _checked_values(values: Any, num_categories: int) -> tuple[int, ...]:
    is_list = isinstance(values, list | tuple) and all(type(value) is int and 0 <= value <= 255 for value in values)
    if not is_list or len(values) != num_categories or sorted(set(values)) != list(values):
        raise InputError(f"values must be {num_categories} ascending integers, 0 .. 255, got {values!r:.100}")
    return tuple(values)
