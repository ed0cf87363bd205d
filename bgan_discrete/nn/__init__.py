"""Generators and discriminators."""

from bgan_discrete.nn.images import ConvDiscriminator, ConvGenerator
from bgan_discrete.nn.inputs import CodeInput, default_encoding
from bgan_discrete.nn.sequences import (
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUDiscriminator,
    GRUGenerator,
    TransformerGenerator,
)
from bgan_discrete.nn.vectors import MLPDiscriminator, MLPGenerator

__all__ = [
    "CodeInput",
    "ConvDiscriminator",
    "ConvGenerator",
    "ConvSequenceDiscriminator",
    "ConvSequenceGenerator",
    "GRUDiscriminator",
    "GRUGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "TransformerGenerator",
    "default_encoding",
]
