"""stdout and stderr that are closed, full, foreign or without a reader, and data that would control a terminal."""

import contextlib
import fcntl
import io
import logging
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from bgan_discrete.codecs import LevelsCodec
from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import InputError, StorageError, one_line, visible
from bgan_discrete.sources import describe, load_array
from bgan_discrete.sources.conservation import report
from bgan_discrete.sources.data import ImageData
from bgan_discrete.streams import PreparedStream, ReaderGoneError, prepared, say, write_product

ROOT = Path(__file__).resolve().parent.parent
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no message may hold, but for the end of a line and tabs."""

NASTY = "\x1b]0;title\x07\x1b[2J\x9b1m\u202e\u2066\u2028\x7f\r\udcff"
TINY = ("--threads", "1", "--device", "cpu", "--num-samples", "0", "--batch-size", "8", "--num-draws", "3",
        "--generator-width", "8", "--discriminator-width", "8")  # fmt: skip


@contextlib.contextmanager
def streams(stdout: Any, stderr: Any) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = stdout, stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class Failing(io.StringIO):
    """A stream that fails when it is flushed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def flush(self) -> None:
        raise self.error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=20) | st.text(alphabet=NASTY + "ab \n\t", max_size=20))
def test_what_is_visible_controls_nothing(text: str) -> None:
    shown = visible(text)
    assert not UNSEEN.search(shown) and "\n" not in shown and "\t" not in shown
    assert shown.encode().decode() == shown
    assert (shown == text) == (not UNSEEN.search(text) and not {"\n", "\t"} & set(text))
    assert visible(text, keep="\n\t").count("\n") == text.count("\n")


def test_escapes_are_those_of_python() -> None:
    assert visible("a\x1b[2J\x9b\u202e\u2028\udcff\nb") == r"a\x1b[2J\x9b\u202e\u2028\udcff\nb"
    assert visible("näme 色 🐱 עִברִית") == "näme 色 🐱 עִברִית"
    assert str(InputError(f"column {NASTY} is\nbad")) == f"column {visible(NASTY.replace(chr(13), ' '))} is bad"
    assert one_line(ValueError("a\x1bb\x9b\n c")) == r"a\x1bb\x9b c"


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet=st.characters(), max_size=20) | st.text(alphabet=NASTY + "ab", max_size=20),
    st.sampled_from(["ascii", "cp1252", "latin-1", "utf-8", "utf-16", "cp437", "shift_jis"]),
)
def test_every_text_is_taken_by_every_console(text: str, encoding: str) -> None:
    raw = io.BytesIO()
    with streams(io.TextIOWrapper(raw, encoding, newline=""), io.StringIO()):
        say(f"column {text}")
        written = raw.getvalue().decode(encoding)
        assert not UNSEEN.search(written)
        assert written.startswith("column ") and written.endswith("\n")
        if encoding == "utf-8":
            assert written == f"column {visible(text, keep=chr(10) + chr(9))}\n"


def test_bars_still_move() -> None:
    raw = Terminal()
    bars = cast(TextIO, prepared(raw))
    with (
        tqdm(total=3, file=bars, mininterval=0) as outer,
        tqdm(total=3, file=bars, mininterval=0, leave=False) as inner,
    ):
        outer.update()
        inner.update()
        inner.set_postfix_str("\x1b[31m name")
    shown = raw.getvalue()
    assert shown.count("\r") > 3 and "\x1b[A" in shown
    assert "\\x1b[31m name" in shown and "\x1b[31m" not in shown


def test_a_text_that_begins_like_a_bar_is_shown() -> None:
    raw = io.StringIO()
    print("name:\r\x1b[A", "\x1b[A\x1b[2J", file=prepared(raw))
    assert raw.getvalue() == "name:\\r\\x1b[A \\x1b[A\\x1b[2J\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BrokenPipeError(32, "Broken pipe"), ""),
        (
            OSError(28, "No space left on device"),
            "stdout cannot be written and is discarded from here on: No space left",
        ),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("I/O operation on closed file"), "closed file"),
    ],
)
def test_a_lost_stdout_ends_nothing_but_a_product(error: Exception, told: str) -> None:
    stdout, stderr = prepared(Failing(error)), prepared(io.StringIO())
    with streams(stdout, stderr):
        for _ in range(3):
            say("a line")
        assert stderr.stream.getvalue().count("\n") == bool(told)
        assert told in stderr.stream.getvalue()
        assert stdout.stream.getvalue().count("a line") == 1, "the rest is discarded"
        with pytest.raises(ReaderGoneError if isinstance(error, BrokenPipeError) else StorageError):
            write_product("samples")
    with streams(Failing(error), Failing(error)):  # in another's program, without `prepare_streams`
        say("a line")


