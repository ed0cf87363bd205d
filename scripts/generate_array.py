#!/usr/bin/env python
"""Draw rows from a trained model of arrays or tables: ``bgan generate --kind arrays``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("generate", "arrays")
