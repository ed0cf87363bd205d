"""Different values of tables and arrays stay different and come back as they were, or a note counts what became one.

Each property runs on 100 cases, in the long tier on 1,000, and is shown to fail with an old fault put back.
"""

import csv
import datetime
import decimal
import io
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bgan_discrete import InputError, load_array
from bgan_discrete.codecs import IntegersCodec, TableCodec, codec_from_config, fitting
from bgan_discrete.codecs.values import identity, number_of
from bgan_discrete.sources import ArrayData, conservation, describe, table_files
from bgan_discrete.sources import arrays as array_sources
from bgan_discrete.sources import tables as table_sources

EXAMPLES = pytest.mark.parametrize("examples", [100, pytest.param(1000, marks=pytest.mark.long)])

WORDS = """2 2.0 2.00 02 +2 3.1 3.10 1E1 10E0 1e5 100000 100000.0 -0 0 -0.0 0.0 00 007 1_000 1000 1,5 1e400 inf nan
NaN NA null None True TRUE true .5 5. 0.5 1e-5 1e-05 0.00001 1e16 1e+16 10000000000000000.0 e5 1e --1 0x10 #x ' \\ a;b
1234567890123456789 1234567890123456788 12345678901234567890 12345678901234567891 9007199254740993 a"b "a"
0.1 0.1000000000000000055 2020-01-01 (other) (missing) Unnamed:"""
OTHERS = [" 2", "2 ", "\u0661", "\u00b2", "x\ty", "2020-01-01 00:00:00", "Unnamed: 0", "\u2028", "\x85"]
TRICKY = [*WORDS.split(), *OTHERS]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
NUMBERS = st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False)
CELLS = (
    st.sampled_from(TRICKY)
    | TEXTS
    | NUMBERS.map(str)
    | st.builds("{:.2f}".format, st.floats(-99, 99))
    | st.builds("{}{}".format, st.sampled_from(["3.1", "1e", "20", ""]), st.integers(0, 30))
)
COLUMN_CELLS = [CELLS, st.sampled_from(["2", "2.0", "3", "2.5"]), NUMBERS.map(str), st.sampled_from(TRICKY)]

TIMES = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=2) | st.decimals(0, 1, places=25)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "integers": st.integers(-(2**63), 2**63 - 1) | st.integers(2**53, 2**53 + 3),
    "naturals": st.integers(2**64 - 4, 2**64 - 1),
    "numbers": st.floats(allow_nan=False, allow_infinity=False, width=64),
    "booleans": st.booleans(),
    "texts": st.sampled_from(TRICKY) | TEXTS,
    "dates": TIMES.map(datetime.datetime.date),
    "times": TIMES,
}
OBJECTS = {
    **KINDS,
    "decimals": DECIMALS,
    "long integers": st.integers(-(10**30), 10**30),
    "mixed": st.one_of(st.sampled_from([1, 1.0, True, "1", "1.0", "True", 0.0, -0.0]), DECIMALS, *KINDS.values()),
}


def every(examples: int, strategy: st.SearchStrategy[Any], holds: Callable[[Any], None]) -> None:
    """Whether a property holds for all examples; an error that is raised in it says for which one it does not."""
    checked = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    checked(given(strategy)(holds))()


def fails(strategy: st.SearchStrategy[Any], holds: Callable[[Any], None]) -> None:
    """Check that a property does not hold for one of 500 examples, of which the first is enough."""
    quick: Any = {"phases": [Phase.generate], "report_multiple_bugs": False, "database": None}
    found = settings(max_examples=500, deadline=None, **quick)
    with pytest.raises((AssertionError, InputError)):
        found(given(strategy)(holds))()


def columns_of(kinds: dict[str, st.SearchStrategy[Any]] | list[st.SearchStrategy[Any]], missing: bool = True) -> Any:
    """Tables of 2 to 12 rows and up to 3 columns, each of which has values of one kind, some of them missing."""

    @st.composite
    def draw_table(draw: st.DrawFn) -> dict[str, list[Any]]:
        rows = draw(st.integers(2, 12))
        names = draw(st.lists(st.sampled_from(["a", "b,c", 'd"', "ü", "1"]), min_size=1, max_size=3, unique=True))
        strategies = list(kinds.values()) if isinstance(kinds, dict) else kinds
        table = {}
        for name in names:
            kind = draw(st.sampled_from(strategies))
            values = draw(st.lists(kind | st.none() if missing else kind, min_size=rows, max_size=rows))
            table[name] = values
        return table

    return draw_table()


