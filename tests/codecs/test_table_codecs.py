"""Codecs of arrays and tables: every table comes back, and what cannot be a category is refused by name."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgan_discrete.codecs import IntegersCodec, TableCodec, codec_from_config, load_codec
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn
from bgan_discrete.codecs.values import option_of
from bgan_discrete.errors import InputError
from bgan_discrete.sources.column_settings import split_names
from bgan_discrete.sources.conservation import merges
from bgan_discrete.sources.table_files import csv_cell, format_csv, write_table
from bgan_discrete.sources.tables import Findings, read_csv, read_parquet, table_of_array

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), max_size=6)
VALUES = st.one_of(st.none(), TEXTS, st.integers(-(10**20), 10**20), st.booleans(), st.floats(-1e6, 1e6))
NAMES = st.lists(TEXTS.filter(bool), min_size=1, max_size=4, unique=True)


@st.composite
def tables(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> dict[str, list[Any]]:
    rows = draw(st.integers(1, 12))
    return {name: draw(st.lists(values, min_size=rows, max_size=rows)) for name in draw(NAMES)}


def typed(table: dict[str, list[Any]]) -> dict[str, list[tuple[str, Any]]]:
    """A table whose 1, 1.0 and True are not equal."""
    return {name: [(type(value).__name__, value) for value in values] for name, values in table.items()}


@settings(deadline=None)
@given(tables())
def test_any_table_comes_back_from_its_codes(table: dict[str, list[Any]]) -> None:
    codec = TableCodec.fit(table)
    codes = codec.encode(table)
    assert codes.shape == (len(next(iter(table.values()))), len(table))
    assert codes.dtype == codec.dtype
    assert typed(codec.decode(codes)) == typed(table)
    again = codec_from_config(codec.to_config())
    assert again.fingerprint() == codec.fingerprint()
    assert typed(again.decode(codes)) == typed(table)
    limits = np.array(codec.space.sizes or [codec.num_categories] * len(table))
    assert (codes < limits).all()
    assert max(limits) <= codec.num_categories


def all_of(name: str) -> bool:
    return True


def csv_file(path: Path, delimiter: str | None = None, header: bool = True, missing: Sequence[str] = ()) -> Any:
    return read_csv(path, "t", delimiter, header, missing, Findings())


@settings(deadline=None)
@given(tables(st.one_of(st.none(), TEXTS.filter(bool))))
def test_any_table_of_texts_comes_back_from_csv(table: dict[str, list[Any]]) -> None:
    path = Path("any.csv").resolve()
    try:
        write_table(table, path)
        found = csv_file(path, ",")  # a single name may hold another one
    finally:
        path.unlink(missing_ok=True)
    # Columns of numbers become numbers.
    assert {k: [None if v is None else str(v) for v in values] for k, values in found.items() if k in table} == {
        k: [
            v if v is None or isinstance(found[k][place], str | None) else str(type(found[k][place])(v))
            for place, v in enumerate(values)
        ]
        for k, values in table.items()
    }


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".npy"])
def test_quotes_unicode_and_missing_values_come_back_from_files(tmp_path: Path, suffix: str) -> None:
    table: dict[str, list[Any]] = {
        'a "name", with comma': ['he said "no"', "two\nlines", "Kraków, Łódź", None],
        "zip": ["01234", "00001", "99999", "01234"],
        "count": [3, -7, 3, None],
        "share": [0.5, 1.0, -2.25, None],
        "日本": ["東京", " ", "NA", "tab\there"],
    }
    path = tmp_path / f"t{suffix}"
    write_table(table, path)
    if suffix == ".parquet":
        found = read_parquet(path, "t", (), all_of, Findings())
    elif suffix == ".npy":
        found = table_of_array(np.load(path), all_of)
        table["count"] = [3.0, -7.0, 3.0, None]  # an array of integers has no place for a missing one
    else:
        found = csv_file(path)
    assert typed(found) == typed(table)
    codec = TableCodec.fit(found)
    assert typed(codec.decode(codec.encode(found))) == typed(found)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_integers_beyond_64_bits_can_be_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    write_table({"id": [2**64 - 1, 5, None]}, path)
    if suffix == ".parquet":
        assert read_parquet(path, "t", (), all_of, Findings()) == {"id": [str(2**64 - 1), "5", None]}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_array_of_what_is_no_text_is_refused() -> None:
    letters = np.array([("ab", 1), ("cd", 2)], dtype=[("name", ">U2"), ("size", "<i4")])
    assert table_of_array(letters, all_of) == {"name": ["ab", "cd"], "size": [1, 2]}
    letters.view(">u4")[0] = 0x110000
    with pytest.raises(InputError, match="column 'name' holds 0x110000 in the place of a character"):
        table_of_array(letters, all_of)


def test_cells_of_csv_are_what_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "\ufeffid,price,flag,code,mixed,gone\n1,2.5,True,007,1,\n\n20,-1e3,False,12,x,NA\n", encoding="utf-8"
    )
    assert typed(csv_file(path, missing=["NA"])) == typed(
        {
            "id": [1, 20],
            "price": ["2.5", "-1e3"],
            "flag": ["True", "False"],
            "code": ["007", "12"],
            "mixed": ["1", "x"],
            "gone": [None, None],
        }
    )
    assert list(csv_file(path, header=False)) == [f"column_{i}" for i in range(6)]
    path.write_text("a;b\n1;2\n")
    assert csv_file(path, ";") == {"a": [1], "b": [2]}


def test_missing_values_are_a_category_of_their_own() -> None:
    codec = TableCodec.fit({"a": ["x", None, "y"], "b": [1, 2, 3]})
    assert codec.encode({"a": [None], "b": [3]}).tolist() == [[2, 2]]
    assert "a 2 + (missing)" in codec.describe()
    with pytest.raises(InputError, match="column 'b' has the value no value in row 2"):
        codec.encode({"a": ["x", "x"], "b": [1, None]})


def test_columns_have_their_own_numbers_of_categories() -> None:
    codec = TableCodec.fit({"one": ["x"] * 4, "two": [0, 1, 0, 1], "four": list("abcd")})
    assert (codec.num_categories, codec.space.sizes) == (4, (1, 2, 4))
    assert TableCodec.fit({"a": [1, 2], "b": [2, 3]}).space.sizes is None
    assert (TableCodec.fit({"a": [1, 1]}).num_categories, TableCodec.fit({"a": [1, 1]}).space.sizes) == (2, (1,))
    with pytest.raises(InputError, match=r"codes of column 'two' must lie in \[0, 2\), got 2 in row 1"):
        codec.decode(np.array([[0, 1, 3], [0, 2, 3]]))
    with pytest.raises(InputError, match=r"must have the shape \[N, 3\], got \[2, 2\]"):
        codec.decode(np.zeros((2, 2), np.uint8))
    with pytest.raises(InputError, match="array of integers"):
        codec.decode(np.zeros((2, 3)))


# --- bins ---


@settings(deadline=None)
@given(
    st.lists(
        st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9) | st.integers(0, 4) | st.none(), min_size=2, max_size=80
    ),
    st.integers(2, 9),
)
def test_bins_hold_what_they_say_and_none_is_empty(numbers: list[Any], bins: int) -> None:
    distinct = {(type(value), value) for value in numbers if value is not None}
    table = {"x": numbers}
    if not distinct or (len(distinct) <= bins and len(distinct) <= 20):
        assert typed(TableCodec.fit(table, bins=bins).decode(TableCodec.fit(table).encode(table))) == typed(table)
        return
    codec = TableCodec.fit(table, bins=bins)
    (column,) = codec.columns
    if not isinstance(column, BinnedColumn):  # 1 and 1.0 are two values, but one number
        return
    codes = codec.encode(table)[:, 0]
    assert len(column.values) == min(bins, len({float(value) for value in numbers if value is not None}))
    assert set(codes.tolist()) == set(range(column.size))
    for code, value in zip(codes.tolist(), numbers, strict=True):
        if value is None:
            assert code == len(column.values)
            continue
        low, high = column.edges[code], column.edges[code + 1]
        assert low <= value < high or (code + 1 == len(column.values) and value == high)
        assert column.values[code] in numbers
    decoded = codec.decode(codes[:, None])
    assert np.array_equal(codec.encode(decoded)[:, 0], codes)
    assert codec_from_config(codec.to_config()).fingerprint() == codec.fingerprint()


def test_bins_have_equally_many_rows_and_their_median_or_range() -> None:
    numbers = np.random.default_rng(0).lognormal(size=1000).tolist()
    codec = TableCodec.fit({"income": numbers}, bins=4)
    codes = codec.encode({"income": numbers})
    assert np.abs(np.bincount(codes[:, 0]) - 250).max() <= 1
    medians = [sorted(v for v, c in zip(numbers, codes[:, 0], strict=True) if c == code)[124] for code in range(4)]
    found = codec.decode(np.arange(4)[:, None])["income"]
    assert found == pytest.approx(medians, rel=0.02)
    ranges = codec.decode(np.arange(4)[:, None], ranges=True)["income"]
    assert ranges[0].startswith("[") and ranges[0].endswith(")") and ranges[3].endswith("]")
    outside = codec.encode({"income": [-5, 1e12]})[:, 0]
    assert outside.tolist() == [0, 3]
    with pytest.raises(InputError, match="column 'income' holds numbers, cut into bins, but 'much' stands in row 1"):
        codec.encode({"income": ["much"]})
    with pytest.raises(InputError, match="but 'NA' stands in row 2; name what means a missing value by --missing"):
        codec.encode({"income": ["1.5", "NA"]})
    assert all(isinstance(v, int) for v in TableCodec.fit({"n": list(range(99))}, bins=5).decode(np.array([[3]]))["n"])


@pytest.mark.parametrize(("zeros", "sign"), [(0.96, 1), (0.9, 1), (0.5, -1), (0.96, -1)])
def test_a_frequent_number_has_a_bin_and_leaves_the_others_theirs(zeros: float, sign: int) -> None:
    count = round(1000 * zeros)
    numbers = [0.0] * count + [sign * (i % 40 + 0.5) for i in range(1000 - count)]
    codec = TableCodec.fit({"x": numbers}, bins=20)
    assert codec.describe() == "1 column of categories: x 20 bins"
    codes = codec.encode({"x": numbers})
    found = codec.decode(codes)["x"]
    assert found[:count] == [0.0] * count
    assert 0.0 not in found[count:]
    assert np.abs(np.array(found) - np.array(numbers)).max() <= 3
    shares = np.bincount(codes[count:, 0])
    assert shares.max() <= 3 * (1000 - count) / 19
    again = codec_from_config(codec.to_config())
    assert np.array_equal(again.encode({"x": numbers}), codes)
    assert again.encode({"x": [-99, 99]}).tolist() == [[0], [19]]


def test_a_column_of_several_numbers_has_several_bins() -> None:
    for numbers in ([-1.5] * 2 + [0.0] * 95 + [1.5] * 3, [0.0] * 99 + [1.5, 2.5], [-2.5, -1.5] + [0.0] * 99):
        codec = TableCodec.fit({"x": numbers}, bins=2)
        assert codec.num_categories == 2
        assert sorted(codec.decode(np.array([[0], [1]]))["x"]).count(0.0) == 1
    several = [0.0] * 40 + [1.0] * 40 + [9.0] * 15 + [0.25, 0.5, 2.0, 3.0, 10.0]
    found = TableCodec.fit({"x": several}, bins=5).decode(np.arange(5)[:, None])["x"]
    assert found == [0.0, 0.25, 1.0, 2.0, 9.0]


def test_numbers_of_which_none_is_frequent_are_cut_at_their_quantiles() -> None:
    numbers = np.random.default_rng(0).integers(0, 200, 1000).tolist()
    (column,) = TableCodec.fit({"x": numbers}, bins=20).columns
    assert isinstance(column, BinnedColumn)
    assert column.edges == tuple(sorted(numbers)[max(50 * part - 1, 0)] for part in range(21))


# --- too much ---


def test_rare_categories_are_lumped_together() -> None:
    values = ["a"] * 9 + ["b"] * 5 + ["c"] * 2 + ["d", "(other)"]
    codec = TableCodec.fit({"x": values}, max_categories=3)
    codes = codec.encode({"x": values})[:, 0]
    assert np.bincount(codes).tolist() == [9, 5, 4]
    assert codec.decode(np.array([[2]])) == {"x": ["(other)"]}
    assert codec.encode({"x": ["never seen"]}).tolist() == [[2]]
    assert codec.encode(codec.decode(codes[:, None]))[:, 0].tolist() == codes.tolist()
    assert "x 2 + (other)" in codec.describe()
    kept = TableCodec.fit({"x": ["(other)"] * 9 + ["b"] * 5 + ["c", "d"]}, max_categories=3)
    assert kept.decode(np.arange(3)[:, None])["x"] == ["(other)", "b", "((other))"]
    assert TableCodec.fit({"x": ["a", "b", None]}, max_categories=2).num_categories == 3


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (
            {"id": list(range(300))},
            {},
            r"column 'id' numbers the rows, of which nothing can be learnt; drop .*--drop id",
        ),
        (
            {"name": [f"n{i}" for i in range(300)]},
            {"bins": 5},
            r"column 'name' has 300 different values in 300 rows, as i",
        ),
        (
            {"name": [f"n{i % 900}" for i in range(1000)]},
            {"max_categories": 9},
            r"'\(other\)' would be 984 of 1,000 rows",
        ),
        (
            {"x": [*(f"{i}.5" for i in range(300)), *"abcd"]},
            {},
            r"text because of 'a', 'b', .* --missing a,b,c,d; drop",
        ),
        ({"x": [f"{i},5" for i in range(300)]}, {}, "nothing can be learnt of it: write its decimal commas as points;"),
        ({"x": [f"{i},097" for i in range(1, 300)]}, {}, "learnt of it: take the commas out of its numbers; drop"),
        ({"n": [*range(999)], "id": [f"n{i}" for i in range(999)], "x": [1] * 999}, {}, r"; what works: --drop n,id$"),
        ({"x": [1]}, {"column": {"y": "integer"}}, "column 'y' is not in the table, which has: x"),
        (
            {"x": [1]},
            {"column": {"x": "float"}},
            "column 'x' must be of a kind category, integer, number, date, identifier, with a",
        ),
        (
            {"x": [1]},
            {"column": {"x": "integer:1"}},
            "with a count of 2 to 1048575 such as integer:32 .*, got 'integer:1'",
        ),
        ({"x": ["a", 2]}, {"column": {"x": "number"}}, r"of kind number .*: it holds 'a' in row 1; .* --missing a$"),
        ({"x": [2.5, 1]}, {"column": {"x": "integer"}}, r"cannot be of kind integer .*: it holds 2.5 in row 1$"),
        ({"x": ["1/2/2020"]}, {"column": {"x": "date"}}, "its values read as M/D/YYYY and D/M/YYYY alike"),
        ({"x": ["soon"]}, {"column": {"x": "date"}}, "it holds 'soon' in row 1; .* dates are such as 2024-12-31"),
        ({"x": ["2020-01-31", "31.1.2020"]}, {"column": {"x": "date"}}, "it is written in several forms, or empty"),
        (
            {"x": [None]},
            {"column": {"x": "integer"}},
            "cannot be of kind integer: it is written in several forms, or empty",
        ),
        ({"x": [1]}, {"rare": "kept"}, "rare must be one of drawn, private"),
        ({"x": [math.inf], "y": [1], "z": [math.inf]}, {}, "column 'x' holds inf .*; nor can 'z' be used as they are"),
        ({"x": [1.0, math.nan]}, {}, "column 'x' holds nan in row 2; missing values are None"),
        ({"x": [math.inf]}, {}, "column 'x' holds inf in row 1"),
        ({"x": [[1]]}, {}, "column 'x' holds list in row 1"),
        ({"x": [1], "y": [1, 2]}, {}, "columns must have one length, got 1 values in 'x' and 2 in 'y'"),
        ({"x": []}, {}, "the table has no rows"),
        ({}, {}, "must be a dictionary of columns"),
        ({"": [1]}, {}, "a column's name must be a string"),
        ({"\ud800": [1]}, {}, "a column's name must be a string that is not empty, in UTF-8"),
        ({"x": ["\ud800", "a"]}, {}, "categories of column 'x' must be UTF-8"),
        ({"x": [1]}, {"bins": 1}, "bins must be an integer, 2"),
        ({"x": [1]}, {"max_categories": 1}, "max_categories must be an integer, 2"),
    ],
)
def test_what_cannot_be_categories_is_refused_by_name(table: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TableCodec.fit(table, **options)


@pytest.mark.parametrize("names", [["id"], ["-", "?", "n.a."], ["-x"], ["my id"], ['a, "b"', "it's"], ["a\nb", "c"]])
def test_options_that_are_advised_can_be_typed(names: list[str]) -> None:
    flag, _, text = (option := option_of("--drop", names)).partition("=" if "=" in option else " ")
    (typed,) = shlex.split(text)
    assert (flag, split_names(typed)) == ("--drop", names)
    assert ("=" in option) == (names != ["id"])


def test_values_that_python_takes_for_equal_are_counted_apart() -> None:
    values = [0, 0.0, -0.0, False, 1, 1.0, True, "1", "", None]
    assert TableCodec.fit({"x": values * 2}).space.sizes is None
    assert TableCodec.fit({"x": values * 2}).num_categories == len(values)
    (note,) = merges("values", "here", {"x": (values, [0] * len(values))}, "so")
    assert note.startswith("10 different values of 'x' of here become 1 ")


def test_numbers_that_all_have_a_bin_are_not_lumped() -> None:
    assert TableCodec.fit({"x": [*range(280)]}, bins=300, max_categories=10).num_categories == 280


def test_an_unknown_value_is_refused_with_its_row() -> None:
    codec = TableCodec.fit({"city": ["Lyon", "Paris"]})
    with pytest.raises(InputError, match="column 'city' has the value 'Rome' in row 2, which is none of its 2 categor"):
        codec.encode({"city": ["Lyon", "Rome"]})
    with pytest.raises(InputError, match="column 'rooms' has the value 'NA' in row 2, which is none of its 2 categor"):
        TableCodec.fit({"rooms": [1, 2]}).encode({"rooms": ["1", "NA"]})
    with pytest.raises(InputError, match="column 'city' is not in the table, which has: town"):
        codec.encode({"town": ["Lyon"]})


def test_a_value_is_known_in_the_form_that_other_cells_of_its_column_gave_it() -> None:
    column = CategoryColumn("a", (1, 2.0, "3", "4.5", "05", True), "(other)")
    values = [1.0, "1", 2, "2.0", 3, 4.5, 5, "True", 1.5]
    assert column.encode(values, np.dtype(np.uint8)).tolist() == [0, 0, 1, 1, 2, 3, 6, 5, 6]
    both = CategoryColumn("a", (1, 1.0, "1"))
    assert both.encode([1, 1.0, "1"], np.dtype(np.uint8)).tolist() == [0, 1, 2]


# --- integers ---


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(-5000, 5000), st.integers(0, 3000))
def test_any_array_of_integers_comes_back(shape: list[int], low: int, span: int) -> None:
    values = np.random.default_rng(0).integers(low, low + span, (7, *shape), endpoint=True)
    codec = IntegersCodec.fit(values)
    codes = codec.encode(values)
    assert codes.dtype == codec.dtype
    assert codes.min() == 0
    assert np.array_equal(codec.decode(codes), values)
    again = codec_from_config(codec.to_config())
    assert np.array_equal(again.encode(values), codes)


def test_codes_stay_small() -> None:
    for high, dtype in ((255, np.uint8), (256, np.int16), (40_000, np.int32)):
        assert IntegersCodec.fit(np.arange(high + 1)[:, None]).dtype == dtype
        assert IntegersCodec.fit(np.array([[0], [high]])).dtype == np.uint8


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: IntegersCodec.fit(np.zeros((3, 2))), "must hold integers, got float64: convert whole numbers"),
        (lambda: IntegersCodec.fit(np.array([1, 2])), r"must have shape \[samples, ...\]"),
        (lambda: IntegersCodec.fit(np.arange(0, 140_000, 2)[:, None]), "integers from 0 to 139998; at most 65536"),
        (lambda: IntegersCodec((2,), 3).encode(np.array([[0, 3]])), r"must lie in \[0, 3\), got 3 in row 0"),
        (lambda: IntegersCodec((2,), 3).encode(np.array([[0, 1, 2]])), r"must have the shape \[N, 2\], got \[1, 3\]"),
        (lambda: IntegersCodec((), 3), "event_shape must hold integers"),
        (lambda: IntegersCodec((2,), 1), "num_categories must be an integer, 2"),
        (lambda: IntegersCodec((2,), 3, low="0"), "low must be an integer"),  # type: ignore[arg-type]
        (lambda: IntegersCodec((2,), 3, low=2**63 - 2), "low must be an integer, -9223372036854775808 .. "),
        (
            lambda: IntegersCodec.fit(np.full((3, 2), 2**64 - 1, np.uint64)),
            r"below 2\*\*63, got 18446744073709551615",
        ),
        (lambda: IntegersCodec.fit(np.array(5)), r"must have shape \[samples, ...\] and hold data, got \[\]"),
        (lambda: IntegersCodec.fit(np.array([["ab"]])), r"got <U2: split its .*read its columns .*\(--layout table\)"),
        (lambda: IntegersCodec.fit(np.array([["a"]])), "a single character, 'a': there is nothing to learn"),
        (lambda: codec_from_config({"name": "integers", "event_shape": 2, "num_categories": 2, "low": 0}), "a list"),
        (lambda: codec_from_config({"name": "table", "columns": [{"name": "x"}]}), "a column must have name"),
        (lambda: codec_from_config({"name": "table", "columns": 3}), "columns must be a list"),
        (lambda: TableCodec([]), "at least one"),
        (lambda: TableCodec([CategoryColumn("a", (1,)), CategoryColumn("a", (1,))]), "different names"),
        (lambda: CategoryColumn("a", (1, 1)), "must be different"),
        (lambda: CategoryColumn("a", ((1, 2),)), "must be strings, numbers or None"),  # type: ignore[arg-type]
        (lambda: CategoryColumn("a", ("x",), "x"), "must be a string that is no category"),
        (lambda: BinnedColumn("a", (0, 0, 1), (0, 0)), "must ascend"),
        (lambda: BinnedColumn("a", (0, 1, 2), (1, 1)), "must lie in their bins"),
        (lambda: BinnedColumn("a", (0, math.inf), (1,)), "must be finite numbers"),
    ],
)
def test_errors(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_a_codec_is_saved_and_loaded(tmp_path: Path) -> None:
    table = {"a": ["ü", None, "z"], "b": [1, 2, 3], "c": [0.5, 0.25, 0.5]}
    codec = TableCodec.fit(table)
    codec.save(tmp_path / "codec.json")
    loaded = load_codec(tmp_path / "codec.json")
    assert loaded.fingerprint() == codec.fingerprint()
    assert typed(loaded.decode(codec.encode(table))) == typed(table)  # type: ignore[attr-defined]


def test_csv_has_a_line_of_names() -> None:
    assert format_csv({"a": [1, None], "b,c": ["x", 'y"']}) == 'a,"b,c"\n1,x\n,"y"""\n'


