"""Arrays and tables from files and from memory, and the examples that a program makes."""

import datetime
import decimal
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch

from bgan_discrete import load_array
from bgan_discrete.codecs import IntegersCodec, TableCodec, codec_from_config, load_codec
from bgan_discrete.errors import InputError
from bgan_discrete.sources import describe, examples, tables
from bgan_discrete.sources.column_settings import split_names
from bgan_discrete.sources.table_files import write_table

TABLE: dict[str, list[Any]] = {
    "city": ["Lyon", "Paris", "Köln", None] * 10,
    "rooms": [1, 2, 3, 2] * 10,
    "price": [float(i) + 0.5 for i in range(40)],
    "id": list(range(40)),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    codes = np.random.default_rng(0).integers(3, 8, (50, 4))
    np.save(tmp_path / "codes.npy", codes)
    np.savez(tmp_path / "one.npz", anything=codes)
    np.savez(tmp_path / "two.npz", codes=codes, other=codes[:, :2])
    write_table(TABLE, tmp_path / "t.csv")
    write_table(TABLE, tmp_path / "t.parquet")
    write_table(TABLE, tmp_path / "t.npy")
    return tmp_path


@pytest.mark.parametrize("name", ["codes.npy", "one.npz", "two.npz"])
def test_arrays_of_integers(place: Path, name: str) -> None:
    data = load_array(place / name)
    assert isinstance(data.codec, IntegersCodec)
    assert (data.num_categories, data.event_shape, data.codes.dtype) == (5, (4,), np.uint8)
    assert (len(data.codes), len(data.heldout_codes)) == (45, 5)
    both = np.concatenate([data.codec.decode(data.codes), data.codec.decode(data.heldout_codes)])
    assert sorted(both.tolist()) == sorted(np.load(place / "codes.npy").tolist())
    assert "4, K = 5" in describe(data)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npy"])
def test_tables(place: Path, name: str) -> None:
    data = load_array(place / name, drop=["id"], bins=5, holdout=0.25)
    assert isinstance(data.codec, TableCodec)
    assert data.codec.column_names == ("city", "rooms", "price")
    assert (data.space.sizes, data.num_categories) == ((4, 3, 5), 5)
    assert (len(data.codes), len(data.heldout_codes)) == (30, 10)
    decoded = data.codec.decode(np.concatenate([data.codes, data.heldout_codes]))
    assert sorted(map(str, zip(decoded["city"], decoded["rooms"], strict=True))) == sorted(
        map(str, zip(TABLE["city"], TABLE["rooms"], strict=True))
    )
    assert "city 3 + (missing), rooms 3, price 5 bins" in describe(data)


def test_the_same_rows_give_the_same_split_and_digest_whatever_the_file(place: Path) -> None:
    found = [load_array(place / name, drop=["id"], bins=5, seed=3) for name in ("t.csv", "t.parquet")]
    assert found[0].digest == found[1].digest
    assert np.array_equal(found[0].codes, found[1].codes)
    other = load_array(place / "t.csv", drop=["id"], bins=5, seed=4)
    assert (other.digest != found[0].digest, np.array_equal(other.codes, found[0].codes)) == (True, False)
    in_memory = load_array(TABLE, drop=["id"], bins=5, seed=3)
    assert np.array_equal(in_memory.codes, found[0].codes)


def test_the_rows_of_both_parts_stay_in_their_order_and_the_share_is_rounded() -> None:
    data = load_array(np.arange(26)[:, None])
    for part, count in ((data.codes, 23), (data.heldout_codes, 3)):  # 2.6 rows of 26
        assert len(part) == count
        assert (np.diff(part[:, 0].astype(int)) > 0).all()


def test_the_digest_knows_what_the_codes_stand_for() -> None:
    one, other = (load_array({"city": ["Lyon", name] * 10}) for name in ("Paris", "Rome"))
    assert np.array_equal(one.codes, other.codes)
    assert one.digest != other.digest


def test_columns_labels_limits_and_layouts(place: Path) -> None:
    data = load_array(place / "t.csv", columns=["rooms", "city"], label_column="rooms", limit=20)
    assert data.codec.column_names == ("city",)
    assert data.class_names == ("1", "2", "3")
    assert data.labels is not None and data.heldout_labels is not None
    assert (len(data.labels), len(data.heldout_labels)) == (18, 2)
    cities = data.codec.decode(data.codes)["city"]
    rooms = {"Lyon": "1", "Paris": "2", "Köln": "3", None: "2"}
    assert [rooms[city] for city in cities] == [data.class_names[label] for label in data.labels]
    data = load_array(place / "t.csv", columns=["city"], label_column="rooms", holdout=0.5)
    assert data.heldout_labels is not None and data.class_names is not None
    cities = data.codec.decode(data.heldout_codes)["city"]
    assert [rooms[city] for city in cities] == [data.class_names[label] for label in data.heldout_labels]
    as_table = load_array(place / "codes.npy", layout="table")
    assert as_table.codec.column_names == ("column_0", "column_1", "column_2", "column_3")
    floats = load_array(np.random.default_rng(0).normal(size=(200, 3)), layout="table", bins=4)
    assert (floats.num_categories, floats.space.sizes) == (4, None)


def test_a_file_to_judge_by_and_a_codec_to_encode_with(place: Path) -> None:
    write_table({"rooms": [3, 4, 4], "city": ["Rome", "Lyon", None], "more": [1, 2, 3]}, place / "h.csv")
    data = load_array(place / "t.csv", columns=["city", "rooms"], heldout=place / "h.csv")
    assert (len(data.codes), len(data.heldout_codes)) == (40, 3)
    assert data.codec.decode(data.heldout_codes) == {"city": ["Rome", "Lyon", None], "rooms": [3, 4, 4]}
    assert "h.csv" in data.heldout_source
    again = load_array(place / "h.csv", codec=data.codec, holdout=0.5, limit=4, heldout=place / "t.csv")
    assert again.codec is data.codec
    with pytest.raises(InputError, match="column 'rooms' has the value 9 in row 1"):
        load_array({"rooms": [9, 1, 1], "city": ["Lyon"] * 3}, codec=data.codec)
    with pytest.raises(InputError, match="columns 'city' is not in the table, which has: rooms"):
        load_array({"rooms": [1, 1, 1]}, codec=data.codec)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("a,b\n1,2\n1,2,3\n", {}, "has 3 cells in line 3, but 2 columns"),
        ("a,b\n", {}, "has no rows"),
        ("", {}, "has no rows"),
        ("a,a\n1,2\n", {}, "two columns called 'a' in its header; rename one, or read it with --no-header"),
        ("a;b\n1;2\n", {}, "single column, called 'a;b': .* \\(--delimiter ';'\\), and else --delimiter ','"),
        ("a,,c\n1,2,3\n", {}, "no name for column 2"),
        ('a,b\n1,"2\n', {}, "no CSV file after line"),
        ("a,b\n1,2\n3,4\n", {"columns": ["c"]}, "columns 'c' is not in the table, which has: a, b"),
        ("a,b\n1,2\n3,4\n", {"drop": ["c"]}, "drop 'c' is not in the table, which has: a, b"),
        ("a,b\n1,2\n3,4\n", {"drop": ["a", "b"]}, "leave no column"),
        ("a,b\n1,2\n3,4\n", {"columns": "a"}, "columns must be a list of names"),
        ("a,b\n1,2\n3,4\n", {"label_column": "z"}, "label_column 'z' is not in"),
        ("a,b\n1,\n3,4\n", {"label_column": "b"}, "label_column 'b' has no value in row 1"),
        ("a,b\n1,2\n3,4\n", {"layout": "array"}, "use layout 'table'"),
        ("a,b\n1,2\n3,4\n", {"delimiter": ";;"}, "delimiter must be one character"),
        ("a,b\n1,2\n3,4\n", {"holdout": 1.0}, "holdout must be a share"),
        ("a,b\n1,2\n3,4\n", {"layout": "rows"}, "layout must be one of"),
        ("a,b\n1,2\n3,4\n", {"limit": 0}, "limit must be an integer"),
        ("a,b\n1,2\n3,4\n", {"key": "x"}, "array_key is for .npz files"),
        ("a,b\n1,2\n3,4\n", {}, "1 rows to train on and 1 to judge by"),
        (
            "a\n" + "\n".join(f"n{i}" for i in range(300)),
            {},
            "column 'a' has 300 different values in 300 rows, as ident",
        ),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said(tmp_path: Path, content: str, options: Any, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        load_array(path, **options)
    assert "\n" not in str(caught.value)


def test_a_single_column_may_hold_delimiters(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("words\n" + "a;b\nc;d\n" * 10, encoding="utf-8")
    assert load_array(path).codec.column_names == ("words",)
    path.write_text("words;more\n" + "a;b\nc;d\n" * 10, encoding="utf-8")
    assert load_array(path, delimiter=",").codec.column_names == ("words;more",)


@pytest.mark.parametrize(
    ("first", "warned"),
    [
        ("Lyon,2,410.5", True),
        ("Lyon,9,-1e3", True),
        ("9,8,7", True),
        ("city,2019,2020", False),
        ("Lyon,rooms,rent", False),
        ("0,1,2", False),
    ],
)
def test_a_first_line_of_data_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first: str, warned: bool
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{first}\n" + "Lyon,2,640\nParis,3,730\n" * 10, encoding="utf-8")
    load_array(path)
    said = "looks like data but names its columns ({}); if it is a row, read it with --no-header (header=False)"
    shown = ", ".join(map(repr, first.split(",")))
    assert [said.format(shown) in record.message for record in caplog.records] == [True] * warned
    caplog.clear()
    load_array(path, header=False)
    assert not caplog.records


def test_columns_in_memory_are_read_as_those_of_files() -> None:
    columns = {
        "kind": np.array(["a", "b"] * 10),
        "count": np.arange(20) % 3,
        "ratio": [0.5, math.nan] * 10,
        "paid": [np.bool_(True), None] * 10,
        "day": [datetime.date(2024, 5, 1), datetime.date(2024, 5, 2)] * 10,
        "said": ["yes", "NA"] * 10,
    }
    data = load_array(columns, missing=["NA"])
    assert data.codec.describe() == (
        "6 columns of categories: kind 2, count 3, ratio 1 + (missing), paid 1 + (missing), day 2, said 1 + (missing)"
    )
    for wrong in ({0: 1, 1: 2}, "abc", 3):
        with pytest.raises(InputError, match=r"must be a dictionary of columns, each a list of values, got .* for 'x'"):
            load_array({"x": wrong})  # type: ignore[dict-item]


class Frame:
    """What a data frame of any library can do."""

    def __init__(self, columns: list[Any], values: dict[Any, Any]) -> None:
        self.columns, self._values = columns, values

    def __getitem__(self, name: Any) -> Any:
        return self._values[name]


def test_data_frames_are_dictionaries_of_their_columns() -> None:
    values = {"a": np.arange(20) % 3, "b": ["x", None] * 10}
    data = load_array(Frame(["b", "a"], values), seed=3)
    assert data.codec.column_names == ("b", "a")
    assert np.array_equal(data.codes[:, ::-1], load_array(values, seed=3).codes)
    arrow = load_array(pyarrow.table({"a": [1, 2] * 10}), heldout=Frame(["a"], {"a": [1, 2]}))
    assert arrow.codec.describe() == "1 column of categories: a 2"
    assert load_array(Frame([0, 1], {0: [1, 2] * 9, 1: ["a"] * 18}), drop=["1"]).codec.column_names == ("0",)
    with pytest.raises(InputError, match="dataset has two columns called '0'; rename one"):
        load_array({0: [1, 2] * 9, "0": [1, 2] * 9})
    with pytest.raises(InputError, match="a column's name must be a string that is not empty, in UTF-8, got None"):
        load_array(Frame([None], {None: [1, 2] * 9}))
    with pytest.raises(InputError, match="dataset has two columns called 'a'; rename one"):
        load_array(Frame(["a", "a"], values))
    with pytest.raises(
        InputError, match=r"heldout must be a name, .* or data frame of columns, such as .*, got object"
    ):
        load_array(values, heldout=object())  # type: ignore[arg-type]


def test_lists_and_tensors_are_arrays() -> None:
    codes = np.random.default_rng(0).integers(0, 5, (30, 4))
    digest = load_array(codes).digest
    assert load_array(codes.tolist()).digest == load_array(torch.from_numpy(codes)).digest == digest
    assert load_array({"a": torch.from_numpy(codes[:, 0])}).digest == load_array({"a": codes[:, 0]}).digest
    for wrong, words in (
        ([[1, 2], [3]], "dataset must hold rows of one length if it is a list"),
        ([1, 2, 3], "make one number a sample"),
        (torch.zeros(30, 2, dtype=torch.bfloat16), "dataset must be a tensor that NumPy can hold, got torch.bfloat16"),
        (torch.zeros(30, 2), "must hold integers, got float32: convert"),
    ):
        with pytest.raises(InputError, match=words):
            load_array(wrong)


def test_masked_values_are_not_taken_for_data() -> None:
    masked = np.ma.masked_equal(np.arange(30) % 3, 1)
    for given, name in ((masked[:, None], "dataset"), ({"a": masked}, "column 'a' of dataset")):
        with pytest.raises(InputError, match=rf"{name} must not be a masked array.*\.filled\(k\), or .*\.tolist\(\)"):
            load_array(given)
    assert load_array({"a": masked.tolist()}).codec.describe().endswith("a 2 + (missing)")
    assert load_array({"a": masked, "b": [1, 2] * 15}, drop=["a"]).codec.column_names == ("b",)


def test_what_is_wrong_with_other_files_is_said(place: Path) -> None:
    (place / "latin.csv").write_bytes("a\ncaf\u00e9\n".encode("latin-1"))
    (place / "bad.npy").write_bytes(b"no array")
    (place / "bad.parquet").write_bytes(b"no table")
    (place / "t.xlsx").write_bytes(b"")
    np.save(place / "floats.npy", np.zeros((5, 2)))
    np.savez(place / "three.npz", a=np.zeros(2), b=np.zeros(2))
    for name, options, words in (
        ("latin.csv", {}, "is not UTF-8: byte 0xe9"),
        ("bad.npy", {}, "cannot be read as a NumPy file"),
        ("bad.parquet", {}, "cannot be read as parquet"),
        ("t.xlsx", {}, "must be a .npy, .npz, .csv"),
        ("absent.csv", {}, "neither 'records', 'motifs', 'table' nor an existing file"),
        ("floats.npy", {}, "must hold integers, got float64"),
        ("three.npz", {}, "array_key must name an array of .*which has: a, b"),
        ("two.npz", {"key": "z"}, "got 'z'"),
        ("codes.npy", {"bins": 3}, "bins is for tables"),
        ("codes.npy", {"columns": ["a"]}, "columns is for tables"),
        ("codes.npy", {"header": False}, "delimiter and header are for"),
        ("t.parquet", {"delimiter": ";"}, "delimiter and header are for"),
        ("codes.npy", {"heldout": place / "t.csv"}, "both be arrays or both be tables"),
        ("codes.npy", {"heldout": np.zeros((3, 5), int)}, "heldout must have samples of the shape"),
        ("t.csv", {"heldout": {"city": ["Lyon"]}}, "columns 'rooms' is not|heldout lacks the column 'rooms'"),
    ):
        with pytest.raises(InputError, match=words):
            load_array(place / name, **options)
    for given in (3, "", {"a": []}, np.zeros((9, 2, 2, 2)) > 1):
        if isinstance(given, np.ndarray):
            assert load_array(given, holdout=0.3).event_shape == (2, 2, 2)
            continue
        with pytest.raises(InputError):
            load_array(given)  # type: ignore[arg-type]


def test_parquet_of_many_types(tmp_path: Path) -> None:
    import datetime
    import decimal

    columns = {
        "day": [datetime.date(2024, 5, 1), None, datetime.date(2024, 5, 2)],
        "paid": [True, False, None],
        "ratio": [0.5, float("nan"), 1.0],
        "amount": [decimal.Decimal("1.50"), None, decimal.Decimal("2.25")],
        "kind": pyarrow.array(["a", "b", "a"]).dictionary_encode(),
    }
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    data = load_array(path, holdout=0.34, heldout=path)
    table = data.codec.decode(data.codes)
    assert table["day"] == ["2024-05-01", None, "2024-05-02"]
    assert table["paid"] == [True, False, None]
    assert (table["ratio"], table["amount"], table["kind"]) == ([0.5, None, 1.0], [1.5, None, 2.25], ["a", "b", "a"])
    pyarrow.parquet.write_table(pyarrow.table({"x": [[1], [2]]}), path)
    with pytest.raises(InputError, match=r"column 'x' of .* holds list in row 1.*--drop x"):
        load_array(path)


def test_columns_of_other_libraries_are_read_and_what_they_call_missing() -> None:
    days = np.array(["2020-01-01", "NaT"] * 10, "datetime64[D]")
    columns = {
        "integers": np.arange(20) % 3,
        "texts": np.array(["x", "NA"] * 10),
        "numbers": [0.5, float("nan")] * 10,
        "days": days,
        "dates": [datetime.date(2020, 1, 1), None] * 10,
        "prices": [decimal.Decimal("1.5"), None] * 10,
        "lists": [[1]] * 20,
    }
    data = load_array(columns, drop=["lists"], missing=["NA"])
    found = {column["name"]: column["categories"] for column in data.codec.to_config()["columns"]}
    assert found == {
        "integers": [0, 1, 2], "texts": ["x", None], "numbers": [0.5, None], "days": ["2020-01-01", None],
        "dates": ["2020-01-01", None], "prices": [1.5, None],
    }  # fmt: skip
    with pytest.raises(InputError, match=r"'lists' of dataset in memory holds list in row 1; .*--drop lists"):
        load_array(columns)
    with pytest.raises(InputError, match="got int for 'a'"):
        load_array({"a": 5})


def test_fields_that_no_table_has_can_be_left_out() -> None:
    fields = np.array([([1, 2], 3)] * 20, [("pair", "i4", (2,)), ("one", "i4")])
    assert load_array(fields, drop=["pair"]).codec.column_names == ("one",)
    with pytest.raises(InputError, match=r"'pair' must hold one number, boolean or string a row.*--drop pair"):
        load_array(fields)


def test_a_tab_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\tb\n" + "1\tx\n" * 20, encoding="utf-8")
    for delimiter in ("tab", "\\t", "\t"):
        assert load_array(tmp_path / "t.csv", delimiter=delimiter).codec.column_names == ("a", "b")


def test_the_part_to_judge_by_may_write_a_column_otherwise(tmp_path: Path) -> None:
    for name, content in (
        ("whole.csv", "a,b,c\n" + "1,2,3\n" * 29 + "2,2.5,x3\n"),
        ("part.csv", "a,b,c\n" + "1,2,3\n" * 29),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
    codec = load_array(tmp_path / "whole.csv").codec
    again = load_array(tmp_path / "part.csv", codec=codec)
    assert codec.decode(again.codes[:1]) == {"a": [1], "b": [2.0], "c": ["3"]}
    both = load_array(tmp_path / "part.csv", heldout=tmp_path / "whole.csv")
    assert isinstance(both.codec, TableCodec)
    assert both.codec.to_config() == codec.to_config()


def test_classes_that_are_numbers_are_in_their_order() -> None:
    data = load_array({"a": [1, 2] * 30, "label": [10, 2, 3] * 20}, label_column="label")
    assert data.class_names == ("2", "3", "10")
    assert data.labels is not None and set(data.labels.tolist()) == {0, 1, 2}


def test_a_column_that_no_table_has_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [[1]] * 9, "y": [1, 2, 3] * 3}), path)
    assert load_array(path, drop=["x"], holdout=0.3).codec.column_names == ("y",)
    assert load_array(path, columns=["y"], holdout=0.3).codec.column_names == ("y",)
    with pytest.raises(InputError, match="holds list in row 1"):
        load_array(path, label_column="x")


def npy(shape: str, size: int, descr: str = "'<i8'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(size)


@pytest.mark.parametrize("compressed", [None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("(10, 4)", 80), "promises .10, 4. of int64, 320 bytes, but 80 bytes follow"),
        (npy(f"({10**12}, 4)", 80), "but 80 bytes follow"),
        (npy(f"({10**30}, 4)", 80), "but 80 bytes follow|cannot be read as a NumPy file"),
        (npy("(-10, 4)", 320), "is damaged|cannot be read as a NumPy file"),
        (npy("(10, 4)", 80, "(" * 150 + ")" * 150), "cannot be read as a NumPy file"),
        (npy("(10, 4)", 320, "'|O'"), "it holds Python objects"),
        (b"", "cannot be read as a NumPy file"),
    ],
)
def test_headers_that_lie_are_refused_before_memory_is_taken(
    tmp_path: Path, content: bytes, words: str, compressed: int | None
) -> None:
    path = tmp_path / ("a.npy" if compressed is None else "a.npz")
    path.write_bytes(content)
    if compressed is not None:
        with zipfile.ZipFile(path, "w", compressed) as archive:
            archive.writestr("codes.npy", content)
    with pytest.raises(InputError, match=words):
        load_array(path)


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, codes=np.random.default_rng(0).integers(0, 5, (400, 4)))
    whole = path.read_bytes()
    for place in range(0, len(whole), 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            load_array(path)
        except InputError as error:
            assert "\n" not in str(error)  # some flips change nothing that is read


def test_damaged_tables_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for content, words in (
        (b"a,b\n1,x\n2,\0y\n", r"a NUL.: byte 0x00 at offset 10 .line 3."),
        (b"a,b\n1,x\n2,caf\xe9\n", r"byte 0xe9 at offset 13 \(line 3\)"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            load_array(path)
    path = tmp_path / "t.parquet"
    ends = pyarrow.py_buffer(np.arange(4, dtype=np.int32).tobytes())
    for column, words in (
        (pyarrow.Array.from_buffers(pyarrow.string(), 3, [None, ends, pyarrow.py_buffer(b"a\xffb")]), "can't decode"),
        (pyarrow.array([2**53] * 3, pyarrow.timestamp("ms")), "out of range"),
        (pyarrow.array(["a", "b\0", "c"]), "row 2 holds a NUL character"),
    ):
        pyarrow.parquet.write_table(pyarrow.table({"x": column}), path)
        with pytest.raises(InputError, match=f"column 'x' of dataset .*t.parquet.* {words}"):
            load_array(path)


def test_names_in_one_option() -> None:
    assert split_names('age,"height, cm", x') == ["age", "height, cm", " x"]
    assert split_names(None) is None
    with pytest.raises(InputError, match="separated by commas"):
        split_names('"a')


# --- nothing is lost or merged without a word ---


def kept(dataset: Any, **options: Any) -> dict[str, list[Any]]:
    """All rows of a table in their order, as its codec gives them back."""
    data = load_array(dataset, heldout=dataset, **options)
    assert isinstance(data.codec, TableCodec)
    return data.codec.decode(data.codes)


@pytest.mark.parametrize(
    "cells",
    [
        ["1234567890123456781", "1234567890123456782", "1234567890123456789"],
        ["12345678901234567890", "12345678901234567891"],
        ["3.1", "3.10", "3.11", "3.2"],
        ["1E1", "10E0", "10.0"],
        ["0", "-0", "00", "+0", "0.0", "-0.0"],
        ["1e400", "inf", "nan", "None"],
        [" 2", "2", "2 ", "\u0662"],
    ],
)
def test_cells_come_back_as_they_were_written(tmp_path: Path, cells: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells)), encoding="utf-8")
    assert list(map(str, kept(path)["id"])) == cells


def test_a_number_of_two_spellings_is_one_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n2\n2.0\n2.5\n3\n")
    data = load_array(tmp_path / "t.csv", heldout=tmp_path / "t.csv")
    assert list(map(str, data.codec.decode(data.codes)["a"])) == ["2", "2", "2.5", "3"]
    (note,) = data.notes
    assert note.startswith("4 different values of 'a' of dataset ")
    assert note.endswith(" become 3 (such as 2 and 2.0 of 'a' become 2): write them alike, or as text")
    assert f"note:        {note}" in describe(data)


def test_numbers_that_are_text_for_their_spelling_can_be_cut_into_bins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("price\n" + "".join(f"{i / 4:.2f}\n" for i in range(400)))
    assert load_array(path).codec.describe() == "1 column of categories: price 15 bins"
    data = load_array(path, heldout=path, bins=4)
    assert data.codec.describe() == "1 column of categories: price 4 bins"
    assert data.notes[0].startswith("400 different values of 'price' of dataset ")
    again = load_array(path, codec=data.codec, limit=30)
    assert set(again.codec.decode(again.codes)["price"]) == {12.25}
    assert "370 of 400 rows of dataset" in again.notes[0] and "('row 31', ...): limit = 30" in again.notes[0]
    codes = load_array({"id": [str(10**18 + 3 * i) for i in range(400)]}, bins=5).codes
    assert set(codes.ravel().tolist()) <= set(range(5))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('\ufeff"a,b",c\n1,2\n3,4\n', {"a,b": [1, 3], "c": [2, 4]}),
        ("a,b\r1,x\r2,y\r", {"a": [1, 2], "b": ["x", "y"]}),
        ('a,b\r\n1,"x\ry"\r\n2,"x\r\ny"', {"a": [1, 2], "b": ["x\ry", "x\r\ny"]}),
        ('a\n \n""\n  \n', {"a": [" ", None, "  "]}),
        ('a,b\n5" disk,he said "x"\n2,y\n', {"a": ['5" disk', "2"], "b": ['he said "x"', "y"]}),
        ("NA,nan\nNULL,None\n<NA>,NaN\n", {"NA": ["NULL", "<NA>"], "nan": ["None", "NaN"]}),
        ("a,#b\n#1,2\n1,#2\n", {"a": ["#1", "1"], "#b": ["2", "#2"]}),
        ("a,b\n1,\n,\n", {"a": [1, None], "b": [None, None]}),
    ],
)
def test_cells_that_readers_of_csv_disagree_about(tmp_path: Path, content: str, found: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8", newline="")
    assert kept(path) == found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('a,b\n1,2\n"x\ny",2,3\n', "has 3 cells in line 4, but 2 columns"),
        ("a,b\n\n1\n", "has 1 cells in line 3, but 2 columns"),
        ("a,b\n1,2,3\n4,5,6\n", "has 3 cells in line 2, but 2 columns"),  # no index of pandas
        ("\n\na,b\n1,2\n1,2,3\n", "has 3 cells in line 5"),
        ('a,b\n1,"2"x\n', "is no CSV file after line 1: ',' expected after '\"'"),
        ("a;b\n1,5;2\n", r"single column, called 'a;b'.*--delimiter ';'"),
        ("\n\n", "has no rows"),
    ],
)
def test_rows_that_pandas_would_mend_are_refused_by_their_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8", newline="")
    with pytest.raises(InputError, match=words):
        load_array(path)