def loaded(dataset: Any, **options: Any) -> ArrayData:
    """All rows of a data set, in their order."""
    return load_array(dataset, heldout=dataset, holdout=0.5, **options)


def assert_noted(name: str, before: int, after: int, data: ArrayData) -> None:
    """Fewer values than came in are counted in a note that names the column."""
    assert before == after or any(repr(name) in note and " become " in note for note in data.notes), (name, data.notes)


def is_same(given: Any, back: Any) -> bool:
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return back is None
    if isinstance(given, decimal.Decimal):
        return not isinstance(back, bool) and decimal.Decimal(str(back)) == given
    if isinstance(given, (str, bool, int, float)):
        return identity(given) == identity(back)
    return str(given) == back


def assert_conserved(given: dict[str, list[Any]], data: ArrayData) -> None:
    assert isinstance(data.codec, TableCodec)
    back = data.codec.decode(data.codes)
    assert list(back) == list(given)
    for name, values in given.items():
        different = {identity(None if isinstance(v, float) and math.isnan(v) else v) for v in values}
        assert_noted(name, len(different), len(set(map(identity, back[name]))), data)
        for value, found in zip(values, back[name], strict=True):
            is_noted = any(repr(name) in note for note in data.notes)
            is_one_number = isinstance(value, (int, float)) and value == found and is_noted
            assert is_same(value, found) or is_one_number, (name, value, found)
    assert all(f"note:        {note}" in describe(data).splitlines() for note in data.notes)


# --- files of cells ---


def cells_come_back(path: Path, line_end: str = "\n") -> Callable[[Any], None]:
    delimiter = "\t" if path.suffix == ".tsv" else ","

    def holds(table: dict[str, list[str | None]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        data = loaded(path, delimiter=delimiter)  # a single name may hold another one
        back = data.codec.decode(data.codes)
        assert set(back) == set(table)
        for name, cells in table.items():
            found = [None if value is None else str(value) for value in back[name]]
            expected = [cell or None for cell in cells]
            assert_noted(name, len(set(expected)), len(set(found)), data)
            for cell, text_back in zip(expected, found, strict=True):
                assert cell == text_back or {cell, text_back} == {"2", "2.0"} or (
                    {cell, text_back} <= {str(int(float(cell or 0))), str(float(cell or 0))}
                ), (name, cell, text_back)  # fmt: skip

    return holds


@EXAMPLES
@pytest.mark.parametrize(("name", "line_end"), [("t.csv", "\n"), ("t.tsv", "\r\n")])
def test_cells_of_files_come_back_as_they_were_written(tmp_path: Path, examples: int, name: str, line_end: str) -> None:
    every(examples, columns_of(COLUMN_CELLS, missing=True), cells_come_back(tmp_path / name, line_end))


def typed_as_it_was(cells: list[Any]) -> list[Any]:
    """What became of a column's cells before: integers of up to 18 digits, else numbers of whatever spelling."""
    present = {cell for cell in cells if cell is not None}
    if present and all(re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", cell) and cell != "-0" for cell in present):
        return [None if cell is None else int(cell) for cell in cells]
    if present and all(number_of(cell) is not None for cell in present):
        return [None if cell is None else float(cell) for cell in cells]
    return list(cells)


def test_cells_read_as_they_were_before_do_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_sources, "_typed", typed_as_it_was)
    fails(columns_of(COLUMN_CELLS), cells_come_back(tmp_path / "t.csv"))


def test_numbers_that_become_one_without_a_note_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conservation, "merges", lambda *_: [])
    fails(columns_of(COLUMN_CELLS), cells_come_back(tmp_path / "t.csv"))


# --- parquet, frames, dictionaries, structured arrays ---


def as_parquet(table: dict[str, list[Any]], folder: Path) -> Any:
    columns = {}
    for name, values in table.items():
        is_large = any(isinstance(value, int) and value >= 2**63 for value in values)
        columns[name] = pyarrow.array(values, pyarrow.uint64() if is_large else None)
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
    return folder / "t.parquet"


def as_arrow_frame(table: dict[str, list[Any]], folder: Path) -> Any:
    return pd.read_parquet(as_parquet(table, folder), dtype_backend="pyarrow")


def as_arrow(table: dict[str, list[Any]], folder: Path) -> Any:
    return pyarrow.parquet.ParquetFile(as_parquet(table, folder)).read()


def as_frame(table: dict[str, list[Any]], folder: Path) -> Any:
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})


def as_categories(table: dict[str, list[Any]], folder: Path) -> Any:
    return as_frame(table, folder).astype("category")


