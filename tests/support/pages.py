"""The blocks of README and documentation, run with less work and in this process: a start of torch takes seconds."""

import contextlib
import io
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import run_file

import bgan_discrete.metrics.arrays as array_metrics
import bgan_discrete.metrics.images as image_metrics
from bgan_discrete.imaging import save_png
from bgan_discrete.metrics.classifier import train_classifier

ROOT = Path(__file__).resolve().parents[2]
BGAN = str(ROOT / "bgan_discrete" / "__main__.py")
QUICK = (
    "--max-steps 4 --num-draws 2 --batch-size 8 --generator-width 8 --discriminator-width 8 --threads 1 "
    "--num-samples 40"
)
"""Appended to trainings, which then take seconds."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def shortened(command: str) -> str:
    """The same command with less work."""
    if "--resume" in command:
        return f"{command} --num-samples 0"
    if "--start-from" in command:
        return f"{command} --max-steps 2 --num-samples 0"
    recipe = re.search(r"--config (\S+)", command)
    # A causal perceptron has a unit for each round at least.
    wider = " --generator-width 16" if recipe is not None and "columns" in recipe[1] else ""
    if "benchmark" in command:
        return f"{command} --scale smoke --suite memory --threads 1"
    if command.startswith(("bgan train", "python scripts/train_")):
        return f"{command} --limit 600 {QUICK}{wider}"
    if "evaluate" in command and "--real" not in command:
        return f"{command} --num-samples 40"
    return command.replace("5000", "50").replace("1000", "50")


def run_command(command: str) -> str:
    """Run the program, or a script, as its command line says, in the present folder; what it printed."""
    program, *argv = shlex.split(shortened(command))
    assert program in ("python", "bgan"), command
    done = run_file(*argv, cwd=Path.cwd()) if program == "python" else run_file(BGAN, *argv, cwd=Path.cwd())
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def put_data_of_a_user(folder: Path) -> None:
    """Some photographs and some lines, which the commands name."""
    rng = np.random.default_rng(0)
    (folder / "lines.txt").write_text("".join(f"the {n} red cats of {n * 7}\n" for n in range(300)), encoding="utf-8")
    for number in range(80):
        save_png(rng.integers(0, 256, (34, 40, 3)).astype(np.uint8), folder / f"photos/{number}.png")


def shorten_evaluations(patch: pytest.MonkeyPatch) -> None:
    """Let what judges samples be trained for a few steps only."""
    patch.setattr(array_metrics, "CRITIC_STEPS", 5)
    patch.setattr(image_metrics, "train_classifier", partial(train_classifier, steps=20))


def run_program(program: str, names: dict[str, Any], steps: int = 2) -> str:
    """Run a program with fewer steps among the names of those before it; what it printed, which must hold what it says.

    A comment that begins with a parenthesis or a quotation mark, behind a print, is what it prints.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(re.sub(r"max_steps=\d+", f"max_steps={steps}", program), "<block>", "exec"), names)
    for expected in re.findall(r"^ *print\(.*\)  # ([('\[].*)$", program, re.M):
        assert expected.strip("'") in said.getvalue(), f"{expected} is not in {said.getvalue()}"
    return said.getvalue()