def test_closed_streams_take_everything() -> None:
    with streams(None, None):
        say("a line")
        prepared(sys.stderr).flush()
        with pytest.raises(StorageError, match="it is closed; --output FILE"):
            write_product("")


def test_a_full_disk_leaves_nothing_for_the_exit() -> None:
    full = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115
    with streams(prepared(full), io.StringIO()):
        say("a line")
        assert isinstance(cast(PreparedStream, sys.stdout).lost, OSError)
    full.close()  # would fail if its buffer were still to be written to the full disk


def test_a_product_is_written_as_it_is_except_on_a_terminal() -> None:
    raw = io.BytesIO()
    with streams(io.TextIOWrapper(raw, "ascii"), None):
        write_product("a\x1b色\u202e\n")
        write_product("\udcff\n")
        assert raw.getvalue() == "a\x1b色\u202e\n\\udcff\n".encode()
    with streams(Terminal(), None):
        write_product("a\x1b\u202e\tb\n")
        assert sys.stdout.getvalue() == "a\\x1b\\u202e\tb\n"  # type: ignore[attr-defined]
    with streams(io.StringIO(), None):
        write_product("a\x1b\n")
        assert sys.stdout.getvalue() == "a\x1b\n"  # type: ignore[attr-defined]


def test_a_part_that_is_not_taken_at_once_is_written_again() -> None:
    class Unbuffered(io.BytesIO):
        def write(self, content: Any) -> int:
            return super().write(bytes(content)[:3])

    class Stream(io.StringIO):
        buffer = Unbuffered()

    with streams(Stream(), None):
        write_product("0123456789")
    assert Stream.buffer.getvalue() == b"0123456789"


def test_names_of_the_data_are_shown_in_descriptions_and_warnings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = np.arange(4) % 2
    codes = np.zeros((4, 2, 2), np.uint8)
    data = ImageData(
        name=f"photos{NASTY}", heldout_source="b\nc", codes=codes, labels=labels, heldout_codes=codes,
        heldout_labels=labels, class_names=("a\nb", NASTY), codec=LevelsCodec(2), counts={"repeated": 3, "leaked": 4},
    )  # fmt: skip
    text = describe(data)
    assert not UNSEEN.search(text)
    assert [line.split(":")[0] for line in text.split("\n")] == [
        "data set", "samples", "codes", "most common", "duplicates", "classes"
    ]  # fmt: skip
    name = NASTY.replace("\udcff", "").replace("\r", "")
    (tmp_path / "t.csv").write_text(
        f'"{name}","two\nlines"\n' + "".join(f"{name if i % 3 else 'y'},{i % 2}\n" for i in range(60)), encoding="utf-8"
    )
    text = describe(load_array(tmp_path / "t.csv"))
    assert not UNSEEN.search(text)
    assert len(text.split("\n")) == 4
    with caplog.at_level(logging.WARNING):
        report([f"1 of 2 pictures of {NASTY}\nx are left out"])
    assert not UNSEEN.search(caplog.records[-1].getMessage()) and "\n" not in caplog.records[-1].getMessage()


