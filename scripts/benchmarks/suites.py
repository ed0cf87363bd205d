"""Run suites and write what they measured."""

import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmarks.timing import SCALES, SuiteResult, draw, machine, markdown, write_json

from bgan_discrete.devices import resolve_device
from bgan_discrete.errors import InputError
from bgan_discrete.training.allocator import keep_freed_memory


def run_suites(names: Sequence[str], scale: str, device_name: str, threads: int | None, output: Path) -> str:
    """Measure.

    Args:
        names: Suites, modules of this folder.
        scale: ``"smoke"`` or ``"full"``.
        device_name: As in a training's configuration.
        threads: Of the CPU; None for torch's own choice.
        output: The JSON file; tables (.md) and plot (.png) go beside it.

    Returns:
        The report, in Markdown.

    Raises:
        InputError: If the device, the number of threads or the file cannot be used.
    """
    if output.suffix != ".json":
        raise InputError(f"output must be a .json file, got {str(output)!r}")
    if threads is not None and not 1 <= threads <= 1024:
        raise InputError(f"threads must lie in 1 to 1024, got {threads}")
    device = resolve_device(device_name)
    output.parent.mkdir(parents=True, exist_ok=True)
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        keep_freed_memory()
    results: dict[str, SuiteResult] = {}
    for name in names:
        started = time.monotonic()
        results[name] = importlib.import_module(f"benchmarks.{name}").run(device, SCALES[scale])
        print(f"suite {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    about = machine(device)
    write_json(output, results, about)
    report = markdown(results, about)
    output.with_suffix(".md").write_text(report + "\n", encoding="utf-8")
    draw(output.with_suffix(".png"), results)
    return report
