"""Rows of tables under conditions and constraints, against the law of a generator whose conditionals are in a table."""

import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from tabled_rounds import TabledRounds, fits
from torch import Tensor

from bgan_discrete import InputError, MLPGenerator, Pipeline, SampleSpace
from bgan_discrete.codecs import IntegersCodec, TableCodec
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn
from bgan_discrete.kinds.conditions import conditions_of
from bgan_discrete.kinds.constraints import determined_columns, proposed_constraints
from bgan_discrete.runs.generate import draw_in_parts

CODEC = TableCodec(
    [
        CategoryColumn("town", ("Köln", "Lyon", "Paris")),
        CategoryColumn("country", ("France", "Germany", "(none)")),
        BinnedColumn("age", (0.0, 20.0, 40.0, 60.0), (15.0, 30.0, 45.0)),
    ]
)
WIDE = TableCodec(
    [
        CategoryColumn("job, or none", ("a, b", 'c "d"', "e"), "(other)"),
        CategoryColumn("job", (1, 2, 3, None)),
        CategoryColumn("day", ("2020-01-01", "2020-02-01", "2021-01-01")),
        BinnedColumn("a<b", (0.0, 10.0, 20.0, 30.0, 30.0), (5.0, 15.0, 25.0, 30.0), True),
        CategoryColumn("born in", ("x (y)", "z")),
    ]
)
T, F = True, False

pytestmark = pytest.mark.usefixtures("float64")


def pipeline_of(codec: TableCodec = CODEC, ranks: tuple[int, ...] = (1, 2, 0), causal: bool = True) -> Pipeline:
    return Pipeline(TabledRounds(codec.space, (1,) * len(ranks), ranks, causal), codec)


def law_where(pipeline: Pipeline, holds: Callable[[dict[str, Any]], bool]) -> dict[tuple[int, ...], Tensor]:
    """The exact law of the codes, given what decoded rows are to be."""
    assert isinstance(pipeline.generator, TabledRounds)
    law = pipeline.generator.law()
    rows = {x: {k: v[0] for k, v in pipeline.codec.decode(np.array([x], np.uint8)).items()} for x in law}
    kept = {x: q if holds(rows[x]) else torch.zeros(()) for x, q in law.items()}
    total = torch.stack(list(kept.values())).sum()
    return {x: q / total for x, q in kept.items()}


# --- given ---


@pytest.mark.parametrize(
    ("text", "allowed", "is_checked"),
    [
        ("job=2", [F, T, F, F], F),
        ("job==2", [F, T, F, F], F),
        ("job != 2", [T, F, T, F], F),
        ("job>=2", [F, T, T, F], F),
        ("job < 2.5", [T, T, F, F], F),
        ("job in (1, 3)", [T, F, T, F], F),
        ("job not in (1,3)", [F, T, F, F], F),
        ("day>2020-01-15", [F, T, T], F),
        ("day<=2020", [F, F, F], F),
        ('"job, or none=a, b"', [T, F, F, F], F),
        ('job, or none in ("a, b", e)', [T, F, T, F], F),
        ('"job, or none=c ""d"""', [F, T, F, F], F),
        ("job, or none!=e", [T, T, F, T], F),
        ('job, or none="(other)"', [F, F, F, T], F),
        ("born in=x (y)", [T, F], F),
        ("born in in (z)", [F, T], F),
        ("a<b=12", [F, T, F, F, F], F),
        ("a<b>=10", [F, T, T, T, F], F),
        ("a<b>=15", [F, T, T, T, F], T),
        ("a<b>20", [F, F, T, T, F], T),
        ("a<b<20", [T, T, F, F, F], F),
        ("a<b<=20", [T, T, T, F, F], T),
        ("a<b<=30", [T, T, T, T, F], F),
        ("a<b<30", [T, T, T, F, F], F),
        ("a<b>=30", [F, F, F, T, F], F),
        ("a<b!=30", [T, T, T, F, F], F),
        ("a<b!=5", [T, T, T, T, F], T),
        ("a<b<-1", [F, F, F, F, F], F),
        ("a<b>29", [F, F, T, T, F], T),
    ],
)
def test_codes_that_a_condition_allows(text: str, allowed: list[bool], is_checked: bool) -> None:
    if text.startswith("job, or none"):  # the comma of a name in double quotes, with those inside it doubled
        text = '"' + text.replace('"', '""') + '"'
    (condition,) = conditions_of(text, WIDE)
    assert condition.allowed.tolist() == allowed
    assert (condition.holds is not None) == is_checked


