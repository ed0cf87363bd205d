#!/usr/bin/env python
"""Draw images from a trained model."""

from pathlib import Path

from bgan_discrete.command_line import add_model_options, add_temperature, make_parser, parse, run_script, use_threads
from bgan_discrete.errors import InputError

EXAMPLE = """\
  python scripts/generate_images.py --model runs/digits/model --num-samples 64 --seed 0 --output grid.png
  python scripts/generate_images.py --model runs/digits/model --num-samples 5000 --output samples.npz
  python scripts/generate_images.py --model runs/digits/model --num-samples 20 --output pictures
  python scripts/generate_images.py --model runs/classes/model --labels 3,7 --num-samples 20 --output grid.png"""


def main() -> None:
    """Parse, generate, write."""
    parser = make_parser("Draw images from a trained model.", EXAMPLE)
    add_model_options(parser, num_samples=64, seed=0)
    add_temperature(parser)
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        metavar="PATH",
        help="*.png for one grid, *.npz for the arrays codes and images (an existing file is replaced), a name without "
        "suffix for a folder of PNGs (default: samples.png, if there is no such file)",
    )
    parser.add_argument("--columns", type=int | None, default=None, metavar="INT", help="images in a row of a grid")
    parser.add_argument(
        "--labels",
        type=str | None,
        default=None,
        metavar="LABELS",
        help="classes to draw, numbers or names with commas between them (one that holds a comma in double quotes), of "
        "a model trained with --conditional: the samples are shared evenly among them, in their order (default: all)",
    )
    options = parse(parser)
    use_threads(options["threads"])
    if options["output"] is None and Path("samples.png").exists():
        raise InputError("output 'samples.png' exists: name it by --output to replace it, or give another name")

    from bgan_discrete.runs.generate import generate

    generate(
        options["model"],
        options["num_samples"],
        Path(options["output"] or "samples.png"),
        kind="images",
        seed=options["seed"],
        temperature=options["temperature"],
        columns=options["columns"],
        device=options["device"],
        revision=options["revision"],
        resample=options["resample"],
        labels=options["labels"],
    )


if __name__ == "__main__":
    run_script(main)
