"""What codes of tables become with dice: numbers inside their bins, dates in their form, rare values by frequency."""

import datetime
import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgan_discrete.codecs import TableCodec, codec_from_config
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn, column_from_config
from bgan_discrete.codecs.cutting import PIECES, cut_column, default_bins
from bgan_discrete.codecs.dates import DateForm, forms_of
from bgan_discrete.codecs.fitting import FitOptions, fit_columns
from bgan_discrete.errors import InputError

EVENLY = (np.arange(1000) + 0.5) / 1000


def binned(values: list[Any], **options: Any) -> BinnedColumn:
    (column,) = TableCodec.fit({"x": values}, **options).columns
    assert isinstance(column, BinnedColumn)
    return column


def drawn(column: BinnedColumn, code: int, uniforms: Any = EVENLY) -> list[Any]:
    uniforms = np.asarray(uniforms)
    return column.decode(np.full(len(uniforms), code), uniforms=uniforms)


def quantile(column: BinnedColumn, code: int, uniform: float) -> float:
    """The quantile function of a bin as it is defined, of numbers with decimals."""
    assert column.decimals is not None
    pieces = column.pieces[code]
    total, before = sum(rows for *_, rows in pieces), 0
    for first, last, rows in pieces:
        if uniform * total < before + rows or (first, last, rows) == pieces[-1]:
            unit = 10**column.decimals
            steps = round((last - first) * unit / column.step) + 1
            share = min(max((uniform * total - before) / rows, 0), 1)
            return (round(first * unit) + min(int(share * steps), steps - 1) * column.step) / unit
        before += rows
    raise AssertionError


NUMBERS = st.lists(
    st.integers(-(10**6), 10**6) | st.integers(-99_999, 99_999).map(lambda n: n / 100) | st.integers(0, 3),
    min_size=30,
    max_size=120,
)


@settings(deadline=None, max_examples=60)
@given(NUMBERS, st.integers(2, 9), st.integers(0, 99))
def test_numbers_are_drawn_by_the_quantile_function_inside_their_bin(
    numbers: list[float], bins: int, seed: int
) -> None:
    uniforms = np.random.default_rng(seed).random(20)
    column = cut_column("x", numbers, bins, missing=False)
    for code, pieces in enumerate(column.pieces):
        found = drawn(column, code, uniforms)
        # Where a share is on the border of two numbers, rounding decides.
        unit = 1.01 * column.step / 10 ** (column.decimals or 0)
        expected = [quantile(column, code, uniform) for uniform in uniforms]
        assert np.abs(np.array(found) - expected).max() < unit
        assert np.isclose(found, expected).sum() >= 19
        assert all(pieces[0][0] <= number <= pieces[-1][1] and round(number, 2) == number for number in found)
        assert column.encode(found, np.dtype(int)).tolist() == [code] * len(found)
        inside = sorted(n for n in numbers if column.encode([n], np.dtype(int))[0] == code)
        assert (pieces[0][0], pieces[-1][1], sum(rows for *_, rows in pieces)) == (inside[0], inside[-1], len(inside))
    assert column_from_config(json.loads(json.dumps(column.to_config()))) == column


def test_few_numbers_of_a_bin_come_as_often_as_they_are() -> None:
    numbers = [1.25] * 3 + [2.5] + [10.0] * 4 + [20.0] * 8
    column = binned(numbers, column={"x": "number:2"})
    assert column.pieces == (((1.25, 1.25, 3), (2.5, 2.5, 1), (10.0, 10.0, 4)), ((20.0, 20.0, 8),))
    assert drawn(column, 0, (np.arange(8) + 0.5) / 8) == [1.25] * 3 + [2.5] + [10.0] * 4
    assert set(drawn(column, 1)) == {20.0}


def test_numbers_drawn_are_distributed_as_the_data_and_medians_are_not() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.lognormal(3, 2, 5000).tolist()
    codec = TableCodec.fit({"x": numbers})
    codes = codec.encode({"x": numbers})

    def distance(other: list[Any]) -> float:
        at = np.sort(np.concatenate([numbers, other]))
        shares = [np.searchsorted(np.sort(part), at, side="right") / len(part) for part in (numbers, other)]
        return float(np.abs(shares[0] - shares[1]).max())

    assert codec.num_categories == default_bins(5000) == 34
    assert distance(codec.decode(codes, rng=rng)["x"]) < 0.005
    assert distance(codec.decode(codes)["x"]) > 0.01