def test_conditions_are_read_one_by_one() -> None:
    found = conditions_of('job in (1, 2),day>=2020-02-01 , job!=2,"job, or none=a, b",born in in (z)', WIDE)
    assert [condition.text for condition in found] == [
        "job in (1, 2)", "day>=2020-02-01", "job!=2", "job, or none=a, b", "born in in (z)"
    ]  # fmt: skip
    given = pipeline_of(WIDE, (0, 1, 2, 3, 4)).given_codes("job in (1, 2),job!=2,day>=2020-02-01,a<b>=15")
    hidden = WIDE.num_categories
    assert given.codes.tolist() == [[hidden, 0, hidden, hidden, hidden]]  # job is 1
    assert {place: codes.tolist() for place, codes in given.allowed.items()} == {
        2: [F, T, T, F, F], 3: [F, T, T, T, F]
    }  # fmt: skip
    (rule,) = given.rules
    assert rule.text == "given a<b>=15"
    assert rule.holds({"a<b": [14.9, 15, 30, None]}, np.zeros((4, 5))).tolist() == [F, T, T, F]


@pytest.mark.parametrize("causal", [T, F])
@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ("town=Lyon", lambda row: row["town"] == "Lyon"),
        ("country!=Germany,town in (Lyon, Paris)", lambda row: row["country"] != "Germany" and row["town"] != "Köln"),
        ("age>=20", lambda row: row["age"] >= 20),
        ("age>=35", lambda row: row["age"] >= 35),  # a bin is cut, and its median is below
        ("age>=10,age<35,country=France", lambda row: row["age"] < 35 and row["country"] == "France"),
        ({"country": "France"}, lambda row: row["country"] == "France"),
    ],
)
def test_rows_under_conditions_follow_the_conditional_law(
    given: Any, holds: Callable[[dict[str, Any]], bool], causal: bool
) -> None:
    pipeline = pipeline_of(causal=causal)
    samples = pipeline.generate(3000, 0, 3000, given=given)
    rows = [dict(zip(samples.values, row, strict=True)) for row in zip(*samples.values.values(), strict=True)]
    assert all(map(holds, rows))
    if causal:  # the law of a masked one is that of the order in which what is given comes first
        assert fits(torch.from_numpy(samples.codes), law_where(pipeline, holds))


def test_two_borders_may_leave_nothing_of_a_bin() -> None:
    pipeline = pipeline_of()
    given = pipeline.given_codes("age>=25,age<45")
    assert given.allowed[2].tolist() == [F, T, T] and len(given.rules) == 2
    assert pipeline.given_codes("age>=25,age<38").codes.tolist() == [[3, 3, 1]]
    with pytest.raises(InputError, match="given: column 'age' has no value with age>=35 and age<25"):
        pipeline.given_codes("age>=35,age<25")


