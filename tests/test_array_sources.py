"""Arrays and tables from files and from memory, and the examples that a program makes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bgan_discrete import load_array
from bgan_discrete.codecs import IntegersCodec, TableCodec
from bgan_discrete.errors import InputError
from bgan_discrete.sources import describe_array, examples
from bgan_discrete.sources.arrays import split_names
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
    assert "4, K = 5" in describe_array(data)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npy"])
def test_tables(place: Path, name: str) -> None:
    data = load_array(place / name, drop=["id"], bins=5, holdout=0.25)
    assert isinstance(data.codec, TableCodec)
    assert data.codec.column_names == ("city", "rooms", "price")
    assert (data.codec.sizes, data.num_categories) == ((4, 3, 5), 5)
    assert (len(data.codes), len(data.heldout_codes)) == (30, 10)
    decoded = data.codec.decode(np.concatenate([data.codes, data.heldout_codes]))
    assert sorted(map(str, zip(decoded["city"], decoded["rooms"], strict=True))) == sorted(
        map(str, zip(TABLE["city"], TABLE["rooms"], strict=True))
    )
    assert "city 3 + (missing), rooms 3, price 5 bins" in describe_array(data)


def test_the_same_rows_give_the_same_split_and_digest_whatever_the_file(place: Path) -> None:
    found = [load_array(place / name, drop=["id"], bins=5, seed=3) for name in ("t.csv", "t.parquet")]
    assert found[0].digest == found[1].digest
    assert np.array_equal(found[0].codes, found[1].codes)
    other = load_array(place / "t.csv", drop=["id"], bins=5, seed=4)
    assert (other.digest, np.array_equal(other.codes, found[0].codes)) == (found[0].digest, False)
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
    assert (floats.num_categories, floats.codec.sizes) == (4, None)


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
        ("a,a\n1,2\n", {}, "two columns called 'a'"),
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
        ("a\n" + "\n".join(f"{i}.5" for i in range(30)), {}, "column 'a' holds 30 different .*--bins 20"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said(tmp_path: Path, content: str, options: Any, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        load_array(path, **options)
    assert "\n" not in str(caught.value)


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

    import pyarrow
    import pyarrow.parquet

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


def test_names_in_one_option() -> None:
    assert split_names('age,"height, cm", x') == ["age", "height, cm", " x"]
    assert split_names(None) is None
    with pytest.raises(InputError, match="separated by commas"):
        split_names('"a')


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
