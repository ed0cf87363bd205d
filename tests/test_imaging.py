"""Grids and PNG files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bgan_discrete.errors import InputError
from bgan_discrete.imaging import image_grid, save_png


def test_a_grid_puts_the_images_row_by_row() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2) * 10
    grid = image_grid(images, columns=3, gap=1, scale=2)
    # 2 rows and 3 columns of cells of 4 + 1 pixels, and one gap at the end.
    assert grid.shape == (11, 16, 3)
    assert grid[1, 1].tolist() == [0, 0, 0]
    assert grid[1, 6].tolist() == [10, 10, 10]
    assert grid[6, 1].tolist() == [30, 30, 30]
    assert grid[6, 11].tolist() == [128, 128, 128], "an empty cell has the colour of the gaps"


def test_colours_stay() -> None:
    images = np.zeros((1, 8, 8, 3), np.uint8)
    images[..., 0] = 200
    assert image_grid(images, gap=0, scale=1)[3, 3].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8)), np.zeros((8, 8), np.uint8), np.zeros((0, 8, 8), np.uint8)], ids=str
)
def test_what_is_no_array_of_images_is_refused(images: np.ndarray) -> None:
    with pytest.raises(InputError, match="images must be uint8"):
        image_grid(images)


def test_a_png_reads_back_and_leaves_no_other_file(tmp_path: Path) -> None:
    grid = image_grid(np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8))
    save_png(grid, tmp_path / "deep" / "grid.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "grid.png")), grid)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["grid.png"]
