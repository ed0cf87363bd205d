"""Conservation of text: what comes in is counted, what is kept is counted, and every difference is reported.

Each property is a function of a case, so that a proof can put an old fault back and see it fail.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bgan_discrete.codecs import CharacterCodec, SentencePieceCodec, TextCodec, TextCodecOptions
from bgan_discrete.sources import describe, load_text, text_files

SHORT_AND_LONG = pytest.mark.parametrize("examples", [100, pytest.param(1000, marks=pytest.mark.long)])

# Letters that are often mistaken for line breaks, blanks, marks of a codec or syntax of a file.
ODD = "ab é,\";\t\r\n\x0b\x0c\x1c\x85\u2028\u2029\ufeff\ufffd\u2581\u00a0\ufb01\uff21\U0001f642'\\{}[]"
TEXT = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TEXTS = st.lists(TEXT, min_size=4, max_size=30)

# More than a file's own documents, so that both parts have some whatever the case is.
ENOUGH = [f"document {number} of these" for number in range(12)]
LENGTH = 30


def write_lines(path: Path, texts: Sequence[str]) -> Path:
    path = path.with_suffix(".txt")
    path.write_bytes("".join(f"{text}\n\n" for text in texts).encode())
    return path


def write_json_lines(path: Path, texts: Sequence[str]) -> Path:
    path = path.with_suffix(".jsonl")
    rows = ({"n": number, "words": text} for number, text in enumerate(texts))
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=number % 2 == 0) + "\n" for number, row in enumerate(rows)),
        encoding="utf-8",
    )
    return path


def write_json_array(path: Path, texts: Sequence[str]) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps([{"words": text} for text in texts], indent=1), encoding="utf-8")
    return path


def write_csv(path: Path, texts: Sequence[str]) -> Path:
    path = path.with_suffix(".csv")
    frame = pandas.DataFrame({"n": range(len(texts)), "words": texts})
    # Quoted as a whole: pandas itself leaves a carriage return bare.
    frame.to_csv(path, index=False, quoting=1, lineterminator="\n")
    return path


def write_parquet(path: Path, texts: Sequence[str]) -> Path:
    path = path.with_suffix(".parquet")
    table = pyarrow.table({"n": list(range(len(texts))), "words": list(texts)})
    pyarrow.parquet.write_table(table, path, row_group_size=7)
    return path


def as_list(path: Path, texts: Sequence[str]) -> list[str]:
    return list(texts)


Writer = Callable[[Path, Sequence[str]], Any]
WRITERS: dict[str, Writer] = {
    "lines": write_lines, "jsonl": write_json_lines, "json": write_json_array, "csv": write_csv,
    "parquet": write_parquet, "list": as_list,
}  # fmt: skip


def documents_of(texts: Sequence[str], unit: str) -> list[str]:
    """What the documents are, in the plainest way."""
    found = []
    for text in texts:
        lines = [line.removesuffix("\r") if more else line for line, more in cut(text)]
        if unit == "line":
            found += lines
        elif unit == "text":
            found.append("\n".join(lines))
        else:
            found += ["\n".join(part) for part in paragraphs(lines)]
    return [document for document in found if document.strip()]


def cut(text: str) -> list[tuple[str, bool]]:
    *lines, last = text.split("\n")
    return [(line, True) for line in lines] + [(last, False)]


def paragraphs(lines: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            found[-1].append(line)
        else:
            found.append([])
    return found


def counted(notes: Sequence[str], words: str) -> int:
    """The count of the note with these words; 0 where there is none."""
    found = [note for note in notes if words in note]
    assert len(found) <= 1, found
    return int(found[0].split()[0].replace(",", "")) if found else 0


def every_document_comes_back(kind: str, texts: list[str], unit: str, codec: TextCodecOptions, folder: Path) -> None:
    """Documents that are short and known come back as they were; what is no document is counted."""
    every = [*texts, *ENOUGH]
    column = {} if kind in ("lines", "list") else {"column": "words"}
    data = load_text(WRITERS[kind](folder / "text", every), unit=unit, codec=codec, heldout=["ab", "ba"], **column)
    wanted = documents_of(["".join(f"{text}\n\n" for text in every)] if kind == "lines" else every, unit)
    found = data.codec.decode(data.codes)
    lengths = [len(codes) for codes in data.codec.tokenize(wanted)]
    assert len(found) == len(wanted)
    kept = {
        document: back for document, back, length in zip(wanted, found, lengths, strict=True) if length <= codec.length
    }
    assert all(document == back for document, back in kept.items())
    assert len(set(kept.values())) == len(set(kept)), "different texts stay different"
    assert counted(data.notes, "longer than the length") == sum(length > codec.length for length in lengths)
    assert data.counts["documents"] == len(wanted) + 2
    if unit == "line":
        assert data.counts["lines"] == len(wanted) + 2 + counted(data.notes, "lines of dataset")
    assert all(f"note:        {note}" in describe(data) for note in data.notes)


CODECS = {
    "char": TextCodecOptions("char", LENGTH),
    "pieces": TextCodecOptions("sentencepiece", 3 * LENGTH),
}


@pytest.mark.parametrize("kind", WRITERS)
@SHORT_AND_LONG
def test_every_document_of_every_kind_of_file_comes_back(kind: str, examples: int, tmp_path: Path) -> None:
    @settings(max_examples=examples // 5, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts=TEXTS, unit=st.sampled_from(["line", "paragraph"]))
    def check(texts: list[str], unit: str) -> None:
        every_document_comes_back(kind, texts, unit, CODECS["char"], tmp_path)

    check()


@pytest.fixture(scope="module")
def pieces() -> SentencePieceCodec:
    return SentencePieceCodec(3 * LENGTH).fit(ENOUGH)


@SHORT_AND_LONG
def test_every_document_comes_back_from_pieces(examples: int, pieces: SentencePieceCodec, tmp_path: Path) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts=TEXTS, kind=st.sampled_from(sorted(WRITERS)))
    def check(texts: list[str], kind: str) -> None:
        every_document_comes_back(kind, texts, "line", pieces, tmp_path)  # type: ignore[arg-type]

    check()


def test_a_reader_that_cuts_at_other_line_breaks_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def units(lines: Any, unit: str, tally: Any, row: str = "") -> Any:
        yield from (part for line in lines for part in line.splitlines() if part.strip())

    monkeypatch.setattr(text_files, "_units", units)
    with pytest.raises(AssertionError):
        every_document_comes_back("list", ["a\u2028b"], "line", CODECS["char"], tmp_path)


def test_values_that_pandas_takes_for_missing_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every_document_comes_back("csv", ["NA", "null", "007", "1.0"], "line", CODECS["char"], tmp_path)

    def as_usual(path: Path, named: str) -> Any:
        yield from pandas.read_csv(path, dtype=str).replace({float("nan"): None}).to_dict("records")

    monkeypatch.setattr(text_files, "csv_rows", as_usual)
    with pytest.raises(AssertionError):
        every_document_comes_back("csv", ["NA", "null", "007", "1.0"], "line", CODECS["char"], tmp_path)


def a_blank_is_counted(texts: list[str], unit: str) -> None:
    """Rows and lines that hold nothing, and rows without a text, are counted with their places."""
    data = load_text([*texts, "", "  ", *ENOUGH], unit=unit, codec=CODECS["char"], heldout=["ab", "ba"])
    rows = [*texts, "", "  "]
    if unit == "line":
        blank = sum(not line.strip() for text in rows for line in text.removesuffix("\n").split("\n"))
        assert counted(data.notes, "they are blank") == blank
        assert data.counts["lines"] - blank == data.counts["documents"]
    else:
        assert counted(data.notes, "they are blank") == sum(not text.strip() for text in rows)


@SHORT_AND_LONG
def test_blanks_are_counted(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(texts=TEXTS, unit=st.sampled_from(["line", "paragraph"]))
    def check(texts: list[str], unit: str) -> None:
        a_blank_is_counted(texts, unit)

    check()


def test_blanks_that_are_not_counted_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lose = text_files.Tally.lose
    monkeypatch.setattr(
        text_files.Tally, "lose", lambda self, kind, *more: None if kind == "blank" else lose(self, kind, *more)
    )
    with pytest.raises(AssertionError):
        a_blank_is_counted(["a"], "line")


def windows_add_up(texts: list[str], length: int) -> None:
    """Every token of every document is in a window, in a rest, or in a document that is too short."""
    every = [*texts, "".join(ENOUGH)]
    codec = TextCodecOptions("char", length, ends=False)
    data = load_text(every, layout="window", codec=codec, heldout=["abcdefgh" * 8])
    documents = documents_of(every, "line")
    short = [document for document in documents if len(document) < length]
    rest = sum(len(document) % length for document in documents if len(document) >= length)
    assert counted([n for n in data.notes if "held-out" not in n], "shorter than a window") == len(short)
    assert counted([n for n in data.notes if "held-out" not in n], "fill no window") == rest
    assert data.codes.size + rest + sum(map(len, short)) == sum(map(len, documents))
    whole = ["".join(document[: len(document) // length * length]) for document in documents]
    assert "".join(data.codec.decode(data.codes)) == "".join(whole)


@SHORT_AND_LONG
def test_windows_add_up(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(texts=TEXTS, length=st.integers(2, 12))
    def check(texts: list[str], length: int) -> None:
        windows_add_up(texts, length)

    check()


def test_a_rest_that_is_not_counted_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text_files.LOSSES, "rest", ("tokens", "nothing"))
    with pytest.raises(AssertionError):
        windows_add_up(["abcde"], 4)


def unknown_characters_are_named(texts: list[str], limit: int, codec: TextCodec | None = None) -> None:
    """Characters that the vocabulary lacks are counted, in both parts; without a note all texts come back."""
    options = codec or TextCodecOptions("char", 200, vocabulary_size=limit)
    data = load_text([*texts, *ENOUGH], heldout=[*texts, "zq", "ab"], codec=options)
    wanted = documents_of([*texts, *ENOUGH], "line"), documents_of([*texts, "zq", "ab"], "line")
    for part, codes, documents in zip(
        ("dataset", "the held-out"), (data.codes, data.heldout_codes), wanted, strict=True
    ):
        notes = [note for note in data.notes if f"tokens of {part}" in note]
        lacking = [
            letter
            for text in documents
            for letter in text
            if data.codec.is_unknown(data.codec.tokenize([letter])[0]).any()
        ]
        differs = data.codec.decode(codes) != documents
        if {*lacking} - {"\ufffd"}:
            assert differs
            assert counted(notes, "the vocabulary") == len(lacking)
            assert any(repr(letter) in notes[0] for letter in lacking)
        else:
            assert not differs


@SHORT_AND_LONG
def test_unknown_characters_are_named(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(texts=TEXTS, limit=st.integers(3, 60))
    def check(texts: list[str], limit: int) -> None:
        unknown_characters_are_named(texts, limit)

    check()


def test_unknown_characters_that_are_not_named_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CharacterCodec, "is_unknown", lambda self, codes: codes < 0)
    with pytest.raises(AssertionError):
        unknown_characters_are_named(["xyz"], 3, CharacterCodec(200, vocabulary="ab"))


@pytest.fixture(scope="module")
def normalising(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model as SentencePiece trains it by default: NFKC, a space in front, several spaces as one."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("model")
    (folder / "lines.txt").write_text("\n".join(ENOUGH * 3 + [chr(33 + n) for n in range(94)]), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"), model_prefix=str(folder / "m"), vocab_size=130, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    return str(folder / "m.model")


def a_given_model_reports_what_it_changes(texts: list[str], codec: SentencePieceCodec) -> None:
    data = load_text([*texts, *ENOUGH], heldout=["a cat", "b"], codec=codec)
    wanted = documents_of([*texts, *ENOUGH], "line")
    found = [codec.detokenize(codes) for codes in codec.tokenize(wanted)]
    unknown = [bool(codec.is_unknown(codes).any()) for codes in codec.tokenize(wanted)]
    pairs = list(zip(wanted, found, unknown, strict=True))
    normalised = sum(before != after and not lacks for before, after, lacks in pairs)
    assert counted(data.notes, "SentencePiece model writes them so") == normalised
    notes = [note for note in data.notes if "the vocabulary" in note]
    assert len(notes) == any(before != after and lacks for before, after, lacks in pairs)


@SHORT_AND_LONG
def test_a_given_model_reports_what_it_changes(examples: int, normalising: str) -> None:
    codec = SentencePieceCodec.from_model_file(normalising, 100)
    a_given_model_reports_what_it_changes(["two  spaces", "\ufb01ne", "fine", "\uff21"], codec)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts=TEXTS)
    def check(texts: list[str]) -> None:
        a_given_model_reports_what_it_changes(texts, codec)

    check()


def test_normalisation_that_is_not_told_would_be_found(normalising: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(text_files.LOSSES, "normalised")
    with pytest.raises(AssertionError):
        a_given_model_reports_what_it_changes(["two  spaces"], SentencePieceCodec.from_model_file(normalising, 100))
