"""What every codec has in common: the checks of its input, and how it is written down."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from bgan_discrete.checks import check_integer
from bgan_discrete.durable import replace_text
from bgan_discrete.errors import InputError, StorageError
from bgan_discrete.space import SampleSpace

MAX_CATEGORIES = 256
"""Pixels are bytes, so no codec of images needs more categories; codes then are bytes as well."""

FILE_FORMAT = "bgan_discrete.codec"
FILE_VERSION = 1


class Codec(ABC):
    """What every codec is: a map to integer codes in ``[0, K)`` and back, which can be written down.

    Attributes:
        name: Of the kind of codec, as it stands in its configuration.
        num_categories: K; 0 where `fit` has yet to choose it.
        ordered: Whether codes are a scale (neighbouring codes look alike) rather than names.
        config_keys: The keys of its configuration beside the name: attributes that its constructor takes.
    """

    name: ClassVar[str]
    config_keys: ClassVar[tuple[str, ...]] = ()
    num_categories: int
    ordered: bool

    @property
    def is_fitted(self) -> bool:
        """Whether the codec can encode; only a codec that learns from data ever says no."""
        return True

    @abstractmethod
    def describe(self) -> str:
        """Say in one line, to a human, what the codec does."""

    def describe_codes(self, chunks: Iterable[NDArray[Any]], counts: Mapping[str, int]) -> list[str]:
        """What there is to say of training codes, a line each.

        Args:
            chunks: The codes, in several parts.
            counts: What became of the data, as of `Data`.

        Returns:
            The lines; none for most codecs.
        """
        return []

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types; ``codec_from_config`` builds it again."""
        return {"name": self.name, **{key: vars(self)[key] for key in self.config_keys}}

    @classmethod
    def from_config(cls, **values: Any) -> "Codec":
        """Build the codec again from what `to_config` gave, without the name.

        Raises:
            InputError: If a value is not what the codec takes.
        """
        return cls(**values)

    @abstractmethod
    def space_of(self, event_shape: Sequence[int], class_names: Sequence[str] | None = None) -> SampleSpace:
        """What one sample is.

        Args:
            event_shape: Of its codes; only codecs of images need it, all others know it.
            class_names: Of the labels, where samples have any.

        Returns:
            The space.

        Raises:
            InputError: If the codec is not fitted, a side is below 1, or two classes have one name.
        """

    def fingerprint(self) -> str:
        """A short digest of the configuration: two codecs with equal fingerprints give equal codes.

        Returns:
            32 hexadecimal digits.
        """
        return config_fingerprint(self.to_config())

    def to_json(self) -> str:
        """What `save` writes: the configuration as readable JSON, with its fingerprint."""
        config = self.to_config()
        document = {
            "format": FILE_FORMAT,
            "format_version": FILE_VERSION,
            "fingerprint": config_fingerprint(config),
            "codec": config,
        }
        return json.dumps(document, indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the codec as readable JSON; ``load_codec`` reads it. A crash never leaves half a file under that name.

        Args:
            path: Of the file; its folder must exist.

        Raises:
            InputError: If the file cannot be written.
        """
        try:
            replace_text(Path(path), self.to_json())
        except StorageError as error:
            raise InputError(str(error)) from None

    def validate_codes(self, codes: Any) -> None:
        """Check that codes are what `decode` takes.

        Args:
            codes: Of any kind.

        Raises:
            InputError: If they are not integers in ``[0, K)`` of the codec's shape.
        """
        if not isinstance(codes, np.ndarray) or not np.issubdtype(codes.dtype, np.integer):
            kind = codes.dtype if isinstance(codes, np.ndarray) else type(codes).__name__
            raise InputError(f"codes must be an array of integers, got {kind}")
        wanted, is_right = self._shape_of_codes(codes.shape)
        if not is_right:
            raise InputError(f"codes of the {self.name} codec must have the shape {wanted}, got {list(codes.shape)}")
        for value in (codes.min(initial=0), codes.max(initial=0)):
            if not 0 <= value < self.num_categories:
                raise InputError(f"codes must lie in [0, {self.num_categories}), got {int(value)}")

    @abstractmethod
    def _shape_of_codes(self, shape: tuple[int, ...]) -> tuple[str, bool]:
        """The shape that codes must have, in words, and whether one is so."""

    def _require_fitted(self) -> None:
        if not self.is_fitted:
            raise InputError(f"the {self.name} codec has not seen data yet: call fit first")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.describe()}>"


class ImageCodec(Codec):
    """A map from uint8 images to integer codes and back, with 2 to 256 categories.

    Attributes:
        channels: Of the images: 1 (grey) or 3 (RGB).
    """

    channels_first: ClassVar[bool] = False
    """Whether images of three channels have codes ``[N, 3, H, W]``, one for each channel, rather than ``[N, H, W]``."""

    channels: int

    def describe_codes(self, chunks: Iterable[NDArray[Any]], counts: Mapping[str, int]) -> list[str]:
        """The most common category, over all ``chunks`` of the codes; ``counts`` are not looked at."""
        numbers = np.zeros(self.num_categories, np.int64)
        for codes in chunks:
            numbers += np.bincount(codes.ravel(), minlength=self.num_categories)
        common = int(np.argmax(numbers))
        return [f"most common: category {common}, {numbers[common] / numbers.sum():.1%} of the training codes"]

    def fit(self, images: NDArray[np.uint8]) -> Self:
        """Learn from images what the codec needs to know of them; most codecs learn nothing.

        Args:
            images: uint8 ``[N, H, W]`` or ``[N, H, W, 3]``, by `channels`.

        Returns:
            The codec itself.

        Raises:
            InputError: If the images have the wrong dtype or shape, or fewer colours than a palette needs.
        """
        self.validate_images(images)
        self._fit(images)
        return self

    def encode(self, images: NDArray[np.uint8], first_row: int = 0) -> NDArray[np.uint8]:
        """Map images to codes; the codes of an image do not depend on the images beside it.

        Args:
            images: uint8 ``[N, H, W]`` or ``[N, H, W, 3]``, by `channels`.
            first_row: The number of the first image in its data set, >= 0. Stochastic codecs derive their noise from
                it, so that a data set encoded in pieces gets the codes of the data set encoded at once.

        Returns:
            uint8 codes ``[N, H, W]``, or ``[N, 3, H, W]`` where `channels_first` and the images are RGB.

        Raises:
            InputError: If the images have the wrong dtype or shape, or the codec is not fitted.
        """
        self.validate_images(images)
        if first_row < 0:
            raise InputError(f"first_row must be at least 0, got {first_row}")
        self._require_fitted()
        return self._encode(images, first_row)

    def decode(self, codes: NDArray[Any]) -> NDArray[np.uint8]:
        """Map codes to images.

        Args:
            codes: Integers in ``[0, K)``, of the shape that `encode` gives.

        Returns:
            uint8 images ``[N, H, W]`` or ``[N, H, W, 3]``, by `channels`.

        Raises:
            InputError: If the codes are not integers in ``[0, K)`` of that shape, or the codec is not fitted.
        """
        self._require_fitted()
        self.validate_codes(codes)
        return self._decode(codes.astype(np.uint8, copy=False))

    def space_of(self, event_shape: Sequence[int], class_names: Sequence[str] | None = None) -> SampleSpace:
        """See `Codec.space_of`: the shape is ``(H, W)``, or ``(3, H, W)`` where each channel has codes."""
        self._require_fitted()
        names = tuple(class_names) if class_names else None
        return SampleSpace(tuple(event_shape), self.num_categories, ordered=self.ordered, class_names=names)

    def _fit(self, images: NDArray[np.uint8]) -> None:
        """Most codecs learn nothing."""

    @abstractmethod
    def _encode(self, images: NDArray[np.uint8], first_row: int) -> NDArray[np.uint8]: ...

    @abstractmethod
    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]: ...

    def validate_images(self, images: NDArray[Any]) -> None:
        """Check that images are what `encode` takes.

        Args:
            images: Of any kind.

        Raises:
            InputError: If they are not uint8 ``[N, H, W]`` or ``[N, H, W, 3]``, by `channels`, with at least one pixel.
        """
        wanted = "[N, H, W]" if self.channels == 1 else "[N, H, W, 3]"
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            kind = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
            raise InputError(f"images must be a uint8 array {wanted}, got {kind}")
        right_shape = images.ndim == 3 if self.channels == 1 else images.ndim == 4 and images.shape[-1] == 3
        if not right_shape or images.size == 0:
            raise InputError(f"images for the {self.name} codec must have the shape {wanted}, got {list(images.shape)}")

    def _shape_of_codes(self, shape: tuple[int, ...]) -> tuple[str, bool]:
        planes = self.channels_first and self.channels == 3
        is_right = len(shape) == 4 and shape[1] == 3 if planes else len(shape) == 3
        return "[N, 3, H, W]" if planes else "[N, H, W]", is_right and 0 not in shape


def config_fingerprint(config: dict[str, Any]) -> str:
    """32 hexadecimal digits, the same for the same configuration whatever the order of its keys."""
    text = json.dumps({"version": FILE_VERSION, "config": config}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_num_categories(num_categories: Any) -> int:
    """K of images as a plain integer; raises InputError if it is not one of 2 .. 256."""
    return check_integer("num_categories", num_categories, 2, MAX_CATEGORIES)


def check_channels(channels: Any) -> int:
    """The number of channels; raises InputError if it is neither 1 nor 3."""
    if isinstance(channels, bool) or not isinstance(channels, int | np.integer) or channels not in (1, 3):
        raise InputError(f"channels must be 1 (grey) or 3 (RGB), got {channels!r}")
    return int(channels)
