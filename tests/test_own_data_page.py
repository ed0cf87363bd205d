"""The page on one's own data is true: its programs run, and so do its commands, in order."""

import os
import re
import shlex
from pathlib import Path

import pytest
import warm_start

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
QUICK = (
    "--max-steps 4 --batch-size 8 --generator-width 8 --discriminator-width 8 --threads 1 --num-samples 0 --limit 300"
)
"""Appended to trainings, which then take seconds."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a user")
    for name in ("scripts", "data"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(command: str, place: Path) -> str:
    program, *arguments = shlex.split(command)
    assert program == "python", command
    done = warm_start.run(arguments, place, {**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_command_runs_in_order(place: Path) -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert len(commands) >= 6
    for command in commands:
        if "train_" in command:
            run(f"{command} {QUICK}", place)
        elif "evaluate" in command:
            run(f"{command} --num-samples 40 --limit 300", place)
        else:
            run(command, place)
    assert {"samples.csv", "report.json"} <= {path.name for path in place.iterdir()}


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_every_program_runs(place: Path, number: int) -> None:
    path = place / f"program_{number}.py"
    path.write_text(blocks("python")[number].replace("max_steps=800", "max_steps=200"), encoding="utf-8")
    said = run(f"python {path.name}", place)
    agreeing = re.search(r"rows that agree: ([\d.]+)", said)
    assert ("samples: (1000, 6)" in said) == (agreeing is not None) == (number == 0)
    assert agreeing is None or float(agreeing[1]) > 0.3, "independent columns agree in 0.001 of the rows"
    assert agreeing or "rent 3 bins" in said


def test_links_and_recipes_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for target in re.findall(r"--config (\S+)", PAGE):
        assert (ROOT / target).exists(), target
