"""The blocks of README and documentation, run with less work and in this process: a start of torch takes seconds."""

import contextlib
import io
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from in_process import run_file

import bgan_discrete.metrics.arrays as array_metrics
import bgan_discrete.metrics.images as image_metrics
from bgan_discrete.metrics.classifier import train_classifier

ROOT = Path(__file__).resolve().parents[2]
QUICK = (
    "--max-steps 4 --num-draws 2 --batch-size 8 --generator-width 8 --discriminator-width 8 --threads 1 "
    "--num-samples 40"
)
"""Appended to trainings, which then take seconds."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def shortened(command: str) -> str:
    """The same command with less work."""
    if "--config" in command and "digits" not in command and "images" in command:
        # The recipe's data are not here: its options are used on the embedded digits.
        command += " --dataset digits"
    if "--resume" in command:
        return f"{command} --num-samples 0"
    if "--start-from" in command:
        return f"{command} --max-steps 2 --num-samples 0"
    if "pretrain" in command:
        command = re.sub(r"(--pretrain-steps|--warmup-steps) \d+", r"\1 2", command)
    if "benchmark" in command:
        return f"{command} --scale smoke --suite memory --threads 1"
    if "train_array" in command or "table" in command or ".csv" in command:
        return f"{command} --limit 600 {QUICK}" if "train" in command else command
    if "train_" in command or command.startswith("bgan train"):
        return f"{command} {QUICK}"
    if "evaluate" in command:
        return f"{command} --num-samples 40"
    return command.replace("5000", "50").replace("1000", "50")


def run_command(command: str) -> str:
    """Run a script as its command line says, in the present folder; what it printed."""
    program, *argv = shlex.split(shortened(command), comments=True)
    assert program in ("python", "bgan")
    if program == "bgan":
        argv = [str(ROOT / "bgan_discrete" / "__main__.py"), *argv]
    done = run_file(*argv, cwd=Path.cwd())
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


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
