"""Codes for the pieces of a SentencePiece model."""

import base64
import binascii
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_choice, check_integer
from bgan_discrete.codecs.text import MAX_TEXT_CATEGORIES, Codes, TextCodec
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.manifests import read_bytes

MODEL_TYPES = ("unigram", "bpe", "char")
DEFAULT_VOCABULARY_SIZE = 1000
"""Pieces of a model that is trained without a wish for their number, where the data have so many."""

SPACE_MARK = "\N{LOWER ONE EIGHTH BLOCK}"
"""How a SentencePiece model writes a space."""

MAX_TRAINING_BYTES = 2**26
"""A model is trained on so much text from the beginning of the data."""

MAX_SENTENCE_BYTES = 4096
UNKNOWN_TEXT = "\N{REPLACEMENT CHARACTER}"


class SentencePieceCodec(TextCodec):
    """One code for each piece of a SentencePiece model.

    A model that is trained here leaves the text as it is (identity normalisation, no dummy prefix, spaces kept) and
    falls back to bytes for what it has not seen, so that decoding gives every text back exactly. It is trained on one
    thread, because unigram models differ with the number of threads. Pieces that no text can have (control symbols) get
    no code; the code of a piece is its place among the others, behind the end where sequences may end.

    Args:
        length: L, see `TextCodec`.
        ends: See `TextCodec`.
        model_type: ``unigram``, ``bpe`` or ``char``; of the model that `fit` trains.
        vocabulary_size: Its pieces, with the 256 bytes; None for 1,000, or as many as the data have.
        model: A serialised model, where there is one already.

    Raises:
        InputError: If an argument is out of its range, or the model is none.
    """

    name: ClassVar[str] = "sentencepiece"
    config_keys = ("length", "ends", "model_type", "vocabulary_size", "model")

    def __init__(
        self,
        length: int,
        ends: bool = True,
        *,
        model_type: str = "unigram",
        vocabulary_size: int | None = None,
        model: bytes | None = None,
    ) -> None:
        super().__init__(length, ends)
        check_choice("model_type", model_type, MODEL_TYPES)
        if vocabulary_size is not None:
            check_integer("vocabulary_size", vocabulary_size, 2, MAX_TEXT_CATEGORIES)
        self.model_type, self.vocabulary_size = model_type, vocabulary_size
        self.model = b""
        if model is not None:
            self._set_model(model)

    @classmethod
    def from_model_file(cls, path: str | Path, length: int, ends: bool = True) -> "SentencePieceCodec":
        """Take a model that exists: its own normalisation and fallback then decide what can be decoded exactly.

        Args:
            path: Of the ``.model`` file.
            length: L.
            ends: Whether sequences may be shorter than L.

        Returns:
            The codec, fitted.

        Raises:
            InputError: If the file cannot be read or holds no model.
        """
        try:
            model = read_bytes(Path(path), 2**26)  # no codec that holds a larger one could be loaded
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise InputError(f"SentencePiece model {str(path)!r} cannot be read: {one_line(error)}") from None
        try:
            return cls(length, ends, model=model)
        except InputError as error:
            raise InputError(f"{str(path)!r}: {error}") from None

    def fit(self, texts: Iterable[str]) -> "SentencePieceCodec":
        """Train the model; where there is one already, it stays.

        Raises:
            InputError: If there is no text, or ``vocabulary_size`` cannot be made of it.
        """
        if self.is_fitted:
            return self
        sentences = list(_sentences(texts))
        if not sentences:
            raise InputError("the text is empty: there is nothing to train a SentencePiece model on")
        self._set_model(_train(sentences, self.model_type, self.vocabulary_size))
        return self

    def tokenize(self, texts: Sequence[str]) -> list[Codes]:
        """The codes of each text, one a piece.

        Raises:
            InputError: If a text holds half of a surrogate pair, which no file can hold.
        """
        self._require_fitted()
        try:
            # The mark of a space would come back as a space: it goes by its bytes.
            if self._bytes_of_mark is None or not any(SPACE_MARK in text for text in texts):
                found = self._processor.encode(list(texts))
            else:
                found = [self._encode_marked(text) for text in texts]
        except (RuntimeError, TypeError, UnicodeEncodeError) as error:
            raise InputError(f"text cannot be tokenized: {one_line(error)}") from None
        return [self._code_of[np.asarray(ids, np.int64)] for ids in found]

    def detokenize(self, codes: Codes) -> str:
        """The text of codes; bytes that are no UTF-8 become replacement characters."""
        text = b"".join([self._bytes_of[code] for code in codes.tolist()]).decode("utf-8", "replace")
        return text[1:] if self._has_prefix and text.startswith(" ") else text

    def is_unknown(self, codes: Codes) -> NDArray[np.bool_]:
        """Which codes are the model's unknown piece; none with byte fallback."""
        return (
            np.asarray(codes == self._unknown_code) if self._unknown_code is not None else np.zeros(codes.shape, bool)
        )

    def describe(self) -> str:
        """Say in one line what the codec does."""
        if not self.is_fitted:
            return f"SentencePiece ({self.model_type}), not trained yet"
        pieces = self.num_categories - self.ends
        return f"SentencePiece, {pieces} pieces, {self._describe_frame()}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types; the model in base64."""
        return {**super().to_config(), "model": base64.b64encode(self.model).decode("ascii")}

    @classmethod
    def from_config(cls, **values: Any) -> "SentencePieceCodec":
        """See `Codec.from_config`."""
        try:
            model = base64.b64decode(values["model"], validate=True) or None
        except (binascii.Error, TypeError, ValueError):
            raise InputError("the model of a SentencePiece codec's configuration must be base64") from None
        return cls(**{**values, "model": model})

    def _encode_marked(self, text: str) -> list[int]:
        assert self._bytes_of_mark is not None
        ids: list[int] = []
        for number, part in enumerate(text.split(SPACE_MARK)):
            ids += (self._bytes_of_mark if number else []) + self._processor.encode(part)
        return ids

    def _set_model(self, model: bytes) -> None:
        import sentencepiece

        try:
            processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            size = processor.get_piece_size()
        except (RuntimeError, OSError, ValueError) as error:
            raise InputError(f"this is no SentencePiece model: {one_line(error)}") from None
        if not 1 <= size <= MAX_TEXT_CATEGORIES:
            raise InputError(f"a SentencePiece model must have 1 to {MAX_TEXT_CATEGORIES} pieces, got {size}")
        self.model, self._processor = bytes(model), processor
        bytes_fall_back = any(processor.is_byte(i) for i in range(size))
        left_out = {
            i
            for i in range(size)
            if processor.is_control(i) or processor.is_unused(i) or (bytes_fall_back and processor.is_unknown(i))
        }
        kept = [i for i in range(size) if i not in left_out]
        first = 1 if self.ends else 0
        self.num_categories = first + len(kept)
        self._code_of = np.zeros(size, self.dtype)
        self._code_of[kept] = np.arange(first, self.num_categories)
        self._bytes_of = [b""] * first + [self._piece_bytes(i) for i in kept]
        unknown = [first + place for place, i in enumerate(kept) if processor.is_unknown(i)]
        self._unknown_code = unknown[0] if unknown else None
        # A model that was trained elsewhere may put a space before every text.
        self._has_prefix = processor.decode(processor.encode("a")) == "a" and self._first_bytes("a").startswith(b" ")
        names = [f"<0x{byte:02X}>" for byte in SPACE_MARK.encode()]
        self._bytes_of_mark = [processor.piece_to_id(name) for name in names] if bytes_fall_back else None

    def _first_bytes(self, text: str) -> bytes:
        ids = self._processor.encode(text)
        return self._piece_bytes(ids[0]) if ids else b""

    def _piece_bytes(self, piece_id: int) -> bytes:
        piece = self._processor.id_to_piece(piece_id)
        if self._processor.is_byte(piece_id):
            return bytes([int(piece[3:5], 16)])
        if self._processor.is_unknown(piece_id):
            return UNKNOWN_TEXT.encode()
        return str(piece).replace(SPACE_MARK, " ").encode("utf-8", "replace")


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    """Texts as the trainer takes them: no longer than it allows, and without the characters that it reserves."""
    total = 0
    for text in texts:
        for part in re.split(f"[\0\t\n\r{SPACE_MARK}]", text):
            # A character has up to four bytes.
            step = MAX_SENTENCE_BYTES // 4
            for sentence in (part[start : start + step] for start in range(0, len(part), step)):
                whole = sentence.encode("utf-8", "ignore")
                total += len(whole)
                yield whole.decode()
        if total >= MAX_TRAINING_BYTES:
            return


