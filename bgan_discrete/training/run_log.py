"""Reports of a training: metrics.jsonl, a bar or plain lines, health warnings, and TensorBoard on request."""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from bgan_discrete.config import TrainingConfig
from bgan_discrete.diagnosis import HealthWatch
from bgan_discrete.durable import make_folder, replace_text, storage_error
from bgan_discrete.manifests import check_regular_file

PLAIN_LINE_SECONDS = 15.0
"""Without a terminal, a line of progress this often."""


class RunLog:
    """Writes a run's figures into its folder, if there is one, and reports progress on stderr; a context manager.

    Lines of an interrupted run after ``start_step`` are dropped. With ``options``, a diagnostic that leaves its safe
    range is reported with what to change, and the estimate of the time that remains respects ``max_seconds``.
    """

    def __init__(
        self,
        folder: Path | None,
        start_step: int,
        max_steps: int,
        progress: bool = True,
        tensorboard: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._started = self._last_line = time.monotonic()
        self._start_step, self._max_steps = start_step, max_steps
        self._max_seconds = (options or {}).get("max_seconds")
        self._watch = None if options is None else HealthWatch(options)
        self._progress = progress
        self._bar = tqdm(total=max_steps, initial=start_step, unit="step", disable=None if progress else True)
        self._file = None if folder is None else _open_after(folder / "metrics.jsonl", start_step)
        self._writer = _tensorboard_writer(folder) if folder is not None and tensorboard else None

    @classmethod
    def of_training(
        cls, folder: Path | None, config: TrainingConfig, step: int, seconds: float, progress: bool, tensorboard: bool
    ) -> "RunLog":
        """The log of a training that begins or resumes after ``step`` steps and ``seconds`` of ``max_seconds``."""
        options = dataclasses.asdict(config)
        if config.max_seconds is not None:
            options["max_seconds"] = config.max_seconds - seconds
        return cls(folder, step, config.max_steps, progress, tensorboard, options)

    def advance(self, step: int) -> None:
        """Move the bar; called after every step."""
        self._bar.update(step - self._bar.n)

    def write(self, step: int, figures: dict[str, Any]) -> None:
        """Log the figures of a step, plain numbers by their names."""
        if self._file is not None:
            try:
                self._file.write(json.dumps({"step": step, **figures}) + "\n")
                self._file.flush()
            except OSError as error:
                raise storage_error(repr(str(self._file.name)), error) from None
        if self._writer is not None:
            for name, value in figures.items():
                if not isinstance(value, str):
                    self._writer.add_scalar(name, value, step)
        if not self._progress:
            return
        short = _short(figures)
        if not self._bar.disable:
            self._bar.set_postfix_str(short)
        elif time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS or step >= self._max_steps:
            self._last_line = time.monotonic()
            print(f"step {step}/{self._max_steps}  {short}  ETA {self._remaining(step)}", file=sys.stderr, flush=True)
        self._say_health({"step": step, **figures})

    def _say_health(self, line: dict[str, Any]) -> None:
        """One line on stderr for each diagnostic that has left its safe range since it was last reported."""
        for finding in [] if self._watch is None else self._watch.update(line):
            # Above the bar, if there is one.
            tqdm.write(f"health, step {line['step']}: {finding.seen} {finding.advice}", file=sys.stderr)
            sys.stderr.flush()

    def show(self, step: int, shown: np.ndarray | str | None) -> None:
        """Log samples that were drawn after a step to TensorBoard: a picture, uint8 ``[H, W, 3]``, or a text."""
        if self._writer is None:
            return
        if isinstance(shown, str):
            self._writer.add_text("samples", "\n\n".join(f"    {line}" for line in shown.splitlines()), step)
        elif shown is not None:
            self._writer.add_image("samples", shown, step, dataformats="HWC")

    def _remaining(self, step: int) -> str:
        done = step - self._start_step
        elapsed = time.monotonic() - self._started
        seconds = elapsed / max(done, 1) * (self._max_steps - step)
        if self._max_seconds is not None:
            seconds = min(seconds, max(self._max_seconds - elapsed, 0))
        minutes, second = divmod(int(seconds), 60)
        hours, minute = divmod(minutes, 60)
        return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._file is not None:
            try:
                self._file.close()
            except OSError:  # again, what `write` has complained of
                if error is None:
                    raise
        if self._writer is not None:
            self._writer.close()


def _short(figures: dict[str, Any]) -> str:
    formats = (
        ("phase", "{}:"),
        ("likelihood_loss", "nats a sample {:.2f}"),
        ("d_real", "D(real) {:.3f}"),
        ("d_fake", "D(fake) {:.3f}"),
        ("log_beta", "log beta {:+.2f}"),
        ("ess_fraction", "ESS/M {:.2f}"),
        ("heldout_nats", "held out {:.2f}"),
        ("judge", "judge {:.3f}"),
    )
    return "  ".join(text.format(figures[name]) for name, text in formats if name in figures)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``, up to the first damaged one."""
    lines: list[dict[str, Any]] = []
    check_regular_file(path, "log")
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            figures = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(figures, dict) or not isinstance(figures.get("step"), int):
            break
        lines.append(figures)
    return lines


def _open_after(path: Path, step: int) -> Any:
    """Open a metrics file for appending after a step, without the lines of later steps."""
    try:
        make_folder(path.parent)
        kept = [line for line in read_metrics(path) if line["step"] <= step] if path.exists() else []
        replace_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise storage_error(repr(str(path)), error) from None


def _tensorboard_writer(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))
