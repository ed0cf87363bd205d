"""The benchmark of synthesizers: its cells, what its processes say to each other, the budget of peers, the report."""

import importlib
import json
import math
import os
import runpy
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import ROOT, shorten_evaluations

from bgan_discrete.metrics import predictions
from bgan_discrete.metrics.figure import Figure

synthesizers: Any = importlib.import_module("experiments.synthesizers")
measures: Any = importlib.import_module("experiments.synthesizers_measures")
own: Any = importlib.import_module("experiments.synthesizers_own")
peers: Any = importlib.import_module("experiments.synthesizers_peers")
report: Any = importlib.import_module("experiments.synthesizers_report")

STUB = """
class arf:  # each row is one of the training rows
    def __init__(self, x, verbose, random_state):
        self.rows, self.seed, self.acc = x, random_state, [0.5, 0.5]
    def forde(self):
        {body}
    def forge(self, count):
        return self.rows.sample(count, replace=True, random_state=self.seed).reset_index(drop=True)
"""


def people(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, count)
    towns, pay = rng.choice(["Lyon", "Osaka", "?"], count), (age * 1.5 + rng.normal(0, 20, count)).round(2)
    return pd.DataFrame({"age": age, "town": towns, "pay": pay, "class": np.where(age > 40, "priority", "other")})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "tables"
    folder.mkdir(parents=True)
    people(300, 0).to_csv(folder / "nursery_train.csv", index=False)
    people(120, 1).to_csv(folder / "nursery_test.csv", index=False)
    return folder.parent


