"""Columns that name the rows of a table: nothing is learnt of them but their form, in which samples get new values.

    integers, ID-00123, 7/a      a number behind and before fixed text: counted on from the largest one
    UUIDs, kq3-x9z               digits and letters in fixed places: scattered over all such texts by a seed

Scattered texts are read as numbers, each character a digit of a base of its own. Of n values of the data at least one
remainder modulo m > n is free: new values are the numbers that have it, so that none of them is in the data. A seed
permutes them (a Feistel network of four rounds, repeated until it ends among them), so that all are different.
"""

import hashlib
import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from bgan_discrete.codecs.values import Value, check_name, is_utf8, listed, option_of, shown
from bgan_discrete.errors import InputError

SPARSE = 10
"""Texts of one width whose numbers span more than so many times their count are scattered, not counted."""

MOST_CHARACTERS = 100
FORMS = "integers, texts such as ID-00123, letters and digits in fixed places such as kq3-x9z, and UUIDs"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSION, _VARIANT = 14, 19
"""Places in a UUID."""

_ROUNDS = 4


@dataclass(frozen=True)
class CountedIdentifier:
    """Numbers that are counted on, of texts the number between what is the same in all.

    Attributes:
        name: Of the column.
        place: Among all columns of samples.
        start: The first new number, above all of the data.
        width: Digits that a text has at least; None where values are integers.
        prefix: Before the number in each text.
        suffix: Behind it.
    """

    name: str
    place: int
    start: int
    width: int | None = None
    prefix: str = ""
    suffix: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        are_right = all(type(number) is int for number in (self.place, self.start, self.width or 0))
        is_text = isinstance(self.prefix, str) and isinstance(self.suffix, str) and is_utf8(self.prefix + self.suffix)
        if not are_right or self.place < 0 or not is_text or not 0 <= (self.width or 0) <= MOST_CHARACTERS:
            raise InputError(f"identifier {self.name!r} must have integers and texts, got {asdict(self)!r:.200}")

    @property
    def room(self) -> None:
        """How many new values there are: any number of them."""
        return None

    def values(self, first: int, count: int, key: bytes = b"") -> list[Value]:
        """New values ``first`` to ``first + count``, whatever the key."""
        numbers = range(self.start + first, self.start + first + count)
        if self.width is None:
            return [*numbers]
        return [f"{self.prefix}{number:0{self.width}d}{self.suffix}" for number in numbers]

    def ends(self, count: int) -> list[Value]:
        """Of ``count`` new values those that tell the type and the length of all."""
        return [*self.values(0, 1), *self.values(count - 1, 1)]


@dataclass(frozen=True)
class ScatteredIdentifier:
    """Texts of one width, scattered over all of their form.

    Attributes:
        name: Of the column.
        place: Among all columns of samples.
        slots: The characters that each place of a text may have.
        modulus: By which new numbers have one remainder; coprime to their count, so that each character varies.
        remainder: Theirs, which no value of the data has.
    """

    name: str
    place: int
    slots: tuple[str, ...]
    modulus: int
    remainder: int

    def __post_init__(self) -> None:
        check_name(self.name)
        are_right = all(type(number) is int for number in (self.place, self.modulus, self.remainder))
        are_slots = 0 < len(self.slots) <= MOST_CHARACTERS and all(
            isinstance(slot, str) and slot and is_utf8(slot) and len(set(slot)) == len(slot) for slot in self.slots
        )
        if not are_right or not are_slots or self.place < 0 or not 0 <= self.remainder < self.modulus or self.room < 1:
            raise InputError(f"identifier {self.name!r} must have slots and numbers, got {asdict(self)!r:.200}")

    @property
    def total(self) -> int:
        """Texts of the form."""
        return math.prod(map(len, self.slots))

    @property
    def room(self) -> int:
        """How many new values there are."""
        return (self.total - self.remainder + self.modulus - 1) // self.modulus

    def values(self, first: int, count: int, key: bytes = b"") -> list[Value]:
        """New values ``first`` to ``first + count`` in the order of a key, all different."""
        places = (_permuted(place, self.room, key) for place in range(first, first + count))
        return [self._text_of(self.remainder + self.modulus * place) for place in places]

    def ends(self, count: int) -> list[Value]:
        """One value, as long as all."""
        return self.values(0, 1)

    def _text_of(self, number: int) -> str:
        letters = []
        for slot in reversed(self.slots):
            number, digit = divmod(number, len(slot))
            letters.append(slot[digit])
        return "".join(reversed(letters))


