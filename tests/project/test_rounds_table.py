"""The table of rounds: cells that are measured once, what they share, their report, and its baselines."""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bgan_discrete.errors import InputError

cells: Any = importlib.import_module("experiments.cells")
rounds: Any = importlib.import_module("experiments.rounds")
rounds_data: Any = importlib.import_module("experiments.rounds_data")
rounds_report: Any = importlib.import_module("experiments.rounds_report")
rounds_speed: Any = importlib.import_module("experiments.rounds_speed")
rounds_training: Any = importlib.import_module("experiments.rounds_training")

CELLS = ["sokoban/game/2/plain/0", "sokoban/game/2/C4/0", "sokoban/likelihood/[24]/plain/0", "sokoban/causal/100/*/0"]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Levels with the right counts at random places, and networks of few numbers for them."""
    rng = np.random.default_rng(0)
    (tmp_path / "sokoban").mkdir()
    signs = np.array([2] * 4 + [3] * 4 + [4] + [1] * 40 + [0] * 51, np.uint8)
    for split, count in (("train", 120), ("test", 60)):
        levels = np.stack([rng.permutation(signs).reshape(10, 10) for _ in range(count)])
        np.save(tmp_path / "sokoban" / f"{split}.npy", levels)
    small = dataclasses.replace(rounds.DATA_SETS["sokoban"], sizes={"width": 8, "depth": 1}, samples=20)
    monkeypatch.setitem(rounds.DATA_SETS, "sokoban", small)
    torch.set_num_threads(1)
    return tmp_path


def run(data_dir: Path, name: str, names: list[str]) -> list[dict[str, Any]]:
    laboratory = rounds.Laboratory(data_dir, data_dir / name, rounds.Spending(4, 3, in_steps=True))
    cells.run_cells(names, laboratory, data_dir / f"{name}.jsonl", rounds.CELLS)
    return [json.loads(line) for line in (data_dir / f"{name}.jsonl").read_text().splitlines()]


def test_cells_are_measured_once_share_trainings_and_repeat(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = run(data_dir, "first", CELLS)
    names = [record["cell"] for record in records]
    assert len(set(names)) == len(names) and set(CELLS[:2]) < set(names)
    # A start of 3 steps, the twin of 4 for every S, the causal one, and the game behind both ways of sampling.
    trained = sorted(path.name.split("-")[1] for path in (data_dir / "first").iterdir())
    assert trained == ["causal", "game", "likelihood", "likelihood"]
    by_name = {record["cell"]: record for record in records}
    game = by_name["sokoban/game/2/plain/0"]
    assert (game["budget"], game["total"], game["steps"], game["count"]) == ("3 + 4 steps", 7, 4, 20)
    assert game["references"]["floor"]["right counts"] == 1.0 and "independent signs" in game["references"]
    assert game["figures"]["nats of held-out"] > 0 and "nats of own" not in by_name[CELLS[1]]["figures"]

    assert run(data_dir, "first", CELLS[:2]) == records
    assert "2 of 2 cells are there already" in capsys.readouterr().out
    again = run(data_dir, "second", CELLS[:2])
    assert [record["figures"] for record in again] == [by_name[record["cell"]]["figures"] for record in again]

    text = rounds_report.render(cells.read_records(data_dir / "first.jsonl"))
    assert "| floor |" in text and "| game | 2 | C = 4 | 3 + 4 steps | 4 | 0 |" in text and "20 samples" in text


def test_unknown_cells_are_refused(data_dir: Path) -> None:
    laboratory = rounds.Laboratory(data_dir, data_dir / "cache", rounds.Spending(1, 1))
    with pytest.raises(InputError, match=r"cells must match names such as captions/.* \(see --list\), got 'mars/\*'"):
        cells.run_cells(["mars/*"], laboratory, data_dir / "results.jsonl", rounds.CELLS)


def record(training: str, seed: int, auc: float, **others: Any) -> dict[str, Any]:
    shared = {"budget": "600 s", "total": 600, "steps": 9, "samples_per_second": 5.0, "count": 10, "torch": "2"}
    own = {"cell": f"adult/{training}/4/plain/{seed}", "figures": {"AUC": auc}, "references": {}, "settings": {}}
    return {**shared, **own, "parameters": 7, **others}


@pytest.mark.parametrize(
    ("shift", "verdict"), [(-0.1, "better"), (0.1, "worse"), (0.001, "within the seeds' spread")]
)  # fmt: skip
def test_the_report_compares_the_game_with_its_twin_by_the_spread_of_seeds(shift: float, verdict: str) -> None:
    twins = [record("likelihood", seed, 0.7 + 0.01 * seed) for seed in range(3)]
    games = [record("game", seed, 0.7 + shift + 0.01 * seed, budget="300 + 300 s") for seed in range(3)]
    other = [record("likelihood", seed, 0.1, budget="300 s", total=300) for seed in range(3)]
    text = rounds_report.render([*twins, *games, *other])
    assert text.count("of the same total budget") == 1 and f"of the same total budget: {verdict}." in text
    assert "0.710 ± 0.010" in text
    few = rounds_report.render([twins[0], games[0], record("game", 1, 0.5, failed="the loss is inf")])
    assert "too few seeds" in few


def test_a_later_record_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for auc in (0.9, 0.8):
        cells.append_record(path, record("game", 0, auc))
    cells.append_record(path, record("game", 0, 0.7, budget="60 s"))
    assert [kept["figures"]["AUC"] for kept in cells.read_records(path)] == [0.8, 0.7]


def test_a_budget_of_seconds_is_of_this_process_s_own_time() -> None:
    clock = rounds_training.Clock(1000.0, in_steps=False)
    assert 0 <= clock.share < 0.1
    clock.began -= 2000
    assert clock.share == 1.0


def test_speeds_are_ratios_of_one_run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_speed, "DRAWN", 2)
    monkeypatch.setattr(rounds_speed, "REPEATS", 1)
    monkeypatch.setattr(rounds_speed, "STEPS", 1)
    (data_dir / "captions").mkdir()
    for split in ("train", "test"):
        lines = "".join(f"a man number {n} rides a horse over a hill number {n * 7}\n" for n in range(80))
        (data_dir / "captions" / f"{split}.txt").write_text(lines, encoding="utf-8")
    small = dataclasses.replace(rounds.DATA_SETS["captions"], sizes={"width": 8, "depth": 1})
    monkeypatch.setitem(rounds.DATA_SETS, "captions", small)
    found = rounds_speed.measure(data_dir)
    assert [row["S"] for row in found["rounds"]] == [1, 2, 4, 8, 16, 32, 32, 32, 32]
    assert all(ratio > 0 for _, _, ratio in found["steps"])
    assert "A step of the game, S = 8 against S = 1" in rounds_report.render([found])
