"""Whether a value is of its option's kind and in its range; every refusal is one line that names the option."""

import functools
import math
import reprlib
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bgan_discrete.errors import InputError

_RANGES: tuple[tuple[str, float, float, bool], ...] = (
    ("num_categories", 2, 256, True),
    ("binary_threshold", 1, 255, True),
    ("limit", 1, math.inf, True),
    ("holdout", 0, 1, False),
    ("data_seed", 0, 2**63 - 1, True),
    ("latent_size", 1, 65536, True),
    ("generator_width", 1, 4096, True),
    ("generator_depth", 1, 64, True),
    ("discriminator_width", 1, 4096, True),
    ("discriminator_depth", 1, 64, True),
    ("num_draws", 1, 2**24, True),
    ("tempering", 0, math.inf, False),
    ("tempering", 0, 1, True),
    ("log_weight_clip", 0, math.inf, False),
    ("batch_size", 1, 2**24, True),
    ("gradient_accumulation_steps", 1, math.inf, True),
    ("dist_timeout", 1, 604800, True),
    ("discriminator_draws", 0, math.inf, True),
    ("discriminator_steps", 1, math.inf, True),
    ("penalty_weight", 0, math.inf, True),
    ("penalty_interval", 1, math.inf, True),
    ("generator_lr", 0, math.inf, False),
    ("pretrain_lr", 0, math.inf, False),
    ("pretrain_steps", 0, math.inf, True),
    ("entropy_weight", 0, math.inf, True),
    ("escort", 0, math.inf, False),
    ("escort", 0, 1, True),
    ("pretrain_latents", 1, 2**24, True),
    ("warmup_steps", 0, math.inf, True),
    ("length", 1, 65536, True),
    ("vocabulary_size", 2, 65536, True),
    ("min_count", 1, math.inf, True),
    ("logit_spread", 0, math.inf, False),
    ("log_ratio_bound", 0, math.inf, False),
    ("discriminator_lr", 0, math.inf, False),
    ("adam_beta1", 0, 0.99999, True),
    ("adam_beta2", 0, 0.99999, True),
    ("ema_decay", 0, 0.99999999, True),
    ("max_steps", 1, math.inf, True),
    ("max_seconds", 0, math.inf, False),
    ("seed", 0, 2**63 - 1, True),
    ("threads", 1, 1024, True),
    ("score_chunk", 1, math.inf, True),
    ("log_interval", 1, math.inf, True),
    ("sample_interval", 0, math.inf, True),
    ("checkpoint_interval", 0, math.inf, True),
    ("keep_last", 1, math.inf, True),
    ("num_samples", 0, math.inf, True),
    ("bins", 2, 65535, True),
    ("max_categories", 2, 65535, True),
)


def shown(value: Any) -> str:
    """A value in an error message: what it is, cut where it is long or deep."""
    short = reprlib.Repr()
    short.maxstring, short.maxother = 200, 200
    try:
        return short.repr(value)
    except ValueError:  # Python does not write out such numbers
        return "one of thousands of digits"


def check_text(name: str, value: str) -> None:
    """Raise InputError for a string that no file or terminal takes: with a NUL, or bytes that are not UTF-8.

    Args:
        name: Of the option, for the message.
        value: Its value.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} must be UTF-8, got {shown(value)}") from None
    if "\0" in value:
        raise InputError(f"{name} must not hold a NUL character, got {shown(value)}")


_hints_of = functools.cache(get_type_hints)


def _check_types(section: Any) -> None:
    """Raise InputError for the first value of a section that is not of its option's kind."""
    section_class: type = type(section)
    for name, hint in _hints_of(section_class).items():
        value = getattr(section, name)
        kinds = get_args(hint) if get_origin(hint) not in (None, Literal) else (hint,)
        if value is None and type(None) in kinds:
            continue
        kind = next(kind for kind in kinds if kind is not type(None))
        if get_origin(kind) is Literal:
            if not isinstance(value, str) or value not in get_args(kind):
                raise InputError(f"{name} {shown(value)} is unknown; known are {', '.join(get_args(kind))}")
        elif kind is bool:
            if not isinstance(value, bool):
                raise InputError(f"{name} must be true or false, got {shown(value)}")
        elif kind is str:
            # The one string that reads as a number where YAML has no quotes.
            if name == "resize" and type(value) is int and 1 <= value <= 99_999:
                continue
            if not isinstance(value, str):
                raise InputError(f"{name} must be a string, got {shown(value)}")
            check_text(name, value)
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{name} must be {'an integer' if kind is int else 'a number'}, got {shown(value)}")
        elif kind is int and not isinstance(value, int):
            raise InputError(f"{name} must be an integer, got {shown(value)}")


def check_ranges(section: Any) -> None:
    """Raise InputError for the first value of a section that is of the wrong kind or out of range."""
    _check_types(section)
    for name, low, high, inclusive in _RANGES:
        value = getattr(section, name, None)
        if value is not None:
            _check_range(name, value, low, high, inclusive)


def _check_range(name: str, value: float, low: float, high: float, inclusive: bool) -> None:
    if isinstance(value, int) and value >= 2**63:
        raise InputError(f"{name} must be below 2**63, got {shown(value)}")
    if not (low <= value <= high) or (not inclusive and value in (low, high)) or not math.isfinite(value):
        bounds = f"at least {low}" if math.isinf(high) else f"between {low} and {high}"
        bounds = f"above {low}" if math.isinf(high) and not inclusive else bounds
        raise InputError(
            f"{name} must be {bounds}{'' if inclusive or math.isinf(high) else ', exclusive'}, got {shown(value)}"
        )
