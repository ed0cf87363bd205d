"""The table of whole runs: its cells, their records, and the report."""

import importlib
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
defaults: Any = importlib.import_module("experiments.defaults")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["defaults.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "experiments" / "defaults.py"), run_name="__main__")
    assert ended.value.code == 0


def test_a_cell_is_run_once_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("--cells", "arithmetic/likelihood/1", "--seconds", "1", "--results", str(results))
    call(monkeypatch, *arguments)
    call(monkeypatch, *arguments, "--report")
    (line,) = results.read_text(encoding="utf-8").splitlines()
    record = json.loads(line)
    assert (record["generator"], record["phases"], record["stopped_by"]) == ("gru", "likelihood", "max_seconds")
    assert record["figures"] == record["found"]["kept"]
    assert {"JSD-4", "classifier", "noise"} <= set(record["figures"])
    assert set(record["references"]) == {"floor", "Markov 3"}
    printed = capsys.readouterr().out
    assert "1 of 1 cells are there already" in printed
    assert "| likelihood | kept | 1 s, 1 thread |" in printed


def test_kept_weights_are_compared_with_those_that_a_game_began_with() -> None:
    figures = {"AUC": 0.6, "classifier": 0.55, "noise": 0.03}
    record: dict[str, Any] = {
        "cell": "adult/finished/0",
        "budget": "180 s, 1 thread",
        "steps": 10,
        "count": 100,
        "figures": figures,
        "found": {"kept": figures, "start": {**figures, "classifier": 0.6, "noise": 0.04}, "best": figures},
        "references": {"floor": {"AUC": 0.5}},
        "course": {"choice": "best", "verdicts": {"start": [0.61, 0.01], "best": [0.6, 0.01]}},
    }
    report = defaults.render([record])
    assert "| adult/finished/0 | best | 0.610 / 0.600 | 0.600 / 0.600 | 0.600 | 0.550 | 0.050 |" in report
    del record["found"]["best"]
    assert "Kept against start" not in defaults.render([record]), "no game was played"


def test_every_cell_is_of_a_data_set_and_a_variant() -> None:
    for cell in defaults.CELLS:
        laboratory = defaults.Laboratory(Path("data"), 1.0, 1)
        assert laboratory.config(cell, Path("run")).training.seed == cell.seed
