"""Adversarial training on discrete data: boundary-seeking GANs in PyTorch.

The names below are imported on first use, so that importing the package (and a script's ``--help``) does not wait for
torch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BGANError": "errors",
    "InputError": "errors",
    "NonFiniteError": "errors",
    "StorageError": "errors",
    "sample_categorical": "sampling",
    "Distribution": "distributions",
    "FactorizedCategorical": "distributions",
    "DIVERGENCES": "divergences",
    "Divergence": "divergences",
    "get_divergence": "divergences",
    "effective_sample_size": "weights",
    "log_partition": "weights",
    "normalized_weights": "weights",
    "Resampler": "resampling",
    "ESTIMATORS": "estimators",
    "Estimator": "estimators",
    "make_estimator": "estimators",
    "apply_spectral_normalization": "penalties",
    "get_penalty": "penalties",
    "Objective": "steps",
    "discriminator_step": "steps",
    "adversarial_step": "steps",
    "generator_step": "steps",
    "gradient_statistics": "gradients",
    "boundary_seeking_loss": "continuous",
    "continuous_step": "continuous",
    "get_continuous_loss": "continuous",
    "ContinuousConvGenerator": "nn",
    "get_relaxation": "relaxations",
    "relaxed_generator_step": "relaxations",
    "wasserstein_step": "relaxations",
    "ConvDiscriminator": "nn",
    "ConvGenerator": "nn",
    "MLPDiscriminator": "nn",
    "MLPGenerator": "nn",
    "TrainingConfig": "training.config",
    "Trainer": "training.trainer",
    "ImagePipeline": "pipeline",
    "TextPipeline": "pipeline",
    "AutoregressiveCategorical": "autoregressive",
    "SequenceCategorical": "distributions",
    "likelihood_step": "steps",
    "ConvSequenceDiscriminator": "nn",
    "ConvSequenceGenerator": "nn",
    "GRUDiscriminator": "nn",
    "GRUGenerator": "nn",
    "TransformerGenerator": "nn",
    "AlternativesDiscriminator": "nn",
    "MLPSequenceGenerator": "nn",
    "sample_latents": "sampling",
    "ArrayPipeline": "pipeline",
    "ColumnCategorical": "columns",
    "load_array": "sources",
    "load": "pipeline",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bgan_discrete' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bgan_discrete.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
