"""The kinds of data by their names, codecs and configurations, with those that a user registers.

The three kinds are imported on first use, so that a program that only asks for help does not wait for torch.
"""

import importlib
from typing import Any

from bgan_discrete.config import CONFIGS
from bgan_discrete.errors import InputError

_HOMES = {"images": "Images", "text": "Text", "arrays": "Arrays"}
_KINDS: dict[str, Any] = {}


def register_kind(kind: Any) -> Any:
    """Make a kind of the user's own known to training, generating and evaluating.

    Args:
        kind: An object of a subclass of `bgan_discrete.kinds.kind.Kind`. It is preferred for its codecs to the kinds of
            this package.

    Returns:
        The same object.

    Raises:
        InputError: If a kind of this package has its name.
    """
    if kind.name in _HOMES:
        raise InputError(f"kind name {kind.name!r} is taken by a kind of this package; choose another")
    _KINDS[kind.name], CONFIGS[kind.name] = kind, kind.config_class
    return kind


def own_kinds() -> list[Any]:
    """The registered kinds of the user."""
    return [kind for name, kind in _KINDS.items() if name not in _HOMES]


def kind_names() -> list[str]:
    """Names of all kinds: the user's own ones first."""
    own = [name for name in _KINDS if name not in _HOMES]
    return [*own, *_HOMES]


def get_kind(name: str) -> Any:
    """The `bgan_discrete.kinds.kind.Kind` of a name, which may be a registered one's; InputError if there is none."""
    if name not in kind_names():
        raise InputError(f"kind {name!r} is unknown; known are {', '.join(kind_names())}")
    if name not in _KINDS:
        _KINDS[name] = vars(importlib.import_module(f"bgan_discrete.kinds.{name}"))[_HOMES[name]]()
    return _KINDS[name]


def kind_of_codec(codec: Any) -> Any:
    """The `bgan_discrete.kinds.kind.Kind` that a model's codec belongs to; InputError if it is of none."""
    for kind in map(get_kind, kind_names()):
        if isinstance(codec, kind.codec_class):
            return kind
    raise InputError(f"codec {type(codec).__name__} belongs to no kind of data; known are {', '.join(kind_names())}")


def kind_of_config(config: Any) -> Any:
    """The `bgan_discrete.kinds.kind.Kind` whose configuration this is; InputError if it is of none."""
    for kind in map(get_kind, kind_names()):
        if isinstance(config, kind.config_class):
            return kind
    raise InputError(f"config must be a configuration of {', '.join(kind_names())}, got {type(config).__name__}")
