"""The folder of a saved model: what its files hold, and how they are written and read without trusting them.

``config.json`` names the generator and its settings, ``model.safetensors`` holds its weights, ``codec.json`` its codec,
and ``manifest.json``, written last, the digests of the three.
"""

import inspect
import json
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bgan_discrete.codecs import Codec, load_codec
from bgan_discrete.durable import write_synced
from bgan_discrete.errors import InputError, StorageError, one_line
from bgan_discrete.game.players import Generator
from bgan_discrete.manifests import (
    MANIFEST_FILE,
    check_version,
    file_facts,
    file_inside,
    read_json,
    render_manifest,
    verify_folder,
)
from bgan_discrete.nn import (
    CausalMLPGenerator,
    CausalTransformerGenerator,
    ContinuousConvGenerator,
    ConvGenerator,
    ConvSequenceGenerator,
    GRUGenerator,
    MaskedConvGenerator,
    MaskedMLPGenerator,
    MaskedTransformerGenerator,
    MLPGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
)
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.publishing.hub import ModelPlace

FORMAT_VERSION = 3
FORMAT = "bgan_discrete.model"
CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE = "config.json", "model.safetensors", "codec.json"
MODEL_FILES = (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE, MANIFEST_FILE)
CONFIG_KEYS = {"format_version", "generator", "settings"}

SETTING_RANGES: dict[str, tuple[int, int]] = {
    "latent_size": (1, 2**20),
    "width": (1, 2**20),
    "depth": (1, 2**16),
    "heads": (1, 2**16),
    "num_classes": (1, 2**20),
    "rounds": (1, 2**20),
}
"""What the sizes in a saved model's settings may be; whether the weights are of these sizes is asked after that."""

MAX_SIDE, MAX_AXES = 2**20, 8
"""Of an event shape in a saved model's settings."""


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _is_list(value: Any, fits: Callable[[Any], bool], shortest: int = 0, longest: int = 2**24) -> bool:
    return isinstance(value, list) and shortest <= len(value) <= longest and all(map(fits, value))


SPACE_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "event_shape": (
        f"a list of 1 to {MAX_AXES} integers, 1 .. {MAX_SIDE}",
        lambda value: _is_list(value, lambda side: _is_integer(side) and 1 <= side <= MAX_SIDE, 1, MAX_AXES),
    ),
    "num_categories": ("an integer", _is_integer),
    "sizes": ("null or a list of integers", lambda value: value is None or _is_list(value, _is_integer)),
    "end_id": ("null or an integer", lambda value: value is None or _is_integer(value)),
    "ordered": ("true or false", lambda value: isinstance(value, bool)),
    "class_names": (
        "null or a list of strings",
        lambda value: value is None or _is_list(value, lambda name: isinstance(name, str)),
    ),
    "scales": ("null or a list of integers", lambda value: value is None or _is_list(value, _is_integer)),
}
"""What the space in a saved model's settings must hold; whether it is one, `SampleSpace` says after that."""

GENERATORS: dict[str, type[Generator]] = {
    kind.__name__: kind
    for kind in (
        ConvGenerator,
        ContinuousConvGenerator,
        MLPGenerator,
        ConvSequenceGenerator,
        MLPSequenceGenerator,
        GRUGenerator,
        TransformerGenerator,
        MaskedConvGenerator,
        MaskedMLPGenerator,
        CausalMLPGenerator,
        MaskedTransformerGenerator,
        CausalTransformerGenerator,
    )
}
"""Generators that a saved model can name."""


def read_model(place: ModelPlace) -> tuple[Generator, Codec]:
    """Generator and codec of a folder; nothing in it is executed, and nothing is used unless all files are good."""
    folder, within = place.folder, place.within
    named = f"model {str(folder)!r}"
    has_manifest = os.path.lexists(folder / MANIFEST_FILE)
    if has_manifest:
        listed = verify_folder(folder, FORMAT, FORMAT_VERSION, "model", within)["files"]
        for file in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE):
            if file not in listed:
                raise InputError(f"{named} has no {file} in its {MANIFEST_FILE}")
    elif not os.path.lexists(folder / CONFIG_FILE) and os.path.lexists(folder / "model" / CONFIG_FILE):
        raise InputError(f"{named} is the folder of a run; give the model in it, {str(folder / 'model')!r}")
    config = _read_config(file_inside(folder, CONFIG_FILE, named, within))
    if not has_manifest:
        raise InputError(
            f"{named} has no {MANIFEST_FILE}: it was not saved to the end, or the file was lost; save it again"
        )
    codec = load_codec(file_inside(folder, CODEC_FILE, named, within))
    weights = file_inside(folder, WEIGHTS_FILE, named, within)
    return _load_generator(config, folder / CONFIG_FILE, weights), codec


