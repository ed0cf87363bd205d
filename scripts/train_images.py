#!/usr/bin/env python
"""Train a boundary-seeking GAN on quantised images."""

import sys

from bgan_discrete.command_line import add_section, make_parser, parse_run, run_script
from bgan_discrete.config import (
    ImageDataConfig,
    ImageModelConfig,
    ImageTrainingConfig,
    RunConfig,
    TrainingConfig,
)

EXAMPLE = """\
  python scripts/train_images.py --dataset digits --output-dir runs/digits
  python scripts/train_images.py --dataset photos/ --resize 32 --codec palette --num-categories 16 --output-dir runs/p
  python scripts/train_images.py --output-dir runs/digits --resume latest"""


def main() -> int:
    """Parse, train, report."""
    parser = make_parser("Train a boundary-seeking GAN on quantised images.", EXAMPLE)
    parser.add_argument("--config", action="config", help="YAML file of options; flags after it win")
    add_section(parser, RunConfig, "run")
    add_section(parser, ImageDataConfig, "data")
    add_section(parser, ImageModelConfig, "networks")
    add_section(parser, TrainingConfig, "training", kind="images")
    config = parse_run(parser, sys.argv[1:], ImageTrainingConfig)

    from bgan_discrete.runs.train import train

    return train(config).exit_code


if __name__ == "__main__":
    run_script(main)
