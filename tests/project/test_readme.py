"""README and guide are true: their commands run, their programs run, their links and tables name what exists."""

import re
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT, blocks, run_command, run_program, shorten_evaluations

from bgan_discrete.game.divergences import DIVERGENCES
from bgan_discrete.game.estimators import ESTIMATORS
from bgan_discrete.game.penalties import PENALTIES
from bgan_discrete.imaging import save_png
from bgan_discrete.rivals.continuous import CONTINUOUS_LOSSES
from bgan_discrete.rivals.relaxations import RELAXATIONS

README, GUIDE = ((ROOT / path).read_text(encoding="utf-8") for path in ("README.md", "docs/guide.md"))
ESTIMATOR_PAGE = (ROOT / "docs/estimators.md").read_text(encoding="utf-8")
PAGES = {"README": README, "guide": GUIDE}
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


@pytest.fixture(autouse=True)
def _quick_and_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    shorten_evaluations(monkeypatch)


def commands_of(page: str) -> list[str]:
    return [line for block in blocks(page, "bash") for line in block.splitlines() if line]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs_in_order(page: str, place: Path) -> None:
    commands = commands_of(PAGES[page])
    assert len(commands) >= 4
    for command in commands:
        assert command.startswith(("bgan ", "python scripts/")), command
        run_command(command if page == "README" else command.replace("runs/digits", "runs/guide"))
    assert {"grid.png", "report.json"} <= {path.name for path in place.iterdir()}


@pytest.mark.parametrize("page", PAGES)
def test_every_program_runs(page: str) -> None:
    programs = blocks(PAGES[page], "python")
    assert len(programs) == 2
    agreeing: list[float] = []
    for program in programs:
        said = run_program(program, {"__name__": "__main__"}, steps=200 if "agree" in program else 2)
        agreeing += [float(share) for share in re.findall(r"columns that agree: ([\d.]+)", said)]
    # The program of the guide that trains on its own arrays.
    assert len(agreeing) == (page == "guide")
    assert all(share > 0.8 for share in agreeing)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 110
    algorithm = blocks(README, "python")[1].splitlines()
    assert len(algorithm) <= 25
    assert {line.split()[1] for line in commands_of(README)} == {"train", "generate", "evaluate", "report"}


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)$", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_the_tables_name_every_choice() -> None:
    for name in (*ESTIMATORS, *DIVERGENCES, *PENALTIES, *RELAXATIONS, *CONTINUOUS_LOSSES, *EXPERIMENTS):
        assert f"`{name}`" in GUIDE + ESTIMATOR_PAGE, name


def test_links_and_recipes_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"--config (\S+)", README):
        assert (ROOT / target).exists(), target
