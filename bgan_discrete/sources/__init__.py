"""Data sets -> uint8 images -> cached codes.

``settings`` (what is asked for) -> ``rows``, ``tables`` (opened, not decoded) -> ``decoding`` -> ``images`` (held out,
fitted, encoded) -> ``cache``.
"""

from bgan_discrete.sources.image_data import ImageData, describe
from bgan_discrete.sources.images import load_images

__all__ = ["ImageData", "describe", "load_images"]
