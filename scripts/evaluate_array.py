#!/usr/bin/env python
"""Compare a trained model of arrays or tables with held-out rows: ``bgan evaluate --kind arrays``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("evaluate", "arrays")