@pytest.mark.parametrize(
    "values",
    [
        [0.0, -0.0, 1, 1.0, 1e300],
        [1, True, 1.0, None],
        ["", None, "a,b", "a\tb", 'q"', "x\ny", "x\ry", "1", 1],
        [None, "", "a", "a,b", "", None],
        [None, 0.5, 2],
    ],
)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_cells_of_a_column_are_those_of_its_values(values: list[Any], delimiter: str) -> None:
    alone = "".join(f"{csv_cell(value, delimiter, True)}\n" for value in ("a", *values))
    assert format_csv({"a": values}, delimiter) == alone
    lines = [
        delimiter.join(csv_cell(cell, delimiter) for cell in row) + "\n"
        for row in [("a", "b"), *zip(values, values, strict=True)]
    ]
    assert format_csv({"a": values, "b": values}, delimiter) == "".join(lines)


def test_numbers_that_are_text_for_how_they_are_written_are_shown() -> None:
    with pytest.raises(InputError, match=r"text because of how some are written, such as '00000'; drop it"):
        TableCodec.fit({"id": [f"{number:05d}" for number in range(400)]})


@given(st.lists(st.integers(-(2**60), 2**60) | st.floats(-1e300, 1e300), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_numbers_are_binned_at_once_as_one_by_one(values: list[Any]) -> None:
    column = BinnedColumn("x", (-5.0, 0.0, 2.5, 2.0**55), (-1.0, 1.0, 3.0), has_missing=True)
    at_once = column.encode(values, np.dtype(np.uint8))
    one_by_one = column.encode([*values, None], np.dtype(np.uint8))
    assert at_once.tolist() == one_by_one[:-1].tolist() and one_by_one[-1] == 3


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 10**400])
def test_what_is_no_number_for_a_bin_is_refused_however_many_there_are(wrong: float) -> None:
    with pytest.raises(InputError, match="in row 2"):
        BinnedColumn("x", (0.0, 1.0, 2.0), (0.5, 1.5)).encode([0.5, wrong], np.dtype(np.uint8))
