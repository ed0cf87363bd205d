#!/usr/bin/env python
"""Measure the speed and the memory of the package against the textbook formulation and against the floor."""

import sys
from pathlib import Path

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser

COMMAND = "python scripts/benchmark.py"
EXAMPLES = (
    "--suite all --output runs/benchmark/bench.json",
    "--suite step --device cuda --output runs/benchmark/cuda.json",
)

SUITES = {
    "estimator": "sampling, weights and surrogate, without the networks",
    "step": "a whole training step of images",
    "text": "a training step of text, and a large vocabulary",
    "generate": "samples from a generator",
    "metrics": "the metrics against their definitions",
    "memory": "memory against the number of draws",
    "processes": "two processes against one",
}


def main() -> int:
    """Parse, measure, write."""
    listed = "\n".join(f"  {name:10} {text}" for name, text in SUITES.items())
    parser = Parser(
        f"Benchmark the package: contenders in turns in one process.\n\n{listed}",
        EXAMPLES,
        "python scripts/benchmark.py",
    )
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="all", help="what to measure (default: all)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: cuda where there is one)")
    parser.add_argument(
        "--threads", type=int, default=None, metavar="INT", help="threads (default: torch's own choice)"
    )
    parser.add_argument(
        "--scale",
        choices=["smoke", "full"],
        default="full",
        help="smoke: tiny sizes, to see that it runs (default: full)",
    )
    parser.add_argument(
        "--output", default="runs/benchmark/bench.json", help="JSON file; .md and .png are written beside it"
    )
    values = parser.values(sys.argv[1:])

    from benchmarks.suites import run_suites

    names = list(SUITES) if values["suite"] == "all" else [values["suite"]]
    print(run_suites(names, values["scale"], values["device"], values["threads"], Path(values["output"])))
    return 0


if __name__ == "__main__":
    run_script(main)