def model_content(generator: Generator) -> tuple[dict[str, Tensor], str]:
    """Weights by name, copied to the CPU, and text of ``config.json``; InputError if `read_model` would refuse them.

    Such is a generator that is none of `GENERATORS`, has settings that lack an argument or are no plain values, is not
    in float32, or holds inf or NaN.
    """
    name = type(generator).__name__
    if GENERATORS.get(name) is not type(generator):
        raise InputError(f"generator must be one of {', '.join(GENERATORS)} to be saved, got {name}")
    # Copies: of weights that are tied to others the file holds as many.
    tensors = {key: value.to("cpu", copy=True).contiguous() for key, value in generator.state_dict().items()}
    for key, value in tensors.items():
        if value.dtype not in _DTYPE_NAMES:
            raise InputError(f"generator must be in float32 to be saved, got {key} in {value.dtype}")
        if not torch.isfinite(value).all():
            raise InputError(f"generator must be finite to be saved, got inf or NaN in {key}")
    _check_can_be_built(name, generator.settings, tensors)
    config = {"format_version": FORMAT_VERSION, "generator": name, "settings": generator.settings}
    return tensors, json.dumps(config, indent=2) + "\n"


def write_model(folder: Path, tensors: dict[str, Tensor], config: str, codec: str) -> None:
    """Write the files of a model into a folder of their own, which exists: the manifest last, all of them synced."""
    weights = folder / WEIGHTS_FILE
    try:
        save_file(tensors, weights)
    except SafetensorError as error:
        raise StorageError(f"cannot write {str(folder.parent / WEIGHTS_FILE)!r}: {one_line(error)}") from None
    with weights.open("rb+") as file:
        os.fsync(file.fileno())
    # Its writer makes it for its owner alone; a model is there to be shared, as far as the folder is.
    weights.chmod(folder.stat().st_mode & 0o666)
    write_synced(folder / CONFIG_FILE, config.encode())
    write_synced(folder / CODEC_FILE, codec.encode())
    files = {name: file_facts(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE)}
    write_synced(folder / MANIFEST_FILE, render_manifest(FORMAT, FORMAT_VERSION, files).encode())


def check_own(folder: Path) -> None:
    """Raise InputError for a folder in which files of these names are not of a model that `save_pretrained` wrote."""
    held = [name for name in MODEL_FILES if os.path.lexists(folder / name)]
    with suppress(OSError, ValueError, LookupError, TypeError):
        held = [] if read_json(folder / MANIFEST_FILE)["format"] == FORMAT else held
    with suppress(OSError, ValueError, TypeError):
        held = [] if set(read_json(folder / CONFIG_FILE)) == CONFIG_KEYS else held
    if held:
        raise InputError(f"folder {str(folder)!r} holds {', '.join(held)} of another program; give another folder")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"model configuration {str(path)!r} cannot be read: {one_line(error)}") from None
    named = f"model configuration {str(path)!r}"
    if isinstance(config, dict) and "format_version" in config:  # first: another version may have other keys
        if type(version := config["format_version"]) is not int:
            raise InputError(f"{named} has format version {shown(version)}, which is no integer")
        check_version(named, version, FORMAT_VERSION)
    if not isinstance(config, dict) or set(config) != CONFIG_KEYS or not isinstance(config["settings"], dict):
        raise InputError(f"{named} must hold exactly {', '.join(sorted(CONFIG_KEYS))}")
    return config


def _load_generator(config: dict[str, Any], path: Path, weights: Path) -> Generator:
    """Build a generator and fill it; what is built is no larger than the weights that are there."""
    name = config["generator"]
    if not isinstance(name, str) or name not in GENERATORS:
        raise InputError(f"generator {shown(name)} in {str(path)!r} is unknown; known are {', '.join(GENERATORS)}")
    settings, named = config["settings"], f"settings in {str(path)!r}"
    _check_settings(name, settings, named)
    _compare(name, settings, named, _stored_tensors(weights), f"weights {str(weights)!r}")
    generator = _build_generator(name, settings, named).float()
    try:
        tensors = load_file(weights)
        generator.load_state_dict(tensors, strict=True)
        if isinstance(generator, RoundsGenerator):
            generator.set_order(tensors["ranks"])  # which must be a permutation
    except InputError as error:
        raise InputError(f"weights {str(weights)!r}: {error}") from None
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"weights {str(weights)!r} cannot be loaded: {one_line(error)}") from None
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise InputError(f"weights {str(weights)!r} are inf or NaN in {key}")
    return generator