def test_blank_lines_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n\n3,4\n\n")
    data = load_array(path, heldout=path, holdout=0.5)
    assert len(data.codes) == 2
    assert "2 of 4 rows of dataset" in data.notes[0] and "('row 2', ...): they are blank lines" in data.notes[0]
    assert caplog.messages[0] == data.notes[0]


def test_rows_of_csv_are_the_same_however_many_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n\na,b\n" + "".join(f"{n},v{n % 3}\n" + "\n" * (n % 4 == 0) for n in range(50)))

    def read() -> tuple[Any, list[str]]:
        findings = tables.Findings()
        return tables.read_csv(path, "t.csv", None, True, (), findings), findings.warnings

    whole = read()
    assert whole[0] == {"a": list(range(50)), "b": [f"v{n % 3}" for n in range(50)]}
    assert "13 of 63 rows" in whole[1][0] and "'row 2'" in whole[1][0]
    for rows, different in ((1, 0), (7, 2), (7, 100)):
        monkeypatch.setattr(tables, "ROWS_AT_ONCE", rows)
        monkeypatch.setattr(tables, "MOST_DIFFERENT", different)
        assert read() == whole
    assert len({id(cell) for cell in read()[0]["b"]}) == 3, "each different cell is there once"


def test_an_index_of_pandas_is_left_out_with_a_word_or_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2] * 10, 7: ["x", "y"] * 10})
    frame.to_csv(tmp_path / "plain.csv")
    pd.read_csv(tmp_path / "plain.csv").to_csv(tmp_path / "twice.csv")
    frame.index = frame.index[::-1] * 3 + 1
    frame[["a"]].set_index(pd.Index(np.arange(20) ** 2)).to_parquet(tmp_path / "t.parquet")
    frame.set_index(pd.Index(["p", "q"] * 10)).to_csv(tmp_path / "words.csv")
    for name, lost in (("plain.csv", 1), ("twice.csv", 2), ("t.parquet", 1)):
        data = load_array(tmp_path / name)
        assert data.codec.column_names in (("a", "7"), ("a",))
        assert len(data.notes) == lost and "('Unnamed: 0" in data.notes[0] and "pandas' index" in data.notes[0]
    named = load_array(tmp_path / "plain.csv", columns=["Unnamed: 0"])
    assert named.codec.column_names == ("Unnamed: 0",)
    assert load_array(tmp_path / "words.csv").codec.column_names == ("Unnamed: 0", "a", "7")
    plain = load_array(frame.reset_index(drop=True))
    assert (plain.codec.column_names, plain.notes) == (("a", "7"), ())
    assert load_array(frame.set_index("a")).codec.column_names == ("a", "7")
    again = load_array(frame.set_index(pd.Index([5, 6] * 10)))
    assert again.codec.column_names == ("a", "7") and "('Unnamed: 0'): pandas' index" in again.notes[0]
    twice = pd.concat([plain_frame := frame.reset_index(drop=True)] * 2)
    twice.to_csv(tmp_path / "repeats.csv")
    for heldout in (twice, tmp_path / "repeats.csv"):
        for dataset in (plain_frame, tmp_path / "plain.csv"):
            judged = load_array(dataset, heldout=heldout)
            assert judged.codec.column_names == ("a", "7") and "1 of 3 columns of heldout" in judged.notes[-1]
    assert load_array(tmp_path / "repeats.csv", heldout=twice).codec.column_names == ("Unnamed: 0", "a", "7")
    assert load_array(frame, columns=[7], label_column="a").codec.column_names == ("7",)


