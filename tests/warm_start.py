"""Programs in processes of their own that begin with the large libraries imported: each is forked from one that waits.

Starting Python and importing torch takes longer than most of what the tests run. Nothing of bgan_discrete, and nothing
that reads its settings as it is imported (`huggingface_hub`), is there already.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("torch._dynamo", "torch.distributed", "numpy", "PIL.Image", "pyarrow.parquet", "jsonargparse", "yaml")


class Started:
    """A program that runs.

    Args:
        arguments: As after ``python``: the path of a program, or ``-c`` and its text, and then its own.
        cwd: Its working directory.
        env: Its environment; None for this process's.
    """

    def __init__(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.args = list(arguments)
        self._files = [tempfile.NamedTemporaryFile(prefix="bgan-said-") for _ in range(2)]  # noqa: SIM115
        said = [file.name for file in self._files]
        self.pid: int = _ask({"start": [self.args, str(cwd), dict(os.environ if env is None else env), *said]})
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """To the process, while it has not been waited for."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """`returncode`, None while it runs."""
        if self.returncode is None:
            self.returncode = _ask({"poll": self.pid})
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it said on stdout and stderr when it has ended; `returncode` is set then."""
        if self.returncode is None:
            try:
                self.returncode = _ask({"wait": self.pid}, timeout)
            except TimeoutError as error:
                self.kill()
                self.returncode = _answer()
                raise subprocess.TimeoutExpired(self.args, timeout, *self._said()) from error
        stdout, stderr = self._said()
        return stdout, stderr

    def _said(self) -> list[str]:
        return [Path(file.name).read_text(encoding="utf-8") for file in self._files]


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` with captured text."""
    started = Started(arguments, cwd, env)
    stdout, stderr = started.communicate(timeout)
    assert started.returncode is not None
    return subprocess.CompletedProcess(started.args, started.returncode, stdout, stderr)


_waiting: list["subprocess.Popen[str]"] = []


def _ask(request: dict[str, Any], timeout: float = 120) -> Any:
    if not _waiting:
        waiting = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            bufsize=1, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        atexit.register(waiting.kill)
        _waiting.append(waiting)
    pipe = _waiting[0].stdin
    assert pipe is not None
    print(json.dumps(request), file=pipe, flush=True)
    return _answer(timeout)


def _answer(timeout: float = 120) -> Any:
    pipe = _waiting[0].stdout
    assert pipe is not None
    if not select.select([pipe], [], [], timeout)[0]:
        raise TimeoutError
    return json.loads(pipe.readline())


def _wait() -> tuple[list[str], str, dict[str, str], str, str]:
    """Answer requests for ever; in a process that was forked, return what it is to run."""
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if "wait" in request:
            print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        elif "poll" in request:
            ended, status = os.waitpid(request["poll"], os.WNOHANG)
            print(json.dumps(os.waitstatus_to_exitcode(status) if ended else None), flush=True)
        elif (pid := os.fork()) == 0:
            arguments, cwd, environment, stdout, stderr = request["start"]
            return arguments, cwd, environment, stdout, stderr
        else:
            print(pid, flush=True)
    raise SystemExit


def _become(arguments: list[str], cwd: str, environment: dict[str, str], stdout: str, stderr: str) -> None:
    """Run a program as ``python arguments`` would."""
    for number, (name, flags) in enumerate([(os.devnull, os.O_RDONLY), (stdout, os.O_WRONLY), (stderr, os.O_WRONLY)]):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    more = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
    if arguments[0] == "-c":
        sys.argv, source, name = ["-c", *arguments[2:]], arguments[1], "<string>"
        sys.path[0:1] = ["", *more]
    else:
        sys.argv, name = arguments, arguments[0]
        source = Path(name).read_text(encoding="utf-8")
        sys.path[0:1] = [str(Path(name).resolve().parent), *more]
    main: Any = type(sys)("__main__")
    main.__builtins__ = __builtins__
    if arguments[0] != "-c":
        main.__file__ = name
    sys.modules["__main__"] = main
    exec(compile(source, name, "exec"), main.__dict__)


if __name__ == "__main__":
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    _become(*_wait())