def _check_can_be_built(name: str, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raise InputError for a generator that `_load_generator` would refuse."""
    for argument in inspect.signature(GENERATORS[name]).parameters:
        if argument not in settings:
            raise InputError(
                f"generator {name} cannot be built again: its argument {argument!r} is not in settings; pass it on by "
                f"super().__init__(space, latent_size, {argument}={argument})"
            )
    named = f"settings of generator {name}"
    _check_settings(name, settings, named)
    held = {key: (tuple(value.shape), _DTYPE_NAMES[value.dtype]) for key, value in tensors.items()}
    _compare(name, settings, named, held, f"weights of generator {name}")


def _build_generator(name: str, settings: dict[str, Any], named: str) -> Generator:
    try:
        return GENERATORS[name].from_settings(settings)
    except (InputError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{named} do not fit {name}: {one_line(error)}") from None


def _check_settings(name: str, settings: dict[str, Any], named: str) -> None:
    """Raise InputError for unknown names, sizes out of range and what is not plain JSON; the rest its class checks."""
    _check_names(settings, set(inspect.signature(GENERATORS[name]).parameters), name, named)

    def refuse(key: str, rule: str, value: Any) -> InputError:
        return InputError(f"{named}: {key} must be {rule}, got {shown(value)}")

    for key, value in settings.items():
        if key == "space":
            if not isinstance(value, dict):
                raise refuse(key, "a sample space", value)
            space = {"scales": None, **value}  # of which earlier versions did not know
            _check_names(space, set(SPACE_RULES), "a sample space", named)
            for part, (rule, fits) in SPACE_RULES.items():
                if not fits(space[part]):
                    raise refuse(part, rule, space[part])
        elif key in SETTING_RANGES:
            low, high = SETTING_RANGES[key]
            is_absent = key == "num_classes" and value is None
            if not is_absent and not (_is_integer(value) and low <= value <= high):
                raise refuse(key, f"an integer, {low} .. {high}", value)
        elif not (_is_plain(value) or _is_list(value, _is_plain)):
            raise refuse(key, "a string, a finite number, true, false, null or a list of these", value)


def _check_names(settings: dict[str, Any], wanted: set[str], of: str, named: str) -> None:
    """Raise InputError where names are missing or unknown."""
    faults = [f"lack {key}" for key in sorted(wanted - set(settings))]
    faults += [f"have the unknown {key[:50]!r}" for key in sorted(set(settings) - wanted)]
    if faults:
        raise InputError(f"{named} do not fit {of}: they {', '.join(faults[:3])}")


def _stored_tensors(weights: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each tensor, by the file's header alone."""
    try:
        with safe_open(weights, "pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - it is no dictionary
            return {key: (tuple(part.get_shape()), str(part.get_dtype())) for key, part in slices.items()}
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise InputError(f"weights {str(weights)!r} cannot be loaded: {one_line(error)}") from None


_DTYPE_NAMES = {
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What weights and buffers may be, as the file names it."""


def _compare(
    name: str, settings: dict[str, Any], named: str, stored: dict[str, tuple[tuple[int, ...], str]], weights: str
) -> None:
    """Raise InputError where weights of such shapes and dtypes are not those of the generator of such settings."""
    if settings.get("depth", 0) > len(stored):
        raise InputError(f"{named} do not fit the weights: depth {settings['depth']} with {len(stored)} tensors")
    with torch.device("meta"):  # sizes without memory
        wanted = _build_generator(name, settings, named).state_dict()
    for keys, fault in ((set(wanted) - set(stored), "lack"), (set(stored) - set(wanted), "hold the unknown")):
        if keys:
            raise InputError(f"{weights} {fault} {shown(min(keys))}")
    for key, value in wanted.items():
        shape, dtype = stored[key]
        wanted_dtype = "F32" if value.is_floating_point() else _DTYPE_NAMES.get(value.dtype, str(value.dtype))
        if shape != tuple(value.shape):
            raise InputError(f"{weights}: {key} must have the shape {list(value.shape)}, got {list(shape)}")
        if dtype != wanted_dtype:
            raise InputError(f"{weights}: {key} must be {wanted_dtype}, got {dtype}")


def shown(value: Any) -> str:
    """A value of a file that nobody vouches for, in a message."""
    return one_line(ValueError(repr(value)[:400]))