def test_a_file_works_without_options_and_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{i},{i / 7:.3f},w{i % 400},{datetime.date.fromordinal(730000 + i)},{i % 3}" for i in range(3000)]
    path.write_text('id,price,"a, word",day,kind\n' + "\n".join(rows))
    data = load_array(path)
    assert data.codec.describe().endswith("price 29 bins, a, word 255 + (other), day 29 bins of YYYY-MM-DD, kind 3")
    assert data.notes[0].startswith("column 'id' numbers the rows, of which nothing can be learnt; it is left out of ")
    assert "('row" not in data.notes[1] and data.notes[1].startswith("400 different values of 'a, word' of dataset ")
    data = load_array(path, column="id=integer:8,day=date:4", bins=20, max_categories=50)
    assert data.codec.describe().endswith(
        "id 8 bins, price 20 bins, a, word 49 + (other), day 4 bins of YYYY-MM-DD, kind 3"
    )
    assert load_array(path, columns=["id", "kind"]).codec.describe().endswith("id 29 bins, kind 3")
    with pytest.raises(InputError, match=r"'\(other\)' would be 2,8[0-9]+ of 3,000 rows.*\(--drop='\"a, word\"'\)$"):
        load_array(path, columns=["a, word"], max_categories=20)
    lists = {"x": [[1]] * 20, "a,b": [f"{i}" for i in range(20)], "y": list(range(20))}
    with pytest.raises(
        InputError, match=r"'x' of dataset in memory holds list in row 1; .*--drop x\); what works: --drop x$"
    ):
        load_array(lists)


