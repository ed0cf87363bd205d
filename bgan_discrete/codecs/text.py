"""What every codec of text has in common: framing, and how sequences become strings again."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_flag, check_integer
from bgan_discrete.codecs.base import Codec
from bgan_discrete.errors import InputError
from bgan_discrete.space import SampleSpace

MAX_LENGTH = 65536
MAX_TEXT_CATEGORIES = 65536

Codes = NDArray[Any]


class TextCodec(Codec):
    """A map from strings to integer codes ``[N, L]`` and back.

    A codec tokenizes (a string <-> any number of codes) and frames (those codes <-> L positions). With `ends`, code 0
    is the end of a sequence and the padding behind it (see `bgan_discrete.distributions.endings`), and longer texts are
    cut; without, every sequence has exactly L codes.

    Args:
        length: L, the codes of a sequence, 1 .. 65,536.
        ends: Whether sequences may be shorter than L.

    Raises:
        InputError: If an argument is out of its range.
    """

    def __init__(self, length: int, ends: bool) -> None:
        self.length = check_integer("length", length, 1, MAX_LENGTH)
        self.ends = check_flag("ends", ends)
        self.ordered = False
        self.num_categories = 0

    def describe_codes(self, chunks: Iterable[Codes], counts: Mapping[str, int]) -> list[str]:
        """Lengths, from ``chunks`` of the codes, and documents and unknown tokens, from ``counts``."""
        lengths = np.concatenate([self.lengths(codes) for codes in chunks])
        return [
            f"lengths:     {lengths.min()} to {lengths.max()} tokens, {lengths.mean():.1f} on average",
            f"documents:   {counts['documents']:,} of up to {counts['longest']:,} tokens, from {counts['lines']:,} "
            f"lines; {counts['cut']:,} were cut at the length, {counts['left_out']:,} left out",
            f"unknown:     {counts['unknown']:,} tokens of the training samples, "
            f"{counts['heldout_unknown']:,} of others",
        ]

    def prompt_codes(self, prompt: str) -> Codes:
        """The codes of what samples are to begin with.

        Args:
            prompt: Of known characters, as the codec itself writes them.

        Returns:
            At most L codes, without an end.

        Raises:
            InputError: If it is too long, holds what the vocabulary lacks, or would come back as another text.
        """
        (codes,) = self.tokenize([prompt])
        if self.is_unknown(codes).any():
            unknown = sorted({char for char in prompt if self.is_unknown(self.tokenize([char])[0]).any()})
            raise InputError(f"prompt holds what the model's vocabulary lacks: {', '.join(map(repr, unknown))}")
        if (back := self.detokenize(codes)) != prompt:
            raise InputError(f"prompt must be as the model's tokenizer writes it, {back!r}, got {prompt!r}")
        if len(codes) > self.length:
            raise InputError(
                f"prompt must have at most {self.length} tokens, the model's length; {prompt!r} has {len(codes)}"
            )
        return codes

    @property
    def is_fitted(self) -> bool:
        """Whether there is a vocabulary."""
        return self.num_categories > 0

    @property
    def space(self) -> SampleSpace:
        """What the codes of one text are.

        Raises:
            InputError: If the codec is not fitted.
        """
        self._require_fitted()
        return SampleSpace((self.length,), self.num_categories, end_id=self.end_id)

    def space_of(self, event_shape: Sequence[int] = (), class_names: Sequence[str] | None = None) -> SampleSpace:
        """`space`; ``event_shape`` and ``class_names`` are not looked at."""
        return self.space

    @property
    def end_id(self) -> int | None:
        """The code that ends a sequence, or None."""
        return 0 if self.ends else None

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The smallest integer type that holds the codes: uint8, int16 or int32."""
        if self.num_categories <= 256:
            return np.dtype(np.uint8)
        return np.dtype(np.int16 if self.num_categories <= 32768 else np.int32)

    @abstractmethod
    def fit(self, texts: Iterable[str]) -> "TextCodec":
        """Learn the vocabulary from texts, which are gone through once.

        Raises:
            InputError: If there is nothing to learn from, or the vocabulary asked for cannot be made of it.
        """

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[Codes]:
        """The codes of each text, as many as it has, without an end.

        Raises:
            InputError: If the codec is not fitted.
        """

    @abstractmethod
    def detokenize(self, codes: Codes) -> str:
        """The text of codes ``[T]`` without an end."""

    @abstractmethod
    def is_unknown(self, codes: Codes) -> NDArray[np.bool_]:
        """Which codes stand for a symbol that the vocabulary lacks; of the shape of the codes."""

    def frame(self, tokenized: Sequence[Codes]) -> Codes:
        """Put tokenized texts into L positions each, cut or ended and padded.

        Args:
            tokenized: Codes ``[T]`` of each text, from `tokenize`.

        Returns:
            ``[N, L]`` of type `dtype`.

        Raises:
            InputError: If a text has fewer than L codes and sequences cannot end.
        """
        framed = np.zeros((len(tokenized), self.length), self.dtype)
        for row, codes in enumerate(tokenized):
            if len(codes) < self.length and not self.ends:
                raise InputError(
                    f"text {row} has {len(codes)} codes, but every sequence of this codec has length = {self.length}"
                )
            framed[row, : len(codes)] = codes[: self.length]
        return framed

    def encode(self, texts: Sequence[str]) -> Codes:
        """Tokenize and frame; arguments, result and errors as in `tokenize` and `frame`."""
        return self.frame(self.tokenize(texts))

    def decode(self, codes: Codes) -> list[str]:
        """Turn sequences into strings; what stands behind an end is left out.

        Args:
            codes: Integers ``[N, L']`` in ``[0, K)``, any L'.

        Returns:
            N strings.

        Raises:
            InputError: If the codes are not such integers, or the codec is not fitted.
        """
        self._require_fitted()
        self.validate_codes(codes)
        return [self.detokenize(row[:length]) for row, length in zip(codes, self.lengths(codes), strict=True)]

    def lengths(self, codes: Codes) -> NDArray[np.int64]:
        """Codes before the end of each sequence ``[N, L]``: ``[N]``."""
        if not self.ends:
            return np.full(len(codes), codes.shape[1], np.int64)
        is_end = codes == 0
        return np.where(is_end.any(1), is_end.argmax(1), codes.shape[1]).astype(np.int64)

    def _shape_of_codes(self, shape: tuple[int, ...]) -> tuple[str, bool]:
        return "[N, L]", len(shape) == 2

    def _describe_frame(self) -> str:
        return f"up to {self.length} in a sequence" if self.ends else f"{self.length} in a sequence"
