"""Scripts run in the process of the tests, so that torch is imported once."""

import contextlib
import io
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def refused(script: str, *arguments: str, cwd: Path) -> str:
    """The one line that a script says about bad input, as it leaves with code 2."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [str(ROOT / "scripts" / f"{script}.py"), *arguments])
        with pytest.raises(SystemExit) as left, contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(sys.argv[0], run_name="__main__")
    assert left.value.code == 2, said.getvalue()
    lines = said.getvalue().strip().splitlines()
    assert len(lines) == 1, said.getvalue()
    assert lines[0].startswith(f"{script}.py: error: ")
    return lines[0]
