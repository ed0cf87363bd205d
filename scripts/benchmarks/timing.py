"""Timing by turns in one process, peak memory, and the report that all suites share.

A machine's speed drifts, so contenders are timed in turns, round after round, and compared within a round. What is
quoted is the median over the rounds, with the smallest and largest.
"""

import dataclasses
import gc
import json
import platform
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments.laboratory import Table, figure
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bgan_discrete import __version__

SHORTEST_SECONDS = 0.02
"""A contender that is faster runs several times in each round."""

Contender = Callable[[], object]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        name: ``"smoke"`` or ``"full"``.
        rounds: Turns of each contender.
    """

    name: str
    rounds: int

    @property
    def is_smoke(self) -> bool:
        """Whether everything is as small as it can be."""
        return self.name == "smoke"


SCALES = {"smoke": Scale("smoke", 2), "full": Scale("full", 5)}


@dataclass(frozen=True)
class Timing:
    """Seconds of each contender in each round.

    Attributes:
        seconds: ``{contender: [rounds]}``.
    """

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Seconds of one run."""
        return float(np.median(self.seconds[name]))

    def ratio(self, slow: str, fast: str) -> float:
        """How many times as long ``slow`` takes: the median of the rounds' ratios."""
        return float(np.median(np.array(self.seconds[slow]) / np.array(self.seconds[fast])))

    def cells(self, name: str) -> list[str]:
        """Median, smallest and largest, for a table."""
        return [show_seconds(self.median(name)), *(show_seconds(f(self.seconds[name])) for f in (min, max))]


def interleave(contenders: dict[str, Contender], rounds: int, device: torch.device, warmup: int = 1) -> Timing:
    """Time contenders in turns.

    Args:
        contenders: Their names and what one run of each does.
        rounds: Turns of each; every second round in the opposite order.
        device: Waited for before and after each turn.
        warmup: Runs of each before, whose time does not count.

    Returns:
        Seconds of one run.
    """
    repeats = {}
    for name, run in contenders.items():
        for _ in range(warmup):
            run()
        repeats[name] = max(1, int(SHORTEST_SECONDS / max(_seconds(run, 1, device), 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders) if turn % 2 == 0 else list(contenders)[::-1]
        gc.collect()
        gc.disable()
        try:
            for name in names:
                seconds[name].append(_seconds(contenders[name], repeats[name], device))
        finally:
            gc.enable()
    return Timing(seconds)


def _seconds(run: Contender, repeats: int, device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    synchronize(device)
    return (time.perf_counter() - started) / repeats


def synchronize(device: torch.device) -> None:
    """Wait for what a device still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class LiveMemory(TorchDispatchMode):
    """Bytes of all tensors that are alive, and their peak; what an operation uses within itself is not seen."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def peak_bytes(run: Contender, device: torch.device) -> int:
    """The most bytes that tensors made by a run take at one moment."""
    if device.type == "cuda":
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with LiveMemory() as memory:
        run()
    return memory.peak


@dataclass(frozen=True)
class Claim:
    """What a suite set out to show.

    Attributes:
        text: In words, with the unit.
        value: What was measured.
        bound: What was wanted.
        at_least: Whether the value should be at least, or at most, the bound.
    """

    text: str
    value: float
    bound: float
    at_least: bool

    @property
    def holds(self) -> bool:
        """Whether it was reached."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass
class SuiteResult:
    """What a suite measured.

    Attributes:
        title: Its name in the report.
        tables: In their order.
        claims: What it set out to show.
        curves: Panels of the plot: ``(title, x label, y label, {line: ([x], [y])})``, logarithmic on both axes.
        timings: Seconds of every round, by the name of a comparison.
    """

    title: str
    tables: list[Table] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    curves: list[tuple[str, str, str, dict[str, tuple[list[float], list[float]]]]] = field(default_factory=list)
    timings: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The power of the size with which the time grows, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Seconds for each more of the size, by least squares."""
    return float(np.polyfit(sizes, seconds, 1)[0])


def show_seconds(seconds: float) -> str:
    """A time with three digits and its unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError


def show_bytes(count: float) -> str:
    """A size in MiB."""
    return f"{count / 2**20:.3g} MiB"


def comparison(title: str, timing: Timing, base: str) -> Table:
    """A table of contenders with their ratio to one of them."""
    rows = [[name, *timing.cells(name), f"{timing.ratio(name, base):.2f}"] for name in timing.seconds]
    return Table(title, ["contender", "median", "least", "most", f"times {base}"], rows)


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = found[0] if found else name
    return {
        "processor": name,
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "bgan_discrete": __version__,
    }


def markdown(results: dict[str, SuiteResult], about: dict[str, Any]) -> str:
    """The report of all suites."""
    lines = [", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()), ""]
    for result in results.values():
        lines += [f"## {result.title}", ""]
        for table in result.tables:
            lines += [f"**{table.title}**", "", table.markdown(), ""]
        for claim in result.claims:
            wanted = f"wanted: at {'least' if claim.at_least else 'most'} {claim.bound:g}"
            lines.append(f"- {claim.text}: {claim.value:.3g} ({wanted}{'' if claim.holds else '; missed'})")
        lines.append("")
    return "\n".join(lines)


def write_json(path: Path, results: dict[str, SuiteResult], about: dict[str, Any]) -> None:
    """Every figure, for programs."""
    suites = {
        name: {
            **{k: v for k, v in dataclasses.asdict(result).items() if k != "claims"},
            "claims": [{**dataclasses.asdict(claim), "holds": claim.holds} for claim in result.claims],
        }
        for name, result in results.items()
    }
    path.write_text(json.dumps({"machine": about, "suites": suites}, indent=1) + "\n", encoding="utf-8")


def draw(path: Path, results: dict[str, SuiteResult]) -> bool:
    """The plot of how costs grow; False where no suite has any."""
    panels = [panel for result in results.values() for panel in result.curves]
    if not panels:
        return False
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    canvas, axes = figure(rows, columns, (3.4 * columns, 3.1 * rows))
    for axis, (title, x_label, y_label, lines) in zip(np.asarray(axes).flat, panels, strict=False):
        for name, (sizes, values) in lines.items():
            axis.plot(sizes, values, marker="o", markersize=3, label=name)
        axis.set(title=title, xlabel=x_label, ylabel=y_label, xscale="log", yscale="log")
        sizes = max((x for x, _ in lines.values()), key=len)
        axis.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=8)
        axis.set_xticks([], minor=True)
        axis.legend(fontsize=7)
    for axis in np.asarray(axes).flat[len(panels) :]:
        axis.set_visible(False)
    canvas.savefig(path, dpi=110)
    return True
