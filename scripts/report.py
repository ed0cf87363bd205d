#!/usr/bin/env python
"""Write the report of a run again, or compare several runs, as one HTML file."""

from bgan_discrete.command_line import make_parser, parse, run_script
from bgan_discrete.errors import InputError

EXAMPLE = """\
  python scripts/report.py runs/digits
  python scripts/report.py runs/digits runs/mnist --output comparison.html"""


def main() -> None:
    """Parse, write, name the file."""
    parser = make_parser(
        "Write the report of a run, finished or not, or a comparison of several runs, as one HTML file.", EXAMPLE
    )
    parser.add_argument("runs", nargs="+", type=str, metavar="RUN", help="folder of a run; several are compared")
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        metavar="FILE",
        help="the HTML file (default: report.html in the folder of the run; to be given for several)",
    )
    options = parse(parser)
    runs, output = options["runs"], options["output"]
    if len(runs) > 1 and output is None:
        raise InputError("a comparison of several runs needs --output, such as --output comparison.html")

    from bgan_discrete.reporting.page import write_comparison_page, write_report_page

    path = write_report_page(runs[0], output) if len(runs) == 1 else write_comparison_page(runs, output)
    print(f"report: {path}", flush=True)


if __name__ == "__main__":
    run_script(main)