@EXAMPLES
@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        (as_parquet, KINDS),
        (as_arrow_frame, KINDS),
        (as_arrow, KINDS),
        (as_categories, KINDS),
        (as_frame, OBJECTS),
        (lambda table, folder: table, OBJECTS),
    ],
)
def test_values_in_memory_and_parquet_come_back(tmp_path: Path, examples: int, source: Any, kinds: Any) -> None:
    def holds(table: dict[str, list[Any]]) -> None:
        if source is as_categories:  # pandas has one category for 0.0 and -0.0
            table = {
                name: [0.0 if isinstance(value, float) and value == 0 else value for value in values]
                for name, values in table.items()
            }
        assert_conserved(table, loaded(source(table, tmp_path)))

    every(examples, columns_of(kinds), holds)


def test_values_read_through_numbers_with_a_point_do_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pandas' own reading makes floating-point numbers of integers where one is missing."""
    frame_of = pyarrow.Table.to_pandas
    monkeypatch.setattr(pd, "ArrowDtype", None)
    assert frame_of(pyarrow.table({"a": [2**53 + 1, None]}), types_mapper=None)["a"][0] == 2.0**53
    fails(columns_of(KINDS), lambda table: assert_conserved(table, loaded(as_parquet(table, tmp_path))))


def test_values_that_become_one_by_their_text_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conservation, "merges", lambda *_: [])
    mixed = st.sampled_from([datetime.date(2020, 1, 1), "2020-01-01", 2, 2.0])
    fails(columns_of([mixed]), lambda table: assert_conserved(table, loaded(table)))


def as_structured(table: dict[str, list[Any]]) -> Any:
    columns = {name: np.array(values) for name, values in table.items()}
    types = [(name, values.dtype if values.dtype.itemsize else "U1") for name, values in columns.items()]
    fields = np.empty(len(next(iter(columns.values()))), types)
    for name, values in columns.items():
        fields[name] = values
    return fields