def test_labels_of_several_kinds_are_counted_and_numbered() -> None:
    data = load_array({"a": [1, 2] * 10, "y": [1, "1", 1.0, True] * 5}, label_column="y")
    assert data.class_names == ("1", "1.0", "True")
    assert "4 different labels of 'y' of dataset in memory become 3 (such as 1 and '1' of 'y' " in data.notes[0]
    data = load_array({"a": [1, 2] * 10, "y": [1, 1.0] * 10}, label_column="y")
    assert (data.class_names, data.notes) == (("1", "1.0"), ())
    parts = ({"a": [1, 2] * 10, "y": [1, 2] * 10}, {"a": [1, 2], "y": ["1", "x"]})
    assert load_array(parts[0], heldout=parts[1], label_column="y").class_names == ("1", "2", "x")


def test_frames_of_many_types_come_back() -> None:
    data = load_array({"a": [0.0, decimal.Decimal("0.00"), 1.0] * 9})
    assert data.notes[0].startswith("3 different values of 'a' of dataset in memory become 2 (such as 0.0 and Decimal(")
    day, zone = pd.Timestamp("2020-10-25 01:30"), "Europe/Paris"
    frame = pd.DataFrame(
        {
            "whole": pd.array([2**53 + 1, None], dtype="Int64"),
            "large": np.array([2**64 - 1, 2**64 - 2], np.uint64),
            "folded": pd.DatetimeIndex([day, day - pd.Timedelta("1h")]).tz_localize("UTC").tz_convert(zone),
            "kind": pd.Categorical(["b", "a"], ["b", "a", "c"]),
            "flag": pd.array([True, None], dtype="boolean"),
            "month": pd.period_range("2020-01", periods=2, freq="M"),
            "range": pd.cut([1, 2], 2),
            "cost": [decimal.Decimal("0.1000000000000000055"), decimal.Decimal("0.1")],
            "tiny": [0.0, -0.0],
            "mixed": [1, "1"],
        }
    )  # fmt: skip
    found = kept(frame)
    assert found["whole"] == [2**53 + 1, None] and found["large"] == [2**64 - 1, 2**64 - 2]
    assert found["folded"] == ["2020-10-25 02:30:00+01:00", "2020-10-25 02:30:00+02:00"]
    assert (found["kind"], found["flag"], found["month"]) == (["b", "a"], [True, None], ["2020-01", "2020-02"])
    assert (found["range"], found["mixed"]) == (["(0.999, 1.5]", "(1.5, 2.0]"], [1, "1"])
    assert (found["cost"], str(found["tiny"])) == (["0.1000000000000000055", 0.1], "[0.0, -0.0]")


