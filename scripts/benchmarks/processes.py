"""Training steps over two processes against one: the same batch shared, and twice the batch."""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from benchmarks.timing import Claim, Scale, SuiteResult, show_bytes, show_seconds, synchronize
from experiments.laboratory import Table

from bgan_discrete.config import TrainingConfig
from bgan_discrete.errors import BGANError
from bgan_discrete.nn import ConvDiscriminator, ConvGenerator
from bgan_discrete.parallel import join_processes
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.trainer import Trainer

SIZES = {
    "smoke": {"side": 8, "categories": 3, "draws": 3, "width": 4, "batch": 8, "steps": 3, "rounds": 1},
    "full": {"side": 32, "categories": 16, "draws": 20, "width": 32, "batch": 64, "steps": 12, "rounds": 3},
}


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """Start one and two processes in turns, one thread each; nothing where each has no accelerator of its own."""
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        return SuiteResult("Training steps over two processes: not measured, they need two CUDA devices")
    sizes = SIZES["smoke" if scale.is_smoke else "full"]
    batch = sizes["batch"]
    contenders = {
        "one process": (1, batch),
        "two, the batch shared": (2, batch),
        "one process, half the batch": (1, batch // 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    exchange: list[float] = []
    for number in range(sizes["rounds"]):
        for name in list(contenders) if number % 2 == 0 else reversed(contenders):
            found = _measure(*contenders[name], sizes, device)
            seconds[name].append(found["step"])
            if contenders[name][0] == 2:
                exchange.append(found["exchange"])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    whole, shared, half = medians.values()
    rows = [
        [name, *map(show_seconds, (medians[name], min(values), max(values))), f"{whole / medians[name]:.2f}"]
        for name, values in seconds.items()
    ]
    side, categories = sizes["side"], sizes["categories"]
    what = f"{side}x{side}, K = {categories}, M = {sizes['draws']}, batch of {batch}, one thread a process"
    result = SuiteResult("Training steps over two processes", timings={"processes": seconds})
    result.tables.append(Table(what, ["", "median of a step", "least", "most", "times the speed of one"], rows))
    result.tables.append(
        Table(
            "What is exchanged",
            ["a step", "its size", "time of the exchange alone"],
            [
                [
                    "gradients of both networks",
                    show_bytes(_gradient_bytes(sizes)),
                    show_seconds(statistics.median(exchange)),
                ]
            ],
        )
    )
    result.claims.append(
        Claim(
            "speed of two processes on one batch, times that of one",
            whole / shared,
            0.0 if scale.is_smoke else 1.6,
            True,
        )
    )
    result.claims.append(
        Claim(
            "a step of two processes, times that of one with half the batch",
            shared / half,
            1e9 if scale.is_smoke else 1.15,
            False,
        )
    )
    return result


def _networks(sizes: dict[str, int]) -> tuple[ConvGenerator, ConvDiscriminator]:
    space = SampleSpace((sizes["side"], sizes["side"]), sizes["categories"])
    torch.manual_seed(0)
    return ConvGenerator(space, 16, sizes["width"], 1), ConvDiscriminator(space, sizes["width"], 1)


def _gradient_bytes(sizes: dict[str, int]) -> int:
    return sum(4 * parameter.numel() for network in _networks(sizes) for parameter in network.parameters())


def _measure(count: int, batch: int, sizes: dict[str, int], device: torch.device) -> dict[str, float]:
    """Seconds of a step of ``count`` processes, which share the batch."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        order = {**sizes, "batch": batch, "device": device.type, "output": str(output)}
        root = Path(__file__).resolve().parent.parent
        paths = [str(root), str(root.parent), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        done = subprocess.run(
            [*command, __file__, json.dumps(order)], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BGANError(f"{count} processes could not be measured: {_reason(done.stderr)}")
        found: dict[str, float] = json.loads(output.read_text(encoding="utf-8"))
        return found


def _reason(errors: str) -> str:
    """The line of a process among those of its launcher, which end with a rule."""
    lines = [line for line in errors.splitlines() if line.strip(" =-")] or ["it said nothing"]
    return next((line for line in lines if re.match(r"(\[rank\d+\]: )?[\w.]+(Error|Exception): ", line)), lines[-1])


def _work(order: dict[str, Any]) -> None:
    """What each process does: some steps of the Trainer, timed after a few others."""
    torch.set_num_threads(1)
    shape = (order["side"], order["side"])
    codes = np.random.default_rng(0).integers(0, order["categories"], (1000, *shape)).astype(np.uint8)
    config = TrainingConfig(
        num_draws=order["draws"], batch_size=order["batch"], max_steps=1000, sample_interval=0, device=order["device"],
        threads=1,
    )  # fmt: skip
    with join_processes(order["device"], 120.0) as processes:
        trainer = Trainer(*_networks(order), codes, config, processes=processes)
        steps: list[float] = []
        for number in range(order["steps"] + 3):
            processes.mean(torch.zeros(()))  # all begin together
            synchronize(trainer.device)
            began = time.perf_counter()
            trainer._train_step()
            synchronize(trainer.device)
            if number >= 3:
                steps.append(time.perf_counter() - began)
            trainer.state.step += 1
        gradients = torch.zeros(_gradient_bytes(order) // 4, device=trainer.device)
        synchronize(trainer.device)
        began = time.perf_counter()
        for _ in range(order["steps"]):
            if processes.size > 1:
                dist.all_reduce(gradients)
        synchronize(trainer.device)
        found = {"step": statistics.median(steps), "exchange": (time.perf_counter() - began) / order["steps"]}
        if processes.is_first:
            Path(order["output"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))
