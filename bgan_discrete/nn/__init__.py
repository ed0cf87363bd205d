"""Generators and discriminators."""

from bgan_discrete.nn.images import ConvDiscriminator, ConvGenerator
from bgan_discrete.nn.inputs import CodeInput, default_encoding
from bgan_discrete.nn.vectors import MLPDiscriminator, MLPGenerator

__all__ = [
    "CodeInput",
    "ConvDiscriminator",
    "ConvGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "default_encoding",
]
