"""Types of data frames travel with the codec, and samples have them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bgan_discrete import MLPGenerator, Pipeline, load, load_array
from bgan_discrete.codecs import TableCodec, codec_from_config
from bgan_discrete.errors import InputError
from bgan_discrete.kinds import get_kind
from bgan_discrete.sources.dtypes import dtypes_of, frame_of


def frame_of_many_types(rows: int = 300) -> Any:
    rng = np.random.default_rng(0)
    times = pd.Series(pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, rows), "s"))
    whole = rng.integers(0, 5000, rows)
    return pd.DataFrame(
        {
            "whole": whole,
            "small": (whole % 7).astype("int8"),
            "real": rng.normal(size=rows),
            "single": rng.normal(size=rows).astype("float32"),
            "gone": np.where(whole % 5, rng.normal(size=rows).round(1), np.nan),
            "nullable": pd.array([None if n % 4 == 0 else int(n) for n in whole], "Int64"),
            "flag": whole % 2 == 0,
            "perhaps": pd.array([None if n % 4 == 0 else bool(n % 3) for n in whole], "boolean"),
            "text": [f"t{n % 9}" for n in whole],
            "string": pd.array([f"t{n % 9}" for n in whole], "string"),
            "size": pd.Categorical(np.array(["S", "M", "L"])[whole % 3], ["S", "M", "L"], ordered=True),
            "level": pd.Categorical(whole % 3, [2, 1, 0]),
            "time": times,
            "day": times.dt.normalize(),
            "zone": times.dt.tz_localize("UTC").dt.tz_convert("Europe/Paris"),
            "length": pd.to_timedelta(whole % 9, "D"),
        }
    )


def sampled(data: Any, folder: Path) -> tuple[Any, Any]:
    """Samples of an untrained model of the data, and those of the same model saved and loaded."""
    pipeline = Pipeline(MLPGenerator(data.space, 4, 8), data.codec)
    pipeline.save(folder)
    return pipeline.sample(200, seed=1), load(folder).sample(200, seed=1)


def test_samples_have_the_types_of_the_frame_also_after_saving(tmp_path: Path) -> None:
    frame = frame_of_many_types()
    frame.to_parquet(tmp_path / "t.parquet")
    for source in (frame, tmp_path / "t.parquet"):
        data = load_array(source)
        assert data.codec.column_names == tuple(frame.columns)
        for samples in sampled(data, tmp_path / "m"):
            types = (frame if source is frame else pd.read_parquet(source)).dtypes
            assert {name: str(samples[name].dtype) for name in frame} == {name: str(types[name]) for name in frame}
        assert samples["size"].cat.categories.tolist() == ["S", "M", "L"] and samples["size"].cat.ordered
        for name in ("whole", "real", "gone", "time", "day", "zone"):
            assert frame[name].min() <= samples[name].min() and samples[name].max() <= frame[name].max()
        assert (samples["day"] == samples["day"].dt.normalize()).all()
        assert (samples["gone"].dropna() * 10).round(9).mod(1).eq(0).all()


def test_ranges_are_text_and_other_columns_have_their_types(caplog: pytest.LogCaptureFixture) -> None:
    frame = frame_of_many_types()[["whole", "real", "time", "small", "size", "flag"]]
    data = load_array(frame)
    caplog.clear()
    samples = Pipeline(MLPGenerator(data.space, 4, 8), data.codec).sample(50, decode="ranges")
    assert samples[["whole", "real", "time"]].apply(lambda column: column.str.startswith("[").all()).all()
    for name in ("small", "size", "flag"):
        assert samples[name].dtype == frame[name].dtype
    assert not caplog.messages


def test_times_of_a_frame_are_times_in_a_parquet_file_of_samples(tmp_path: Path) -> None:
    frame = frame_of_many_types()[["time", "zone", "whole"]]
    data = load_array(frame)
    pipeline = Pipeline(MLPGenerator(data.space, 4, 8), data.codec)
    parts = [pipeline.generate(30, seed) for seed in (1, 2)]
    get_kind("arrays").write(parts, tmp_path / "s.parquet", 60, data.codec)
    found = pd.read_parquet(tmp_path / "s.parquet")
    assert [str(found[name].dtype) for name in frame] == [str(frame[name].dtype) for name in frame]
    assert len(found) == 60 and found["time"].between(frame["time"].min(), frame["time"].max()).all()
    parts = [pipeline.generate(30, seed, decode="ranges") for seed in (1, 2)]
    get_kind("arrays").write(parts, tmp_path / "r.parquet", 60, data.codec, decode="ranges")
    assert pd.read_parquet(tmp_path / "r.parquet")["time"].str.startswith("[2024-").all()


def test_values_that_a_type_does_not_allow_have_the_type_of_pandas(caplog: pytest.LogCaptureFixture) -> None:
    table: dict[str, list[Any]] = {"a": [1, None], "b": ["[1, 2)", "[2, 3]"], "c": ["S", "(other)"], "d": ["x", "y"]}
    size = {"categories": ["S"], "ordered": False}
    frame = frame_of(table, {"a": "int64", "b": "float64", "c": size, "d": "datetime64[ns]"})
    (said,) = caplog.messages
    assert "'a' (float64, not int64)" in said and "'d'" in said and "'c'" not in said
    assert frame["a"].dtype == float and frame["b"].tolist() == table["b"] and frame["d"].tolist() == table["d"]
    assert frame["c"].tolist() == ["S", "(other)"] and frame["c"].cat.categories.tolist() == ["S", "(other)"]
    assert dtypes_of({"x": [1, 2], "y": pd.Series(pd.Categorical([pd.Interval(0, 1)]))}) == {}


def test_types_are_a_part_of_the_codec_but_not_of_the_digest() -> None:
    table = {"a": [1, 2] * 20, "b": ["x", "y"] * 20}
    plain, framed = load_array(table), load_array(pd.DataFrame(table))
    assert plain.digest == framed.digest and "dtypes" not in plain.codec.to_config()
    assert isinstance(framed.codec, TableCodec) and framed.codec.dtypes["a"] == "int64"
    config = json.loads(json.dumps(framed.codec.to_config()))
    assert codec_from_config(config).fingerprint() == framed.codec.fingerprint()
    for wrong in ([], {"a": 3}, {"a": {"categories": 3, "ordered": True}}, {"a": "x" * 300}):
        with pytest.raises(InputError, match="dtypes must be"):
            codec_from_config({**config, "dtypes": wrong})