def test_arrays_of_bytes_times_and_objects_are_tables() -> None:
    days = np.array(["2024-01-01", "2024-01-02"] * 4, "M8[D]")
    fields = np.empty(8, [("name", "S3"), ("day", "M8[D]")])
    fields["name"], fields["day"] = [b"a", b"\xe9"] * 4, days
    assert kept(fields) == {"name": ["a", "é"] * 4, "day": ["2024-01-01", "2024-01-02"] * 4}
    assert kept([["a", 1], ["1", None]] * 4, layout="table") == {"column_0": ["a", "1"] * 4, "column_1": [1, None] * 4}


def test_values_that_a_file_cannot_tell_apart_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = {"a": [1, "1", 2], "b": ["", None, "x"], "c": [1, 2.5, None]}
    for name, columns in (("t.csv", "'a', 'b'"), ("t.parquet", "'a'"), ("t.npy", "'a', 'b'")):
        caplog.clear()
        write_table(table, tmp_path / name)
        (said,) = caplog.messages
        assert f" different values of {columns} of " in said and "such a file cannot tell them apart" in said


# --- arrays with a category for each value ---


def test_integers_far_apart_cost_a_category_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wild = rng.integers(0, 4, (300, 6))
    wild[5, 2] = 60_000
    gone = np.where(rng.random((300, 6)) < 0.05, -999, rng.integers(0, 4, (300, 6)))
    mask = (rng.random((300, 2, 3)) > 0.5).astype(np.uint8) * 255
    for array, count in ((wild, 5), (gone, 5), (mask, 2), (np.array([[2**63 - 1, -(2**63)]] * 9), 2)):
        data = load_array(array, heldout=array)
        assert data.num_categories == count
        assert np.array_equal(data.codec.decode(data.codes), array)
        data.codec.save(tmp_path / "codec.json")
        assert load_codec(tmp_path / "codec.json").fingerprint() == data.codec.fingerprint()
        assert "each to be one of" in describe(data)
    codec = load_array(wild).codec
    with pytest.raises(InputError, match="must be one of 5 integers: 0, 1, 2, 3, 60000, got 7 in row 3"):
        load_array(np.array([[0], [1], [2], [7], [9], [9]]).repeat(6, 1), codec=codec)
    assert load_array(wild, heldout=np.full((3, 6), 77)).num_categories == 6
    assert load_array(np.arange(9, dtype=np.uint64)[:, None], heldout=np.full((3, 1), -1)).num_categories == 10
    old = {"name": "integers", "event_shape": [6], "num_categories": 4, "low": -1}
    assert codec_from_config(old).to_config() == old
    for wrong in ([2, 1], [1, 1], [0, True], ["a", 1], ["ab", "b"], [1, 2, 3], 5):
        with pytest.raises(InputError, match=r"values must be (2 ascending integers or characters|a list), got"):
            codec_from_config({**old, "num_categories": 2, "values": wrong})


