"""The package as it is built and installed: what the wheel holds, what it needs, and the Makefile's own checks."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from bgan_discrete import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def quietly(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a copy of the sources, unpacked, in a folder whose name has a space."""
    copy, out = tmp_path_factory.mktemp("a copy") / "sources", tmp_path_factory.mktemp("source distribution")
    skipped = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
    own_runs = {str(ROOT): {"runs"}}
    shutil.copytree(ROOT, copy, ignore=lambda folder, names: skipped(folder, names) | own_runs.get(folder, set()))
    program = f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})"
    quietly(sys.executable, "-c", program, cwd=copy)
    (found,) = out.glob("*.tar.gz")
    shutil.unpack_archive(found, out, filter="data")
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return folder


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the source distribution."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    quietly(*command, "--wheel-dir", str(out), str(sdist))
    (found,) = out.glob("*.whl")
    return found


def test_the_source_distribution_holds_what_the_checks_need(sdist: Path) -> None:
    held = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in ("bgan_discrete", "data", "docs", "scripts", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held >= wanted | {
        "Makefile",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "CITATION.cff",
        "constraints.txt",
        "constraints-minimum.txt",
        "mkdocs.yml",
    }


def test_the_packages_are_those_of_the_tree(setup: configparser.ConfigParser) -> None:
    listed = set(setup["options"]["packages"].split())
    tree = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in ROOT.glob("bgan_discrete/**/*.py")}
    assert listed == tree | {"bgan_discrete.data"}


def test_the_wheel_holds_the_code_and_the_embedded_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("bgan_discrete/**/*.py")}
    assert names >= sources | {
        "bgan_discrete/py.typed",
        "bgan_discrete/data/digits/README.md",
        "bgan_discrete/data/digits/train.parquet",
        "bgan_discrete/data/digits/test.parquet",
    }
    assert not any(name.startswith(("tests", "scripts", "docs")) for name in names)
    assert wheel.stat().st_size < 1_000_000


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    quietly(*command, "--target", str(tmp_path / "site"), str(wheel))
    (tmp_path / "elsewhere").mkdir()
    program = (
        "import bgan_discrete, sys; from bgan_discrete.sources import load_images; "
        "data = load_images('digits'); print(bgan_discrete.__file__, data.codes.shape, data.heldout_codes.shape)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "BGAN_DISCRETE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path / "elsewhere", env=environment,
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert str(tmp_path / "site") in done.stdout
    assert "(1297, 8, 8) (500, 8, 8)" in done.stdout


def test_the_syntax_is_that_of_the_oldest_python(setup: configparser.ConfigParser) -> None:
    assert setup["options"]["python_requires"] == ">=3.10"
    for folder in ("bgan_discrete", "data", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))


def test_the_build_file_holds_the_build_system_and_nothing_else() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r"^\[(.+)\]$", text, re.M) == ["build-system"]


def test_the_extras(setup: configparser.ConfigParser) -> None:
    assert {"test", "dev", "docs", "tensorboard"} <= set(setup["options.extras_require"])


