"""One code for each character."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_integer
from bgan_discrete.codecs.text import MAX_TEXT_CATEGORIES, Codes, TextCodec
from bgan_discrete.errors import InputError

UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""What an unknown code is decoded to."""

DEFAULT_MAX_CHARACTERS = 4096


class CharacterCodec(TextCodec):
    """One code for each Unicode character of a vocabulary, and one for all others.

    The codes are, in this order: the end (where sequences may end), the unknown character, and the vocabulary, the most
    frequent character first.

    Args:
        length: L, see `TextCodec`.
        ends: See `TextCodec`.
        max_categories: The most codes K, with the end and the unknown one; rarer characters become unknown.
        min_count: Characters that occur less often in the data become unknown, >= 1.
        vocabulary: The characters, where they are known already.

    Raises:
        InputError: If an argument is out of its range.

    Examples:
        >>> codec = CharacterCodec(length=4).fit(["ab", "abba"])
        >>> codec.decode(codec.encode(["ba", "abba"]))
        ['ba', 'abba']
    """

    name: ClassVar[str] = "characters"
    config_keys = ("length", "ends", "max_categories", "min_count", "vocabulary")

    def __init__(
        self,
        length: int,
        ends: bool = True,
        *,
        max_categories: int = DEFAULT_MAX_CHARACTERS,
        min_count: int = 1,
        vocabulary: str | None = None,
    ) -> None:
        super().__init__(length, ends)
        self.max_categories = check_integer("max_categories", max_categories, 3, 2**31)
        self.min_count = check_integer("min_count", min_count, 1, 2**31)
        self.vocabulary = ""
        if vocabulary is not None:
            self._set_vocabulary(vocabulary)

    @property
    def unknown_id(self) -> int:
        """The code of every character that is not in the vocabulary."""
        return 1 if self.ends else 0

    def fit(self, texts: Iterable[str]) -> "CharacterCodec":
        """Take the most frequent characters of the texts as the vocabulary.

        Raises:
            InputError: If there is no character, or none that is frequent enough.
        """
        counts: Counter[str] = Counter()
        remaining = iter(texts)
        while piece := list(islice(remaining, 1024)):
            counts.update("".join(piece))
        if not counts:
            raise InputError("the text is empty: there is no character to make a vocabulary of")
        kept = [character for character, count in counts.items() if count >= self.min_count]
        if not kept:
            most = max(counts.values())
            raise InputError(f"min_count must be at most {most}, the count of the commonest; got {self.min_count}")
        kept.sort(key=lambda character: (-counts[character], character))
        self._set_vocabulary("".join(kept[: self.max_categories - self.unknown_id - 1]))
        return self

    def tokenize(self, texts: Sequence[str]) -> list[Codes]:
        """The codes of each text, one a character."""
        self._require_fitted()
        points = _code_points("".join(texts))
        codes = self._codes_of[points]
        ends = np.cumsum([len(text) for text in texts])
        return np.split(codes, ends[:-1]) if len(texts) else []

    def detokenize(self, codes: Codes) -> str:
        """The text of codes; `UNKNOWN_CHARACTER` for the unknown one."""
        return self._points_of[codes].tobytes().decode("utf-32-le", "surrogatepass")

    def is_unknown(self, codes: Codes) -> NDArray[np.bool_]:
        """Which codes are the unknown one."""
        return np.asarray(codes == self.unknown_id)

    def describe(self) -> str:
        """Say in one line what the codec does."""
        return f"characters, {len(self.vocabulary)} and an unknown one, {self._describe_frame()}"

    def _set_vocabulary(self, vocabulary: str) -> None:
        if not isinstance(vocabulary, str) or len(set(vocabulary)) != len(vocabulary):
            raise InputError(f"vocabulary must be a string without repeated characters, got {vocabulary!r}")
        if len(vocabulary) > MAX_TEXT_CATEGORIES:
            raise InputError(f"vocabulary must have at most {MAX_TEXT_CATEGORIES} characters, got {len(vocabulary)}")
        if not vocabulary:
            return  # saved before it was fitted
        self.vocabulary = vocabulary
        first = self.unknown_id + 1
        self.num_categories = first + len(vocabulary)
        points = _code_points(vocabulary)
        self._codes_of = np.full(0x110000, self.unknown_id, self.dtype)
        self._codes_of[points] = np.arange(first, self.num_categories)
        # The end has no character; decoding never asks for it.
        self._points_of = np.full(self.num_categories, ord(UNKNOWN_CHARACTER), "<u4")
        self._points_of[first:] = points


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