def test_characters_are_numbered_and_come_back(tmp_path: Path) -> None:
    levels = np.array(list("-XSE"))[np.random.default_rng(0).integers(0, 4, (60, 5, 6))]
    data = load_array(levels, heldout=levels)
    assert data.codec.describe() == "5 x 6, each to be one of 4 characters: '-', 'E', 'S', 'X'"
    assert np.array_equal(data.codec.decode(data.codes), levels)
    np.save(tmp_path / "t.npy", levels.astype("S1"))
    again = load_array(tmp_path / "t.npy", heldout=levels)
    assert (again.digest, load_array(levels.tolist(), heldout=levels).digest) == (data.digest, data.digest)
    assert load_array([list("ab"), list("ba")] * 9).space.event_shape == (2,)
    with pytest.raises(InputError, match=r"must be one of 4 characters: .*, got 'Q' in row 0"):
        load_array(np.full((9, 5, 6), "Q"), codec=data.codec)
    for heldout in (np.zeros((3, 5, 6), int), np.full((3, 5, 6), "ab")):
        with pytest.raises(InputError, match=r"must both be integers or both be characters|split its texts"):
            load_array(levels, heldout=heldout)


def test_the_held_out_share_is_named_by_its_option() -> None:
    said = describe(load_array(np.arange(40)[:, None] % 3, holdout=0.25))
    assert "samples:     30 to train on, 10 held out (25% of the rows, at random: --holdout)" in said


