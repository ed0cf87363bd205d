"""Data sets -> uint8 images -> cached codes; texts, arrays and tables -> codes.

``settings`` (what is asked for) -> ``folders`` (which files) -> ``rows``, ``pictures``, ``dataset_rows`` (opened, not
decoded) -> ``decoding`` -> ``images`` (held out, fitted, encoded; ``values``: what merges) -> ``cache``.
"""

from bgan_discrete.sources.arrays import ArrayData, describe_array, load_array
from bgan_discrete.sources.image_data import ImageData, describe
from bgan_discrete.sources.images import load_images
from bgan_discrete.sources.text import load_text
from bgan_discrete.sources.text_data import TextData, describe_text

__all__ = [
    "ArrayData",
    "ImageData",
    "TextData",
    "describe",
    "describe_array",
    "describe_text",
    "load_array",
    "load_images",
    "load_text",
]