def test_each_row_of_a_file_has_its_law(tmp_path: Path) -> None:
    pipeline = pipeline_of()
    frame = pandas.DataFrame({"town": ["Lyon", None, "Paris"], "country": [None, "France", "(none)"]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    codes = pipeline.generate(6000, 3, 6000, given=tmp_path / "rows.csv").codes
    for part, (town, country) in zip(np.split(codes, 3), frame.itertuples(index=False), strict=True):

        def holds(row: dict[str, Any], town: Any = town, country: Any = country) -> bool:
            return (pandas.isna(town) or row["town"] == town) and (pandas.isna(country) or row["country"] == country)

        assert fits(torch.from_numpy(part), law_where(pipeline, holds))


def test_classes_are_balanced() -> None:
    pipeline = pipeline_of()
    made = pipeline.sample(3000, given={"country": ["France", "Germany"]})
    assert made["country"].tolist() == ["France"] * 1500 + ["Germany"] * 1500
    codes = pipeline.generate(3000, 0, given={"country": ["France", "Germany"]}).codes
    assert fits(torch.from_numpy(codes[1500:]), law_where(pipeline, lambda row: row["country"] == "Germany"))


def test_what_the_model_gives_no_probability_is_refused() -> None:
    pipeline = pipeline_of()
    with torch.no_grad():
        pipeline.generator.table[..., 1, 0] = -1e300
    with pytest.raises(InputError, match="given must be possible together, but the model gives it probability 0"):
        pipeline.generate(5, given="country=France")


def test_given_values_that_come_later_and_resampling_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of()
    monkeypatch.setattr(pipeline, "_resampler", lambda resample, _: object() if resample > 1 else None)
    with pytest.raises(InputError, match=r"resample must be 1 where what is given does not come first .* got 4"):
        pipeline.generate(5, given="town=Lyon", resample=4)


# --- constraints ---

AGES = "country != 'Germany' or age > 15"


@pytest.mark.parametrize("given", [None, "town in (Lyon, Paris)", {"town": "Lyon"}])
def test_rows_obey_constraints_and_follow_the_law_given_that(given: Any, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = pipeline_of()

    def younger(columns: Any) -> Any:
        return columns["age"] < 40

    def holds(row: dict[str, Any]) -> bool:
        is_given = given is None or row["town"] == "Lyon" or (isinstance(given, str) and row["town"] == "Paris")
        return is_given and (row["country"] != "Germany" or row["age"] > 15) and row["age"] < 40

    samples = pipeline.generate(3000, 1, 1000, given=given, constraints=[AGES, younger])
    assert fits(torch.from_numpy(samples.codes), law_where(pipeline, holds))
    assert samples.values == pipeline.codec.decode(samples.codes)
    effort = samples.effort
    assert effort.drawn - effort.refused >= 3000 and set(effort.broken) == {AGES, "younger"}
    law = law_where(pipeline, lambda row: True)
    share = 1 - sum(law[x].item() for x, q in law_where(pipeline, holds).items() if q.item() > 0)
    if given is None:
        assert effort.refused / effort.drawn == pytest.approx(share, abs=0.03)
    line = effort.lines()[-1]
    assert line.startswith("constraints: ") and f"of {effort.drawn:,} rows" in line and f"({AGES}: " in line
    with caplog.at_level(logging.WARNING):
        pipeline.sample(20, constraints=AGES)
    assert caplog.messages[-1].startswith("constraints: ") and "rows were refused" not in caplog.messages[-1]


def test_rare_rows_are_found_and_a_rule_that_refuses_nearly_all_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bgan_discrete.models.obeying.MAX_DRAWS", 2000)
    pipeline = pipeline_of()
    rare = "town == 'Köln' and country == '(none)' and age < 20"
    samples = pipeline.generate(30, 1, constraints=rare)
    assert (samples.codes == [0, 2, 0]).all()
    with pytest.raises(InputError, match=r"constraints must leave some rows: 0 of 2,\d{3} draws obey .* 'age > 50'"):
        pipeline.generate(300, 1, constraints=[rare, "age > 50"])
    given = {"town": ["Lyon"] * 40 + ["Köln"]}
    with pytest.raises(InputError, match=r"none of 2,\d{3} draws obeys all of them with what is given for row 41"):
        pipeline.generate(41, 1, given=given, constraints="town == 'Lyon'")


def test_parts_of_a_long_draw_are_those_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of()
    options: dict[str, Any] = {"given": "country!=Germany", "constraints": ["age < 40"]}
    whole = pipeline.generate(50, 4, 20, **options)
    monkeypatch.setattr("bgan_discrete.runs.generate.PART", 20)
    parts = list(draw_in_parts(pipeline, 50, 4, **options))
    assert [len(part) for part in parts] == [20, 20, 10]
    assert np.array_equal(np.concatenate([part.codes for part in parts]), whole.codes)


def test_combinations_of_the_training_data_or_of_a_file(tmp_path: Path) -> None:
    pipeline = pipeline_of()
    rows = pandas.DataFrame({"town": ["Köln", "Lyon"], "country": ["Germany", "France"], "age": [1.0, 50.0]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    file = str(tmp_path / "rows.csv")
    made = pipeline.sample(200, constraints=f"combinations(town, country, '{file}')")
    assert {*zip(made["town"], made["country"], strict=True)} == {("Köln", "Germany"), ("Lyon", "France")}
    with pytest.raises(InputError, match="are known to a model in the folder of its run; else name a file of rows"):
        pipeline.sample(2, constraints="combinations(town, country)")
    pipeline.data = type("Data", (), {"codes": np.array([[2, 2, 0], [2, 0, 1]])})
    made = pipeline.sample(200, constraints="combinations(country, age)")
    assert {*zip(made["country"], made["age"], strict=True)} == {("(none)", 15.0), ("France", 30.0)}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"constraints": "size > 3"},
            "constraint 'size > 3' cannot be used at character 1: 'size' is no column; there",
        ),
        ({"constraints": "age > 'x'"}, "'x' is text, and column 'age' a number"),
        ({"constraints": "age > 3", "decode": "ranges"}, "constraints need numbers: decode must be"),
        ({"constraints": [lambda columns: True]}, "constraint <lambda> must give a boolean for each of 2 rows"),
        ({"constraints": [3]}, "constraint must be an expression such as end >= start, got 3"),
    ],
)
def test_constraints_that_cannot_be(options: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pipeline_of().generate(2, **options)


def test_constraints_are_for_tables() -> None:
    pipeline = Pipeline(MLPGenerator(SampleSpace((2,), 3), 4, 8, 1), IntegersCodec((2,), 3))
    with pytest.raises(InputError, match="constraints are for tables; the model is one of rows"):
        pipeline.generate(2, constraints="a > b")


def test_constraints_need_no_rounds() -> None:
    pipeline = Pipeline(MLPGenerator(CODEC.space, 4, 8, 1), CODEC)
    made = pipeline.sample(50, constraints="town == 'Köln' and age >= 40")
    assert set(made["town"]) == {"Köln"} and set(made["age"]) == {45.0}


# --- columns that others determine ---


def test_determined_columns_are_found() -> None:
    rng = np.random.default_rng(0)
    town = rng.integers(0, 9, 4000)
    country, currency = town // 3, np.array([1, 0, 1])[town // 3]
    coin, same = rng.integers(0, 2, 4000), (town + 4) % 9
    broken = np.where(np.arange(4000) == 3999, 1 - currency, currency)
    key = np.arange(4000)
    columns = [town, country, currency, coin, same, broken, key, 0 * town]
    codes = np.stack(columns, 1)
    # The country decides the currency, and not only the town does; a key decides nothing, nor does one wrong row.
    assert determined_columns(codes, codes.max(0) + 1) == [(0, 1), (1, 2), (0, 4)]
    assert determined_columns(codes[:8], codes.max(0) + 1) == []


def test_determined_columns_are_proposed_as_constraints() -> None:
    rows = [(0, 1, 2), (1, 0, 1), (2, 0, 0), (1, 0, 2)]
    codec = TableCodec([*CODEC.columns[:2], CategoryColumn("my age", (1, 2, 3))])
    (line,) = proposed_constraints(np.array(rows * 50), codec)
    assert line == (
        "in all training rows town decides country; to keep it in every sample, generate with "
        '--constraint "combinations(town, country)"'
    )
    assert proposed_constraints(np.array(list(itertools.product(range(3), repeat=3)) * 9), codec) == []


# --- values that codes do not tell ---

LUMPED = TableCodec(
    [
        CategoryColumn("town", ("Köln", "Lyon"), "(other)"),
        BinnedColumn("age", (0.0, 20.0, 40.0, 60.0), (15.0, 30.0, 45.0)),
        CategoryColumn("plan", ("a", "b", "c")),
    ]
)


@pytest.mark.parametrize("ranks", [(0, 1, 2), (2, 1, 0)], ids=["first", "last"])
@pytest.mark.parametrize("decode", ["inside", "median"])
def test_what_is_given_comes_back_as_it_was_given(ranks: tuple[int, ...], decode: str) -> None:
    pipeline = pipeline_of(LUMPED, ranks)
    for given in ("age=33,town=Ulm", {"age": 33, "town": "Ulm"}, {"age": [33], "town": ["Ulm"]}):
        found = pipeline.generate(30, given=given, decode=decode)
        assert found.values["age"] == [33] * 30
        assert found.values["town"] == ["Ulm"] * 30
        assert set(found.codes[:, 1]) == {1}
        assert set(found.codes[:, 0]) == {2}
    rows = pipeline.generate(30, given={"age": [1, None, 59], "town": ["Ulm", "Lyon", None]}, decode=decode).values
    assert rows["age"][:10] == [1] * 10
    assert rows["age"][20:] == [59] * 10
    assert all(isinstance(age, float) for age in rows["age"][10:20]), "what is not given is drawn"
    assert rows["town"][:20] == ["Ulm"] * 10 + ["Lyon"] * 10
    assert pipeline.generate(5, given="age=33", decode="ranges").values["age"] == ["[20, 40)"] * 5


def test_constraints_see_what_is_given() -> None:
    pipeline = pipeline_of(LUMPED)
    assert set(pipeline.generate(20, given="age=33", constraints="age == 33 and plan != 'a'").values["age"]) == {33}
    rows = pipeline.generate(20, given={"age": [5, 33]}, constraints="plan == 'b' or age == 33").values
    assert rows["age"] == [5] * 10 + [33] * 10 and set(rows["plan"][:10]) == {"b"}
    with pytest.raises(InputError, match="constraints must leave some rows"):
        pipeline.generate(5, given="age=33", constraints="age != 33")


def test_parts_of_samples_have_what_is_given() -> None:
    pipeline, given = pipeline_of(LUMPED, (2, 1, 0)), {"age": [5, 33, 59], "plan": ["a", "b", "c"]}
    whole = pipeline.generate(2500, given=given).values["age"]
    parts = [part.values["age"] for part in draw_in_parts(pipeline, 2500, 0, given=given)]
    assert [age for part in parts for age in part] == whole
    assert whole[0] == 5 and whole[1250] == 33 and whole[-1] == 59


def test_dates_in_bins_have_an_order() -> None:
    dates = [f"2020-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    codec = TableCodec.fit({"day": dates, "plan": ["a", "b"] * 168}, bins=8)
    pipeline = pipeline_of(codec, (0, 1))
    days = pipeline.generate(300, given="day>=2020-05-05,day<2020-09-01").values["day"]
    assert all("2020-05-05" <= str(day) < "2020-09-01" for day in days)
    assert len(set(days)) > 30
    assert set(pipeline.generate(9, given="day=2020-07-14").values["day"]) == {"2020-07-14"}