# --- what a program makes ---


@pytest.mark.parametrize("name", list(examples.NUM_ROWS))
def test_examples_are_the_same_each_time(name: str) -> None:
    first, second = load_array(name), load_array(name, limit=100)
    assert first.digest == load_array(name).digest
    assert len(first.codes) + len(first.heldout_codes) == examples.NUM_ROWS[name]
    assert len(second.codes) == 90


def test_records_are_sparse_and_stand_together() -> None:
    codes = examples.records(4000)
    assert codes.shape == (4000, 120)
    assert 0.02 < codes.mean() < 0.12
    correlation = np.corrcoef(codes.T)[np.triu_indices(120, 1)]
    assert (correlation > 0.2).sum() > 200
    assert np.median(np.abs(correlation)) < 0.05


def test_motifs_stand_where_they_are_said_to() -> None:
    codes = examples.motifs(6000)
    places = examples.motif_places(codes)
    assert (places >= 0).mean() == pytest.approx(examples.MOTIF_SHARE, abs=0.02)
    assert places[places >= 0].mean() == pytest.approx(20, abs=0.4)
    assert places[places >= 0].std() == pytest.approx(6, abs=0.3)
    for row, place in zip(codes[:20], places[:20], strict=True):
        text = "".join(examples.BASES[code] for code in row)
        assert text.find(examples.MOTIF) == place
    assert np.bincount(codes[:, -8:].ravel(), minlength=4) / 48000 == pytest.approx(examples.BASE_SHARES, abs=0.02)