def test_a_frequent_number_has_a_code_and_a_piece_of_its_own() -> None:
    rng = np.random.default_rng(1)
    numbers = [0] * 900 + rng.integers(1, 10**6, 600).tolist()
    column = binned(numbers)
    (code,) = column.encode([0], np.dtype(int)).tolist()
    assert column.pieces[code] == ((0, 0, 900),) and set(drawn(column, code)) == {0}
    inside = [19.99] * 30 + [round(20 + i / 10, 2) for i in range(70)]
    pieces = binned(inside, column={"x": "number:2"}).pieces[0]
    assert (19.99, 19.99, 30) in pieces and len(pieces) <= 2 * PIECES


@pytest.mark.parametrize(
    ("numbers", "decimals", "step", "kind"),
    [
        ([i + 0.99 for i in range(0, 900, 3)], 2, 300, float),
        ([500 * i + 250 for i in range(300)], 0, 500, int),
        ([float(i) for i in range(300)], 0, 1, float),
        ([f"{i / 4:.2f}" for i in range(300)], 2, 25, float),
        ([i / 7 for i in range(300)], None, 1, float),
        ([3**40 + 2 * i for i in range(300)], 0, 2, int),
    ],
)
def test_numbers_keep_their_decimals_and_their_steps(numbers: list[Any], decimals: Any, step: int, kind: type) -> None:
    column = binned(numbers, bins=5)
    assert (column.decimals, column.step) == (decimals, step)
    floats = sorted(map(kind, numbers))
    found = [number for code in range(column.size) for number in drawn(column, code)]
    assert {type(number) for number in found} == {kind}
    assert floats[0] <= min(found) and max(found) <= floats[-1]
    if decimals is not None:
        assert set(found) <= set(floats) and len(set(found)) > 250


def test_dice_follow_the_rows_so_that_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    table = {
        "x": rng.normal(size=400).tolist(),
        "kind": ["a", "b"] * 200,
        "name": [f"n{n}" for n in rng.geometric(0.2, 400)],
        "day": [f"{datetime.date.fromordinal(730000 + int(n))}" for n in rng.integers(0, 999, 400)],
    }
    codec = TableCodec.fit(table, max_categories=4)
    codes = codec.encode(table)
    whole, dice = codec.decode(codes, rng=np.random.default_rng(3)), np.random.default_rng(3)
    parts = [codec.decode(codes[begin:end], rng=dice) for begin, end in itertools.pairwise([0, 1, 150, 151, 400])]
    assert whole == {name: [value for part in parts for value in part[name]] for name in table}
    assert whole["x"] != codec.decode(codes, rng=np.random.default_rng(4))["x"]
    assert np.array_equal(codec.encode(whole)[:, [0, 1, 3]], codes[:, [0, 1, 3]])
    assert codec.decode(codes) == codec.decode(codes) and "(other)" in codec.decode(codes)["name"]
    assert "(other)" not in whole["name"]


def test_a_rare_value_is_drawn_as_often_as_it_is_or_kept_by_nobody() -> None:
    values = ["a"] * 50 + ["b"] * 30 + ["c"] * 6 + ["d"] * 3 + [None] * 5 + ["e"]
    codec = TableCodec.fit({"x": values}, max_categories=3)
    (column,) = codec.columns
    assert isinstance(column, CategoryColumn)
    assert (column.categories, column.other, column.lumped) == (
        ("a", "b", None), "(other)", (("c", 6), ("d", 3), ("e", 1))
    )  # fmt: skip
    uniforms = (np.arange(10) + 0.5) / 10
    assert column.decode(np.full(10, 3), uniforms=uniforms) == ["c"] * 6 + ["d"] * 3 + ["e"]
    assert column.decode(np.arange(3), uniforms=uniforms[:3]) == ["a", "b", None]
    assert column.possible("inside") == ["a", "b", None, "c", "d", "e"]
    assert column.possible() == ["a", "b", None, "(other)"]
    assert codec_from_config(json.loads(codec.to_json())["codec"]).fingerprint() == codec.fingerprint()
    private = TableCodec.fit({"x": values}, max_categories=3, rare="private")
    assert not any(f'"{value}"' in private.to_json() for value in "cde")
    assert private.decode(np.array([[3]]), rng=np.random.default_rng(0)) == {"x": ["(other)"]}