def test_every_requirement_is_pinned_and_torchvision_is_none_of_them(setup: configparser.ConfigParser) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(r"^torch==2\.13\.0$", pins, re.M)
    pinned = {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", pins, re.M)}
    assert "torchvision" not in pinned
    wanted = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    names = {
        re.split(r"[\[<>=!~ ]", line)[0].lower().replace("_", "-")
        for part in wanted
        for line in part.split("\n")
        if line.strip()
    }
    assert names - pinned == set()


SAFE = {
    "torch": "2.10", "pyarrow": "14.0.1", "pillow": "13.0", "sentencepiece": "0.2.1", "filelock": "3.20.3",
}  # fmt: skip
"""From which versions on no error is known by which a file that is read does harm; ``setup.cfg`` names the errors."""


def minima(setup: configparser.ConfigParser, *extras: str) -> dict[str, str]:
    """Name of a library -> the oldest version for Python 3.11 and later."""
    parts = [setup["options"]["install_requires"], *(setup["options.extras_require"][extra] for extra in extras)]
    lines = [line for part in parts for line in part.split("\n") if line and 'python_version < "3.11"' not in line]
    return dict(line.split(";")[0].strip().split(">=") for line in lines)


def numbers(version: str) -> tuple[int, ...]:
    return (*map(int, version.split(".")), 0, 0)[:3]


def test_no_version_with_known_errors_of_memory_is_admitted(setup: configparser.ConfigParser) -> None:
    oldest = minima(setup)
    assert {name for name, safe in SAFE.items() if numbers(oldest[name]) < numbers(safe)} == set()


def test_the_versions_that_were_tested_are_the_oldest_admitted(setup: configparser.ConfigParser) -> None:
    text = (ROOT / "constraints-minimum.txt").read_text(encoding="utf-8")
    tested = dict(re.findall(r"^([\w.-]+)==(.+)$", text, re.M))
    oldest = minima(setup, "tensorboard")
    assert {name: numbers(version) for name, version in oldest.items() if name != "torch"} == {
        name: numbers(version) for name, version in tested.items() if name != "torch"
    }


def test_the_citation_is_of_this_version(setup: configparser.ConfigParser) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert (cited["version"], cited["license"]) == (__version__, setup["metadata"]["license"])
    assert cited["references"][0]["title"] == "Boundary-Seeking Generative Adversarial Networks"
    assert f"({__version__})" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_licence_is_mit(setup: configparser.ConfigParser) -> None:
    assert setup["metadata"]["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and the packaging files, whose name has a space."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def fake_python(folder: Path, body: str) -> Path:
    path = folder / "fake-python"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
class TestMakefile:
    @pytest.mark.parametrize("target", ["demo", "test"])
    def test_a_missing_python_is_said(self, checkout: Path, target: str) -> None:
        done = make(checkout, target, "PYTHON=no-such-python")
        assert done.returncode != 0
        assert "error: 'no-such-python' was not found; install Python 3.10 or newer" in done.stderr

    def test_an_old_python_is_said(self, checkout: Path, tmp_path: Path) -> None:
        old = fake_python(tmp_path, 'case "$1" in --version) echo Python 3.8.1;; *) exit 1;; esac')
        done = make(checkout, "demo", f"PYTHON={old}")
        assert "Python 3.8.1; Python 3.10 or newer is needed" in done.stderr

    def test_a_python_without_venv_is_said(self, checkout: Path, tmp_path: Path) -> None:
        without = fake_python(tmp_path, 'case "$2" in *venv*) exit 1;; *) exit 0;; esac')
        done = make(checkout, "demo", f"PYTHON={without}")
        assert "lacks the venv module" in done.stderr
        assert not (checkout / ".venv").exists()

    def test_the_environment_is_made_once_and_again_when_the_packaging_changes(
        self, checkout: Path, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        # Stands for an interpreter: `-m venv DIR` leaves a copy of itself there, everything else is written down.
        python = fake_python(
            tmp_path,
            f'echo "$@" >> "{log}"\nif [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi',
        )
        first = make(checkout, "demo", f"PYTHON={python}")
        assert first.returncode == 0, first.stderr
        calls = log.read_text(encoding="utf-8")
        assert calls.count("-m venv .venv") == 1
        assert calls.count("pip install") == 1
        assert "--constraint constraints.txt" in calls
        assert "scripts/train_images.py --config scripts/recipes/digits.yaml" in calls
        make(checkout, "demo", f"PYTHON={python}")
        assert log.read_text(encoding="utf-8").count("pip install") == 1
        later = (checkout / ".venv/.installed").stat().st_mtime + 5
        os.utime(checkout / "setup.cfg", (later, later))
        make(checkout, "demo", f"PYTHON={python}")
        calls = log.read_text(encoding="utf-8")
        assert (calls.count("-m venv .venv"), calls.count("pip install")) == (1, 2)
        moved = checkout.rename(checkout.with_name("moved away"))
        make(moved, "demo", f"PYTHON={python}")
        calls = log.read_text(encoding="utf-8")
        assert (calls.count("-m venv .venv"), calls.count("pip install")) == (2, 3)


def test_no_file_is_large() -> None:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    for name in done.stdout.decode().split("\0"):
        path = ROOT / name
        assert not path.is_file() or path.stat().st_size < 1_000_000, name
