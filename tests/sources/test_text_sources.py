"""Text data: embedded, files, units, layouts, what is held out, and what is refused."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bgan_discrete.codecs import CharacterCodec, TextCodecOptions
from bgan_discrete.errors import InputError
from bgan_discrete.sources import code_store, dataset_rows, describe, holdout, load_text
from bgan_discrete.sources import text as text_source
from bgan_discrete.sources.arithmetic import equations
from bgan_discrete.sources.code_store import CodeStore
from bgan_discrete.sources.data import load_data, save_data
from bgan_discrete.sources.storage import count_repeats

PAD, WINDOW = TextCodecOptions(length=8), TextCodecOptions(length=8, ends=False)


def write(folder: Path, content: str | bytes, name: str = "text.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(count: int = 200) -> list[str]:
    return [f"line {number} of it" for number in range(count)]


def test_every_equation_is_true_and_occurs_once() -> None:
    every = equations()
    assert len(set(every)) == len(every) == 6480
    assert "17+25=42" in every
    for text in every:
        left, right = text.split("=")
        a, b = (int(part) for part in left.replace("-", "+").split("+"))
        assert int(right) == (a + b if "+" in left else a - b)
        assert all(10 <= number <= 99 for number in (a, b, int(right)))


def test_the_embedded_texts() -> None:
    data = load_text("arithmetic", layout="window", codec=WINDOW)
    texts = data.codec.decode(data.codes) + data.codec.decode(data.heldout_codes)
    assert sorted(texts) == sorted(equations())
    assert 500 < len(data.heldout_codes) < 800
    docs = load_text("python-docs", codec=TextCodecOptions(length=32))
    assert len(docs.codes) > 500
    assert docs.counts["unknown"] == 0
    assert docs.digest != data.digest


def test_lines_are_split_without_overlap_and_copies_stay_together(tmp_path: Path) -> None:
    path = write(tmp_path, "\n".join(lines() + lines()) + "\n")
    data = load_text(path, codec=TextCodecOptions(length=20), holdout=0.3)
    training, heldout = (data.codec.decode(part) for part in (data.codes, data.heldout_codes))
    assert sorted(training + heldout) == sorted(lines() * 2)
    assert not set(training) & set(heldout)
    assert data.counts["repeated"] == len(training) / 2
    assert data.counts["leaked"] == 0
    again = load_text(path, codec=TextCodecOptions(length=20), holdout=0.3)
    assert again.digest == data.digest
    assert np.array_equal(again.codes, data.codes)
    other = load_text(path, codec=TextCodecOptions(length=20), holdout=0.3, seed=1)
    assert set(other.codec.decode(other.heldout_codes)) != set(heldout)
    said = describe(data)
    assert "training samples repeat earlier ones" in said
    assert "200 training" not in said
    assert re.search(r"documents: +\d+ of up to \d+ tokens", said)


def held_out(folder: Path, some: list[str], **options: Any) -> tuple[list[str], list[str], str]:
    """What is trained on, what is held out, and where it comes from, in words."""
    data = load_text(write(folder, "\n".join(some)), codec=TextCodecOptions(length=20), **options)
    return data.codec.decode(data.codes), data.codec.decode(data.heldout_codes), data.heldout_source


@pytest.mark.parametrize("kinds", [3, holdout.FEW_DOCUMENTS - 1])
def test_of_few_different_lines_some_of_each_are_held_out(kinds: int, tmp_path: Path) -> None:
    some = lines(kinds) * 20
    training, heldout, source = held_out(tmp_path, some)
    assert source == "10% of the documents, one by one"
    assert sorted(training + heldout) == sorted(some)
    assert len(heldout) == round(0.1 * len(some)) and set(training) == set(some)
    assert held_out(tmp_path, some)[1] == heldout
    assert held_out(tmp_path, some, seed=1)[1] != heldout
    assert len(held_out(tmp_path, some, limit=30)[1]) == 3


def test_copies_stay_together_where_they_are_not_the_rule(tmp_path: Path) -> None:
    kinds = [f"{number:07b}" for number in range(100)]
    often = [*kinds[:5], *["1111111"] * 20]
    for some in (kinds[:99] + kinds[:1], kinds[:12], kinds[:12] * 9, kinds * 20, often):
        for seed in range(5):
            training, heldout, source = held_out(tmp_path, some, seed=seed)
            assert source == "10% of the documents, by their content"
            assert not set(training) & set(heldout) and len(heldout) >= 2
            assert sorted(training + heldout) == sorted(some)
            assert len(some) > 500 or len(heldout) <= max(9, 0.1 * len(some))
        assert len({tuple(held_out(tmp_path, some, seed=seed)[1]) for seed in range(5)}) > 1


def test_the_end_of_a_single_line_is_held_out(tmp_path: Path) -> None:
    line = "".join(f"{number:04d}" for number in range(500))
    for unit in ("line", "text", "paragraph"):
        data = load_text(write(tmp_path, line), layout="window", unit=unit, codec=WINDOW)
        assert data.codec.decode(data.codes) == [line[8 * i : 8 * i + 8] for i in range(225)]
        assert data.codec.decode(data.heldout_codes) == [line[1800 + 8 * i : 1808 + 8 * i] for i in range(25)]
        assert data.heldout_source == "the last 10% of the document" and data.counts["documents"] == 1
    lines_of_three = "\n".join([line, line[:1000], line[1000:]])
    data = load_text(write(tmp_path, lines_of_three), layout="window", codec=WINDOW)
    assert data.heldout_source == "the last 10% of each document" and data.counts["documents"] == 3
    assert (len(data.codes), len(data.heldout_codes)) == (225 + 112 + 112, 25 + 12 + 12)
    with pytest.raises(InputError, match="a document is a line, and layout 'window' cuts long ones"):
        load_text(write(tmp_path, line), codec=PAD)


def test_a_table_given_as_text_is_told_where_its_columns_are_learnt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("rows.csv", "rows.txt"):
        caplog.clear()
        load_text(write(tmp_path, "\n".join(lines()), name), codec=TextCodecOptions(length=20))
        assert ("train_array.py" in caplog.text) == (name == "rows.csv")


def test_units_and_layouts(tmp_path: Path) -> None:
    text = "one two\nthree\n\n  \nfour\r\nfive six seven\n" * 40
    path, other = write(tmp_path, text), write(tmp_path, "x y z\n\n" * 9, "other.txt")
    wide = TextCodecOptions(length=40)
    found = load_text(path, codec=wide, heldout=other)
    assert set(found.codec.decode(found.codes)) == {"one two", "three", "four", "five six seven"}
    assert found.heldout_source == f"file {str(other)!r}"
    assert found.counts["heldout_unknown"] == 9 * 2  # y and z; x stands in "six"
    found = load_text(path, unit="paragraph", codec=wide, heldout=other)
    assert set(found.codec.decode(found.codes)) >= {"one two\nthree", "four\nfive six seven\none two\nthree"}
    found = load_text(
        path, unit="text", layout="window", codec=WINDOW, heldout=write(tmp_path, "abcdefgh" * 3, "h.txt")
    )
    running = text.replace("\r\n", "\n").rstrip("\n")
    assert "".join(found.codec.decode(found.codes)) == running[: len(running) // 8 * 8]
    found = load_text(path, layout="window", codec=WINDOW, heldout=write(tmp_path, "abcdefghijklmnopq\n", "h.txt"))
    assert set(found.codec.decode(found.codes)) == {"five six"}
    assert found.codec.decode(found.heldout_codes)[0].count("\ufffd") > 0
    assert found.counts["left_out"] == 40 * 3


def test_long_lines_are_cut_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "\n".join(lines()))
    data = load_text(path, codec=PAD)
    assert data.counts["cut"] == 200
    assert set(data.codec.lengths(data.codes)) == {8}


def test_what_fills_a_sample_exactly_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path, "\n".join(f"{number:07}{end}" for number in range(50) for end in ("", "x", "xy")))
    data = load_text(path, codec=PAD)
    assert (data.counts["documents"], data.counts["cut"]) == (150, 50)
    data = load_text(path, codec=WINDOW, layout="window")
    assert (len(data.codes) + len(data.heldout_codes), data.counts["left_out"]) == (100, 50)


def test_the_vocabulary_is_that_of_the_training_documents_alone(tmp_path: Path) -> None:
    every = [chr(0x4E00 + number) * 3 for number in range(80)]
    data = load_text(write(tmp_path, "\n".join(every)), codec=PAD, limit=60, holdout=0.3)
    assert isinstance(data.codec, CharacterCodec)
    training = data.codec.decode(data.codes)
    assert set(training) < set(every[:60])
    assert set(data.codec.vocabulary) == set("".join(training))
    assert data.counts["heldout_unknown"] == 3 * len(data.heldout_codes)


def test_the_digest_knows_where_a_document_ends(tmp_path: Path) -> None:
    judged = write(tmp_path, "ab\nabc\n", "judged.txt")
    found = {
        load_text(write(tmp_path, text), codec=PAD, heldout=judged).digest
        for text in ("ab\nc\nabc", "a\nbc\nabc", "ab\nca\nbc", "ab\nc\nabc\n")
    }
    assert len(found) == 3, "three ways to cut one text, one of them twice"


def test_a_byte_order_mark_and_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + "\n".join(lines()).encode())
    data = load_text(path, codec=TextCodecOptions(length=20), limit=50)
    assert data.counts["documents"] == 50
    assert "\ufeff" not in "".join(data.codec.decode(data.codes))


def test_the_codec_of_a_model_is_used_as_it_is(tmp_path: Path) -> None:
    codec = CharacterCodec(8).fit(["abc"])
    data = load_text(write(tmp_path, "\n".join(lines())), codec=codec)
    assert data.codec is codec
    assert data.counts["unknown"] > 0
    with pytest.raises(InputError, match="layout must be pad"):
        load_text("arithmetic", layout="window", codec=codec)


def test_texts_in_memory_are_those_of_a_file(tmp_path: Path) -> None:
    lines = [f"line {n} of {n * n}" for n in range(60)]
    (tmp_path / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    codec = TextCodecOptions("char", length=16)
    given, read = load_text(lines, codec=codec), load_text(tmp_path / "lines.txt", codec=codec)
    assert given.name == "60 texts in memory"
    assert given.digest == read.digest
    assert np.array_equal(given.codes, read.codes)
    assert np.array_equal(given.heldout_codes, read.heldout_codes)
    other = load_text(lines[:50], heldout=lines[50:], codec=codec)
    assert (len(other.codes), len(other.heldout_codes), other.heldout_source) == (50, 10, "texts in memory")
    halves = ["\n".join(lines[:30]), "\n".join(lines[30:])]
    assert load_text(halves, codec=codec).digest == read.digest, "a text is cut into its lines"
    for texts, words in (
        (["a", 3], "dataset must hold texts alone, got int as text 1"),
        (["a", "b\0"], "text 1 holds a NUL"),
        (b"ab", "got int as text 0"),
        (5, "dataset must be a name, a path or a list of texts, got int"),
        ({"text": lines}, "dataset must be a list of texts, got dict"),
        (type("DataFrame", (list,), {"columns": ["text"]})(lines), "dataset must be a list of texts, got DataFrame"),
        ([], "'0 texts in memory' has no documents"),
    ):
        with pytest.raises(InputError, match=words):
            load_text(texts, codec=codec)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="streaming is for data sets of the Hub"):
        load_text(lines, codec=codec, streaming=True)


def test_a_file_of_blanks_has_no_documents(tmp_path: Path) -> None:
    for unit in ("line", "paragraph", "text"):
        with pytest.raises(InputError, match="no documents to train on: it is empty, holds blank lines only"):
            load_text(write(tmp_path, "   \n" * 20), unit=unit, layout="window", codec=WINDOW)


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path, "\n".join(lines()), "good.txt")
    latin = write(tmp_path, "caf\u00e9\nfine\ncaf\u00e9".encode("latin-1"), "latin.txt")
    for arguments, words in (
        ({"dataset": write(tmp_path, "", "empty.txt")}, "no documents to train on"),
        ({"dataset": write(tmp_path, "\n \n", "blank.txt")}, "no documents to train on"),
        ({"dataset": write(tmp_path, "one", "one.txt")}, "at least 2 are needed"),
        ({"dataset": latin}, r"not UTF-8: byte 0xe9 at offset 3 \(line 1\)"),
        ({"dataset": tmp_path}, "is a folder"),
        ({"dataset": tmp_path / "absent.txt"}, "neither"),
        ({"dataset": "absent.txt"}, "neither"),
        ({"dataset": "nobody/nothing"}, "nobody/nothing"),
        ({"dataset": good, "heldout": tmp_path / "absent.txt"}, "heldout .* does not exist"),
        ({"dataset": good, "unit": "word"}, "unit"),
        ({"dataset": good, "layout": "fill"}, "layout"),
        ({"dataset": good, "limit": 0}, "limit"),
        ({"dataset": good, "holdout": 1.0}, "holdout"),
        ({"dataset": good, "seed": -1}, "seed"),
        ({"dataset": good, "layout": "window", "codec": TextCodecOptions(length=99, ends=False)},
         "longest document has 14 tokens, but a window has length = 99"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words) as caught:
            load_text(**{"codec": PAD, **arguments})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("in_memory_bytes", [0, 50, 10**6])
def test_codes_beyond_a_size_go_to_disk(in_memory_bytes: int) -> None:
    rows = np.random.default_rng(0).integers(300, size=(40, 3)).astype(np.int16)
    store = CodeStore(3, rows.dtype, in_memory_bytes)
    for start in range(0, 40, 7):
        store.add(rows[start : start + 7])
    found = store.finish()
    assert isinstance(found, np.memmap) == (in_memory_bytes < 10**6)
    assert found.dtype == rows.dtype
    assert np.array_equal(found, rows)


def test_data_on_disk_are_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "\n".join(lines()))
    in_memory = load_text(path, codec=PAD)
    monkeypatch.setattr(code_store.CodeStore.__init__, "__defaults__", (100,))
    on_disk = load_text(path, codec=PAD)
    assert isinstance(on_disk.codes, np.memmap)
    assert np.array_equal(on_disk.codes, in_memory.codes)
    assert np.array_equal(on_disk.heldout_codes, in_memory.heldout_codes)
    assert (on_disk.digest, on_disk.counts) == (in_memory.digest, in_memory.counts)
    assert describe(on_disk) == describe(in_memory)


def test_a_full_disk_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(InputError, match="set TMPDIR to a folder with more room"):
        CodeStore(3, np.dtype(np.uint8), 0).add(np.zeros((1, 3), np.uint8))


@pytest.mark.parametrize("rows_at_once", [7, 4096])
def test_repeats_are_counted_as_by_sets(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr("bgan_discrete.sources.storage.ROWS_AT_ONCE", rows_at_once)
    rng = np.random.default_rng(0)
    training, heldout = (rng.integers(3, size=(count, 4)).astype(np.uint8) for count in (60, 50))
    rows = set(map(bytes, training))
    assert count_repeats(training, heldout) == (60 - len(rows), sum(bytes(row) in rows for row in heldout))


def hub_rows(folder: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    """A data set of JSON lines in the place of the Hub's answer."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "cache"))
    import datasets

    content = "".join(json.dumps({"id": number, "words": text}) + "\n" for number, text in enumerate(lines()))
    files = {"train": str(write(folder, content, "rows.jsonl"))}
    loaded = datasets.load_dataset("json", data_files=files, streaming=streaming, cache_dir=str(folder / "cache"))

    def load(name: str, asked_to_stream: bool, revision: str | None) -> Any:
        assert (name, asked_to_stream) == ("owner/name", streaming)
        return dataset_rows.HubSplits(loaded)

    monkeypatch.setattr(text_source, "load_hub", load)


