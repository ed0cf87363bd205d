"""Generators and discriminators."""

from bgan_discrete.nn.alternatives import AlternativesDiscriminator
from bgan_discrete.nn.images import ContinuousConvGenerator, ConvDiscriminator, ConvGenerator
from bgan_discrete.nn.inputs import CodeInput, default_encoding
from bgan_discrete.nn.residual import CausalMLPGenerator, MaskedMLPGenerator
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.nn.sequences import (
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUDiscriminator,
    GRUGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
)
from bgan_discrete.nn.start import set_logit_spread
from bgan_discrete.nn.tokens import TokenGRU, TokenNgrams, TokenTransformer
from bgan_discrete.nn.transformers import CausalTransformerGenerator, MaskedTransformerGenerator
from bgan_discrete.nn.unet import MaskedConvGenerator
from bgan_discrete.nn.vectors import MLPDiscriminator, MLPGenerator

__all__ = [
    "AlternativesDiscriminator",
    "CausalMLPGenerator",
    "CausalTransformerGenerator",
    "CodeInput",
    "ContinuousConvGenerator",
    "ConvDiscriminator",
    "ConvGenerator",
    "ConvSequenceDiscriminator",
    "ConvSequenceGenerator",
    "GRUDiscriminator",
    "GRUGenerator",
    "MaskedConvGenerator",
    "MaskedMLPGenerator",
    "MaskedTransformerGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "MLPSequenceGenerator",
    "RoundsGenerator",
    "TokenGRU",
    "TokenNgrams",
    "TokenTransformer",
    "TransformerGenerator",
    "default_encoding",
    "set_logit_spread",
]
