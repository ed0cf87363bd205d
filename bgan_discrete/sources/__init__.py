"""Data sets -> uint8 images -> cached codes; texts, arrays and tables -> codes.

``settings`` (what is asked for) -> ``folders`` (which files) -> ``rows``, ``pictures``, ``dataset_rows`` (opened, not
decoded) -> ``decoding`` -> ``images`` (held out, fitted, encoded; ``values``: what merges) -> ``cache``.
"""

from bgan_discrete.sources.arrays import load_array
from bgan_discrete.sources.data import ArrayData, Data, ImageData, TextData, describe
from bgan_discrete.sources.images import load_images
from bgan_discrete.sources.text import load_text

__all__ = ["ArrayData", "Data", "ImageData", "TextData", "describe", "load_array", "load_images", "load_text"]
