"""The laboratory: every experiment at its smallest scale as a user runs it, kept parts, and its errors."""

import functools
import importlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm_start
from datasets import Dataset, Features, Image, Value
from in_process import run_script

from bgan_discrete.errors import NonFiniteError
from bgan_discrete.space import SampleSpace

ROOT = Path(__file__).resolve().parents[2]
laboratory = importlib.import_module("experiments.laboratory")

TABLES = {
    "variance": 2,
    "toys": 2,
    "classifier": 1,
    "divergences": 3,
    "palette": 1,
    "rivals": 1,
    "continuous": 2,
    "boundary": 1,
}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet files in the Hub's schemas of MNIST and CIFAR-10, with drawn blobs for images, and two text files."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, column, side, channels in (("mnist", "image", 28, 1), ("cifar10", "img", 32, 3)):
        (folder / name).mkdir()
        for split, count in (("train", 420), ("test", 120)):
            labels = np.arange(count) % 10
            images = []
            for label in labels:
                x, y = 4 + 2 * (label % 5), 4 + 8 * (label // 5)
                picture = rng.integers(0, 60, size=(side, side, channels))
                picture[y : y + 10, x : x + 10] = 200 + rng.integers(0, 56, size=channels)
                images.append(picture.squeeze(-1).astype(np.uint8) if channels == 1 else picture.astype(np.uint8))
            features = Features({column: Image(), "label": Value("int64")})
            rows = Dataset.from_dict({column: images, "label": labels.tolist()}, features=features)
            rows.to_parquet(folder / name / f"{split}.parquet")
    (folder / "captions").mkdir()
    for split in ("train", "test"):
        lines = "".join(f"a man number {n} rides a horse over a hill number {n * 7}\n" for n in range(60))
        (folder / "captions" / f"{split}.txt").write_text(lines, encoding="utf-8")
    return folder


def reproduce(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_script("reproduce", *arguments, cwd=ROOT)


@pytest.fixture(scope="session")
def outputs(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str]]:
    """The folder of an experiment at the smallest scale, and what it said; each is run once."""

    @functools.cache
    def run(name: str) -> tuple[Path, str]:
        output = tmp_path_factory.mktemp(name) / "out"
        done = reproduce(name, "--scale", "smoke", "--data-dir", str(data_dir), "--output-dir", str(output))
        assert done.returncode == 0, done.stderr
        return output, done.stdout

    return run


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) if name == "palette" else name for name in laboratory.EXPERIMENTS],
)
def test_every_experiment_runs_at_smoke_scale_and_says_what_it_found(
    name: str, outputs: Callable[[str], tuple[Path, str]]
) -> None:
    output, said = outputs(name)
    report = (output / "report.md").read_text(encoding="utf-8")
    assert report in said
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert results["experiment"] == name and results["settings"]["seeds"] >= 3
    assert len(results["tables"]) == TABLES[name]
    assert "±" in report and "Settings: " in report and "{" not in report.split("Settings: ")[0]
    pictures = sorted(path.name for path in output.iterdir() if path.suffix in (".png", ".gif"))
    assert pictures and all(f"({picture})" in report for picture in pictures)
    planned = {path.stem for path in (output / "parts").iterdir()}
    assert len(planned) % results["settings"]["seeds"] == 0