def _permuted(place: int, count: int, key: bytes) -> int:
    """Where a permutation of ``0 .. count - 1`` puts a place."""
    bits = (count.bit_length() + 1) // 2
    while True:
        left, right = divmod(place, 2**bits)
        for number in range(_ROUNDS):
            text = right.to_bytes(bits // 8 + 1, "little")
            digest = hashlib.blake2b(text, key=key, salt=bytes([number])).digest()
            left, right = right, left ^ (int.from_bytes(digest, "little") % 2**bits)
        place = left * 2**bits + right
        if place < count:
            return place


Identifier = CountedIdentifier | ScatteredIdentifier


def fit_identifier(name: str, values: Sequence[Value], place: int, own: int | None = None) -> Identifier:
    """The form of a column that names the rows.

    Args:
        name: Of the column.
        values: Of all rows of the data, which new ones are to differ from.
        place: Among all columns of samples.
        own: The first so many rows are of one data set, in which no value is there twice; None for all.

    Returns:
        The form, with what keeps new values apart from these.

    Raises:
        InputError: If a value is missing or there twice, or they have no form that is known.
    """
    _check_values(name, values, own)
    values = [*dict.fromkeys(values)]
    numbers = [value for value in values if isinstance(value, int)]
    if numbers:
        return CountedIdentifier(name, place, max(numbers) + 1)
    texts = [str(value) for value in values]
    counted, is_sparse = _counted(name, place, texts)
    if counted is not None and not is_sparse:
        return counted
    scattered = _scattered(name, place, texts)
    if scattered is not None and scattered.room >= SPARSE * len(texts):
        return scattered
    if counted is not None:
        return counted
    if scattered is not None:
        fault = f"of the {scattered.total:,} texts of its form only {scattered.room:,} are kept apart from the data"
    else:
        fault = f"its values have no form that is known ({listed(texts[:2])}); known are {FORMS}"
    raise InputError(f"column {name!r} cannot be of kind identifier: {fault}; drop it ({option_of('--drop', [name])})")


def _check_values(name: str, values: Sequence[Value], own: int | None) -> None:
    """Raise InputError for values that do not name the rows."""
    kinds = {type(value) for value in values}
    rows: dict[Value, int] = {}
    fault, advice = "", ""
    for row, value in enumerate(values, 1):
        if value is None:
            fault, advice = f"row {row} has no value", f"fill it in, or drop it ({option_of('--drop', [name])})"
        elif type(value) not in (int, str) or len(kinds - {type(None)}) > 1:
            fault, advice = f"it holds {shown(value)} in row {row}", "identifiers are all integers or all texts"
        elif rows.setdefault(value, row) != row and row <= (own or row):
            fault = f"{shown(value)} is in rows {rows[value]} and {row}"
            advice = f"what comes more than once is learnt, as {option_of('--column', [f'{name}=category'])}"
        if fault:
            raise InputError(f"column {name!r} cannot be of kind identifier: {fault}; {advice}")


def _counted(name: str, place: int, texts: Sequence[str]) -> tuple[CountedIdentifier | None, bool]:
    """Numbers between fixed text, if texts are so, and whether they are few among all of one width."""
    prefix = _beginning(texts).rstrip(string.digits)
    rests = [text[len(prefix) :] for text in texts]
    suffix = _beginning([rest[::-1] for rest in rests])[::-1].lstrip(string.digits)
    middles = [rest.removesuffix(suffix) for rest in rests]
    widths = {len(middle) for middle in middles}
    if max(widths) > MOST_CHARACTERS or not all(re.fullmatch("[0-9]+", middle) for middle in middles):
        return None, False
    numbers, width = [int(middle) for middle in middles], min(widths)
    if any(f"{number:0{width}d}" != middle for number, middle in zip(numbers, middles, strict=True)):
        return None, False
    is_sparse = len(widths) == 1 and max(numbers) - min(numbers) >= SPARSE * len(numbers)
    return CountedIdentifier(name, place, max(numbers) + 1, width, prefix, suffix), is_sparse


def _beginning(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    first, last = min(texts), max(texts)
    ends = (place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1])
    return first[: next(ends, min(len(first), len(last)))]


def _scattered(name: str, place: int, texts: Sequence[str]) -> ScatteredIdentifier | None:
    """Characters in fixed places, if texts of one width are so."""
    slots = _slots(texts)
    if slots is None or math.prod(map(len, slots)) <= len(texts):
        return None
    total, modulus = math.prod(map(len, slots)), len(texts) + 1
    while math.gcd(modulus, total) != 1:
        modulus += 1
    digits = [{letter: digit for digit, letter in enumerate(slot)} for slot in slots]
    taken = set()
    for text in texts:
        number = 0
        for letter, digit_of in zip(text, digits, strict=True):
            number = number * len(digit_of) + digit_of[letter]
        taken.add(number % modulus)
    remainder = next(free for free in range(modulus) if free not in taken)
    return ScatteredIdentifier(name, place, slots, modulus, remainder) if remainder < total else None


def _slots(texts: Sequence[str]) -> tuple[str, ...] | None:
    """The characters that each place may have; None for texts of other characters or of several widths."""
    if len({len(text) for text in texts}) != 1 or not 0 < len(texts[0]) <= MOST_CHARACTERS:
        return None
    seen = [set(letters) for letters in zip(*texts, strict=True)]
    for case in (str.lower, str.upper):
        if all(case(text) == text and _UUID.fullmatch(text.lower()) for text in texts):
            letters, variants = case("0123456789abcdef"), case("89ab")
            slots = ["-" if "-" in one else letters for one in seen]
            slots[_VERSION] = "".join(sorted(seen[_VERSION]))
            slots[_VARIANT] = variants if seen[_VARIANT] <= {*variants} else letters
            return tuple(slots)
    varied = set().union(*(one for one in seen if len(one) > 1))
    # Letters of hexadecimal numbers are no others.
    pools = [string.digits]
    for few, alphabet in (("abcdef", string.ascii_lowercase), ("ABCDEF", string.ascii_uppercase)):
        pools.append(few if varied & {*alphabet} <= {*few} and varied & {*string.digits} else alphabet)
    found = []
    for one in seen:
        slot = "".join(pool for pool in pools if one & {*pool})
        if len(one) > 1 and not one <= {*slot}:
            return None
        found.append(slot if len(one) > 1 else next(iter(one)))
    return tuple(found)


def fresh_identifiers(
    identifiers: Sequence[Identifier], num_samples: int, rng: np.random.Generator
) -> Callable[[int, int], dict[str, list[Value]]]:
    """New values of columns.

    Args:
        identifiers: Their forms.
        num_samples: That are drawn in all.
        rng: Decides on the order of scattered values.

    Returns:
        A function of the number of a first sample, and of how many follow, which gives name of column -> values.

    Raises:
        InputError: If a form has too few new values.
    """
    for one in identifiers:
        if one.room is not None and num_samples > one.room:
            raise InputError(
                f"num_samples must be at most {one.room}, the new identifiers of the form of column {one.name!r}, "
                f"got {num_samples}"
            )
    keys = {one.name: rng.bytes(32) for one in identifiers}
    return lambda first, count: {one.name: one.values(first, count, keys[one.name]) for one in identifiers}


def identifier_to_config(identifier: Identifier) -> dict[str, Any]:
    """All that a form is, as plain JSON types."""
    return {name: [*value] if isinstance(value, tuple) else value for name, value in asdict(identifier).items()}


def identifier_from_config(entry: Any) -> Identifier:
    """A form again from `identifier_to_config`; InputError for what is none."""
    for form in (CountedIdentifier, ScatteredIdentifier):
        if isinstance(entry, Mapping) and set(entry) == {field.name for field in fields(form)}:
            slots = {"slots": tuple(entry["slots"])} if isinstance(entry.get("slots"), list) else {}
            return form(**{**entry, **slots})
    raise InputError(f"an identifier must have name, place, and start or slots, got {entry!r:.200}")