@pytest.mark.parametrize("limit", [None, 50])
def test_a_stream_gives_what_a_download_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    found = []
    for streaming in (False, True):
        hub_rows(tmp_path, monkeypatch, streaming)
        found.append(load_text("owner/name", codec=PAD, streaming=streaming, limit=limit))
    assert found[0].counts["documents"] == (limit or 200)
    assert np.array_equal(found[0].codes, found[1].codes)
    assert found[0].digest == found[1].digest


def test_what_streaming_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dataset in ("arithmetic", write(tmp_path, "a\nb")):
        with pytest.raises(InputError, match="streaming is for data sets of the Hub"):
            load_text(dataset, codec=PAD, streaming=True)
    hub_rows(tmp_path, monkeypatch, streaming=True)
    with pytest.raises(InputError, match="column must be one of words"):
        load_text("owner/name", codec=PAD, streaming=True, column="text")


def test_a_stream_is_fitted_on_its_first_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_rows(tmp_path, monkeypatch, streaming=True)
    monkeypatch.setattr(text_source, "STREAM_FIT_DOCUMENTS", 1)
    data = load_text("owner/name", codec=PAD, streaming=True)
    assert data.counts["documents"] == 200
    assert data.counts["unknown"] > 0, "digits that the first document does not hold"


def test_a_stream_that_breaks_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def rows() -> Iterator[dict[str, str]]:
        yield {"words": "one line"}
        raise ConnectionError("the other side went away")

    features = datasets.Features({"words": datasets.Value("string")})
    stream = datasets.IterableDataset.from_generator(rows, features=features)
    monkeypatch.setattr(text_source, "load_hub", lambda name, streaming, revision: dataset_rows.HubSplits(train=stream))
    with pytest.raises(InputError, match=r"cannot be read to its end: .*went away"):
        load_text("owner/name", codec=PAD, streaming=True)


