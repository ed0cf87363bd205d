"""Two codes: paper and ink."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_flag, check_integer, check_seed
from bgan_discrete.codecs.base import ImageCodec


class BinaryCodec(ImageCodec):
    """Grey images as codes 0 and 1, shown as black and white.

    Either ``code = 1[pixel >= threshold]``, or stochastic binarisation ``code ~ Bernoulli(pixel / 255)``, drawn once
    for each image: the noise is a function of the seed, the image's row and the pixel's place, not of how the data are
    cut into pieces.

    Args:
        threshold: 1 .. 255; the least pixel that becomes 1. Not used when stochastic.
        stochastic: Whether to draw the codes.
        seed: Of the draw, 0 .. 2^63 - 1.

    Raises:
        InputError: If an argument is out of its range.

    Examples:
        >>> BinaryCodec().encode(np.array([[[0, 127, 128, 255]]], dtype=np.uint8))
        array([[[0, 0, 1, 1]]], dtype=uint8)
    """

    name: ClassVar[str] = "binary"
    config_keys = ("threshold", "stochastic", "seed")

    def __init__(self, threshold: int = 128, *, stochastic: bool = False, seed: int = 0) -> None:
        self.threshold = check_integer("threshold", threshold, 1, 255)
        self.stochastic = check_flag("stochastic", stochastic)
        self.seed = check_seed(seed)
        self.num_categories = 2
        self.channels = 1
        self.ordered = True

    def _encode(self, images: NDArray[np.uint8], first_row: int) -> NDArray[np.uint8]:
        if not self.stochastic:
            return (images >= self.threshold).view(np.uint8)
        # A pixel of 255 has the threshold 2^32, above every draw; a pixel of 0 has 0, below none: both are certain.
        thresholds = np.rint(np.arange(256) * (2**32 / 255)).astype(np.uint64)
        codes = np.empty(images.shape, dtype=np.uint8)
        rows_at_once = max(1, 2**22 // images[0].size)
        for start in range(0, len(images), rows_at_once):
            piece = images[start : start + rows_at_once]
            codes[start : start + rows_at_once] = self._noise(piece.shape, first_row + start) < thresholds[piece]
        return codes

    def _noise(self, shape: tuple[int, ...], first_row: int) -> NDArray[np.uint32]:
        """Uniform 32-bit integers of a counter-based generator; its counter starts at a place fixed by the row."""
        num_rows, num_pixels = shape[0], int(np.prod(shape[1:]))
        # One step of Philox's counter gives four 64-bit words, that is eight draws.
        steps_per_row = -(-num_pixels // 8)
        philox = np.random.Philox(key=self.seed)
        philox.advance(first_row * steps_per_row)
        words = philox.random_raw(num_rows * steps_per_row * 4).astype("<u8", copy=False)
        return words.view("<u4").reshape(num_rows, -1)[:, :num_pixels].reshape(shape)

    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return codes * np.uint8(255)

    def describe(self) -> str:
        """Say in one line what the codec does."""
        if self.stochastic:
            return f"binary, drawn with probability pixel / 255 (seed {self.seed})"
        return f"binary, 1 from pixel {self.threshold} on"