def without_empty(table: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The empty text is a missing value of an array, and NumPy drops NUL and what follows numbers of two kinds."""
    return {name: [None if value == "" else value for value in values] for name, values in table.items()}


@EXAMPLES
def test_structured_arrays_and_arrays_of_texts_come_back(tmp_path: Path, examples: int) -> None:
    def holds(table: dict[str, list[Any]]) -> None:
        fields = as_structured(table)
        assert_conserved(without_empty({name: fields[name].tolist() for name in table}), loaded(fields))
        np.save(tmp_path / "t.npy", fields)
        assert_conserved(without_empty({name: fields[name].tolist() for name in table}), loaded(tmp_path / "t.npy"))
        texts = np.array([[str(value) for value in values] for values in table.values()]).T
        expected = {f"column_{place}": values.tolist() for place, values in enumerate(texts.T)}
        assert_conserved(without_empty(expected), loaded(texts, layout="table"))

    kinds = [KINDS[name] for name in ("integers", "numbers", "booleans", "texts")]
    every(examples, columns_of(kinds, missing=False), holds)


# --- arrays ---


@st.composite
def integer_arrays(draw: st.DrawFn) -> Any:
    dtype = np.dtype(draw(st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", "?"])))
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), 2**63 - 1))
    some = draw(st.lists(st.integers(low, high), min_size=1, max_size=6))
    shape = (draw(st.integers(2, 5)), *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    values = draw(st.lists(st.sampled_from(some), min_size=math.prod(shape), max_size=math.prod(shape)))
    return np.array(values, dtype).reshape(shape)


@st.composite
def character_arrays(draw: st.DrawFn) -> Any:
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    some = draw(st.lists(letters, min_size=2, max_size=6, unique=True))
    shape = (draw(st.integers(2, 5)), *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    values = draw(st.lists(st.sampled_from(["", *some]), min_size=math.prod(shape), max_size=math.prod(shape)))
    values[:2] = some[:2]
    return np.array((values * 2)[: math.prod(shape)]).reshape(shape)


def array_comes_back(array: Any) -> None:
    data = loaded(array)
    assert isinstance(data.codec, IntegersCodec)
    assert data.num_categories == max(2, len(np.unique(array)))
    back = data.codec.decode(data.codes)
    assert back.shape == array.shape and (back == array).all()
    assert codec_from_config(data.codec.to_config()).fingerprint() == data.codec.fingerprint()
    assert not data.notes


@EXAMPLES
@pytest.mark.parametrize("arrays", [integer_arrays(), character_arrays()])
def test_arrays_come_back_with_a_category_for_each_value(examples: int, arrays: Any) -> None:
    every(examples, arrays, array_comes_back)


def test_a_category_for_each_integer_of_the_range_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(values: Any) -> IntegersCodec:
        return IntegersCodec(values.shape[1:], max(2, int(values.max()) - int(values.min()) + 1), int(values.min()))

    monkeypatch.setattr(IntegersCodec, "fit", fit)
    fails(integer_arrays(), array_comes_back)


# --- bins, lumping, and what an error advises ---


def many_rows(seed: int, rows: int, kinds: list[Any]) -> dict[str, list[str]]:
    """A table of many rows, whose values hypothesis would take long to draw one by one."""
    rng = np.random.default_rng(seed)
    makers: list[Callable[[int], str]] = [
        str,
        lambda n: str(n % 7),
        lambda n: f"{n:08d}",
        lambda n: f"{n / 100:.2f}",
        lambda n: repr(n / 64),
        lambda n: f"{datetime.date.fromordinal(700000 + n % 9999)}",
        lambda n: f"word {n % 400}",
        lambda n: str(10**19 + n % 300),
        lambda n: f"{n}" if n % 50 else "NA",
        lambda n: f"{n % 999},5",
        lambda n: f"3.{n % 30}",
    ]
    table = {}
    for place, kind in enumerate(kinds):
        spread = [30, 300, 10**6][int(rng.integers(3))]
        table[f"c{place}, {kind}" if kind % 2 else f"c{place}"] = [
            makers[kind % len(makers)](int(n)) for n in rng.integers(0, spread, rows)
        ]
    return table


TABLES_OF_MANY = st.tuples(
    st.integers(0, 10**6), st.sampled_from([40, 300, 600]), st.lists(st.integers(0, 10), min_size=1, max_size=3)
)


def loads_without_options(path: Path) -> Callable[[Any], None]:
    def holds(drawn: tuple[int, int, list[int]]) -> None:
        table = many_rows(*drawn)
        path.write_text(table_files.format_csv(table), encoding="utf-8")
        try:
            data = loaded(path)
        except InputError as error:
            # Only where no column is left.
            assert all(f"column {name!r}" in str(error) or f" {name!r}" in str(error) for name in table)
            return
        left_out = [name for name in table if name not in (data.codec.column_names or ())]
        for name in left_out:
            assert any(f"column {name!r}" in note and "left out" in note for note in data.notes), (name, data.notes)
        assert_counted(table, data)

    return holds


def assert_counted(table: dict[str, list[str]], data: ArrayData) -> None:
    """The notes count the values of the columns of which some became one."""
    back = data.codec.decode(data.codes)
    counts = [(len({c or None for c in table[name]}), len(set(map(identity, back[name])))) for name in back]
    before, after = (sum(part) for part in zip((0, 0), *(pair for pair in counts if pair[0] > pair[1]), strict=True))
    said = [re.match(r"([0-9,]+) different values of .* become ([0-9,]+) \(", note) for note in data.notes]
    pairs = [tuple(int(count.replace(",", "")) for count in match.groups()) for match in said if match]
    assert (before, after) == tuple(sum(part) for part in zip((0, 0), *pairs, strict=True)), (counts, data.notes)


@EXAMPLES
def test_tables_of_many_rows_load_without_options(tmp_path: Path, examples: int) -> None:
    every(examples, TABLES_OF_MANY, loads_without_options(tmp_path / "t.csv"))


def test_columns_left_out_without_a_word_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "IDENTIFIER_SHARE", 0.3)
    of_columns = array_sources._fit

    def silent(rows: Any, count: int, options: Any, training: Any, request: Any, place: str) -> Any:
        codec = of_columns(rows, count, options, training, request, place)
        request.findings.warnings.clear()
        return codec

    monkeypatch.setattr(array_sources, "_fit", silent)
    fails(TABLES_OF_MANY, loads_without_options(tmp_path / "t.csv"))


def test_merged_bins_without_a_count_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conservation, "merges", lambda *_: [])
    fails(TABLES_OF_MANY, loads_without_options(tmp_path / "t.csv"))


def test_a_warning_is_logged_for_what_no_option_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        data = load_array({"a": [1, 1.0] * 10, "b": list(range(20))}, bins=5)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == data.notes[0]
    assert said.startswith("2 different values of 'a' of dataset in memory become 1 (such as 1 and 1.0 of 'a' become 1")
    assert data.notes[1].startswith("20 different values of 'b' of dataset in memory become 5 (such as 0 and 1 of 'b' ")
