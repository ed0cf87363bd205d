"""uint8 images as files: grids and single PNGs."""

import math
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image

from bgan_discrete.durable import replacing_file
from bgan_discrete.errors import InputError

GRID_CELL_PIXELS = 48
"""Small images are enlarged by a whole factor until a cell of a grid is about this wide."""


def image_grid(images: np.ndarray, columns: int | None = None, gap: int = 2, scale: int | None = None) -> np.ndarray:
    """Arrange uint8 images ``[N, H, W]`` or ``[N, H, W, 3]`` row by row in one picture ``[height, width, 3]``.

    There are about as many columns as rows by default, ``gap`` pixels lie between images, and ``scale`` is a whole
    factor of enlargement, by `GRID_CELL_PIXELS` if None. Raises InputError for another array, or no images.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) == 0:
        raise InputError(f"images must be uint8 [N, H, W] or [N, H, W, 3], got {images.dtype} {list(images.shape)}")
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    scale = scale or max(1, round(GRID_CELL_PIXELS / max(images.shape[1:3])))
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1] + gap, images.shape[2] + gap
    cells = np.full((rows * columns, height, width, 3), 128, np.uint8)
    cells[: len(images), gap:, gap:] = images
    grid = rearrange(cells, "(r c) h w rgb -> (r h) (c w) rgb", c=columns)
    return np.pad(grid, ((0, gap), (0, gap), (0, 0)), constant_values=128)


def save_png(image: np.ndarray, path: str | Path) -> None:
    """Write one uint8 image ``[H, W]`` or ``[H, W, 3]`` as PNG to ``path``, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path, synced=False) as file:
        Image.fromarray(image).save(file, format="PNG")
