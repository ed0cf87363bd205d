#!/usr/bin/env python
"""Judge a trained text model against held-out texts, beside Markov models and, on request, another model."""

from pathlib import Path

from bgan_discrete.command_line import (
    add_model_options,
    add_section,
    make_parser,
    parse_evaluation,
    run_script,
    use_threads,
)
from bgan_discrete.config import TextDataConfig, TextTrainingConfig

EXAMPLE = """\
  python scripts/evaluate_text.py --model runs/lines/model --dataset lines.txt --num-samples 10000 --output report.json
  python scripts/evaluate_text.py --model runs/gru/model --against runs/likelihood/model --dataset lines.txt \\
      --sweep-temperature --output sweep.json"""
TOKENIZER_OPTIONS = ("layout", "length", "tokenizer", "vocabulary_size")
OWN_OPTIONS = (
    "model",
    "revision",
    "against",
    "num_samples",
    "protocol",
    "sweep_temperature",
    "seed",
    "output",
    "device",
    "resample",
)


def main() -> None:
    """Parse, evaluate, print."""
    parser = make_parser("Judge a trained model against held-out texts, in the tokens of its own codec.", EXAMPLE)
    add_model_options(parser, num_samples=10000, seed=1)
    parser.add_argument(
        "--against",
        type=str | None,
        default=None,
        metavar="MODEL",
        help="another model of the same data, such as the same generator trained by maximum likelihood",
    )
    parser.add_argument(
        "--protocol", choices=("full", "wgan-gp"), default="full", help="wgan-gp adds 640 samples of 32 characters"
    )
    parser.add_argument("--sweep-temperature", action="store_true", help="judge at several temperatures too")
    parser.add_argument(
        "--output", type=str | None, default=None, metavar="FILE", help="the report as JSON; replaced if there"
    )
    add_section(parser, TextDataConfig, "data", without=TOKENIZER_OPTIONS)
    options = parse_evaluation(parser, TextTrainingConfig)
    threads = options.pop("threads")
    own = {name: options.pop(name) for name in OWN_OPTIONS}
    data = TextDataConfig(**options)
    data.check()
    use_threads(threads)

    from bgan_discrete.runs.evaluate import evaluate

    output = own.pop("output")
    evaluate(data=data, output=None if output is None else Path(output), **own)


if __name__ == "__main__":
    run_script(main)
