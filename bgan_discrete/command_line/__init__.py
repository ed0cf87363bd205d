"""The program ``bgan``: one verb for each task; the scripts of ``scripts/`` are fronts of a verb for one kind of data.

    command line -> the kind of the data -> flags -> options -> the task

Its words are imported on first use, so that ``bgan --help`` answers at once.
"""

import sys
from pathlib import Path

from bgan_discrete.command_line.process import run_script

__all__ = ["front", "main", "run_script"]


def main() -> None:
    """The program ``bgan``."""

    def program() -> int:
        from bgan_discrete.command_line.verbs import call_verb

        return call_verb(sys.argv[1:])

    run_script(program)


def front(verb: str, kind: str | None = None) -> None:
    """What a script of ``scripts/`` does: one verb, for one kind of data.

    Args:
        verb: Its name.
        kind: Of the data; None where the verb needs none.
    """

    def program() -> int:
        from bgan_discrete.command_line.calls import Call
        from bgan_discrete.command_line.verbs import VERBS

        call = Call(verb, sys.argv[1:], kind, f"python scripts/{Path(sys.argv[0]).name}")
        return VERBS[verb].run(call)

    run_script(program)
