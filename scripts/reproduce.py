#!/usr/bin/env python
"""Run one of the laboratory's experiments: its table, its picture, with mean and spread over seeds."""

import sys
from pathlib import Path

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser

COMMAND = "python scripts/reproduce.py"
EXAMPLES = (
    "boundary --scale smoke --output-dir runs/boundary",
    "variance --scale cpu --data-dir ../data --workers 2 --output-dir runs/variance",
)

EXPERIMENTS = {
    "variance": "per-latent against batch normalisation, draws against latents; the variance of each estimator",
    "toys": "the signal and the noise of each estimator in random games, without a training",
    "classifier": "a classifier of images trained adversarially, by every divergence",
    "divergences": "discrete images judged by freshly trained critics",
    "palette": "colour images in sixteen colours",
    "rivals": "estimators, relaxations and WGAN-GP in equal time",
    "continuous": "the boundary-seeking objective for continuous generators",
    "boundary": "a grid on which everything is exact",
}


def main() -> int:
    """Parse, run, say where the report is."""
    listed = "\n".join(f"  {name:12} {text}" for name, text in EXPERIMENTS.items())
    parser = Parser(f"Run an experiment of the laboratory.\n\n{listed}", EXAMPLES, COMMAND)
    parser.add_argument("experiment", choices=list(EXPERIMENTS), help="which one")
    parser.add_argument(
        "--scale",
        choices=["smoke", "cpu", "full"],
        default="cpu",
        help="smoke: a few steps; cpu: for two cores, with --workers 2; full: for a GPU (default: cpu)",
    )
    parser.add_argument("--output-dir", default=None, help="folder of the parts and the report (default: runs/NAME)")
    parser.add_argument(
        "--data-dir", default=None, help="folder with mnist/, cifar10/ (parquet), captions/ (text) (default: the Hub)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="INT", help="processes side by side, of one thread each (default: 1)"
    )
    values = parser.values(sys.argv[1:])

    from experiments.laboratory import run_experiment

    output_dir = Path(values["output_dir"] or f"runs/{values['experiment']}")
    data_dir = None if values["data_dir"] is None else Path(values["data_dir"])
    report = run_experiment(
        values["experiment"], values["scale"], output_dir, data_dir, values["workers"], ["reproduce.py", *sys.argv[1:]]
    )
    print(report.read_text(encoding="utf-8"))
    print(f"report: {report}")
    return 0


if __name__ == "__main__":
    run_script(main)
