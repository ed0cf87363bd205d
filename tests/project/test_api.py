"""The public interface changes on purpose only, and naming it waits for nothing heavy."""

import importlib
import subprocess
import sys

import griffe
import pytest
from documentation import sources
from pages import ROOT

import bgan_discrete

LISTED = (ROOT / "tests/public_interface.txt").read_text(encoding="utf-8")
HEAVY = ("torch", "numpy", "datasets", "matplotlib", "sentencepiece", "tensorboard", "PIL", "safetensors", "einops")


def test_the_public_interface_is_the_one_that_is_listed() -> None:
    now, listed = set(sources.listing().splitlines()), set(LISTED.splitlines())
    assert now == listed, (
        f"gone or changed: {sorted(listed - now)}; new: {sorted(now - listed)}; if that is meant: make interface"
    )


@pytest.mark.parametrize("package", sources.PROMISED)
def test_what_is_listed_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    names = {name for name in module.__all__ if name != "__version__"}
    assert names == set(sources.exports(package))
    for name in names:
        assert getattr(module, name) is not None
        assert f"{package}.{name}" in LISTED
    assert set(dir(module)) >= names


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Trainr'"):
        bgan_discrete.Trainr  # noqa: B018


def test_signatures_are_those_that_python_sees() -> None:
    """The list is read from the sources: names of parameters must be those of the objects."""
    import inspect

    for package in sources.PROMISED:
        for name, entry in sources.exports(package).items():
            found = getattr(importlib.import_module(package), name)
            if isinstance(entry, griffe.Attribute) or getattr(found, "_is_protocol", False):
                continue
            if isinstance(found, type) and issubclass(found, Exception):
                continue
            called = sources.constructor(entry) if isinstance(entry, griffe.Class) else entry
            named = [parameter.name for parameter in (called.parameters if called else ()) if parameter.name != "self"]
            assert named == list(inspect.signature(found).parameters), name


def test_the_import_waits_for_nothing_heavy() -> None:
    program = f"import bgan_discrete, sys; print(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_help_of_every_script_waits_for_nothing_heavy() -> None:
    program = (
        "import contextlib, io, pathlib, runpy, sys\n"
        "sys.path.insert(0, 'scripts')\n"
        "for path in sorted(pathlib.Path('scripts').glob('*.py')):\n"
        "    sys.argv = [str(path), '--help']\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        runpy.run_path(sys.argv[0], run_name='__main__')\n"
        f"    assert not set({HEAVY}) & set(sys.modules), (path, set({HEAVY}) & set(sys.modules))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_package_is_typed() -> None:
    assert (ROOT / "bgan_discrete/py.typed").is_file()
    assert "Typing :: Typed" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