def test_numbers_and_rare_values_are_learnt_from_training_rows_alone() -> None:
    values = [*range(0, 1000, 2), 10**6]
    names = ["a"] * 300 + ["b"] * 198 + ["c", "d", "e"]
    columns = fit_columns({"x": values, "y": names}, FitOptions(max_categories=3), range(499))
    assert isinstance(columns[0], BinnedColumn) and isinstance(columns[1], CategoryColumn)
    assert columns[0].edges[-1] == 996 and columns[0].encode([10**6], np.dtype(int))[0] == columns[0].size - 1
    assert columns[1].lumped == (("c", 1),) or columns[1].categories == ("a", "b")
    assert ("e", 1) not in columns[1].lumped


def test_old_codecs_load_and_decode_as_they_did() -> None:
    old = {
        "name": "table",
        "columns": [
            {"name": "x", "edges": [0, 5, 9.5], "values": [2, 7.5], "has_missing": True},
            {"name": "y", "categories": ["a", None], "other": "(other)"},
        ],
    }
    codec = codec_from_config(old)
    assert isinstance(codec, TableCodec) and codec.to_config() == old
    codes = np.array([[0, 0], [1, 1], [2, 2]])
    for rng in (None, np.random.default_rng(0)):
        assert codec.decode(codes, rng=rng) == {"x": [2, 7.5, None], "y": ["a", None, "(other)"]}


@pytest.mark.parametrize(
    "change",
    [
        {"pieces": [[[0, 4, 3]]]},
        {"pieces": [[[0, 4, 3]], []]},
        {"pieces": [[[0, 4, 3]], [[5, 99, 1]]]},
        {"pieces": [[[0, 6, 3]], [[6, 9, 1]]]},
        {"pieces": [[[4, 0, 3]], [[6, 9, 1]]]},
        {"pieces": [[[0, 4, 0]], [[6, 9, 1]]]},
        {"pieces": [[[0, "4", 1]], [[6, 9, 1]]]},
        {"pieces": [[0, 4], [[6, 9, 1]]]},
        {"pieces": 3},
        {"step": 0},
        {"decimals": 400},
        {"form": "YYYY"},
        {"form": 3},
        {"form": "hh:mm", "values": [2.5, 7]},
        {"form": "YYYY-MM-DD", "edges": [0, 5, 10**9]},
        {"marks": [3]},
        {"marks": "n/a"},
    ],
)
def test_a_forged_column_is_refused(change: dict[str, Any]) -> None:
    right = {"name": "x", "edges": [0, 5, 9], "values": [2, 7], "has_missing": False, "step": 1, "marks": []}
    right |= {"pieces": [[[0, 4, 3]], [[6, 9, 1]]], "decimals": 0, "form": None}
    column_from_config(right)
    if change.get("pieces") == [[[0, 4, 3]], [[5, 99, 1]]]:
        column_from_config({**right, **change})  # the last bin holds what is above it
        return
    with pytest.raises(InputError, match=r"x|a column must have"):
        column_from_config({**right, **change})


# --- dates ---


@pytest.mark.parametrize(
    ("texts", "pattern", "numbers"),
    [
        (["1970-01-02", "2024-02-29"], "YYYY-MM-DD", [1, 19782]),
        (["31.12.1969", "01.01.1970"], "DD.MM.YYYY", [-1, 0]),
        (["1.2.1970", "31.12.1970"], "D.M.YYYY", [31, 364]),
        (["12/31/1970", "02/01/1970"], "MM/DD/YYYY", [364, 31]),
        (["31/12/1970", "02/01/1970"], "DD/MM/YYYY", [364, 1]),
        (["1970-01-01T00:01", "1970-01-02T00:00"], "YYYY-MM-DDThh:mm", [1, 1440]),
        (["1970-01-01 00:00:01", "1970-01-01 01:00:00"], "YYYY-MM-DD hh:mm:ss", [1, 3600]),
        (["1970-01-01T00:00:01Z"], "YYYY-MM-DDThh:mm:ssZ", [1]),
        (["1970-01-01 00:00:01", "1970-01-01 00:00:00.500000"], "YYYY-MM-DD hh:mm:ss[.ffffff]", [10**6, 500_000]),
        (["1970-01-01 01:00:00+01:00", "1970-01-01 01:00:00+00:00"], "YYYY-MM-DD hh:mm:ss±hh:mm", [0, 3600]),
        (["00:10", "23:59"], "hh:mm", [10, 1439]),
        (["00:00:10.250"], "hh:mm:ss.fff", [10_250]),
    ],
)
def test_dates_and_times_are_numbers_in_their_form(texts: list[str], pattern: str, numbers: list[int]) -> None:
    (form,) = forms_of(texts)
    assert (form.pattern, form.numbers_of(texts)) == (pattern, numbers)
    assert [form.number_of(text) for text in texts] == numbers
    assert form.texts_of(numbers) == [form.text_of(number) for number in numbers]
    if "±" not in pattern:
        assert form.texts_of(numbers) == texts


