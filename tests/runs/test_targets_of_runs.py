"""Verifiers and rewards from a user's function to samples: trained by, kept, reported, resumed and drawn by."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from in_process import ran
from in_process import refused as refused_by
from refusals import refusal

import bgan_discrete
from bgan_discrete.config import CONFIGS
from bgan_discrete.runs.train import train

CODES = np.random.default_rng(0).integers(0, 3, (3000, 4)).astype(np.uint8)
RUN = {"max_steps": 90, "phases": "likelihood=0.4,game", "num_samples": 400, "generator_width": 16, "log_interval": 10}

PROGRAMS = """
import numpy as np

def even(rows):
    return rows.sum(1) % 2 == 0

def high(rows):
    return rows[:, 0] * 1.0

def picky(rows):
    if (rows[:, 1] == 2).any():
        raise ValueError("no twos")
    return np.ones(len(rows), bool)
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of programs, in which the run is started."""
    (tmp_path / "own programs.py").write_text(PROGRAMS)
    np.save(tmp_path / "codes.npy", CODES)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("program_")]:
        del sys.modules[name]


def of_run(folder: str, **options: Any) -> Any:
    return CONFIGS["arrays"].from_flat({"dataset": "codes.npy", "output_dir": folder, **RUN, **options})


OTHER_FORMS = [pytest.param(form, marks=pytest.mark.long) for form in ("additive", "shifted")]


@pytest.mark.parametrize("form", ["anchored", "weighted", *OTHER_FORMS])
def test_every_form_raises_what_is_asked_for(form: str) -> None:
    model = bgan_discrete.fit(
        CODES,
        verifier=lambda rows: rows[:, 1] != 2,
        reward=lambda rows: rows[:, 0] * 1.0,
        target_form=form,
        progress=False,
        keep="last",
        **{**RUN, "max_steps": 300, "batch_size": 32, "ema_decay": 0.98, "generator_lr": 0.04, "num_samples": 0},
    )
    rows = np.asarray(model.sample(1000))
    assert (rows[:, 1] != 2).mean() > 0.8  # two thirds of the data
    assert rows[:, 0].mean() > 1.1  # 1 of the data, 1.42 of the target


def test_a_run_says_and_keeps_what_its_target_is(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(of_run("run", verifier="own programs.py:even", reward="own programs.py:high", reward_weight="mean=1.5"))
    said = "".join(capsys.readouterr())
    assert run.report is not None and run.pipeline is not None
    assert {"valid", "reward", "distinct_valid"} <= set(run.report.figures)
    assert run.report.figures["valid"].floor == pytest.approx(0.5, abs=0.1)
    assert "% of the data are valid" in said and "verifier: ran on" in said
    saved = yaml.safe_load((programs / "run" / "config.yaml").read_text())
    assert saved["verifier"] == "own programs.py:even"
    assert "verifier" in (programs / "run" / "report.html").read_text()

    # Loading imports nothing of it, and the model does not need it.
    (programs / "own programs.py").write_text("raise SystemExit('imported')")
    assert len(bgan_discrete.load("run/model").sample(3)) == 3


def test_a_resumed_run_equals_one_that_was_not_interrupted(programs: Path) -> None:
    options = {"verifier": "own programs.py:even", "reward": "own programs.py:high", "checkpoint_interval": 60}
    options |= {"num_samples": 0, "batch_size": 16}
    whole = train(of_run("whole", **options), progress=False)
    train(of_run("half", **options), progress=False)
    for path in (programs / "half" / "checkpoints").iterdir():
        if "60" not in path.name:
            path.unlink() if path.is_file() else None
    again = train(of_run("half", resume="latest", **options), progress=False)
    assert whole.pipeline is not None and again.pipeline is not None
    for ours, theirs in zip(
        whole.pipeline.generator.state_dict().values(), again.pipeline.generator.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_failures_are_counted_or_stop_the_run(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(of_run("run", verifier="own programs.py:picky", num_samples=0))
    said = capsys.readouterr()
    assert "failed on" in said.out + said.err and "ValueError: no twos" in said.out + said.err
    stopped = refusal(lambda: train(of_run("stop", verifier="own programs.py:picky", on_error="stop"), progress=False))
    assert "verifier failed on" in stopped and "no twos" in stopped


def test_what_cannot_be_used_is_refused_before_any_training(programs: Path) -> None:
    def refused(**options: Any) -> str:
        return refusal(lambda: train(of_run("never", **options), progress=False))

    assert "no_such" in refused(verifier="own programs.py:no_such")
    assert "numbers in [0, 1], got 2" in refused(verifier="own programs.py:high")
    assert "function" in refused(verifier="sum == 2")
    assert "mean=9" in refused(reward="own programs.py:high", reward_weight="mean=9")
    assert "leave it out" in refused(reward_weight="2")
    assert "exact" in refused(verifier="own programs.py:even", generator="mlp", target_form="anchored")
    assert not (programs / "never" / "metrics.jsonl").exists()


def test_a_table_is_verified_by_an_expression_or_a_frame() -> None:
    rng = np.random.default_rng(1)
    table = {"a": rng.integers(0, 4, 2500).tolist(), "b": rng.integers(0, 4, 2500).tolist()}
    options = {**RUN, "max_steps": 30, "num_samples": 0, "progress": False, "keep": "last"}
    model = bgan_discrete.fit(table, verifier="b >= a", **options)
    seen = list[Any]()

    def check(frame: Any) -> Any:
        seen.append(list(frame.columns))
        return frame["b"] >= frame["a"]

    drawn = model.sample(200, verifier=check)
    assert all(b >= a for a, b in zip(drawn["a"], drawn["b"], strict=True))
    assert seen[0] == ["a", "b"]


def test_samples_are_refused_or_chosen_in_the_program(programs: Path) -> None:
    train(of_run("run", num_samples=0, phases="likelihood"), progress=False)
    model = bgan_discrete.load("run/model")
    assert np.asarray(model.sample(300, resample=16, reward=lambda rows: rows[:, 0] * 3.0))[:, 0].mean() > 1.7
    asked = ["--model", "run/model", "--num-samples", "300"]
    done = ran("generate_array", *asked, "--verifier", "own programs.py:even", "--output", "even.npy", cwd=programs)
    assert "refused and drawn anew" in done.stdout + done.stderr
    assert (np.load("even.npy").sum(1) % 2 == 0).all()
    chosen = ["--resample", "8", "--reward", "own programs.py:high", "--reward-weight", "3"]
    ran("generate_array", *asked, *chosen, "--output", "high.npy", cwd=programs)
    assert np.load("high.npy")[:, 0].mean() > 1.7
    reward = ["--reward", "own programs.py:high", "--output", "x.npy"]
    assert "resample" in refused_by("generate_array", *asked, *reward, cwd=programs)


def test_texts_are_verified_too() -> None:
    texts = ["ab", "ba", "aab", "bba"] * 700
    model = bgan_discrete.fit(
        texts,
        verifier=lambda lines: [line.startswith("a") for line in lines],
        progress=False,
        **{**RUN, "max_steps": 40, "num_samples": 0, "generator": "causal", "keep": "last", "batch_size": 8},
    )
    assert all(line.startswith("a") for line in model.sample(50, verifier=lambda lines: [t[:1] == "a" for t in lines]))
