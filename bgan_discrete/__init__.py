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
    "sample_categorical": "distributions.sampling",
    "Distribution": "distributions",
    "FactorizedCategorical": "distributions",
    "DIVERGENCES": "game.divergences",
    "Divergence": "game.divergences",
    "get_divergence": "game.divergences",
    "effective_sample_size": "game.weights",
    "log_partition": "game.weights",
    "normalized_weights": "game.weights",
    "Resampler": "game.resampling",
    "ESTIMATORS": "game.estimators",
    "Estimator": "game.estimators",
    "make_estimator": "game.estimators",
    "get_penalty": "game.penalties",
    "Discriminator": "game.players",
    "Game": "game.rules",
    "Players": "game.players",
    "Target": "game.targets",
    "make_credit": "game.credit",
    "make_game": "training.setup",
    "Generator": "game.players",
    "SampleSpace": "space",
    "discriminator_step": "game.step",
    "adversarial_step": "game.step",
    "generator_step": "game.step",
    "gradient_statistics": "game.gradients",
    "boundary_seeking_loss": "rivals.continuous",
    "continuous_step": "rivals.continuous",
    "get_continuous_loss": "rivals.continuous",
    "ContinuousConvGenerator": "nn",
    "get_relaxation": "rivals.relaxations",
    "relaxed_generator_step": "rivals.relaxations",
    "wasserstein_step": "rivals.wasserstein",
    "ConvDiscriminator": "nn",
    "ConvGenerator": "nn",
    "MLPDiscriminator": "nn",
    "MLPGenerator": "nn",
    "TrainingConfig": "config",
    "Trainer": "training.trainer",
    "AutoregressiveCategorical": "distributions.autoregressive",
    "SequenceCategorical": "distributions",
    "likelihood_step": "game.likelihood",
    "ConvSequenceDiscriminator": "nn",
    "ConvSequenceGenerator": "nn",
    "GRUDiscriminator": "nn",
    "GRUGenerator": "nn",
    "TransformerGenerator": "nn",
    "AlternativesDiscriminator": "nn",
    "MLPSequenceGenerator": "nn",
    "sample_latents": "distributions.sampling",
    "ColumnCategorical": "distributions.columns",
    "load_array": "sources",
    "Pipeline": "models.pipeline",
    "Samples": "kinds.kind",
    "Kind": "kinds.kind",
    "register_kind": "kinds",
    "fit": "runs.fit",
    "load": "models.pipeline",
    "compare_tables": "runs.compare_tables",
    "AdversarialReward": "rewards",
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
