"""What one sample is: its shape, the categories of each position, where it ends, and what the numbers mean.

Data, codec, networks, pipeline and metrics hold equal ones.
"""

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from bgan_discrete.errors import InputError

MAX_CATEGORIES = 2**24
"""The largest K."""

MAX_SHOWN = 60
"""Characters of a value in a message."""


@dataclass(frozen=True)
class SampleSpace:
    """The space that samples are drawn from: arrays of small integers.

    Attributes:
        event_shape: Shape of one sample.
        num_categories: K: codes are in ``[0, K)``.
        sizes: Categories of each position, in C order, the largest at most K, as columns of a table have them; None
            where all have K.
        end_id: The category that ends a sequence, and the padding behind it; None where all samples are full.
        ordered: Codes are a scale, such as grey levels, not names.
        class_names: Of the classes that samples may have, in their order; None where they have numbers or none.
        scales: Of each position, in C order, how many of its first codes are a scale, as the bins of a number are in a
            column of a table; None where there are no such positions.

    Raises:
        InputError: If a value is out of its range or the values do not fit together.

    Examples:
        >>> space = SampleSpace(event_shape=(8, 8), num_categories=17, ordered=True)
        >>> space.num_positions
        64
    """

    event_shape: tuple[int, ...]
    num_categories: int
    sizes: tuple[int, ...] | None = None
    end_id: int | None = None
    ordered: bool = False
    class_names: tuple[str, ...] | None = None
    scales: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Take lists as tuples, and what NumPy gives as plain values; check what depends on nothing else."""
        event_shape: Any = self.event_shape
        if type(event_shape) is int:
            raise InputError(f"event_shape must be a tuple, such as ({event_shape},), got {event_shape}")
        shape = _integers("event_shape", event_shape)
        if min(shape, default=0) < 1:
            raise InputError(f"event_shape must hold integers of at least 1, got {shape}")
        (num_categories,) = _integers("num_categories", [self.num_categories])
        if not 2 <= num_categories <= MAX_CATEGORIES:
            raise InputError(f"num_categories must be between 2 and 2**24, got {num_categories}")
        object.__setattr__(self, "event_shape", shape)
        object.__setattr__(self, "num_categories", num_categories)
        if self.end_id is not None:
            (end_id,) = _integers("end_id", [self.end_id])
            if not 0 <= end_id < num_categories:
                raise InputError(f"end_id must be in [0, {num_categories}) or be None, got {end_id}")
            object.__setattr__(self, "end_id", end_id)
        object.__setattr__(self, "sizes", self._checked_sizes())
        ordered = plain_value(self.ordered)
        if not isinstance(ordered, bool):
            raise InputError(f"ordered must be True or False, got {_shown(ordered)}")
        object.__setattr__(self, "ordered", ordered)
        if self.class_names is not None:
            names = _strings("class_names", self.class_names)
            if not names or len(set(names)) != len(names):
                raise InputError(f"class_names must be different ones, got {len(names)}, {len(set(names))} different")
            object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "scales", self._checked_scales())

    def _checked_sizes(self) -> tuple[int, ...] | None:
        """The sizes as plain numbers; None where all of them are K."""
        if self.sizes is None:
            return None
        sizes = self._of_positions("sizes", self.sizes)
        if min(sizes) < 1 or max(sizes) > self.num_categories:
            raise InputError(
                f"sizes must be at least 1 and at most num_categories = {self.num_categories}, got {min(sizes)} to "
                f"{max(sizes)}"
            )
        return None if min(sizes) == self.num_categories else sizes

    def _checked_scales(self) -> tuple[int, ...] | None:
        """The lengths of scales as plain numbers; None where all of them are 0."""
        if self.scales is None:
            return None
        scales = self._of_positions("scales", self.scales)
        sizes = self.sizes or (self.num_categories,) * self.num_positions
        for length, size in zip(scales, sizes, strict=True):
            if not 0 <= length <= size:
                raise InputError(f"scales must be at least 0 and at most the sizes, got {length} of {size} categories")
        return scales if any(scales) else None

    def _of_positions(self, name: str, values: Iterable[Any]) -> tuple[int, ...]:
        numbers = _integers(name, values, "flat, in C order, and of integers")
        if len(numbers) != self.num_positions:
            raise InputError(
                f"{name} must be one for each of the {self.num_positions} positions of {tuple(self.event_shape)}, got "
                f"{len(numbers)}"
            )
        return numbers

    @property
    def num_positions(self) -> int:
        """P, the number of positions of one sample."""
        return math.prod(self.event_shape)

    @property
    def length(self) -> int:
        """L, of sequences.

        Raises:
            InputError: If samples have more than one axis.
        """
        if len(self.event_shape) != 1:
            raise InputError(f"event_shape of sequences must be (L,), got {self.event_shape}")
        return self.event_shape[0]

    def difference(self, other: "SampleSpace") -> str | None:
        """What differs between two spaces, ``name: value and other value``; None for equal ones."""
        values, other_values = asdict(self), asdict(other)
        differing = [name for name in values if values[name] != other_values[name]]
        pairs = [f"{name}: {_shown(values[name])} and {_shown(other_values[name])}" for name in differing]
        return "; ".join(pairs) or None

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SampleSpace":
        """Build a space from what `to_dict` gave, with or without ``scales``.

        Raises:
            InputError: If a name is missing or unknown, or a value is out of its range.
        """
        names, values = [field.name for field in fields(cls)], {"scales": None, **values}
        if set(values) != set(names):
            raise InputError(f"a sample space must have exactly {', '.join(names)}, got {_shown(', '.join(values))}")
        tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **tuples})


def plain_value(value: Any) -> Any:
    """What JSON holds of a value.

    Args:
        value: Any.

    Returns:
        A number of NumPy or torch as Python's, a tuple as a list; anything else as it is.
    """
    if isinstance(value, list | tuple):
        return [plain_value(part) for part in value]
    return value.item() if getattr(value, "shape", None) == () else value


def _integers(name: str, values: Iterable[Any], rule: str = "of integers") -> tuple[int, ...]:
    """Plain integers of what Python, NumPy or torch take for such; True is none."""
    try:
        given = tuple(values)
        if not any(isinstance(value, bool) for value in given):
            return tuple(map(operator.index, given))
    except TypeError:
        pass
    raise InputError(f"{name} must be {rule}, got {_shown(values)}")


def _strings(name: str, values: Any) -> tuple[str, ...]:
    """Plain strings of several; one string, whose characters they could be, is none."""
    if isinstance(values, Iterable) and not isinstance(values, str):
        values = tuple(values)
        if all(isinstance(value, str) for value in values):
            return tuple(map(str, values))
    raise InputError(f"{name} must be a tuple of strings, got {_shown(values)}")


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + " ..."