def test_a_column_of_texts_is_read_from_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"n": number, "words": text} for number, text in enumerate(lines())]
    json_lines = "".join(json.dumps(row) + "\n" for row in rows)
    cells = "".join(f"{number},{text}\n" for number, text in enumerate(lines()))
    expected = load_text(lines(), codec=TextCodecOptions(length=20))
    for name, content, column in (
        ("t.jsonl", json_lines, None), ("t.JSONL", json_lines, "words"), ("t.json", json.dumps(rows), None),
        ("t.json", json.dumps(lines()), None), ("t.ndjson", "\ufeff" + json_lines.replace("\n", "\r\n\n"), None),
        ("t.csv", "n,words\n" + cells, "words"), ("t.tsv", "n\twords\n" + cells.replace(",", "\t"), "words"),
    ):  # fmt: skip
        found = load_text(write(tmp_path, content, name), codec=TextCodecOptions(length=20), column=column)
        assert found.digest == expected.digest and found.notes == ()
    assert "is read as the texts of its only column of strings, 'words'" in caplog.text
    judged = write(tmp_path, json_lines, "h.jsonl")
    for dataset in (write(tmp_path, "\n".join(lines())), lines(), "arithmetic", judged):
        for column in (None, "words"):
            found = load_text(dataset, codec=PAD, heldout=judged, column=column)
            assert len(found.heldout_codes) == 200
    missing = '{"n": 1}\n{"words": null}\n{"words": "  "}\n'
    notes = load_text(write(tmp_path, json_lines + missing, "t.jsonl"), codec=TextCodecOptions(length=20)).notes
    assert [note.split(" of dataset")[0] for note in notes] == ["2 of 203 rows", "1 of 201 lines"]
    assert "('row 200', 'row 201'): they have no text" in notes[0]


