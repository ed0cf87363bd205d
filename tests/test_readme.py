"""The README is true: its commands run, its programs run, its links and tables name what exists."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import warm_start
from pages import QUICK, ROOT, blocks, shortened

from bgan_discrete.continuous import CONTINUOUS_LOSSES
from bgan_discrete.divergences import DIVERGENCES
from bgan_discrete.estimators import ESTIMATORS
from bgan_discrete.imaging import save_png
from bgan_discrete.penalties import PENALTIES
from bgan_discrete.relaxations import RELAXATIONS

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXPERIMENTS = [path.stem for path in (ROOT / "scripts/experiments").glob("*.py") if path.stem != "laboratory"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the commands name: the scripts, some photographs, and stand-ins for the recipes' data."""
    folder = tmp_path_factory.mktemp("a user")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    rng = np.random.default_rng(0)
    (folder / "lines.txt").write_text("".join(f"the {n} red cats of {n * 7}\n" for n in range(300)), encoding="utf-8")
    for number in range(80):
        save_png(rng.integers(0, 256, (34, 40, 3)).astype(np.uint8), folder / f"photos/{number}.png")
    return folder


def run(command: str, place: Path) -> str:
    environment = {**os.environ, "BGAN_DISCRETE_CACHE": str(place / "cache"), "PYTHONPATH": str(ROOT)}
    program, *arguments = shlex.split(command)
    assert program == "python", command
    done = warm_start.run(arguments, place, environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_command_runs_in_order(place: Path) -> None:
    commands = [line for block in blocks(README, "bash") for line in block.splitlines() if line]
    assert len(commands) >= 8
    for command in commands:
        assert command.startswith("python scripts/"), command
        run(shortened(command), place)
    assert {"grid.png", "samples.npz", "report.json", "samples.txt", "text.json"} <= {
        path.name for path in place.iterdir()
    }


def test_every_program_runs(place: Path) -> None:
    programs = blocks(README, "python")
    assert len(programs) >= 3
    run(f"python scripts/train_images.py --output-dir runs/digits --overwrite {QUICK}", place)
    agreeing: list[float] = []
    for number, program in enumerate(programs):
        path = place / f"program_{number}.py"
        path.write_text(program.replace("max_steps=8000", "max_steps=4"), encoding="utf-8")
        said = run(f"python {path.name}", place)
        for expected in re.findall(r"^print\(.*\)  # (\(.*)$", program, re.M):
            assert expected in said
        agreeing += [float(share) for share in re.findall(r"columns that agree: ([\d.]+)", said)]
    # The program that trains on its own arrays.
    assert len(agreeing) == 1
    assert agreeing[0] > 0.8


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)$", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_the_tables_name_every_choice() -> None:
    for name in (*ESTIMATORS, *DIVERGENCES, *PENALTIES, *RELAXATIONS, *CONTINUOUS_LOSSES, *EXPERIMENTS):
        assert f"`{name}`" in README


def test_links_and_recipes_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"--config (\S+)", README):
        assert (ROOT / target).exists(), target
