"""The README is true: its commands run, its programs run, its links name what exists; the guide names every choice."""

import re
from pathlib import Path

import pytest
from documentation.pages import BESIDES
from pages import ROOT, blocks, run_command, run_program, shorten_evaluations

from bgan_discrete.rivals.continuous import CONTINUOUS_LOSSES
from bgan_discrete.rivals.relaxations import RELAXATIONS

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
FILES = [path.stem for path in (ROOT / "scripts/experiments").glob("*.py") if path.stem != "laboratory"]
EXPERIMENTS = [name for name in FILES if "_" not in name]
"""Those with an underscore are parts of the one before it."""


@pytest.fixture(autouse=True)
def _quick_and_in_a_place_with_a_space(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("a user"))
    shorten_evaluations(monkeypatch)


def test_every_command_runs_in_order() -> None:
    commands = [line for block in blocks(README, "bash") for line in block.splitlines() if line]
    assert len(commands) >= 4
    for command in commands:
        assert command.startswith("bgan "), command
        run_command(command)
    assert {"grid.png", "report.json", "digits.html"} <= {path.name for path in Path.cwd().iterdir()}


def test_every_program_runs() -> None:
    programs = blocks(README, "python")
    assert len(programs) >= 2
    for program in programs:
        run_program(program, {"__name__": "__main__"})


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 110
    assert len(blocks(README, "python")[1].splitlines()) <= 25, "the algorithm"


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?:^    |`)make (\w+)", README, re.M)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M)


def test_the_guide_names_every_choice() -> None:
    for name in (*RELAXATIONS, *CONTINUOUS_LOSSES, *EXPERIMENTS):
        assert f"`{name}`" in GUIDE or f" {name} " in GUIDE


def test_the_site_has_what_the_readme_links_to() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert target.startswith("docs/") or target in BESIDES, f"{target} is no file of scripts/documentation/pages.py"


def test_links_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
