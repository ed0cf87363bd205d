"""The comparison of lifetimes of weights: a cell on rows of a file, its record and the report."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bgan_discrete.training import phases

experiment: Any = importlib.import_module("experiments.weight_decay")


def test_cells_of_a_file_are_run_with_their_lifetimes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(0).integers(3, size=(2500, 2))
    file, results = tmp_path / "pairs.csv", tmp_path / "results.jsonl"
    file.write_text("a,b\n" + "\n".join(f"v{a},v{b}" for a, b in rows) + "\n", encoding="utf-8")
    usual = phases.FORGETTING
    arguments = ["--cells", "pairs/4_1600/0", "--steps", "110", "--files", str(file)]
    monkeypatch.setattr(sys, "argv", ["weight_decay.py", *arguments, "--results", str(results), "--report"])
    assert experiment.main() == 0
    assert usual == phases.FORGETTING
    (record,) = experiment.read_records(results)
    assert record["cell"] == "pairs/4_1600/0"
    assert record["figures"]["nats"] == pytest.approx(2 * np.log(3), abs=0.05)
    assert "| pairs | 4_1600 | 0 | 110 steps | 2." in capsys.readouterr().out
