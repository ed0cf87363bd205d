#!/usr/bin/env python
"""Write the report of a run again, or compare several runs, as one HTML file: ``bgan report``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("report")
