#!/usr/bin/env python
"""Make the reference and the notebooks from docstrings and tutorials."""

from pathlib import Path

from bgan_discrete.command_line import make_parser, parse, run_script
from bgan_discrete.errors import InputError

EXAMPLE = """\
  python scripts/build_docs.py
  python scripts/build_docs.py --check
  python scripts/build_docs.py --api"""

INTERFACE = Path("tests/public_interface.txt")


def main() -> None:
    """Parse, make, write or compare."""
    parser = make_parser("Make docs/api/ from the docstrings and docs/notebooks/ from the tutorials.", EXAMPLE)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is not up to date")
    parser.add_argument(
        "--api", action="store_true", help=f"write {INTERFACE} too: the public interface changes on purpose"
    )
    options = parse(parser)

    from documentation.docstrings import faults
    from documentation.notebooks import TUTORIALS, notebooks
    from documentation.reference import listing, pages
    from documentation.sources import ROOT, documented

    found = faults(documented())
    if found:
        raise InputError(f"{len(found)} docstrings are to be mended: {'; '.join(found)}")
    docs = ROOT / "docs"
    tutorials = {name: (docs / name).read_text(encoding="utf-8") for name in TUTORIALS}
    made = {docs / path: text for path, text in {**pages(), **notebooks(tutorials)}.items()}
    if options["api"]:
        made[ROOT / INTERFACE] = listing()
    there = {path for folder in ("api", "notebooks") for path in (docs / folder).glob("*.*")}
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    left = sorted(there - set(made))
    if options["check"]:
        if stale or left:
            names = ", ".join(str(path.relative_to(ROOT)) for path in [*stale, *left])
            raise InputError(f"not up to date: {names}; run python scripts/build_docs.py")
        print(f"{len(made)} files are up to date")
        return
    for path in left:
        path.unlink()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    print(f"{len(made)} files, of which {len(stale)} were written and {len(left)} removed")


if __name__ == "__main__":
    run_script(main)
