"""What is said of single columns: as text, in a file of kinds, in SDV's metadata."""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bgan_discrete import load_array
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn
from bgan_discrete.errors import InputError
from bgan_discrete.sources.column_settings import column_settings

ROWS = 300
COLUMNS = {
    "key": {"sdtype": "id", "regex_format": "K-[0-9]{4}"},
    "age": {"sdtype": "numerical", "computer_representation": "Int64"},
    "pay": {"sdtype": "numerical", "computer_representation": "Float"},
    "zip": {"sdtype": "categorical"},
    "size": {"sdtype": "ordinal", "range_values": ["S", "M"]},
    "paid": {"sdtype": "boolean"},
    "born": {"sdtype": "datetime", "datetime_format": "%d/%m/%Y"},
    "mail": {"sdtype": "email", "pii": True},
    "phone": {"sdtype": "phone_number"},
    "town": {"sdtype": "city", "pii": False},
}


def table() -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    days = [datetime.date(1960, 1, 1) + datetime.timedelta(days=30 * day) for day in range(ROWS)]
    return {
        "key": [f"K-{row:04d}" for row in range(ROWS)],
        "age": rng.integers(0, 90, ROWS).tolist(),
        "pay": rng.normal(size=ROWS).tolist(),
        "zip": [f"0{row % 40}" for row in range(ROWS)],
        "size": ["S", "M"] * (ROWS // 2),
        "paid": [True, False, True] * (ROWS // 3),
        "born": [f"{1 + day.day % 12:02d}/{day.month:02d}/{day.year}" for day in days],
        "mail": [f"p{row}@x.org" for row in range(ROWS)],
        "phone": [f"{row:09d}" for row in range(ROWS)],
        "town": ["Lyon", "Rome"] * (ROWS // 2),
    }


def saved(folder: Path, content: Any) -> str:
    path = folder / "columns.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


V1 = {"columns": COLUMNS, "primary_key": "key", "METADATA_SPEC_VERSION": "SINGLE_TABLE_V1"}


@pytest.mark.parametrize(
    "metadata",
    [
        V1,
        {"tables": {"people": V1}, "relationships": [], "METADATA_SPEC_VERSION": "V1"},
        {"tables": {"people": {"columns": COLUMNS}}, "relationships": [], "METADATA_SPEC_VERSION": "V2"},
    ],
)
def test_metadata_of_sdv_are_the_settings_of_its_columns(metadata: Any, tmp_path: Path) -> None:
    name = saved(tmp_path, metadata)
    data = load_array(table(), column=f"{name},zip=category:10")
    codec = data.codec
    assert codec.column_names == ("age", "pay", "zip", "size", "paid", "born", "town")
    assert [one.name for one in codec.identifiers] == ["key"]
    kinds = {column.name: column for column in codec.columns}
    assert isinstance(kinds["age"], BinnedColumn) and kinds["age"].decimals == 0
    assert isinstance(kinds["pay"], BinnedColumn) and kinds["pay"].form is None
    assert isinstance(kinds["zip"], CategoryColumn) and kinds["zip"].size == 10
    assert isinstance(kinds["born"], BinnedColumn) and kinds["born"].form == "DD/MM/YYYY"
    assert data.notes[0] == (
        "2 of 10 columns of dataset in memory are left out, as personal data: 'mail' (email), 'phone' (phone_number); "
        "--columns or --column takes what it names"
    )
    assert f"column 'town' (sdtype 'city' of {name}) is learnt as its values are" in data.notes


def test_what_is_named_otherwise_wins_over_a_file(tmp_path: Path) -> None:
    name = saved(tmp_path, V1)
    data = load_array(
        table(), column=f"phone=identifier,{name},key=category:300", columns=["key", "mail", "phone"], drop=["mail"]
    )
    assert data.codec.column_names == ("key",) and [one.name for one in data.codec.identifiers] == ["phone"]
    named = load_array(table(), column=name, columns=["mail", "age"], max_categories=300)
    assert named.codec.column_names == ("mail", "age")
    assert load_array(table(), column=name, codec=data.codec).codec is data.codec


def test_a_file_of_kinds_may_name_more_than_the_table_has(tmp_path: Path) -> None:
    name = saved(tmp_path, {"age": "integer:5", "gone": "date"})
    data = load_array({"age": table()["age"]}, column=name)
    assert data.codec.describe().endswith("age 5 bins")
    assert data.notes[0] == "column names what is not in dataset in memory: 'gone'"
    assert column_settings(f"{name},age=integer:7").kinds == {"age": "integer:7", "gone": "date"}
    assert load_array({"age": table()["age"]}, column=name, drop=[]).codec.describe() == data.codec.describe()
    with pytest.raises(InputError, match="column 'gone' is not in the table"):
        load_array({"age": table()["age"]}, column=f"{name},gone=date")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ([], "must be {.age.: .integer:32., ...}, or metadata that SDV has saved"),
        ({"a": 1}, "must be {"),
        ({"columns": {}}, "must be {"),
        ({"columns": {"a": {}}}, "must have an sdtype for column 'a', got {}"),
        ({"fields": {"a": {"type": "numerical"}}}, "of before version 1: convert it by .*upgrade_metadata"),
        ({"tables": {"t": {"fields": {"a": {"type": "id"}}}}}, "of before version 1"),
        ({"tables": {"t": V1, "u": V1}}, r"must be about one table, got 2 \(t, u\)"),
        ({"age": "float"}, "column 'age' must be of a kind category"),
        ({"columns": {"mail": {"sdtype": "email"}}}, "has no other columns: 1 of 1 columns"),
    ],
)
def test_other_files_are_refused(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        load_array({"mail": ["a", "b"] * 20}, column=saved(tmp_path, content))
    with pytest.raises(InputError, match=r"column file 'no.json' cannot be read: No such file"):
        column_settings("no.json")


def test_rows_that_are_sequences_are_noted(tmp_path: Path) -> None:
    name = saved(tmp_path, {"columns": {"age": COLUMNS["age"]}, "sequence_key": "age", "sequence_index": None})
    (note,) = column_settings(name).notes
    assert note == f"{name} says that rows are sequences (sequence_key): each row is learnt and drawn by itself"


def test_dates_that_read_two_ways_are_read_as_they_are_said_to_be() -> None:
    born = {"born": table()["born"]}
    with pytest.raises(
        InputError, match="read as MM/DD/YYYY and DD/MM/YYYY alike; say which: --column born=date:MM/DD"
    ):
        load_array(born, column={"born": "date"})
    for form in ("DD/MM/YYYY", "MM/DD/YYYY"):
        data = load_array(born, column={"born": f"date:{form}"})
        assert data.codec.describe().endswith(f"bins of {form}")
    plain = {"born": [f"2024-{row % 12 + 1:02d}-{row % 28 + 1:02d}" for row in range(ROWS)]}
    with pytest.raises(InputError, match="cannot be of kind date:DD/MM/YYYY: it is written as YYYY-MM-DD"):
        load_array(plain, column={"born": "date:DD/MM/YYYY"})
    with pytest.raises(InputError, match=r"column 'born': the form of a date must be such as .*, got 'YY'"):
        load_array(plain, column={"born": "date:YY"})
