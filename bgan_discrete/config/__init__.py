"""The configuration of a run: typed, documented, and free of torch, so that ``--help`` answers at once.

Each field is a flag of the scripts (``num_draws`` is ``--num-draws``) and a key of the YAML file (``num_draws``). The
text beside a field is its help.
"""

from bgan_discrete.config.arrays import (
    ArrayAlgorithmConfig,
    ArrayDataConfig,
    ArrayModelConfig,
    ArrayRunConfig,
    ArrayTrainingConfig,
)
from bgan_discrete.config.checks import check_text, shown
from bgan_discrete.config.data import DECODINGS, EMBEDDED, split_holdout, split_revision
from bgan_discrete.config.images import ImageDataConfig, ImageModelConfig, ImageTrainingConfig
from bgan_discrete.config.option import option
from bgan_discrete.config.rounds import IN_ROUNDS, RoundsConfig
from bgan_discrete.config.script import Front, RunConfig, ScriptConfig, Sections, codec_options
from bgan_discrete.config.targets import TargetConfig
from bgan_discrete.config.text import (
    TextAlgorithmConfig,
    TextDataConfig,
    TextModelConfig,
    TextRunConfig,
    TextTrainingConfig,
)
from bgan_discrete.config.training import (
    ContinuousName,
    CreditName,
    DivergenceName,
    EstimatorName,
    PenaltyName,
    TrainingConfig,
)
from bgan_discrete.config.yaml_files import (
    RETIRED,
    folder_of_run,
    folder_of_start,
    load_config_values,
    read_config_values,
)

CONFIGS: dict[str, type[ScriptConfig]] = {
    "images": ImageTrainingConfig,
    "text": TextTrainingConfig,
    "arrays": ArrayTrainingConfig,
}
"""All options of a training, by the kind of data."""

__all__ = [
    "CONFIGS",
    "DECODINGS",
    "EMBEDDED",
    "IN_ROUNDS",
    "RETIRED",
    "ArrayAlgorithmConfig",
    "ArrayDataConfig",
    "ArrayModelConfig",
    "ArrayRunConfig",
    "ArrayTrainingConfig",
    "ContinuousName",
    "CreditName",
    "DivergenceName",
    "EstimatorName",
    "Front",
    "ImageDataConfig",
    "ImageModelConfig",
    "ImageTrainingConfig",
    "PenaltyName",
    "RoundsConfig",
    "RunConfig",
    "ScriptConfig",
    "Sections",
    "TargetConfig",
    "TextAlgorithmConfig",
    "TextDataConfig",
    "TextModelConfig",
    "TextRunConfig",
    "TextTrainingConfig",
    "TrainingConfig",
    "check_text",
    "codec_options",
    "folder_of_run",
    "folder_of_start",
    "load_config_values",
    "option",
    "read_config_values",
    "shown",
    "split_holdout",
    "split_revision",
]
