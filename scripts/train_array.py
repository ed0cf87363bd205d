#!/usr/bin/env python
"""Train a boundary-seeking GAN on an integer array or a table of categories."""

import sys

from bgan_discrete.command_line import add_section, make_parser, parse_run, run_script
from bgan_discrete.config import (
    ArrayAlgorithmConfig,
    ArrayDataConfig,
    ArrayModelConfig,
    ArrayRunConfig,
    ArrayTrainingConfig,
)

EXAMPLE = """\
  python scripts/train_array.py --dataset table --output-dir runs/table
  python scripts/train_array.py --dataset customers.csv --drop id --bins 20 --output-dir runs/customers
  python scripts/train_array.py --dataset codes.npy --output-dir runs/codes
  python scripts/train_array.py --output-dir runs/customers --resume latest"""


def main() -> int:
    """Parse, train, report."""
    parser = make_parser("Train a boundary-seeking GAN on an integer array or a table of categories.", EXAMPLE)
    parser.add_argument("--config", action="config", help="YAML file of options; flags after it win")
    add_section(parser, ArrayRunConfig, "run")
    add_section(parser, ArrayDataConfig, "data")
    add_section(parser, ArrayModelConfig, "networks")
    add_section(parser, ArrayAlgorithmConfig, "training", kind="arrays")
    config = parse_run(parser, sys.argv[1:], ArrayTrainingConfig)

    from bgan_discrete.runs.train import train

    return train(config).exit_code


if __name__ == "__main__":
    run_script(main)