def test_what_ended_is_kept_and_what_is_missing_is_run_again(
    tmp_path: Path, data_dir: Path, outputs: Callable[[str], tuple[Path, str]]
) -> None:
    output = tmp_path / "out"
    shutil.copytree(outputs("boundary")[0], output)
    before = {path.name: path.read_bytes() for path in (output / "parts").iterdir()}
    whole = json.loads((output / "results.json").read_text())
    (output / "parts" / "kl_1.json").unlink()
    again = warm_start.run(
        [str(ROOT / "scripts/reproduce.py"), "boundary", "--scale", "smoke", "--data-dir", str(data_dir),
         "--output-dir", str(output), "--workers", "2"], ROOT,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "5 of 6 parts are there already" in again.stdout and "part 1 of 1: kl_1" in again.stdout
    after = {path.name: path.read_bytes() for path in (output / "parts").iterdir()}
    assert before.keys() == after.keys()
    assert all(after[part] == content for part, content in before.items() if part != "kl_1.json")
    rows = [
        [row[:7] for row in found["tables"][0]["rows"]]
        for found in (whole, json.loads((output / "results.json").read_text()))
    ]
    assert rows[0] == rows[1], "a part that is run again, in another process, gives the same figures"


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_workers_end_with_the_process_that_started_them(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/reproduce.py"), "boundary", "--workers", "2"]
    started = subprocess.Popen([*command, "--output-dir", str(tmp_path / "out")], stdout=subprocess.PIPE, cwd=ROOT)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    if not children.exists():
        started.kill()
        pytest.skip("the system does not list a process's children")
    workers: list[int] = []
    for _ in range(600):
        time.sleep(0.1)
        # Beside the workers there is multiprocessing's own resource tracker.
        listed = [int(pid) for pid in children.read_text().split()]
        workers = [pid for pid in listed if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        if len(workers) == 2:
            break
    assert len(workers) == 2
    time.sleep(5)
    started.send_signal(number)
    started.wait(timeout=20)
    for _ in range(200):
        time.sleep(0.1)
        if not any(_runs(pid) for pid in workers):
            return
    raise AssertionError(f"workers {workers} are still there")


def _runs(pid: int) -> bool:
    """Whether a process is there and not only waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


DIVERGING = {
    "variance": ("adversarial_step",),
    "toys": (),
    "classifier": ("adversarial_step",),
    "divergences": ("adversarial_step", "wasserstein_step"),
    "palette": ("train",),
    "rivals": ("adversarial_step", "discriminator_step", "wasserstein_step"),
    "continuous": ("continuous_step",),
    "boundary": ("adversarial_step",),
}


@pytest.mark.parametrize("name", laboratory.EXPERIMENTS)
def test_trainings_that_diverge_are_told_and_never_win(
    name: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise NonFiniteError("the discriminator's loss is inf")

    experiment = importlib.import_module(f"experiments.{name}")
    for step in DIVERGING[name]:
        monkeypatch.setattr(experiment, step, diverge)
    settings = experiment.SCALES["smoke"]
    results = {}
    for part in experiment.parts(settings):
        laboratory._write_json(tmp_path / "part.json", experiment.run(settings, **part.arguments, data_dir=data_dir))
        results[part.name] = json.loads((tmp_path / "part.json").read_text())
    report = experiment.report(settings, results)
    said = " ".join(report.findings)
    assert "nearest" not in said.lower() and "best divergence" not in said
    for table in report.tables:
        for row in table.rows:
            if row[0] in ("kl", "rloo", "alpha_M2") or "boundary_seeking" in row:
                assert "-" in row or name in ("variance", "toys"), row
    for picture, draw in report.figures.items():
        draw(tmp_path / picture)


def test_samples_without_variety_do_not_pass_for_the_data(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    rivals: Any = importlib.import_module("experiments.rivals")
    settings = rivals.SCALES["smoke"]
    data = rivals._load(settings, "digits", data_dir)
    one = np.repeat(data.heldout_codes[:1], settings.samples, axis=0)
    monkeypatch.setattr(rivals, "sample_codes", lambda *_: torch.from_numpy(one))
    assert rivals._quality(settings, "digits", data, torch.nn.Identity()) > 0.95


def test_a_folder_of_another_experiment_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out"
    settings = importlib.import_module("experiments.boundary").SCALES["smoke"]
    laboratory._claim(output, "boundary", "smoke", settings)
    laboratory._claim(output, "boundary", "smoke", settings)
    with pytest.raises(laboratory.InputError, match=r"another experiment \(scale 'smoke', not 'cpu'\)"):
        laboratory._claim(output, "boundary", "cpu", settings)
    with pytest.raises(laboratory.InputError, match=r"another experiment \(data_dir '', not '.*elsewhere'\)"):
        laboratory._claim(output, "boundary", "smoke", settings, tmp_path / "elsewhere")
    (output / "settings.json").write_text("[1]")
    with pytest.raises(laboratory.InputError, match="that cannot be read"):
        laboratory._claim(output, "boundary", "smoke", settings)
    (output / "settings.json").write_text('{"experiment": "boundary", "scale": "smoke"}')
    with pytest.raises(laboratory.InputError, match="seeds 'absent', not 3"):
        laboratory._claim(output, "boundary", "smoke", settings)
    stray = tmp_path / "stray"
    stray.mkdir()
    (stray / "thesis.txt").write_text("mine")
    with pytest.raises(laboratory.InputError, match="must be a new or empty folder"):
        laboratory._claim(stray, "boundary", "smoke", settings)
    shutil.rmtree(output)


def one_line(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 2, run.stderr
    lines = [line for line in run.stderr.splitlines() if line]
    assert len(lines) == 1 and "Traceback" not in run.stderr, run.stderr
    return lines[0]


def _unreachable(*_: Any) -> None:
    raise laboratory.InputError("the Hub could not be reached")


def test_errors_are_one_line_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    options = ("--scale", "smoke", "--output-dir", str(tmp_path / "out"), "--data-dir", str(empty))
    assert "holds no mnist/train.parquet; put the Hub's ylecun/mnist there" in one_line(reproduce("variance", *options))
    experiment = importlib.import_module("experiments.variance")
    monkeypatch.setattr(experiment, "check_data", _unreachable)
    with pytest.raises(laboratory.InputError, match="could not be reached; with the files at hand give --data-dir"):
        laboratory.run_experiment("variance", "smoke", tmp_path / "out", None, 1, [])
    assert "alchemy" in one_line(reproduce("alchemy"))
    refused = one_line(reproduce("boundary", "--workers", "0", *options))
    assert "workers must be at least 1, got 0" in refused
    assert not (tmp_path / "out").exists()


def test_a_mean_and_its_spread() -> None:
    assert laboratory.mean_and_spread([1.0, 2.0, 3.0], 2) == "2.00 ± 1.00"
    assert laboratory.mean_and_spread([float("nan")] * 2) == "-"
    assert laboratory.mean_and_spread([1.0, float("nan"), 3.0], 1) == "2.0 (2 of 3 finite)"


def test_the_grids_figures_are_exact() -> None:
    boundary: Any = importlib.import_module("experiments.boundary")
    p = boundary.data_distribution(16)
    assert abs(float(p.sum()) - 1) < 1e-12
    torch.manual_seed(0)
    generator, latents = boundary.MLPGenerator(SampleSpace((2,), 16), 4, 8), boundary.all_latents(4)
    assert len(torch.unique(latents, dim=0)) == 16
    points = torch.cartesian_prod(torch.arange(16), torch.arange(16))

    class Optimal(torch.nn.Module):
        """F* = log p/q, from q summed up by hand."""

        def forward(self, codes: torch.Tensor) -> torch.Tensor:
            probabilities = generator(latents).log_probs.double().exp()
            q = torch.stack([torch.outer(rows, columns) for rows, columns in probabilities]).mean(0)
            index = codes.long()
            return (p / q).log()[index[:, 0], index[:, 1]]

    with torch.no_grad():
        figures, q, _ = boundary.exact_figures(generator, Optimal(), latents, points, p.log().flatten())
    assert abs(float(q.sum()) - 1) < 1e-6
    assert abs(figures["log_beta"]) < 1e-6, "beta = sum_x q(x) p(x)/q(x) = 1"
    assert figures["d_error"] < 1e-6
    m = (p.flatten() + q) / 2
    jsd = ((p.flatten() * (p.flatten() / m).log()).sum() + (q * (q / m).log()).sum()) / 2
    assert figures["jsd"] == pytest.approx(float(jsd), rel=1e-6)
