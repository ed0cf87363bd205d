#!/usr/bin/env python
"""Draw rows from a trained model of arrays or tables."""

from pathlib import Path

from bgan_discrete.command_line import make_parser, parse, run_script

EXAMPLE = """\
  python scripts/generate_array.py --model runs/table/model --num-samples 1000 --output samples.csv
  python scripts/generate_array.py --model runs/codes/model --num-samples 1000 --output samples.npy"""


def main() -> None:
    """Parse, generate, write."""
    parser = make_parser("Draw rows from a trained model of arrays or tables.", EXAMPLE)
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
    parser.add_argument("--num-samples", type=int, default=1000, metavar="INT", help="how many samples")
    parser.add_argument("--seed", type=int, default=0, metavar="INT", help="seed of latents and draws")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="FLOAT",
        help="divides the logits of every position: 1 draws from the model as it is, below 1 sharpens",
    )
    parser.add_argument(
        "--output",
        type=str,
        default="samples.csv",
        metavar="FILE",
        help="*.csv; of a table also *.tsv, *.parquet, *.npy (named fields); of an array *.npy; *.npz for the codes",
    )
    parser.add_argument(
        "--bin-ranges", action="store_true", help="write bins as text such as [10, 25), not a number inside them"
    )
    parser.add_argument("--device", type=str, default="auto", metavar="STR", help="cpu, cuda, ... (auto: cuda if any)")
    options = parse(parser)

    from bgan_discrete.tasks.arrays import generate_array

    generate_array(
        options["model"],
        options["num_samples"],
        Path(options["output"]),
        seed=options["seed"],
        temperature=options["temperature"],
        bin_ranges=options["bin_ranges"],
        device=options["device"],
        revision=options["revision"],
    )


if __name__ == "__main__":
    run_script(main)