@pytest.mark.parametrize(
    "texts",
    [
        ["2023-02-29"], ["2024-13-01"], ["0000-01-01"], ["24:00"], ["12:60"], ["2024-1-1"],
        ["\u0662024-01-01"], ["2024-01-01", "01.01.2024"],
        ["1970-01-01 00:00:00.000000", "1970-01-01 00:00:00"], ["today"], ["2024-01-01 "], ["20240101"],
    ],
)  # fmt: skip
def test_what_is_no_date_or_of_two_forms_stays_text(texts: list[str]) -> None:
    assert forms_of(texts) == []


FORMS = [
    DateForm(pattern)
    for pattern in (
        "YYYY-MM-DD", "D.M.YYYY", "MM/DD/YYYY", "YYYY-MM-DDThh:mm", "YYYY/MM/DD hh:mm:ss.fff", "hh:mm:ss", "hh:mm",
        "YYYY-MM-DD hh:mm:ss[.ffffff]", "DD.MM.YYYY hh:mm:ss.ffffffZ",
    )
]  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(FORMS), st.datetimes(), st.text("0123456789-.:/ T", max_size=24))
def test_dates_are_read_at_once_as_one_by_one(form: DateForm, when: datetime.datetime, nonsense: str) -> None:
    parts = (when - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    number = parts * form._parts_of_day // (24 * 60 * 60 * 10**6)
    if "YYYY" not in form.pattern:
        number %= form._parts_of_day
    text = form.text_of(number)
    texts = [text, nonsense, text[:-1], f"{text}0"]
    assert form.number_of(text) == number
    assert form.numbers_of(texts) == [form.number_of(one) for one in texts]
    assert form.texts_of([number, number]) == [text, text]


def test_a_column_of_dates_is_cut_and_drawn_in_its_form() -> None:
    rng = np.random.default_rng(0)
    start = datetime.datetime(2020, 1, 1)
    hours = [f"{start + datetime.timedelta(hours=int(n)):%d.%m.%Y %H:%M}" for n in rng.integers(0, 20_000, 600)]
    column = binned(hours)
    assert (column.form, column.step) == ("DD.MM.YYYY hh:mm", 60)
    (form,) = forms_of(hours)
    numbers = [form.number_of(text) or 0 for text in hours]
    found = [text for code in range(column.size) for text in drawn(column, code, EVENLY[::50])]
    assert all(text.endswith(":00") and min(numbers) <= (form.number_of(text) or 0) <= max(numbers) for text in found)
    assert column.encode(found, np.dtype(int)).tolist() == np.arange(column.size).repeat(20).tolist()
    assert column.decode(np.zeros(1, int), ranges=True)[0].startswith("[0")  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"dates or times such as .* \(DD.MM.YYYY hh:mm\), but 'soon' stands in row 2"):
        column.encode([hours[0], "soon"], np.dtype(int))
    with pytest.raises(InputError, match=r"but 7 stands in row 1$"):
        column.encode([7], np.dtype(int))
    codec = TableCodec((column,))
    assert codec_from_config(codec.to_config()).fingerprint() == codec.fingerprint()
    assert f"{column.size} bins of DD.MM.YYYY hh:mm" in codec.describe()


