#!/usr/bin/env python
"""Judge a trained model against held-out images: each figure beside its floor and a trivial baseline."""

from pathlib import Path

from bgan_discrete.command_line import (
    add_model_options,
    add_section,
    make_parser,
    parse_evaluation,
    run_script,
    use_threads,
)
from bgan_discrete.config import ImageDataConfig, ImageTrainingConfig

EXAMPLE = """\
  python scripts/evaluate_images.py --model runs/digits/model --dataset digits --output report.json"""
OWN_OPTIONS = ("model", "revision", "num_samples", "seed", "output", "device", "resample")
CODEC_OPTIONS = ("codec", "num_categories", "stochastic")


def main() -> None:
    """Parse, evaluate, print."""
    parser = make_parser("Judge a trained model against held-out images, in the codes of its own codec.", EXAMPLE)
    add_model_options(parser, num_samples=2000, seed=1)
    parser.add_argument(
        "--output", type=str | None, default=None, metavar="FILE", help="the report as JSON; replaced if there"
    )
    add_section(parser, ImageDataConfig, "data", without=CODEC_OPTIONS)
    options = parse_evaluation(parser, ImageTrainingConfig)
    threads = options.pop("threads")
    own = {name: options.pop(name) for name in OWN_OPTIONS}
    data = ImageDataConfig(**options)
    data.check()
    use_threads(threads)

    from bgan_discrete.runs.evaluate import evaluate

    output = own.pop("output")
    evaluate(data=data, output=None if output is None else Path(output), **own)


if __name__ == "__main__":
    run_script(main)
