"""Codecs of integer arrays, and what they share with those of tables."""

import itertools
import sys
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_integer
from bgan_discrete.codecs.base import Codec
from bgan_discrete.codecs.values import is_utf8, listed
from bgan_discrete.errors import InputError
from bgan_discrete.space import SampleSpace

Codes = NDArray[Any]

MAX_ARRAY_CATEGORIES, MOST_CATEGORIES = 65_536, 2**20
"""Of integer arrays, and of a column of a table."""

USUAL_BINS = 20
"""What errors advise."""


class ArrayCodec(Codec):
    """A map from arrays or tables to integer codes ``[N, *event_shape]`` and back.

    Attributes:
        space: What the codes of one sample are.
        column_names: Of the positions; None for arrays without names.
    """

    space: SampleSpace
    column_names: tuple[str, ...] | None

    def space_of(self, event_shape: Sequence[int] = (), class_names: Sequence[str] | None = None) -> SampleSpace:
        """`space`; ``event_shape`` and ``class_names`` are not looked at."""
        return self.space

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The smallest integer type that holds the codes: uint8, int16 or int32."""
        if self.num_categories <= 256:
            return np.dtype(np.uint8)
        return np.dtype(np.int16 if self.num_categories <= 32768 else np.int32)

    @abstractmethod
    def encode(self, data: Any) -> Codes:
        """Codes ``[N, *event_shape]`` of type `dtype`.

        Raises:
            InputError: If the data hold what the codec has no code for.
        """

    @abstractmethod
    def decode(self, codes: Codes) -> Any:
        """What the codes stand for.

        Raises:
            InputError: If the codes are not integers in range, of the shape that `encode` gives.
        """

    def _shape_of_codes(self, shape: tuple[int, ...]) -> tuple[str, bool]:
        wanted = ", ".join(map(str, self.space.event_shape))
        return f"[N, {wanted}]", shape[1:] == self.space.event_shape and len(shape) > 1

    def validate_codes(self, codes: Any) -> None:
        """Raise InputError for what is not integers ``[N, *event_shape]``, each below its position's size."""
        super().validate_codes(codes)
        wrong = np.argwhere(codes >= np.array(self.space.sizes or self.num_categories))
        if len(wrong):
            row, place = wrong[0].tolist()
            name = f"column {self.column_names[place]!r}" if self.column_names else f"position {place}"
            limit = self.space.sizes[place] if self.space.sizes else self.num_categories
            raise InputError(f"codes of {name} must lie in [0, {limit}), got {int(codes[row, place])} in row {row}")