def test_no_row_of_the_table_breaks_a_rule_and_independent_ones_do() -> None:
    rows = examples.table(3000)
    assert set(examples.broken_rules(rows).values()) == {0.0}
    shuffled = {
        name: np.random.default_rng(i).permutation(values).tolist() for i, (name, values) in enumerate(rows.items())
    }
    assert min(examples.broken_rules(shuffled).values()) > 0.3
    assert {type(value) for value in rows["satisfaction"]} == {int, type(None)}
    with pytest.raises(InputError, match="must be one of records, motifs, table"):
        examples.example("tables")


def test_the_line_of_excel_names_the_delimiter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\na;b\n" + "1,5;x\n2,5;y\n" * 10)
    assert load_array(path).codec.column_names == ("a", "b")
    assert "the delimiter is ';'" in caplog.messages[0]
    path.write_text("sep=;\na;b\n1;2;3\n")
    with pytest.raises(InputError, match=r"has 3 cells in line 3, but 2 columns.*--delimiter ','\)"):
        load_array(path)


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + f"{'x' * 200_000},1\ny,2\n" * 5)
    assert load_array(path, holdout=0.5).num_categories == 2


def test_a_table_is_advised_only_where_it_can_be_read() -> None:
    for values, words in (
        (np.array(["ACGT", "ACG"] * 20), "split its texts into single characters$"),
        (np.zeros((4, 2, 2)), "convert whole numbers to integers$"),
        (np.zeros((4, 2)), "--layout table --bins 20"),
        ([{"a": 1}] * 40, r"pandas\.DataFrame\(rows\)$"),
    ):
        with pytest.raises(InputError, match=words):
            load_array(values)


def test_columns_that_only_heldout_has_are_counted() -> None:
    rows = {"a": [1, 2] * 10, "b": ["x", "y"] * 10}
    data = load_array(rows, heldout={**rows, "c": [1, 2] * 10})
    assert data.notes == ("1 of 3 columns of heldout in memory are left out ('c'): the data set has no such columns",)