def _train(sentences: list[str], model_type: str, vocabulary_size: int | None) -> bytes:
    wanted = DEFAULT_VOCABULARY_SIZE if vocabulary_size is None else vocabulary_size
    try:
        return _train_once(sentences, model_type, wanted, exact=vocabulary_size is not None)
    except RuntimeError as error:
        message = str(error)
    least = re.search(r"smaller than required_chars\. (\d+) vs (\d+)", message)
    if least is not None and vocabulary_size is None:
        return _train_once(sentences, model_type, int(least[2]) + DEFAULT_VOCABULARY_SIZE // 2, exact=False)
    if least is not None:
        raise InputError(
            f"vocabulary_size must be at least {least[2]} for these data (256 bytes and every character), got {wanted}"
        )
    most = re.search(r"set it to a value <= (\d+)", message)
    if most is not None:
        raise InputError(f"vocabulary_size must be at most {most[1]} for these data, got {wanted}")
    if model_type == "char":
        raise InputError(f"vocabulary_size is too small for the 256 bytes and the characters of the data: {wanted}")
    raise InputError(f"SentencePiece cannot be trained on these data: {' '.join(message.split())}")


def _train_once(sentences: list[str], model_type: str, vocabulary_size: int, exact: bool) -> bytes:
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=written,
        model_type=model_type,
        vocab_size=vocabulary_size,
        hard_vocab_limit=exact and model_type != "char",
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
        num_threads=1,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        max_sentence_length=MAX_SENTENCE_BYTES + 1,
        minloglevel=2,
    )
    return written.getvalue()
