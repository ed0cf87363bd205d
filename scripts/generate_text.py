#!/usr/bin/env python
"""Draw text from a trained model: one sample a line on stdout, everything else on stderr."""

from pathlib import Path

from bgan_discrete.command_line import add_model_options, add_temperature, make_parser, parse, run_script, use_threads

EXAMPLE = """\
  python scripts/generate_text.py --model runs/text/model --num-samples 20 --seed 0
  python scripts/generate_text.py --model runs/text/model --num-samples 1000 --temperature 0.8 --output samples.txt
  python scripts/generate_text.py --model runs/pieces/model --prompt "a man" --top-p 0.9 --output samples.jsonl"""


def main() -> None:
    """Parse, generate, write."""
    parser = make_parser("Draw text from a trained model, one sample a line.", EXAMPLE)
    add_model_options(parser, num_samples=20, seed=0)
    add_temperature(parser)
    parser.add_argument(
        "--top-k", type=int | None, default=None, metavar="INT", help="draw from the so many most probable tokens"
    )
    parser.add_argument(
        "--top-p",
        type=float | None,
        default=None,
        metavar="FLOAT",
        help="draw from the fewest most probable tokens that together have this probability",
    )
    parser.add_argument("--prompt", type=str, default="", metavar="STR", help="what every sample begins with")
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        metavar="PATH",
        help="a file rather than stdout: *.jsonl for one JSON object a line, else text; an existing one is replaced",
    )
    options = parse(parser)
    use_threads(options["threads"])

    from bgan_discrete.runs.generate import generate

    output = options["output"]
    generate(
        options["model"],
        options["num_samples"],
        kind="text",
        seed=options["seed"],
        temperature=options["temperature"],
        top_k=options["top_k"],
        top_p=options["top_p"],
        prompt=options["prompt"],
        output=None if output is None else Path(output),
        device=options["device"],
        revision=options["revision"],
        resample=options["resample"],
    )


if __name__ == "__main__":
    run_script(main)
