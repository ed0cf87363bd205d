"""A model in one line: what goes in comes back, and options are those of a training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bgan_discrete
from bgan_discrete.errors import InputError

RNG = np.random.default_rng(0)
TABLE = {"size": RNG.integers(0, 5, 300).tolist(), "colour": RNG.choice(["red", "blue"], 300).tolist()}
LINES = ["red fish", "blue fish", "one fish", "two fish"] * 60
QUICK: dict[str, Any] = {"max_steps": 2, "batch_size": 8, "threads": 1, "num_samples": 0, "progress": False}


def fit(data: Any, **options: Any) -> bgan_discrete.Pipeline:
    return bgan_discrete.fit(data, **{**QUICK, **options})


@pytest.mark.parametrize(
    ("data", "options", "fits"),
    [
        ("digits", {}, lambda made: isinstance(made[0], Image.Image) and made[0].size == (8, 8)),
        (
            RNG.integers(0, 256, (300, 8, 9, 3)).astype(np.uint8),
            {"codec": "binary", "color": "grey"},
            lambda made: made.shape == (4, 8, 9) and made.dtype == np.uint8,
        ),
        (LINES, {"length": 12}, lambda made: all(isinstance(text, str) for text in made)),
        (pd.DataFrame(TABLE), {}, lambda made: isinstance(made, pd.DataFrame) and set(made) == set(TABLE)),
        (TABLE, {}, lambda made: isinstance(made, dict) and set(made["colour"]) <= {"red", "blue"}),
        (RNG.integers(0, 3, (300, 7)), {}, lambda made: made.shape == (4, 7) and made.max() < 3),
    ],
    ids=["digits", "pictures", "strings", "frame", "columns", "array"],
)
def test_what_comes_back_is_of_the_kind_that_went_in(
    data: Any, options: dict[str, Any], fits: Callable[[Any], bool]
) -> None:
    model = fit(data, **options)
    made = model.sample(4, seed=1)
    assert len(made) == (2 if isinstance(made, dict) else 4) and fits(made)
    assert np.array_equal(model.generate(4, seed=1).codes, model.generate(4, seed=1).codes)
    assert model.report().is_file()


def test_a_model_is_saved_loaded_and_evaluated(tmp_path: Path) -> None:
    frame = pd.DataFrame(TABLE)
    model = fit(frame)
    figures = model.evaluate(num_samples=50).to_dict()["figures"]
    model.save(tmp_path / "model")
    loaded = bgan_discrete.load(tmp_path / "model")
    assert loaded.sample(9, seed=3).equals(model.sample(9, seed=3))
    assert loaded.evaluate(frame, num_samples=50).to_dict()["figures"] == figures
    with pytest.raises(InputError, match="data must be given to evaluate a model that was loaded"):
        loaded.evaluate()
    with pytest.raises(InputError, match="report needs the folder of the run"):
        loaded.report()


def test_the_folder_of_a_run_is_kept_where_it_is_named_and_else_goes_with_the_model(tmp_path: Path) -> None:
    fit("table", output_dir=tmp_path / "run")
    assert (tmp_path / "run" / "model").is_dir() and (tmp_path / "run" / "report.html").is_file()
    with pytest.raises(InputError, match="holds another run"):
        fit("table", output_dir=tmp_path / "run")
    model = fit("table")
    page = model.report()
    assert page.is_file()
    del model
    assert not page.exists()


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (np.zeros((9, 3)), {}, "data must be a name, a path, strings, a data frame or an array of integers, got"),
        ("digits", {"max_step": 3}, "unknown configuration key 'max_step'; did you mean max_steps?"),
        ("digits", {"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ("digits", {"kind": "sound"}, "kind 'sound' is unknown; known are images, text, arrays"),
        ("absent.csv", {}, "absent.csv"),
    ],
)
def test_bad_input_is_refused_before_any_work(data: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit(data, **options)


def test_names_of_columns_may_be_a_list_and_files_that_go_are_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    table = {**TABLE, "a, b": list(range(300)), "id": list(range(300))}
    model = fit(table, drop=["a, b", "id"], progress=True)
    assert set(model.sample(2)) == set(TABLE)
    said = capsys.readouterr().out
    assert "networks:" in said and "report:" not in said and "bgan-" not in said
    assert str(model.evaluate(num_samples=50)).startswith(" ")


def test_a_judge_of_ones_own_sees_values_and_rows_that_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    colours = RNG.choice(["red", "blue"], 2400).tolist()
    shown: list[tuple[set[str], int]] = []

    def judge(samples: Any, data: Any) -> tuple[float, float]:
        shown.append((set(samples["colour"]) | set(data["colour"]), len(data["colour"])))
        return 1.0 / len(shown), 0.01

    fit({"colour": colours, "again": colours}, judge=judge, progress=True)
    assert "216 of the 2,160 training rows are kept back for it (--keep last trains on all)" in capsys.readouterr().out
    assert shown and all(values <= {"red", "blue"} and count == 108 for values, count in shown)
    shown.clear()
    fit({"colour": colours, "again": colours}, judge=judge, keep="last")
    assert not shown