@pytest.mark.parametrize(
    ("name", "content", "column", "words"),
    [
        ("t.jsonl", '{"a": "x", "b": "y"}\n' * 9, None, "column must be given for .*: a, b"),
        ("t.jsonl", '{"a": "x", "b": null}\n' * 9, None, "column must be given for .*: a, b"),
        ("t.jsonl", '{"a": "x", "b": 1}\n' * 9, "b", "must be one of a of .*, got 'b'"),
        ("t.jsonl", '{"a": "x"}\n' * 1200 + '{"a": 5}\n', None, "row 1200 of .* must hold a text in 'a', got int"),
        ("t.jsonl", '{"a": "x"}\n' * 9 + "[]\n", None, "row 9 of .* must hold a text in 'a', got list"),
        ("t.jsonl", '{"a": "x"}\n' * 9 + "x\n", None, r"is not JSON in line 10: .*a \.txt file"),
        ("t.json", '[{"a": "x"},\n{"a": }]', None, "is not JSON in line 2"),
        ("t.jsonl", "[" * 100_000, None, "is not JSON in line 1"),
        ("t.jsonl", "a line\nand another\n", None, r"is not JSON in line 1: .*a \.txt file"),
        ("t.jsonl", '{"a": "x\\u0000"}\n' * 9, None, "row 0 of .* is damaged: 'a' holds a NUL character"),
        ("t.jsonl", '{"a": "x\\ud800"}\n' * 9, None, "row 0 of .* 'a' holds half of a surrogate pair"),
        ("t.jsonl", '{"a": "x"}\n' * 9 + '{"a": "x", "a": "y"}\n', "a", "row 9 of .* has 2 values of the key 'a'"),
        ("t.json", '[{"a": "x", "b": {}}, {"a": "x", "a": "y"}]', None, "row 1 of .* has 2 values of the key 'a'"),
        ("t.jsonl", "", "a", "no documents to train on"),
        ("t.csv", "a,b\n" + "1,x\n" * 9, "c", "must be one of a, b of .*, got 'c'"),
        ("t.csv", "a;b\n" + "1;x\n" * 9, "b", "must be one of a;b of"),
        ("t.csv", "a,b\n" + "1,x,y\n" * 9, "b", "has 3 cells in line 2, but 2 columns; quote"),
        ("t.csv", "a,b\n1,x\n\n2\n", "b", "has 1 cells in line 4, but 2 columns"),
        ("t.csv", 'a,b\n1,x\n2,"line 0 x0" tail\n', "b", "is no CSV file after line 2: .* expected after"),
        ("t.tsv", 'a\tb\n1\tx\n2\t"line\n3\ty\n4\t"z\n', "b", "is no CSV file after line 2"),
        ("t.csv", "a,a\n" + "1,x\n" * 9, "a", "two columns of one name"),
        ("t.csv", b"a,b\n1,\xff\n", "b", r"not UTF-8: byte 0xff at offset 6 \(line 2\)"),
        ("t.csv", "", "b", "cannot be read"),
        ("t.parquet", "no table", None, "cannot be read"),
        ("t.txt", "a\nb\n", "a", "column is for data sets of the Hub and .*, got 'a'"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_read_is_one_line(
    name: str, content: str | bytes, column: str | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_text(write(tmp_path, content, name), codec=PAD, column=column)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=words.replace("no documents to train on", "samples to judge by")):
        load_text(write(tmp_path, "ab\ncd\nef\n", "good.txt"), codec=PAD, column=column, heldout=tmp_path / name)


def test_quotes_and_long_cells_of_a_table_come_back(tmp_path: Path) -> None:
    texts = [*lines(), 'a "quoted" word', "x" * 200_000]
    cells = "".join(f'{number},"{text.replace(chr(34), 2 * chr(34))}"\r\n' for number, text in enumerate(texts))
    found = load_text(write(tmp_path, "\n" + "n,words\n" + cells + "\n", "t.csv"), codec=PAD, column="words")
    assert found.digest == load_text(texts, codec=PAD).digest
    assert found.notes[0].endswith("are left out ('row 202'): they have no text")


def test_a_carriage_return_at_the_end_is_data(tmp_path: Path) -> None:
    data = load_text(write(tmp_path, "ab\r\ncd\r"), codec=PAD, heldout=["ab", "cd"])
    assert data.codec.decode(data.codes) == ["ab", "cd\r"]


def test_what_is_lost_is_told_where_the_data_are_described(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "\n".join(lines()) + "\n\na longer line than all others\n")
    data = load_text(path, codec=TextCodecOptions(length=20), heldout=["line xyz", "it", "line of 1"])
    assert data.notes == (
        f"1 of 202 lines of dataset {str(path)!r} are left out ('line 201'): they are blank",
        f"1 of 201 documents of dataset {str(path)!r} change (such as 'a longer line than all others', of whose 29 "
        "tokens 20 are kept): they are longer than the length (--length)",
        "3 of 19 tokens of the held-out texts in memory are left out ('x', 'y', 'z'): the vocabulary, learnt "
        "from the training texts, lacks them (--vocabulary-size)",
    )
    assert all(f"\nnote:        {note}" in describe(data) and note in caplog.text for note in data.notes)
    other = write(tmp_path, "line xyz\n\nline of 1\n", "judged.txt")
    note = load_text(path, codec=TextCodecOptions(length=20), heldout=other).notes[2]
    assert note == f"1 of 3 lines of the held-out file {str(other)!r} are left out ('line 2'): they are blank"
    with pytest.raises(InputError, match=f"file {str(other)!r} has 1 samples to judge by; at least 2"):
        load_text(path, codec=TextCodecOptions(length=20), heldout=write(tmp_path, "line\n", "judged.txt"))
    assert "from 205 lines" in describe(data) and "--holdout" not in describe(data)
    assert "--holdout sets the share)" in describe(load_text(lines(), codec=TextCodecOptions(length=20)))
    folder = tmp_path / "shared"
    folder.mkdir()
    save_data(data, folder)
    assert load_data(folder).notes == data.notes


def test_held_out_documents_beyond_a_number_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_source, "MAX_HELDOUT_DOCUMENTS", 5)
    data = load_text(lines(), codec=TextCodecOptions(length=20), heldout=lines(6))
    assert len(data.heldout_codes) == 5
    assert data.notes == ("of texts in memory the first 5 documents alone are used",)
    assert load_text(lines(), codec=TextCodecOptions(length=20), heldout=lines(5)).notes == ()


def test_a_revision_is_for_data_of_the_hub(tmp_path: Path) -> None:
    for dataset in ("arithmetic", lines(), write(tmp_path, "a\nb\n")):
        with pytest.raises(InputError, match="revision is for data sets of the Hub"):
            load_text(dataset, codec=PAD, revision="main")
