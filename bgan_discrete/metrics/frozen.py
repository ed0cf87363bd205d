"""Features of images by a convolutional network that is drawn at random and never trained."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

NUM_FEATURES = 64
_CHANNELS = (16, 32)
_SIDE = 64
"""Larger images are averaged down to about this side."""

_PIXELS_AT_ONCE = 2**19


class FrozenFeatures:
    """Two layers of convolutions with stride 2, and `NUM_FEATURES` random projections of their outputs.

    Args:
        images: uint8 ``[n, H, W]`` or ``[n, H, W, 3]``. Their mean image and their spread set the scale of pixels, and
            the total variance of their features is 1.

    Source:
        Saxe et al., "On random weights and unsupervised feature learning" (2011).
    """

    def __init__(self, images: NDArray[np.uint8]) -> None:
        rng = np.random.default_rng(0)
        pixels = _pixels(images)
        self._mean = pixels.mean(0)
        self._spread = pixels.sub_(self._mean).std().clamp_min(1e-6)
        self._weights, inputs = [], pixels.shape[1]
        for outputs in _CHANNELS:
            weight = rng.normal(scale=(2 / (9 * inputs)) ** 0.5, size=(outputs, inputs, 3, 3))
            self._weights.append(torch.from_numpy(weight.astype(np.float32)))
            inputs = outputs
        width = self._maps(pixels[:1]).shape[1]
        self._projection = rng.normal(size=(width, NUM_FEATURES)).astype(np.float32)
        variance = self(images).var(0).sum()
        self._projection /= np.sqrt(variance) if variance > 0 else 1

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features ``[n, NUM_FEATURES]`` of images of the same size."""
        at_once = max(1, _PIXELS_AT_ONCE // int(np.prod(images.shape[1:])))
        parts = [images[start : start + at_once] for start in range(0, len(images), at_once)]
        return np.concatenate([self._maps(_pixels(part) - self._mean).numpy() @ self._projection for part in parts])

    @torch.no_grad()
    def _maps(self, pixels: torch.Tensor) -> torch.Tensor:
        maps = pixels / self._spread
        for weight in self._weights:
            maps = functional.conv2d(maps, weight, stride=2, padding=1).relu()
        return maps.flatten(1)


def _pixels(images: NDArray[np.uint8]) -> torch.Tensor:
    """Float32 ``[n, C, H, W]`` in 0 .. 1, of a side of at most about `_SIDE`."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float() / 255
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    factor = max(pixels.shape[-2:]) // _SIDE
    return functional.avg_pool2d(pixels, factor, ceil_mode=True) if min(pixels.shape[-2:]) >= factor > 1 else pixels