def ended(main: Callable[[], int | None], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        run_script(main)
    return cast(int, left.value.code), capsys.readouterr().err


def test_the_end_of_a_reader_is_141_and_no_other_broken_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    def product() -> None:
        with streams(prepared(Failing(BrokenPipeError(32, "Broken pipe"))), sys.stderr):
            write_product("samples")

    def connection() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    code, said = ended(product, capsys)
    assert (code, said.count("\n")) == (141, 1) and "the reader of stdout went away" in said
    code, said = ended(connection, capsys)
    assert code == 1 and "Broken pipe" in said


def test_help_that_does_not_arrive_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/null").open(encoding="utf-8") as for_reading, streams(for_reading, sys.stderr):
        code, said = ended(lambda: Parser("A script.", ["example"], "bgan").values(["--help"]) and None, capsys)
    assert code == 1
    assert "error: stdout cannot be written" in said


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_a_script_with_one_line(
    name: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = signal.Signals[name]
    monkeypatch.setattr(os, "_exit", sys.exit)
    outer = signal.signal(number, signal.SIG_DFL)  # what runs the tests may ignore it
    before = signal.getsignal(number)

    def main() -> None:
        os.kill(os.getpid(), number)
        time.sleep(30)

    left, said = ended(main, capsys)
    assert (left, said.count("\n")) == (code, 1)
    assert f"error: ended by {name}" in said
    assert signal.getsignal(number) is before
    signal.signal(number, outer)


def test_a_signal_that_is_ignored_stays_ignored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        assert ended(lambda: os.kill(os.getpid(), signal.SIGHUP), capsys) == (0, "")
        # Of several processes, one that waits for another would not hear of it.
        monkeypatch.setenv("WORLD_SIZE", "2")
        seen: list[Any] = []
        assert ended(lambda: seen.append(signal.getsignal(signal.SIGTERM)), capsys)[0] == 0
        assert seen == [signal.SIG_DFL]
    finally:
        signal.signal(signal.SIGHUP, before)


def start(*arguments: str, prefix: str = "", **options: Any) -> subprocess.Popen[bytes]:
    program = f'"{sys.executable}" "$0" "$@"'
    words = ["bash", "-c", prefix.format(program) or f"exec {program}", str(ROOT / "scripts" / "train_array.py")]
    return subprocess.Popen([*words, *TINY, *arguments], **options)


def odd_table(folder: Path) -> Path:
    """Names and cells that clear the screen, set a title, and are not ASCII."""
    rows = ["赤\x1b[2J,0\n", "y\x9b,1\n", "赤\x1b[2J,1\n"] * 20
    (folder / "t.csv").write_text("".join(["色\x1b]0;title\x07,b\u202e\n", *rows]), encoding="utf-8")
    return folder / "t.csv"


def test_a_training_does_not_end_with_its_reader(tmp_path: Path) -> None:
    process = start(
        "--dataset", str(odd_table(tmp_path)), "--max-steps", "3", "--output-dir", str(tmp_path / "run"),
        prefix="{} 2>&1 | head -2; exit ${{PIPESTATUS[0]}}", cwd=tmp_path, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    said = process.communicate(timeout=120)[0].decode("ascii")
    assert process.returncode == 0, said
    assert (tmp_path / "run" / "model" / "manifest.json").is_file()
    assert said.count("\n") == 2 and not UNSEEN.search(said)


def test_a_training_without_any_stream(tmp_path: Path) -> None:
    process = start(
        "--dataset", "table", "--max-steps", "3", "--output-dir", str(tmp_path / "run"),
        prefix="{} <&- >&- 2>&-", cwd=tmp_path,
    )  # fmt: skip
    assert process.wait(timeout=120) == 0
    assert (tmp_path / "run" / "model" / "manifest.json").is_file()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("{") for line in lines), "no message went into a file that has the number of a stream"


def test_a_terminal_that_is_closed_pauses_a_training(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = start(
        "--dataset", str(odd_table(tmp_path)), "--max-steps", "1000000", "--output-dir", str(tmp_path / "run"),
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(theirs)
    said, deadline = b"", time.monotonic() + 120
    while not re.search(rb"[1-9]\d*/1000000", said) and time.monotonic() < deadline:
        if select.select([ours], [], [], 1)[0]:
            said += os.read(ours, 4096)
    os.close(ours)
    try:
        assert process.wait(timeout=60) == 129
    finally:
        process.kill()
    assert list((tmp_path / "run" / "checkpoints").glob("step-*")), "no step is lost"
    text = said.decode(errors="ignore").replace("\r", "")
    assert "\\x1b]0;title\\x07" in text and not UNSEEN.search(text)


def _take_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
