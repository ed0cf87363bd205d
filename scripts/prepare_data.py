#!/usr/bin/env python
"""Decode, quantise and cache a data set ahead of training, and say what is in it."""

from bgan_discrete.command_line import add_section, make_parser, parse, run_script
from bgan_discrete.config import ImageDataConfig

EXAMPLE = """\
  python scripts/prepare_data.py --dataset digits
  python scripts/prepare_data.py --dataset photos/ --resize 32 --codec palette --num-categories 16"""


def main() -> None:
    """Parse, load, describe."""
    parser = make_parser("Decode, quantise and cache a data set, and say what is in it.", EXAMPLE)
    add_section(parser, ImageDataConfig, "data")
    config = ImageDataConfig(**parse(parser))
    config.check()

    from bgan_discrete.kinds import get_kind
    from bgan_discrete.sources import describe

    print(describe(get_kind("images").load(config)))


if __name__ == "__main__":
    run_script(main)
