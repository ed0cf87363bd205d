"""Scripts run in the process of the tests, so that torch and the other large libraries are imported once.

Where the process itself is the point (signals, kills, closed streams, several processes, what is imported),
`warm_start` runs them in one of their own.
"""

import contextlib
import io
import logging
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class _Captured(io.TextIOWrapper):
    """A stream as a process has it, with bytes below, whose text can be had."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("utf-8")


def run_file(path: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """What `subprocess.run` gives of ``python path arguments``, with captured text.

    Args:
        path: Of a program, seen from `cwd`.
        arguments: After it.
        cwd: Its working directory.
    """
    stdout, stderr, code = _Captured(), _Captured(), 0
    logged = logging.StreamHandler(stderr)
    logged.setLevel(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [path, *arguments])
        patch.setattr(sys, "path", [str((cwd / path).resolve().parent), *sys.path])
        # A process without handlers writes warnings to stderr; pytest has some.
        logging.getLogger().addHandler(logged)
        try:
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                runpy.run_path(path, run_name="__main__")
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        finally:
            logging.getLogger().removeHandler(logged)
    return subprocess.CompletedProcess([path, *arguments], code, stdout.text(), stderr.text())


def run_script(script: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """The same of one of ``scripts``, by its name without ``.py``."""
    return run_file(str(ROOT / "scripts" / f"{script}.py"), *arguments, cwd=cwd)


def ran(script: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """The same of a script that must end well."""
    done = run_script(script, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def refused(script: str, *arguments: str, cwd: Path) -> str:
    """The one line that a script says about bad input, after its warnings, as it leaves with code 2."""
    done = run_script(script, *arguments, cwd=cwd)
    assert done.returncode == 2, done.stderr
    *notes, line = done.stderr.strip().splitlines()
    assert all(" of the data set " in note for note in notes), notes
    assert line.startswith(f"{script}.py: error: ")
    return line
