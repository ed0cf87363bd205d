"""Tables of different origin are matched by name, and coded by what the real rows are."""

from pathlib import Path

import numpy as np
import pandas
import pytest

from bgan_discrete.errors import InputError
from bgan_discrete.sources.matched_tables import UNKNOWN_NAME, match_tables


def test_columns_of_numbers_dates_and_categories() -> None:
    real = {
        "amount": [n / 4 for n in range(100)],
        "when": [f"2024-01-{1 + n % 28:02d}" for n in range(100)],
        "kind": ["a", "b", None, "c"] * 25,
        "flag": [True, False] * 50,
        "count": [1, 2, 3, 4] * 25,
    }
    synthetic = {
        "count": [1, 2.0, 2.5, None],
        "amount": ["3.25", "1e2", "many", None],
        "when": ["2024-01-05", "2023-12-31", "soon", None],
        "kind": ["a", "z", None, "b"],
        "flag": ["True", "False", None, "True"],
    }
    tables = match_tables(real, synthetic, bins=10)
    assert tables.names == tuple(real)
    assert tables.is_number == (True, True, False, False, True) and tables.is_date == (False, True, False, False, False)
    values, codes = tables.values[1], tables.codes[1]
    assert values[:2, 0].tolist() == [3.25, 100] and np.isnan(values[2:, 0]).all()
    day = 86_400
    assert np.diff(values[:2, 1]).tolist() == [-5 * day] and np.isnan(values[2:, 1]).all()
    named = [tables.categories[2][code] for code in codes[:, 2]]
    assert named == ["a", UNKNOWN_NAME, "(missing)", "b"]
    assert [tables.categories[3][code] for code in codes[:, 3]] == ["True", "False", "(missing)", "True"]
    # 2.0 is the 2 of the real rows; 2.5 is not among their few numbers, though it is one.
    assert [tables.categories[4][code] for code in codes[:, 4]] == ["1", "2", UNKNOWN_NAME, "(missing)"]
    assert values[:3, 4].tolist() == [1, 2, 2.5]
    # Equal values have equal numbers in all tables, and bins hold numbers beyond those of the real rows.
    assert values[0, 2] == tables.values[0][0, 2] != values[1, 2]
    assert tables.categories[0][codes[1, 0]].endswith("24.75]")
    assert tables.categories[1][0].startswith("2024-01-01") or "2023-12-31" in tables.categories[1][0]
    text = "\n".join(tables.notes)
    for note in (
        "1 of 4 values of column 'amount' of synthetic are no numbers, as those of the real rows are, and count as "
        "missing (such as 'many')",
        "1 of 4 values of column 'when' of synthetic are no dates",
        "1 of 4 values of column 'kind' of synthetic are in none of the real rows (such as 'z')",
        "1 of 4 values of column 'count' of synthetic are in none of the real rows (such as 2.5)",
    ):
        assert note in text, text


def test_columns_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    rows = 300
    real = pandas.DataFrame(
        {
            "id": [f"u{n}" for n in range(rows)],
            "x": [n * 7 % 100 for n in range(rows)],
            "y": ["p", "q"] * 150,
            "void": None,
            "only": 1,
        }
    )
    real.drop(columns="void").assign(void="").to_csv(tmp_path / "real.csv", index=False)
    pandas.DataFrame({"y": ["p"] * 3, "id": ["a"] * 3, "x": [1.5] * 3, "void": [""] * 3, "more": 1}).to_csv(
        tmp_path / "synthetic.csv", index=False
    )
    tables = match_tables(tmp_path / "real.csv", tmp_path / "synthetic.csv", tmp_path / "real.csv")
    assert tables.names == ("x", "y") and len(tables.codes) == 3
    text = "\n".join(tables.notes)
    assert "column 'id' has 300 different values" in text and "it is left out" in text
    assert "column 'void' has no values in the real rows: it is left out" in text
    assert "lacks the column 'only', which is not compared" in text
    assert "has the column 'more', which the real rows lack or leave out" in text
    some = match_tables(tmp_path / "real.csv", tmp_path / "synthetic.csv", columns=["y", "only"])
    assert some.names == ("y",)
    dropped = match_tables(tmp_path / "real.csv", tmp_path / "synthetic.csv", drop=["id", "only"])
    assert dropped.names == ("x", "y") and "only" not in "\n".join(dropped.notes)


def test_what_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must have columns in common, by name; real has a, synthetic b"):
        match_tables({"a": [1, 2]}, {"b": [1, 2]})
    with pytest.raises(InputError, match="no usable column in common: column 'a' has no values"):
        match_tables({"a": [None, None]}, {"a": [1, 2]})
    with pytest.raises(InputError, match=r"synthetic 'none\.csv' is neither"):
        match_tables({"a": [1, 2]}, "none.csv")
    with pytest.raises(InputError, match="drop 'z' is not in the table"):
        match_tables({"a": [1, 2]}, {"a": [1, 2]}, drop=["z"])
