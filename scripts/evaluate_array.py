#!/usr/bin/env python
"""Judge a trained model of arrays or tables: each figure beside its floor and that of independent columns."""

from pathlib import Path

from bgan_discrete.command_line import (
    add_model_options,
    add_section,
    make_parser,
    parse_evaluation,
    run_script,
    use_threads,
)
from bgan_discrete.config import ArrayDataConfig, ArrayTrainingConfig

EXAMPLE = """\
  python scripts/evaluate_array.py --model runs/table/model --dataset table --output report.json"""
OWN_OPTIONS = ("model", "revision", "num_samples", "seed", "output", "device", "resample")
CODEC_OPTIONS = ("layout", "columns", "drop", "bins", "max_categories")


def main() -> None:
    """Parse, evaluate, print."""
    parser = make_parser("Judge a trained model against held-out rows, in the codes of its own codec.", EXAMPLE)
    add_model_options(parser, num_samples=10000, seed=1)
    parser.add_argument(
        "--output", type=str | None, default=None, metavar="FILE", help="the report as JSON; replaced if there"
    )
    add_section(parser, ArrayDataConfig, "data", without=CODEC_OPTIONS)
    options = parse_evaluation(parser, ArrayTrainingConfig)
    threads = options.pop("threads")
    own = {name: options.pop(name) for name in OWN_OPTIONS}
    data = ArrayDataConfig(**options)
    data.check()
    use_threads(threads)

    from bgan_discrete.runs.evaluate import evaluate

    output = own.pop("output")
    evaluate(data=data, output=None if output is None else Path(output), **own)


if __name__ == "__main__":
    run_script(main)
