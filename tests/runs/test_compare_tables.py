"""`bgan evaluate --real a.csv --synthetic b.csv`: the comparison of any synthetic table, and the page it leaves."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from bgan_discrete.command_line.verbs import call_verb
from bgan_discrete.errors import InputError
from bgan_discrete.metrics import arrays, predictions, trees
from bgan_discrete.runs.compare_tables import compare_tables


def table(count: int, seed: int) -> pandas.DataFrame:
    rng = np.random.default_rng(seed)
    town = rng.choice(["Lyon", "Köln", "<b>Osaka</b>"], count)
    country = pandas.Series(town).map({"Lyon": "France", "Köln": "Germany", "<b>Osaka</b>": "Japan"})
    return pandas.DataFrame({"town": town, "country": country, "rent": rng.normal(700, 90, count).round(2)})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CRITIC_STEPS", 5)
    monkeypatch.setattr(trees, "MOST_TREES", 10)
    monkeypatch.setattr(predictions, "MOST_TREES", 10)


def test_files_are_compared_by_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(300, 0).to_csv(tmp_path / "real.csv", index=False)
    table(60, 1).to_csv(tmp_path / "unseen.csv", index=False)
    made = table(80, 2)
    made["country"] = made["country"].sample(frac=1, random_state=0).to_numpy()
    made.drop(columns="rent").to_csv(tmp_path / "made.csv", index=False)
    files = [f"--{name}={tmp_path / file}.csv" for name, file in (("real", "real"), ("synthetic", "made"))]
    output = tmp_path / "folder" / "report.json"
    assert call_verb(["evaluate", *files, "--holdout", str(tmp_path / "unseen.csv"), "--output", str(output)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "lacks the column 'rent', which is not compared" in said
    assert "80 samples in blocks of 60, compared with 300 training and 60 held-out rows" in said
    report = json.loads(output.read_text(encoding="utf-8"))
    (first, *_) = report["table"]["dependencies"]
    assert {first["cause"], first["effect"]} == {"town", "country"} and first["samples"] > 0.4 and first["heldout"] == 0
    page = output.with_suffix(".html").read_text(encoding="utf-8")
    for heading in ("Columns, the worst first", "Pairs of columns, the worst first", "Dependencies between columns"):
        assert f"<h2>{heading}</h2>" in page
    assert "town decides country" in page and "differential privacy" in page
    assert "<b>Osaka" not in page and "&lt;b&gt;Osaka" in page


def test_frames_are_compared_without_a_holdout() -> None:
    real, made = table(200, 0), table(100, 1)
    report = compare_tables(real, made, targets=["country"])
    assert (report.facts["num_training"], report.facts["num_heldout"]) == (100, 100)
    assert not any("membership" in key for key in report.figures)
    assert "two halves of the real rows" in report.method
    assert [entry["target"] for entry in report.facts["table"]["predictions"]] == ["country"]
    # Sorted rows are as good as any.
    ordered = compare_tables(real.sort_values("town"), made.sort_values("town"), targets=["country"])
    assert ordered.figures["total_variation_of_a_column_largest"].value < 0.35


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--real", "real.csv"], "the following arguments are required: --synthetic"),
        (["--real", "none.csv", "--synthetic", "real.csv"], "real 'none.csv' is neither"),
        (["--real", "real.csv", "--synthetic", "real.csv", "--output", "a.html"], "output must be a file such as"),
        (["--real", "real.csv", "--synthetic", "few.csv", "--output", "few.csv"], "would replace a table that is read"),
        (
            ["--real", "real.csv", "--synthetic", "few.csv", "--output", "own.json"],
            "would replace own.html, which is no",
        ),
        (["--real", "real.csv", "--synthetic", "real.csv", "--targets", "z"], "targets: column 'z' is not among"),
        (["--real", "real.csv", "--synthetic", "few.csv"], "the metrics need at least 20 samples, got 3"),
        (["--real", "real.csv", "--synthetic", "real.csv", "--model", "m"], "unrecognized arguments: --model"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(50, 0).to_csv("real.csv", index=False)
    table(3, 0).to_csv("few.csv", index=False)
    Path("own.html").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError) as error:
        call_verb(["evaluate", *arguments])
    assert message in str(error.value) and "\n" not in str(error.value)
    assert Path("own.html").read_text(encoding="utf-8") == "mine"