class IntegersCodec(ArrayCodec):
    """Arrays of integers or of single characters, of any event shape: a code for each value.

    Args:
        event_shape: Shape of one sample, with at least one position.
        num_categories: K, 2 .. 65,536.
        low: The least integer, at least -2^63, where the values are ``[low, low + K)``; low + K is at most 2^63.
        values: The value of each code where they are others: K ascending integers of int64, or K ascending characters.

    Raises:
        InputError: If an argument is out of its range.
    """

    name: ClassVar[str] = "integers"
    config_keys = ("event_shape", "num_categories", "low")

    def __init__(
        self,
        event_shape: Sequence[int],
        num_categories: int,
        low: int = 0,
        values: Sequence[int] | Sequence[str] | None = None,
    ) -> None:
        self.num_categories = check_integer("num_categories", num_categories, 2, MAX_ARRAY_CATEGORIES)
        self.low = check_integer("low", low, -(2**63), 2**63 - self.num_categories)
        if values is not None:
            _check_symbols(values, num_categories)
        self.space = SampleSpace(tuple(event_shape), self.num_categories)
        self.values: tuple[Any, ...] | None = None if values is None else tuple(values)
        self._symbols = np.arange(self.low, self.low + self.num_categories) if values is None else np.array(values)
        self.ordered, self.column_names = False, None

    @classmethod
    def fit(cls, values: Codes) -> "IntegersCodec":
        """The codec of the values that an array holds.

        Args:
            values: Integers, booleans or single characters ``[N, *event_shape]``.

        Returns:
            The codec.

        Raises:
            InputError: If the array has another type, holds nothing, or too many different values.
        """
        values = symbols_of(values)
        rows = max(1, 2**22 // values[0].size)
        found = np.unique(
            np.concatenate([np.unique(values[start : start + rows]) for start in range(0, len(values), rows)])
        ).tolist()
        if len(found) > MAX_ARRAY_CATEGORIES:
            raise InputError(
                f"the array holds {len(found):,} integers from {found[0]} to {found[-1]}; at most "
                f"{MAX_ARRAY_CATEGORIES} different ones can be categories"
                + f": read its columns as a table and cut them into bins (--layout table --bins {USUAL_BINS})"
                * (values.ndim == 2)
            )
        if isinstance(found[0], str) and len(found) == 1:
            raise InputError(f"the array holds a single character, {found[0]!r}: there is nothing to learn")
        if isinstance(found[0], str) or found[-1] - found[0] >= len(found):
            return cls(values.shape[1:], len(found), values=found)
        # One value alone is no choice, but a code needs two.
        return cls(values.shape[1:], max(len(found), 2), min(found[0], 2**63 - 2))

    def encode(self, data: Codes) -> Codes:
        """Codes of integers or characters ``[N, *event_shape]``; errors as in `ArrayCodec.encode`."""
        data = symbols_of(data)
        if tuple(data.shape[1:]) != self.space.event_shape:
            wanted = str(list(self.space.event_shape))[1:-1]
            raise InputError(f"the array must have the shape [N, {wanted}], got {list(data.shape)}")
        if (self._symbols.dtype.kind == "U") != (data.dtype.kind == "U"):
            raise InputError(f"the array's values must {self._named()}, got {data.dtype}")
        symbols, values = (part.view(np.uint32) if part.dtype.kind == "U" else part for part in (self._symbols, data))
        codes = np.minimum(np.searchsorted(symbols, values), len(symbols) - 1)
        wrong = np.argwhere(symbols[codes] != values)
        if len(wrong):
            value = data[tuple(wrong[0])].item()
            raise InputError(f"the array's values must {self._named()}, got {value!r} in row {wrong[0][0]}")
        return codes.astype(self.dtype)

    def decode(self, codes: Codes) -> Codes:
        """The values themselves, int64 or ``U1`` ``[N, *event_shape]``."""
        self.validate_codes(codes)
        return self._symbols[codes]

    def describe(self) -> str:
        """Say in one line what the codec does."""
        shape = " x ".join(map(str, self.space.event_shape))
        if self.values is None:
            return f"{shape} integers from {self.low} to {self.low + self.num_categories - 1}"
        return f"{shape}, each to {self._named()}"

    def _named(self) -> str:
        """What its values must do."""
        if self.values is None:
            return f"lie in [{self.low}, {self.low + self.num_categories})"
        kind = "characters" if isinstance(self.values[0], str) else "integers"
        return f"be one of {len(self.values)} {kind}: {listed(self.values)}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types; without ``values`` where they are a range."""
        values = {} if self.values is None else {"values": list(self.values)}
        return {
            "name": self.name,
            "event_shape": list(self.space.event_shape),
            "num_categories": self.num_categories,
            "low": self.low,
            **values,
        }

    @classmethod
    def from_config(cls, **values: Any) -> "IntegersCodec":
        """See `Codec.from_config`."""
        for name in values.keys() & {"event_shape", "values"}:
            if not isinstance(values[name], list):
                raise InputError(f"{name} must be a list, got {values[name]!r}")
        return cls(**values)


def symbols_of(values: Any) -> Codes:
    """An array ``[samples, ...]`` of integers, booleans or single characters (``U1``), with data; else InputError."""
    kind = values.dtype.kind if isinstance(values, np.ndarray) else "O"
    is_table = isinstance(values, np.ndarray) and values.ndim == 2
    advice = "read its columns as a table (--layout table)" if is_table else "make it one of integers"
    if kind == "f":
        advice = "convert whole numbers to integers"
        advice += f", or read its columns as a table in bins (--layout table --bins {USUAL_BINS})" * is_table
    elif kind in "SU" and values.size and values.ndim:
        values = values if kind == "U" else np.char.decode(values, "latin-1")
        check_characters(values, "the array")
        if np.char.str_len(values).max() <= 1 and values.ndim > 1:
            return np.ascontiguousarray(values.astype("U1"))
        advice = "split its texts into single characters"
        advice += ", or read its columns as a table (--layout table)" * is_table
    if kind == "b":
        values = values.astype(np.uint8)
    elif kind not in "iu":
        got = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise InputError(f"the array must hold integers, got {got}: {advice}")
    if values.ndim < 2 or values.size == 0:
        advice = ": make one number a sample [samples, 1]" if values.ndim == 1 else ""
        raise InputError(f"the array must have shape [samples, ...] and hold data, got {list(values.shape)}{advice}")
    if values.dtype == np.uint64:
        if (high := int(values.max())) >= 2**63:
            row = int(np.argwhere(values == high)[0][0])
            raise InputError(f"the array must hold integers below 2**63, got {high} in row {row}")
        return values.astype(np.int64)
    return values


def check_characters(values: Codes, what: str) -> None:
    """Raise InputError for strings of any numbers, which NumPy would make and Python cannot read again."""
    if values.size and values.dtype.itemsize:
        numbers = np.ascontiguousarray(values).view(np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
        if numbers.max() > sys.maxunicode:
            raise InputError(f"{what} holds {numbers.max():#x} in the place of a character")


def _check_symbols(values: Any, num_categories: int) -> None:
    are_texts = all(isinstance(value, str) and len(value) <= 1 and is_utf8(value) for value in values)
    are_numbers = all(_is_integer(value) and -(2**63) <= value < 2**63 for value in values)
    ascend = (are_texts or are_numbers) and all(a < b for a, b in itertools.pairwise(values))
    if len(values) != num_categories or not ascend:
        raise InputError(f"values must be {num_categories} ascending integers or characters, got {listed(values)}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
