"""The show-pieces of verifiers: a small cell of each task, the clock of their budgets, the report and the picture."""

import dataclasses
import importlib
import json
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT
from PIL import Image

from bgan_discrete.errors import InputError
from bgan_discrete.training import course, stopping

showpieces: Any = importlib.import_module("experiments.showpieces")
cells: Any = importlib.import_module("experiments.cells")
sokoban: Any = importlib.import_module("experiments.sokoban")

SMALL = {"generator_width": 8, "generator_depth": 1, "batch_size": 8}


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cells of small networks, and easy levels: a box before each goal."""
    for name, task in showpieces.TASKS.items():
        small = dataclasses.replace(task, common=task.common | SMALL, start=0.05)
        monkeypatch.setitem(showpieces.TASKS, name, dataclasses.replace(small, game=task.game | {"batch_size": 4}))
    monkeypatch.setattr(showpieces, "EXPRESSIONS", 500)
    folder = tmp_path / "sokoban"
    folder.mkdir()
    level = np.zeros((10, 10), np.uint8)
    level[3, 1:5], level[5, 1:5], level[0, 0] = sokoban.BOX, sokoban.GOAL, sokoban.PLAYER
    levels = np.stack([np.roll(level, shift, 1) for shift in range(5)])
    np.save(folder / "train.npy", levels.repeat(40, 0))
    np.save(folder / "test.npy", levels.repeat(4, 0))
    return showpieces.Laboratory(tmp_path, seconds=4.0, count=20)


@pytest.mark.parametrize("name", ["levels/game/0", "equations/game/1", "expressions/likelihood/0"])
def test_a_small_cell_of_each_task(name: str, laboratory: Any) -> None:
    (cell,) = [cell for cell in showpieces.CELLS if cell.name == name]
    record = json.loads(json.dumps(laboratory.measure(cell)))
    assert (record["cell"], record["budget"]) == (name, "4 s of CPU")
    figures, references = record["figures"], record["references"]
    assert 0 <= figures["valid"] <= 1 and references["valid"] == 1
    assert figures["distinct valid a second"] <= figures["valid a second"]
    assert len(record["shown"]) == len(record["is valid"]) == showpieces.SHOWN[cell.data]
    is_game = cell.method == "game"
    assert ("verifier" in record["options"]) == is_game
    assert [training["steps"] > 0 for training in record["trainings"]] == [True] * (1 + is_game)
    assert [*record["trainings"][-1]["phase_steps"]] == [cell.method]
    if cell.data == "levels":
        assert references["exact counts"] == references["won in the long search"] == 1
        assert showpieces.picture([record]).shape[2] == 3
    report = showpieces.render([record])
    assert f"| {name} |" in report and (f"`{name}`:" in report) == (cell.data != "levels")
    assert vars(course)["time"] is time is vars(stopping)["time"], "trainings have their clock back"


def test_a_budget_that_its_start_uses_up(laboratory: Any) -> None:
    laboratory.seconds = 0.02
    with pytest.raises(InputError, match="whose start took them all"):
        laboratory.measure(cells.Cell("levels", "game", 0))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="other systems do not say what living children used")
def test_seconds_of_a_child_count_while_it_lives_and_afterwards() -> None:
    clock = showpieces.TreeClock()
    before = clock.now()
    program = "import time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert clock.now() - before > 0.3
        assert clock.monotonic() - before > 0.3, "living children were read a moment ago"
    assert 0.3 < clock.now() - before < 30


def test_the_report_and_the_picture_are_of_records_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    level = "/".join(["1" * 10] * 9 + ["0234012340"])
    figures = {"valid": 0.5, "distinct": 1.0, "JSD of 3x3": 0.2, "valid a second": 1234.5}
    training = {
        "steps": 10, "judge": "AUC", "choice": "best",
        "verdicts": {"start": [0.5, 0.1, -3.0, 0.1], "best": [0.6, 0.1, -1.5, 0.1], "floor": [0.5, 0.1, 0.0, 0.0]},
    }  # fmt: skip
    record = {
        "cell": "levels/game/0", "budget": "9 s of CPU", "took": 9.0, "figures": figures,
        "trainings": [{"steps": 20}, training], "references": {"valid": 1.0, "JSD of 3x3": 0.1},
        "shown": [level] * 20, "is valid": [True] * 19 + [False],
    }  # fmt: skip
    texts = {**record, "cell": "equations/game/0", "shown": ["1+1=2", "1+1=3"], "is valid": [True, False]}
    results = tmp_path / "results.jsonl"
    for each in (record, texts):
        cells.append_record(results, each)
    png = tmp_path / "levels.png"
    arguments = ["--results", str(results), "--report", "--picture", str(png)]
    monkeypatch.setattr(sys, "argv", ["showpieces.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "experiments" / "showpieces.py"), run_name="__main__")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    kept = "best; AUC: start 0.500, best 0.600, floor 0.500; aim: start -3.00, best -1.50"
    assert f"| levels/game/0 | 9 | 20 + 10 | 0.500 | 1.000 | 0.200 | 1,234 | {kept} |" in printed
    assert "```text\n  1+1=2\nx 1+1=3\n```" in printed
    pixels = np.asarray(Image.open(png))
    red = (pixels == showpieces.WRONG).all(-1)
    rows, columns = np.nonzero(red)
    assert red.any() and rows.min() > pixels.shape[0] / 2 and columns.min() > pixels.shape[1] * 0.85
    with pytest.raises(InputError, match="needs records of levels"):
        showpieces.picture([])
