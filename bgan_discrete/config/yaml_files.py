"""Files of options: read as what they say or refused, and found beside the model of a run."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.manifests import MAX_TEXT_BYTES, read_text

RETIRED = {
    "adam_beta2": "leave it out: it is 0.99",
    "array_key": "leave it out: save that array alone, as .npy",
    "bin_ranges": "give --decode ranges",
    "binary_threshold": "leave it out: grey values from 128 on are 1",
    "cache_dir": "leave it out: the environment variable BGAN_DISCRETE_CACHE names that folder",
    "compile": "leave it out",
    "data_seed": "leave it out: the same rows are held out in every run",
    "dataset_revision": "write the revision behind the id: dataset owner/name@revision",
    "dist_timeout": "leave it out: the environment variable BGAN_DISCRETE_TIMEOUT sets these seconds",
    "dither": "leave it out: in Python, CodecOptions(dither=True)",
    "entropy_weight": "leave it out, and lower generator_lr where samples lack variety",
    "heldout": "give the file as holdout",
    "image_column": "give it as column",
    "log_weight_clip": "leave it out: the estimator rloo is linear in F and needs no bound",
    "min_count": "leave it out: vocabulary_size keeps the commonest characters",
    "model_file": "give the file as tokenizer",
    "model_type": "leave it out: for another kind of model, give its .model file as tokenizer",
    "normalization": "leave it out: the estimator maligan weighs over the batch; in Python, make_estimator does too",
    "output_bias": "leave it out: every generator starts at the data's frequencies",
    "penalty_interval": "leave it out: it is 4; in Python, Game(penalty_interval=)",
    "pretrain_latents": "leave it out: it is batch_size",
    "pretrain_lr": "leave it out: it is 0.002",
    "pretrain_steps": "give its share of the budget: phases likelihood=0.5,game",
    "report_to": "leave it out: in Python, Trainer.train(tensorboard=True)",
    "score_chunk": "leave it out: it is chosen by itself; gradient_accumulation_steps and num_draws set the memory",
    "score_dtype": "leave it out: dtype is that of the scoring too",
    "spectral_norm": "leave it out, and give a penalty",
    "tempering": "leave it out: it biased the gradient",
    "text_column": "give it as column",
    "warmup_steps": "give its share of the budget: phases discriminator=0.1,game",
}
"""Options that are no more, and what to do instead."""


class _Loader(yaml.SafeLoader):
    """Refuses what YAML 1.1 reads as something else without a word: a key given twice, 010 (8) and 1:30 (90)."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"the key in line {line} must be a name")
            name = key.value.replace("-", "_")
            if name in lines:
                raise yaml.YAMLError(f"the key {key.value!r} is given twice, in lines {lines[name]} and {line}")
            lines[name] = line
        return node

    def construct_plain_number(self, node: Any) -> float:
        line, is_float = node.start_mark.line + 1, node.tag.endswith("float")
        if ":" in node.value:
            raise yaml.YAMLError(f"{node.value!r} in line {line} is a number to the base of 60; write it in decimals")
        if not is_float and re.match("[-+]?0[0-9_]", node.value):
            raise yaml.YAMLError(f"{node.value!r} in line {line} is an octal number; write it without the first 0")
        return super().construct_yaml_float(node) if is_float else super().construct_yaml_int(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_plain_number)


def check_retired(name: str, place: str = "") -> None:
    """Raise InputError for the name of an option that is no more; ``place`` is where it was found."""
    if name in RETIRED:
        raise InputError(f"{place}the option {name} is no more: {RETIRED[name]}")


def load_config_values(path: str | Path) -> dict[str, Any]:
    """Values of a YAML file of options, as `read_config_values`; refuses retired ones too."""
    values = read_config_values(path)
    for key in values:
        check_retired(key.replace("-", "_"), f"config {str(path)!r}: ")
    return values


def read_config_values(path: str | Path) -> dict[str, Any]:
    """Values of a YAML file of options, of this version or an earlier one; unknown names are kept.

    Raises InputError if it is missing, is not YAML, or is not a mapping of names to single values.
    """
    try:
        values = _Loader(read_text(Path(path), MAX_TEXT_BYTES)).get_single_data()
    except OSError as error:
        raise InputError(f"config {str(path)!r} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError) as error:
        # Beside its own errors, the library lets through those of dates, long numbers and deep nesting.
        raise InputError(f"config {str(path)!r} is not YAML: {one_line(error)}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"config {str(path)!r} must hold a mapping of option names to values")
    for key, value in values.items():
        # Aliases can make a small file of lists larger than any memory once it is printed.
        if value is not None and not isinstance(value, (str, int, float)):
            raise InputError(f"config {str(path)!r}: {key} must be a single value, got a {type(value).__name__}")
    return values


def folder_of_run(model: str | os.PathLike[str]) -> Path:
    """The folder in which a model lies, which need not exist, also of one that is named as ``.`` or by a link.

    The first of its parents, by its name and by its real place, that holds a ``config.yaml``; else that by its name.
    """
    by_name = Path(model).parent
    places = (by_name, Path(os.path.realpath(model)).parent)
    return next((place for place in places if (place / "config.yaml").is_file()), by_name)


def folder_of_start(source: str) -> Path | None:
    """The folder of the run that ``start_from`` names, by a checkpoint or model in it too; None if it is in none."""
    places = (Path(source), folder_of_run(source), Path(os.path.realpath(source)).parent.parent)
    return next((place for place in places if (place / "config.yaml").is_file()), None)