def test_few_words_among_numbers_or_dates_have_codes_of_their_own() -> None:
    days = [f"{datetime.date.fromordinal(730000 + 5 * n)}" for n in range(300)]
    table = {"n": [*(f"{n / 4:.2f}" for n in range(300)), "n/a", "?", None], "d": [*days, "never", None, "never"]}
    codec = TableCodec.fit(table, bins=4)
    assert codec.describe().endswith("n 4 bins + (missing) + ?, n/a, d 4 bins of YYYY-MM-DD + (missing) + never")
    codes = codec.encode(table)
    assert codes[-3:].tolist() == [[6, 5], [5, 4], [4, 5]]
    for rng in (None, np.random.default_rng(0)):
        back = codec.decode(codes, rng=rng)
        assert (back["n"][-3:], back["d"][-3:]) == (["n/a", "?", None], ["never", None, "never"])
    assert codec_from_config(json.loads(json.dumps(codec.to_config()))).fingerprint() == codec.fingerprint()
    names = codec.category_names()
    assert names[0][-3:] == ["(missing)", "?", "n/a"] and names[1][-1] == "never"


# --- kinds of single columns, and what is chosen without ---


def test_a_column_is_what_it_is_said_to_be() -> None:
    rows = 400
    table = {"a": [i % 30 for i in range(rows)], "b": [float(i % 50) for i in range(rows)], "c": [*range(rows)]}
    table |= {"d": [f"{i % 12 + 1:02}/{i % 28 + 1:02}/2020" for i in range(rows)], "e": [f"{i}" for i in range(rows)]}
    kinds = {"a": "integer:8", "b": "integer", "c": "number:5", "d": "date:6", "e": "category:400"}
    codec = TableCodec.fit(table, column=kinds)
    assert codec.describe().endswith("a 8 bins, b 15 bins, c 5 bins, d 6 bins of MM/DD/YYYY, e 400")
    made = codec.decode(codec.encode(table), rng=np.random.default_rng(0))
    assert {type(value) for value in made["b"]} == {int}
    assert None not in DateForm("MM/DD/YYYY").numbers_of(made["d"]) and {day[-4:] for day in made["d"]} == {"2020"}
    assert TableCodec.fit({"a": [1, 2, 1]}, column={"a": "integer:8"}).describe().endswith("a 2")
    assert TableCodec.fit({"a": [*range(50)] * 2}, column={"a": "category:9"}).describe().endswith("a 8 + (other)")


@pytest.mark.parametrize(("rows", "bins"), [(1, 8), (64, 8), (1000, 20), (26_000, 59), (10**6, 200), (10**8, 256)])
def test_the_bins_grow_with_the_cube_root_of_the_rows(rows: int, bins: int) -> None:
    assert default_bins(rows) == bins


def test_numbers_are_categories_where_each_has_rows_enough() -> None:
    ages = [18 + i % 70 for i in range(700)]
    assert TableCodec.fit({"age": ages}).describe().endswith("age 70")
    assert TableCodec.fit({"age": ages[:690]}).describe().endswith("age 18 bins")
    assert TableCodec.fit({"x": [i % 257 for i in range(10_000)]}).describe().endswith("x 43 bins")
    assert TableCodec.fit({"x": [i / 8 for i in range(20)]}).describe().endswith("x 20")
    assert TableCodec.fit({"x": [i / 8 for i in range(21)]}).describe().endswith("x 8 bins")
    assert TableCodec.fit({"x": ages}, max_categories=9).describe().endswith("x 18 bins")


def test_text_with_a_value_a_row_is_an_identifier_and_all_else_is_learnt() -> None:
    for rows, values in ((99, 99), (200, 189)):
        assert TableCodec.fit({"x": [f"n{min(i, values - 1)}" for i in range(rows)]}).num_categories == values
    with pytest.raises(InputError, match="column 'x' has 190 different values in 200 rows, as identifiers do"):
        TableCodec.fit({"x": [f"n{min(i, 189)}" for i in range(200)]})
    unique = [3 * i for i in range(200)]
    assert TableCodec.fit({"x": unique}).describe().endswith("x 12 bins")
    days = [f"{datetime.date.fromordinal(730000 + i)}" for i in range(200)]
    assert TableCodec.fit({"x": days}).describe().endswith("x 12 bins of YYYY-MM-DD")
    counts = Counter(f"w{n}" for n in np.random.default_rng(0).zipf(1.5, 3000))
    words = list(counts.elements())
    codec = TableCodec.fit({"x": words})
    assert codec.num_categories == min(256, len(counts))
