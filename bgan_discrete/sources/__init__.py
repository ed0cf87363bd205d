"""Data sets -> uint8 images -> cached codes; texts -> codes.

``settings`` (what is asked for) -> ``rows``, ``tables`` (opened, not decoded) -> ``decoding`` -> ``images`` (held out,
fitted, encoded) -> ``cache``.
"""

from bgan_discrete.sources.image_data import ImageData, describe
from bgan_discrete.sources.images import load_images
from bgan_discrete.sources.text import load_text
from bgan_discrete.sources.text_data import TextData, describe_text

__all__ = ["ImageData", "TextData", "describe", "describe_text", "load_images", "load_text"]
