"""Samples of models of tables have new identifiers, however they are drawn and written."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bgan_discrete import Pipeline, compare_tables, load, load_array
from bgan_discrete.errors import InputError
from bgan_discrete.kinds import get_kind
from bgan_discrete.nn import CausalMLPGenerator
from bgan_discrete.runs.generate import draw_in_parts

ROWS = 300


def frame() -> Any:
    rng = np.random.default_rng(0)
    letters = np.array([*"abcdefghijklmnopqrstuvwxyz"])
    return pd.DataFrame(
        {
            "code": ["".join(row) for row in rng.choice(letters, (ROWS, 8))],
            "age": rng.integers(0, 90, ROWS),
            "number": np.arange(ROWS, dtype="int32") + 7,
            "sex": rng.choice(["f", "m"], ROWS),
        }
    )


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    data = load_array(frame(), column={"code": "identifier", "number": "identifier"})
    torch.manual_seed(0)
    return Pipeline(CausalMLPGenerator(data.space, 4, 8, rounds=2), data.codec)


def test_samples_have_new_identifiers_of_the_types_of_the_frame(pipeline: Pipeline, tmp_path: Path) -> None:
    samples = pipeline.sample(50, seed=3)
    assert samples.dtypes.equals(frame().dtypes)
    assert samples["number"].tolist() == [*range(ROWS + 7, ROWS + 57)]
    assert samples["code"].is_unique and samples["code"].str.fullmatch("[a-z]{8}").all()
    assert not {*samples["code"]} & {*frame()["code"]}
    pipeline.save(tmp_path)
    assert load(tmp_path).sample(50, seed=3).equals(samples)
    assert not {*pipeline.sample(50, seed=4)["code"]} & {*samples["code"]}
    assert pipeline.sample(50, seed=3, decode="ranges")["code"].equals(samples["code"])
    asked = pipeline.sample(50, seed=3, given="sex=f", constraints=["age >= 20"])
    assert asked[["code", "number"]].equals(samples[["code", "number"]]) and (asked["age"] >= 20).all()


@pytest.mark.parametrize("options", [{}, {"constraints": ["age >= 20"]}, {"given": "age>=40"}])
def test_parts_are_those_of_one_call(
    pipeline: Pipeline, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bgan_discrete.runs.generate.PART", 20)
    parts = [part.values for part in draw_in_parts(pipeline, 50, 3, **options)]
    whole = pipeline.generate(50, 3, 20, **options).values
    assert [*whole] == [*frame()]
    assert {name: [value for part in parts for value in part[name]] for name in whole} == whole


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_files_have_them(pipeline: Pipeline, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"samples{suffix}"
    get_kind("arrays").write(draw_in_parts(pipeline, 30, 3), path, 30, pipeline.codec)
    readers: dict[str, Any] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".npy": lambda p: pd.DataFrame(np.load(p)),
    }
    found = readers[suffix](path)
    assert [*found] == [*frame()] and found["number"].tolist() == [*range(ROWS + 7, ROWS + 37)]
    assert found["code"].tolist() == pipeline.sample(30, 3)["code"].tolist()


def test_they_cannot_be_given_and_are_not_judged(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="the column 'code', an identifier, which is new in each sample: leave it out"):
        pipeline.sample(3, given={"code": ["abc"], "sex": ["f"]})
    data = load_array(frame(), codec=pipeline.codec)
    assert data.codes.shape[1] == 2
    report = compare_tables(frame(), pipeline.sample(ROWS))
    left = " ".join(report.notes)
    assert "column 'number' numbers the real rows: it is left out" in left and "'code' has 300 different" in left


def test_no_category_of_a_frame_is_kept() -> None:
    codes = frame()["code"]
    data = load_array(frame().astype({"code": "category"}), column={"code": "identifier"})
    assert [one.name for one in data.codec.identifiers] == ["code"]
    assert not any(code in data.codec.to_json() for code in codes)


def test_another_data_set_may_have_the_same_identifiers() -> None:
    other = frame()[:50].assign(number=range(500, 550))
    data = load_array(frame(), heldout=other, column={"code": "identifier", "number": "identifier"})
    assert [one.values(0, 1) for one in data.codec.identifiers][1] == [550]
    repeated = other.assign(code=[*other["code"][:-1], other["code"][0]])
    with pytest.raises(InputError, match="is in rows 1 and 50; what comes more than once is learnt"):
        load_array(repeated, heldout=frame(), column={"code": "identifier"})


def test_identifiers_that_are_not_asked_for_are_proposed() -> None:
    (note, *_) = load_array(frame()).notes
    assert note.endswith("unless --columns or --column names it; --column code=identifier gives samples new ones")
    names = frame().assign(code=[f"{'x' * (row % 50)} {row}" for row in range(ROWS)])
    assert load_array(names).notes[0].endswith("unless --columns or --column names it")
