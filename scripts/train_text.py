#!/usr/bin/env python
"""Train a boundary-seeking GAN on text."""

import sys

from bgan_discrete.command_line import add_section, make_parser, parse_run, run_script
from bgan_discrete.config import (
    TextAlgorithmConfig,
    TextDataConfig,
    TextModelConfig,
    TextRunConfig,
    TextTrainingConfig,
)

EXAMPLE = """\
  python scripts/train_text.py --dataset arithmetic --length 8 --layout window --output-dir runs/arithmetic
  python scripts/train_text.py --dataset lines.txt --length 32 --layout window --output-dir runs/lines
  python scripts/train_text.py --dataset lines.txt --tokenizer sentencepiece --length 16 --generator gru \\
      --generator-depth 1 --estimator bgan_centered --num-draws 1 --adam-beta1 0.5 --output-dir runs/pieces
  python scripts/train_text.py --output-dir runs/lines --resume latest"""


def main() -> int:
    """Parse, train, report."""
    parser = make_parser("Train a boundary-seeking GAN on text.", EXAMPLE)
    parser.add_argument("--config", action="config", help="YAML file of options; flags after it win")
    add_section(parser, TextRunConfig, "run")
    add_section(parser, TextDataConfig, "data")
    add_section(parser, TextModelConfig, "networks")
    add_section(parser, TextAlgorithmConfig, "training", kind="text")
    config = parse_run(parser, sys.argv[1:], TextTrainingConfig)

    from bgan_discrete.runs.train import train

    return train(config).exit_code


if __name__ == "__main__":
    run_script(main)
