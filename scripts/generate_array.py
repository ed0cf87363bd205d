#!/usr/bin/env python
"""Draw rows from a trained model of arrays or tables."""

from pathlib import Path

from bgan_discrete.command_line import add_model_options, add_temperature, make_parser, parse, run_script, use_threads
from bgan_discrete.errors import InputError

EXAMPLE = """\
  python scripts/generate_array.py --model runs/table/model --num-samples 1000 --output samples.csv
  python scripts/generate_array.py --model runs/codes/model --num-samples 1000 --output samples.npy"""


def main() -> None:
    """Parse, generate, write."""
    parser = make_parser("Draw rows from a trained model of arrays or tables.", EXAMPLE)
    add_model_options(parser, num_samples=1000, seed=0)
    add_temperature(parser)
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        metavar="FILE",
        help="*.csv; of a table also *.tsv, *.parquet, *.npy (named fields); of an array *.npy; *.npz for the codes; "
        "an existing file is replaced (default: samples.csv, if there is no such file)",
    )
    parser.add_argument(
        "--bin-ranges", action="store_true", help="write bins as text such as [10, 25), not a number inside them"
    )
    options = parse(parser)
    use_threads(options["threads"])
    if options["output"] is None and Path("samples.csv").exists():
        raise InputError("output 'samples.csv' exists: name it by --output to replace it, or give another name")

    from bgan_discrete.runs.generate import generate

    generate(
        options["model"],
        options["num_samples"],
        Path(options["output"] or "samples.csv"),
        kind="arrays",
        seed=options["seed"],
        temperature=options["temperature"],
        bin_ranges=options["bin_ranges"],
        device=options["device"],
        revision=options["revision"],
        resample=options["resample"],
    )


if __name__ == "__main__":
    run_script(main)