def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """An arfpy for the peers' process, which is this Python."""
    package = tmp_path / "stub" / "arfpy"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "arf.py").write_text(STUB.format(body=body), encoding="utf-8")
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), *([before] if before else [])]))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["synthesizers.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "experiments" / "synthesizers.py"), run_name="__main__")
    assert ended.value.code == 0


def test_a_peers_rows_are_made_once_measured_and_reported(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub(tmp_path, monkeypatch, "pass")
    shorten_evaluations(monkeypatch)
    monkeypatch.setattr(predictions, "LEAST_ROWS", 10**6)  # so that nothing is predicted
    results, cache = tmp_path / "results.jsonl", tmp_path / "cache"
    arguments = [f"--{name}={path}" for name, path in (("data", data), ("cache", cache), ("results", results))]
    arguments += ["--cells", "nursery/arf/1", "--seconds", "5", "--peers-python", sys.executable]
    call(monkeypatch, *arguments)
    call(monkeypatch, *arguments, "--report")
    (line,) = results.read_text(encoding="utf-8").splitlines()
    record = json.loads(line)
    assert (record["cell"], record["budget"], record["progress"]) == ("nursery/arf/1", "5 CPU s", {"rounds": 1})
    assert {"numpy", "pandas"} <= set(record["versions"])
    assert record["figures"]["copies"] == 1.0, "every row is a training row"
    assert set(record["figures"]) <= set(record["references"]["floor"])
    rows = pd.read_csv(cache / "5" / "nursery" / "arf" / "1" / "synthetic.csv")
    training = pd.read_csv(data / "tables" / "nursery_train.csv")
    assert (len(rows), rows.dtypes.to_dict()) == (len(training), training.dtypes.to_dict())
    printed = capsys.readouterr().out
    assert "1 of 1 cells are there already" in printed
    trees = record["figures"]["trees"]
    assert f"| arf | 5 CPU s | {record['fit']:.1f} | {record['sample']:.1f} | {trees:.3f} |" in printed
    assert f"| {trees:.3f} | {2 * (1 - max(trees, 0.5)):.3f} |" in printed


def test_figures_are_those_of_the_comparison_with_their_references(monkeypatch: pytest.MonkeyPatch) -> None:
    def figure(title: str, value: float, floor: float, tree: float) -> Figure:
        return Figure(title, value, "higher", floor, {"Chow-Liu tree": tree}, 100)

    listed = [
        figure(measures.TREES, 0.6, 0.5, 0.7),
        figure("total variation of a column, mean", 0.1, 0.1, 0.1),
        figure(measures.SHAPES, math.nan, 0.99, 0.98),
        figure("AUC for class, learnt from samples", 0.8, 0.9, 0.7),
        figure("AUC for town, learnt from samples", 0.6, 0.7, 0.5),
        figure("accuracy for town, learnt from samples", 0.1, 0.1, 0.1),
    ]
    calls: list[Any] = []

    def compare(*tables: str, **options: Any) -> Any:
        calls.append((tables, options))
        return SimpleNamespace(figures={str(place): one for place, one in enumerate(listed)})

    monkeypatch.setattr(measures, "compare_tables", compare)
    monkeypatch.setattr(measures, "_perceptron", lambda tables, missing, seed: (0.55, 0.51))
    figures, references = measures.measure(Path("a"), Path("b"), Path("c"), ["?"], 3)
    assert calls == [(("a", "b", "c"), {"missing": ["?"], "seed": 3})]
    learnt = {"for class": 0.8, "for town": 0.6, "predictions": 0.7}
    assert figures == {"trees": 0.6, "perceptron": 0.55, **learnt}, "a figure that is no number is left out"
    learnt = {"for class": 0.9, "for town": 0.7, "predictions": 0.8}
    assert references["floor"] == {"trees": 0.5, "perceptron": 0.51, "shapes": 0.99, **learnt}
    learnt = {"for class": 0.7, "for town": 0.5, "predictions": 0.6}
    assert references["Chow-Liu tree"] == {"trees": 0.7, "shapes": 0.98, **learnt}


def test_a_process_that_takes_many_budgets_is_ended(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, monkeypatch, "while True: pass")
    monkeypatch.setattr(synthesizers, "SPARE", 2.0)
    laboratory = synthesizers.Laboratory(data, tmp_path / "cache", 0.1, sys.executable)
    record = laboratory.measure(synthesizers.Cell("nursery", "arf", 0))
    assert record["failed"] == "it had not ended after 3 CPU s"
    assert f"- nursery/arf/0, 0.1 CPU s: {record['failed']}" in report.render([record])


def test_a_process_that_fails_says_why(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tmp_path, monkeypatch, "raise ValueError('no forest')")
    laboratory = synthesizers.Laboratory(data, tmp_path / "cache", 5.0, sys.executable)
    with pytest.raises(synthesizers.InputError, match="no forest"):
        laboratory.synthesize(synthesizers.Cell("nursery", "arf", 0))
    with pytest.raises(synthesizers.InputError, match="peers-python"):
        synthesizers.Laboratory(data, tmp_path / "cache", 5.0, None).synthesize(synthesizers.Cell("nursery", "arf", 0))


@pytest.mark.parametrize(("name", "kind"), [("ctgan", "CTGAN"), ("tvae", "TVAE")])
def test_neural_peers_train_whole_epochs_within_the_budget(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(peers.time, "process_time", lambda: clock.now)
    module: Any = ModuleType(f"ctgan.synthesizers.{name}")

    class Network:
        def __init__(self, enable_gpu: bool) -> None:
            assert not enable_gpu

        def fit(self, rows: pd.DataFrame, discrete: list[str]) -> None:
            assert discrete == ["town", "class"]
            clock.now += 7.0  # columns are prepared: this counts
            for epoch in module.tqdm(range(300), disable=True):
                clock.now += 10.0 + epoch % 2

        def sample(self, count: int) -> pd.DataFrame:
            clock.now += 2.0
            drawn = people(count, 5)
            drawn["pay"] += 0.001234
            return drawn

    module.tqdm, vars(module)[kind] = None, Network
    for parent in ("ctgan", "ctgan.synthesizers"):
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    before = clock.now
    drawn, facts = peers.synthesize(peers.METHODS[name], people(300, 0), 100.0, 0)
    # 7 + 10 + 11 + 10 + ... : eight epochs end at 91, and a ninth as long as the longest would end at 102.
    assert facts == {"fit": 91.0, "sample": 2.0, "progress": {"epochs": 8}}
    assert clock.now - before == 93.0
    assert np.allclose(drawn["pay"], drawn["pay"].round(2)), "two decimals, as the training rows have"


def test_numbers_have_the_decimals_and_the_range_of_their_column() -> None:
    real = pd.Series([1.25, 3.5, 2.0])
    assert peers._like(pd.Series([0.0, 2.0049, 9.0]), real).tolist() == [1.25, 2.0, 3.5]
    whole = peers._like(pd.Series([1.4, 2.6]), pd.Series([1, 2, 3]))
    assert [str(value) for value in whole] == ["1", "3"]
    assert peers._like(pd.Series([0.123456789]), pd.Series([0.1, 1 / 3])).tolist() == [0.123456789]


@pytest.mark.parametrize("method", ["default", "game", "chow_liu", "independent"])
def test_own_methods_write_rows_within_the_budget(
    method: str, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (own.stopping, own.course):  # whose clocks are replaced, here as in a process of its own
        monkeypatch.setattr(module, "time", time)
    training, output = data / "tables" / "nursery_train.csv", tmp_path / "rows.csv"
    facts = own.synthesize(method, training, output, tmp_path / "run", own.JUDGING + 1.5, 0, "?")
    rows = pd.read_csv(output, keep_default_na=False)
    assert (list(rows), len(rows)) == (["age", "town", "pay", "class"], 300)
    assert set(rows["town"]) <= {"Lyon", "Osaka", ""}
    assert rows["age"].between(18, 79).all()
    if method in ("default", "game"):
        assert facts["progress"]["stopped by"] in ("max_seconds", "patience")
        assert (own.stopping.time.monotonic, own.course.time.monotonic) == (time.process_time, time.process_time)
        assert facts["fit"] < own.JUDGING + 4
    if method == "independent":
        codes = rows.groupby("class")["age"].max()
        assert codes["other"] > 40, "columns are drawn apart"
    if method == "chow_liu":
        assert (rows["class"].eq("priority") == (rows["age"] > 40)).mean() > 0.95


@pytest.mark.parametrize("is_played", [True, False])
def test_the_rows_of_a_game_are_those_of_its_best_weights(is_played: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    pipeline = SimpleNamespace(generator=SimpleNamespace(load_state_dict=loaded.append), generate=lambda count, seed: 7)
    kept = {"start": {"generator": "start's"}, **({"best": {"generator": "best's"}} if is_played else {})}
    monkeypatch.setattr(own, "_trained", lambda task: (pipeline, 1.5, {"kept": kept}))
    task = own.Task(SimpleNamespace(training=SimpleNamespace(seed=0)), None, 0.0)
    sample, seconds = own.fit_game(task)
    assert (sample(3), seconds, loaded) == (7, 1.5, ["best's"] if is_played else [])
    assert task.progress["rows of"] == ("game" if is_played else "model")
    loaded.clear()
    own.fit_default(task)
    assert not loaded


def test_a_budget_must_leave_time_to_train(tmp_path: Path, data: Path) -> None:
    with pytest.raises(own.InputError, match="seconds must be above"):
        own.synthesize("default", data / "tables" / "nursery_train.csv", tmp_path / "rows.csv", tmp_path, 2.0, 0, None)


def test_conditions_choose_rows() -> None:
    rows = people(200, 0)
    chosen = measures.rows_of("town=Lyon,age>=40", rows)
    assert chosen.equals(rows[(rows["town"] == "Lyon") & (rows["age"] >= 40)])
    border = pd.DataFrame({"age": [39, 40, 41]})
    assert measures.rows_of("age>=40", border)["age"].tolist() == [40, 41]
    assert measures.rows_of("age<40", border)["age"].tolist() == [39]
    assert measures.rows_of("pay<50", rows).equals(rows[rows["pay"] < 50])
    assert all(len(dataset.conditions) == 5 for dataset in synthesizers.DATA_SETS.values())


def test_rows_with_a_condition_are_told_apart_where_they_differ() -> None:
    real, unseen, like = people(400, 0), people(200, 1), people(200, 2)
    auc, floor = measures.told_by_trees(real, like, unseen, ["?"], 0)
    assert abs(auc - 0.5) < 0.15
    assert abs(floor - 0.5) < 0.15
    shuffled = like.assign(pay=like["pay"].to_numpy()[::-1].copy())
    assert measures.told_by_trees(real, shuffled, unseen, ["?"], 0)[0] > auc + 0.1


def test_the_perceptron_tells_samples_and_then_training_rows_from_held_out_ones(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("training.csv", "samples.csv", "heldout.csv")]
    for seed, file in enumerate(files):
        rows = people(500, seed)
        if "samples" in file:
            rows["class"] = rows["class"].map({"priority": "other", "other": "priority"})
        rows.to_csv(file, index=False)
    auc, floor = measures._perceptron(files, ["?"], 0)
    assert auc > 0.7 > floor


def test_conditions_are_drawn_from_the_model_of_the_default(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditions = ("town=Lyon", "age>=50")
    monkeypatch.setitem(synthesizers.DATA_SETS, "nursery", synthesizers.DataSet(conditions, missing="?"))
    asked: list[tuple[int, str]] = []

    def generate(count: int, seed: int, given: str) -> Any:
        asked.append((count, given))
        rows = measures.rows_of(given, people(2000, 7))[:count]
        effort = SimpleNamespace(lines=lambda: ["exact"])
        return SimpleNamespace(values={name: rows[name].tolist() for name in rows}, effort=effort, __len__=None)

    class Samples(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.values["age"])

    model = SimpleNamespace(generate=lambda *args, **options: Samples(**vars(generate(*args, **options))))
    paths: list[Path] = []
    monkeypatch.setattr(synthesizers, "load", lambda path: paths.append(path) or model)
    laboratory = synthesizers.Laboratory(data, tmp_path / "cache", 5.0, None)
    record = laboratory.measure(synthesizers.Cell("nursery", "conditions", 0))
    unseen = pd.read_csv(data / "tables" / "nursery_test.csv")
    assert asked == [(len(measures.rows_of(condition, unseen)), condition) for condition in conditions]
    assert paths == [tmp_path / "cache" / "5" / "nursery" / "default" / "0" / "run" / "model"]
    assert [found["obeying"] for found in record["conditions"]] == [count for count, _ in asked]
    assert record["figures"]["largest above floor"] == pytest.approx(
        max(found["auc"] - found["floor"] for found in record["conditions"]), abs=1e-3
    )
    assert "| nursery | 5 CPU s | town=Lyon |" in report.render([record])


def test_sdmetrics_is_given_missing_values_as_the_training_rows_have_them(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = synthesizers.Laboratory(data, tmp_path / "cache", 5.0, "python")
    monkeypatch.setitem(synthesizers.DATA_SETS, "nursery", synthesizers.DataSet((), missing="?"))
    rows = laboratory.folder(synthesizers.Cell("nursery", "default", 0)) / "synthetic.csv"
    rows.parent.mkdir(parents=True)
    people(50, 3).replace("?", "").to_csv(rows, index=False)
    monkeypatch.setattr(laboratory, "synthesize", lambda cell: (rows, {}))
    monkeypatch.setattr(synthesizers, "measure", lambda *tables: ({"shapes": 0.9, "trends": 0.8}, {}))
    compared: list[pd.DataFrame] = []

    def call(command: list[str]) -> dict[str, Any]:
        compared.append(pd.read_csv(command[-1], keep_default_na=False))
        return {"shapes": 0.91, "trends": 0.82, "versions": {}}

    monkeypatch.setattr(laboratory, "_call", call)
    record = laboratory.measure(synthesizers.Cell("nursery", "agreement", 0))
    assert compared[0].equals(people(50, 3))
    shown = "shapes, ours 0.9000, trends, ours 0.8000, shapes, sdmetrics 0.9100, trends, sdmetrics 0.8200"
    assert f"- nursery, 5 CPU s: {shown}" in report.render([record])


def test_the_game_is_set_against_likelihood_at_the_same_budget() -> None:
    figures = {"trees": 0.6, "perceptron": 0.55, "predictions": 0.9, "for class": 0.9}
    record: dict[str, Any] = {
        "cell": "nursery/default/0", "budget": "120 CPU s", "fit": 119.0, "sample": 1.0, "figures": figures,
        "references": {"floor": {**figures, "for class": 0.95}, "Chow-Liu tree": {"trees": 0.8}}, "progress": {},
    }  # fmt: skip
    progress = {"rows of": "game", "choice": "start", "verdicts": {"start": [0.51, 0.01], "best": [0.53, 0.02]}}
    game = {**record, "cell": "nursery/game/0", "figures": {**figures, "trees": 0.7}, "progress": progress}
    shown = report.render([record, game])
    line = "| nursery/0 | 120 CPU s | game | start | 0.510 ± 0.010 | 0.530 ± 0.020 | 0.600 | 0.700 | 0.550 | 0.550 |"
    assert line in shown
    assert "| Chow-Liu tree |  |  |  | 0.800 | 0.400 |  |" in shown
    assert "- default, 120 CPU s, real rows' AUC less synthetic rows': class +0.050" in shown
    assert "## The game" not in report.render([record, {**game, "budget": "60 CPU s"}])


def test_tables_of_packages_are_cut_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory = synthesizers.Laboratory(tmp_path, tmp_path / "cache", 5.0, "python")
    calls: list[list[str]] = []

    def write(command: list[str]) -> dict[str, Any]:
        calls.append(command)
        people(50, 0).to_csv(command[-1], index=False)
        return {}

    monkeypatch.setattr(laboratory, "_call", write)
    training, heldout = laboratory.tables("diamonds")
    assert (laboratory.tables("diamonds"), len(calls), calls[0][2:4]) == ((training, heldout), 1, ["table", "diamonds"])
    both = pd.concat([pd.read_csv(training), pd.read_csv(heldout)])
    assert (len(pd.read_csv(training)), len(pd.read_csv(heldout))) == (40, 10)
    columns = list(both)
    whole = people(50, 0).sort_values(columns).reset_index(drop=True)
    assert both.sort_values(columns).reset_index(drop=True).equals(whole)
