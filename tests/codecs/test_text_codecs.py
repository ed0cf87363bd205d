"""Codecs of text: round trips of any Unicode, vocabularies, files."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgan_discrete.codecs import CharacterCodec, SentencePieceCodec, TextCodec, TextCodecOptions, load_codec
from bgan_discrete.codecs.characters import UNKNOWN_CHARACTER
from bgan_discrete.errors import InputError

TEXTS = [f"the {a} {b} is here, and a {b} too" for a in ("red", "blue", "old", "new") for b in ("cat", "dog", "bird")]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(scope="module", params=["unigram", "bpe", "char"])
def pieces(request: pytest.FixtureRequest) -> SentencePieceCodec:
    return SentencePieceCodec(400, model_type=request.param).fit(TEXTS)


@settings(max_examples=300, deadline=None)
@given(text=ANY_TEXT)
def test_pieces_give_any_text_back(pieces: SentencePieceCodec, text: str) -> None:
    assert pieces.decode(pieces.encode([text])) == [text]


@pytest.mark.parametrize(
    "text", ["", " ", "  a  b ", "\u2581", "a\u2581b", "\0\t\n\r", "\U0001f642\u200d", "\ufffd", "\ufeff"]
)
def test_pieces_give_the_awkward_back(pieces: SentencePieceCodec, text: str) -> None:
    assert pieces.decode(pieces.encode([text, TEXTS[0]])) == [text, TEXTS[0]]


@settings(max_examples=300, deadline=None)
@given(text=ANY_TEXT, other=ANY_TEXT)
def test_characters_give_back_what_the_vocabulary_covers(text: str, other: str) -> None:
    codec = CharacterCodec(100).fit([text, "x"])
    assert codec.decode(codec.encode([text])) == [text]
    known = set(text) | {"x"}
    marked = "".join(character if character in known else UNKNOWN_CHARACTER for character in other)
    assert codec.decode(codec.encode([other])) == [marked]
    (codes,) = codec.tokenize([other])
    assert codec.is_unknown(codes).tolist() == [character not in known for character in other]


def test_the_commonest_characters_come_first_and_the_rest_is_unknown() -> None:
    codec = CharacterCodec(4, max_categories=4).fit(["aab", "aabc"])
    assert (codec.vocabulary, codec.num_categories, codec.end_id, codec.unknown_id) == ("ab", 4, 0, 1)
    assert codec.encode(["abc", "aaaaaaa", ""]).tolist() == [[2, 3, 1, 0], [2, 2, 2, 2], [0, 0, 0, 0]]
    assert CharacterCodec(4, min_count=2).fit(["aabbc"]).vocabulary == "ab"
    windows = CharacterCodec(2, ends=False).fit(["ab"])
    assert (windows.end_id, windows.unknown_id, windows.encode(["abab"]).tolist()) == (None, 0, [[1, 2]])
    with pytest.raises(InputError, match="text 0 has 1 codes"):
        windows.encode(["a"])


def test_lengths_and_dtypes() -> None:
    codec = CharacterCodec(3).fit(["abc"])
    assert codec.lengths(codec.encode(["", "a", "abc"])).tolist() == [0, 1, 3]
    wide = CharacterCodec(3).fit(["".join(map(chr, range(0x4E00, 0x4E00 + 600)))])
    assert (codec.dtype, wide.dtype) == (np.uint8, np.int16)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("kind", ["characters", "pieces"])
def test_saved_codecs_come_back(tmp_path: Path, kind: str, ends: bool) -> None:
    codec: TextCodec = CharacterCodec(8, ends) if kind == "characters" else SentencePieceCodec(8, ends)
    codec.fit(TEXTS)
    codec.save(tmp_path / "codec.json")
    again = load_codec(tmp_path / "codec.json")
    assert isinstance(again, TextCodec)
    assert again.fingerprint() == codec.fingerprint()
    assert np.array_equal(again.encode(TEXTS), codec.encode(TEXTS))
    assert again.decode(codec.encode(TEXTS)) == codec.decode(codec.encode(TEXTS))
    document = json.loads((tmp_path / "codec.json").read_text(encoding="utf-8"))
    for edit in ({"length": 0}, {"ends": "yes"}, {"length": "8"}):
        (tmp_path / "edited.json").write_text(json.dumps({**document, "codec": {**document["codec"], **edit}}))
        with pytest.raises(InputError):
            load_codec(tmp_path / "edited.json")


def test_training_pieces_is_repeatable() -> None:
    assert SentencePieceCodec(8).fit(TEXTS).model == SentencePieceCodec(8).fit(TEXTS).model


def test_a_model_file_is_taken_as_it_is(tmp_path: Path) -> None:
    import sentencepiece

    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "m"), vocab_size=27, minloglevel=2
    )
    codec = TextCodecOptions("sentencepiece", 30, model_file=str(tmp_path / "m.model")).build()
    assert codec.is_fitted
    assert codec.fit(["other"]).num_categories == codec.num_categories
    codes = codec.encode([TEXTS[0], "\u4e00"])
    assert codec.decode(codes)[0] == TEXTS[0]  # without the space that this model puts in front
    assert codec.is_unknown(codes)[1].any()
    assert UNKNOWN_CHARACTER in codec.decode(codes)[1]
    (tmp_path / "none.model").write_bytes(b"no model")
    for name, words in (("none.model", "no SentencePiece model"), ("absent.model", "cannot be read")):
        with pytest.raises(InputError, match=words):
            TextCodecOptions("sentencepiece", 30, model_file=str(tmp_path / name))


@pytest.mark.parametrize(
    ("size", "kind", "words"),
    [
        (100, "unigram", "at least"),
        (100, "bpe", "at least"),
        (100, "char", "too small"),
        (50_000, "unigram", "at most"),
        (50_000, "bpe", "at most"),
    ],
)
def test_a_vocabulary_that_the_data_cannot_make_is_refused(size: int, kind: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        SentencePieceCodec(8, model_type=kind, vocabulary_size=size).fit(TEXTS)
    assert "\n" not in str(caught.value)
    assert str(size) in str(caught.value)


def test_wrong_arguments_are_named() -> None:
    for build, words in (
        (lambda: CharacterCodec(0), "length"),
        (lambda: CharacterCodec(True), "length"),
        (lambda: CharacterCodec(4, max_categories=2), "max_categories"),
        (lambda: CharacterCodec(4, min_count=0), "min_count"),
        (lambda: CharacterCodec(4, min_count=3).fit(["ab"]), "min_count must be at most 1"),
        (lambda: CharacterCodec(4, vocabulary="aa"), "repeated"),
        (lambda: CharacterCodec(4).fit([""]), "empty"),
        (lambda: SentencePieceCodec(4).fit(["\n"]), "empty"),
        (lambda: SentencePieceCodec(4, model_type="word"), "model_type"),
        (lambda: SentencePieceCodec(4, vocabulary_size=1), "vocabulary_size"),
        (lambda: SentencePieceCodec(4).fit(TEXTS).encode(["\ud800"]), "cannot be tokenized"),
        (lambda: CharacterCodec(4).encode(["a"]), "call fit first"),
        (lambda: TextCodecOptions("words"), "tokenizer"),
        (lambda: CharacterCodec(4).fit(["a"]).decode(np.array([[7]])), "codes must lie in"),
        (lambda: CharacterCodec(4).fit(["a"]).decode(np.array([[0.5]])), "array of integers"),
    ):
        with pytest.raises(InputError, match=words):
            build()
