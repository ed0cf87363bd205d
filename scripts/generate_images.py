#!/usr/bin/env python
"""Draw images from a trained model."""

from pathlib import Path

from bgan_discrete.command_line import make_parser, parse, run_script

EXAMPLE = """\
  python scripts/generate_images.py --model runs/digits/model --num-samples 64 --seed 0 --output grid.png
  python scripts/generate_images.py --model runs/digits/model --num-samples 5000 --output samples.npz
  python scripts/generate_images.py --model runs/digits/model --num-samples 20 --output pictures
  python scripts/generate_images.py --model runs/classes/model --labels 3,7 --num-samples 20 --output grid.png"""


def main() -> None:
    """Parse, generate, write."""
    parser = make_parser("Draw images from a trained model.", EXAMPLE)
    parser.add_argument(
        "--model",
        type=str,
        required=True,
        metavar="MODEL",
        help="the 'model' folder of a run, or the id of a model on the Hugging Face Hub",
    )
    parser.add_argument(
        "--revision", type=str | None, default=None, metavar="STR", help="branch, tag or commit of a model on the Hub"
    )
    parser.add_argument("--num-samples", type=int, default=64, metavar="INT", help="how many samples")
    parser.add_argument("--seed", type=int, default=0, metavar="INT", help="seed of latents and draws")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="FLOAT",
        help="divides the logits of every pixel: 1 draws from the model as it is, below 1 sharpens",
    )
    parser.add_argument(
        "--output",
        type=str,
        default="samples.png",
        metavar="PATH",
        help="*.png for one grid, *.npz for the arrays codes and images, a name without suffix for a folder of PNGs",
    )
    parser.add_argument("--columns", type=int | None, default=None, metavar="INT", help="images in a row of a grid")
    parser.add_argument(
        "--labels",
        type=str | None,
        default=None,
        metavar="LABELS",
        help="classes to draw, numbers or names with commas between them, of a model trained with --conditional: the "
        "samples are shared evenly among them, in their order (default: all classes)",
    )
    parser.add_argument("--device", type=str, default="auto", metavar="STR", help="cpu, cuda, ... (auto: cuda if any)")
    options = parse(parser)

    from bgan_discrete.tasks.images import generate_images

    generate_images(
        options["model"],
        options["num_samples"],
        Path(options["output"]),
        seed=options["seed"],
        temperature=options["temperature"],
        columns=options["columns"],
        device=options["device"],
        revision=options["revision"],
        labels=options["labels"],
    )


if __name__ == "__main__":
    run_script(main)
