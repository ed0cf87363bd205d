"""Programs in processes of their own that begin with the large libraries imported: each is forked from one that waits.

Starting Python and importing torch takes longer than most of what the tests run. Nothing of bgan_discrete is there
already; what reads its settings as it is imported (`huggingface_hub`, and so `datasets`) is for programs that have the
settings of the tests.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "torch._dynamo", "torch.distributed", "numpy", "PIL.Image", "pyarrow.parquet", "yaml", "tqdm",
    "einops", "safetensors.torch", "sentencepiece", "pandas", "matplotlib.figure", "matplotlib.backends.backend_agg",
)  # fmt: skip


class Started:
    """A program that runs.

    Args:
        arguments: As after ``python``: the path of a program, or ``-c`` and its text, and then its own.
        cwd: Its working directory.
        env: Its environment; None for this process's.
        by_pipe: Whether it speaks into pipes, for one that may write no file of any length.
    """

    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, by_pipe: bool = False
    ) -> None:
        self.args = list(arguments)
        self._files = [tempfile.NamedTemporaryFile(prefix="bgan-said-") for _ in range(2)]  # noqa: SIM115
        said = [f"{file.name}.pipe" if by_pipe else file.name for file in self._files]
        self._readers = [
            threading.Thread(target=_copy, args=(pipe, file.name), daemon=True)
            for pipe, file in zip(said if by_pipe else (), self._files, strict=False)
        ]
        for reader, pipe in zip(self._readers, said, strict=False):
            os.mkfifo(pipe)
            reader.start()
        environment = dict(os.environ if env is None else env)
        self._server = _Server.of(environment)
        self.pid: int = self._server.ask({"start": [self.args, str(cwd), environment, *said]})
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
            self.returncode = self._server.ask({"poll": self.pid})
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it said on stdout and stderr when it has ended; `returncode` is set then."""
        if self.returncode is None:
            try:
                self.returncode = self._server.ask({"wait": self.pid}, timeout)
            except TimeoutError as error:
                self.kill()
                self.returncode = self._server.answer()
                raise subprocess.TimeoutExpired(self.args, timeout, *self._said()) from error
        for reader in self._readers:
            reader.join()
        stdout, stderr = self._said()
        return stdout, stderr

    def _said(self) -> list[str]:
        return [Path(file.name).read_text(encoding="utf-8") for file in self._files]


def _copy(pipe: str, file: str) -> None:
    with open(pipe, "rb") as source, open(file, "wb") as target:  # noqa: PTH123
        os.unlink(pipe)  # noqa: PTH108
        shutil.copyfileobj(source, target)


def run(
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    by_pipe: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` with captured text."""
    started = Started(arguments, cwd, env, by_pipe)
    stdout, stderr = started.communicate(timeout)
    assert started.returncode is not None
    return subprocess.CompletedProcess(started.args, started.returncode, stdout, stderr)


class _Server:
    """The process that waits and forks."""

    _waiting: ClassVar[dict[bool, "_Server"]] = {}

    def __init__(self, libraries: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), *libraries], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        atexit.register(self._process.kill)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "_Server":
        """The one for programs with these settings."""
        like_ours = all(environment.get(name) == os.environ.get(name) for name in ("HF_HOME", "HF_HUB_OFFLINE"))
        if like_ours not in cls._waiting:
            cls._waiting[like_ours] = cls([*LIBRARIES, *["datasets"] * like_ours])
        return cls._waiting[like_ours]

    def ask(self, request: dict[str, Any], timeout: float = 120) -> Any:
        pipe = self._process.stdin
        assert pipe is not None
        print(json.dumps(request), file=pipe, flush=True)
        return self.answer(timeout)

    def answer(self, timeout: float = 120) -> Any:
        pipe = self._process.stdout
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
    for library in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    _become(*_wait())
