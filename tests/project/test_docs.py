"""The documentation is true: its blocks run, its links lead somewhere, and a site can be built of it."""

import json
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import griffe
import pytest
from documentation import notebooks, sources
from documentation.docstrings import faults
from in_process import run_file
from mkdocs.config import load_config
from mkdocs.structure.files import get_files
from mkdocs.structure.nav import get_navigation
from pages import BGAN, ROOT, blocks, put_data_of_a_user, run_command, run_program, shorten_evaluations

from bgan_discrete.game.divergences import DIVERGENCES
from bgan_discrete.game.estimators import ESTIMATORS
from bgan_discrete.game.penalties import PENALTIES

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
EVERYWHERE = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
MEASURED = ("docs/results.md", "docs/performance.md")
"""Pages whose commands are long trials: their options must exist."""

TUTORIALS = [f"docs/{page}" for page in notebooks.TUTORIALS]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the root of the checkout to what runs there."""
    for name in ("scripts", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    put_data_of_a_user(tmp_path)
    monkeypatch.chdir(tmp_path)
    shorten_evaluations(monkeypatch)
    return tmp_path


def run_page(text: str) -> None:
    """All blocks of a page in their order, the programs with the names of those before."""
    names: dict[str, Any] = {"__name__": "page"}
    for language, block in re.findall(r"^```(python|bash)\n(.*?)^```$", text, re.M | re.S):
        if language == "python":
            run_program(block, names)
        else:
            for command in filter(None, block.splitlines()):
                run_command(command)


def cells_of(text: str) -> list[dict[str, Any]]:
    book: dict[str, Any] = json.loads(text)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    cells: list[dict[str, Any]] = book["cells"]
    return cells


@pytest.mark.parametrize(
    "page",
    [name for name, text in TEXTS.items() if re.search("^```(python|bash)", text, re.M) and name not in TUTORIALS],
)
def test_the_blocks_of_a_page_run(page: str, place: Path) -> None:
    run_page(TEXTS[page])


@pytest.mark.parametrize("page", TUTORIALS)
def test_the_notebook_of_a_tutorial_runs(page: str, place: Path) -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    ran = []
    for cell in cells_of(notebooks.notebook(TEXTS[page])):
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == [] and cell["execution_count"] is None
        if source.startswith(notebooks.COMMAND):
            for line in source.splitlines():
                ran.append(
                    ("python " + line.removeprefix(notebooks.COMMAND)).replace("python -m bgan_discrete", "bgan")
                )
                run_command(ran[-1])
        else:
            ran.append(source)
            run_program(source, names)
    wanted = [block.strip() for block in blocks(TEXTS[page], "python")]
    wanted += [line for block in blocks(TEXTS[page], "bash") for line in block.splitlines() if line]
    assert sorted(ran[1:]) == sorted(wanted)  # the first cell only finds the checkout


def test_every_page_of_the_site_is_in_its_order() -> None:
    config = load_config(str(ROOT / "mkdocs.yml"))
    config.plugins.on_config(config)
    files = config.plugins.on_files(get_files(config), config=config)
    ordered = {page.file.src_uri for page in get_navigation(files, config).pages}
    assert ordered == {file.src_uri for file in files.documentation_pages()} >= {*TEXTS, "reference/index.md"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `make docs`, which ends with an error if a link or a name leads nowhere."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.long
def test_the_site_has_every_page_and_every_promised_name(site: Path) -> None:
    reference = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").rglob("*.html"))
    for package in sources.PROMISED:
        for entry in sources.exports(package).values():
            assert f'id="{entry.path}"' in reference
    for page in TEXTS:
        assert (site / page).with_suffix(".html").is_file()


@pytest.mark.long
def test_the_links_of_the_notebooks_lead_somewhere(site: Path) -> None:
    books = list((site / "docs/notebooks").glob("*.ipynb"))
    assert {path.name for path in books} == set(notebooks.TUTORIALS.values())
    for path in books:
        texts = ["".join(cell["source"]) for cell in cells_of(path.read_text(encoding="utf-8"))]
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", "".join(texts)):
            assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_no_docstring_of_a_documented_name_falls_short() -> None:
    assert faults(sources.documented()) == []


def test_the_faults_of_docstrings_are_found() -> None:
    program = '''
def f(a, b):
    """Do.

    Args:
        a: One.
        c: Two.
    """
    raise InputError("no")

def g(a, b) -> int:
    """Do."""

def h():
    pass

def internal(a, b) -> int:
    """Do."""
    raise InputError("no")

def half_told(a, b):
    """Do.

    Args:
        a: One.
    """
'''
    with griffe.temporary_visited_module(program, module_name="m") as module:
        read = sources.Module("m", "A module.", tuple(module.functions.values()))
        found = faults([read], public={"m.f", "m.g", "m.h", "m.i"})
    assert found == [
        "m.i is exported and has no docstring",
        "m.f has the arguments a, b, and tells of a, c",
        "m.f raises InputError and does not say so",
        "m.g does not tell of its arguments a, b",
        "m.h has no docstring",
        "m.half_told has the arguments a, b, and tells of a",
    ]


def slug(heading: str) -> str:
    """The anchor that code hosts give a heading, without the number that a repetition gets."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def headings(text: str) -> list[str]:
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [slug(line) for line in re.findall(r"^#{1,6} (.+)$", without_code, re.M)]


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    without_code = re.sub(r"^```.*?^```$|``[^`]+``|`[^`\n]+`(?!\])", "", text, flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)]+)\)", without_code):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name} links to {link}"
        if anchor:
            assert anchor in headings(target.read_text(encoding="utf-8")), f"{path.name} links to {link}"
    repeated = [anchor for anchor, count in Counter(headings(text)).items() if count > 1]
    assert not repeated or path.name == "CHANGELOG.md", f"{path.name} repeats {repeated}"


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_are_whole(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(columns) == 1, f"{path.name}: {table.splitlines()[0]}"


def test_the_index_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", TEXTS["docs/index.md"]))
    assert {name.removeprefix("docs/") for name in TEXTS} - {"index.md"} <= linked


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The flags of each script."""
    found = {}
    scripts = ROOT / "scripts"
    names = ("rounds", "finishers", "defaults", "adversarial_reward", "synthesizers", "targets", "showpieces")
    names += ("weight_decay",)
    tables = [scripts / "benchmarks/large_tables.py", *(scripts / f"experiments/{name}.py" for name in names)]
    for path in sorted([*scripts.glob("*.py"), *(scripts / "trials").glob("*.py"), *tables]):
        name = path.relative_to(scripts).with_suffix("").as_posix()
        found[name] = _flags(str(path))
    found["bgan"] = set().union(*(_flags(BGAN, verb) for verb in ("train", "generate", "evaluate", "report", "push")))
    return found


def _flags(*command: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", run_file(*command, "--help", cwd=ROOT).stdout))


@pytest.mark.parametrize("page", [*TEXTS, "README.md", "CONTRIBUTING.md"])
def test_every_option_that_is_named_exists(page: str, options: dict[str, set[str]]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    spans += [line for block in blocks(text, "(?:bash|text)") for line in block.splitlines()]
    spans += re.findall(r"^    (python .*)$", text, re.M)
    for span in spans:
        script = re.search(r"scripts/([\w/]+)\.py", span)
        if script is None and re.match(r"(pip|make|git|pytest|python -m|ruff|accelerate|torchrun)\b", span):
            continue
        assert script is None or script[1] in options or (ROOT / script[0]).exists(), span
        known = set().union(*options.values()) if script is None else options.get(script[1], set())
        # What stands before a script is its launcher's.
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", span if script is None else span[script.end() :]):
            assert flag in known, f"{page}: {flag} of {span}"


def test_the_guide_names_every_choice() -> None:
    for name in (*ESTIMATORS, *DIVERGENCES, *PENALTIES):
        assert f"`{name}`" in TEXTS["docs/estimators.md"]


def test_the_names_of_the_papers_page_exist() -> None:
    programs = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = re.findall(r"`([\w.]+)`", TEXTS["docs/paper.md"])
    tests = {name for name in names if name.startswith("test_")}
    assert len(tests) > 20 and not {name for name in tests if f"def {name}(" not in programs}
    for name in (name for name in names if "." in name):
        assert pkgutil.resolve_name(f"bgan_discrete.{name}"), name


def test_figures_of_the_pages_stand_in_the_results() -> None:
    """A figure with three decimals or more was measured, and the page of results says how."""
    measured = "".join(TEXTS[name] for name in MEASURED)
    for name, text in {**TEXTS, "README.md": (ROOT / "README.md").read_text(encoding="utf-8")}.items():
        if name in (*MEASURED, "docs/architecture.md"):
            continue
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        for figure in re.findall(r"(?<![\w.])\d\.\d{3}(?!\d)", prose):
            assert figure in measured, f"{name} tells of {figure}"
